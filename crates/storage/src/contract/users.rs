//! Accounts and their names.

use std::{sync::Arc, time::Duration};

use countersign_domain::{
    authenticator::FactorKind,
    id::{PairId, RealmName, UserId},
    login_name::LoginName,
    port::{
        login_store::{Failure, FailureTarget},
        user_store::{
            AddressesChanged,
            UserInserted::{Inserted, NameTaken},
        },
    },
    secret::Secret,
    user::{AddressChange, PasswordHash},
};

use super::race;
use super::records::{NOW, account, add_user, audit, digest, enroll, enrollment, later, new_user};
use crate::open::Stores;

fn name(text: &str) -> LoginName {
    LoginName::parse(text).unwrap()
}

/// A username cannot be another person's address, nor the other way round.
pub async fn names_are_unique_across_kinds(stores: &Stores) {
    let insert = |username, email| stores.users.insert(vec![new_user(username, email)]);
    assert_eq!(insert("ann", Some("ann@example.com")).await.unwrap(), [Inserted]);
    assert_eq!(insert("ann@example.com", None).await.unwrap(), [NameTaken]);
    assert_eq!(insert("eve", Some("ANN@example.com")).await.unwrap(), [NameTaken]);
    assert_eq!(insert("eve", Some("ann")).await.unwrap(), [NameTaken]);
    let main = RealmName::new("main");
    for spelling in ["ann", "Ann", "ann@example.com"] {
        let found = stores.users.find_by_login(&main, &name(spelling)).await.unwrap().unwrap();
        assert_eq!(found.user.id, UserId::new("auth0|ann"));
    }
    assert!(stores.users.find_by_login(&main, &name("eve")).await.unwrap().is_none());
}

/// Names that differ in a byte are different, and a name is free in another realm.
pub async fn names_compare_by_byte_within_a_realm(stores: &Stores) {
    let mut elsewhere = new_user("ann2", None);
    elsewhere.user.realm = RealmName::new("other");
    elsewhere.names = vec![name("ann")];
    let users = vec![new_user("ann", None), new_user("\u{e4}nn", None), elsewhere];
    assert_eq!(stores.users.insert(users).await.unwrap(), [Inserted, Inserted, Inserted]);
    let found = stores.users.find_by_login(&RealmName::new("other"), &name("ann")).await.unwrap().unwrap();
    assert_eq!(found.user.id, UserId::new("auth0|ann2"));
    for realm in ["Main", "main "] {
        assert!(stores.users.find_by_login(&RealmName::new(realm), &name("ann")).await.unwrap().is_none());
    }
    assert!(stores.users.find(&UserId::new("auth0|ANN")).await.unwrap().is_none());
}

/// One taken name in a call leaves the rest of the call in, also if it was taken by the same call.
pub async fn a_taken_name_leaves_the_others_in(stores: &Stores) {
    let mut twin = new_user("twin", None);
    twin.names = vec![name("a")];
    let answers = stores.users.insert(vec![new_user("a", None), twin, new_user("b", None)]).await.unwrap();
    assert_eq!(answers, [Inserted, NameTaken, Inserted]);
    assert!(stores.users.find(&UserId::new("auth0|twin")).await.unwrap().is_none());
}

/// Every field of an account survives.
pub async fn what_was_stored_is_what_is_read(stores: &Stores) {
    let new = new_user("Ann", Some("Ann@Example.com"));
    stores.users.insert(vec![new.clone()]).await.unwrap();
    enroll(stores, &new.user.id, 1).await;
    stores.users.ping().await.unwrap();
    let read = account(stores, &new.user.id).await;
    assert_eq!((&read.user.realm, &read.user.username), (&new.user.realm, &new.user.username));
    assert_eq!((&read.user.email, &read.user.profile), (&new.user.email, &new.user.profile));
    assert_eq!(read.user.notification_addresses, ["Ann@home.example", "Ann@work.example"]);
    assert_eq!(read.user.password.as_str(), new.user.password.as_str());
    assert_eq!((read.user.blocked, read.user.epoch, read.user.created_at), (false, 0, NOW));
    let mine = &read.authenticators[0];
    assert_eq!(mine.state.as_bytes(), [0, 1, 2, 255]);
    assert_eq!((mine.last_step, mine.confirmed_at, mine.last_used_at), (Some(100), Some(NOW), Some(NOW)));
    assert!(read.usable_recovery_code().is_some());
    assert_eq!((&mine.pair, mine.address, mine.kind), (&None, None, FactorKind::Otp));
}

/// Every field of authenticators that codes are sent to survives; what follows from an address is nobody's to store.
pub async fn authenticators_of_every_kind_read_back(stores: &Stores) {
    let user = add_user(stores, "ann").await;
    for (n, kind) in FactorKind::ALL.into_iter().enumerate() {
        let mut new = enrollment(&user, n);
        new.authenticator.kind = kind;
        new.authenticator.pair = Some(PairId::new(format!("dev_{n}")));
        new.authenticator.address = Some(digest(900 + n));
        new.authenticator.implied = Some(Secret::new("ann@example.com".to_owned()));
        stores.authenticators.begin_enrollment(new, NOW).await.unwrap();
    }
    let mut read = account(stores, &user).await.authenticators;
    read.sort_by(|a, b| a.id.cmp(&b.id));
    let kinds: Vec<_> = read.iter().map(|a| a.kind).collect();
    assert_eq!(kinds, FactorKind::ALL);
    for (n, a) in read.iter().enumerate() {
        assert_eq!((a.pair.as_ref().unwrap().as_str(), a.address), (&*format!("dev_{n}"), Some(digest(900 + n))));
        assert!(a.implied.is_none());
    }
}

/// Pages cover everybody once, in the order of realm and username by byte.
pub async fn a_list_continues_where_it_ended(stores: &Stores) {
    for username in ["b", "a", "c", "\u{e4}", "Z"] {
        add_user(stores, username).await;
    }
    let mut seen = Vec::new();
    let mut after = None;
    loop {
        let page = stores.users.list(after.take(), 2).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some((last.user.realm.clone(), last.user.username.clone()));
        seen.extend(page.into_iter().map(|account| account.user.username));
    }
    assert_eq!(seen, ["Z", "a", "b", "c", "\u{e4}"]);
}

/// A new password and a block raise the epoch and void tokens, never back in time.
pub async fn an_operators_change_ends_what_is_in_flight(stores: &Stores) {
    let user = add_user(stores, "ann").await;
    let password = PasswordHash::new("new".into());
    assert!(stores.users.set_password(&user, password, later(10), audit(&user)).await.unwrap());
    let read = account(stores, &user).await.user;
    assert_eq!((read.password.as_str(), read.epoch), ("new", 1));
    assert_eq!((read.tokens_valid_from, read.updated_at), (later(10), later(10)));

    assert!(stores.users.set_blocked(&user, true, NOW.minus(Duration::from_secs(5)), audit(&user)).await.unwrap());
    let read = account(stores, &user).await.user;
    assert_eq!((read.blocked, read.epoch, read.tokens_valid_from), (true, 2, later(10)));
    assert!(stores.users.set_blocked(&user, false, later(20), audit(&user)).await.unwrap());
    let read = account(stores, &user).await.user;
    assert_eq!((read.blocked, read.epoch, read.tokens_valid_from), (false, 3, later(20)));
}

/// A reset takes pending and active authenticators and the recovery code.
pub async fn a_reset_removes_all_factors(stores: &Stores) {
    let user = add_user(stores, "ann").await;
    enroll(stores, &user, 1).await;
    stores.authenticators.begin_enrollment(enrollment(&user, 2), NOW).await.unwrap();
    let wrong = Failure::new(FailureTarget::Address, 100, audit(&user));
    stores.logins.count_failure(&user, wrong).await.unwrap();
    assert_eq!(stores.users.reset_factors(&user, later(10), Vec::new(), audit(&user)).await.unwrap(), Some(2));
    let read = account(stores, &user).await;
    assert!(read.authenticators.is_empty() && read.recovery_code.is_none());
    assert_eq!((read.user.epoch, read.user.tokens_valid_from, read.user.address_failures), (1, later(10), 0));
    assert_eq!(stores.users.reset_factors(&user, later(11), Vec::new(), audit(&user)).await.unwrap(), Some(0));
}

/// All of it or nothing, and what is in flight goes on.
pub async fn addresses_change_in_one_step(stores: &Stores) {
    let user = add_user(stores, "ann").await;
    let change = async |add: &[&str], remove: &[&str]| {
        let owned = |list: &[&str]| list.iter().map(|address| (*address).to_owned()).collect();
        let change = AddressChange { add: owned(add), remove: owned(remove) };
        stores.users.change_addresses(&user, change, audit(&user)).await.unwrap()
    };
    let changed = change(&["new@example.com"], &["ann@home.example"]).await;
    let expected = vec!["ann@work.example".to_owned(), "new@example.com".to_owned()];
    assert_eq!(changed, AddressesChanged::Changed(expected.clone()));
    assert_eq!(change(&["1@x", "2@x", "3@x", "4@x"], &[]).await, AddressesChanged::TooMany);
    let read = account(stores, &user).await.user;
    assert_eq!((read.notification_addresses, read.epoch), (expected, 0));
    assert_eq!(change(&[], &["ann@work.example", "new@example.com"]).await, AddressesChanged::Changed(Vec::new()));
    assert!(account(stores, &user).await.user.notification_addresses.is_empty());
}

/// Three at once, each with an address of its own: all are there.
pub async fn every_change_of_addresses_counts(stores: &Stores) {
    let user = add_user(stores, "ann").await;
    race(3, |n| {
        let (users, user) = (Arc::clone(&stores.users), user.clone());
        async move {
            let change = AddressChange { add: vec![format!("{n}@example.com")], remove: Vec::new() };
            users.change_addresses(&user, change, audit(&user)).await.unwrap()
        }
    })
    .await;
    assert_eq!(account(stores, &user).await.user.notification_addresses.len(), 5);
}

/// Changes to nobody say so.
pub async fn nobody_is_changed_who_does_not_exist(stores: &Stores) {
    let nobody = UserId::new("auth0|nobody");
    let password = PasswordHash::new("new".into());
    assert!(!stores.users.set_password(&nobody, password, NOW, audit(&nobody)).await.unwrap());
    assert!(!stores.users.set_blocked(&nobody, true, NOW, audit(&nobody)).await.unwrap());
    assert_eq!(stores.users.reset_factors(&nobody, NOW, Vec::new(), audit(&nobody)).await.unwrap(), None);
    let changed = stores.users.change_addresses(&nobody, AddressChange::default(), audit(&nobody)).await.unwrap();
    assert_eq!(changed, AddressesChanged::NoUser);
    assert!(stores.users.find(&nobody).await.unwrap().is_none());
}
