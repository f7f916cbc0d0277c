//! A server that plays the wire of the device API, as a phone sees it.

use std::{
    collections::{BTreeSet, HashMap},
    net::Ipv4Addr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use axum::{
    Json, Router,
    extract::{self, State},
    response::{IntoResponse, Response},
    routing,
};
use countersign_domain::{port::clock::Clock as _, time::Timestamp};
use countersign_telemetry::{Metrics, metrics::label::Listener as Label};
use data_encoding::BASE64URL_NOPAD;
use http::{HeaderMap, StatusCode, header::AUTHORIZATION};
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::watch};

use crate::{
    demo::certificates::Certificates,
    listener::{Connections, Listener},
    system::SystemClock,
    tls::{Files, Side},
};

/// The ticket of the barcode.
pub(super) const TICKET: &str = "0123456789abcdefGHIJKLMNOPQRSTUV";

/// A running server, and the outbox it writes.
pub(super) struct Server {
    pub(super) base: String,
    pub(super) outbox: PathBuf,
    shared: Shared,
    /// It stops when this is gone.
    _stop: watch::Sender<bool>,
}

type Shared = Arc<Mutex<Inside>>;

#[derive(Default)]
struct Inside {
    base: String,
    /// Answers to enrolments are lost while there are any.
    lose: usize,
    registration: Option<(Value, Value)>,
    /// Challenges by their bearers.
    logins: HashMap<String, String>,
    claims: Vec<Value>,
    removed: bool,
}

impl Server {
    /// One without TLS.
    pub(super) async fn start(folder: &Path) -> Self {
        Self::listen(folder, "http://127.0.0.1", None).await
    }

    /// One with the certificates of a demo, which are made in `folder`.
    pub(super) async fn start_encrypted(folder: &Path) -> Self {
        let files = Certificates::keep(folder).unwrap();
        let tls = Side::new(Files { cert: files.cert, key: files.key, authorities: None }, BTreeSet::new()).unwrap();
        Self::listen(folder, "https://localhost", Some(tls)).await
    }

    async fn listen(folder: &Path, host: &str, tls: Option<Side>) -> Self {
        let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let base = format!("{host}:{}/appliance-mfa", socket.local_addr().unwrap().port());
        let shared = Shared::default();
        shared.lock().unwrap().base.clone_from(&base);
        let (stop, stopping) = watch::channel(false);
        let listener = Listener {
            socket,
            tls,
            router: router(Arc::clone(&shared)),
            connections: Connections::new(8, 8),
            metrics: (Metrics::new(), Label::Https),
            stopping,
        };
        tokio::spawn(listener.run(Duration::ZERO));
        Self { base, outbox: folder.join("outbox.jsonl"), shared, _stop: stop }
    }

    pub(super) fn barcode(&self) -> String {
        barcode(TICKET, &self.base)
    }

    /// Loses the answers to the next `count` enrolments.
    pub(super) fn lose(&self, count: usize) {
        self.shared.lock().unwrap().lose = count;
    }

    /// Asks the phone about a login that was begun `age` ago.
    pub(super) fn ask(&self, id: &str, number_matching: bool, age: Duration) {
        let mut inside = self.shared.lock().unwrap();
        inside.logins.insert(format!("bearer-{id}"), format!("challenge-{id}"));
        let device = inside.registration.as_ref().unwrap().0.clone();
        let at = SystemClock.now().minus(age).to_rfc3339();
        self.write(&json!({
            "id": id, "channel": "push", "to": device["push_credentials"]["token"], "text": "Log in?",
            "push": {
                "service": "GCM", "device": "dev_1234567890abcdef", "challenge": format!("challenge-{id}"),
                "transaction_token": format!("bearer-{id}"), "base_url": self.base, "requested_at": at,
                "client_name": "A page", "user_agent": "Mozilla\u{1b}[2J", "address": "192.0.2.7",
                "number_matching": number_matching,
            },
            "at": at,
        }));
    }

    /// Writes a line to the outbox.
    pub(super) fn write(&self, line: &dyn std::fmt::Display) {
        use std::io::Write as _;
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(&self.outbox).unwrap();
        writeln!(file, "{line}").unwrap();
    }

    /// Forgets the logins that wait.
    pub(super) fn forget(&self) {
        self.shared.lock().unwrap().logins.clear();
    }

    /// The claims of the last answer.
    pub(super) fn last(&self) -> Value {
        self.shared.lock().unwrap().claims.last().cloned().unwrap()
    }

    /// What the phone enrolled with.
    pub(super) fn device(&self) -> Value {
        self.shared.lock().unwrap().registration.clone().unwrap().0
    }

    /// Ends the enrolment.
    pub(super) fn remove(&self) {
        self.shared.lock().unwrap().removed = true;
    }

    pub(super) fn is_removed(&self) -> bool {
        self.shared.lock().unwrap().removed
    }
}

pub(super) fn barcode(ticket: &str, base: &str) -> String {
    let base: String = url::form_urlencoded::byte_serialize(base.as_bytes()).collect();
    format!("otpauth://totp/My%20App:ada%40example.com?enrollment_tx_id={ticket}&base_url={base}")
}

fn router(shared: Shared) -> Router {
    Router::new()
        .route("/appliance-mfa/api/enroll", routing::post(enrol))
        .route("/appliance-mfa/api/resolve-transaction", routing::post(resolve))
        .route("/appliance-mfa/api/device-accounts/{id}", routing::delete(remove))
        .with_state(shared)
}

async fn enrol(State(shared): State<Shared>, headers: HeaderMap, Json(device): Json<Value>) -> Response {
    let mut inside = shared.lock().unwrap();
    if headers[AUTHORIZATION] != format!(r#"Ticket id="{TICKET}""#) {
        return refused(
            404,
            "enrollment_transaction_not_found",
            "The enrollment transaction was not found or has expired",
        );
    }
    let key = device["public_key"].clone();
    for (member, expected) in [("kty", "EC"), ("crv", "P-256"), ("alg", "ES256"), ("use", "sig")] {
        assert_eq!(key[member], expected);
    }
    if inside.registration.get_or_insert_with(|| (device, key.clone())).1 != key {
        return refused(409, "device_already_enrolled", "The ticket was used with another key");
    }
    if inside.lose > 0 {
        inside.lose -= 1;
        return StatusCode::BAD_GATEWAY.into_response();
    }
    Json(json!({
        "id": "dev_1234567890abcdef", "url": inside.base, "issuer": "http://localhost/", "user_id": "auth0|ada",
        "token": "device-token",
        "totp": { "secret": "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ", "algorithm": "sha1", "digits": 6, "period": 30 },
    }))
    .into_response()
}

async fn resolve(State(shared): State<Shared>, headers: HeaderMap, Json(body): Json<Value>) -> Response {
    let mut inside = shared.lock().unwrap();
    let bearer = headers[AUTHORIZATION].to_str().unwrap().strip_prefix("Bearer ").unwrap();
    let Some(challenge) = inside.logins.remove(bearer) else {
        return refused(404, "login_transaction_not_found", "The login was not found");
    };
    let (device, key) = inside.registration.clone().unwrap();
    let claims = verified(body["challenge_response"].as_str().unwrap(), &key);
    assert_eq!(claims["iss"], device["identifier"]);
    assert_eq!(claims["sub"], challenge);
    assert_eq!(claims["aud"], format!("{}/api/resolve-transaction", inside.base));
    assert_eq!(claims["auth0_guardian_method"], "push");
    let at = claims["iat"].as_i64().unwrap();
    assert_eq!(claims["exp"], at + 30);
    assert!(SystemClock.now().since(Timestamp::from_millis(at * 1000)) < Duration::from_secs(30));
    inside.claims.push(claims);
    StatusCode::NO_CONTENT.into_response()
}

async fn remove(
    State(shared): State<Shared>,
    headers: HeaderMap,
    extract::Path(id): extract::Path<String>,
) -> StatusCode {
    assert_eq!(
        (id.as_str(), &headers[AUTHORIZATION]),
        ("dev_1234567890abcdef", &"Bearer device-token".parse().unwrap())
    );
    let was_removed = std::mem::replace(&mut shared.lock().unwrap().removed, true);
    if was_removed { StatusCode::UNAUTHORIZED } else { StatusCode::NO_CONTENT }
}

/// The claims of `token`, whose signature is of `key`.
fn verified(token: &str, key: &Value) -> Value {
    let (input, signature) = token.rsplit_once('.').unwrap();
    let decode = |part: &str| BASE64URL_NOPAD.decode(part.as_bytes()).unwrap();
    let mut point = vec![4];
    point.extend(decode(key["x"].as_str().unwrap()));
    point.extend(decode(key["y"].as_str().unwrap()));
    let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point);
    key.verify(input.as_bytes(), &decode(signature)).unwrap();
    let (header, claims) = input.split_once('.').unwrap();
    assert_eq!(decode(header), br#"{"alg":"ES256","typ":"JWT"}"#);
    serde_json::from_slice(&decode(claims)).unwrap()
}

fn refused(status: u16, code: &str, message: &str) -> Response {
    let status = StatusCode::from_u16(status).unwrap();
    let body = json!({ "statusCode": status.as_u16(), "errorCode": code, "error": status.canonical_reason(), "message": message });
    (status, Json(body)).into_response()
}
