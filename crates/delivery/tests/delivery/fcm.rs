//! FCM, against a server that refuses what FCM refuses.

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock, Mutex},
    time::Duration,
};

use aws_lc_rs::{
    encoding::AsDer as _,
    rsa::KeySize,
    signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, RsaKeyPair},
};
use countersign_delivery::provider::{
    Provider as _,
    fcm::{Fcm, FcmError, FcmSettings},
    http::HttpSettings,
    push::PushServices,
};
use countersign_domain::{
    message::{Channel, Content, Message, Purpose, PushService},
    port::{clock::Clock as _, sender::SendError},
    secret::Secret,
    testing::ManualClock,
};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::push_server::{
    CHALLENGE, Reply, Request, START, Script, Server, Service, TRANSACTION_TOKEN, impatient, login, nowhere, pem,
    talkative, told, verified, words,
};

const DEVICE: &str = "device-1";
const EMAIL: &str = "push@demo.iam.gserviceaccount.com";
const KEY_ID: &str = "key-1";

/// Making one takes a while.
static KEY: LazyLock<RsaKeyPair> = LazyLock::new(|| RsaKeyPair::generate(KeySize::Rsa2048).unwrap());

/// Google's two services.
struct FakeFcm {
    clock: Arc<ManualClock>,
    audience: Mutex<String>,
    /// Access tokens and the second in which they end.
    tokens: Mutex<HashMap<String, i64>>,
    fetched: Mutex<u32>,
    messages: Mutex<Vec<Value>>,
    /// Replies of the token endpoint.
    access: Script,
    /// Replies to messages.
    send: Script,
}

impl FakeFcm {
    fn fetched(&self) -> u32 {
        *self.fetched.lock().unwrap()
    }

    fn messages(&self) -> Vec<Value> {
        self.messages.lock().unwrap().clone()
    }

    /// What happens when a key is revoked.
    fn revoke_all(&self) {
        self.tokens.lock().unwrap().clear();
    }

    fn grant(&self, request: &Request) -> Reply {
        *self.fetched.lock().unwrap() += 1;
        if let Some(reply) = self.access.next() {
            return reply;
        }
        let form: HashMap<_, _> = form_urlencoded::parse(&request.body).into_owned().collect();
        let now = self.clock.now().as_secs();
        let accepted = verified(&form["assertion"], &RSA_PKCS1_2048_8192_SHA256, KEY.public_key().as_ref())
            .is_some_and(|(header, claims)| {
                header == json!({ "alg": "RS256", "typ": "JWT", "kid": KEY_ID })
                    && claims["iss"] == EMAIL
                    && claims["scope"] == "https://www.googleapis.com/auth/firebase.messaging"
                    && claims["aud"] == *self.audience.lock().unwrap()
                    && claims["iat"].as_i64().unwrap().abs_diff(now) <= 300
                    && claims["exp"].as_i64().unwrap() > now
                    && claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap() <= 3600
            });
        if form["grant_type"] != "urn:ietf:params:oauth:grant-type:jwt-bearer" || !accepted {
            return Reply::status(400, json!({ "error": "invalid_grant", "error_description": talkative() }));
        }
        let token = format!("ya29.{}", self.fetched());
        self.tokens.lock().unwrap().insert(token.clone(), now + 3599);
        Reply::status(200, json!({ "access_token": token, "expires_in": 3599, "token_type": "Bearer" }))
    }

    fn accept(&self, request: &Request) -> Reply {
        let token = request.header("authorization").strip_prefix("Bearer ").unwrap_or_default();
        let ends = self.tokens.lock().unwrap().get(token).copied().unwrap_or_default();
        if ends <= self.clock.now().as_secs() {
            return failure(401, "UNAUTHENTICATED", None);
        }
        if let Some(reply) = self.send.next() {
            return reply;
        }
        let message = request.json()["message"].clone();
        let all_text = message["data"].as_object().is_some_and(|data| data.values().all(Value::is_string));
        let to = message["token"].as_str().unwrap_or_default();
        if !all_text || to.is_empty() {
            return failure(400, "INVALID_ARGUMENT", Some("INVALID_ARGUMENT"));
        }
        if to == "device-of-another-project" {
            return failure(403, "PERMISSION_DENIED", Some("SENDER_ID_MISMATCH"));
        }
        if to != DEVICE {
            return failure(404, "NOT_FOUND", Some("UNREGISTERED"));
        }
        self.messages.lock().unwrap().push(message);
        Reply::status(200, json!({ "name": "projects/demo/messages/0:1" }))
    }
}

impl Service for FakeFcm {
    fn answer(&self, request: &Request) -> Reply {
        match (request.method.as_str(), request.path.as_str()) {
            ("POST", "/token") => self.grant(request),
            ("POST", "/v1/projects/demo/messages:send") => self.accept(request),
            _ => Reply::status(404, json!("no such page")),
        }
    }
}

fn failure(status: u16, name: &str, code: Option<&str>) -> Reply {
    let detail =
        code.map(|code| json!({ "@type": "type.googleapis.com/google.firebase.fcm.v1.FcmError", "errorCode": code }));
    let details: Vec<_> = detail.into_iter().collect();
    let error = json!({ "code": status, "message": talkative(), "status": name, "details": details });
    Reply::status(status, json!({ "error": error }))
}

fn key_file(token_uri: &str) -> Value {
    json!({
        "type": "service_account",
        "project_id": "demo",
        "private_key_id": KEY_ID,
        "private_key": pem(KEY.as_der().unwrap().as_ref()),
        "client_email": EMAIL,
        "token_uri": token_uri,
    })
}

fn settings(base: &str, http: HttpSettings) -> FcmSettings {
    FcmSettings {
        service_account: Secret::new(key_file(&format!("{base}/token")).to_string()),
        base_url: Some(base.to_owned()),
        token_uri: None,
        http,
    }
}

/// A server, and a provider that uses it.
struct Setup {
    clock: Arc<ManualClock>,
    fake: Arc<FakeFcm>,
    fcm: Arc<Fcm>,
    _server: Server,
}

impl Setup {
    async fn new() -> Self {
        Self::with(HttpSettings::default()).await
    }

    async fn with(http: HttpSettings) -> Self {
        let clock = Arc::new(ManualClock::new(START));
        let fake = Arc::new(FakeFcm {
            clock: clock.clone(),
            audience: Mutex::default(),
            tokens: Mutex::default(),
            fetched: Mutex::default(),
            messages: Mutex::default(),
            access: Script::default(),
            send: Script::default(),
        });
        let server = Server::start(fake.clone()).await;
        *fake.audience.lock().unwrap() = format!("{}/token", server.base);
        let fcm = Arc::new(Fcm::new(&settings(&server.base, http), clock.clone()).unwrap());
        Self { clock, fake, fcm, _server: server }
    }

    async fn send(&self) -> Result<(), SendError> {
        self.send_to(DEVICE).await
    }

    async fn send_to(&self, device: &str) -> Result<(), SendError> {
        self.fcm.send(&login(PushService::Fcm, device), &words()).await
    }
}

#[tokio::test]
async fn a_login_reaches_the_device_as_the_app_expects_it() {
    let setup = Setup::new().await;
    setup.send().await.unwrap();
    assert_eq!(
        setup.fake.messages(),
        [json!({
            "token": DEVICE,
            "data": {
                "sh": "https://mfa.example.com",
                "dai": "dev_0123456789abcdef",
                "c": CHALLENGE,
                "txtkn": TRANSACTION_TOKEN,
                "d": "2026-09-21T14:13:20.250Z",
                "app": "Shop",
                "nm": "1",
                "s": r#"{"b":{"n":"Firefox","v":"127.0"},"os":{"n":"Linux","v":""}}"#,
                "l": r#"{"n":"192.0.2.7"}"#,
            },
            "android": { "priority": "HIGH", "ttl": "300s" },
        })]
    );
}

#[tokio::test]
async fn a_message_lives_no_longer_at_fcm_than_its_login() {
    let setup = Setup::new().await;
    setup.clock.advance(Duration::from_secs(299));
    setup.send().await.unwrap();
    setup.clock.advance(Duration::from_secs(60));
    setup.send().await.unwrap();
    let ttls: Vec<_> = setup.fake.messages().iter().map(|message| message["android"]["ttl"].clone()).collect();
    assert_eq!(ttls, ["1s", "0s"]);
}

#[tokio::test]
async fn an_access_token_is_used_until_its_last_minute() {
    let setup = Setup::new().await;
    setup.send().await.unwrap();
    setup.clock.advance(Duration::from_secs(3599 - 61));
    setup.send().await.unwrap();
    assert_eq!(setup.fake.fetched(), 1);
    setup.clock.advance(Duration::from_secs(1));
    setup.send().await.unwrap();
    assert_eq!(setup.fake.fetched(), 2);
}

#[tokio::test]
async fn many_who_need_an_access_token_fetch_it_once() {
    let setup = Setup::new().await;
    let mut sends = JoinSet::new();
    for _ in 0..16 {
        let fcm = Arc::clone(&setup.fcm);
        sends.spawn(async move { fcm.send(&login(PushService::Fcm, DEVICE), &words()).await });
    }
    assert!(sends.join_all().await.iter().all(Result::is_ok));
    assert_eq!((setup.fake.fetched(), setup.fake.messages().len()), (1, 16));
}

#[tokio::test]
async fn many_who_wait_for_an_access_token_in_vain_do_not_each_ask_again() {
    let setup = Setup::new().await;
    setup.fake.access.push(Reply::status(503, json!({})));
    let mut sends = JoinSet::new();
    for _ in 0..16 {
        let fcm = Arc::clone(&setup.fcm);
        sends.spawn(async move { fcm.send(&login(PushService::Fcm, DEVICE), &words()).await });
    }
    assert!(sends.join_all().await.iter().all(|sent| matches!(sent, Err(SendError::Unavailable { .. }))));
    assert_eq!(setup.fake.fetched(), 1);
    setup.clock.advance(Duration::from_secs(1));
    setup.send().await.unwrap();
}

#[tokio::test]
async fn a_revoked_access_token_is_replaced_and_the_message_sent_again() {
    let setup = Setup::new().await;
    setup.send().await.unwrap();
    setup.fake.revoke_all();
    setup.send().await.unwrap();
    assert_eq!((setup.fake.fetched(), setup.fake.messages().len()), (2, 2));
}

#[tokio::test]
async fn a_second_refusal_of_the_access_token_ends_the_try() {
    let setup = Setup::new().await;
    for _ in 0..2 {
        setup.fake.send.push(failure(401, "UNAUTHENTICATED", Some("THIRD_PARTY_AUTH_ERROR")));
    }
    let error = setup.send().await.unwrap_err();
    assert!(matches!(error, SendError::Unavailable { .. }));
    assert!(told(&error).ends_with("the provider answered with status 401 and its reason THIRD_PARTY_AUTH_ERROR"));
    assert_eq!(setup.fake.fetched(), 2);
}

#[tokio::test]
async fn a_device_that_is_gone_is_refused() {
    let error = Setup::new().await.send_to("device-2").await.unwrap_err();
    assert!(matches!(error, SendError::Refused(_)));
    assert!(told(&error).ends_with("status 404 and its reason UNREGISTERED"));
}

#[tokio::test]
async fn a_message_that_fcm_cannot_read_is_refused() {
    let error = Setup::new().await.send_to("").await.unwrap_err();
    assert!(matches!(error, SendError::Refused(_)));
    assert!(told(&error).ends_with("status 400 and its reason INVALID_ARGUMENT"));
}

#[tokio::test]
async fn a_device_of_another_project_is_no_fault_of_the_provider() {
    let error = Setup::new().await.send_to("device-of-another-project").await.unwrap_err();
    assert!(matches!(error, SendError::Deferred { retry_after: None, .. }));
    assert!(told(&error).ends_with("status 403 and its reason SENDER_ID_MISMATCH"));
}

#[tokio::test]
async fn too_many_messages_to_one_device_are_no_fault_of_the_provider() {
    let setup = Setup::new().await;
    setup.fake.send.push(failure(429, "RESOURCE_EXHAUSTED", Some("QUOTA_EXCEEDED")));
    assert!(matches!(setup.send().await, Err(SendError::Deferred { .. })));
}

#[tokio::test]
async fn a_project_that_does_not_exist_is_no_fault_of_the_message() {
    let setup = Setup::new().await;
    setup.fake.send.push(failure(404, "NOT_FOUND", None));
    assert!(matches!(setup.send().await, Err(SendError::Unavailable { .. })));
}

#[tokio::test]
async fn waits_as_long_as_fcm_asks() {
    let setup = Setup::new().await;
    for status in [429, 500, 503] {
        setup.fake.send.push(Reply::Answer(status, vec![("retry-after", "17")], talkative()));
        let error = setup.send().await.unwrap_err();
        let SendError::Unavailable { retry_after, .. } = &error else { panic!("{error:?}") };
        assert_eq!(*retry_after, Some(Duration::from_secs(17)));
        assert!(told(&error).ends_with(&format!("status {status}")));
    }
}

#[tokio::test]
async fn an_answer_that_does_not_come_leaves_it_open_whether_the_message_was_sent() {
    let setup = Setup::with(impatient()).await;
    for reply in [Reply::Silence, Reply::Reset] {
        setup.fake.send.push(reply);
        let error = setup.send().await.unwrap_err();
        assert!(matches!(error, SendError::Unknown(_)), "{}", told(&error));
    }
}

#[tokio::test]
async fn without_an_access_token_nothing_was_sent() {
    let replies = [
        Reply::Silence,
        Reply::Reset,
        Reply::status(200, json!({ "access_token": 17 })),
        Reply::status(400, json!({ "error": "invalid_grant", "error_description": talkative() })),
        Reply::Answer(302, vec![("location", "http://127.0.0.1:1/")], json!({})),
    ];
    let setup = Setup::with(impatient()).await;
    for reply in replies {
        setup.fake.access.push(reply);
        let error = setup.send().await.unwrap_err();
        assert!(matches!(error, SendError::Unavailable { .. }), "{}", told(&error));
        setup.clock.advance(Duration::from_secs(1));
    }
    assert_eq!(setup.fake.messages().len(), 0);
}

#[tokio::test]
async fn without_a_connection_nothing_was_sent() {
    let clock = Arc::new(ManualClock::new(START));
    let fcm = Fcm::new(&settings(&nowhere().await, HttpSettings::default()), clock).unwrap();
    let error = fcm.send(&login(PushService::Fcm, DEVICE), &words()).await.unwrap_err();
    assert!(matches!(error, SendError::Unavailable { .. }), "{}", told(&error));
}

#[tokio::test]
async fn only_logins_on_devices_of_fcm_are_sent() {
    let setup = Setup::new().await;
    let code = Content::Code { purpose: Purpose::Verify, code: Secret::new("123456".into()) };
    let login = login(PushService::Apns, DEVICE);
    for message in [login.clone(), Message { channel: Channel::Push, content: code, ..login }] {
        let error = setup.fcm.send(&message, &words()).await.unwrap_err();
        assert!(matches!(error, SendError::Refused(_)), "{error:?}");
    }
    assert_eq!(setup.fake.fetched(), 0);
}

#[tokio::test]
async fn a_device_of_a_service_that_is_not_configured_is_refused() {
    let error = PushServices::default().send(&login(PushService::Fcm, DEVICE), &words()).await.unwrap_err();
    assert!(matches!(error, SendError::Refused(_)));
}

fn refused(change: impl FnOnce(&mut FcmSettings)) -> FcmError {
    let mut settings = settings("http://127.0.0.1:1", HttpSettings::default());
    change(&mut settings);
    Fcm::new(&settings, Arc::new(ManualClock::new(START))).unwrap_err()
}

#[test]
fn a_key_file_that_cannot_be_read_is_not_quoted() {
    let error = refused(|settings| settings.service_account = Secret::new("{\n \"private_key\": 17}".into()));
    assert_eq!(error.to_string(), "the key file is not that of a service account: line 2, column 18");
    let mut file = key_file("https://oauth2.googleapis.com/token");
    file["private_key"] = json!(pem(b"no key"));
    let error = refused(|settings| settings.service_account = Secret::new(file.to_string()));
    assert!(matches!(error, FcmError::Key(_)));
}

#[test]
fn messages_do_not_leave_in_the_clear() {
    assert!(matches!(
        refused(|settings| settings.base_url = Some("http://fcm.example.com".into())),
        FcmError::Settings(_)
    ));
    assert!(matches!(
        refused(|settings| settings.token_uri = Some("http://oauth2.example.com".into())),
        FcmError::Settings(_)
    ));
}

#[test]
fn what_is_printed_of_a_provider_is_its_address() {
    let settings = settings("http://127.0.0.1:1", HttpSettings::default());
    let fcm = Fcm::new(&settings, Arc::new(ManualClock::new(START))).unwrap();
    assert_eq!(format!("{fcm:?}"), r#"Fcm { url: "http://127.0.0.1:1/v1/projects/demo/messages:send", .. }"#);
    assert!(!format!("{settings:?}").contains("PRIVATE"));
}
