//! The restore drill, with the program itself: what docs/operations.md tells an operator to do.

use std::path::Path;

use countersign_storage::testing_redis::{RedisServer, RedisServerOptions};
use countersign_tests::{
    api::{Api, Outcome, Transport},
    dump, otp,
    person::Phone,
    process::{self, DEMO_CLIENT, DEMO_PASSWORD, DemoProcess, Ended, ServeProcess},
    refusal::{MALFORMED_TOKEN, Refused as _, WRONG_OTP, WRONG_RECOVERY_CODE},
    tenant::Tenant,
};
use rusqlite::Connection;
use tempfile::TempDir;

const NAME: &str = "user00001";

async fn token(api: &Api) -> String {
    api.login(DEMO_CLIENT, NAME, DEMO_PASSWORD).await.map(Outcome::mfa_token).expect("the password is right")
}

async fn start(folder: &Path) -> Ended {
    let any = ["--https-port", "0", "--http-port", "0", "--grpc-port", "0", "--ops-port", "0"];
    process::run(folder, &[&["demo", "--users", "2", "--dir", "."], &any[..]].concat(), "").await
}

async fn refused(folder: &Path, seen: &str) {
    let ended = start(folder).await;
    assert_eq!(ended.code, 65, "{ended:?}");
    assert!(ended.err.contains("may be a backup") && ended.err.contains(seen), "{ended:?}");
}

async fn fence(folder: &Path, how: &[&str]) -> Ended {
    process::run(folder, &[&["fence", "--dir", "."], how].concat(), "").await
}

fn last_step(folder: &Path) -> i64 {
    let connection = Connection::open(folder.join("countersign.db")).unwrap();
    connection.query_row("SELECT last_step FROM authenticator", [], |row| row.get(0)).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_is_put_back_fenced_and_served() {
    let folder = TempDir::new().unwrap();
    let (here, database) = (folder.path(), folder.path().join("countersign.db"));
    let demo = DemoProcess::start(here, 2).await;
    let api = demo.api(Transport::Http).await;
    let enrolling = token(&api).await;
    let association = api.associate(&enrolling).await.unwrap();
    let phone = Phone::new(association.secret, association.recovery_codes.into_iter().next());
    let step = otp::real_step();
    api.otp(DEMO_CLIENT, &enrolling, &otp::code_of(&phone.secret, step)).await.unwrap();
    let copy = here.join("backup");
    dump::back_up(&database, &copy);
    demo.kill().await;

    // The server goes on for a while.
    let demo = DemoProcess::start(here, 2).await;
    let api = demo.api(Transport::Http).await;
    let (recovering, pending) = (token(&api).await, token(&api).await);
    let used = phone.recovery_code.clone().unwrap();
    api.recovery(DEMO_CLIENT, &recovering, &used).await.unwrap();
    let busy = fence(here, &["--factors", "keep"]).await;
    assert!(busy.code != 0 && busy.err.contains("another server uses this database"), "{busy:?}");
    let export = process::run(here, &["audit", "export", "--dir", "."], "").await.out;
    std::fs::write(here.join("trail.jsonl"), export).unwrap();
    demo.kill().await;

    dump::put_back(&copy, &database);
    refused(here, "it is older than").await;
    let done = fence(here, &["--audit", "trail.jsonl"]).await;
    assert_eq!(done.code, 0, "{done:?}");
    assert!(done.out.contains(&format!("\t{NAME} of ")), "{done:?}");
    let demo = DemoProcess::start(here, 2).await;
    let api = demo.api(Transport::Grpc).await;
    let code = otp::code_of(&phone.secret, otp::real_step() + 1);
    api.otp(DEMO_CLIENT, &pending, &code).await.refused(&MALFORMED_TOKEN);
    let again = token(&api).await;
    api.recovery(DEMO_CLIENT, &again, &used).await.refused(&WRONG_RECOVERY_CODE);
    api.otp(DEMO_CLIENT, &again, &code).await.refused(&WRONG_OTP);
    api.associate(&again).await.expect("the person has no factor any more");
    demo.kill().await;

    // Without the trail: the app stays, and waits.
    dump::put_back(&copy, &database);
    refused(here, "is about another database").await;
    let done = fence(here, &["--factors", "keep"]).await;
    assert_eq!(done.code, 0, "{done:?}");
    assert!(last_step(here) >= i64::try_from(otp::real_step()).unwrap() + 9);
    let demo = DemoProcess::start(here, 2).await;
    let api = demo.api(Transport::Http).await;
    let again = token(&api).await;
    api.otp(DEMO_CLIENT, &again, &otp::code_of(&phone.secret, otp::real_step().max(step + 1)))
        .await
        .refused(&WRONG_OTP);
    api.recovery(DEMO_CLIENT, &again, &used).await.refused(&WRONG_RECOVERY_CODE);
    demo.kill().await;
    assert_eq!(process::run(here, &["audit", "verify", "--dir", "."], "").await.code, 0);
}

/// After a crash there is a log, which SQLite would lay over whatever lies beside it: a mixture that nothing else can tell.
#[tokio::test(flavor = "multi_thread")]
async fn a_backup_beside_the_log_of_what_was_there_is_not_served() {
    let folder = TempDir::new().unwrap();
    let (here, database) = (folder.path(), folder.path().join("countersign.db"));
    let demo = DemoProcess::start(here, 2).await;
    let copy = here.join("backup");
    dump::back_up(&database, &copy);
    demo.kill().await;
    let demo = DemoProcess::start(here, 2).await;
    token(&demo.api(Transport::Http).await).await;
    demo.kill().await;
    assert!(std::fs::metadata(here.join("countersign.db-wal")).unwrap().len() > 0);
    std::fs::copy(&copy, &database).unwrap();
    refused(here, "the -wal beside it belongs to another state of it").await;
    for how in [&["--factors", "keep"][..], &["--moved"]] {
        let ended = fence(here, how).await;
        assert!(ended.code == 65 && ended.err.contains("remove that and the -shm first"), "{ended:?}");
    }
    dump::put_back(&copy, &database);
    refused(here, "it is older than").await;
    assert_eq!(fence(here, &["--factors", "keep"]).await.code, 0);
    DemoProcess::start(here, 2).await.kill().await;
    std::fs::write(here.join("countersign.db.fence"), "{").unwrap();
    let damaged = start(here).await;
    assert!(damaged.code != 0 && damaged.err.contains("countersign.db.fence is damaged"), "{damaged:?}");
    assert_eq!(fence(here, &["--factors", "keep"]).await.code, 0, "which writes it anew");
    DemoProcess::start(here, 2).await.kill().await;
    // With its own log it goes on, however often it was killed.
    DemoProcess::start(here, 2).await.kill().await;
}

/// Every file of one folder in another, but `without`.
fn copied(from: &Path, to: &Path, without: &str) {
    for file in std::fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        if file.file_name().to_str().is_some_and(|name| name != without) {
            std::fs::copy(file.path(), to.join(file.file_name())).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_was_copied_is_not_served_before_somebody_says_what_it_is() {
    let (folder, whole, bare) = (TempDir::new().unwrap(), TempDir::new().unwrap(), TempDir::new().unwrap());
    DemoProcess::start(folder.path(), 2).await.kill().await;
    copied(folder.path(), whole.path(), "");
    copied(folder.path(), bare.path(), "countersign.db.fence");
    refused(whole.path(), "it is not the same file as when").await;
    refused(bare.path(), "it was served before, but there is no").await;
    for (place, how) in [(&whole, &["--moved"][..]), (&bare, &["--factors", "reset"])] {
        let kek = std::fs::read_to_string(place.path().join("kek")).unwrap();
        std::fs::write(place.path().join("kek"), "0123456789abcdef".repeat(4)).unwrap();
        let wrong = fence(place.path(), how).await;
        assert!(wrong.code != 0 && wrong.err.contains("the signing keys do not open"), "{wrong:?}");
        std::fs::write(place.path().join("kek"), kek).unwrap();
        let done = fence(place.path(), how).await;
        assert_eq!(done.code, 0, "{done:?}");
        DemoProcess::start(place.path(), 2).await.kill().await;
    }
    DemoProcess::start(folder.path(), 2).await.kill().await;
    std::fs::remove_file(bare.path().join("countersign.db")).unwrap();
    let none = fence(bare.path(), &["--moved"]).await;
    assert!(none.code == 65 && none.err.contains("There is no database at"), "{none:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fence_waits_for_every_server_that_shares_a_database() {
    let folder = TempDir::new().unwrap();
    let redis = RedisServer::start(RedisServerOptions::default());
    let sessions =
        format!("url = 'sqlite:{}'\nsession_url = '{}'\n", folder.path().join("countersign.db").display(), redis.url());
    let alone = process::places(folder.path());
    let url = alone.lines().find(|line| line.starts_with("url = ")).unwrap();
    let config = Tenant::default().toml(&alone.replace(&format!("{url}\n"), &sessions));
    let first = ServeProcess::start(folder.path(), &config).await;
    let second = ServeProcess::start(folder.path(), &config).await;
    let fence = || process::run(folder.path(), &["fence", "--moved", "--config", "countersign.toml"], "");
    first.kill().await;
    let busy = fence().await;
    assert!(busy.code != 0 && busy.err.contains("another server uses this database"), "{busy:?}");
    second.kill().await;
    assert_eq!(fence().await.code, 0);
}
