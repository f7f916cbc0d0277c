//! What tells a file from an older copy of itself, and what is done to one that was put back.

use std::{path::Path, sync::Arc, time::Duration};

use countersign_domain::{
    audit::{AuditEvent, Event},
    authenticator::{FAILURE_CEILING, RecoveryStatus, Status},
    id::UserId,
    port::{
        authenticator_store::{EnrollmentBegun, NewEnrollment},
        fence_store::{Factors, Fence, FenceStore as _, Fenced, PersonFence},
        login_store::{Burn, CommitOutcome, LoginStore as _, UsedAssertion},
        refresh_store::RefreshStore as _,
        session_store::SessionStore as _,
    },
    testing::toy_chain,
};
use countersign_storage::{
    contract::records::{
        NOW, account, add_user, challenge, digest, enroll, enrollment, family, family_id, later, login, message, open,
        otp, recover, rotate, transaction,
    },
    open::Stores,
    sqlite::{SqliteOptions, SqliteStore},
};

fn store(path: &Path) -> Arc<SqliteStore> {
    Arc::new(SqliteStore::open(path, &toy_chain(), SqliteOptions::default()).unwrap())
}

fn fence(factors: Factors) -> Fence {
    let audit = AuditEvent::of_deployment(Event::Fenced, NOW);
    Fence { lineage: "new".into(), now: NOW, clock: NOW, last_step: 500, factors, audit }
}

/// Ann has an app, with a recovery code; so has Bob.
async fn people(store: &Arc<SqliteStore>) -> (Stores, UserId, UserId) {
    let stores = Stores::of(Arc::clone(store));
    let (ann, bob) = (add_user(&stores, "ann").await, add_user(&stores, "bob").await);
    enroll(&stores, &ann, 1).await;
    enroll(&stores, &bob, 2).await;
    (stores, ann, bob)
}

#[tokio::test]
async fn a_mark_only_rises_and_a_fence_begins_another_lineage() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data.db");
    let first = store(&path);
    let begun = first.lineage().await.unwrap();
    assert_eq!((begun.mark, begun.id.len()), (0, 32));
    assert_eq!(first.mark().await.unwrap().mark, 1);
    assert_eq!(first.mark().await.unwrap().id, begun.id);
    drop(first);
    let again = store(&path);
    assert_eq!(again.lineage().await.unwrap().mark, 2);
    again.fence(fence(Factors::Keep)).await.unwrap();
    let fenced = again.lineage().await.unwrap();
    assert_eq!((fenced.id.as_str(), fenced.mark), ("new", 3));
    let other = store(&folder.path().join("other.db"));
    assert_ne!(other.lineage().await.unwrap().id, begun.id);
}

#[tokio::test]
async fn two_fences_of_one_backup_lead_to_different_epochs_though_it_holds_a_later_time_than_the_clock() {
    let folder = tempfile::tempdir().unwrap();
    let mut epochs = Vec::new();
    for (number, before) in [2000, 1999].into_iter().enumerate() {
        let store = store(&folder.path().join(format!("{number}.db")));
        let (stores, ann, _) = people(&store).await;
        let clock = NOW.minus(Duration::from_millis(before));
        store.fence(Fence { clock, ..fence(Factors::Keep) }).await.unwrap();
        epochs.push(account(&stores, &ann).await.user.epoch);
    }
    assert!(epochs[0] + 100_000 < epochs[1], "{epochs:?}");
}

#[tokio::test]
async fn everything_in_flight_is_gone_and_epochs_leap() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder.path().join("data.db"));
    let (stores, ann, bob) = people(&store).await;
    assert_eq!(stores.logins.commit(open(family(&ann, 1))).await.unwrap(), CommitOutcome::Committed);
    stores.sessions.insert_transaction(transaction(1)).await.unwrap();
    stores.sessions.insert_challenge(challenge(2, 3)).await.unwrap();
    stores.outbox.insert(vec![message(1)]).await.unwrap();
    let pending = stores.authenticators.begin_enrollment(enrollment(&ann, 7), NOW).await.unwrap();
    assert!(matches!(pending, EnrollmentBegun::Begun { .. }));
    let before = [account(&stores, &ann).await.user.epoch, account(&stores, &bob).await.user.epoch];

    let done = store.fence(fence(Factors::Keep)).await.unwrap();
    let expected = Fenced { accounts: 2, families: 1, apps: 2, recovery_codes: 2, authenticators: 0, messages: 1 };
    assert_eq!(done, expected);
    let after = [account(&stores, &ann).await.user, account(&stores, &bob).await.user];
    for (before, after) in before.iter().zip(&after) {
        assert!(after.epoch >= before + (1 << 20) && after.tokens_valid_from == NOW);
        // So another fence of the same backup leads elsewhere, and revives nothing that was ended in between.
        assert_eq!(after.epoch, u64::try_from(NOW.as_millis()).unwrap() << 20);
    }
    assert!(store.find_family(&family_id(1)).await.unwrap().is_none());
    assert_eq!(stores.logins.commit(rotate(&ann, 1, 0)).await.unwrap(), CommitOutcome::AccountChanged);
    assert!(store.find_transaction(&digest(1)).await.unwrap().is_none());
    assert!(store.find_challenge(&digest(2)).await.unwrap().is_none());
    let authenticators = account(&stores, &ann).await.authenticators;
    assert_eq!(authenticators.len(), 1, "what nobody had confirmed is gone");
    let last = stores.audit.list_rows(stores.audit.last_row().await.unwrap() - 1, 1).await.unwrap();
    assert_eq!(last[0].event, "deployment.fenced");
}

#[tokio::test]
async fn no_step_up_to_the_last_one_is_taken_and_no_recovery_code_that_was_kept() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder.path().join("data.db"));
    let (stores, ann, _) = people(&store).await;
    store.fence(fence(Factors::Keep)).await.unwrap();
    let epoch = account(&stores, &ann).await.user.epoch;
    let at = |burn: Burn| {
        let mut commit = login(&ann, burn);
        commit.epoch = epoch;
        store.commit(commit)
    };
    assert_eq!(at(otp(1, 500)).await.unwrap(), CommitOutcome::ProofSpent);
    assert_eq!(at(otp(1, 501)).await.unwrap(), CommitOutcome::Committed);
    assert!(account(&stores, &ann).await.recovery_code.is_none());
    // Who enrols another app is given a code again.
    let another = NewEnrollment { epoch, ..enrollment(&ann, 8) };
    let begun = stores.authenticators.begin_enrollment(another, NOW).await;
    assert!(matches!(begun, Ok(EnrollmentBegun::Begun { with_recovery_code: true })), "{begun:?}");
}

#[tokio::test]
async fn a_fence_for_some_leaves_the_others_as_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder.path().join("data.db"));
    let (stores, ann, bob) = people(&store).await;
    let row = |event, user| Some(AuditEvent::about(event, user, NOW).because("fence"));
    let ghost = UserId::new("auth0|ghost");
    let one = |user: &UserId, reset, block, failures| PersonFence { user: user.clone(), reset, block, failures };
    let done = store
        .fence(fence(Factors::Of(vec![
            one(&ann, row(Event::FactorsReset, &ann), row(Event::UserBlocked, &ann), 0),
            one(&bob, None, None, FAILURE_CEILING - 1),
            one(&ghost, row(Event::FactorsReset, &ghost), None, 3),
        ])))
        .await
        .unwrap();
    assert_eq!((done.authenticators, done.recovery_codes), (1, 1));
    let (ann_now, bob_now) = (account(&stores, &ann).await, account(&stores, &bob).await);
    assert!(ann_now.user.blocked && ann_now.authenticators.is_empty() && ann_now.recovery_code.is_none());
    assert!(!bob_now.user.blocked && bob_now.authenticators[0].status == Status::Active);
    assert_eq!((bob_now.authenticators[0].failures, bob_now.user.address_failures), (99, 99));
    assert_eq!(bob_now.recovery_code.unwrap().status, RecoveryStatus::Active);
    let rows = stores.audit.list_rows(0, 1000).await.unwrap();
    let told: Vec<_> =
        rows.iter().filter(|row| row.detail.as_deref() == Some("fence")).map(|row| (&*row.event, &*row.user)).collect();
    assert_eq!(told, [("user.factors_reset", ann.as_str()), ("user.blocked", ann.as_str())]);

    store.fence(fence(Factors::Of(vec![one(&bob, None, None, 1)]))).await.unwrap();
    let bob_now = account(&stores, &bob).await;
    assert_eq!(bob_now.authenticators[0].status, Status::Disabled, "there were as many wrong codes as disable");
    assert_eq!(bob_now.recovery_code.unwrap().status, RecoveryStatus::Disabled);
}

#[tokio::test]
async fn a_fence_for_all_leaves_nobody_a_factor() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder.path().join("data.db"));
    let (stores, ann, bob) = people(&store).await;
    assert_eq!(stores.logins.commit(login(&ann, recover(1, 5))).await.unwrap(), CommitOutcome::Committed);
    let done = store.fence(fence(Factors::Reset)).await.unwrap();
    assert_eq!((done.authenticators, done.recovery_codes, done.apps), (2, 2, 0));
    for user in [&ann, &bob] {
        let account = account(&stores, user).await;
        assert!(account.authenticators.is_empty() && account.recovery_code.is_none());
    }
    assert_eq!(stores.logins.commit(login(&ann, otp(1, 900))).await.unwrap(), CommitOutcome::AccountChanged);
}

#[tokio::test]
async fn an_assertion_that_can_have_been_used_before_the_fence_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder.path().join("data.db"));
    let used = |n, usable_from| UsedAssertion { digest: digest(n), sweep_at: later(3600), usable_from };
    assert!(store.redeem_assertion(used(1, NOW)).await.unwrap(), "there was no fence");
    store.fence(fence(Factors::Keep)).await.unwrap();
    assert!(!store.redeem_assertion(used(2, NOW)).await.unwrap());
    assert!(store.redeem_assertion(used(2, later(1))).await.unwrap());
    assert!(!store.redeem_assertion(used(2, later(1))).await.unwrap());
}
