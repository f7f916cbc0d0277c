//! Enrolling, changing and removing authenticators.

use std::sync::Arc;

use countersign_domain::{
    authenticator::{RecoveryStatus, Status},
    id::{AuthenticatorId, UserId},
    port::{
        authenticator_store::{
            AuthenticatorChange,
            EnrollmentBegun::{AccountChanged, AlreadyEnrolled, Begun, LimitReached},
            NewEnrollment, Spared,
        },
        login_store::CommitOutcome::{Committed, ProofSpent},
    },
};

use super::{
    race,
    records::{
        NOW, account, add_user, audit, authenticator_id, confirm, digest, enroll, enrollment, failure, later, login,
        recover,
    },
};
use crate::open::Stores;

const WITH_CODE: bool = true;

/// Pending first, with a recovery code only if there is none; active after the confirmation, the code too.
pub async fn an_enrolment_waits_and_is_confirmed(stores: &Stores) {
    let user = add_user(stores, "ann").await;
    let begin = |n| stores.authenticators.begin_enrollment(enrollment(&user, n), NOW);
    assert_eq!(begin(1).await.unwrap(), Begun { with_recovery_code: WITH_CODE });
    assert_eq!(begin(2).await.unwrap(), Begun { with_recovery_code: false });
    let read = account(stores, &user).await;
    assert!(!read.is_enrolled() && read.usable_recovery_code().is_none());
    assert_eq!(read.recovery_code.unwrap().status, RecoveryStatus::Pending);

    stores.logins.commit(login(&user, confirm(2, true))).await.unwrap();
    let read = account(stores, &user).await;
    assert_eq!(read.active()[0].id, authenticator_id(2));
    assert_eq!(read.usable_recovery_code().unwrap().id.as_str(), "recovery-code|dev_0000000000000001");
}

/// Epoch, block, enrolment and limit are judged where the row is written.
pub async fn an_enrolment_obeys_its_conditions(stores: &Stores) {
    let user = add_user(stores, "ann").await;
    enroll(stores, &user, 1).await;
    let begin = |change: fn(&mut NewEnrollment)| {
        let mut enrollment = enrollment(&user, 2);
        change(&mut enrollment);
        stores.authenticators.begin_enrollment(enrollment, NOW)
    };
    assert_eq!(begin(|e| e.epoch = 1).await.unwrap(), AccountChanged);
    assert_eq!(begin(|e| e.only_if_unenrolled = true).await.unwrap(), AlreadyEnrolled);
    assert_eq!(begin(|e| e.limit = 1).await.unwrap(), LimitReached);
    assert_eq!(begin(|e| e.authenticator.user = UserId::new("auth0|nobody")).await.unwrap(), AccountChanged);
    assert_eq!(account(stores, &user).await.authenticators.len(), 1);
    // A disabled one counts as enrolled.
    stores.logins.count_failure(&user, failure(&user, &[1], 1)).await.unwrap();
    let disabled = |e: &mut NewEnrollment| (e.epoch, e.only_if_unenrolled) = (1, true);
    assert_eq!(begin(disabled).await.unwrap(), AlreadyEnrolled);
    stores.users.set_blocked(&user, true, NOW, audit(&user)).await.unwrap();
    assert_eq!(begin(|e| e.epoch = 2).await.unwrap(), AccountChanged);
}

/// What was not confirmed in time makes room, and its recovery code is replaced by one that can be shown.
pub async fn expired_enrolments_go_with_their_recovery_code(stores: &Stores) {
    let user = add_user(stores, "ann").await;
    let mut first = enrollment(&user, 1);
    first.limit = 1;
    stores.authenticators.begin_enrollment(first, NOW).await.unwrap();
    let again = |n| {
        let mut again = enrollment(&user, n);
        again.limit = 1;
        again.authenticator.status = Status::Pending { until: later(1800), bearer: digest(0) };
        again
    };
    assert_eq!(stores.authenticators.begin_enrollment(again(2), later(599)).await.unwrap(), LimitReached);
    let begun = stores.authenticators.begin_enrollment(again(3), later(600)).await.unwrap();
    assert_eq!(begun, Begun { with_recovery_code: WITH_CODE });
    let read = account(stores, &user).await;
    assert_eq!(read.authenticators.len(), 1);
    assert_eq!(read.recovery_code.unwrap().id.as_str(), "recovery-code|dev_0000000000000003");
}

/// What one bearer was shown is not another's: each gets a code, and the one of who confirms becomes active.
pub async fn a_recovery_code_belongs_to_who_was_shown_it(stores: &Stores) {
    let user = add_user(stores, "ann").await;
    let by = |n, bearer| {
        let mut enrollment = enrollment(&user, n);
        enrollment.limit = 2;
        enrollment.authenticator.status = Status::Pending { until: later(600), bearer: digest(bearer) };
        stores.authenticators.begin_enrollment(enrollment, NOW)
    };
    let (shown, not_shown) = (Begun { with_recovery_code: true }, Begun { with_recovery_code: false });
    assert_eq!(by(1, 71).await.unwrap(), shown);
    assert_eq!(by(2, 72).await.unwrap(), shown);
    assert_eq!(by(3, 71).await.unwrap(), not_shown);
    assert_eq!(by(4, 71).await.unwrap(), LimitReached);
    assert_eq!(by(5, 72).await.unwrap(), not_shown);
    let confirmed = stores.logins.commit(login(&user, confirm(2, true))).await.unwrap();
    assert_eq!(confirmed, Committed);
    let code = account(stores, &user).await.recovery_code.unwrap();
    assert_eq!((code.id.as_str(), code.status), ("recovery-code|dev_0000000000000002", RecoveryStatus::Active));
    for (n, outcome) in [(1, ProofSpent), (2, Committed)] {
        assert_eq!(stores.logins.commit(login(&user, recover(n, 80 + n))).await.unwrap(), outcome);
    }
}

/// Preferring one takes it from the others; the name is a matter of its own.
pub async fn only_one_is_preferred(stores: &Stores) {
    let user = add_user(stores, "ann").await;
    for n in 1..=3 {
        enroll(stores, &user, n).await;
    }
    let change = async |n, name: Option<Option<&str>>, preferred| {
        let change = AuthenticatorChange { name: name.map(|name| name.map(str::to_owned)), preferred };
        stores.authenticators.update(&user, &authenticator_id(n), change, audit(&user)).await.unwrap()
    };
    assert!(change(1, Some(Some("Phone")), Some(true)).await);
    assert!(change(2, None, Some(true)).await);
    let read = account(stores, &user).await;
    let preferred: Vec<_> = read.authenticators.iter().filter(|a| a.preferred).map(|a| a.id.clone()).collect();
    assert_eq!(preferred, [authenticator_id(2)]);
    assert_eq!(
        read.authenticators.iter().find(|a| a.id == authenticator_id(1)).unwrap().name.as_deref(),
        Some("Phone")
    );

    assert!(change(2, None, Some(false)).await);
    assert!(change(1, Some(None), None).await);
    let read = account(stores, &user).await;
    assert!(read.authenticators.iter().all(|a| !a.preferred && a.name.is_none()));
}

/// A pending one, a stranger's and one that is not there stay as they are, and nothing else changes.
pub async fn only_active_ones_of_ones_own_are_changed(stores: &Stores) {
    let (ann, eve) = (add_user(stores, "ann").await, add_user(stores, "eve").await);
    enroll(stores, &ann, 1).await;
    enroll(stores, &eve, 2).await;
    stores.authenticators.begin_enrollment(enrollment(&eve, 3), NOW).await.unwrap();
    let prefer = || AuthenticatorChange { name: None, preferred: Some(true) };
    assert!(stores.authenticators.update(&eve, &authenticator_id(2), prefer(), audit(&eve)).await.unwrap());
    for id in [authenticator_id(1), authenticator_id(3), AuthenticatorId::new("TOTP|DEV_0000000000000002")] {
        assert!(!stores.authenticators.update(&eve, &id, prefer(), audit(&eve)).await.unwrap());
    }
    assert!(!stores.authenticators.delete(&eve, &authenticator_id(1), None, Vec::new(), audit(&eve)).await.unwrap());
    let read = account(stores, &eve).await;
    assert!(read.authenticators.iter().find(|a| a.id == authenticator_id(2)).unwrap().preferred);
    assert_eq!(account(stores, &ann).await.user.epoch, 0);
}

/// Removing an active or disabled one ends what is in flight, but for what it spares; removing a pending one does not.
pub async fn a_removal_raises_the_epoch_unless_it_was_pending(stores: &Stores) {
    let user = add_user(stores, "ann").await;
    for n in 1..=2 {
        enroll(stores, &user, n).await;
    }
    stores.authenticators.begin_enrollment(enrollment(&user, 3), NOW).await.unwrap();
    stores.logins.count_failure(&user, failure(&user, &[2], 1)).await.unwrap();
    // Disabling has raised it once.
    let (one, other) = (Some(digest(1)), Some(Spared { digest: digest(2), epoch: 4 }));
    let spares = |epoch| Some(Spared { digest: digest(1), epoch });
    for (n, spares, epoch, spared) in [(3, spares(7), 1, None), (1, spares(2), 2, one), (2, None, 3, None)] {
        let delete = async |spares| {
            stores.authenticators.delete(&user, &authenticator_id(n), spares, Vec::new(), audit(&user)).await.unwrap()
        };
        assert!(delete(spares).await);
        let stands = async || {
            let user = account(stores, &user).await.user;
            (user.epoch, user.spared)
        };
        assert_eq!(stands().await, (epoch, spared));
        assert!(!delete(other).await);
        assert_eq!(stands().await, (epoch, spared));
    }
}

/// A removal that spares a token goes by the epoch it was decided in. Of many at once, each in the epoch it read, one is done.
pub async fn a_removal_that_spares_is_of_its_epoch(stores: &Stores) {
    let user = add_user(stores, "ann").await;
    for n in 0..8 {
        enroll(stores, &user, n).await;
    }
    let delete = |n, epoch| {
        let (authenticators, user) = (Arc::clone(&stores.authenticators), user.clone());
        let spares = Some(Spared { digest: digest(n), epoch });
        async move { authenticators.delete(&user, &authenticator_id(n), spares, Vec::new(), audit(&user)).await.unwrap() }
    };
    for epoch in [0, 2] {
        assert!(!delete(0, epoch).await);
    }
    let removed = race(8, |n| delete(n, 1)).await;
    assert_eq!(removed.iter().filter(|removed| **removed).count(), 1);
    let account = account(stores, &user).await;
    assert_eq!((account.user.epoch, account.authenticators.len()), (1, 7));
    let winner = removed.iter().position(|removed| *removed).unwrap();
    assert_eq!(account.user.spared, Some(digest(winner)));
}

/// The code stays while an active or disabled one is left, and goes with the last.
pub async fn the_recovery_code_goes_with_the_last_authenticator(stores: &Stores) {
    let user = add_user(stores, "ann").await;
    for n in 1..=2 {
        enroll(stores, &user, n).await;
    }
    stores.authenticators.delete(&user, &authenticator_id(1), None, Vec::new(), audit(&user)).await.unwrap();
    assert!(account(stores, &user).await.usable_recovery_code().is_some());
    stores.authenticators.delete(&user, &authenticator_id(2), None, Vec::new(), audit(&user)).await.unwrap();
    assert!(account(stores, &user).await.recovery_code.is_none());
}
