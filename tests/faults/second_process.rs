//! The program is started where it runs already.

use countersign_tests::{
    process::{self, DemoProcess, ServeProcess},
    tenant::Tenant,
};
use tempfile::TempDir;

const ANY_PORTS: [&str; 8] = ["--https-port", "0", "--http-port", "0", "--grpc-port", "0", "--ops-port", "0"];

#[tokio::test(flavor = "multi_thread")]
async fn a_second_demo_in_one_folder_is_refused_and_changes_nothing() {
    let folder = TempDir::new().unwrap();
    let demo = DemoProcess::start(folder.path(), 1).await;
    let told = std::fs::read(folder.path().join("demo.json")).unwrap();
    let second = process::run(folder.path(), &[&["demo", "--dir", "."][..], &ANY_PORTS].concat(), "").await;
    assert_ne!(second.code, 0);
    assert!(second.err.contains("another demo runs in"), "{}", second.err);
    assert_eq!(std::fs::read(folder.path().join("demo.json")).unwrap(), told);
    let users = process::run(folder.path(), &["user", "list", "--dir", "."], "").await;
    assert_eq!(users.code, 0, "{}", users.err);
    demo.kill().await;
    DemoProcess::start(folder.path(), 1).await.kill().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_demo_that_does_not_start_leaves_no_description_of_an_earlier_one() {
    let folder = TempDir::new().unwrap();
    DemoProcess::start(folder.path(), 1).await.kill().await;
    assert!(folder.path().join("demo.json").exists());
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let failed =
        process::run(folder.path(), &["demo", "--dir", ".", "--https-port", "0", "--http-port", &port], "").await;
    assert_ne!(failed.code, 0);
    assert!(!folder.path().join("demo.json").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_server_on_one_file_is_refused_and_commands_are_not() {
    let folder = TempDir::new().unwrap();
    let config = Tenant::default().toml(&process::places(folder.path()));
    let first = ServeProcess::start(folder.path(), &config).await;
    let second = process::run(folder.path(), &["serve", "--config", "countersign.toml"], "").await;
    assert_ne!(second.code, 0);
    assert!(second.err.contains("another server uses this database"), "{}", second.err);
    let users = process::run(folder.path(), &["user", "list", "--config", "countersign.toml"], "").await;
    assert_eq!(users.code, 0, "{}", users.err);
    first.kill().await;
    ServeProcess::start(folder.path(), &config).await.kill().await;
}
