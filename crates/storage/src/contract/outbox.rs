//! Messages that wait to be sent.

use std::{collections::HashSet, sync::Arc};

use countersign_domain::{
    audit::{AuditEvent, Event, chain::AuditRow},
    id::{MessageId, UserId},
    message::{Channel, OutboxRow, Urgency},
    port::outbox_store::Ended,
    secret::Sealed,
    time::Timestamp,
};

use super::{
    race,
    records::{NOW, later, message},
};
use crate::open::Stores;

async fn insert(stores: &Stores, rows: Vec<OutboxRow>) {
    stores.outbox.insert(rows).await.unwrap();
}

/// Claims text messages for a minute; the ids.
async fn claim(stores: &Stores, now: Timestamp, limit: usize) -> Vec<String> {
    let lease_until = now.plus(std::time::Duration::from_secs(60));
    let claimed = stores.outbox.claim(Channel::Sms, now, lease_until, limit).await.unwrap();
    claimed.into_iter().map(|row| row.id.as_str().to_owned()).collect()
}

/// Removes a message that was sent.
async fn remove(stores: &Stores, id: &MessageId) {
    stores.outbox.remove(id, sent()).await.unwrap();
}

fn sent() -> AuditEvent {
    AuditEvent::about(Event::SmsSent, &UserId::new("auth0|reader"), NOW)
}

/// What the audit trail says, without its beginning.
async fn trail(stores: &Stores) -> Vec<AuditRow> {
    let mut rows = stores.audit.list_rows(0, 1000).await.unwrap();
    rows.retain(|row| row.event != Event::TrailStarted.as_str());
    rows
}

async fn events(stores: &Stores) -> Vec<String> {
    trail(stores).await.into_iter().map(|row| row.event).collect()
}

fn ids(of: &[usize]) -> Vec<String> {
    of.iter().map(|n| message(*n).id.as_str().to_owned()).collect()
}

/// Every field survives.
pub async fn a_row_reads_back_with_one_attempt_more(stores: &Stores) {
    let written: Vec<_> = Channel::ALL
        .into_iter()
        .enumerate()
        .map(|(n, channel)| OutboxRow {
            channel,
            user: (n % 2 == 0).then(|| UserId::new(format!("auth0|{n}"))),
            sealed: Sealed::new(vec![0, 255, u8::try_from(n).unwrap()]),
            attempts: 3,
            doubts: 1,
            created_at: later(n as u64),
            ..message(n)
        })
        .collect();
    insert(stores, written.clone()).await;
    let mut read = Vec::new();
    for channel in Channel::ALL {
        read.extend(stores.outbox.claim(channel, NOW, later(60), 10).await.unwrap());
    }
    assert_eq!(read.len(), written.len());
    for (read, written) in read.iter().zip(&written) {
        assert_eq!((&read.id, read.channel, &read.sealed), (&written.id, written.channel, &written.sealed));
        assert_eq!((read.created_at, read.expires_at), (written.created_at, written.expires_at));
        assert_eq!((&read.user, read.urgency), (&written.user, written.urgency));
        assert_eq!((read.attempts, read.doubts, read.due_at), (4, 1, later(60)));
    }
}

/// The id names the message.
pub async fn a_message_is_there_once_however_often_it_is_inserted(stores: &Stores) {
    insert(stores, vec![message(1)]).await;
    assert_eq!(claim(stores, NOW, 10).await, ids(&[1]));
    insert(stores, vec![message(1), message(2)]).await;
    assert_eq!(claim(stores, NOW, 10).await, ids(&[2]), "the first is somebody's already");
}

/// As many as were asked for, those that have waited longest; nothing before its time.
pub async fn what_is_due_first_is_claimed_first(stores: &Stores) {
    let due = |n, secs| OutboxRow { due_at: later(secs), ..message(n) };
    insert(stores, vec![due(1, 3), due(2, 1), due(3, 2), due(4, 0), due(5, 11)]).await;
    assert_eq!(claim(stores, later(10), 2).await, ids(&[2, 4]));
    assert_eq!(claim(stores, later(10), 1).await, ids(&[3]));
    assert_eq!(claim(stores, later(10), 10).await, ids(&[1]));
    assert_eq!(claim(stores, later(10), 0).await, ids(&[]));
    assert_eq!(claim(stores, later(11), 10).await, ids(&[5]), "the moment it is due");
}

/// However many of the others have waited longer.
pub async fn a_channel_is_claimed_by_itself(stores: &Stores) {
    let of = |n, channel, secs| OutboxRow { channel, due_at: later(secs), ..message(n) };
    insert(stores, (0..20).map(|n| of(n, Channel::Sms, 0)).collect()).await;
    insert(stores, vec![of(20, Channel::Email, 5), of(21, Channel::Voice, 6)]).await;
    for (channel, limit, expected) in [
        (Channel::Email, 10, 1),
        (Channel::Push, 10, 0),
        (Channel::Sms, 8, 8),
        (Channel::Voice, 1, 1),
        (Channel::Sms, 90, 12),
    ] {
        let claimed = stores.outbox.claim(channel, later(10), later(60), limit).await.unwrap();
        assert_eq!(claimed.len(), expected);
        assert!(claimed.iter().all(|row| row.channel == channel));
    }
}

/// 32 claimers at once, over more rows than each may take.
pub async fn each_row_has_one_claimer(stores: &Stores) {
    insert(stores, (0..100).map(message).collect()).await;
    let claimed = race(32, |_| {
        let outbox = Arc::clone(&stores.outbox);
        async move {
            let mut mine = Vec::new();
            loop {
                let some = outbox.claim(Channel::Sms, NOW, later(60), 3).await.unwrap();
                if some.is_empty() {
                    return mine;
                }
                assert!(some.len() <= 3);
                mine.extend(some);
            }
        }
    })
    .await;
    let claimed: Vec<_> = claimed.into_iter().flatten().collect();
    assert_eq!(claimed.len(), 100);
    assert!(claimed.iter().all(|row| row.attempts == 1));
    assert_eq!(claimed.iter().map(|row| &row.id).collect::<HashSet<_>>().len(), 100);
}

/// A worker that does not come back loses its row at the end of the lease.
pub async fn a_claimed_row_returns_after_its_lease(stores: &Stores) {
    insert(stores, vec![message(1)]).await;
    for (attempt, secs) in [(1, 0), (2, 60), (3, 120)] {
        if secs > 0 {
            assert!(claim(stores, later(secs - 1), 10).await.is_empty());
        }
        let claimed = stores.outbox.claim(Channel::Sms, later(secs), later(secs + 60), 10).await.unwrap();
        let seen: Vec<_> = claimed.iter().map(|row| (row.attempts, row.due_at)).collect();
        assert_eq!(seen, [(attempt, later(secs + 60))]);
    }
}

/// Until then and no longer; it may also be made due earlier.
pub async fn a_postponed_row_waits(stores: &Stores) {
    insert(stores, vec![message(1)]).await;
    claim(stores, NOW, 10).await;
    stores.outbox.postpone(&message(1).id, later(300), Ended::Unsent).await.unwrap();
    stores.outbox.postpone(&message(9).id, later(1), Ended::InDoubt).await.unwrap();
    assert!(claim(stores, later(299), 10).await.is_empty());
    assert_eq!(claim(stores, later(300), 10).await, ids(&[1]));
    stores.outbox.postpone(&message(1).id, later(301), Ended::InDoubt).await.unwrap();
    let claimed = stores.outbox.claim(Channel::Sms, later(301), later(360), 10).await.unwrap();
    assert_eq!(claimed[0].attempts, 3, "each claim counts, and nothing else does");
    assert_eq!(claimed[0].doubts, 1);
}

/// The last moment is in time; after it nobody needs the message. What is swept is written down.
pub async fn an_expired_row_is_not_claimed_and_is_swept(stores: &Stores) {
    insert(stores, vec![message(1), OutboxRow { expires_at: later(700), ..message(2) }]).await;
    assert_eq!(stores.outbox.purge(later(600)).await.unwrap(), 0);
    assert_eq!(claim(stores, later(600), 10).await, ids(&[1, 2]));
    for n in 1..=2 {
        stores.outbox.postpone(&message(n).id, NOW, Ended::Unsent).await.unwrap();
    }
    let after = later(600).plus(std::time::Duration::from_millis(1));
    assert_eq!(claim(stores, after, 10).await, ids(&[2]));
    assert_eq!(stores.outbox.purge(after).await.unwrap(), 1);
    assert_eq!(stores.outbox.purge(later(701)).await.unwrap(), 1);
    assert_eq!(stores.outbox.purge(later(10_000)).await.unwrap(), 0);
    let rows = trail(stores).await;
    assert_eq!(rows.iter().map(|row| row.at).collect::<Vec<_>>(), [after, later(701)]);
    for row in rows {
        assert_eq!((row.event.as_str(), row.user.as_str()), ("message_failed.sms", "auth0|reader"));
        assert_eq!(row.detail.as_deref(), Some("expired"));
    }
}

/// Whoever tries it when it expires says how it ended. Only when nobody came back it is swept.
pub async fn what_is_being_tried_is_not_swept(stores: &Stores) {
    insert(stores, vec![message(1), message(2)]).await;
    assert_eq!(stores.outbox.claim(Channel::Sms, later(600), later(630), 10).await.unwrap().len(), 2);
    assert_eq!(stores.outbox.purge(later(629)).await.unwrap(), 0);
    remove(stores, &message(1).id).await;
    assert_eq!(stores.outbox.purge(later(630)).await.unwrap(), 1);
    assert_eq!(events(stores).await, ["message_sent.sms", "message_failed.sms"]);
}

/// Each by the event of its channel; a notice by its own, and a message of nobody known by nobody's.
pub async fn what_is_swept_is_named_by_its_kind(stores: &Stores) {
    let of = |n, channel, urgency| OutboxRow { channel, urgency, user: None, ..message(n) };
    let rows = vec![
        of(1, Channel::Voice, Urgency::Awaited),
        of(2, Channel::Email, Urgency::Awaited),
        of(3, Channel::Push, Urgency::Awaited),
        of(4, Channel::Email, Urgency::Patient),
    ];
    insert(stores, rows).await;
    assert_eq!(stores.outbox.purge(later(601)).await.unwrap(), 4);
    let mut events = events(stores).await;
    events.sort();
    let kinds = ["email", "notice", "push", "voice"];
    assert_eq!(events, kinds.map(|kind| format!("message_failed.{kind}")));
    assert!(trail(stores).await.iter().all(|row| row.user.is_empty()));
}

/// Removing what is not there is no error, and no row of the trail.
pub async fn a_removed_row_is_gone_and_written_down_once(stores: &Stores) {
    insert(stores, vec![message(1), message(2)]).await;
    race(32, |_| {
        let stores = stores.clone();
        async move { remove(&stores, &message(1).id).await }
    })
    .await;
    assert_eq!(events(stores).await, ["message_sent.sms"]);
    assert_eq!(trail(stores).await[0].user, "auth0|reader");
    assert_eq!(claim(stores, NOW, 10).await, ids(&[2]));
    assert!(claim(stores, later(60), 10).await == ids(&[2]));
    assert_eq!(stores.outbox.purge(later(601)).await.unwrap(), 1);
}

/// Claimed or not, unless it has expired or nobody waits for it; other channels do not matter.
pub async fn the_oldest_is_the_channels_own(stores: &Stores) {
    let caused = |n, channel, secs| OutboxRow { channel, created_at: later(secs), ..message(n) };
    let rows = vec![caused(1, Channel::Sms, 5), caused(2, Channel::Sms, 3), caused(3, Channel::Email, 1)];
    insert(stores, rows).await;
    insert(stores, vec![OutboxRow { expires_at: later(2), ..caused(4, Channel::Sms, 0) }]).await;
    insert(stores, vec![OutboxRow { urgency: Urgency::Patient, ..caused(5, Channel::Sms, 0) }]).await;
    let oldest = async |channel, secs| stores.outbox.oldest(channel, later(secs)).await.unwrap();
    assert_eq!(oldest(Channel::Sms, 2).await, Some(later(0)));
    assert_eq!(oldest(Channel::Sms, 3).await, Some(later(3)));
    assert_eq!(oldest(Channel::Email, 3).await, Some(later(1)));
    assert_eq!(oldest(Channel::Voice, 3).await, None);
    claim(stores, later(5), 10).await;
    assert_eq!(oldest(Channel::Sms, 5).await, Some(later(3)));
    remove(stores, &message(2).id).await;
    assert_eq!(oldest(Channel::Sms, 5).await, Some(later(5)));
    assert_eq!(oldest(Channel::Sms, 601).await, None);
}
