//! Every provider a configuration can name, between the configuration and the person. What each does in trouble is told in
//! `crates/delivery`.

use std::{
    collections::HashMap,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::Bytes,
    http::{HeaderMap, Method, StatusCode, Uri, Version},
};
use countersign_proto::v1::PushService;
use countersign_tests::{
    api::{To, Transport},
    device::{Device, Pushed},
    receiver::Closed,
    sent::NUMBER,
    tenant::{BACKEND, Tenant},
    world::{Store, World},
};
use data_encoding::BASE64;
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines},
    net::TcpListener,
    process::{Child, ChildStdout, Command},
    task::JoinHandle,
};

/// A request that a provider had.
#[derive(Clone, Debug)]
struct Request {
    version: Version,
    path: String,
    headers: HeaderMap,
    body: String,
}

impl Request {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("it is text"))
    }

    /// The fields of its form.
    fn form(&self) -> HashMap<String, String> {
        let url = reqwest::Url::parse(&format!("http://form/?{}", self.body)).expect("it is a form");
        url.query_pairs().into_owned().collect()
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("it is JSON")
    }
}

/// Twilio, Google and Apple at one address, which take everything.
struct Providers {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Request>>>,
    serving: JoinHandle<()>,
}

impl Providers {
    async fn start() -> Self {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&seen);
        let take = move |method: Method, version: Version, uri: Uri, headers: HeaderMap, body: String| {
            let request = Request { version, path: format!("{method} {}", uri.path()), headers, body };
            let answer = match uri.path() {
                "/token" => json!({"access_token": "an-access-token", "expires_in": 3599, "token_type": "Bearer"}),
                _ => json!({"sid": "SM1", "status": "queued", "name": "projects/demo/messages/1"}),
            };
            kept.lock().expect("nobody panics with it").push(request);
            async move { (StatusCode::OK, Bytes::from(answer.to_string())) }
        };
        let socket = TcpListener::bind("127.0.0.1:0").await.expect("there is a free port");
        let address = socket.local_addr().expect("a bound socket has an address");
        let serving = tokio::spawn(async move {
            axum::serve(socket, Router::new().fallback(take)).await.expect("it serves to the end");
        });
        Self { address, seen, serving }
    }

    /// The last of `count` requests to `path`, as soon as there are so many.
    async fn request(&self, path: &str, count: usize) -> Request {
        let mut ticks = tokio::time::interval(Duration::from_millis(5));
        loop {
            ticks.tick().await;
            let seen = self.seen.lock().expect("nobody panics with it").clone();
            let found: Vec<_> = seen.into_iter().filter(|request| request.path == path).collect();
            if found.len() >= count {
                return found[count - 1].clone();
            }
        }
    }
}

impl Drop for Providers {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// The six digits in `text`.
fn code(text: &str) -> String {
    let found = text.split(|c: char| !c.is_ascii_digit()).find(|digits| digits.len() == 6);
    found.unwrap_or_else(|| panic!("no code in {text}")).to_owned()
}

/// Where each channel goes, and the countries.
fn routes(sms: &str, voice: &str, email: &str, push: &str, more: &[&str]) -> Vec<String> {
    let names = [("sms", sms), ("voice", voice), ("email", email), ("push", push)];
    let routes = names.iter().map(|(channel, names)| format!("{channel} = [{names}]"));
    routes.chain(["countries = ['US']".to_owned()]).chain(more.iter().map(|&line| line.to_owned())).collect()
}

/// The tenant with these `[messages]` lines.
fn tenant(lines: &[String]) -> Tenant {
    let lines: Vec<_> = lines.iter().map(String::as_str).collect();
    Tenant::default().with_devices().section("messages", &lines)
}

/// Twilio's account in the configuration.
fn twilio(tenant: Tenant, address: SocketAddr) -> Tenant {
    let lines = [
        "name = 'twilio'",
        &format!("base_url = 'http://{address}'"),
        "account_sid = 'AC00000000000000000000000000000001'",
        "secret = 'the-auth-token'",
        "from = '+15005550006'",
        "caller = '+15005550007'",
    ];
    tenant.section("[messages.twilio]", &lines)
}

#[tokio::test(flavor = "multi_thread")]
async fn codes_travel_by_twilio_as_text_and_as_speech() {
    let providers = Providers::start().await;
    let tenant = twilio(tenant(&routes("'twilio'", "'twilio'", "'outbox'", "'outbox'", &[])), providers.address);
    let world = World::start(Store::Sqlite, tenant).await;
    let api = world.api(Transport::Http);
    let ann = world.person("ann").await;

    let token = ann.mfa_token(&api).await;
    let sent = api.associate_oob(&token, To::Phone("sms", NUMBER)).await.unwrap();
    let request =
        providers.request("POST /2010-04-01/Accounts/AC00000000000000000000000000000001/Messages.json", 1).await;
    let form = request.form();
    assert_eq!((form["To"].as_str(), form["From"].as_str()), (NUMBER, "+15005550006"));
    let login = BASE64.encode(b"AC00000000000000000000000000000001:the-auth-token");
    assert_eq!(request.header("authorization"), format!("Basic {login}"));
    api.oob(BACKEND, &token, &sent.oob_code, &code(&form["Body"])).await.unwrap();

    let token = ann.mfa_token(&api).await;
    let sent = api.send_code(BACKEND, &token, None, Some("voice")).await.unwrap();
    let request = providers.request("POST /2010-04-01/Accounts/AC00000000000000000000000000000001/Calls.json", 1).await;
    let form = request.form();
    assert_eq!((form["To"].as_str(), form["From"].as_str()), (NUMBER, "+15005550007"));
    let digits: String = form["Twiml"].chars().filter(char::is_ascii_digit).collect();
    api.oob(BACKEND, &token, &sent.oob_code, &digits[..6]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_provider_of_the_channel_has_its_turn_when_the_first_is_away() {
    let providers = Providers::start().await;
    let closed = Closed::new();
    let tenant =
        twilio(tenant(&routes("'hook', 'twilio'", "'outbox'", "'outbox'", "'outbox'", &[])), providers.address)
            .section(
                "[messages.webhook]",
                &[
                    "name = 'hook'",
                    &format!("url = 'http://{}/messages'", closed.address()),
                    "secrets = ['a secret of 32 bytes or some more']",
                ],
            );
    let world = World::start(Store::Sqlite, tenant).await;
    let api = world.api(Transport::Grpc);
    let token = world.person("ann").await.mfa_token(&api).await;
    let sent = api.associate_oob(&token, To::Phone("sms", NUMBER)).await.unwrap();
    let request =
        providers.request("POST /2010-04-01/Accounts/AC00000000000000000000000000000001/Messages.json", 1).await;
    api.oob(BACKEND, &token, &sent.oob_code, &code(&request.form()["Body"])).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn words_of_a_folder_replace_the_shipped_ones() {
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("sms.txt"), "{{ app }} says {{ code }} over {{ channel }}").unwrap();
    let words = format!("templates_dir = '{}'", folder.path().display());
    let tenant = tenant(&routes("'outbox'", "'outbox'", "'outbox'", "'outbox'", &[&words]));
    let world = World::start(Store::Sqlite, tenant).await;
    let api = world.api(Transport::Http);
    let token = world.person("ann").await.mfa_token(&api).await;
    let (_, message) = world.sent(api.associate_oob(&token, To::Phone("sms", NUMBER))).await;
    assert_eq!(message.text.trim_end(), format!("My Test Tenant says {} over sms", message.code));
}

/// The mail server of the delivery tests: STARTTLS, a certificate of its own, a user.
struct MailServer {
    port: u16,
    authority: PathBuf,
    lines: Lines<BufReader<ChildStdout>>,
    _process: Child,
}

impl MailServer {
    async fn start(folder: &Path) -> Self {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let (authority, key) = (folder.join("mail.pem"), folder.join("mail.key"));
        std::fs::write(&authority, made.cert.pem()).unwrap();
        std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        let interpreter = std::env::var_os("COUNTERSIGN_TEST_PYTHON").expect("run the tests with scripts/test");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/delivery/tests/delivery/smtp_server.py");
        let mut process = Command::new(interpreter)
            .args([script.as_path(), Path::new("starttls"), &authority, &key])
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("PYTHONWARNINGS", "ignore")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the interpreter starts");
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let port = lines.next_line().await.unwrap().expect("the mail server starts").parse().unwrap();
        Self { port, authority, lines, _process: process }
    }

    /// The next message it took.
    async fn taken(&mut self) -> Value {
        let line = self.lines.next_line().await.unwrap().expect("the mail server runs");
        serde_json::from_str(&line).unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn codes_travel_by_a_mail_server() {
    let folder = TempDir::new().unwrap();
    let mut server = MailServer::start(folder.path()).await;
    std::fs::write(folder.path().join("password"), "correct horse\n").unwrap();
    let tenant = tenant(&routes("'outbox'", "'outbox'", "'mail'", "'outbox'", &[])).section(
        "[messages.smtp]",
        &[
            "name = 'mail'",
            "host = 'localhost'",
            &format!("port = {}", server.port),
            "user = 'countersign'",
            &format!("password_file = '{}'", folder.path().join("password").display()),
            "from = 'login@example.com'",
            &format!("ca_file = '{}'", server.authority.display()),
        ],
    );
    let world = World::start(Store::Sqlite, tenant).await;
    let api = world.api(Transport::Http);
    let token = world.person("ann").await.mfa_token(&api).await;
    let sent = api.associate_oob(&token, To::Email(Some("ann@example.org"))).await.unwrap();
    let mail = server.taken().await;
    assert_eq!((&mail["from"], &mail["to"]), (&json!("login@example.com"), &json!("ann@example.org")));
    assert_eq!((&mail["user"], &mail["tls"]), (&json!("countersign"), &json!(true)));
    let source = BASE64.decode(mail["data"].as_str().unwrap().as_bytes()).unwrap();
    let source = String::from_utf8(source).unwrap();
    let text = source.split("text/plain").nth(1).expect("there is a text part");
    assert!(source.contains("text/html") && source.contains("My Test Tenant"), "{source}");
    // What follows the first blank line of that part.
    let (_, body) = text.split_once("\r\n\r\n").unwrap();
    api.oob(BACKEND, &token, &sent.oob_code, &code(body)).await.unwrap();
}

/// The keys in `folder`, and the tenant that uses them.
fn push_services(folder: &Path, address: SocketAddr) -> Tenant {
    let google = KeyPair::generate_for(&PKCS_RSA_SHA256).unwrap().serialize_pem();
    let account = json!({
        "type": "service_account",
        "project_id": "demo",
        "private_key_id": "key-1",
        "private_key": google,
        "client_email": "push@demo.iam.gserviceaccount.com",
        "token_uri": "https://oauth2.googleapis.com/token",
    });
    std::fs::write(folder.join("google.json"), account.to_string()).unwrap();
    let apple = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap().serialize_pem();
    std::fs::write(folder.join("apple.p8"), apple).unwrap();
    tenant(&routes("'outbox'", "'outbox'", "'outbox'", "'phones'", &[])).section(
        "[messages.push_services]",
        &[
            "name = 'phones'",
            &format!("fcm_service_account_file = '{}'", folder.join("google.json").display()),
            &format!("fcm_base_url = 'http://{address}'"),
            &format!("fcm_token_uri = 'http://{address}/token'"),
            &format!("apns_key_file = '{}'", folder.join("apple.p8").display()),
            "apns_key_id = 'ABC123DEFG'",
            "apns_team_id = 'DEF123GHIJ'",
            "apns_topic = 'com.example.app'",
            &format!("apns_base_url = 'http://{address}'"),
        ],
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn questions_travel_by_firebase_and_by_apple_each_to_its_own() {
    let folder = TempDir::new().unwrap();
    let providers = Providers::start().await;
    let world = World::start(Store::Sqlite, push_services(folder.path(), providers.address)).await;
    let api = world.api(Transport::Http);
    for (name, service) in [("ann", PushService::Fcm), ("bob", PushService::Apns)] {
        let person = world.person(name).await;
        let mut device = Device::new(name);
        device.push_service = service;
        device.push_token = Some("00ff".repeat(16));
        person.enrol_device(&api, &device).await;
        let token = person.mfa_token(&api).await;
        let asked = api.ask(BACKEND, &token, None).await.unwrap();
        let told = if service == PushService::Fcm {
            let request = providers.request("POST /v1/projects/demo/messages:send", 1).await;
            assert_eq!(request.header("authorization"), "Bearer an-access-token");
            let message = request.json()["message"].clone();
            assert_eq!(message["token"], device.push_token.clone().unwrap());
            message["data"].clone()
        } else {
            let request = providers.request(&format!("POST /3/device/{}", "00ff".repeat(16)), 1).await;
            assert_eq!(request.version, Version::HTTP_2);
            assert_eq!(request.header("apns-topic"), "com.example.app");
            request.json()["mfa"].clone()
        };
        // Where the login comes from is told to who is asked.
        let location = told["l"].as_str().map_or_else(|| told["l"].clone(), |l| serde_json::from_str(l).unwrap());
        assert_eq!(location, json!({"n": "127.0.0.1"}));
        let member = |name: &str| told[name].as_str().expect("it is text").to_owned();
        let pushed = Pushed { challenge: member("c"), token: member("txtkn"), line: told.clone() };
        let answer = device.answer(&world, &pushed, true, asked.number.as_deref());
        api.resolve(&pushed.token, &answer).await.unwrap();
        api.poll(BACKEND, &token, &asked.oob_code).await.unwrap();
    }
}
