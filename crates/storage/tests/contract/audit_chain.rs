//! The chain of the audit trail: whatever is done to the file by somebody without the key is seen.

use std::{path::Path, sync::Arc};

use countersign_domain::{
    audit::{
        AuditEvent,
        chain::{AuditChain, AuditRow},
        verify::{Broken, Flaw, Head, Verifier},
    },
    id::UserId,
    port::{
        audit_store::AuditStore as _,
        login_store::{CommitOutcome, LoginStore as _},
    },
    testing::{ToySealer, toy_chain},
};
use countersign_storage::{
    contract::{
        race,
        records::{add_user, audit, failure, login_with, otp},
    },
    open::Stores,
    sqlite::{SqliteOptions, SqliteStore},
};
use rusqlite::Connection;
use tempfile::TempDir;

/// A file with the start of the chain and nine more rows, which nobody has open.
async fn ten_rows() -> TempDir {
    let folder = TempDir::new().unwrap();
    let store = open(folder.path());
    for n in 0..9 {
        let row = audit(&UserId::new(format!("auth0|{n}"))).because("why");
        if n % 2 == 0 { store.record(row, Vec::new()).await.unwrap() } else { store.note(row).await.unwrap() }
    }
    folder
}

fn open(folder: &Path) -> SqliteStore {
    SqliteStore::open(&folder.join("data.db"), &toy_chain(), SqliteOptions::default()).unwrap()
}

async fn rows(store: &SqliteStore) -> Vec<AuditRow> {
    store.list_rows(0, 100_000).await.unwrap()
}

async fn verify(store: &SqliteStore) -> Result<Head, Broken> {
    let mut verifier = Verifier::new(toy_chain());
    for row in rows(store).await {
        verifier.take(&row)?;
    }
    verifier.end()
}

/// What is found after `sql` was run on the file by another program.
async fn after(folder: &TempDir, sql: &str) -> Result<Head, Broken> {
    let connection = Connection::open(folder.path().join("data.db")).unwrap();
    connection.execute_batch(sql).unwrap();
    drop(connection);
    verify(&open(folder.path())).await
}

#[tokio::test]
async fn a_trail_that_nobody_touched_is_whole() {
    let folder = ten_rows().await;
    let head = verify(&open(folder.path())).await.unwrap();
    assert_eq!(head.id, 10);
    assert_eq!(rows(&open(folder.path())).await[0].event, "trail.started");
    let page = open(folder.path()).list_rows(3, 2).await.unwrap();
    assert_eq!(page.iter().map(|row| row.id).collect::<Vec<_>>(), [4, 5]);
    assert_eq!(open(folder.path()).last_row().await.unwrap(), 10);
}

#[tokio::test]
async fn every_column_of_every_row_is_bound_to_its_link() {
    for column in ["at", "event", "user_id", "client_id", "authenticator", "address", "operator", "detail"] {
        for id in 1..=10 {
            let folder = ten_rows().await;
            let value = if column == "at" { "at + 1" } else { "'changed'" };
            let broken =
                after(&folder, &format!("UPDATE audit SET {column} = {value} WHERE id = {id}")).await.unwrap_err();
            assert_eq!(broken.id, id, "{column}");
        }
    }
}

#[tokio::test]
async fn nothing_and_an_empty_text_are_not_the_same() {
    let folder = ten_rows().await;
    let broken = after(&folder, "UPDATE audit SET operator = '' WHERE id = 4").await;
    assert_eq!(broken, Err(Broken { id: 4, flaw: Flaw::Changed }));
}

#[tokio::test]
async fn every_kind_of_tampering_is_found_at_its_row() {
    let cases: [(&str, &str, i64, Flaw); 14] = [
        ("a row in the middle is removed", "DELETE FROM audit WHERE id = 5", 5, Flaw::Missing),
        (
            "and the others close the gap",
            "DELETE FROM audit WHERE id = 5; UPDATE audit SET id = id - 1 WHERE id > 5",
            5,
            Flaw::Changed,
        ),
        ("the last row is removed", "DELETE FROM audit WHERE id = 10", 10, Flaw::CutOff),
        ("the second half is removed", "DELETE FROM audit WHERE id > 5", 6, Flaw::CutOff),
        (
            "and the seal is kept",
            "UPDATE audit SET seal = (SELECT seal FROM audit WHERE id = 10) WHERE id = 5; DELETE FROM audit WHERE id > 5",
            6,
            Flaw::CutOff,
        ),
        ("the first row is removed", "DELETE FROM audit WHERE id = 1", 2, Flaw::NoStart),
        ("the first half is removed", "DELETE FROM audit WHERE id < 5", 5, Flaw::NoStart),
        ("all rows are removed", "DELETE FROM audit", 1, Flaw::NoStart),
        (
            "two rows change places",
            "UPDATE audit SET id = 99 WHERE id = 4; UPDATE audit SET id = 4 WHERE id = 5; UPDATE audit SET id = 5 WHERE id = 99",
            4,
            Flaw::Changed,
        ),
        (
            "a row is copied to the end",
            "INSERT INTO audit SELECT 11, at, event, user_id, client_id, authenticator, address, operator, detail, link, seal \
             FROM audit WHERE id = 10",
            11,
            Flaw::Changed,
        ),
        (
            "a row is made up",
            "INSERT INTO audit (id, at, event, user_id) VALUES (11, 1, 'login.otp', 'auth0|eve')",
            11,
            Flaw::Changed,
        ),
        ("a link is removed", "UPDATE audit SET link = NULL WHERE id = 7", 7, Flaw::Changed),
        ("all links are removed", "UPDATE audit SET link = NULL, seal = NULL", 1, Flaw::NoStart),
        ("the seal is removed", "UPDATE audit SET seal = NULL", 11, Flaw::CutOff),
    ];
    for (what, sql, id, flaw) in cases {
        let folder = ten_rows().await;
        assert_eq!(after(&folder, sql).await, Err(Broken { id, flaw }), "{what}");
    }
}

#[tokio::test]
async fn rows_written_after_the_trail_was_cut_off_do_not_hide_that() {
    let folder = ten_rows().await;
    after(&folder, "DELETE FROM audit WHERE id > 5").await.unwrap_err();
    let store = open(folder.path());
    for _ in 0..7 {
        store.record(audit(&UserId::new("auth0|ann")), Vec::new()).await.unwrap();
    }
    assert_eq!(verify(&store).await, Err(Broken { id: 6, flaw: Flaw::Changed }));
}

#[tokio::test]
async fn a_store_that_is_open_does_not_hide_a_cut_either() {
    let folder = ten_rows().await;
    let store = open(folder.path());
    store.record(audit(&UserId::new("auth0|ann")), Vec::new()).await.unwrap();
    Connection::open(folder.path().join("data.db")).unwrap().execute("DELETE FROM audit WHERE id > 3", []).unwrap();
    store.record(audit(&UserId::new("auth0|ann")), Vec::new()).await.unwrap();
    assert_eq!(verify(&store).await, Err(Broken { id: 4, flaw: Flaw::Changed }));
}

#[tokio::test]
async fn another_key_fits_no_row() {
    let folder = ten_rows().await;
    let mut verifier = Verifier::new(AuditChain::new(Arc::new(ToySealer(1))));
    let first = rows(&open(folder.path())).await.remove(0);
    assert_eq!(verifier.take(&first), Err(Broken { id: 1, flaw: Flaw::NoStart }));
}

/// The schema before the trail was a chain.
const BEFORE_THE_CHAIN: [&str; 7] = [
    include_str!("../../src/sqlite/migrations/0001_initial.sql"),
    include_str!("../../src/sqlite/migrations/0002_messages.sql"),
    include_str!("../../src/sqlite/migrations/0003_notices.sql"),
    include_str!("../../src/sqlite/migrations/0004_devices.sql"),
    include_str!("../../src/sqlite/migrations/0005_outbox.sql"),
    include_str!("../../src/sqlite/migrations/0006_refresh_tokens.sql"),
    include_str!("../../src/sqlite/migrations/0007_audit_detail.sql"),
];

#[tokio::test]
async fn rows_of_older_versions_are_covered_by_the_first_link() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("data.db");
    // As the version before the chain made it.
    let old = Connection::open(&path).unwrap();
    for migration in BEFORE_THE_CHAIN {
        old.execute_batch(migration).unwrap();
    }
    old.execute_batch(
        "INSERT INTO audit (at, event, user_id, detail) VALUES (1, 'login.otp', 'auth0|ann', NULL), (2, 'login.otp', 'auth0|bob', 'x');
         PRAGMA user_version = 7;",
    )
    .unwrap();
    drop(old);
    let store = open(folder.path());
    store.record(audit(&UserId::new("auth0|ann")), Vec::new()).await.unwrap();
    assert_eq!(verify(&store).await.unwrap().id, 4);
    assert_eq!(rows(&store).await[2].detail.as_deref(), Some("rows_before=2"));
    drop(store);
    for sql in ["UPDATE audit SET user_id = 'auth0|eve' WHERE id = 1", "DELETE FROM audit WHERE id = 2"] {
        assert_eq!(after(&folder, sql).await, Err(Broken { id: 3, flaw: Flaw::NoStart }), "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_stores_on_one_file_write_one_chain() {
    let folder = TempDir::new().unwrap();
    let stores = [Arc::new(open(folder.path())), Arc::new(open(folder.path()))];
    let ann = add_user(&Stores::of(Arc::clone(&stores[0])), "ann").await;
    race(64, |n| {
        let (store, user) = (Arc::clone(&stores[n % 2]), ann.clone());
        async move {
            for step in 0..8 {
                match step % 3 {
                    0 => store.record(audit(&user), Vec::new()).await.unwrap(),
                    1 => store.note(audit(&user)).await.unwrap(),
                    _ => store.count_failure(&user, failure(&user, &[n], 1000)).await.map(drop).unwrap(),
                }
                // One that is refused leaves no row, and no gap.
                let outcome = store.commit(login_with(&user, n, otp(1, 1))).await.unwrap();
                assert_eq!(outcome, CommitOutcome::ProofSpent);
            }
        }
    })
    .await;
    let head = verify(&stores[1]).await.unwrap();
    assert_eq!(head.id, 1 + 1 + 64 * 8);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn pages_read_while_rows_are_written_fit_together() {
    let folder = TempDir::new().unwrap();
    let store = Arc::new(open(folder.path()));
    let writing = Arc::clone(&store);
    let writer = tokio::spawn(async move {
        for n in 0..600 {
            let row: AuditEvent = audit(&UserId::new(format!("auth0|{n}")));
            writing.note(row).await.unwrap();
        }
    });
    let mut checks = 0;
    loop {
        let done = writer.is_finished();
        let mut verifier = Verifier::new(toy_chain());
        let mut after = 0;
        loop {
            let page = store.list_rows(after, 50).await.unwrap();
            for row in &page {
                verifier.take(row).unwrap();
                after = row.id;
            }
            if page.len() < 50 {
                break;
            }
        }
        let head = verifier.end().unwrap();
        checks += 1;
        if done {
            assert_eq!(head.id, 601);
            break;
        }
        tokio::task::yield_now().await;
    }
    assert!(checks > 1, "it was checked while rows were written");
    writer.await.unwrap();
}
