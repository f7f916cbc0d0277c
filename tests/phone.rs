//! The phone for the terminal against the program itself, both in processes of their own.

use std::path::Path;

use countersign_tests::{
    api::{Api, Transport},
    process::{DEMO_CLIENT, DEMO_PASSWORD, DemoProcess, Ended, run, run_on_a_terminal},
    refusal::{PENDING, REJECTED, Refused as _},
};
use tempfile::TempDir;

const PERSON: &str = "user00001";

async fn mfa_token(api: &Api) -> String {
    api.login(DEMO_CLIENT, PERSON, DEMO_PASSWORD).await.unwrap().mfa_token()
}

/// `countersign device` in the folder that the demo's folder is in.
async fn device(folder: &Path, arguments: &[&str], input: &str) -> Ended {
    let all: Vec<_> = std::iter::once("device").chain(arguments.iter().copied()).collect();
    run(folder, &all, input).await
}

/// The folder, the demo in it, and a phone that is enrolled.
async fn enrolled() -> (TempDir, DemoProcess, Api) {
    let folder = TempDir::new().unwrap();
    let demo = DemoProcess::start(&folder.path().join("countersign-demo"), 2).await;
    let api = demo.api(Transport::Http).await;
    let token = mfa_token(&api).await;
    let barcode = api.associate_push(&token).await.unwrap();
    api.poll(DEMO_CLIENT, &token, &barcode.oob_code).await.refused(&PENDING);
    let done = device(folder.path(), &["enrol", &barcode.uri, "--name", "Terminal"], "").await;
    assert!(done.code == 0 && done.out.contains("Terminal"), "{done:?}");
    api.poll(DEMO_CLIENT, &token, &barcode.oob_code).await.unwrap();
    (folder, demo, api)
}

/// The lines of `device list` about logins, as soon as there is one.
async fn waiting(folder: &Path) -> Vec<String> {
    let mut ticks = tokio::time::interval(std::time::Duration::from_millis(20));
    loop {
        ticks.tick().await;
        let listed = device(folder, &["list"], "").await;
        assert_eq!(listed.code, 0, "{listed:?}");
        let logins: Vec<_> = listed.out.lines().filter(|line| line.starts_with("login")).map(str::to_owned).collect();
        if !logins.is_empty() {
            return logins;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_is_approved_in_the_terminal_with_its_number() {
    let (folder, _demo, api) = enrolled().await;
    let token = mfa_token(&api).await;
    let listed = api.list(&token).await.unwrap();
    assert_eq!(listed[0].name.as_deref(), Some("Terminal"));
    let asked = api.ask(DEMO_CLIENT, &token, None).await.unwrap();
    let number = asked.number.unwrap();
    let logins = waiting(folder.path()).await;
    assert_eq!(logins.len(), 1, "{logins:?}");
    assert!(logins[0].contains("An app on a phone"), "{logins:?}");

    let wrong = if number == "000000" { "000001" } else { "000000" };
    let refused = device(folder.path(), &["approve", "--number", wrong], "").await;
    assert_eq!(refused.code, 65, "{refused:?}");
    assert!(refused.err.contains("invalid_otp"), "{refused:?}");
    let prompted = device(folder.path(), &["approve"], &format!("{number}\n")).await;
    assert_eq!(prompted.code, 0, "{prompted:?}");
    assert!(prompted.err.contains("Number shown where you log in: "), "{prompted:?}");
    api.poll(DEMO_CLIENT, &token, &asked.oob_code).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_number_is_typed_at_a_terminal() {
    let (folder, _demo, api) = enrolled().await;
    let token = mfa_token(&api).await;
    let asked = api.ask(DEMO_CLIENT, &token, None).await.unwrap();
    let number = asked.number.unwrap();
    assert_eq!(waiting(folder.path()).await.len(), 1);
    let line = "countersign device approve";
    let shown = run_on_a_terminal(folder.path(), line, &format!("{number}\n")).await;
    assert_eq!(shown.code, 0, "{shown:?}");
    assert!(shown.out.contains("Number shown where you log in: "), "{shown:?}");
    assert!(shown.out.contains("Approved login "), "{shown:?}");
    api.poll(DEMO_CLIENT, &token, &asked.oob_code).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_is_denied_in_the_terminal_and_the_account_removed() {
    let (folder, _demo, api) = enrolled().await;
    let token = mfa_token(&api).await;
    let asked = api.ask(DEMO_CLIENT, &token, None).await.unwrap();
    waiting(folder.path()).await;
    let denied = device(folder.path(), &["deny", "--reason", "not me"], "").await;
    assert_eq!(denied.code, 0, "{denied:?}");
    api.poll(DEMO_CLIENT, &token, &asked.oob_code).await.refused(&REJECTED);

    // The app that came with it completes a login, and it can remove itself.
    let code = device(folder.path(), &["code"], "").await;
    api.otp(DEMO_CLIENT, &token, code.out.trim()).await.unwrap();
    assert_eq!(device(folder.path(), &["remove"], "").await.code, 0);
    let token = mfa_token(&api).await;
    assert!(api.list(&token).await.unwrap().iter().all(|entry| !entry.active));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_barcode_is_good_once() {
    let (folder, _demo, api) = enrolled().await;
    let token = api.login(DEMO_CLIENT, "user00002", DEMO_PASSWORD).await.unwrap().mfa_token();
    let barcode = api.associate_push(&token).await.unwrap();
    let other = folder.path().join("other.json");
    let phone = ["enrol", barcode.uri.as_str(), "--phone", other.to_str().unwrap()];
    assert_eq!(device(folder.path(), &phone, "").await.code, 0);
    let again = device(folder.path(), &["enrol", &barcode.uri], "").await;
    assert_eq!(again.code, 65, "{again:?}");
    assert!(again.err.contains("enrollment_conflict"), "{again:?}");
    let secrets = std::fs::read_to_string(&other).unwrap();
    assert!(!again.err.contains("csdev_") && secrets.contains("csdev_"));
}
