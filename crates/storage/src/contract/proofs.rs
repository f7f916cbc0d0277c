//! The second factors that are remembered, for who is asked by context.

use std::sync::Arc;

use countersign_domain::{
    id::UserId,
    policy::Strength,
    port::login_store::{Burn, CommitOutcome, LastProven, LoginCommit, MAX_PROOFS, NewProof, ProofQuery},
    secret::Digest,
    user::PasswordHash,
};

use super::race;
use super::records::{account, add_user, audit, digest, enroll, later, login, otp};
use crate::open::Stores;

fn proving(user: &UserId, network: Option<usize>, strength: Strength, at: u64) -> LoginCommit {
    let proof = Some(NewProof { network: network.map(digest), strength });
    LoginCommit { proof, now: later(at), ..login(user, Burn::Nothing) }
}

async fn prove(stores: &Stores, login: LoginCommit) {
    assert_eq!(stores.logins.commit(login).await.unwrap(), CommitOutcome::Committed);
}

async fn last(stores: &Stores, user: &UserId, network: Option<usize>, strength: Strength) -> LastProven {
    let epoch = account(stores, user).await.user.epoch;
    stores.logins.last_proven(user, ProofQuery { epoch, network: network.map(digest), strength }).await.unwrap()
}

/// It is known where and when a second factor was completed, by whom, and with what strength.
pub async fn a_second_factor_is_remembered_with_its_login(stores: &Stores) {
    let (ann, ben) = (add_user(stores, "ann").await, add_user(stores, "ben").await);
    assert_eq!(last(stores, &ann, Some(1), Strength::Any).await, LastProven::default());
    prove(stores, proving(&ann, Some(1), Strength::Unrestricted, 10)).await;
    prove(stores, proving(&ann, Some(2), Strength::TwoFactors, 20)).await;
    prove(stores, proving(&ann, None, Strength::Any, 30)).await;
    for (network, strength, here, anywhere) in [
        (Some(1), Strength::Any, Some(10), Some(30)),
        (Some(1), Strength::Unrestricted, Some(10), Some(10)),
        (Some(2), Strength::TwoFactors, Some(20), Some(20)),
        (Some(2), Strength::Unrestricted, None, Some(10)),
        (Some(3), Strength::Any, None, Some(30)),
        // Somewhere unknown is never where one was before.
        (None, Strength::Any, None, Some(30)),
    ] {
        let expected = LastProven { network: here.map(later), anywhere: anywhere.map(later) };
        assert_eq!(last(stores, &ann, network, strength).await, expected, "{network:?} {strength:?}");
    }
    assert_eq!(last(stores, &ben, Some(1), Strength::Any).await, LastProven::default());
}

/// A login that is refused is remembered for nothing, and an earlier time takes the place of no later one.
pub async fn what_was_not_committed_is_not_remembered(stores: &Stores) {
    let user = add_user(stores, "ann").await;
    enroll(stores, &user, 1).await;
    let spent = LoginCommit { burn: otp(1, 100), ..proving(&user, Some(1), Strength::Any, 5) };
    assert_eq!(stores.logins.commit(spent).await.unwrap(), CommitOutcome::ProofSpent);
    assert_eq!(last(stores, &user, Some(1), Strength::Any).await, LastProven::default());
    prove(stores, proving(&user, Some(1), Strength::Any, 9)).await;
    prove(stores, proving(&user, Some(1), Strength::Any, 7)).await;
    assert_eq!(last(stores, &user, Some(1), Strength::Any).await.network, Some(later(9)));
}

/// The networks that were seen longest ago make room.
pub async fn the_oldest_network_goes(stores: &Stores) {
    let user = add_user(stores, "ann").await;
    let most = usize::try_from(MAX_PROOFS).unwrap();
    for n in 0..most {
        prove(stores, proving(&user, Some(n), Strength::Any, u64::try_from(n).unwrap())).await;
    }
    prove(stores, proving(&user, Some(0), Strength::Any, 100)).await;
    prove(stores, proving(&user, Some(99), Strength::Any, 101)).await;
    for (network, known) in [(0, true), (1, false), (2, true), (99, true)] {
        let found = last(stores, &user, Some(network), Strength::Any).await;
        assert_eq!(found.network.is_some(), known, "{network}");
    }
}

/// Whatever ends what is in flight makes every network new; so does asking with the epoch of before.
pub async fn what_ends_everything_forgets_networks(stores: &Stores) {
    let user = add_user(stores, "ann").await;
    let at = |epoch, second| LoginCommit { epoch, ..proving(&user, Some(1), Strength::Any, second) };
    prove(stores, at(0, 1)).await;
    stores.users.set_password(&user, PasswordHash::new("new".into()), later(2), audit(&user)).await.unwrap();
    assert_eq!(last(stores, &user, Some(1), Strength::Any).await, LastProven::default());
    prove(stores, at(1, 3)).await;
    let query = ProofQuery { epoch: 0, network: Some(digest(1)), strength: Strength::Any };
    assert_eq!(stores.logins.last_proven(&user, query).await.unwrap(), LastProven::default());
    assert_eq!(last(stores, &user, Some(1), Strength::Any).await.network, Some(later(3)));
    stores.users.reset_factors(&user, later(4), Vec::new(), audit(&user)).await.unwrap();
    assert_eq!(last(stores, &user, Some(1), Strength::Any).await, LastProven::default());
    prove(stores, at(2, 5)).await;
    stores.users.set_blocked(&user, true, later(6), audit(&user)).await.unwrap();
    stores.users.set_blocked(&user, false, later(7), audit(&user)).await.unwrap();
    assert_eq!(last(stores, &user, Some(1), Strength::Any).await, LastProven::default());
}

/// Thirty-two at once from different networks: the bound holds, and the latest of all is known.
pub async fn many_networks_at_once_keep_the_bound(stores: &Stores) {
    let user = add_user(stores, "ann").await;
    race(32, |n| {
        let (logins, login) = (Arc::clone(&stores.logins), proving(&user, Some(n), Strength::Any, 1 + n as u64));
        async move { assert_eq!(logins.commit(login).await.unwrap(), CommitOutcome::Committed) }
    })
    .await;
    let mut known = 0;
    for n in 0..32 {
        let query = ProofQuery { epoch: 0, network: Some::<Digest>(digest(n)), strength: Strength::Any };
        known += u32::from(stores.logins.last_proven(&user, query).await.unwrap().network.is_some());
    }
    assert_eq!(known, MAX_PROOFS);
    assert_eq!(last(stores, &user, None, Strength::Any).await.anywhere, Some(later(32)));
}
