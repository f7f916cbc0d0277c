//! Messages that wait to be sent.

use std::{collections::HashSet, sync::Arc};

use countersign_domain::{
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

/// The last moment is in time; after it nobody needs the message.
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
}

/// Removing what is not there is no error.
pub async fn a_removed_row_is_gone(stores: &Stores) {
    insert(stores, vec![message(1), message(2)]).await;
    for _ in 0..2 {
        stores.outbox.remove(&message(1).id).await.unwrap();
    }
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
    stores.outbox.remove(&message(2).id).await.unwrap();
    assert_eq!(oldest(Channel::Sms, 5).await, Some(later(5)));
    assert_eq!(oldest(Channel::Sms, 601).await, None);
}
