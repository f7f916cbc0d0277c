//! Signing keys.

use std::sync::Arc;

use countersign_domain::{
    audit::{AuditEvent, Event},
    id::KeyId,
    port::{key_store::StoredKey, signer::Algorithm},
    secret::Sealed,
    signing_key::KeyState,
};

use super::{
    race,
    records::{account, add_user, later},
};
use crate::open::Stores;

fn key(n: usize, algorithm: Algorithm, state: KeyState) -> StoredKey {
    let at = later(n as u64);
    let (id, sealed) = (KeyId::new(format!("key{n}")), Sealed::new(vec![1, 2, 3]));
    StoredKey { id, algorithm, state, sealed, created_at: at, changed_at: at }
}

fn row(event: Event) -> AuditEvent {
    AuditEvent::of_deployment(event, later(0)).because("key=x")
}

/// How many rows the trail has of each kind.
async fn rows(stores: &Stores) -> [usize; 4] {
    let rows = stores.audit.list_rows(0, 1000).await.unwrap();
    let count = |event: Event| rows.iter().filter(|row| row.event == event.as_str()).count();
    [Event::SigningKeyAdded, Event::SigningKeyPromoted, Event::SigningKeyRetired, Event::EverythingEnded].map(count)
}

async fn states(stores: &Stores) -> Vec<(String, KeyState)> {
    let keys = stores.keys.list_keys().await.unwrap();
    keys.into_iter().map(|key| (key.id.as_str().to_owned(), key.state)).collect()
}

/// Replicas that start together, or rotate together, end up with one key of each algorithm and state.
pub async fn an_algorithm_has_one_current_and_one_next_key(stores: &Stores) {
    let inserted = race(64, |n| {
        let keys = Arc::clone(&stores.keys);
        let algorithm = if n % 2 == 0 { Algorithm::Rs256 } else { Algorithm::Es256 };
        let state = if n % 4 < 2 { KeyState::Current } else { KeyState::Next };
        async move { keys.insert_key(key(n, algorithm, state), row(Event::SigningKeyAdded)).await.unwrap() }
    })
    .await;
    assert_eq!(inserted.iter().filter(|inserted| **inserted).count(), 4);
    assert_eq!(stores.keys.list_keys().await.unwrap().len(), 4);
    assert_eq!(rows(stores).await, [4, 0, 0, 0], "who adds nothing leaves no row");
}

/// The newest comes first, and every field survives, whatever the algorithm.
pub async fn keys_are_listed_newest_first(stores: &Stores) {
    for (n, algorithm) in Algorithm::ALL.into_iter().enumerate() {
        assert!(
            stores.keys.insert_key(key(n, algorithm, KeyState::Current), row(Event::SigningKeyAdded)).await.unwrap()
        );
    }
    let listed = stores.keys.list_keys().await.unwrap();
    let read: Vec<_> = listed.iter().map(|key| (key.id.as_str(), key.algorithm, key.created_at)).collect();
    let expected = [
        ("key3", Algorithm::EdDsa, later(3)),
        ("key2", Algorithm::Ed25519, later(2)),
        ("key1", Algorithm::Es256, later(1)),
        ("key0", Algorithm::Rs256, later(0)),
    ];
    assert_eq!(read, expected);
    assert_eq!((listed[0].sealed.as_bytes(), listed[0].changed_at), (&[1, 2, 3][..], later(3)));
}

/// The next key takes over once, whoever asks; there is never a second current key, and never none.
pub async fn a_key_takes_over_once(stores: &Stores) {
    let keys = &stores.keys;
    keys.insert_key(key(1, Algorithm::Rs256, KeyState::Current), row(Event::SigningKeyAdded)).await.unwrap();
    keys.insert_key(key(2, Algorithm::Rs256, KeyState::Next), row(Event::SigningKeyAdded)).await.unwrap();
    let (one, two, none) = (KeyId::new("key1"), KeyId::new("key2"), KeyId::new("key9"));
    for (next, current) in [(&one, &two), (&two, &none), (&none, &one), (&two, &two)] {
        assert!(!keys.promote_key(next, current, later(5), row(Event::SigningKeyPromoted)).await.unwrap());
    }
    let before = [("key2".to_owned(), KeyState::Next), ("key1".to_owned(), KeyState::Current)];
    assert_eq!(states(stores).await, before, "nothing of a refused promotion stays");
    let promoted = race(32, |_| {
        let (keys, one, two) = (Arc::clone(keys), one.clone(), two.clone());
        async move { keys.promote_key(&two, &one, later(6), row(Event::SigningKeyPromoted)).await.unwrap() }
    })
    .await;
    assert_eq!(promoted.iter().filter(|promoted| **promoted).count(), 1);
    let after = [("key2".to_owned(), KeyState::Current), ("key1".to_owned(), KeyState::Previous)];
    assert_eq!(states(stores).await, after);
    let listed = keys.list_keys().await.unwrap();
    assert!(listed.iter().all(|key| key.changed_at == later(6)));
    assert_eq!(rows(stores).await, [2, 1, 0, 0]);
    assert!(
        keys.insert_key(key(3, Algorithm::Rs256, KeyState::Next), row(Event::SigningKeyAdded)).await.unwrap(),
        "its place is free"
    );
}

/// Where an algorithm has no current key, its next key begins, once; and a current key ends without anybody to take over, once.
pub async fn a_key_begins_where_none_signs_and_ends_where_none_shall(stores: &Stores) {
    let keys = &stores.keys;
    keys.insert_key(key(1, Algorithm::Es256, KeyState::Next), row(Event::SigningKeyAdded)).await.unwrap();
    keys.insert_key(key(2, Algorithm::Rs256, KeyState::Current), row(Event::SigningKeyAdded)).await.unwrap();
    keys.insert_key(key(3, Algorithm::Rs256, KeyState::Next), row(Event::SigningKeyAdded)).await.unwrap();
    let step = |begins: bool, id: &str| {
        let (keys, id) = (Arc::clone(keys), KeyId::new(id));
        async move {
            if begins {
                keys.begin_key(&id, later(5), row(Event::SigningKeyPromoted)).await.unwrap()
            } else {
                keys.end_key(&id, later(6), row(Event::SigningKeyEnded)).await.unwrap()
            }
        }
    };
    for refused in ["key2", "key3", "key9"] {
        assert!(!step(true, refused).await, "{refused}");
    }
    for refused in ["key1", "key3", "key9"] {
        assert!(!step(false, refused).await, "{refused}");
    }
    let begun = race(16, |_| step(true, "key1")).await;
    assert_eq!(begun.iter().filter(|begun| **begun).count(), 1);
    let found = |keys: Vec<StoredKey>| keys.into_iter().find(|key| key.id.as_str() == "key1").unwrap();
    let first = found(keys.list_keys().await.unwrap());
    assert_eq!((first.state, first.changed_at), (KeyState::Current, later(5)));
    let ended = race(16, |_| step(false, "key1")).await;
    assert_eq!(ended.iter().filter(|ended| **ended).count(), 1);
    let first = found(keys.list_keys().await.unwrap());
    assert_eq!(
        (first.state, first.changed_at, first.sealed.as_bytes()),
        (KeyState::Previous, later(6), &[1, 2, 3][..])
    );
    assert_eq!(rows(stores).await, [3, 1, 0, 0], "who changes nothing leaves no row");
    let trail = stores.audit.list_rows(0, 1000).await.unwrap();
    assert_eq!(trail.iter().filter(|row| row.event == Event::SigningKeyEnded.as_str()).count(), 1);
    let others = [("key3".to_owned(), KeyState::Next), ("key2".to_owned(), KeyState::Current)];
    assert_eq!(states(stores).await[..2], others);
}

/// A key is retired from the state it was seen in, once, and its private key is gone.
pub async fn a_retired_key_is_forgotten(stores: &Stores) {
    let keys = &stores.keys;
    keys.insert_key(key(1, Algorithm::Es256, KeyState::Current), row(Event::SigningKeyAdded)).await.unwrap();
    keys.insert_key(key(2, Algorithm::Es256, KeyState::Next), row(Event::SigningKeyAdded)).await.unwrap();
    keys.promote_key(&KeyId::new("key2"), &KeyId::new("key1"), later(3), row(Event::SigningKeyPromoted)).await.unwrap();
    let retire = |from| {
        let keys = Arc::clone(keys);
        async move { keys.retire_key(&KeyId::new("key1"), from, later(4), row(Event::SigningKeyRetired)).await.unwrap() }
    };
    assert!(!retire(KeyState::Current).await);
    assert!(!retire(KeyState::Next).await);
    let retired = race(16, |_| retire(KeyState::Previous)).await;
    assert_eq!(retired.iter().filter(|retired| **retired).count(), 1);
    let listed = keys.list_keys().await.unwrap();
    let old = listed.iter().find(|key| key.id.as_str() == "key1").unwrap();
    assert_eq!((old.state, old.changed_at, old.sealed.as_bytes()), (KeyState::Retired, later(4), &[][..]));
    assert_eq!(rows(stores).await, [2, 1, 1, 0]);
}

/// In one step another key signs, the one before it is forgotten, and what everybody has in flight ends.
pub async fn a_key_is_replaced_with_all_that_stood_on_it(stores: &Stores) {
    let (ann, bob) = (add_user(stores, "ann").await, add_user(stores, "bob").await);
    let keys = &stores.keys;
    keys.insert_key(key(1, Algorithm::Es256, KeyState::Current), row(Event::SigningKeyAdded)).await.unwrap();
    keys.insert_key(key(2, Algorithm::Es256, KeyState::Next), row(Event::SigningKeyAdded)).await.unwrap();
    let (one, two) = (KeyId::new("key1"), KeyId::new("key2"));
    let events = [Event::SigningKeyPromoted, Event::SigningKeyRetired, Event::EverythingEnded];
    let replace = |next: &KeyId, current: &KeyId| {
        let (keys, next, current) = (Arc::clone(keys), next.clone(), current.clone());
        async move { keys.replace_key(&next, &current, later(7), events.map(row).to_vec()).await.unwrap() }
    };
    for (next, current) in [(&one, &two), (&two, &KeyId::new("key9")), (&one, &one)] {
        assert_eq!(replace(next, current).await, None);
    }
    assert_eq!(account(stores, &ann).await.user.epoch, 0, "nothing of a refused replacement stays");
    let before = [("key2".to_owned(), KeyState::Next), ("key1".to_owned(), KeyState::Current)];
    assert_eq!(states(stores).await, before);
    let replaced = race(16, |_| replace(&two, &one)).await;
    assert_eq!(replaced.iter().filter(|replaced| **replaced == Some(2)).count(), 1);
    assert_eq!(replaced.iter().filter(|replaced| replaced.is_none()).count(), 15);
    let after = [("key2".to_owned(), KeyState::Current), ("key1".to_owned(), KeyState::Retired)];
    assert_eq!(states(stores).await, after);
    let listed = keys.list_keys().await.unwrap();
    assert_eq!((listed[0].sealed.as_bytes(), listed[1].sealed.as_bytes()), (&[1, 2, 3][..], &[][..]));
    for user in [ann, bob] {
        let user = account(stores, &user).await.user;
        assert_eq!((user.epoch, user.tokens_valid_from), (1, later(7)));
    }
    assert_eq!(rows(stores).await, [2, 1, 1, 1]);
}
