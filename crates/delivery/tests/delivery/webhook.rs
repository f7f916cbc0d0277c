use std::{
    collections::HashSet,
    sync::{Arc, Mutex},
    time::Duration,
};

use countersign_delivery::provider::{
    Provider as _, SettingsError,
    http::HttpSettings,
    webhook::{SIGNATURE_HEADER, TIMESTAMP_HEADER, Webhook, WebhookSettings, verify},
};
use countersign_domain::{
    message::{Channel, Message},
    port::sender::SendError,
    secret::Secret,
    testing::ManualClock,
};
use serde_json::{Value, json};

use super::{
    failure::everything,
    http_server::{HttpServer, Reply, Request},
    logs::Logs,
    messages::{ADDRESS, CODE, NUMBER, START, code, notice, push, words},
};

const OLD: &str = "an old secret of thirty-two bytes";
const NEW: &str = "a new secret of thirty-two bytes!";

fn settings(base: &str, secrets: &[&str]) -> WebhookSettings {
    let secrets = secrets.iter().map(|secret| Secret::new((*secret).to_owned())).collect();
    WebhookSettings { url: format!("{base}/messages"), secrets, http: HttpSettings::default() }
}

fn client(settings: &WebhookSettings) -> Webhook {
    Webhook::new(settings, Arc::new(ManualClock::new(START))).unwrap()
}

async fn send(webhook: &Webhook, message: &Message) -> Result<(), SendError> {
    webhook.send(message, &words(message)).await
}

/// A receiver as the documentation wants it, which knows one secret.
struct Receiver {
    secret: &'static str,
    seen: Mutex<HashSet<String>>,
    taken: Mutex<Vec<Value>>,
}

impl Receiver {
    fn new(secret: &'static str) -> Arc<Self> {
        Arc::new(Self { secret, seen: Mutex::default(), taken: Mutex::default() })
    }

    fn answer(&self, request: &Request) -> Reply {
        let secret = Secret::new(self.secret.to_owned());
        let (timestamp, signature) = (request.header(TIMESTAMP_HEADER), request.header(SIGNATURE_HEADER));
        if verify(&secret, timestamp, &request.body, signature, START).is_err() {
            return Reply::status(401);
        }
        if self.seen.lock().unwrap().insert(request.header("idempotency-key").to_owned()) {
            self.taken.lock().unwrap().push(serde_json::from_slice(&request.body).unwrap());
        }
        Reply::status(202)
    }
}

async fn start(receiver: &Arc<Receiver>) -> HttpServer {
    let receiver = Arc::clone(receiver);
    HttpServer::start(move |request| receiver.answer(request)).await
}

#[tokio::test]
async fn a_receiver_verifies_a_message_and_takes_it_once() {
    let logs = Logs::catch();
    let receiver = Receiver::new(NEW);
    let server = start(&receiver).await;
    let webhook = client(&settings(&server.base, &[NEW]));
    for _ in 0..2 {
        send(&webhook, &code(Channel::Sms, "msg_1")).await.unwrap();
    }
    assert_eq!(server.seen().len(), 2);
    assert_eq!(
        *receiver.taken.lock().unwrap(),
        [json!({
            "id": "msg_1", "channel": "sms", "to": NUMBER, "language": "en",
            "text": format!("Your code is {CODE}. Tell it nobody."), "purpose": "verify", "code": CODE,
            "created_at": "2026-09-21T14:13:20.000Z", "expires_at": "2026-09-21T14:18:20.000Z",
        })]
    );
    let request = &server.seen()[0];
    assert_eq!(request.path, "/messages");
    assert_eq!(request.header("content-type"), "application/json");
    assert_eq!(request.header(TIMESTAMP_HEADER), "1790000000");
    logs.assert_discreet();
}

#[tokio::test]
async fn notices_and_notifications_have_fields_of_their_own() {
    let receiver = Receiver::new(NEW);
    let server = start(&receiver).await;
    let webhook = client(&settings(&server.base, &[NEW]));
    send(&webhook, &notice(Channel::Email, "msg_1")).await.unwrap();
    send(&webhook, &push("msg_2")).await.unwrap();
    let taken = receiver.taken.lock().unwrap().clone();
    assert_eq!(taken[0]["to"], ADDRESS);
    assert_eq!(taken[0]["event"], "factor-added");
    assert_eq!(taken[0]["subject"], "Your account – a message");
    assert_eq!(taken[0]["html"], "<p>A factor was added to your account.</p>");
    assert!(taken[0].get("code").is_none());
    assert_eq!(
        taken[1]["push"],
        json!({
            "service": "APNS", "device": "dev_0123456789abcdef", "challenge": "the-challenge",
            "transaction_token": "the-transaction-token", "base_url": "https://mfa.example.com",
            "requested_at": "2026-09-21T14:13:20.000Z", "client_name": "Shop", "user_agent": "Firefox",
            "address": "192.0.2.7", "number_matching": true,
        })
    );
}

#[tokio::test]
async fn receivers_change_their_secret_one_after_another() {
    let (old, new, other) =
        (Receiver::new(OLD), Receiver::new(NEW), Receiver::new("another secret of thirty-two byte"));
    for (receiver, is_taken) in [(&old, true), (&new, true), (&other, false)] {
        let server = start(receiver).await;
        let result = send(&client(&settings(&server.base, &[OLD, NEW])), &code(Channel::Sms, "msg_1")).await;
        assert_eq!(result.is_ok(), is_taken);
    }
}

#[tokio::test]
async fn a_receiver_that_has_too_much_says_when_to_come_back() {
    for status in [429, 503] {
        let answer = move |_: &Request| {
            Reply::Answer(status, vec![("Retry-After", "Mon, 21 Sep 2026 14:13:50 GMT".into())], String::new())
        };
        let server = HttpServer::start(answer).await;
        let error = send(&client(&settings(&server.base, &[NEW])), &code(Channel::Sms, "msg_1")).await.unwrap_err();
        assert_eq!(matches!(error, SendError::Deferred { .. }), status == 429, "{error:?}");
        let (SendError::Unavailable { retry_after, .. } | SendError::Deferred { retry_after, .. }) = error else {
            panic!("{error:?}")
        };
        assert_eq!(retry_after, Some(Duration::from_secs(30)), "{status}");
    }
}

#[tokio::test]
async fn an_answer_that_does_not_come_or_breaks_leaves_the_outcome_open() {
    for reply in [|| Reply::Silence, || Reply::Cut(200)] {
        let server = HttpServer::start(move |_| reply()).await;
        let http = HttpSettings { timeout: Duration::from_millis(500), ..HttpSettings::default() };
        let webhook = client(&WebhookSettings { http, ..settings(&server.base, &[NEW]) });
        let error = send(&webhook, &code(Channel::Sms, "msg_1")).await.unwrap_err();
        assert!(matches!(error, SendError::Unknown(_)), "{error:?}");
        assert!(!everything(&error).contains(&server.base), "{error:?}");
    }
}

#[tokio::test]
async fn a_refusal_keeps_nothing_of_the_body() {
    let server =
        HttpServer::start(|request| Reply::Answer(422, Vec::new(), String::from_utf8(request.body.clone()).unwrap()))
            .await;
    let error = send(&client(&settings(&server.base, &[NEW])), &code(Channel::Sms, "msg_1")).await.unwrap_err();
    assert!(matches!(error, SendError::Refused(_)), "{error:?}");
    assert!(!everything(&error).contains(NUMBER), "{error:?}");
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let server =
        HttpServer::start(|_| Reply::Answer(308, vec![("Location", "/elsewhere".into())], String::new())).await;
    let error = send(&client(&settings(&server.base, &[NEW])), &code(Channel::Sms, "msg_1")).await.unwrap_err();
    assert!(matches!(error, SendError::Unavailable { .. }), "{error:?}");
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn short_secrets_and_none_are_not_enough() {
    for secrets in [&[][..], &["short"], &[NEW, "short"]] {
        let result = Webhook::new(&settings("https://example.com", secrets), Arc::new(ManualClock::new(START)));
        assert!(matches!(result, Err(SettingsError::Secret(32))));
    }
}
