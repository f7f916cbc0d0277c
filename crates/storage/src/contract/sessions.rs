//! MFA transactions.

use countersign_domain::{port::session_store::Settlement, secret::Sealed};

use super::records::{NOW, challenge, digest, later, transaction};
use crate::open::Stores;

/// Every field survives, and others are not found.
pub async fn a_transaction_reads_back(stores: &Stores) {
    let sessions = &stores.sessions;
    sessions.insert_transaction(transaction(1)).await.unwrap();
    let read = sessions.find_transaction(&digest(1)).await.unwrap().unwrap();
    assert_eq!((read.digest, read.sealed, read.expires_at), (digest(1), transaction(1).sealed, later(600)));
    assert!(!read.exhausted);
    assert!(sessions.find_transaction(&digest(2)).await.unwrap().is_none());
}

/// The first stays, and its end with it.
pub async fn an_insert_does_not_replace(stores: &Stores) {
    let sessions = &stores.sessions;
    sessions.insert_transaction(transaction(1)).await.unwrap();
    let mut second = transaction(1);
    (second.sealed, second.expires_at) = (Sealed::new(vec![9]), later(9000));
    sessions.insert_transaction(second).await.unwrap();
    let read = sessions.find_transaction(&digest(1)).await.unwrap().unwrap();
    assert_eq!((read.sealed, read.expires_at), (transaction(1).sealed, later(600)));
}

/// The mark stays, and so does the rest; an insert does not take it away.
pub async fn exhaustion_is_kept(stores: &Stores) {
    let sessions = &stores.sessions;
    for n in 1..=2 {
        sessions.insert_transaction(transaction(n)).await.unwrap();
    }
    sessions.exhaust_transaction(&digest(1)).await.unwrap();
    sessions.insert_transaction(transaction(1)).await.unwrap();
    let read = sessions.find_transaction(&digest(1)).await.unwrap().unwrap();
    assert!(read.exhausted);
    assert_eq!((read.sealed, read.expires_at), (transaction(1).sealed, later(600)));
    assert!(!sessions.find_transaction(&digest(2)).await.unwrap().unwrap().exhausted);
}

/// Nothing comes of nothing.
pub async fn an_unknown_transaction_is_not_made_by_exhausting_it(stores: &Stores) {
    stores.sessions.exhaust_transaction(&digest(1)).await.unwrap();
    assert!(stores.sessions.find_transaction(&digest(1)).await.unwrap().is_none());
}

/// What was settled is forgotten at once, and nothing else.
pub async fn a_settled_transaction_is_forgotten(stores: &Stores) {
    let sessions = &stores.sessions;
    sessions.insert_transaction(transaction(100)).await.unwrap();
    for n in 1..=64 {
        sessions.insert_transaction(transaction(n)).await.unwrap();
        sessions.settle(Settlement { transaction: Some(digest(n)), ..Settlement::default() }, NOW).await;
        assert!(sessions.find_transaction(&digest(n)).await.unwrap().is_none(), "{n}");
    }
    assert!(sessions.find_transaction(&digest(100)).await.unwrap().is_some());
}

/// It is there.
pub async fn it_answers_a_ping(stores: &Stores) {
    stores.sessions.ping().await.unwrap();
}

/// Expired transactions and challenges stay for an hour, buckets until they are full. For stores that do not expire by themselves.
pub async fn a_purge_takes_what_expired(stores: &Stores) {
    let sessions = &stores.sessions;
    sessions.insert_transaction(transaction(1)).await.unwrap();
    sessions.insert_challenge(challenge(1, 1)).await.unwrap();
    let bucket = super::records::bucket(1, "otp");
    sessions.reserve(std::slice::from_ref(&bucket), super::records::attempt(1), NOW).await.unwrap();
    assert_eq!(sessions.purge(later(359)).await.unwrap(), 0);
    assert_eq!(sessions.purge(later(360)).await.unwrap(), 1, "the bucket is full again");
    assert_eq!(sessions.purge(later(600 + 3600)).await.unwrap(), 0);
    assert!(sessions.find_transaction(&digest(1)).await.unwrap().is_some());
    assert!(sessions.take_try(&digest(1)).await.unwrap().is_some());
    assert_eq!(sessions.purge(later(600 + 3601)).await.unwrap(), 2);
    assert!(sessions.find_transaction(&digest(1)).await.unwrap().is_none());
    assert!(sessions.take_try(&digest(1)).await.unwrap().is_none());
}
