//! Messages are there if what they tell of happened, and only then.

use std::sync::Arc;

use countersign_domain::{
    id::UserId,
    message::{
        Channel,
        ending::{End, Tried},
    },
    port::{
        authenticator_store::{EnrollmentBegun, NewEnrollment},
        login_store::{
            Burn,
            CommitOutcome::{AccountChanged, Committed, ProofSpent, TransactionSpent},
            Failure, FailureTarget, LoginCommit,
        },
        refresh_store::RevocationReach,
    },
};

use super::{
    race,
    records::{
        NOW, add_user, audit, authenticator_id, confirm_oob, enroll, enroll_pair, failure, family, family_id, later,
        login, login_with, message, oob, open, otp, pair_enrollment,
    },
};
use crate::open::Stores;

/// Takes all messages out of the outbox; the ids without what comes before the number.
pub(super) async fn taken(stores: &Stores) -> Vec<usize> {
    let rows = stores.outbox.claim(Channel::Sms, NOW, later(600), 1000).await.unwrap();
    let mut ids = Vec::with_capacity(rows.len());
    for row in rows {
        let sent = row.ended(End::Sent, &Tried::default(), NOW);
        stores.outbox.remove(&row.id, sent).await.unwrap();
        ids.push(row.id.as_str().trim_start_matches("msg_").parse().unwrap());
    }
    ids
}

/// Not of one that is refused.
pub async fn an_enrolment_that_begins_leaves_its_messages(stores: &Stores) {
    let user = add_user(stores, "ann").await;
    let begin = |limit, n| {
        let messages = vec![message(n), message(n + 1)];
        let enrollment = NewEnrollment { limit, messages, ..pair_enrollment(&user, 1) };
        stores.authenticators.begin_enrollment(enrollment, NOW)
    };
    assert_eq!(begin(1, 10).await.unwrap(), EnrollmentBegun::LimitReached);
    assert!(taken(stores).await.is_empty());
    assert!(matches!(begin(2, 20).await.unwrap(), EnrollmentBegun::Begun { .. }));
    assert_eq!(taken(stores).await, [20, 21]);
}

/// Whatever it is refused for, it leaves none.
pub async fn a_login_that_is_decided_leaves_its_messages(stores: &Stores) {
    let user = add_user(stores, "ann").await;
    enroll(stores, &user, 1).await;
    let with = |n, login| LoginCommit { messages: vec![message(n)], ..login };
    let commit = |login| stores.logins.commit(login);
    assert_eq!(commit(with(1, login_with(&user, 7, oob(1, 50)))).await.unwrap(), Committed);
    assert_eq!(taken(stores).await, [1]);
    assert_eq!(commit(with(2, login_with(&user, 7, oob(1, 51)))).await.unwrap(), TransactionSpent);
    assert_eq!(commit(with(3, login_with(&user, 8, oob(1, 50)))).await.unwrap(), ProofSpent);
    assert_eq!(commit(with(4, login_with(&user, 8, otp(1, 100)))).await.unwrap(), ProofSpent);
    assert_eq!(commit(with(5, login(&user, confirm_oob(1, 51)))).await.unwrap(), ProofSpent);
    let stale = LoginCommit { epoch: 9, ..login(&user, Burn::Nothing) };
    assert_eq!(commit(with(6, stale)).await.unwrap(), AccountChanged);
    assert!(taken(stores).await.is_empty());
    assert_eq!(commit(with(7, login(&user, Burn::Nothing))).await.unwrap(), Committed);
    assert_eq!(taken(stores).await, [7]);
}

/// Not of what is not there.
pub async fn a_removal_leaves_its_messages(stores: &Stores) {
    let user = add_user(stores, "ann").await;
    enroll_pair(stores, &user, 1).await;
    let remove = async |n| {
        let messages = vec![message(n)];
        stores.authenticators.delete(&user, &authenticator_id(1), None, messages, audit(&user)).await.unwrap()
    };
    assert!(remove(1).await);
    assert!(!remove(2).await);
    assert_eq!(taken(stores).await, [1]);
}

/// Nobody is told of what nobody was told had come.
pub async fn a_pending_removal_leaves_none(stores: &Stores) {
    let user = add_user(stores, "ann").await;
    stores.authenticators.begin_enrollment(pair_enrollment(&user, 1), NOW).await.unwrap();
    let messages = vec![message(1)];
    assert!(stores.authenticators.delete(&user, &authenticator_id(1), None, messages, audit(&user)).await.unwrap());
    assert!(taken(stores).await.is_empty());
}

/// Not of what is gone already.
pub async fn a_revocation_leaves_its_messages(stores: &Stores) {
    let user = add_user(stores, "ann").await;
    stores.logins.commit(open(family(&user, 1))).await.unwrap();
    let revoke = async |n| {
        let messages = vec![message(n)];
        stores.refresh.revoke_family(&family_id(1), RevocationReach::Family, audit(&user), messages).await.unwrap()
    };
    assert!(revoke(1).await);
    assert!(!revoke(2).await);
    assert_eq!(taken(stores).await, [1]);
}

/// If there was something to remove that was not pending.
pub async fn a_reset_leaves_its_messages(stores: &Stores) {
    let user = add_user(stores, "ann").await;
    let reset = async |n| stores.users.reset_factors(&user, NOW, vec![message(n)], audit(&user)).await.unwrap();
    stores.authenticators.begin_enrollment(pair_enrollment(&user, 1), NOW).await.unwrap();
    assert_eq!(reset(1).await, Some(2));
    assert!(taken(stores).await.is_empty());
    let bob = add_user(stores, "bob").await;
    enroll_pair(stores, &bob, 3).await;
    let gone = stores.users.reset_factors(&bob, NOW, vec![message(2)], audit(&bob)).await.unwrap();
    assert_eq!(gone, Some(2));
    assert_eq!(taken(stores).await, [2]);
    assert_eq!(reset(3).await, Some(0));
    assert!(taken(stores).await.is_empty());
}

fn noticed(failure: Failure, n: usize) -> Failure {
    Failure { notify_at: 3, messages: vec![message(n)], ..failure }
}

async fn fail(stores: &Stores, user: &UserId, failure: Failure) {
    stores.logins.count_failure(user, failure).await.unwrap();
}

/// Not before and not again, until a success begins the count anew.
pub async fn a_notice_is_left_at_exactly_that_many_failures(stores: &Stores) {
    let user = add_user(stores, "ann").await;
    enroll_pair(stores, &user, 1).await;
    let mut seen = Vec::new();
    for n in 1..=6 {
        // Whichever of the pair is named: it is one notice.
        fail(stores, &user, noticed(failure(&user, &[1 + n % 2], 100), n)).await;
        seen.extend(taken(stores).await);
    }
    assert_eq!(seen, [3]);
    assert_eq!(stores.logins.commit(login(&user, oob(1, 50))).await.unwrap(), Committed);
    for n in 11..=16 {
        fail(stores, &user, noticed(failure(&user, &[1, 2], 100), n)).await;
    }
    assert_eq!(taken(stores).await, [13]);
}

/// Authenticators, the recovery code and the address are counted each for itself; the last failure may disable and be told of.
pub async fn each_target_has_its_own_notice(stores: &Stores) {
    let user = add_user(stores, "ann").await;
    for n in 1..=2 {
        enroll(stores, &user, n).await;
    }
    fail(stores, &user, noticed(failure(&user, &[1], 100), 1)).await;
    for n in 2..=4 {
        fail(stores, &user, noticed(failure(&user, &[1, 2], 100), n)).await;
    }
    assert_eq!(taken(stores).await, [3, 4]);
    for (target, begin) in [(FailureTarget::RecoveryCode, 10), (FailureTarget::Address, 20)] {
        for n in begin + 1..begin + 6 {
            fail(stores, &user, noticed(Failure::new(target.clone(), 3, audit(&user)), n)).await;
        }
        assert_eq!(taken(stores).await, [begin + 3]);
    }
    fail(stores, &UserId::new("auth0|nobody"), noticed(failure(&user, &[1], 100), 40)).await;
    assert!(taken(stores).await.is_empty());
}

/// 32 failures at once, each with a message of its own: one is left.
pub async fn one_notice_is_left_whoever_fails(stores: &Stores) {
    let user = add_user(stores, "ann").await;
    enroll_pair(stores, &user, 1).await;
    race(32, |n| {
        let (logins, user) = (Arc::clone(&stores.logins), user.clone());
        async move {
            let failure = noticed(failure(&user, &[1 + n % 2], 100), n);
            logins.count_failure(&user, failure).await.unwrap();
        }
    })
    .await;
    assert_eq!(taken(stores).await.len(), 1);
}
