//! The commit point.

use countersign_domain::{
    authenticator::{RecoveryStatus, Status},
    id::{AuthenticatorId, UserId},
    port::authenticator_store::{EnrollmentBegun, NewEnrollment},
    port::login_store::{
        Burn,
        CommitOutcome::{self, AccountChanged, Committed, ProofSpent, TransactionSpent},
        Counted, Failure, FailureTarget, LoginCommit, Spent,
    },
};

use super::records::{
    NOW, account, add_user, audit, authenticator_id, confirm, enroll, enrollment, failure, later, login, login_with,
    of_login, oob, otp, recover,
};
use crate::open::Stores;

async fn commit(stores: &Stores, login: LoginCommit) -> CommitOutcome {
    stores.logins.commit(login).await.unwrap()
}

/// A step and all before it are dead once it was used.
pub async fn a_step_only_rises(stores: &Stores) {
    let user = add_user(stores, "ann").await;
    enroll(stores, &user, 1).await;
    for (step, outcome) in [(100, ProofSpent), (99, ProofSpent), (102, Committed), (101, ProofSpent), (103, Committed)]
    {
        assert_eq!(commit(stores, login(&user, otp(1, step))).await, outcome, "{step}");
    }
    assert_eq!(account(stores, &user).await.authenticators[0].last_step, Some(103));
}

/// A transaction completes one login, whatever is burnt with it.
pub async fn a_transaction_is_used_once(stores: &Stores) {
    let user = add_user(stores, "ann").await;
    enroll(stores, &user, 1).await;
    assert_eq!(commit(stores, login_with(&user, 7, otp(1, 101))).await, Committed);
    assert_eq!(commit(stores, login_with(&user, 7, otp(1, 102))).await, TransactionSpent);
    assert_eq!(commit(stores, login_with(&user, 7, Burn::Nothing)).await, TransactionSpent);
    assert_eq!(commit(stores, login_with(&user, 8, otp(1, 102))).await, Committed);
}

/// A refused login leaves its transaction, its step and its code for another try.
pub async fn a_refusal_changes_nothing(stores: &Stores) {
    let user = add_user(stores, "ann").await;
    enroll(stores, &user, 1).await;
    assert_eq!(commit(stores, login_with(&user, 7, otp(1, 100))).await, ProofSpent);
    let stale = LoginCommit { epoch: 9, ..login_with(&user, 7, otp(1, 101)) };
    assert_eq!(commit(stores, stale).await, AccountChanged);
    assert_eq!(commit(stores, login_with(&user, 7, otp(1, 101))).await, Committed);
}

/// A moved epoch, a block, and an account that is gone.
pub async fn an_account_that_changed_is_refused(stores: &Stores) {
    let user = add_user(stores, "ann").await;
    enroll(stores, &user, 1).await;
    stores.users.set_blocked(&user, true, NOW, audit(&user)).await.unwrap();
    let at = |epoch, burn| LoginCommit { epoch, ..login(&user, burn) };
    assert_eq!(commit(stores, at(0, otp(1, 101))).await, AccountChanged);
    assert_eq!(commit(stores, at(1, otp(1, 101))).await, AccountChanged, "blocked");
    assert_eq!(commit(stores, at(1, Burn::Nothing)).await, AccountChanged, "blocked");
    stores.users.set_blocked(&user, false, NOW, audit(&user)).await.unwrap();
    assert_eq!(commit(stores, at(1, Burn::Nothing)).await, AccountChanged);
    assert_eq!(commit(stores, at(3, Burn::Nothing)).await, AccountChanged, "an epoch that is not reached");
    assert_eq!(commit(stores, at(2, otp(1, 101))).await, Committed);
    assert_eq!(commit(stores, login(&UserId::new("auth0|nobody"), Burn::Nothing)).await, AccountChanged);
}

/// The mark of the login is all there is: without one, nothing would spend the challenge.
pub async fn a_challenge_that_goes_with_a_login_needs_one(stores: &Stores) {
    let user = add_user(stores, "ann").await;
    enroll(stores, &user, 1).await;
    stores.authenticators.begin_enrollment(enrollment(&user, 2), NOW).await.unwrap();
    let spent = Spent::OfLogin;
    let confirms = Burn::Confirm { authenticator: authenticator_id(2), spent, only_if_unenrolled: false };
    for burn in [of_login(1), confirms.clone()] {
        assert_eq!(commit(stores, login(&user, burn)).await, ProofSpent);
    }
    assert_eq!(commit(stores, login_with(&user, 7, of_login(1))).await, Committed);
    assert_eq!(commit(stores, login_with(&user, 7, of_login(1))).await, TransactionSpent);
    assert_eq!(commit(stores, login_with(&user, 8, confirms)).await, Committed);
    // A login and a challenge of the same digest are two things.
    assert_eq!(commit(stores, login(&user, oob(1, 7))).await, Committed);
    assert_eq!(commit(stores, login(&user, oob(1, 7))).await, ProofSpent);
}

/// First the transaction, then the account, then the proof.
pub async fn the_mark_is_judged_first_and_the_proof_last(stores: &Stores) {
    let user = add_user(stores, "ann").await;
    enroll(stores, &user, 1).await;
    assert_eq!(commit(stores, login_with(&user, 7, otp(1, 101))).await, Committed);
    let all_wrong = LoginCommit { epoch: 9, ..login_with(&user, 7, otp(1, 101)) };
    assert_eq!(commit(stores, all_wrong).await, TransactionSpent);
    let two_wrong = LoginCommit { epoch: 9, ..login_with(&user, 8, otp(1, 101)) };
    assert_eq!(commit(stores, two_wrong).await, AccountChanged);
}

/// The successor takes over, without the failures of what it replaces.
pub async fn a_recovery_code_is_used_once_and_replaced(stores: &Stores) {
    let user = add_user(stores, "ann").await;
    stores.authenticators.begin_enrollment(enrollment(&user, 1), NOW).await.unwrap();
    assert_eq!(commit(stores, login(&user, recover(1, 2))).await, ProofSpent, "pending");
    commit(stores, login(&user, confirm(1, true))).await;
    stores.logins.count_failure(&user, Failure::new(FailureTarget::RecoveryCode, 100, audit(&user))).await.unwrap();
    assert_eq!(account(stores, &user).await.recovery_code.unwrap().failures, 1);

    assert_eq!(commit(stores, login(&user, recover(9, 2))).await, ProofSpent, "wrong");
    assert_eq!(commit(stores, login(&user, recover(1, 2))).await, Committed);
    assert_eq!(commit(stores, login(&user, recover(1, 3))).await, ProofSpent, "used");
    let code = account(stores, &user).await.recovery_code.unwrap();
    assert_eq!((code.status, code.failures), (RecoveryStatus::Active, 0));
    assert_eq!(commit(stores, login(&user, recover(2, 3))).await, Committed);
}

/// No spelling, no prefix and nobody else's.
pub async fn ids_and_digests_compare_by_byte(stores: &Stores) {
    let (ann, eve) = (add_user(stores, "ann").await, add_user(stores, "eve").await);
    enroll(stores, &ann, 1).await;
    enroll(stores, &eve, 2).await;
    let spelled =
        |id: &str| Burn::Use { authenticator: AuthenticatorId::new(id), spent: Spent::Step(101), telephone: None };
    for id in ["TOTP|dev_0000000000000001", "totp|dev_000000000000000", "totp|dev_0000000000000001 ", "totp|dev_%", ""]
    {
        assert_eq!(commit(stores, login(&ann, spelled(id))).await, ProofSpent, "{id:?}");
    }
    assert_eq!(commit(stores, login(&eve, otp(1, 101))).await, ProofSpent, "another's authenticator");
    assert_eq!(commit(stores, login(&eve, recover(1, 5))).await, ProofSpent, "another's code");
    let shouted = UserId::new("AUTH0|ANN");
    assert_eq!(commit(stores, login(&shouted, otp(1, 101))).await, AccountChanged);
}

/// The last moment is not in time.
pub async fn a_confirmation_comes_in_time(stores: &Stores) {
    let user = add_user(stores, "ann").await;
    for n in 1..=2 {
        stores.authenticators.begin_enrollment(enrollment(&user, n), NOW).await.unwrap();
    }
    let at = |now, n| LoginCommit { now, ..login(&user, confirm(n, false)) };
    assert_eq!(commit(stores, at(later(600), 1)).await, ProofSpent);
    assert_eq!(commit(stores, at(later(599), 1)).await, Committed);
    assert_eq!(commit(stores, at(later(599), 1)).await, ProofSpent, "no longer pending");
    assert_eq!(commit(stores, login(&user, otp(2, 101))).await, ProofSpent, "still pending");
    assert_eq!(commit(stores, login(&user, confirm(9, false))).await, ProofSpent, "not there");
    let read = account(stores, &user).await;
    let mine = read.authenticators.iter().find(|a| a.id == authenticator_id(1)).unwrap();
    assert_eq!((mine.status, mine.confirmed_at, mine.last_step), (Status::Active, Some(later(599)), Some(100)));
}

/// Who proved the first factor only cannot confirm a second authenticator.
pub async fn a_confirmation_may_require_that_nobody_is_enrolled(stores: &Stores) {
    let user = add_user(stores, "ann").await;
    for n in 1..=3 {
        stores.authenticators.begin_enrollment(enrollment(&user, n), NOW).await.unwrap();
    }
    assert_eq!(commit(stores, login(&user, confirm(1, true))).await, Committed);
    assert_eq!(commit(stores, login(&user, confirm(2, true))).await, ProofSpent);
    assert_eq!(commit(stores, login(&user, confirm(2, false))).await, Committed);
}

/// The ceiling disables what was compared and nothing else; a pending one stays pending.
pub async fn failures_disable_at_the_ceiling(stores: &Stores) {
    let user = add_user(stores, "ann").await;
    for n in 1..=2 {
        enroll(stores, &user, n).await;
    }
    stores.authenticators.begin_enrollment(enrollment(&user, 3), NOW).await.unwrap();
    let wrong = || failure(&user, &[1, 3], 3);
    for _ in 0..2 {
        stores.logins.count_failure(&user, wrong()).await.unwrap();
    }
    assert_eq!(account(stores, &user).await.active().len(), 2);
    stores.logins.count_failure(&user, wrong()).await.unwrap();
    let read = account(stores, &user).await;
    let status = |n| read.authenticators.iter().find(|a| a.id == authenticator_id(n)).map(|a| (a.status, a.failures));
    assert_eq!(status(1), Some((Status::Disabled, 3)));
    assert_eq!(status(2), Some((Status::Active, 0)));
    assert!(matches!(status(3), Some((Status::Pending { .. }, 3))));
    assert!(read.is_enrolled());
    assert_eq!(read.user.epoch, 1, "what was in flight ends");
    assert_eq!(commit(stores, login(&user, otp(2, 101))).await, AccountChanged);
    let login = |burn| LoginCommit { epoch: 1, ..login(&user, burn) };
    assert_eq!(commit(stores, login(otp(1, 101))).await, ProofSpent);
    assert_eq!(commit(stores, login(otp(2, 101))).await, Committed);
    stores.logins.count_failure(&user, wrong()).await.unwrap();
    assert_eq!(account(stores, &user).await.user.epoch, 1, "a disabled one is not disabled again");
}

/// A completed login is known by its mark; one that was refused is not.
pub async fn a_completed_login_is_known(stores: &Stores) {
    let user = add_user(stores, "ann").await;
    enroll(stores, &user, 1).await;
    for (n, known) in [(1, true), (2, false)] {
        let attempt = login_with(&user, n, otp(1, 101));
        let mark = attempt.transaction.unwrap();
        assert!(!stores.logins.is_completed(&mark).await.unwrap());
        stores.logins.commit(attempt).await.unwrap();
        assert_eq!(stores.logins.is_completed(&mark).await.unwrap(), known, "{n}");
    }
}

/// Whoever presents a completed login again has guessed nothing, and disables nothing.
pub async fn nothing_counts_with_a_login_that_is_completed(stores: &Stores) {
    let user = add_user(stores, "ann").await;
    enroll(stores, &user, 1).await;
    let first = login_with(&user, 7, otp(1, 101));
    let wrong = |n| Failure { login: login_with(&user, n, Burn::Nothing).transaction, ..failure(&user, &[1], 2) };
    assert_eq!(commit(stores, first).await, Committed);
    for _ in 0..3 {
        assert_eq!(stores.logins.count_failure(&user, wrong(7)).await.unwrap(), Counted::LoginSpent);
    }
    assert_eq!(account(stores, &user).await.authenticators[0].failures, 0);
    assert_eq!(stores.logins.count_failure(&user, wrong(8)).await.unwrap(), Counted::Yes);
    assert_eq!(account(stores, &user).await.authenticators[0].failures, 1);
    let rows = stores.audit.list_rows(0, 100).await.unwrap();
    let completed = |detail: &&str| *detail == "login completed before";
    assert_eq!(rows.iter().filter_map(|row| row.detail.as_deref()).filter(completed).count(), 3);
}

/// A disabled code is not used, and is not replaced.
pub async fn failures_disable_the_recovery_code(stores: &Stores) {
    let user = add_user(stores, "ann").await;
    enroll(stores, &user, 1).await;
    for _ in 0..3 {
        stores.logins.count_failure(&user, Failure::new(FailureTarget::RecoveryCode, 3, audit(&user))).await.unwrap();
    }
    let read = account(stores, &user).await;
    assert_eq!((read.recovery_code.unwrap().status, read.user.epoch), (RecoveryStatus::Disabled, 1));
    assert_eq!(commit(stores, LoginCommit { epoch: 1, ..login(&user, recover(1, 2)) }).await, ProofSpent);
    let another = NewEnrollment { epoch: 1, ..enrollment(&user, 5) };
    stores.authenticators.begin_enrollment(another, NOW).await.unwrap();
    assert_eq!(commit(stores, LoginCommit { epoch: 1, ..login(&user, confirm(5, false)) }).await, Committed);
    assert_eq!(account(stores, &user).await.recovery_code.unwrap().status, RecoveryStatus::Disabled);
}

/// Failures are counted since the last success.
pub async fn a_success_forgets_failures(stores: &Stores) {
    let user = add_user(stores, "ann").await;
    enroll(stores, &user, 1).await;
    for step in 101..110 {
        stores.logins.count_failure(&user, failure(&user, &[1], 2)).await.unwrap();
        let success = LoginCommit { now: later(step), ..login(&user, otp(1, step)) };
        assert_eq!(commit(stores, success).await, Committed);
    }
    let read = account(stores, &user).await;
    assert_eq!((read.authenticators[0].failures, read.authenticators[0].last_used_at), (0, Some(later(109))));
}

/// Marks go when they may, and so do enrolments that were not confirmed; nothing goes before.
pub async fn a_purge_takes_what_no_longer_matters(stores: &Stores) {
    let (ann, eve) = (add_user(stores, "ann").await, add_user(stores, "eve").await);
    enroll(stores, &ann, 1).await;
    stores.authenticators.begin_enrollment(enrollment(&ann, 2), NOW).await.unwrap();
    stores.authenticators.begin_enrollment(enrollment(&eve, 3), NOW).await.unwrap();
    commit(stores, login_with(&ann, 7, Burn::Nothing)).await;
    assert_eq!(stores.logins.purge(later(599)).await.unwrap(), 0);
    // Both enrolments, and the code of the person who has nothing else.
    assert_eq!(stores.logins.purge(later(600)).await.unwrap(), 3);
    assert!(account(stores, &eve).await.recovery_code.is_none());
    assert!(account(stores, &ann).await.usable_recovery_code().is_some());
    assert_eq!(commit(stores, login_with(&ann, 7, Burn::Nothing)).await, TransactionSpent);
    assert_eq!(stores.logins.purge(later(3600)).await.unwrap(), 1);
}

/// What a clock was found to be off is kept with the code that said so, and only then.
pub async fn what_was_learned_of_a_clock_is_kept_with_its_code(stores: &Stores) {
    let user = add_user(stores, "ann").await;
    let begun = stores.authenticators.begin_enrollment(enrollment(&user, 1), NOW).await.unwrap();
    assert!(matches!(begun, EnrollmentBegun::Begun { .. }));
    let drift = async || account(stores, &user).await.authenticators[0].drift;
    let with = |burn, drift| LoginCommit { drift, ..login(&user, burn) };
    assert_eq!(commit(stores, with(confirm(1, false), Some(1))).await, Committed);
    assert_eq!(drift().await, 1);
    assert_eq!(commit(stores, with(otp(1, 101), None)).await, Committed);
    assert_eq!(drift().await, 1);
    assert_eq!(commit(stores, with(otp(1, 101), Some(0))).await, ProofSpent);
    assert_eq!(commit(stores, with(otp(1, 100), Some(0))).await, ProofSpent);
    assert_eq!(drift().await, 1, "what was refused taught nothing");
    assert_eq!(commit(stores, with(otp(1, 102), Some(0))).await, Committed);
    assert_eq!(drift().await, 0);
}
