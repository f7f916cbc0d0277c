//! SQLite: the contract, and what happens to the file.

use std::{collections::HashSet, path::Path, sync::Arc, time::Duration};

use countersign_domain::{
    audit::{AuditEvent, Event},
    id::{KeyId, UserId},
    message::{
        Channel,
        ending::{End, Tried},
    },
    port::{
        PortError,
        key_store::{KeyStore as _, StoredKey},
        login_store::{Burn, CommitOutcome, LoginStore as _},
        outbox_store::OutboxStore,
        session_store::{Reservation, SessionStore, Settlement},
        signer::Algorithm,
        user_store::UserStore,
    },
    secret::Sealed,
    signing_key::KeyState,
    testing::toy_chain,
};
use countersign_storage::{
    contract::{
        Opened, race,
        records::{
            NOW, add_user, attempt, audit, bucket, challenge, digest, enroll, failure, later, login, login_with,
            message, new_user, otp, transaction,
        },
        sessions,
    },
    open::Stores,
    sqlite::{SqliteOptions, SqliteStore},
};

async fn open() -> Opened {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    Opened { stores: Stores::of(store), guard: Box::new(folder) }
}

fn store(folder: &Path) -> Arc<SqliteStore> {
    Arc::new(SqliteStore::open(&folder.join("data.db"), &toy_chain(), SqliteOptions::default()).unwrap())
}

countersign_storage::durable_contract!(open);
countersign_storage::session_contract!(open);

#[tokio::test]
async fn a_purge_takes_what_expired() {
    sessions::a_purge_takes_what_expired(&open().await.stores).await;
}

#[tokio::test]
async fn what_was_acknowledged_is_in_a_copy_of_the_files() {
    // A copy taken while the store is open is what a crash of the process leaves.
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let stores = Stores::of(Arc::clone(&store));
    let user = add_user(&stores, "ann").await;
    enroll(&stores, &user, 1).await;
    assert_eq!(store.commit(login_with(&user, 7, otp(1, 101))).await.unwrap(), CommitOutcome::Committed);
    stores.sessions.insert_transaction(transaction(8)).await.unwrap();
    stores.sessions.insert_challenge(challenge(9, 1)).await.unwrap();
    stores.outbox.insert(vec![message(1), message(2)]).await.unwrap();
    let sent = message(1).ended(End::Sent, &Tried::default(), NOW);
    stores.outbox.remove(&message(1).id, sent).await.unwrap();
    let (_copy, revived) = copy_of(folder.path());
    assert_eq!(revived.commit(login_with(&user, 7, otp(1, 102))).await.unwrap(), CommitOutcome::TransactionSpent);
    assert_eq!(revived.commit(login_with(&user, 9, otp(1, 101))).await.unwrap(), CommitOutcome::ProofSpent);
    assert!(revived.find_transaction(&digest(8)).await.unwrap().is_some());
    assert_eq!(revived.take_try(&digest(9)).await.unwrap().unwrap().tries, 5);
    let waiting = revived.claim(Channel::Sms, NOW, later(60), 10).await.unwrap();
    assert_eq!(waiting.iter().map(|row| &row.id).collect::<Vec<_>>(), [&message(2).id]);
}

#[tokio::test]
async fn a_settled_challenge_is_gone_from_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let first = store(folder.path());
    for n in 1..=2 {
        first.insert_challenge(challenge(n, n)).await.unwrap();
    }
    first.settle(Settlement { challenge: Some(digest(1)), ..Settlement::default() }, NOW).await;
    drop(first);
    let second = store(folder.path());
    assert!(second.take_try(&digest(1)).await.unwrap().is_none());
    assert!(second.take_try(&digest(2)).await.unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_stores_on_one_file_share_rows() {
    let folder = tempfile::tempdir().unwrap();
    let both = [store(folder.path()), store(folder.path())];
    OutboxStore::insert(&*both[0], (0..64).map(message).collect()).await.unwrap();
    let seen = race(64, |n| {
        let store = Arc::clone(&both[n % 2]);
        async move { store.claim(Channel::Sms, NOW, later(60), 2).await.unwrap() }
    })
    .await;
    let rows: HashSet<_> = seen.iter().flatten().map(|row| &row.id).collect();
    assert_eq!((rows.len(), seen.iter().map(Vec::len).sum()), (64, 64));
}

fn event() -> AuditEvent {
    audit(&UserId::new("auth0|ann"))
}

/// What a crash of the process would leave.
fn copy_of(folder: &Path) -> (tempfile::TempDir, Arc<SqliteStore>) {
    let copy = tempfile::tempdir().unwrap();
    for file in ["data.db", "data.db-wal"] {
        std::fs::copy(folder.join(file), copy.path().join(file)).unwrap();
    }
    let store = store(copy.path());
    (copy, store)
}

#[tokio::test]
async fn a_try_is_written_with_the_failure_it_ends_in() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let stores = Stores::of(Arc::clone(&store));
    let user = add_user(&stores, "ann").await;
    enroll(&stores, &user, 1).await;
    store.insert_challenge(challenge(9, 1)).await.unwrap();
    store.record(event(), Vec::new()).await.unwrap();
    for left in [5, 4, 3] {
        assert_eq!(store.take_try(&digest(9)).await.unwrap().unwrap().tries, left);
        store.count_failure(&user, failure(&user, &[1], 100)).await.unwrap();
        let (_copy, revived) = copy_of(folder.path());
        assert_eq!(revived.find_challenge(&digest(9)).await.unwrap().unwrap().tries, left - 1);
    }
}

#[tokio::test]
async fn a_code_that_was_superseded_never_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    store.insert_challenge(challenge(1, 1)).await.unwrap();
    store.record(event(), Vec::new()).await.unwrap();
    assert_eq!(store.take_try(&digest(1)).await.unwrap().unwrap().tries, 5);
    store.insert_challenge(challenge(2, 1)).await.unwrap();
    for _ in 0..2 {
        assert!(store.find_challenge(&digest(1)).await.unwrap().is_none(), "its row may be there still");
        assert!(store.take_try(&digest(1)).await.unwrap().is_none());
        // The newer one ends before it was ever written.
        store.settle(Settlement { challenge: Some(digest(2)), ..Settlement::default() }, NOW).await;
    }
    store.record(event(), Vec::new()).await.unwrap();
    for revived in [Arc::clone(&store), copy_of(folder.path()).1] {
        assert!(revived.find_challenge(&digest(1)).await.unwrap().is_none());
    }
    assert!(store.find_challenge(&digest(2)).await.unwrap().is_none());
}

#[tokio::test]
async fn a_pending_login_needs_no_commit_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    store.insert_transaction(transaction(100)).await.unwrap();
    store.record(event(), Vec::new()).await.unwrap();
    let before = store.commits();
    for n in 0..20 {
        store.insert_transaction(transaction(n)).await.unwrap();
        store.insert_challenge(challenge(n, n)).await.unwrap();
        store.take_try(&digest(n)).await.unwrap().unwrap();
        store.record(event(), Vec::new()).await.unwrap();
    }
    // The thread may look once by itself meanwhile.
    assert!(store.commits() - before <= 22, "{}", store.commits() - before);
}

#[test]
fn many_who_read_under_the_lock_do_not_wait_for_the_writer_in_a_circle() {
    // Nobody would be left to look at a clock among those who wait.
    let (done, ended) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(12).enable_all().build().unwrap();
        runtime.block_on(many_read_and_write());
        done.send(()).unwrap();
    });
    ended.recv_timeout(Duration::from_secs(120)).expect("nobody waits for ever");
}

async fn many_read_and_write() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let all: Vec<_> = (0..400).collect();
    for n in &all {
        store.insert_challenge(challenge(*n, *n)).await.unwrap();
    }
    store.record(event(), Vec::new()).await.unwrap();
    race(400, |n| {
        let store = Arc::clone(&store);
        async move {
            for _ in 0..5 {
                store.take_try(&digest(n)).await.unwrap().unwrap();
                store.find_transaction(&digest(n)).await.unwrap();
                store.record(event(), Vec::new()).await.unwrap();
            }
        }
    })
    .await;
}

#[tokio::test]
async fn looking_for_messages_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    OutboxStore::insert(&*store, vec![message(1)]).await.unwrap();
    let before = store.commits();
    for _ in 0..20 {
        assert!(
            store.claim(Channel::Sms, NOW.minus(Duration::from_millis(1)), later(60), 10).await.unwrap().is_empty()
        );
        assert!(store.oldest(Channel::Sms, NOW).await.unwrap().is_some());
    }
    assert_eq!(store.commits(), before);
}

#[tokio::test]
async fn dropping_the_store_writes_what_was_accepted() {
    let folder = tempfile::tempdir().unwrap();
    let first = store(folder.path());
    let otp = bucket(1, "otp");
    first.reserve(std::slice::from_ref(&otp), attempt(1), NOW).await.unwrap();
    first.settle(Settlement { reset: Some(otp.key.clone()), ..Settlement::default() }, NOW).await;
    drop(first);
    assert_eq!(SessionStore::purge(&*store(folder.path()), later(100_000)).await.unwrap(), 0);
}

#[tokio::test]
async fn what_a_key_was_is_in_neither_file_nor_log_once_it_is_retired() {
    let folder = tempfile::tempdir().unwrap();
    let held = |needle: &[u8]| {
        ["data.db", "data.db-wal"].map(|name| {
            let bytes = std::fs::read(folder.path().join(name)).unwrap_or_default();
            bytes.windows(needle.len()).any(|window| window == needle)
        })
    };
    let first = store(folder.path());
    let secret = b"what only a signer may know";
    let row = |event| AuditEvent::of_deployment(event, NOW);
    let (id, sealed) = (KeyId::new("key"), Sealed::new(secret.to_vec()));
    let (algorithm, state) = (Algorithm::Es256, KeyState::Next);
    let key = StoredKey { id: id.clone(), algorithm, state, sealed, created_at: NOW, changed_at: NOW };
    assert!(first.insert_key(key, row(Event::SigningKeyAdded)).await.unwrap());
    assert!(held(secret).contains(&true));
    assert!(first.retire_key(&id, KeyState::Next, NOW, row(Event::SigningKeyRetired)).await.unwrap());
    assert_eq!(held(secret), [false, false]);
    drop(first);
    assert!(!folder.path().join("data.db-wal").exists(), "the last to close the file leaves no log");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_stores_on_one_file_have_one_winner() {
    let folder = tempfile::tempdir().unwrap();
    let both = [store(folder.path()), store(folder.path())];
    let stores = Stores::of(Arc::clone(&both[0]));
    let user = add_user(&stores, "ann").await;
    enroll(&stores, &user, 1).await;
    for step in 101..111 {
        let outcomes = race(64, |n| {
            let store = Arc::clone(&both[n % 2]);
            let login = login_with(&user, usize::try_from(step).unwrap() * 1000 + n, otp(1, step));
            async move { store.commit(login).await.unwrap() }
        })
        .await;
        assert_eq!(outcomes.iter().filter(|outcome| **outcome == CommitOutcome::Committed).count(), 1);
    }
}

/// What a crash of the process leaves: a copy of the files, taken while the store is open.
fn crashed(folder: &Path) -> (tempfile::TempDir, Arc<SqliteStore>) {
    let copy = tempfile::tempdir().unwrap();
    for file in ["data.db", "data.db-wal"] {
        std::fs::copy(folder.join(file), copy.path().join(file)).unwrap();
    }
    let revived = store(copy.path());
    (copy, revived)
}

#[tokio::test]
async fn a_counted_failure_takes_its_bucket_to_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let stores = Stores::of(Arc::clone(&store));
    let user = add_user(&stores, "ann").await;
    enroll(&stores, &user, 1).await;
    let bucket = bucket(1, "otp");
    for n in 0..10 {
        assert_eq!(store.reserve(std::slice::from_ref(&bucket), attempt(n), NOW).await.unwrap(), Reservation::Granted);
        store.count_failure(&user, failure(&user, &[1], 100)).await.unwrap();
    }
    let (_files, revived) = crashed(folder.path());
    assert!(matches!(revived.reserve(&[bucket], attempt(10), NOW).await.unwrap(), Reservation::Denied { .. }));
}

#[tokio::test]
async fn what_was_given_back_is_never_written() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let bucket = bucket(1, "otp");
    let before = store.commits();
    for n in 0..20 {
        assert_eq!(store.reserve(std::slice::from_ref(&bucket), attempt(n), NOW).await.unwrap(), Reservation::Granted);
        store.settle(Settlement { refund: vec![(bucket.clone(), attempt(n))], ..Settlement::default() }, NOW).await;
    }
    // The empty job that tells the writer to look is the only one there may have been.
    assert!(store.commits() - before <= 1, "{} commits", store.commits() - before);
}

#[tokio::test]
async fn the_dropped_store_leaves_its_buckets() {
    let folder = tempfile::tempdir().unwrap();
    let bucket = bucket(1, "password");
    let first = store(folder.path());
    for n in 0..10 {
        assert_eq!(first.reserve(std::slice::from_ref(&bucket), attempt(n), NOW).await.unwrap(), Reservation::Granted);
    }
    drop(first);
    let second = store(folder.path());
    assert!(matches!(
        second.reserve(std::slice::from_ref(&bucket), attempt(10), NOW).await.unwrap(),
        Reservation::Denied { .. }
    ));
    // It is filled in memory, and the row goes with the store.
    second.settle(Settlement { reset: Some(bucket.key.clone()), ..Settlement::default() }, NOW).await;
    drop(second);
    assert_eq!(store(folder.path()).reserve(&[bucket], attempt(11), NOW).await.unwrap(), Reservation::Granted);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_logins_share_few_commits() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let user = add_user(&Stores::of(Arc::clone(&store)), "ann").await;
    let before = store.commits();
    let outcomes = race(256, |n| {
        let (store, login) = (Arc::clone(&store), login_with(&user, n, Burn::Nothing));
        async move { store.commit(login).await.unwrap() }
    })
    .await;
    assert!(outcomes.iter().all(|outcome| *outcome == CommitOutcome::Committed));
    let commits = store.commits() - before;
    assert!(commits < 128, "{commits} transactions for 256 logins");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_full_disk_refuses_and_the_store_lives_on() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let user = add_user(&Stores::of(Arc::clone(&store)), "ann").await;
    store.limit_pages(1).await.unwrap();
    let mut refused = None;
    for n in 0..5000 {
        match store.commit(login_with(&user, n, Burn::Nothing)).await {
            Ok(outcome) => assert_eq!(outcome, CommitOutcome::Committed),
            Err(error) => {
                refused = Some((n, error));
                break;
            }
        }
    }
    let (n, error) = refused.expect("the disk was never full");
    assert!(error.did_not_happen(), "a commit that found no room is in the file nowhere: {error:?}");
    let many = race(64, |n| {
        let (store, user) = (Arc::clone(&store), new_user(&format!("{n}{}", "x".repeat(300)), None));
        async move { UserStore::insert(&*store, vec![user]).await }
    })
    .await;
    assert!(many.iter().any(|answer| matches!(answer, Err(PortError::Undone(..)))));
    assert!(store.find(&user).await.unwrap().is_some(), "reading goes on");

    store.limit_pages(u32::MAX - 1).await.unwrap();
    assert_eq!(store.commit(login_with(&user, n, Burn::Nothing)).await.unwrap(), CommitOutcome::Committed);
    assert_eq!(store.commit(login(&user, Burn::Nothing)).await.unwrap(), CommitOutcome::Committed);
}

#[tokio::test]
async fn a_full_queue_is_overload() {
    let folder = tempfile::tempdir().unwrap();
    let options = SqliteOptions { waiting: 1, ..SqliteOptions::default() };
    let store = Arc::new(SqliteStore::open(&folder.path().join("data.db"), &toy_chain(), options).unwrap());
    // Another process writes, so the queue does not move.
    let other = rusqlite::Connection::open(folder.path().join("data.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    // More than one batch and the queue hold together.
    let calls: Vec<_> = (0..200)
        .map(|n| {
            let store = Arc::clone(&store);
            tokio::spawn(async move { store.exhaust_transaction(&digest(n)).await })
        })
        .collect();
    let mut overloaded = 0;
    let mut waiting = Vec::new();
    for call in calls {
        // Whoever is refused is refused at once; the others wait for the lock.
        tokio::task::yield_now().await;
        if call.is_finished() {
            assert!(matches!(call.await.unwrap(), Err(PortError::Overloaded)));
            overloaded += 1;
        } else {
            waiting.push(call);
        }
    }
    assert!(overloaded > 0);
    other.execute_batch("ROLLBACK").unwrap();
    for call in waiting {
        call.await.unwrap().unwrap();
    }
}
