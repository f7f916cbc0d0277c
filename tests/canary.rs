//! Secrets that are planted, and looked for in everything that leaves the process or stays behind.

use std::{
    io,
    sync::{Arc, Mutex},
};

use countersign_domain::user::AddressChange;
use countersign_telemetry::{Telemetry, TelemetryConfig};
use countersign_tests::{
    api::{Transport, Wish},
    dump,
    http::body,
    person::PASSWORD,
    tenant::{BACKEND, FORWARDER, MFA_API, MFA_SCOPES, Tenant},
    world::{Store, World},
};
use http::Method;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
    trace_service_server::{TraceService, TraceServiceServer},
};
use tonic::{Request, Response, Status, transport::server::TcpIncoming};

/// Keeps every log line.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Keeps every exported span.
#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Vec<String>>>);

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        self.0.lock().unwrap().push(format!("{:?}", request.into_inner()));
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

/// What was planted, under the name a failure calls it by.
#[derive(Default)]
struct Canaries(Vec<(String, String)>);

impl Canaries {
    fn plant(&mut self, name: &str, secret: &str) -> String {
        assert!(secret.len() >= 6, "{name} is too short to be found by itself");
        self.0.push((name.to_owned(), secret.to_owned()));
        secret.to_owned()
    }

    /// Panics if one of them is in `place`.
    fn search(&self, place: &str, bytes: &[u8]) {
        for (name, secret) in &self.0 {
            let needle = secret.as_bytes();
            let digits = needle.iter().all(u8::is_ascii_digit);
            let found = bytes.windows(needle.len()).enumerate().any(|(at, window)| {
                // Six digits turn up inside times and numbers by chance; a code of its own has an end on both sides.
                let alone = |byte: Option<&u8>| byte.is_none_or(|byte| !byte.is_ascii_alphanumeric() && *byte != b'.');
                window == needle
                    && (!digits
                        || alone(at.checked_sub(1).and_then(|at| bytes.get(at))) && alone(bytes.get(at + needle.len())))
            });
            assert!(!found, "{name} is in {place}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_secret_is_in_a_log_line_a_metric_a_trace_a_table_or_a_redis_key() {
    let (lines, collector) = (Lines::default(), Collector::default());
    let incoming = TcpIncoming::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let endpoint = format!("http://{}", incoming.local_addr().unwrap());
    let server = tonic::transport::Server::builder().add_service(TraceServiceServer::new(collector.clone()));
    tokio::spawn(server.serve_with_incoming(incoming));
    let config =
        TelemetryConfig { filter: "debug".into(), otlp_endpoint: Some(endpoint), ..TelemetryConfig::default() };
    let writer = lines.clone();
    let (dispatch, telemetry) = Telemetry::build(&config, move || writer.clone()).unwrap();
    tracing::dispatcher::set_global_default(dispatch).expect("the test runner gives each test a process of its own");

    let world = World::start(Store::Redis, Tenant::default().with_messages()).await;
    let mut canaries = Canaries::default();
    canaries.plant("the password", PASSWORD);
    canaries.plant("a client's secret", BACKEND.secret.unwrap());
    canaries.plant("another client's secret", FORWARDER.secret.unwrap());
    canaries.plant("the key-encryption key", "a2V5IGVuY3J5cHRpb24ga2V5IG9mIDMyIGJ5dGVzISE=");
    let mut people = Canaries::default();

    for transport in [Transport::Http, Transport::Grpc] {
        let api = world.api(transport);
        let username = format!("canary-{transport:?}");
        let person = world.person(&username).await;
        people.plant("a username", &username);
        people.plant("an address", &person.email);
        let notified = people.plant("an address for notices", &format!("notified-{transport:?}@canary.test"));
        let change = AddressChange { add: vec![notified], remove: Vec::new() };
        world.app().change_addresses(&person.id, change).await.unwrap();

        let wrong = canaries.plant("a wrong password", &format!("wrong-canary-{transport:?}"));
        api.login(BACKEND, &username, &wrong).await.unwrap_err();
        api.login(BACKEND, "canary-nobody", &wrong).await.unwrap_err();
        let token = canaries.plant("an mfa_token", &person.mfa_token(&api).await);
        let association = api.associate(&token).await.unwrap();
        canaries.plant("a seed", &association.secret);
        canaries.plant("an otpauth URI", &association.barcode_uri);
        let recovery = canaries.plant("a recovery code", &association.recovery_codes[0]);
        let phone = countersign_tests::person::Phone::new(association.secret, None);
        let bad = canaries.plant("a wrong code", &phone.wrong(&world));
        api.otp(BACKEND, &token, &bad).await.unwrap_err();
        let good = canaries.plant("a code", &phone.code(&world));
        let tokens = api.otp(BACKEND, &token, &good).await.unwrap();
        canaries.plant("an access token", &tokens.access_token);
        canaries.plant("an ID token", tokens.id_token.as_ref().unwrap());
        api.subject(&tokens.access_token).await.unwrap();

        let token = canaries.plant("an mfa_token", &person.mfa_token(&api).await);
        api.challenge(BACKEND, &token, "otp", None).await.unwrap();
        api.recovery(BACKEND, &token, "WRONGRECOVERYCANARY00000").await.unwrap_err();
        canaries.plant("a wrong recovery code", "WRONGRECOVERYCANARY00000");
        let tokens = api.recovery(BACKEND, &token, &recovery).await.unwrap();
        canaries.plant("a new recovery code", tokens.recovery_code.as_ref().unwrap());

        let wish = Wish { audience: Some(MFA_API), scope: Some(MFA_SCOPES), realm: None };
        let token = api.login_for(BACKEND, &username, PASSWORD, wish).await.unwrap().mfa_token();
        canaries.plant("an mfa_token", &token);
        let code = canaries.plant("a code", &phone.code(&world));
        let manager = api.otp(BACKEND, &token, &code).await.unwrap().access_token;
        canaries.plant("an access token of the MFA API", &manager);
        let listed = api.list(&manager).await.unwrap();
        api.update(&manager, &listed[0].id, Some("a phone"), Some(true)).await.unwrap();
        api.list("forged-bearer-canary").await.unwrap_err();
        canaries.plant("a forged bearer", "forged-bearer-canary");
        for notice in world.notices().await {
            let Some((_, rest)) = notice["text"].as_str().unwrap().split_once("/notices/") else { continue };
            let token = canaries.plant("the token of a link", rest.split_whitespace().next().unwrap());
            world.http().get(&format!("/notices/{token}")).await;
        }
        // Left open, so that a transaction is in Redis.
        canaries.plant("a pending mfa_token", &person.mfa_token(&api).await);
    }
    // In places where secrets do not belong.
    let http = world.http();
    let stray = canaries.plant("a wrong token of a link", "csnot_stray-notice-canary");
    http.send(http.request(Method::POST, &format!("/notices/{stray}"))).await;
    http.get(&format!("/notices/{stray}/more")).await;
    let stray = canaries.plant("a secret in an address", "stray-query-canary");
    http.form(&format!("/oauth/token?password={stray}&client_secret={stray}"), &[("x", "y")]).await;
    let stray = canaries.plant("a secret in a path", "stray-path-canary");
    http.get(&format!("/mfa/authenticators/{stray}")).await;
    http.get(&format!("/nowhere/{stray}")).await;
    let stray = canaries.plant("a secret as a name", "stray-member-canary");
    http.post("/oauth/token", &serde_json::json!({"grant_type": stray, "client_id": stray, stray.clone(): stray}))
        .await;
    let request = http
        .request(Method::POST, "/oauth/token")
        .header("cookie", "session=cookie-canary")
        .header("dpop", "dpop-canary");
    canaries.plant("a cookie", "cookie-canary");
    canaries.plant("a proof", "dpop-canary");
    http.send(request.json(&body(BACKEND, &[("grant_type", "password")]))).await;

    let telemetry = tokio::task::spawn_blocking(move || telemetry.flush().map(|()| telemetry)).await.unwrap().unwrap();
    let spans = collector.0.lock().unwrap().join("\n");
    assert!(spans.len() > 1000, "spans were exported");
    let lines = lines.0.lock().unwrap().clone();
    assert!(lines.split(|byte| *byte == b'\n').count() > 40, "lines were written");
    for (place, bytes) in [
        ("a log line", lines.as_slice()),
        ("a trace", spans.as_bytes()),
        ("the metrics", world.metrics().await.text().as_bytes()),
    ] {
        canaries.search(place, bytes);
        people.search(place, bytes);
    }
    let stored = dump::sqlite(&world.database());
    assert!(stored.iter().any(|(_, bytes)| bytes == b"canary-Http"), "the dump finds what is stored");
    let cached = dump::redis(&world.redis_url().unwrap()).await;
    assert!(cached.len() > 4, "something is in Redis");
    for (place, bytes) in stored.iter().chain(&cached) {
        canaries.search(place, bytes);
    }
    for (place, bytes) in &cached {
        people.search(place, bytes);
    }
    drop(telemetry);
}
