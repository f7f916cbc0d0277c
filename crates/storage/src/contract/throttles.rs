//! Token buckets.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use countersign_domain::{
    port::session_store::{
        AttemptId, Bucket,
        Reservation::{self, Denied, Granted},
        Settlement,
    },
    time::Timestamp,
};

use super::{
    race,
    records::{NOW, attempt, bucket, later},
};
use crate::open::Stores;

async fn reserve(stores: &Stores, buckets: &[Bucket], attempt: AttemptId, now: Timestamp) -> Reservation {
    stores.sessions.reserve(buckets, attempt, now).await.unwrap()
}

/// Takes attempts until there are none; how many there were.
async fn drain(stores: &Stores, bucket: &Bucket, now: Timestamp) -> usize {
    // Each attempt has an id of its own, or a later call would find its last one charged already.
    static NEXT: AtomicUsize = AtomicUsize::new(90_000);
    let mut taken = 0;
    let next = || attempt(NEXT.fetch_add(1, Ordering::Relaxed));
    while reserve(stores, std::slice::from_ref(bucket), next(), now).await == Granted {
        taken += 1;
    }
    taken
}

/// 300 parallel calls on a bucket of 10.
pub async fn three_hundred_at_once_get_exactly_ten(stores: &Stores) {
    let answers = race(300, |n| {
        let sessions = Arc::clone(&stores.sessions);
        async move { sessions.reserve(&[bucket(1, "otp")], attempt(n), NOW).await.unwrap() }
    })
    .await;
    assert_eq!(answers.iter().filter(|answer| **answer == Granted).count(), 10);
    let denied = Denied { bucket: 0, retry_after: Duration::from_secs(360) };
    assert_eq!(answers.iter().filter(|answer| **answer == denied).count(), 290);
}

/// A repeated call costs nothing, also when the bucket is empty by then.
pub async fn the_same_attempt_is_charged_once(stores: &Stores) {
    let otp = [bucket(1, "otp"), bucket(1, "rate")];
    for _ in 0..30 {
        assert_eq!(reserve(stores, &otp, attempt(1), NOW).await, Granted);
    }
    for n in 2..=10 {
        assert_eq!(reserve(stores, &otp, attempt(n), NOW).await, Granted);
    }
    assert_eq!(reserve(stores, &otp, attempt(10), NOW).await, Granted);
    assert!(matches!(reserve(stores, &otp, attempt(11), NOW).await, Denied { bucket: 0, .. }));
}

/// The same, at the same moment.
pub async fn the_same_attempt_at_once_is_charged_once(stores: &Stores) {
    let answers = race(64, |_| {
        let sessions = Arc::clone(&stores.sessions);
        async move { sessions.reserve(&[bucket(1, "otp")], attempt(1), NOW).await.unwrap() }
    })
    .await;
    assert!(answers.iter().all(|answer| *answer == Granted));
    assert_eq!(drain(stores, &bucket(1, "otp"), NOW).await, 9);
}

/// At 359 of 360 seconds it is not there; at 360 it is, once; after an hour the bucket is full and not more.
pub async fn an_attempt_comes_back_after_its_interval(stores: &Stores) {
    let otp = bucket(1, "otp");
    assert_eq!(drain(stores, &otp, NOW).await, 10);
    let one = [otp.clone()];
    let denied = |secs| Denied { bucket: 0, retry_after: Duration::from_secs(secs) };
    assert_eq!(reserve(stores, &one, attempt(1), later(359)).await, denied(1));
    assert_eq!(reserve(stores, &one, attempt(2), later(360)).await, Granted);
    assert_eq!(reserve(stores, &one, attempt(3), later(361)).await, denied(359));
    assert_eq!(drain(stores, &otp, later(719)).await, 0, "what was underway is not lost and not doubled");
    assert_eq!(drain(stores, &otp, later(720)).await, 1);
    assert_eq!(drain(stores, &otp, later(100_000)).await, 10);
    assert_eq!(drain(stores, &otp, NOW).await, 0, "a clock that steps back gives nothing");
}

/// An empty bucket is named, and the others keep what they have.
pub async fn all_buckets_or_none_are_charged(stores: &Stores) {
    let (wide, narrow) = (bucket(1, "wide"), Bucket { capacity: 1, ..bucket(1, "narrow") });
    let both = [wide.clone(), narrow.clone()];
    assert_eq!(reserve(stores, &both, attempt(1), NOW).await, Granted);
    for n in 2..20 {
        assert!(matches!(reserve(stores, &both, attempt(n), NOW).await, Denied { bucket: 1, .. }));
    }
    assert_eq!(drain(stores, &wide, NOW).await, 9);
    assert!(matches!(reserve(stores, &both, attempt(30), NOW).await, Denied { bucket: 0, .. }), "the first is named");
}

/// As many are granted as the narrowest holds, and the others were charged for exactly those.
pub async fn many_buckets_raced_for_stay_in_step(stores: &Stores) {
    let buckets = [bucket(1, "a"), Bucket { capacity: 5, ..bucket(1, "b") }, bucket(1, "c")];
    let answers = race(64, |n| {
        let (sessions, buckets) = (Arc::clone(&stores.sessions), buckets.clone());
        async move { sessions.reserve(&buckets, attempt(n), NOW).await.unwrap() }
    })
    .await;
    assert_eq!(answers.iter().filter(|answer| **answer == Granted).count(), 5);
    for (bucket, left) in buckets.iter().zip([5, 0, 5]) {
        assert_eq!(drain(stores, bucket, NOW).await, left, "{:?}", bucket.key.counter);
    }
}

/// After a success the attempt is there again.
pub async fn a_refund_gives_one_back(stores: &Stores) {
    let otp = bucket(1, "otp");
    assert_eq!(drain(stores, &otp, NOW).await, 10);
    let refund = vec![(otp.clone(), attempt(1))];
    stores.sessions.settle(Settlement { refund, ..Settlement::default() }, NOW).await;
    assert!(stores.sessions.wait_of(&otp, NOW).await.unwrap().is_zero());
    assert_eq!(drain(stores, &otp, NOW).await, 1);
}

/// Each goes to its own bucket, whoever they are of.
pub async fn several_refunds_go_to_their_buckets(stores: &Stores) {
    let buckets = [bucket(1, "otp"), bucket(2, "unproven"), bucket(2, "sends")];
    for bucket in &buckets {
        assert_eq!(drain(stores, bucket, NOW).await, 10);
    }
    let refund = vec![(buckets[0].clone(), attempt(1)), (buckets[1].clone(), attempt(1))];
    stores.sessions.settle(Settlement { refund, ..Settlement::default() }, NOW).await;
    for bucket in &buckets[..2] {
        assert!(stores.sessions.wait_of(bucket, NOW).await.unwrap().is_zero());
    }
    for (bucket, left) in buckets.iter().zip([1, 1, 0]) {
        assert_eq!(drain(stores, bucket, NOW).await, left, "{:?}", bucket.key.counter);
    }
}

/// A bucket that filled up in the meantime takes nothing more.
pub async fn a_refund_never_exceeds_the_capacity(stores: &Stores) {
    let otp = bucket(1, "otp");
    assert_eq!(drain(stores, &otp, NOW).await, 10);
    let refund = vec![(otp.clone(), attempt(1))];
    stores.sessions.settle(Settlement { refund, ..Settlement::default() }, later(3600)).await;
    // By the clock of before, only the refund can have filled it.
    assert!(stores.sessions.wait_of(&otp, NOW).await.unwrap().is_zero());
    assert_eq!(drain(stores, &otp, later(3600)).await, 10);
}

/// A refund forgets the attempt: it is charged when it comes again.
pub async fn a_refunded_attempt_is_charged_when_it_returns(stores: &Stores) {
    let otp = Bucket { capacity: 2, ..bucket(1, "otp") };
    for n in 1..=2 {
        assert_eq!(reserve(stores, std::slice::from_ref(&otp), attempt(n), NOW).await, Granted);
    }
    let refund = vec![(otp.clone(), attempt(2))];
    stores.sessions.settle(Settlement { refund, ..Settlement::default() }, NOW).await;
    assert!(stores.sessions.wait_of(&otp, NOW).await.unwrap().is_zero());
    assert_eq!(reserve(stores, std::slice::from_ref(&otp), attempt(2), NOW).await, Granted);
    assert_eq!(drain(stores, &otp, NOW).await, 0);
}

/// Reset, and no other bucket.
pub async fn a_reset_fills_the_bucket(stores: &Stores) {
    let (otp, other) = (bucket(1, "otp"), bucket(1, "recovery-code"));
    drain(stores, &otp, NOW).await;
    drain(stores, &other, NOW).await;
    stores.sessions.settle(Settlement { reset: Some(otp.key.clone()), ..Settlement::default() }, NOW).await;
    assert!(stores.sessions.wait_of(&otp, NOW).await.unwrap().is_zero());
    assert_eq!(drain(stores, &otp, NOW).await, 10);
    assert_eq!(drain(stores, &other, NOW).await, 0);
}

/// Names differ by byte.
pub async fn counters_and_subjects_are_apart(stores: &Stores) {
    drain(stores, &bucket(1, "otp"), NOW).await;
    for other in [bucket(2, "otp"), bucket(1, "OTP"), bucket(1, "otp:"), bucket(1, "password:2001:db8::1")] {
        assert_eq!(drain(stores, &other, NOW).await, 10, "{:?}", other.key.counter);
    }
}

/// Asking is free.
pub async fn asking_for_the_wait_charges_nothing(stores: &Stores) {
    let otp = bucket(1, "otp");
    for _ in 0..20 {
        assert_eq!(stores.sessions.wait_of(&otp, NOW).await.unwrap(), Duration::ZERO);
    }
    assert_eq!(drain(stores, &otp, NOW).await, 10);
    assert_eq!(stores.sessions.wait_of(&otp, later(1)).await.unwrap(), Duration::from_secs(359));
    assert_eq!(stores.sessions.wait_of(&otp, later(360)).await.unwrap(), Duration::ZERO);
    assert_eq!(drain(stores, &otp, later(360)).await, 1);
}

/// A bucket that locks gives nothing back until a whole interval after the last attempt, whenever the first was.
pub async fn the_last_attempt_locks_for_a_whole_interval(stores: &Stores) {
    let one = [Bucket { locks: true, ..bucket(1, "otp") }];
    for n in 0..10 {
        assert_eq!(reserve(stores, &one, attempt(n), later(30 * n as u64)).await, Granted);
    }
    let denied = |secs| Denied { bucket: 0, retry_after: Duration::from_secs(secs) };
    assert_eq!(reserve(stores, &one, attempt(90), later(360)).await, denied(270));
    assert_eq!(reserve(stores, &one, attempt(91), later(629)).await, denied(1));
    assert_eq!(reserve(stores, &one, attempt(92), later(630)).await, Granted);
    assert_eq!(reserve(stores, &one, attempt(93), later(631)).await, denied(359));
}
