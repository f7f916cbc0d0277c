//! The chain of the audit trail beside a server that is busy, and after it was killed.

use countersign_tests::{
    api::Transport,
    process::{self, DEMO_CLIENT, DEMO_PASSWORD, DemoProcess, Ended, Saying},
};
use rusqlite::Connection;
use serde_json::Value;
use tempfile::TempDir;
use tokio::task::JoinSet;

async fn audit(folder: &TempDir, arguments: &[&str]) -> Ended {
    let dir = folder.path().to_str().unwrap();
    process::run(folder.path(), &[&["audit"], arguments, &["--dir", dir]].concat(), "").await
}

async fn whole(folder: &TempDir) -> String {
    let ended = audit(folder, &["verify"]).await;
    assert_eq!(ended.code, 0, "{ended:?}");
    ended.out.lines().find_map(|line| line.strip_prefix("head ")).expect("it names the head").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_trail_is_whole_under_load_with_a_second_process_and_after_a_kill() {
    let folder = TempDir::new().unwrap();
    let demo = DemoProcess::start(folder.path(), 64).await;
    let before = whole(&folder).await;
    let api = demo.api(Transport::Grpc).await;
    let mut logins = JoinSet::new();
    for n in 0..64 {
        let api = api.clone();
        logins.spawn(async move {
            let username = format!("user{:05}", n + 1);
            let password = if n % 4 == 0 { "wrong" } else { DEMO_PASSWORD };
            drop(api.login(DEMO_CLIENT, &username, password).await);
        });
    }
    let dir = folder.path().to_str().unwrap();
    for (n, verb) in ["block", "unblock", "block", "unblock"].into_iter().enumerate() {
        let username = format!("user{:05}", n / 2 + 1);
        let ended = process::run(folder.path(), &["user", verb, &username, "--dir", dir], "").await;
        assert_eq!(ended.code, 0, "{ended:?}");
        whole(&folder).await;
    }
    logins.join_all().await;
    let mut last = JoinSet::new();
    for n in 0..16 {
        let api = api.clone();
        last.spawn(async move { drop(api.login(DEMO_CLIENT, &format!("user{:05}", n + 1), "wrong").await) });
    }
    last.join_next().await.unwrap().unwrap();
    demo.kill().await;
    last.join_all().await;
    let after = whole(&folder).await;
    assert_ne!(before, after);
    // What was the head is in the trail still.
    assert_eq!(audit(&folder, &["verify", "--contains", &before]).await.code, 0);
    let again = DemoProcess::start(folder.path(), 64).await;
    whole(&folder).await;
    again.kill().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_reads_follows_exports_and_checks_the_trail() {
    let folder = TempDir::new().unwrap();
    let demo = DemoProcess::start(folder.path(), 2).await;
    let api = demo.api(Transport::Http).await;
    api.login(DEMO_CLIENT, "user00001", "wrong").await.unwrap_err();
    // The server may add the next signing keys meanwhile, whose rows come among these.
    assert_eq!(audit(&folder, &["tail", "-n", "1"]).await.out.lines().count(), 1);
    let tail = audit(&folder, &["tail", "-n", "5"]).await;
    assert_eq!(tail.code, 0, "{tail:?}");
    assert!(
        tail.out.contains(" proof_rejected.password log_code=fepft")
            || tail.out.contains(" proof_rejected.password user="),
        "{tail:?}"
    );
    assert_eq!(tail.out.lines().count(), 5);

    let exported = audit(&folder, &["export"]).await;
    let rows: Vec<Value> = exported.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(rows[0]["event"], "trail.started");
    let last = rows.iter().rfind(|row| row["event"] == "proof_rejected.password").unwrap();
    assert_eq!((&last["log_code"], &last["client"]), (&Value::from("fepft"), &Value::from(DEMO_CLIENT.id)));
    let user = last["user"].as_str().unwrap();
    let of_user = audit(&folder, &["export", "--user", user, "--format", "csv"]).await;
    assert_eq!(of_user.out.lines().count(), 3, "names, user.added and the wrong password: {of_user:?}");
    assert_eq!(audit(&folder, &["export", "--until", "2000-01-01T00:00:00Z"]).await.out, "");
    let since = audit(&folder, &["export", "--since", "2000-01-01T00:00:00Z"]).await.out;
    assert!(since.starts_with(&exported.out), "{since}");
    assert_ne!(audit(&folder, &["export", "--since", "yesterday"]).await.code, 0);

    let head = whole(&folder).await;
    demo.kill().await;
    let file = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.extension().is_some_and(|ext| ext == "db"))
        .unwrap();
    let connection = Connection::open(file).unwrap();
    let name = "UPDATE audit SET user_id = 'auth0|eve' WHERE id = 2";
    connection.execute_batch(name).unwrap();
    let broken = audit(&folder, &["verify"]).await;
    assert_eq!((broken.code, broken.err.contains("row 2: it was changed")), (1, true), "{broken:?}");
    // A file of another life has another head.
    let other = TempDir::new().unwrap();
    DemoProcess::start(other.path(), 1).await.kill().await;
    let missing = audit(&other, &["verify", "--contains", &head]).await;
    assert_eq!((missing.code, missing.err.contains("not in this trail")), (1, true), "{missing:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_follows_the_trail_reads_what_is_written_later() {
    let folder = TempDir::new().unwrap();
    let demo = DemoProcess::start(folder.path(), 2).await;
    let api = demo.api(Transport::Http).await;
    let dir = folder.path().to_str().unwrap();
    let mut tail = Saying::start(folder.path(), &["audit", "tail", "-n", "1", "--follow", "--dir", dir]);
    let mut last = 0;
    // The server may add the next signing keys meanwhile, whose rows come among these.
    let mut read = async || {
        let line = tail.next().await;
        let id: i64 = line.split(' ').next().unwrap().parse().unwrap();
        assert!(id > last, "each row once, in order: {line}");
        last = id;
        line
    };
    // It has begun once it says what was there before.
    read().await;
    for _ in 0..3 {
        api.login(DEMO_CLIENT, "user00001", "wrong").await.unwrap_err();
        while !read().await.contains(" proof_rejected.password ") {}
        // What another process writes is read as well.
        let verb = process::run(folder.path(), &["user", "block", "user00002", "--dir", dir], "").await;
        assert_eq!(verb.code, 0, "{verb:?}");
        while !read().await.contains(" user.blocked ") {}
    }
}
