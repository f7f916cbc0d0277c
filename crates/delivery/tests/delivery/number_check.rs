use std::sync::{
    Arc,
    atomic::{AtomicU16, Ordering},
};

use countersign_delivery::{
    courier::Courier,
    number_check::NumberCheck,
    provider::{
        http::HttpSettings,
        webhook::{SIGNATURE_HEADER, TIMESTAMP_HEADER, WebhookSettings, verify},
    },
};
use countersign_domain::{
    message::{Channel, Purpose},
    port::sender::{Assessment, Sender as _},
    secret::Secret,
    testing::ManualClock,
};
use serde_json::{Value, json};

use super::{
    http_server::{HttpServer, Reply},
    logs::Logs,
    messages::{English, NUMBER, START},
};

const SECRET: &str = "a secret of thirty-two bytes, now";

fn secret() -> Secret<String> {
    Secret::new(SECRET.to_owned())
}

/// A courier that asks `server`, and its clock.
fn courier(server: &HttpServer) -> (Courier, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new(START));
    let url = format!("{}/numbers", server.base);
    let settings = WebhookSettings { url, secrets: vec![secret()], http: HttpSettings::default() };
    let check = NumberCheck::new(&settings, Arc::clone(&clock) as Arc<_>).unwrap();
    let courier = Courier::new(Arc::new(English), Arc::clone(&clock) as Arc<_>, Arc::new(()));
    (courier.checking_numbers(check), clock)
}

async fn assess(courier: &Courier) -> Assessment {
    courier.assess(Channel::Sms, &Secret::new(NUMBER.to_owned()), Purpose::Verify).await
}

#[tokio::test]
async fn the_status_says_whether_something_speaks_against_a_number() {
    let logs = Logs::catch();
    let status = Arc::new(AtomicU16::new(200));
    let now = Arc::clone(&status);
    let server = HttpServer::start(move |_| Reply::status(now.load(Ordering::SeqCst))).await;
    let (courier, _) = courier(&server);
    for (code, expected) in [
        (200, Assessment::Clear),
        (204, Assessment::Clear),
        (403, Assessment::AtRisk),
        (422, Assessment::AtRisk),
        (302, Assessment::Unknown),
        (401, Assessment::Unknown),
        (500, Assessment::Unknown),
    ] {
        status.store(code, Ordering::SeqCst);
        assert_eq!(assess(&courier).await, expected, "{code}");
    }
    let request = &server.seen()[0];
    let (timestamp, signature) = (request.header(TIMESTAMP_HEADER), request.header(SIGNATURE_HEADER));
    verify(&secret(), timestamp, &request.body, signature, START).expect("it is signed like any message");
    let body: Value = serde_json::from_slice(&request.body).unwrap();
    assert_eq!(body, json!({"channel": "sms", "to": NUMBER, "purpose": "verify"}));
    logs.assert_discreet();
}

#[tokio::test]
async fn nobody_waits_for_a_check_that_fails() {
    let status = Arc::new(AtomicU16::new(500));
    let now = Arc::clone(&status);
    let server = HttpServer::start(move |_| Reply::status(now.load(Ordering::SeqCst))).await;
    let (courier, clock) = courier(&server);
    for _ in 0..15 {
        assert_eq!(assess(&courier).await, Assessment::Unknown);
    }
    assert_eq!(server.seen().len(), 10, "then it gets a pause");
    status.store(403, Ordering::SeqCst);
    assert_eq!(assess(&courier).await, Assessment::Unknown);
    clock.advance(std::time::Duration::from_secs(10));
    assert_eq!(assess(&courier).await, Assessment::AtRisk);
}

#[tokio::test]
async fn who_asks_for_many_numbers_that_nobody_knows_gives_it_no_pause() {
    for status in [400, 404, 409, 410, 429] {
        let server = HttpServer::start(move |_| Reply::status(status)).await;
        let (courier, _) = courier(&server);
        for _ in 0..25 {
            assert_eq!(assess(&courier).await, Assessment::Unknown);
        }
        assert_eq!(server.seen().len(), 25, "{status}");
    }
}

#[tokio::test]
async fn who_has_nobody_to_ask_knows_of_nothing() {
    let clock = Arc::new(ManualClock::new(START));
    let courier = Courier::new(Arc::new(English), clock as Arc<_>, Arc::new(()));
    assert_eq!(assess(&courier).await, Assessment::Clear);
}
