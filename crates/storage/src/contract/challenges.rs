//! Challenges and their tries.

use std::sync::Arc;

use countersign_domain::{port::session_store::Settlement, secret::Digest};

use super::{
    race,
    records::{NOW, challenge, digest, later},
};
use crate::open::Stores;

async fn tries(stores: &Stores, n: usize) -> Option<u32> {
    stores.sessions.take_try(&digest(n)).await.unwrap().map(|record| record.tries)
}

/// Every field survives, the tries as they were before.
pub async fn a_challenge_reads_back(stores: &Stores) {
    stores.sessions.insert_challenge(challenge(1, 1)).await.unwrap();
    let (read, written) = (stores.sessions.take_try(&digest(1)).await.unwrap().unwrap(), challenge(1, 1));
    assert_eq!((read.digest, read.slot, read.sealed), (written.digest, written.slot, written.sealed));
    assert_eq!((read.tries, read.expires_at), (5, later(600)));
}

/// Five, and none ever after.
pub async fn tries_run_out_and_never_return(stores: &Stores) {
    stores.sessions.insert_challenge(challenge(1, 1)).await.unwrap();
    for left in [5, 4, 3, 2, 1, 0, 0, 0] {
        assert_eq!(tries(stores, 1).await, Some(left));
    }
}

/// 64 parallel calls on five tries.
pub async fn sixty_four_at_once_share_five_tries(stores: &Stores) {
    stores.sessions.insert_challenge(challenge(1, 1)).await.unwrap();
    let mut seen = race(64, |_| {
        let sessions = Arc::clone(&stores.sessions);
        async move { sessions.take_try(&digest(1)).await.unwrap().unwrap().tries }
    })
    .await;
    seen.sort_unstable();
    assert!(seen[..59].iter().all(|tries| *tries == 0), "{seen:?}");
    assert_eq!(seen[59..], [1, 2, 3, 4, 5]);
}

/// Only the newest code of an authenticator counts, and it has tries of its own.
pub async fn a_newer_challenge_takes_the_slot(stores: &Stores) {
    for (n, slot) in [(1, 1), (2, 2)] {
        stores.sessions.insert_challenge(challenge(n, slot)).await.unwrap();
    }
    assert_eq!(tries(stores, 1).await, Some(5));
    stores.sessions.insert_challenge(challenge(3, 1)).await.unwrap();
    assert_eq!(tries(stores, 1).await, None);
    assert_eq!(tries(stores, 3).await, Some(5));
    assert_eq!(tries(stores, 2).await, Some(5), "another slot's");
}

/// 32 codes are sent at once.
pub async fn one_of_many_stays_in_the_slot(stores: &Stores) {
    race(32, |n| {
        let sessions = Arc::clone(&stores.sessions);
        async move { sessions.insert_challenge(challenge(n, 1)).await.unwrap() }
    })
    .await;
    let mut left = 0;
    for n in 0..32 {
        left += usize::from(tries(stores, n).await.is_some());
    }
    assert_eq!(left, 1);
}

/// Nothing comes of nothing.
pub async fn an_unknown_challenge_has_no_tries(stores: &Stores) {
    assert_eq!(tries(stores, 1).await, None);
    assert_eq!(tries(stores, 1).await, None);
}

/// What was settled is forgotten, and nothing else; its slot can be used again.
pub async fn a_settled_challenge_is_forgotten(stores: &Stores) {
    for n in 1..=2 {
        stores.sessions.insert_challenge(challenge(n, n)).await.unwrap();
    }
    stores.sessions.settle(Settlement { challenge: Some(digest(1)), ..Settlement::default() }, NOW).await;
    assert!(tries(stores, 1).await.is_none());
    assert_eq!(tries(stores, 2).await, Some(5));
    stores.sessions.insert_challenge(challenge(3, 1)).await.unwrap();
    assert_eq!(tries(stores, 3).await, Some(5));
}

async fn found(stores: &Stores, n: usize) -> Option<(u32, Option<Digest>)> {
    stores.sessions.find_challenge(&digest(n)).await.unwrap().map(|record| (record.tries, record.decision))
}

/// Looking takes no try, and tells what there is.
pub async fn looking_takes_nothing(stores: &Stores) {
    assert_eq!(found(stores, 1).await, None);
    stores.sessions.insert_challenge(challenge(1, 1)).await.unwrap();
    for _ in 0..3 {
        assert_eq!(found(stores, 1).await, Some((5, None)));
    }
    let read = stores.sessions.find_challenge(&digest(1)).await.unwrap().unwrap();
    assert_eq!((read.sealed, read.expires_at), (challenge(1, 1).sealed, later(600)));
    for left in [5, 4, 3, 2, 1, 0, 0] {
        assert_eq!(found(stores, 1).await.unwrap().0, left);
        assert_eq!(tries(stores, 1).await, Some(left));
    }
}

/// The first decision stands, and tries go on beside it.
pub async fn the_first_decision_stands(stores: &Stores) {
    let (approved, rejected) = (digest(901), digest(902));
    let decide = |n, mark| async move { stores.sessions.decide(&digest(n), mark).await.unwrap() };
    assert_eq!(decide(1, approved).await, None, "of nothing comes nothing");
    assert_eq!(found(stores, 1).await, None);
    for n in 1..=2 {
        stores.sessions.insert_challenge(challenge(n, n)).await.unwrap();
    }
    assert_eq!(tries(stores, 1).await, Some(5));
    assert_eq!(decide(1, rejected).await, Some(rejected));
    assert_eq!(decide(1, approved).await, Some(rejected));
    assert_eq!(found(stores, 1).await, Some((4, Some(rejected))));
    assert_eq!(found(stores, 2).await, Some((5, None)));
    assert_eq!(decide(2, approved).await, Some(approved));
    assert_eq!(tries(stores, 2).await, Some(5));
    assert_eq!(found(stores, 2).await, Some((4, Some(approved))));
    stores.sessions.settle(Settlement { challenge: Some(digest(2)), ..Settlement::default() }, NOW).await;
    assert!(found(stores, 2).await.is_none());
    assert_eq!(decide(2, approved).await, None, "what was settled is not decided");
}

/// 64 decide at once, each another way, and all are told the same.
pub async fn sixty_four_decisions_are_one(stores: &Stores) {
    stores.sessions.insert_challenge(challenge(1, 1)).await.unwrap();
    let told = race(64, |n| {
        let sessions = Arc::clone(&stores.sessions);
        let mark = digest(900 + n);
        async move { sessions.decide(&digest(1), mark).await.unwrap().unwrap() }
    })
    .await;
    assert!(told.iter().all(|mark| *mark == told[0]), "{told:?}");
    assert_eq!(found(stores, 1).await, Some((5, Some(told[0]))));
}
