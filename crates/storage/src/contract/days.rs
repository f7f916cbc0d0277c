//! What may be sent in a day has an end, whoever asks at the same moment.

use std::sync::Arc;

use countersign_domain::{
    audit::{AuditEvent, Event},
    id::UserId,
    message::day::{
        DayCharge,
        DayCharged::{self, All, Reached},
    },
    port::authenticator_store::{EnrollmentBegun, NewEnrollment},
};

use super::{
    messages::taken,
    race,
    records::{NOW, account, add_user, enrollment, later, message, pair_enrollment},
};
use crate::open::Stores;

const CONTESTANTS: usize = 64;
const DAY: u64 = 86_400;

/// One more of `counter` on the day of [`NOW`].
fn charge(counter: &str, most: u32) -> DayCharge {
    DayCharge { day: NOW.utc_day(), counter: counter.to_owned(), most }
}

/// Sends the `n`th message.
async fn send(stores: &Stores, n: usize, charges: Vec<DayCharge>) -> DayCharged {
    let audit = AuditEvent::about(Event::ChallengeOpened, &UserId::new("auth0|reader"), NOW);
    stores.outbox.insert_charged(message(n), charges, audit).await.unwrap()
}

async fn look(stores: &Stores, charge: DayCharge) -> DayCharged {
    stores.outbox.look_at_day(&[charge]).await.unwrap()
}

/// How many messages were sent of `counter`.
async fn count(stores: &Stores, counter: &str) -> u32 {
    for most in 1..=100 {
        if look(stores, charge(counter, most)).await == All {
            return most - 1;
        }
    }
    100
}

async fn opened(stores: &Stores) -> usize {
    let rows = stores.audit.list_rows(0, 1000).await.unwrap();
    rows.iter().filter(|row| row.event == Event::ChallengeOpened.as_str()).count()
}

/// Of 64 at once as many are sent as there may be. Those alone leave a message, a row of the trail and a charge.
pub async fn a_count_of_the_day_is_met_exactly(stores: &Stores) {
    let own = |n: usize| charge(&format!("own-{n}"), 1);
    let outcomes = race(CONTESTANTS, |n| {
        let (stores, charges) = (stores.clone(), vec![own(n), charge("country", 10), charge("deployment", 1000)]);
        async move { send(&stores, n, charges).await }
    })
    .await;
    assert_eq!(outcomes.iter().filter(|outcome| **outcome == All).count(), 10);
    for (n, outcome) in outcomes.iter().enumerate() {
        let (expected, sent) = if *outcome == All { (All, 1) } else { (Reached { charge: 1 }, 0) };
        assert_eq!((*outcome, count(stores, &own(n).counter).await), (expected, sent), "{n}");
    }
    assert_eq!((count(stores, "country").await, count(stores, "deployment").await), (10, 10));
    assert_eq!(opened(stores).await, 10);
    assert_eq!(taken(stores).await.len(), 10);
}

/// The one that was reached is named, and the others keep what they had.
pub async fn a_message_is_charged_to_all_of_its_counts_or_none(stores: &Stores) {
    let both = || vec![charge("person", 3), charge("number", 1)];
    assert_eq!(send(stores, 1, both()).await, All);
    for n in 2..5 {
        assert_eq!(send(stores, n, both()).await, Reached { charge: 1 });
    }
    assert_eq!((count(stores, "person").await, count(stores, "number").await), (1, 1));
    assert_eq!(send(stores, 5, vec![charge("person", 3)]).await, All);
    assert_eq!(send(stores, 6, vec![charge("never", 0)]).await, Reached { charge: 0 });
    assert_eq!(send(stores, 7, Vec::new()).await, All, "what costs nothing has no end");
    assert_eq!(look(stores, charge("never", 0)).await, Reached { charge: 0 });
    assert_eq!(look(stores, charge("person", 2)).await, Reached { charge: 0 }, "a lower ceiling holds at once");
    assert_eq!(opened(stores).await, 3);
    assert_eq!(taken(stores).await, [1, 5, 7]);
}

/// Nothing of it is there, and a refusal for another reason charges nothing.
pub async fn an_enrolment_after_the_end_of_its_day_is_not_begun(stores: &Stores) {
    let user = add_user(stores, "ann").await;
    let begin = |n, limit| {
        let (messages, charges) = (vec![message(n)], vec![charge("person", 5), charge("number", 1)]);
        let enrollment = NewEnrollment { messages, charges, limit, ..pair_enrollment(&user, n) };
        stores.authenticators.begin_enrollment(enrollment, NOW)
    };
    assert_eq!(begin(1, 1).await.unwrap(), EnrollmentBegun::LimitReached);
    assert_eq!(count(stores, "person").await, 0);
    assert_eq!(begin(3, 10).await.unwrap(), EnrollmentBegun::Begun { with_recovery_code: true });
    let trail = stores.audit.list_rows(0, 1000).await.unwrap().len();
    assert_eq!(begin(5, 10).await.unwrap(), EnrollmentBegun::DayIsOver { charge: 1 });
    assert_eq!((count(stores, "person").await, count(stores, "number").await), (1, 1));
    assert_eq!(account(stores, &user).await.authenticators.len(), 2, "the first pair");
    assert_eq!(stores.audit.list_rows(0, 1000).await.unwrap().len(), trail);
    assert_eq!(taken(stores).await, [3]);
}

/// Half of 64 enrol and half log in: together they are as many as there may be.
pub async fn enrolments_and_logins_share_a_day(stores: &Stores) {
    let user = add_user(stores, "ann").await;
    let sent = race(CONTESTANTS, |n| {
        let (stores, charges, user) = (stores.clone(), vec![charge("country", 10)], user.clone());
        async move {
            if n % 2 == 0 {
                return (n, send(&stores, n, charges).await == All);
            }
            let mut enrollment = enrollment(&user, n);
            (enrollment.messages, enrollment.charges) = (vec![message(n)], charges);
            let authenticators = Arc::clone(&stores.authenticators);
            let begun = authenticators.begin_enrollment(enrollment, NOW).await.unwrap();
            let over = EnrollmentBegun::DayIsOver { charge: 0 };
            assert!(begun == over || matches!(begun, EnrollmentBegun::Begun { .. }), "{begun:?}");
            (n, begun != over)
        }
    })
    .await;
    let mut sent: Vec<_> = sent.into_iter().filter(|(_, sent)| *sent).map(|(n, _)| n).collect();
    assert_eq!(sent.len(), 10);
    let mut left = taken(stores).await;
    left.sort_unstable();
    sent.sort_unstable();
    assert_eq!(left, sent);
    let begun = sent.iter().filter(|n| *n % 2 == 1).count();
    assert_eq!((opened(stores).await, account(stores, &user).await.authenticators.len()), (10 - begun, begun));
}

/// Yesterday is kept, because a replica's clock may be slow.
pub async fn each_day_begins_anew_and_is_swept_after_the_next(stores: &Stores) {
    let on = |days: i64| DayCharge { day: NOW.utc_day() + days, ..charge("person", 1) };
    for (n, days) in [(1, 0), (2, 1)] {
        assert_eq!(send(stores, n, vec![on(days)]).await, All);
        assert_eq!(send(stores, n + 10, vec![on(days)]).await, Reached { charge: 0 });
    }
    assert_eq!(taken(stores).await, [1, 2]);
    assert_eq!(stores.outbox.purge(later(DAY)).await.unwrap(), 0);
    assert_eq!(look(stores, on(0)).await, Reached { charge: 0 });
    assert_eq!(stores.outbox.purge(later(2 * DAY)).await.unwrap(), 1);
    assert_eq!(look(stores, on(0)).await, All);
    assert_eq!(look(stores, on(1)).await, Reached { charge: 0 });
    assert_eq!(stores.outbox.purge(later(3 * DAY)).await.unwrap(), 1);
}
