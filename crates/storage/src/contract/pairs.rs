//! Authenticators that were enrolled together.

use countersign_domain::{
    authenticator::{Authenticator, Status},
    id::UserId,
    port::{
        authenticator_store::{EnrollmentBegun, NewEnrollment},
        login_store::{
            Burn,
            CommitOutcome::{self, AccountChanged, Committed, ProofSpent},
            LoginCommit, Spent,
        },
    },
};

use super::records::{
    NOW, account, add_user, audit, authenticator_id, confirm_oob, consumed, device_enrollment, enroll, enroll_pair,
    failure, later, login, oob, otp, pair_enrollment,
};
use crate::open::Stores;

async fn read(stores: &Stores, user: &UserId, n: usize) -> Authenticator {
    account(stores, user).await.authenticator(&authenticator_id(n)).unwrap().clone()
}

async fn commit(stores: &Stores, login: LoginCommit) -> CommitOutcome {
    stores.logins.commit(login).await.unwrap()
}

/// One code confirms both; another pair of the person stays pending.
pub async fn what_was_enrolled_together_is_confirmed_together(stores: &Stores) {
    let user = add_user(stores, "ann").await;
    for n in [1, 3] {
        stores.authenticators.begin_enrollment(pair_enrollment(&user, n), NOW).await.unwrap();
    }
    let confirmed = LoginCommit { now: later(5), ..login(&user, confirm_oob(2, 50)) };
    assert_eq!(commit(stores, confirmed).await, Committed);
    let (sms, voice) = (read(stores, &user, 1).await, read(stores, &user, 2).await);
    assert_eq!((sms.status, sms.confirmed_at, sms.last_used_at), (Status::Active, Some(later(5)), None));
    assert_eq!(
        (voice.status, voice.confirmed_at, voice.last_used_at),
        (Status::Active, Some(later(5)), Some(later(5)))
    );
    assert_eq!((sms.last_step, voice.last_step), (None, None));
    assert!(matches!(read(stores, &user, 3).await.status, Status::Pending { .. }));
    assert!(account(stores, &user).await.usable_recovery_code().is_some());

    assert_eq!(commit(stores, login(&user, confirm_oob(1, 51))).await, ProofSpent, "no longer pending");
    assert_eq!(commit(stores, login(&user, confirm_oob(4, 50))).await, ProofSpent, "a challenge that was used");
    assert!(matches!(read(stores, &user, 3).await.status, Status::Pending { .. }), "a refusal changes nothing");
    assert_eq!(commit(stores, login(&user, confirm_oob(4, 51))).await, Committed);
}

/// The last moment is not in time, for either.
pub async fn a_pair_expires_together(stores: &Stores) {
    let user = add_user(stores, "ann").await;
    stores.authenticators.begin_enrollment(pair_enrollment(&user, 1), NOW).await.unwrap();
    for n in 1..=2 {
        let late = LoginCommit { now: later(600), ..login(&user, confirm_oob(n, 50)) };
        assert_eq!(commit(stores, late).await, ProofSpent);
    }
    // Both, and the recovery code that was shown with them.
    assert_eq!(stores.logins.purge(later(600)).await.unwrap(), 3);
}

/// Failures are of both, and so is the success; only one was used.
pub async fn a_success_forgets_the_failures_of_the_pair(stores: &Stores) {
    let user = add_user(stores, "ann").await;
    enroll_pair(stores, &user, 1).await;
    enroll(stores, &user, 3).await;
    for ids in [[1, 3], [2, 3]] {
        stores.logins.count_failure(&user, failure(&user, &ids, 100)).await.unwrap();
    }
    for n in 1..=3 {
        assert_eq!(read(stores, &user, n).await.failures, 2, "{n}");
    }
    let telephone = read(stores, &user, 2).await.pair;
    let burn = Burn::Use { authenticator: authenticator_id(2), spent: Spent::Challenge(consumed(50)), telephone };
    let success = LoginCommit { now: later(9), ..login(&user, burn) };
    assert_eq!(commit(stores, success).await, Committed);
    let (sms, voice) = (read(stores, &user, 1).await, read(stores, &user, 2).await);
    assert_eq!((sms.failures, sms.last_used_at), (0, Some(NOW)));
    assert_eq!((voice.failures, voice.last_used_at), (0, Some(later(9))));
    assert_eq!(read(stores, &user, 3).await.failures, 2, "not of the pair");
    assert_eq!(commit(stores, login(&user, oob(1, 50))).await, ProofSpent, "whichever of them it is used with");
}

/// A device and its app prove different things, and have failures and successes of their own. At the ceiling both go all the same.
pub async fn a_device_and_its_app_count_for_themselves(stores: &Stores) {
    let user = add_user(stores, "ann").await;
    stores.authenticators.begin_enrollment(device_enrollment(&user, 1), NOW).await.unwrap();
    assert_eq!(commit(stores, login(&user, confirm_oob(1, 1))).await, Committed);
    let failures = async || (read(stores, &user, 1).await.failures, read(stores, &user, 2).await.failures);
    stores.logins.count_failure(&user, failure(&user, &[2], 100)).await.unwrap();
    assert_eq!(failures().await, (0, 1));
    assert_eq!(commit(stores, login(&user, oob(1, 50))).await, Committed);
    assert_eq!(failures().await, (0, 1), "of the device");
    stores.logins.count_failure(&user, failure(&user, &[1], 100)).await.unwrap();
    assert_eq!(failures().await, (1, 1));
    assert_eq!(commit(stores, login(&user, otp(2, 50))).await, Committed);
    assert_eq!(failures().await, (1, 0), "of the app");
    let telephone = read(stores, &user, 1).await.pair;
    let mistaken = Burn::Use { authenticator: authenticator_id(2), spent: Spent::Step(51), telephone };
    assert_eq!(commit(stores, login(&user, mistaken)).await, Committed);
    assert_eq!(failures().await, (1, 0), "it is no telephone");
    stores.logins.count_failure(&user, failure(&user, &[1], 2)).await.unwrap();
    for n in 1..=2 {
        assert_eq!(read(stores, &user, n).await.status, Status::Disabled, "{n}");
    }
}

/// At the ceiling both go, and the epoch rises once.
pub async fn failures_count_for_the_pair_and_disable_it(stores: &Stores) {
    let user = add_user(stores, "ann").await;
    for n in [1, 3] {
        enroll_pair(stores, &user, n).await;
    }
    for (n, epoch) in [(1, 0), (2, 0), (1, 1), (2, 1)] {
        stores.logins.count_failure(&user, failure(&user, &[n], 3)).await.unwrap();
        assert_eq!(account(stores, &user).await.user.epoch, epoch);
    }
    for (n, status, failures) in
        [(1, Status::Disabled, 4), (2, Status::Disabled, 4), (3, Status::Active, 0), (4, Status::Active, 0)]
    {
        let a = read(stores, &user, n).await;
        assert_eq!((a.status, a.failures), (status, failures), "{n}");
    }
    assert_eq!(commit(stores, login(&user, oob(3, 50))).await, AccountChanged);
    let now = |burn| LoginCommit { epoch: 1, ..login(&user, burn) };
    assert_eq!(commit(stores, now(oob(2, 50))).await, ProofSpent);
    assert_eq!(commit(stores, now(oob(3, 50))).await, Committed);
}

/// One wrong code is one failure, however many of a pair it was compared with; several that reach the ceiling raise the epoch once.
pub async fn naming_both_of_a_pair_counts_once(stores: &Stores) {
    let user = add_user(stores, "ann").await;
    for n in [1, 3] {
        enroll_pair(stores, &user, n).await;
    }
    for left in [1, 2] {
        stores.logins.count_failure(&user, failure(&user, &[2, 1, 4, 2], 2)).await.unwrap();
        for n in 1..=4 {
            assert_eq!(read(stores, &user, n).await.failures, left, "{n}");
        }
    }
    let read = account(stores, &user).await;
    assert!(read.active().is_empty());
    assert_eq!(read.user.epoch, 1);
}

/// Active ones raise the epoch, once.
pub async fn what_is_paired_is_removed_together(stores: &Stores) {
    let user = add_user(stores, "ann").await;
    for n in [1, 3] {
        enroll_pair(stores, &user, n).await;
    }
    let remove = async |n| {
        stores.authenticators.delete(&user, &authenticator_id(n), None, Vec::new(), audit(&user)).await.unwrap()
    };
    assert!(remove(2).await);
    let read = account(stores, &user).await;
    assert_eq!((read.authenticators.len(), read.user.epoch), (2, 1));
    assert!(read.recovery_code.is_some());
    assert!(!remove(1).await);
    assert_eq!(account(stores, &user).await.authenticators.len(), 2, "those that are not paired with it");
    assert!(remove(3).await);
    let read = account(stores, &user).await;
    assert_eq!((read.authenticators.len(), read.user.epoch), (0, 2));
    assert!(read.recovery_code.is_none());
}

/// Nothing was in flight.
pub async fn a_pending_pair_is_removed_without_raising_the_epoch(stores: &Stores) {
    let user = add_user(stores, "ann").await;
    stores.authenticators.begin_enrollment(pair_enrollment(&user, 1), NOW).await.unwrap();
    assert!(stores.authenticators.delete(&user, &authenticator_id(1), None, Vec::new(), audit(&user)).await.unwrap());
    let read = account(stores, &user).await;
    assert_eq!((read.authenticators.len(), read.user.epoch), (0, 0));
    assert!(read.recovery_code.is_none());
}

/// There is room for both or for neither.
pub async fn the_limit_counts_the_companion(stores: &Stores) {
    let user = add_user(stores, "ann").await;
    enroll(stores, &user, 9).await;
    let begin = |limit| {
        let enrollment = NewEnrollment { limit, ..pair_enrollment(&user, 1) };
        stores.authenticators.begin_enrollment(enrollment, NOW)
    };
    assert_eq!(begin(2).await.unwrap(), EnrollmentBegun::LimitReached);
    assert_eq!(account(stores, &user).await.authenticators.len(), 1);
    assert!(matches!(begin(3).await.unwrap(), EnrollmentBegun::Begun { .. }));
    assert_eq!(account(stores, &user).await.authenticators.len(), 3);
}

/// A pair is its owner's.
pub async fn anothers_pair_of_the_same_name_is_not_touched(stores: &Stores) {
    let (ann, eve) = (add_user(stores, "ann").await, add_user(stores, "eve").await);
    stores.authenticators.begin_enrollment(pair_enrollment(&ann, 1), NOW).await.unwrap();
    enroll_pair(stores, &eve, 1).await;
    assert!(account(stores, &ann).await.active().is_empty());
    assert_eq!(commit(stores, login(&ann, confirm_oob(1, 50))).await, Committed);
    stores.logins.count_failure(&ann, failure(&ann, &[1], 100)).await.unwrap();
    assert_eq!(commit(stores, login(&eve, oob(1, 51))).await, Committed);
    assert_eq!(read(stores, &ann, 2).await.failures, 1);
    stores.logins.count_failure(&eve, failure(&eve, &[1], 1)).await.unwrap();
    assert!(stores.authenticators.delete(&eve, &authenticator_id(1), None, Vec::new(), audit(&eve)).await.unwrap());
    let read = account(stores, &ann).await;
    assert_eq!((read.active().len(), read.user.epoch), (2, 0));
    assert_eq!(commit(stores, login(&ann, otp(2, 100))).await, Committed);
}
