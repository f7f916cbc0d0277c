//! Signing keys.

use std::sync::Arc;

use countersign_domain::{
    id::KeyId,
    port::{key_store::StoredKey, signer::Algorithm},
    secret::Sealed,
};

use super::{race, records::later};
use crate::open::Stores;

fn key(n: usize, algorithm: Algorithm) -> StoredKey {
    let created_at = later(n as u64);
    StoredKey { id: KeyId::new(format!("key{n}")), algorithm, sealed: Sealed::new(vec![1, 2, 3]), created_at }
}

/// Replicas that start together end up with one key of each algorithm.
pub async fn the_first_key_of_an_algorithm_is_the_only_first(stores: &Stores) {
    let inserted = race(64, |n| {
        let keys = Arc::clone(&stores.keys);
        let algorithm = if n % 2 == 0 { Algorithm::Rs256 } else { Algorithm::Es256 };
        async move { keys.insert_first_key(key(n, algorithm)).await.unwrap() }
    })
    .await;
    assert_eq!(inserted.iter().filter(|inserted| **inserted).count(), 2);
    assert_eq!(stores.keys.list_keys().await.unwrap().len(), 2);
}

/// The newest comes first, and every field survives.
pub async fn keys_are_listed_newest_first(stores: &Stores) {
    assert!(stores.keys.insert_first_key(key(1, Algorithm::Rs256)).await.unwrap());
    assert!(stores.keys.insert_first_key(key(2, Algorithm::Es256)).await.unwrap());
    let listed = stores.keys.list_keys().await.unwrap();
    let read: Vec<_> = listed.iter().map(|key| (key.id.as_str(), key.algorithm, key.created_at)).collect();
    assert_eq!(read, [("key2", Algorithm::Es256, later(2)), ("key1", Algorithm::Rs256, later(1))]);
    assert_eq!(listed[0].sealed.as_bytes(), [1, 2, 3]);
}
