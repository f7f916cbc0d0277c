//! The program is killed between a message's row and its sending.

use std::path::Path;

use countersign_tests::{
    api::{Api, To, Transport},
    dump,
    person::PASSWORD,
    process::{self, ServeProcess},
    receiver::{Closed, Manner},
    sent::NUMBER,
    tenant::{BACKEND, Tenant},
};
use tempfile::TempDir;

/// Text messages go to a webhook at `address`.
fn configuration(folder: &Path, address: std::net::SocketAddr) -> String {
    let url = format!("url = 'http://{address}/'");
    let tenant = Tenant::default()
        .section("mfa", &["factors = ['otp', 'sms']"])
        .section("messages", &["sms = ['hook']", "countries = ['US']"])
        .section("[messages.webhook]", &["name = 'hook'", &url, "secrets = ['a secret of 32 bytes or some more']"]);
    tenant.toml(&process::places(folder))
}

async fn token(api: &Api) -> String {
    api.login(BACKEND, "ann", PASSWORD).await.unwrap().mfa_token()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_whose_sending_was_cut_off_is_sent_again_with_the_same_id_and_code() {
    let folder = TempDir::new().unwrap();
    let closed = Closed::new();
    let config = configuration(folder.path(), closed.address());
    let receiver = closed.open(Manner::Silent);
    ServeProcess::add_user(folder.path(), &config, "ann", PASSWORD).await;

    let process = ServeProcess::start(folder.path(), &config).await;
    let api = process.api(Transport::Http).await;
    let bearer = token(&api).await;
    let sent = api.associate_oob(&bearer, To::Phone("sms", NUMBER)).await.unwrap();
    let first = receiver.messages(1).await.remove(0);
    process.kill().await;
    let database = folder.path().join("countersign.db");
    assert_eq!(dump::waiting(&database), [first.id.as_str()], "nobody knows whether it arrived");

    // Its lease ends after 30 seconds; they are over.
    dump::make_due(&database);
    receiver.behave(Manner::Well);
    let process = ServeProcess::start(folder.path(), &config).await;
    let again = receiver.messages(2).await.remove(1);
    assert_eq!((&again.id, &again.code, &again.to), (&first.id, &first.code, &first.to));
    let api = process.api(Transport::Grpc).await;
    api.oob(BACKEND, &bearer, &sent.oob_code, &again.code)
        .await
        .expect("the code, the handle and the login outlive it");
    // One message and one duplicate; the row is gone with it.
    process.kill().await;
    dump::make_due(&database);
    let process = ServeProcess::start(folder.path(), &config).await;
    let api = process.api(Transport::Http).await;
    let bearer = token(&api).await;
    let (next, listed) = (api.send_code(BACKEND, &bearer, None, None).await.unwrap(), api.list(&bearer).await.unwrap());
    assert!(listed.iter().all(|entry| entry.active));
    let arrived = receiver.messages(3).await;
    assert_ne!(arrived[2].id, first.id, "nothing was sent a third time");
    api.oob(BACKEND, &bearer, &next.oob_code, &arrived[2].code).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_nobody_had_taken_yet_is_sent_after_a_restart() {
    let folder = TempDir::new().unwrap();
    let closed = Closed::new();
    let config = configuration(folder.path(), closed.address());
    ServeProcess::add_user(folder.path(), &config, "ann", PASSWORD).await;
    let process = ServeProcess::start(folder.path(), &config).await;
    let api = process.api(Transport::Grpc).await;
    let bearer = token(&api).await;
    let sent = api.associate_oob(&bearer, To::Phone("sms", NUMBER)).await.unwrap();
    // The answer is out, so the row is there.
    process.kill().await;
    let database = folder.path().join("countersign.db");
    let waiting = dump::waiting(&database);
    assert_eq!(waiting.len(), 1);
    dump::make_due(&database);
    let receiver = closed.open(Manner::Well);
    let process = ServeProcess::start(folder.path(), &config).await;
    let message = receiver.messages(1).await.remove(0);
    assert_eq!(message.id, waiting[0]);
    let api = process.api(Transport::Http).await;
    api.oob(BACKEND, &bearer, &sent.oob_code, &message.code).await.unwrap();
    assert_eq!(receiver.got().len(), 1);
}
