use std::{sync::Arc, time::Duration};

use countersign_delivery::provider::{
    Provider as _, SettingsError,
    http::HttpSettings,
    twilio::{Twilio, TwilioSender, TwilioSettings},
};
use countersign_domain::{
    message::{Channel, Message},
    port::sender::SendError,
    secret::Secret,
    testing::ManualClock,
};
use data_encoding::BASE64;
use http::Method;
use serde_json::json;
use tokio::net::TcpListener;

use super::{
    authority::Authority,
    failure::everything,
    http_server::{HttpServer, Reply, Request},
    logs::Logs,
    messages::{CODE, NUMBER, START, code, notice, words},
};

const ACCOUNT: &str = "AC00000000000000000000000000000001";
const TOKEN: &str = "the-account-token";
const SENDER: &str = "+15005550006";

/// As Twilio says it, with the number in the text.
fn problem(status: u16, code: u32, text: &str) -> Reply {
    let body =
        json!({"code": code, "message": text, "more_info": "https://www.twilio.com/docs/errors", "status": status});
    Reply::Answer(status, Vec::new(), body.to_string())
}

/// Refuses what Twilio refuses. The last digits of the number choose what happens else.
fn twilio(request: &Request) -> Reply {
    let right = format!("Basic {}", BASE64.encode(format!("{ACCOUNT}:{TOKEN}").as_bytes()));
    let right_key = format!("Basic {}", BASE64.encode(format!("SK1:{TOKEN}").as_bytes()));
    if ![right.as_str(), &right_key].contains(&request.header("authorization")) {
        return problem(401, 20_003, "Authenticate");
    }
    assert_eq!(request.method, Method::POST);
    assert_eq!(request.header("content-type"), "application/x-www-form-urlencoded");
    let what = match request.path.strip_prefix("/2010-04-01/Accounts/AC00000000000000000000000000000001/") {
        Some("Messages.json") => "Body",
        Some("Calls.json") => "Twiml",
        _ => return problem(404, 20_404, "The requested resource was not found"),
    };
    let Some(to) = request.field("To").filter(|to| !to.is_empty()) else {
        return problem(400, 21_604, "A 'To' phone number is required.");
    };
    if request.field("From").or(request.field("MessagingServiceSid")).is_none() {
        return problem(400, 21_603, "A 'From' phone number is required.");
    }
    if request.field(what).is_none_or(|text| text.is_empty()) {
        return problem(400, 21_602, "Message body is required.");
    }
    match to.get(to.len().saturating_sub(3)..).unwrap_or_default() {
        "001" => problem(400, 21_211, &format!("The 'To' number {to} is not a valid phone number.")),
        "002" => problem(400, 21_610, &format!("{to} has unsubscribed")),
        "003" => problem(400, 21_606, &format!("The From number may not send to {to}")),
        "029" => Reply::Answer(429, vec![("Retry-After", "7".into())], json!({"code": 20_429}).to_string()),
        "030" => problem(503, 20_503, &format!("no way to {to}")),
        "040" => Reply::Silence,
        "041" => Reply::Cut(201),
        "042" => Reply::Endless(201),
        "050" => Reply::Answer(307, vec![("Location", "/elsewhere".into())], String::new()),
        _ => Reply::Answer(201, Vec::new(), json!({"sid": "SM1", "status": "queued", "error_code": null}).to_string()),
    }
}

fn settings(base: &str) -> TwilioSettings {
    TwilioSettings {
        base_url: base.into(),
        caller: Some(SENDER.into()),
        ..TwilioSettings::new(ACCOUNT, Secret::new(TOKEN.into()), TwilioSender::Number(SENDER.into()))
    }
}

fn client(settings: &TwilioSettings) -> Twilio {
    Twilio::new(settings, Arc::new(ManualClock::new(START))).unwrap()
}

fn to(channel: Channel, last: &str) -> Message {
    Message { to: Secret::new(format!("+4915112345{last}")), ..code(channel, "msg_1") }
}

async fn send(twilio: &Twilio, message: &Message) -> Result<(), SendError> {
    twilio.send(message, &words(message)).await
}

#[tokio::test]
async fn a_text_message_has_all_fields_and_the_messages_id_as_key() {
    let logs = Logs::catch();
    let server = HttpServer::start(twilio).await;
    let twilio = client(&settings(&server.base));
    for _ in 0..2 {
        send(&twilio, &code(Channel::Sms, "msg_1")).await.unwrap();
    }
    for request in server.seen() {
        assert_eq!(request.path, format!("/2010-04-01/Accounts/{ACCOUNT}/Messages.json"));
        assert_eq!(request.header("idempotency-key"), "msg_1");
        assert_eq!(request.field("To").unwrap(), NUMBER);
        assert_eq!(request.field("From").unwrap(), SENDER);
        assert_eq!(request.field("Body").unwrap(), format!("Your code is {CODE}. Tell it nobody."));
    }
    assert_eq!(server.seen().len(), 2);
    logs.assert_discreet();
    assert!(!logs.text().contains(TOKEN));
}

#[tokio::test]
async fn a_messaging_service_and_an_api_key_stand_in_for_number_and_account() {
    let server = HttpServer::start(twilio).await;
    let settings = TwilioSettings {
        api_key: Some("SK1".into()),
        sender: TwilioSender::MessagingService("MG1".into()),
        ..settings(&format!("{}/", server.base))
    };
    send(&client(&settings), &code(Channel::Sms, "msg_1")).await.unwrap();
    let request = &server.seen()[0];
    assert_eq!(request.field("MessagingServiceSid").unwrap(), "MG1");
    assert_eq!(request.field("From"), None);
}

#[tokio::test]
async fn a_call_speaks_the_code_and_a_notice() {
    let server = HttpServer::start(twilio).await;
    let twilio = client(&settings(&server.base));
    send(&twilio, &code(Channel::Voice, "msg_1")).await.unwrap();
    send(&twilio, &notice(Channel::Voice, "msg_2")).await.unwrap();
    let [call, second] = &server.seen()[..] else { panic!("two calls") };
    assert_eq!(call.path, format!("/2010-04-01/Accounts/{ACCOUNT}/Calls.json"));
    assert_eq!(call.header("idempotency-key"), "msg_1");
    assert_eq!((call.field("To").unwrap().as_str(), call.field("From").unwrap().as_str()), (NUMBER, SENDER));
    let twiml = call.field("Twiml").unwrap();
    assert!(twiml.contains("<Say language=\"en-US\">Your code is 8, 3, 9, 2, 7, 1. Tell it nobody.</Say>"), "{twiml}");
    assert_eq!(twiml.matches("<Say language=\"en-US\">3</Say><Pause length=\"1\"/>").count(), 2);
    assert_eq!(second.field("Twiml").unwrap().matches("A factor was added to your account.").count(), 2);
}

#[tokio::test]
async fn without_a_number_to_call_from_there_are_no_calls() {
    let server = HttpServer::start(twilio).await;
    let settings = TwilioSettings { caller: None, ..settings(&server.base) };
    let error = send(&client(&settings), &code(Channel::Voice, "msg_1")).await.unwrap_err();
    assert!(matches!(error, SendError::Unavailable { .. }), "{error:?}");
    assert!(server.seen().is_empty());
}

#[tokio::test]
async fn answers_decide_what_happens_next_and_errors_keep_no_number() {
    let logs = Logs::catch();
    let server = HttpServer::start(twilio).await;
    let twilio = client(&settings(&server.base));
    let http = HttpSettings { timeout: Duration::from_millis(500), ..HttpSettings::default() };
    let impatient = client(&TwilioSettings { http, ..settings(&server.base) });
    for channel in [Channel::Sms, Channel::Voice] {
        for (last, kind, detail) in [
            ("001", "Refused", "status 400 and its code 21211"),
            ("002", "Refused", "status 400 and its code 21610"),
            ("003", "Unavailable", "status 400 and its code 21606"),
            ("030", "Unavailable", "status 503 and its code 20503"),
            ("050", "Unavailable", "status 307"),
            ("040", "Unknown", "the provider gave no whole answer"),
            ("041", "Unknown", "the provider gave no whole answer"),
        ] {
            let twilio = if last == "040" { &impatient } else { &twilio };
            let told = everything(&send(twilio, &to(channel, last)).await.unwrap_err());
            assert!(told.starts_with(kind) && told.contains(detail), "{last}: {told}");
            assert!(!told.contains("4915112345"), "{last}: {told}");
        }
    }
    assert!(!logs.text().contains("4915112345"), "{}", logs.text());
    logs.assert_discreet();
    assert!(!server.seen().iter().any(|request| request.path == "/elsewhere"));
}

#[tokio::test]
async fn a_provider_that_has_too_much_says_when_to_come_back() {
    let server = HttpServer::start(twilio).await;
    let error = send(&client(&settings(&server.base)), &to(Channel::Sms, "029")).await.unwrap_err();
    let SendError::Unavailable { retry_after, .. } = error else { panic!("{error:?}") };
    assert_eq!(retry_after, Some(Duration::from_secs(7)));
}

#[tokio::test]
async fn an_endless_answer_is_not_read_to_its_end() {
    let server = HttpServer::start(twilio).await;
    send(&client(&settings(&server.base)), &to(Channel::Sms, "042")).await.unwrap();
}

#[tokio::test]
async fn a_wrong_secret_blames_no_message() {
    let server = HttpServer::start(twilio).await;
    let settings = TwilioSettings { secret: Secret::new("wrong".into()), ..settings(&server.base) };
    let error = send(&client(&settings), &code(Channel::Sms, "msg_1")).await.unwrap_err();
    assert!(matches!(error, SendError::Unavailable { .. }), "{error:?}");
}

#[tokio::test]
async fn a_provider_that_is_not_there_has_sent_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let error = send(&client(&settings(&base)), &code(Channel::Sms, "msg_1")).await.unwrap_err();
    assert!(matches!(error, SendError::Unavailable { .. }), "{error:?}");
}

#[tokio::test]
async fn only_a_trusted_certificate_is_good_enough() {
    let authority = Authority::new();
    let server = HttpServer::start_tls(&authority, twilio).await;
    let stranger = settings(&server.base);
    let error = send(&client(&stranger), &code(Channel::Sms, "msg_1")).await.unwrap_err();
    assert!(matches!(error, SendError::Unavailable { .. }), "{error:?}");
    assert!(server.seen().is_empty());

    let http = HttpSettings { root_ca_file: Some(authority.root()), ..HttpSettings::default() };
    send(&client(&TwilioSettings { http, ..stranger }), &code(Channel::Sms, "msg_1")).await.unwrap();
}

#[tokio::test]
async fn codes_do_not_travel_in_the_clear() {
    let clock = Arc::new(ManualClock::new(START));
    assert!(matches!(Twilio::new(&settings("http://api.example.com"), clock), Err(SettingsError::Url)));
}

#[tokio::test]
async fn emails_are_not_its_business() {
    let server = HttpServer::start(twilio).await;
    let error = send(&client(&settings(&server.base)), &code(Channel::Email, "msg_1")).await.unwrap_err();
    assert!(matches!(error, SendError::Refused(_)), "{error:?}");
}
