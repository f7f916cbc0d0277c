//! What may happen once happens once, however many ask at the same moment.

use std::sync::Arc;

use countersign_domain::{
    authenticator::Status,
    port::{
        authenticator_store::{AuthenticatorChange, EnrollmentBegun},
        login_store::{
            Burn,
            CommitOutcome::{self, AccountChanged, Committed, ProofSpent, TransactionSpent},
            LoginCommit, UsedAssertion,
        },
        user_store::UserInserted,
    },
    secret::Digest,
};

use super::{
    race,
    records::{
        NOW, account, add_user, audit, authenticator_id, confirm, confirm_oob, enroll, enrollment, failure, later,
        login, login_with, new_user, of_login, oob, otp, pair_enrollment, recover,
    },
};
use crate::open::Stores;

const CONTESTANTS: usize = 64;

/// How often each outcome came: committed, and `loss`. Any other fails.
async fn commits(stores: &Stores, loss: CommitOutcome, make: impl Fn(usize) -> LoginCommit) -> usize {
    let outcomes = race(CONTESTANTS, |n| {
        let (logins, login) = (Arc::clone(&stores.logins), make(n));
        async move { logins.commit(login).await.unwrap() }
    })
    .await;
    assert!(outcomes.iter().all(|outcome| *outcome == Committed || *outcome == loss), "{outcomes:?}");
    outcomes.iter().filter(|outcome| **outcome == Committed).count()
}

/// One code in 64 different transactions.
pub async fn one_step_has_one_winner(stores: &Stores) {
    let user = add_user(stores, "ann").await;
    enroll(stores, &user, 1).await;
    assert_eq!(commits(stores, ProofSpent, |n| login_with(&user, 1000 + n, otp(1, 101))).await, 1);
}

/// One transaction with 64 different codes.
pub async fn one_transaction_has_one_winner(stores: &Stores) {
    let user = add_user(stores, "ann").await;
    for n in 0..8 {
        enroll(stores, &user, n).await;
    }
    let make = |n: usize| login_with(&user, 1000, otp(n % 8, 101 + n as u64));
    assert_eq!(commits(stores, TransactionSpent, make).await, 1);
    let burnt = account(stores, &user).await.authenticators.iter().filter(|a| a.last_step > Some(100)).count();
    assert_eq!(burnt, 1, "the losers burn nothing");
}

/// One recovery code in 64 transactions: one successor.
pub async fn one_recovery_code_has_one_winner(stores: &Stores) {
    let user = add_user(stores, "ann").await;
    enroll(stores, &user, 1).await;
    assert_eq!(commits(stores, ProofSpent, |n| login_with(&user, 1000 + n, recover(1, 100 + n))).await, 1);
    assert!(account(stores, &user).await.usable_recovery_code().is_some());
}

/// One pending authenticator.
pub async fn one_enrolment_is_confirmed_once(stores: &Stores) {
    let user = add_user(stores, "ann").await;
    stores.authenticators.begin_enrollment(enrollment(&user, 1), NOW).await.unwrap();
    assert_eq!(commits(stores, ProofSpent, |n| login_with(&user, 1000 + n, confirm(1, false))).await, 1);
}

/// 64 pending authenticators, each confirmed by somebody who proved the first factor only.
pub async fn one_of_many_first_confirmations_wins(stores: &Stores) {
    let user = add_user(stores, "ann").await;
    for n in 0..CONTESTANTS {
        let mut enrollment = enrollment(&user, n);
        enrollment.limit = CONTESTANTS;
        stores.authenticators.begin_enrollment(enrollment, NOW).await.unwrap();
    }
    assert_eq!(commits(stores, ProofSpent, |n| login_with(&user, 1000 + n, confirm(n, true))).await, 1);
    assert_eq!(account(stores, &user).await.active().len(), 1);
}

async fn begin(stores: &Stores, user: &countersign_domain::id::UserId, limit: usize) -> Vec<EnrollmentBegun> {
    race(CONTESTANTS, |n| {
        let (store, mut enrollment) = (Arc::clone(&stores.authenticators), enrollment(user, n));
        enrollment.limit = limit;
        async move { store.begin_enrollment(enrollment, NOW).await.unwrap() }
    })
    .await
}

/// One challenge in 64 transactions.
pub async fn one_challenge_has_one_winner(stores: &Stores) {
    let user = add_user(stores, "ann").await;
    enroll(stores, &user, 1).await;
    assert_eq!(commits(stores, ProofSpent, |n| login_with(&user, 1000 + n, oob(1, 500))).await, 1);
}

/// One login whose challenge goes with it, by 64 of its answers.
pub async fn one_login_with_its_challenge_has_one_winner(stores: &Stores) {
    let user = add_user(stores, "ann").await;
    enroll(stores, &user, 1).await;
    assert_eq!(commits(stores, TransactionSpent, |_| login_with(&user, 1000, of_login(1))).await, 1);
}

/// The same, of the verified address.
pub async fn one_code_to_the_address_has_one_winner(stores: &Stores) {
    let new = new_user("ann", Some("ann@example.com"));
    let user = new.user.id.clone();
    stores.users.insert(vec![new]).await.unwrap();
    assert_eq!(commits(stores, TransactionSpent, |_| login_with(&user, 1000, Burn::UseAddress)).await, 1);
}

/// A pending pair is confirmed by each of the two with the same challenge.
pub async fn one_pair_is_confirmed_once(stores: &Stores) {
    let user = add_user(stores, "ann").await;
    stores.authenticators.begin_enrollment(pair_enrollment(&user, 1), NOW).await.unwrap();
    assert_eq!(commits(stores, ProofSpent, |n| login_with(&user, 1000 + n, confirm_oob(1 + n % 2, 500))).await, 1);
    assert_eq!(account(stores, &user).await.active().len(), 2);
}

/// Many enrolments begin; one of them shows a recovery code.
pub async fn one_recovery_code_is_stored_by_many_enrolments(stores: &Stores) {
    let user = add_user(stores, "ann").await;
    let begun = begin(stores, &user, CONTESTANTS).await;
    let count = |with_recovery_code| {
        begun.iter().filter(|begun| **begun == EnrollmentBegun::Begun { with_recovery_code }).count()
    };
    assert_eq!((count(true), count(false)), (1, CONTESTANTS - 1));
}

/// No more authenticators than allowed.
pub async fn the_limit_holds(stores: &Stores) {
    let user = add_user(stores, "ann").await;
    let refused = begin(stores, &user, 5).await.iter().filter(|b| **b == EnrollmentBegun::LimitReached).count();
    assert_eq!(refused, CONTESTANTS - 5);
    assert_eq!(account(stores, &user).await.authenticators.len(), 5);
}

/// One name, wanted as username and as address.
pub async fn one_name_has_one_winner(stores: &Stores) {
    let answers = race(CONTESTANTS, |n| {
        let own = format!("user{n}");
        let mut new = new_user(&own, Some("wanted@example.com"));
        if n % 2 == 0 {
            new.names.reverse();
        }
        let users = Arc::clone(&stores.users);
        async move { users.insert(vec![new]).await.unwrap() }
    })
    .await;
    assert_eq!(answers.iter().flatten().filter(|answer| **answer == UserInserted::Inserted).count(), 1);
    assert_eq!(stores.users.list(None, 100).await.unwrap().len(), 1);
}

/// No failure is lost, and the ceiling is met exactly.
pub async fn every_failure_counts(stores: &Stores) {
    let user = add_user(stores, "ann").await;
    enroll(stores, &user, 1).await;
    race(CONTESTANTS, |_| {
        let (logins, user) = (Arc::clone(&stores.logins), user.clone());
        async move {
            logins.count_failure(&user, failure(&user, &[1], 64)).await.unwrap();
        }
    })
    .await;
    let mine = &account(stores, &user).await.authenticators[0];
    assert_eq!((mine.failures, mine.status), (64, Status::Disabled));
}

/// Everybody prefers another one; one is preferred.
pub async fn one_is_preferred_whoever_asks(stores: &Stores) {
    let user = add_user(stores, "ann").await;
    for n in 0..8 {
        enroll(stores, &user, n).await;
    }
    race(CONTESTANTS, |n| {
        let (store, user) = (Arc::clone(&stores.authenticators), user.clone());
        async move {
            let change = AuthenticatorChange { name: None, preferred: Some(true) };
            assert!(store.update(&user, &authenticator_id(n % 8), change, audit(&user)).await.unwrap());
        }
    })
    .await;
    assert_eq!(account(stores, &user).await.authenticators.iter().filter(|a| a.preferred).count(), 1);
}

/// Logins before the block are committed, those after it refused; whoever reads the block sees no later login.
pub async fn a_block_and_logins_do_not_cross(stores: &Stores) {
    let user = add_user(stores, "ann").await;
    enroll(stores, &user, 1).await;
    let outcomes = race(CONTESTANTS, |n| {
        let (stores, user) = (stores.clone(), user.clone());
        async move {
            if n == CONTESTANTS / 2 {
                assert!(stores.users.set_blocked(&user, true, NOW, audit(&user)).await.unwrap());
                return None;
            }
            Some(stores.logins.commit(login(&user, Burn::Nothing)).await.unwrap())
        }
    })
    .await;
    assert!(outcomes.iter().flatten().all(|outcome| matches!(outcome, Committed | AccountChanged)));
    assert_eq!(stores.logins.commit(login(&user, otp(1, 101))).await.unwrap(), AccountChanged);
    assert_eq!(account(stores, &user).await.authenticators[0].last_step, Some(100));
}

/// A client's assertion is good once, whoever presents it at the same moment.
pub async fn an_assertion_is_used_once(stores: &Stores) {
    let logins = &stores.logins;
    let used = |n: u8, sweep_at| UsedAssertion { digest: Digest::new([n; 32]), sweep_at, usable_from: later(0) };
    let results = race(CONTESTANTS, |n| {
        let (logins, assertion) = (Arc::clone(logins), used(1, later(n as u64)));
        async move { logins.redeem_assertion(assertion).await.unwrap() }
    })
    .await;
    assert_eq!(results.into_iter().filter(|first| *first).count(), 1);
    assert!(logins.redeem_assertion(used(2, later(9))).await.unwrap(), "another one");
    assert!(!logins.redeem_assertion(used(2, later(99))).await.unwrap());
    logins.purge(later(70)).await.unwrap();
    assert!(logins.redeem_assertion(used(2, later(99))).await.unwrap(), "it was swept, when it was of no use any more");
}
