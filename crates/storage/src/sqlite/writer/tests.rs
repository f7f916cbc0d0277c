#![allow(clippy::unwrap_used, clippy::panic)]
use std::sync::mpsc;

use countersign_domain::testing::toy_chain;

use super::*;
use crate::sqlite::schema::open_writer;

#[tokio::test]
async fn a_job_that_fails_after_a_change_takes_back_its_own_alone() {
    let folder = tempfile::tempdir().unwrap();
    let connection = open_writer(&folder.path().join("data.db"), &toy_chain()).unwrap();
    let connection = Arc::new(Mutex::new(connection));
    let writer = Writer::start(Arc::clone(&connection), toy_chain(), Arc::new(Unwritten::default()), 16).unwrap();
    let (go, wait) = mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    // Until all others are in line, so that they share a transaction.
    let first = writer.submit(Durability::Full, move |_| {
        wait.lock().unwrap().recv().unwrap_err();
        Ok(Step::Keep(()))
    });
    let job = |name: &'static str, then: fn(&Transaction<'_>) -> rusqlite::Result<Step<&'static str>>| {
        writer.submit(Durability::Full, move |transaction| {
            transaction.execute("INSERT INTO consumed VALUES (1, ?1, x'00')", [name])?;
            then(transaction)
        })
    };
    let (first, before, refused, failed, panicked, after, ()) = tokio::join!(
        first,
        job("before", |_| Ok(Step::Keep("kept"))),
        job("refused", |_| Ok(Step::Undo("refused"))),
        job("failed", |transaction| transaction.execute_batch("no SQL").map(|()| Step::Keep("failed"))),
        job("panicked", |_| panic!("a job")),
        job("after", |_| Ok(Step::Keep("kept"))),
        async { drop(go) },
    );
    first.unwrap();
    assert_eq!((before.unwrap(), refused.unwrap(), after.unwrap()), ("kept", "refused", "kept"));
    assert!(failed.is_err() && panicked.is_err());
    assert!(writer.commits() <= 2);
    let connection = connection.lock().unwrap();
    let kept = "SELECT group_concat(kind ORDER BY kind) FROM consumed";
    assert_eq!(connection.query_row(kept, [], |row| row.get::<_, String>(0)).unwrap(), "after,before");
}
