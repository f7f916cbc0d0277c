//! APNs, against a server that refuses what APNs refuses.

use std::{
    sync::{Arc, LazyLock, Mutex},
    time::Duration,
};

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use countersign_delivery::provider::{
    Provider as _,
    apns::{Apns, ApnsError, ApnsSettings},
    http::HttpSettings,
    push::PushServices,
};
use countersign_domain::{
    message::PushService,
    port::{clock::Clock as _, sender::SendError},
    secret::Secret,
    testing::ManualClock,
};
use http::Version;
use serde_json::{Value, json};

use super::push_server::{
    Authority, CHALLENGE, Reply, Request, START, Script, Server, Service, TRANSACTION_TOKEN, impatient, login, nowhere,
    pem, talkative, told, verified, words,
};

const DEVICE: &str = "00fc13adff785122b4ad28809a3420982341241421348097878e577c991de8f0";
const OTHER_APP: &str = "11fc13adff785122b4ad28809a3420982341241421348097878e577c991de8f0";
const GONE: &str = "22fc13adff785122b4ad28809a3420982341241421348097878e577c991de8f0";
const TOPIC: &str = "com.example.guardian";

static KEY: LazyLock<EcdsaKeyPair> =
    LazyLock::new(|| EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap());

/// One notification that was taken.
#[derive(Clone)]
struct Taken {
    headers: Vec<(&'static str, String)>,
    payload: Value,
}

struct FakeApns {
    /// The server's own clock; a client's may be wrong.
    clock: Arc<ManualClock>,
    /// Every token that was shown, once.
    tokens: Mutex<Vec<String>>,
    taken: Mutex<Vec<Taken>>,
    script: Script,
}

impl FakeApns {
    fn tokens(&self) -> usize {
        self.tokens.lock().unwrap().len()
    }

    fn taken(&self) -> Vec<Taken> {
        self.taken.lock().unwrap().clone()
    }

    /// The reason to turn away who shows `token`.
    fn objection(&self, token: &str) -> Option<&'static str> {
        let Some((header, claims)) = verified(token, &ECDSA_P256_SHA256_FIXED, KEY.public_key().as_ref()) else {
            return Some("InvalidProviderToken");
        };
        if header != json!({ "alg": "ES256", "typ": "JWT", "kid": "ABC123DEFG" }) || claims["iss"] != "DEF123GHIJ" {
            return Some("InvalidProviderToken");
        }
        let mut tokens = self.tokens.lock().unwrap();
        if !tokens.iter().any(|known| known == token) {
            tokens.push(token.to_owned());
        }
        let age = self.clock.now().as_secs() - claims["iat"].as_i64().unwrap();
        (age > 3600).then_some("ExpiredProviderToken")
    }
}

impl Service for FakeApns {
    fn answer(&self, request: &Request) -> Reply {
        // The real one speaks nothing else.
        if request.version != Version::HTTP_2 {
            return Reply::Reset;
        }
        let token = request.header("authorization").strip_prefix("bearer ").unwrap_or_default();
        if let Some(reason) = self.objection(token) {
            return failure(403, reason);
        }
        if let Some(reply) = self.script.next() {
            return reply;
        }
        let device = request.path.strip_prefix("/3/device/").unwrap_or_default();
        let uuid = request.header("apns-id").to_owned();
        let well_formed = request.method == "POST"
            && request.header("apns-push-type") == "alert"
            && request.header("apns-priority") == "10"
            && uuid.len() == 36
            && request.header("apns-collapse-id").len() <= 64;
        match (device, request.header("apns-topic")) {
            _ if !well_formed => failure(400, "BadMessageId"),
            _ if request.body.len() > 4096 => failure(413, "PayloadTooLarge"),
            (GONE, _) => failure(410, "Unregistered"),
            (DEVICE, TOPIC) => {
                let names = ["apns-id", "apns-collapse-id", "apns-expiration", "apns-topic"];
                let headers = names.into_iter().map(|name| (name, request.header(name).to_owned())).collect();
                self.taken.lock().unwrap().push(Taken { headers, payload: request.json() });
                Reply::status(200, json!(""))
            }
            (DEVICE, _) => failure(400, "BadTopic"),
            (OTHER_APP, _) => failure(400, "DeviceTokenNotForTopic"),
            _ => failure(400, "BadDeviceToken"),
        }
    }
}

fn failure(status: u16, reason: &str) -> Reply {
    Reply::status(status, json!({ "reason": reason, "timestamp": 1_790_000_000, "about": talkative() }))
}

fn settings(base: &str, http: HttpSettings) -> ApnsSettings {
    ApnsSettings {
        key: Secret::new(pem(KEY.to_pkcs8v1().unwrap().as_ref())),
        key_id: "ABC123DEFG".into(),
        team_id: "DEF123GHIJ".into(),
        topic: TOPIC.into(),
        base_url: Some(base.to_owned()),
        http,
    }
}

fn fake() -> Arc<FakeApns> {
    Arc::new(FakeApns {
        clock: Arc::new(ManualClock::new(START)),
        tokens: Mutex::default(),
        taken: Mutex::default(),
        script: Script::default(),
    })
}

/// A server in the clear, and a provider that uses it.
struct Setup {
    clock: Arc<ManualClock>,
    fake: Arc<FakeApns>,
    apns: Apns,
    server: Server,
}

impl Setup {
    async fn new() -> Self {
        Self::with(HttpSettings::default()).await
    }

    async fn with(http: HttpSettings) -> Self {
        let fake = fake();
        let server = Server::start(fake.clone()).await;
        let clock = Arc::new(ManualClock::new(START));
        let apns = Apns::new(&settings(&server.base, http), clock.clone()).unwrap();
        Self { clock, fake, apns, server }
    }

    /// Time passes for both.
    fn advance(&self, span: Duration) {
        self.clock.advance(span);
        self.fake.clock.advance(span);
    }

    async fn send(&self) -> Result<(), SendError> {
        self.send_to(DEVICE).await
    }

    async fn send_to(&self, device: &str) -> Result<(), SendError> {
        self.apns.send(&login(PushService::Apns, device), &words()).await
    }
}

#[tokio::test]
async fn a_login_reaches_the_device_as_the_app_expects_it() {
    let setup = Setup::new().await;
    setup.send().await.unwrap();
    let taken = setup.fake.taken().remove(0);
    assert_eq!(
        taken.payload,
        json!({
            "aps": {
                "alert": { "title": "Example", "body": "Are you signing in?" },
                "category": "com.auth0.notification.authentication",
                "sound": "default",
            },
            "mfa": {
                "sh": "https://mfa.example.com",
                "dai": "dev_0123456789abcdef",
                "c": CHALLENGE,
                "txtkn": TRANSACTION_TOKEN,
                "d": "2026-09-21T14:13:20.250Z",
                "app": "Shop",
                "nm": "1",
                "s": { "b": { "n": "Firefox", "v": "127.0" }, "os": { "n": "Linux", "v": "" } },
                "l": { "n": "192.0.2.7" },
            },
        })
    );
    assert_eq!(taken.headers[2], ("apns-expiration", "1790000300".to_owned()));
}

#[tokio::test]
async fn a_second_try_takes_the_place_of_the_first() {
    let setup = Setup::new().await;
    setup.send().await.unwrap();
    setup.advance(Duration::from_secs(60));
    setup.send().await.unwrap();
    let taken = setup.fake.taken();
    assert_eq!(taken[0].headers, taken[1].headers);
    assert_eq!(taken[0].headers[0].1, taken[0].headers[1].1);
}

#[tokio::test]
async fn speaks_http_2_over_tls_with_a_root_of_the_settings() {
    let authority = Authority::new();
    let fake = fake();
    let server = Server::start_tls(&authority, fake.clone()).await;
    let http = HttpSettings { root_ca_file: Some(authority.root()), ..HttpSettings::default() };
    let apns = Apns::new(&settings(&server.base, http), fake.clock.clone()).unwrap();
    let services = PushServices { apns: Some(apns), fcm: None };
    let message = login(PushService::Apns, DEVICE);
    services.send(&message, &words()).await.unwrap();
    assert_eq!(fake.taken().len(), 1);
    assert!(services.knows_ids(&message), "a second copy takes the place of the first");
    assert!(!services.knows_ids(&login(PushService::Fcm, DEVICE)), "Firebase delivers both");
}

#[tokio::test]
async fn tells_nothing_to_a_server_that_nobody_vouches_for() {
    let authority = Authority::new();
    let fake = fake();
    let server = Server::start_tls(&authority, fake.clone()).await;
    let other = Authority::new();
    let http = HttpSettings { root_ca_file: Some(other.root()), ..HttpSettings::default() };
    let apns = Apns::new(&settings(&server.base, http), fake.clock.clone()).unwrap();
    let error = apns.send(&login(PushService::Apns, DEVICE), &words()).await.unwrap_err();
    assert!(matches!(error, SendError::Unavailable { .. }), "{}", told(&error));
    assert_eq!(fake.tokens(), 0);
}

#[tokio::test]
async fn a_provider_token_is_used_for_fifty_minutes() {
    let setup = Setup::new().await;
    setup.send().await.unwrap();
    setup.advance(Duration::from_secs(50 * 60 - 1));
    setup.send().await.unwrap();
    assert_eq!(setup.fake.tokens(), 1);
    setup.advance(Duration::from_secs(1));
    setup.send().await.unwrap();
    assert_eq!(setup.fake.tokens(), 2);
}

#[tokio::test]
async fn a_provider_token_that_expired_early_is_replaced_and_the_message_sent_again() {
    let setup = Setup::new().await;
    setup.send().await.unwrap();
    setup.fake.clock.advance(Duration::from_secs(35 * 60));
    setup.advance(Duration::from_secs(30 * 60));
    setup.send().await.unwrap();
    assert_eq!((setup.fake.tokens(), setup.fake.taken().len()), (2, 2));
}

#[tokio::test]
async fn a_provider_token_is_not_renewed_more_often_than_apns_allows() {
    let setup = Setup::new().await;
    setup.fake.clock.advance(Duration::from_secs(2 * 3600));
    for _ in 0..3 {
        let error = setup.send().await.unwrap_err();
        assert!(matches!(error, SendError::Unavailable { .. }));
        assert!(told(&error).ends_with("status 403 and its reason ExpiredProviderToken"));
    }
    assert_eq!(setup.fake.tokens(), 1);
}

#[tokio::test]
async fn a_provider_token_that_apns_does_not_know_is_no_fault_of_the_message() {
    let setup = Setup::new().await;
    let settings = ApnsSettings { team_id: "WRONG".into(), ..settings(&setup.server.base, HttpSettings::default()) };
    let apns = Apns::new(&settings, setup.clock.clone()).unwrap();
    let error = apns.send(&login(PushService::Apns, DEVICE), &words()).await.unwrap_err();
    assert!(matches!(error, SendError::Unavailable { .. }));
    assert!(told(&error).ends_with("status 403 and its reason InvalidProviderToken"));
}

#[tokio::test]
async fn devices_that_cannot_be_reached_are_refused() {
    let setup = Setup::new().await;
    for (device, expected) in [
        (GONE, "status 410 and its reason Unregistered"),
        (OTHER_APP, "status 400 and its reason DeviceTokenNotForTopic"),
        ("abc", "status 400 and its reason BadDeviceToken"),
        ("../../3/x", "the device token is none of APNs"),
    ] {
        let error = setup.send_to(device).await.unwrap_err();
        assert!(matches!(error, SendError::Refused(_)));
        let text = source(&error);
        assert!(text.ends_with(expected), "{text}");
    }
}

fn source(error: &SendError) -> String {
    std::error::Error::source(error).map(ToString::to_string).unwrap_or_default()
}

#[tokio::test]
async fn a_wrong_topic_is_no_fault_of_the_message() {
    let setup = Setup::new().await;
    let settings =
        ApnsSettings { topic: "com.example.x".into(), ..settings(&setup.server.base, HttpSettings::default()) };
    let apns = Apns::new(&settings, setup.clock.clone()).unwrap();
    let error = apns.send(&login(PushService::Apns, DEVICE), &words()).await.unwrap_err();
    assert!(matches!(error, SendError::Unavailable { .. }));
    assert!(told(&error).ends_with("status 400 and its reason BadTopic"));
}

#[tokio::test]
async fn waits_as_long_as_apns_asks() {
    let setup = Setup::new().await;
    for (status, reason, about_the_device) in [
        (429, "TooManyRequests", true),
        (429, "TooManyProviderTokenUpdates", false),
        (503, "ServiceUnavailable", false),
    ] {
        setup.fake.script.push(Reply::Answer(status, vec![("retry-after", "30")], json!({ "reason": reason })));
        let error = setup.send().await.unwrap_err();
        assert_eq!(matches!(error, SendError::Deferred { .. }), about_the_device, "{}", told(&error));
        let (SendError::Unavailable { retry_after, .. } | SendError::Deferred { retry_after, .. }) = error else {
            panic!("{}", told(&error))
        };
        assert_eq!(retry_after, Some(Duration::from_secs(30)));
    }
}

#[tokio::test]
async fn a_reason_that_is_not_known_is_not_told() {
    let setup = Setup::new().await;
    setup.fake.script.push(Reply::status(400, json!({ "reason": talkative() })));
    let error = setup.send().await.unwrap_err();
    assert!(told(&error).ends_with("the provider answered with status 400"));
}

#[tokio::test]
async fn an_answer_that_does_not_come_leaves_it_open_whether_the_message_was_sent() {
    let setup = Setup::with(impatient()).await;
    for reply in [Reply::Silence, Reply::Reset] {
        setup.fake.script.push(reply);
        let error = setup.send().await.unwrap_err();
        assert!(matches!(error, SendError::Unknown(_)), "{}", told(&error));
    }
}

#[tokio::test]
async fn without_a_connection_nothing_was_sent() {
    let clock = Arc::new(ManualClock::new(START));
    let apns = Apns::new(&settings(&nowhere().await, HttpSettings::default()), clock).unwrap();
    let error = apns.send(&login(PushService::Apns, DEVICE), &words()).await.unwrap_err();
    assert!(matches!(error, SendError::Unavailable { .. }), "{}", told(&error));
}

#[tokio::test]
async fn a_device_of_fcm_is_refused() {
    let setup = Setup::new().await;
    let error = setup.apns.send(&login(PushService::Fcm, DEVICE), &words()).await.unwrap_err();
    assert!(matches!(error, SendError::Refused(_)));
    assert_eq!(setup.fake.tokens(), 0);
}

#[test]
fn settings_that_cannot_be_used_are_refused_at_once() {
    let refused = |settings| Apns::new(&settings, Arc::new(ManualClock::new(START))).unwrap_err();
    let good = settings("http://127.0.0.1:1", HttpSettings::default());
    assert!(matches!(refused(ApnsSettings { key: Secret::new("key".into()), ..good.clone() }), ApnsError::Key(_)));
    assert!(matches!(refused(ApnsSettings { topic: "a\nb".into(), ..good.clone() }), ApnsError::Topic(_)));
    assert!(matches!(
        refused(ApnsSettings { base_url: Some("http://apns.example.com".into()), ..good.clone() }),
        ApnsError::Settings(_)
    ));
}
