//! What devices say of themselves.

use std::sync::Arc;

use countersign_domain::{
    authenticator::{Authenticator, FactorKind},
    id::UserId,
    port::{authenticator_store::DeviceRecord, login_store::CommitOutcome},
    secret::Sealed,
    time::Timestamp,
};

use super::{
    race,
    records::{
        NOW, account, add_user, audit, authenticator_id, confirm_oob, device_enrollment, digest, enroll, later, login,
    },
};
use crate::open::Stores;

/// A device with the `key`th key that registers for the `n`th authenticator.
fn device(user: &UserId, n: usize, key: usize) -> DeviceRecord {
    DeviceRecord {
        user: user.clone(),
        authenticator: authenticator_id(n),
        state: Sealed::new(vec![u8::try_from(key).unwrap(); 8]),
        before: device_enrollment(user, n).authenticator.state,
        key: digest(key),
        name: Some(format!("Phone {key}")),
        registers: true,
        audit: audit(user),
    }
}

async fn keep(stores: &Stores, device: DeviceRecord, now: Timestamp) -> bool {
    stores.authenticators.keep_device(device, now).await.unwrap()
}

async fn push(stores: &Stores, user: &UserId) -> Authenticator {
    account(stores, user).await.authenticators.into_iter().find(|a| a.kind == FactorKind::Push).unwrap()
}

/// It registers once; nobody can afterwards, and it is not confirmed by that.
pub async fn a_device_registers_once(stores: &Stores) {
    let user = add_user(stores, "ann").await;
    stores.authenticators.begin_enrollment(device_enrollment(&user, 1), NOW).await.unwrap();
    let before = Sealed::new(vec![9]);
    assert!(!keep(stores, DeviceRecord { before, ..device(&user, 1, 7) }, NOW).await, "it was sealed anew since");
    assert!(keep(stores, device(&user, 1, 7), NOW).await);
    for key in [7, 8] {
        assert!(!keep(stores, device(&user, 1, key), NOW).await, "whatever its key, and whatever it has read");
        let before = push(stores, &user).await.state;
        assert!(!keep(stores, DeviceRecord { before, ..device(&user, 1, key) }, NOW).await);
    }
    let read = push(stores, &user).await;
    assert_eq!((read.state, read.address), (Sealed::new(vec![7; 8]), Some(digest(7))));
    assert_eq!(read.name.as_deref(), Some("Phone 7"));
    assert!(read.status != countersign_domain::authenticator::Status::Active);
}

/// Only what is a pending push authenticator of this person, and has not expired.
pub async fn a_device_registers_for_nothing_else(stores: &Stores) {
    let (ann, bob) = (add_user(stores, "ann").await, add_user(stores, "bob").await);
    stores.authenticators.begin_enrollment(device_enrollment(&ann, 1), NOW).await.unwrap();
    assert!(!keep(stores, device(&ann, 2, 7), NOW).await, "its app");
    assert!(!keep(stores, device(&bob, 1, 7), NOW).await, "somebody else's");
    assert!(!keep(stores, device(&ann, 3, 7), NOW).await, "nothing");
    assert!(!keep(stores, device(&ann, 1, 7), later(600)).await, "too late");
    enroll(stores, &bob, 1).await;
    assert!(!keep(stores, device(&bob, 1, 7), NOW).await, "no device");
    let mut change = device(&ann, 1, 7);
    change.registers = false;
    assert!(!keep(stores, change, NOW).await, "it has not registered");
    assert_eq!(push(stores, &ann).await.address, None);
}

/// A device that is active changes, by its own key, and keeps its name if it gives none.
pub async fn an_active_device_changes(stores: &Stores) {
    let user = add_user(stores, "ann").await;
    stores.authenticators.begin_enrollment(device_enrollment(&user, 1), NOW).await.unwrap();
    assert!(keep(stores, device(&user, 1, 7), NOW).await);
    let confirmed = stores.logins.commit(login(&user, confirm_oob(1, 500))).await.unwrap();
    assert_eq!(confirmed, CommitOutcome::Committed);
    let change = |key, (before, state): (&[u8], u8), name: Option<&str>| DeviceRecord {
        state: Sealed::new(vec![state]),
        before: Sealed::new(before.to_vec()),
        name: name.map(str::to_owned),
        registers: false,
        ..device(&user, 1, key)
    };
    assert!(keep(stores, change(7, (&[7; 8], 1), None), NOW).await);
    assert_eq!(push(stores, &user).await.name.as_deref(), Some("Phone 7"));
    assert!(!keep(stores, change(7, (&[7; 8], 2), Some("Tablet")), NOW).await, "it has changed since it was read");
    assert!(keep(stores, change(7, (&[1], 2), Some("Tablet")), NOW).await);
    assert!(!keep(stores, change(8, (&[2], 3), None), NOW).await, "another key");
    assert!(!keep(stores, device(&user, 1, 7), NOW).await, "it is registered");
    let read = push(stores, &user).await;
    assert_eq!((read.state, read.name.as_deref()), (Sealed::new(vec![2]), Some("Tablet")));
    assert!(account(stores, &user).await.authenticators.iter().all(Authenticator::is_active), "its app too");
}

/// 64 devices scan one code.
pub async fn one_of_many_devices_registers(stores: &Stores) {
    let user = add_user(stores, "ann").await;
    stores.authenticators.begin_enrollment(device_enrollment(&user, 1), NOW).await.unwrap();
    let kept = race(64, |n| {
        let (store, device) = (Arc::clone(&stores.authenticators), device(&user, 1, n));
        async move { store.keep_device(device, NOW).await.unwrap() }
    })
    .await;
    assert_eq!(kept.iter().filter(|kept| **kept).count(), 1);
    let winner = kept.iter().position(|kept| *kept).unwrap();
    assert_eq!(push(stores, &user).await.address, Some(digest(winner)));
}
