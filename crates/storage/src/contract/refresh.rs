//! Families of refresh tokens.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use countersign_domain::{
    id::{Audience, ClientId, UserId},
    port::{
        PortError,
        login_store::{
            Burn,
            CommitOutcome::{self, AccountChanged, Committed, ProofSpent, RefreshSpent, TransactionSpent},
            LoginCommit,
        },
        refresh_store::{FamilyKind, MAX_FAMILIES, RefreshFamily, RefreshStep, RevocationReach},
    },
};

use super::{
    race,
    records::{NOW, add_user, audit, enroll, family, family_id, later, login, login_with, open, otp, recover, rotate},
};
use crate::open::Stores;

async fn commit(stores: &Stores, login: LoginCommit) -> CommitOutcome {
    stores.logins.commit(login).await.unwrap()
}

async fn find(stores: &Stores, n: usize) -> Option<RefreshFamily> {
    stores.refresh.find_family(&family_id(n)).await.unwrap()
}

async fn revoke(stores: &Stores, user: &UserId, n: usize, reach: RevocationReach) -> bool {
    stores.refresh.revoke_family(&family_id(n), reach, audit(user), Vec::new()).await.unwrap()
}

/// Adds a person with the first family.
async fn with_family(stores: &Stores) -> UserId {
    let user = add_user(stores, "ann").await;
    assert_eq!(commit(stores, open(family(&user, 1))).await, Committed);
    user
}

/// All of it, with and without an end.
pub async fn a_family_reads_back(stores: &Stores) {
    let user = with_family(stores).await;
    assert_eq!(find(stores, 1).await, Some(family(&user, 1)));
    let endless = RefreshFamily { expires_at: None, sweep_at: None, scopes: vec![], ..family(&user, 2) };
    assert_eq!(commit(stores, open(endless.clone())).await, Committed);
    assert_eq!(find(stores, 2).await, Some(endless));
    assert_eq!(find(stores, 3).await, None);
}

/// Then only its successor is.
pub async fn a_token_is_exchanged_once(stores: &Stores) {
    let user = with_family(stores).await;
    let at = |now, generation| LoginCommit { now, ..rotate(&user, 1, generation) };
    assert_eq!(commit(stores, at(later(5), 1)).await, RefreshSpent, "not there yet");
    assert_eq!(commit(stores, at(later(5), 0)).await, Committed);
    assert_eq!(commit(stores, at(later(6), 0)).await, RefreshSpent);
    assert_eq!(commit(stores, at(later(7), 1)).await, Committed);
    let expected = RefreshFamily { generation: 2, rotated_at: later(7), used_at: later(7), ..family(&user, 1) };
    assert_eq!(find(stores, 1).await, Some(expected));
    assert_eq!(commit(stores, rotate(&user, 2, 0)).await, RefreshSpent, "no such family");
    let eve = add_user(stores, "eve").await;
    assert_eq!(commit(stores, rotate(&eve, 1, 2)).await, RefreshSpent, "another's");
}

/// It is used, and stays what it was. A clock that went back takes nothing.
pub async fn an_exchange_without_rotation_keeps_the_generation(stores: &Stores) {
    let user = with_family(stores).await;
    for now in [later(9), later(3)] {
        let refresh = RefreshStep::Exchange { family: family_id(1), generation: 0, rotates: false, adds: vec![] };
        assert_eq!(commit(stores, LoginCommit { refresh, now, ..login(&user, Burn::Nothing) }).await, Committed);
        assert_eq!(find(stores, 1).await, Some(RefreshFamily { used_at: later(9), ..family(&user, 1) }));
    }
}

/// The mark and the account are judged before the token, the proof after it. Whatever loses, nothing is changed.
pub async fn a_refused_exchange_leaves_everything(stores: &Stores) {
    let user = with_family(stores).await;
    enroll(stores, &user, 1).await;
    let with = |n, generation, burn| LoginCommit {
        refresh: rotate(&user, 1, generation).refresh,
        ..login_with(&user, n, burn)
    };
    assert_eq!(commit(stores, LoginCommit { epoch: 9, ..with(7, 8, otp(1, 101)) }).await, AccountChanged);
    assert_eq!(commit(stores, with(7, 8, otp(1, 101))).await, RefreshSpent);
    assert_eq!(commit(stores, with(7, 0, otp(1, 100))).await, ProofSpent);
    assert_eq!(commit(stores, with(7, 0, recover(9, 2))).await, ProofSpent);
    assert_eq!(find(stores, 1).await, Some(family(&user, 1)));
    let unopened = LoginCommit { burn: otp(1, 100), ..open(family(&user, 2)) };
    assert_eq!(commit(stores, unopened).await, ProofSpent);
    assert_eq!(find(stores, 2).await, None);
    assert_eq!(commit(stores, with(7, 0, otp(1, 101))).await, Committed);
    assert_eq!(commit(stores, with(7, 1, otp(1, 102))).await, TransactionSpent);
}

/// Both or neither.
pub async fn an_exchange_may_come_with_a_proof(stores: &Stores) {
    let user = with_family(stores).await;
    enroll(stores, &user, 1).await;
    let both = |step| LoginCommit { burn: otp(1, step), ..rotate(&user, 1, 0) };
    assert_eq!(commit(stores, both(101)).await, Committed);
    assert_eq!(commit(stores, both(102)).await, RefreshSpent);
    assert_eq!(commit(stores, login(&user, otp(1, 102))).await, Committed, "the loser burnt nothing");
}

/// What is there stays, whatever was read before; what a refused exchange proved is not there.
pub async fn an_exchange_adds_what_was_proven_with_it(stores: &Stores) {
    let user = with_family(stores).await;
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let was = family(&user, 1).methods;
    let with = |generation, rotates, adds: &[&str]| {
        let refresh = RefreshStep::Exchange { family: family_id(1), generation, rotates, adds: words(adds) };
        LoginCommit { refresh, ..login(&user, Burn::Nothing) }
    };
    let methods = async || find(stores, 1).await.unwrap().methods;
    assert_eq!(commit(stores, with(1, true, &["hwk"])).await, RefreshSpent);
    let burnt = LoginCommit { burn: otp(9, 100), ..with(0, true, &["hwk"]) };
    assert_eq!(commit(stores, burnt).await, ProofSpent);
    assert_eq!(methods().await, was);
    assert_eq!(commit(stores, with(0, true, &[])).await, Committed);
    assert_eq!(methods().await, was, "an exchange by itself proves nothing");
    // Two that were begun at the same time, and a name that is part of another's.
    assert_eq!(commit(stores, with(1, false, &["swk", "mfax"])).await, Committed);
    assert_eq!(commit(stores, with(1, false, &["sms", "swk", "mfa"])).await, Committed);
    let now = [was, words(&["swk", "mfax", "sms", "mfa"])].concat();
    let now: Vec<_> =
        now.iter().enumerate().filter(|(at, word)| !now[..*at].contains(word)).map(|(_, w)| w.clone()).collect();
    assert_eq!(methods().await, now);
    // One that had none.
    commit(stores, open(RefreshFamily { methods: Vec::new(), ..family(&user, 2) })).await;
    let refresh = RefreshStep::Exchange { family: family_id(2), generation: 0, rotates: true, adds: words(&["otp"]) };
    assert_eq!(commit(stores, LoginCommit { refresh, ..login(&user, Burn::Nothing) }).await, Committed);
    assert_eq!(find(stores, 2).await.unwrap().methods, ["otp"]);
}

/// Once, and nothing else with it.
pub async fn a_revoked_family_is_gone(stores: &Stores) {
    let user = with_family(stores).await;
    commit(stores, open(family(&user, 2))).await;
    assert!(revoke(stores, &user, 1, RevocationReach::Family).await);
    assert!(!revoke(stores, &user, 1, RevocationReach::Family).await);
    assert!(!revoke(stores, &user, 1, RevocationReach::Grant).await);
    assert_eq!((find(stores, 1).await, find(stores, 2).await), (None, Some(family(&user, 2))));
    assert_eq!(commit(stores, rotate(&user, 1, 0)).await, RefreshSpent);
}

/// Of the same person, client and audience, whatever the scopes.
pub async fn a_revocation_may_end_the_whole_grant(stores: &Stores) {
    let user = with_family(stores).await;
    let eve = add_user(stores, "eve").await;
    let others = [
        RefreshFamily { scopes: vec![], ..family(&user, 2) },
        RefreshFamily { client: ClientId::new("another"), ..family(&user, 3) },
        RefreshFamily { audience: Audience::new("another"), ..family(&user, 4) },
        family(&eve, 5),
    ];
    for other in others {
        assert_eq!(commit(stores, open(other)).await, Committed);
    }
    assert!(revoke(stores, &user, 1, RevocationReach::Grant).await);
    let mut left = Vec::new();
    for n in 1..=5 {
        left.push(find(stores, n).await.is_some());
    }
    assert_eq!(left, [false, false, true, true, true]);
}

/// Per person and client. One that has expired goes before one that has not.
pub async fn there_are_two_hundred_and_the_oldest_goes(stores: &Stores) {
    let user = add_user(stores, "ann").await;
    let eve = add_user(stores, "eve").await;
    let opened = |n: usize| RefreshFamily {
        created_at: NOW.plus(Duration::from_millis(n as u64)),
        expires_at: (n != 5).then(|| later(86_400)),
        ..family(&user, n)
    };
    let expired = RefreshFamily { expires_at: Some(NOW), ..opened(7) };
    commit(stores, open(family(&eve, 1000))).await;
    commit(stores, open(RefreshFamily { client: ClientId::new("another"), ..family(&user, 1001) })).await;
    for n in 0..MAX_FAMILIES {
        commit(stores, open(if n == 7 { expired.clone() } else { opened(n) })).await;
    }
    let there = async |n| find(stores, n).await.is_some();
    assert!(there(0).await && there(7).await && there(MAX_FAMILIES - 1).await);
    commit(stores, open(opened(MAX_FAMILIES))).await;
    assert!(there(0).await && !there(7).await, "the expired one went");
    commit(stores, open(opened(MAX_FAMILIES + 1))).await;
    assert!(!there(0).await && there(1).await && there(5).await, "the oldest went");
    assert!(there(MAX_FAMILIES + 1).await && there(1000).await && there(1001).await);
}

/// At its moment, and those without one never.
pub async fn a_family_is_swept_when_it_may_be(stores: &Stores) {
    let user = with_family(stores).await;
    commit(stores, open(RefreshFamily { expires_at: None, sweep_at: None, ..family(&user, 2) })).await;
    assert_eq!(stores.logins.purge(later(89_999)).await.unwrap(), 0);
    assert_eq!(stores.logins.purge(later(90_000)).await.unwrap(), 1);
    assert_eq!(stores.logins.purge(later(9_000_000)).await.unwrap(), 0);
    assert!(find(stores, 1).await.is_none() && find(stores, 2).await.is_some());
}

/// 64 exchange the same token.
pub async fn one_generation_has_one_winner(stores: &Stores) {
    let user = with_family(stores).await;
    let outcomes = race(64, |_| {
        let (logins, login) = (Arc::clone(&stores.logins), rotate(&user, 1, 0));
        async move { logins.commit(login).await.unwrap() }
    })
    .await;
    assert_eq!(outcomes.iter().filter(|outcome| **outcome == Committed).count(), 1, "{outcomes:?}");
    assert!(outcomes.iter().all(|outcome| matches!(outcome, Committed | RefreshSpent)));
}

/// Whoever wins has a generation that nobody else won, and none is left out.
pub async fn ten_thousand_rotations_do_not_fork(stores: &Stores) {
    let user = with_family(stores).await;
    let won = race(10_000, |_| {
        let (stores, user) = (stores.clone(), user.clone());
        async move {
            let family = stores.refresh.find_family(&family_id(1)).await.unwrap().unwrap();
            match stores.logins.commit(rotate(&user, 1, family.generation)).await {
                Ok(Committed) => Some(family.generation),
                // A store may turn away what it has no room for; then nothing has happened.
                other => {
                    assert!(matches!(other, Ok(RefreshSpent) | Err(PortError::Overloaded)), "{other:?}");
                    None
                }
            }
        }
    })
    .await;
    let won: Vec<u32> = won.into_iter().flatten().collect();
    let generation = find(stores, 1).await.unwrap().generation;
    assert!(generation > 0);
    assert_eq!(won.len(), won.iter().collect::<BTreeSet<_>>().len(), "a generation was won twice");
    assert_eq!(won.into_iter().collect::<BTreeSet<_>>(), (0..generation).collect());
}

/// After it nothing is exchanged.
pub async fn a_revocation_and_exchanges_do_not_cross(stores: &Stores) {
    let user = with_family(stores).await;
    let exchanged = race(64, |n| {
        let (stores, user) = (stores.clone(), user.clone());
        async move {
            if n == 32 {
                assert!(revoke(&stores, &user, 1, RevocationReach::Family).await);
                return None;
            }
            Some(commit(&stores, rotate(&user, 1, 0)).await)
        }
    })
    .await;
    assert!(exchanged.iter().filter(|outcome| **outcome == Some(Committed)).count() <= 1);
    assert_eq!(find(stores, 1).await, None);
    assert_eq!(commit(stores, rotate(&user, 1, 0)).await, RefreshSpent);
    assert_eq!(commit(stores, rotate(&user, 1, 1)).await, RefreshSpent);
}

/// A remembered device is a family of its own kind: listed by itself, and decided together with the rest of its login.
pub async fn a_device_is_spent_with_its_login_or_not_at_all(stores: &Stores) {
    let user = with_family(stores).await;
    let device = RefreshFamily { kind: FamilyKind::Device, ..family(&user, 2) };
    let login_on = |step: RefreshStep, n| LoginCommit { device: step, ..open(family(&user, n)) };
    assert_eq!(commit(stores, login_on(RefreshStep::Open(Box::new(device.clone())), 3)).await, Committed);
    assert_eq!(find(stores, 2).await, Some(device.clone()));
    let listed = stores.refresh.list_families(&user, FamilyKind::Device).await.unwrap();
    assert_eq!(listed, [device]);
    assert_eq!(stores.refresh.list_families(&user, FamilyKind::Refresh).await.unwrap().len(), 2);
    assert!(stores.refresh.list_families(&UserId::new("auth0|nobody"), FamilyKind::Device).await.unwrap().is_empty());

    let spend = || RefreshStep::Exchange { family: family_id(2), generation: 0, rotates: true, adds: vec![] };
    assert_eq!(commit(stores, login_on(spend(), 4)).await, Committed);
    assert_eq!(commit(stores, login_on(spend(), 5)).await, RefreshSpent);
    assert_eq!(find(stores, 5).await, None, "nothing of the refused login is there");
    assert_eq!(find(stores, 2).await.map(|device| device.generation), Some(1));
}

/// Many that come with one token: one is let through.
pub async fn one_device_token_has_one_winner(stores: &Stores) {
    let user = with_family(stores).await;
    let device = RefreshFamily { kind: FamilyKind::Device, ..family(&user, 2) };
    let step = RefreshStep::Open(Box::new(device));
    assert_eq!(commit(stores, LoginCommit { device: step, ..login(&user, Burn::Nothing) }).await, Committed);
    let outcomes = race(64, |_| {
        let (stores, user) = (stores.clone(), user.clone());
        let step = RefreshStep::Exchange { family: family_id(2), generation: 0, rotates: true, adds: vec![] };
        async move { stores.logins.commit(LoginCommit { device: step, ..login(&user, Burn::Nothing) }).await.unwrap() }
    })
    .await;
    assert_eq!(outcomes.iter().filter(|outcome| **outcome == Committed).count(), 1);
    assert!(outcomes.iter().all(|outcome| matches!(outcome, Committed | RefreshSpent)));
}
