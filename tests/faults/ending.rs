//! The program is told to end while others keep it waiting.

use std::time::{Duration, Instant};

use countersign::serve;
use countersign_telemetry::Telemetry;
use countersign_tests::{
    api::{To, Transport},
    dump,
    http::plain_client,
    person::PASSWORD,
    process::{self, ServeProcess},
    receiver::{Closed, Manner},
    sent::NUMBER,
    tenant::{BACKEND, Tenant},
};
use serde_json::Value;
use tempfile::TempDir;

/// Stops without a pause, and gives what has begun one second.
fn soon() -> Tenant {
    Tenant::default().section("shutdown", &["drain = '0s'", "in_flight = '1s'"])
}

fn has(log: &[Value], message: &str) -> bool {
    log.iter().any(|line| line["message"] == message)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_says_nothing_does_not_keep_the_program_and_the_message_stays() {
    let (folder, closed) = (TempDir::new().unwrap(), Closed::new());
    let url = format!("url = 'http://{}/'", closed.address());
    let receiver = closed.open(Manner::Silent);
    let config = soon()
        .section("mfa", &["factors = ['otp', 'sms']"])
        .section("messages", &["sms = ['hook']", "countries = ['US']"])
        .section("[messages.webhook]", &["name = 'hook'", &url, "secrets = ['a secret of 32 bytes or some more']"])
        .toml(&process::places(folder.path()));
    ServeProcess::add_user(folder.path(), &config, "ann", PASSWORD).await;
    let process = ServeProcess::start(folder.path(), &config).await;
    let api = process.api(Transport::Http).await;
    let bearer = api.login(BACKEND, "ann", PASSWORD).await.unwrap().mfa_token();
    api.associate_oob(&bearer, To::Phone("sms", NUMBER)).await.unwrap();
    let asked = receiver.messages(1).await.remove(0);

    let begin = Instant::now();
    process.signal("TERM").await;
    let (code, log) = process.ended().await;
    let took = begin.elapsed();
    assert!(took < Duration::from_secs(1) + serve::ENDS_WITHIN, "{took:?}");
    assert_eq!(code, Some(0));
    assert!(has(&log, "messages in flight were cut off; they stay in the outbox") && has(&log, "stopped"), "{log:?}");
    assert_eq!(dump::waiting(&folder.path().join("countersign.db")), [asked.id.as_str()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_says_nothing_does_not_keep_the_program() {
    let (folder, closed) = (TempDir::new().unwrap(), Closed::new());
    let endpoint = format!("endpoint = 'http://{}'", closed.address());
    let _collector = closed.open(Manner::Silent);
    let config = soon().section("otlp", &["enabled = true", &endpoint]).toml(&process::places(folder.path()));
    let process = ServeProcess::start(folder.path(), &config).await;
    let answer = plain_client().get(format!("{}/.well-known/jwks.json", process.http())).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let begin = Instant::now();
    process.signal("TERM").await;
    let (code, log) = process.ended().await;
    let took = begin.elapsed();
    assert_eq!(code, Some(0));
    assert!(has(&log, "the last spans were lost"), "{log:?}");
    assert!(took < Telemetry::ENDS_WITHIN + serve::RUNTIME_ENDS_WITHIN, "{took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_that_goes_ends_the_program_well_unless_it_was_started_to_stay() {
    let folder = TempDir::new().unwrap();
    let config = soon().toml(&process::places(folder.path()));
    let process = ServeProcess::start(folder.path(), &config).await;
    process.signal("HUP").await;
    let (code, log) = process.ended().await;
    assert_eq!(code, Some(0));
    let stopping = log.iter().find(|line| line["message"] == "stopping");
    assert_eq!(stopping.map(|line| &line["signal"]), Some(&Value::from("SIGHUP")), "{log:?}");
    assert!(has(&log, "stopped"), "{log:?}");

    let process = ServeProcess::start_after("trap '' HUP", folder.path(), &config).await;
    process.signal("HUP").await;
    process.signal("TERM").await;
    let (code, log) = process.ended().await;
    assert_eq!(code, Some(0));
    let stopping = log.iter().find(|line| line["message"] == "stopping");
    assert_eq!(stopping.map(|line| &line["signal"]), Some(&Value::from("SIGTERM")), "{log:?}");
}
