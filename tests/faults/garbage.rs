//! Ten thousand requests that make no sense.

use countersign_domain::{port::entropy::Entropy as _, testing::SeededEntropy};
use countersign_tests::{
    api::Transport,
    tenant::{BACKEND, NATIVE, Tenant},
    world::{Store, World},
};
use http::{HeaderValue, Method};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

const PATHS: [&str; 14] = [
    "/oauth/token",
    "/oauth/revoke",
    "/oauth/introspect",
    "/mfa/challenge",
    "/mfa/associate",
    "/mfa/authenticators",
    "/mfa/authenticators/%00",
    "/mfa/authenticators/totp%7Cdev_0000000000000000",
    "/mfa/authenticators/%ff%fe",
    "/userinfo",
    "/.well-known/jwks.json/x",
    "/openapi.json/..%2f..%2fetc%2fpasswd",
    "/oauth/token;x=y",
    "/%",
];

const METHODS: [Method; 5] = [Method::POST, Method::PATCH, Method::DELETE, Method::PUT, Method::POST];

const MEDIA: [&str; 6] = [
    "application/json",
    "application/x-www-form-urlencoded",
    "application/json; charset=utf-16",
    "text/plain",
    "",
    "application/x-www-form-urlencoded; charset=\u{7f}",
];

const GRANTS: [&str; 6] = [
    "password",
    "http://auth0.com/oauth/grant-type/password-realm",
    "http://auth0.com/oauth/grant-type/mfa-otp",
    "http://auth0.com/oauth/grant-type/mfa-recovery-code",
    "refresh_token",
    "\u{0}",
];

/// Numbers from a seed: the same garbage every time.
struct Dice(SeededEntropy);

impl Dice {
    fn bytes(&self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.0.fill(&mut bytes).unwrap();
        bytes
    }

    fn below(&self, bound: usize) -> usize {
        let bytes = self.bytes(8);
        usize::try_from(u64::from_le_bytes(bytes.try_into().unwrap()) % bound as u64).unwrap()
    }

    fn value(&self, depth: usize) -> Value {
        match self.below(if depth == 0 { 8 } else { 10 }) {
            0 => Value::Null,
            1 => json!(true),
            2 => json!(-1),
            3 => json!(1e300),
            4 => json!(""),
            5 => json!("\u{0}\u{202e}\u{feff}"),
            6 => json!("x".repeat(self.below(3000))),
            7 => json!(String::from_utf8_lossy(&self.bytes(20))),
            8 => json!([self.value(depth - 1), self.value(depth - 1)]),
            _ => json!({"a": self.value(depth - 1), "grant_type": self.value(depth - 1)}),
        }
    }

    fn body(&self) -> Vec<u8> {
        match self.below(8) {
            0 => self.bytes(self.below(2000)),
            1 => vec![b'{'; self.below(5000)],
            2 => vec![b'['; self.below(5000)],
            3 => vec![b'&'; self.below(5000)],
            4 => b"grant_type=%ff%fe&password=%".to_vec(),
            5 => Vec::new(),
            6 => serde_json::to_vec(&self.value(4)).unwrap(),
            _ => {
                let mut body = json!({"grant_type": GRANTS[self.below(GRANTS.len())], "client_id": NATIVE.id});
                for name in [
                    "username",
                    "password",
                    "mfa_token",
                    "otp",
                    "recovery_code",
                    "refresh_token",
                    "token",
                    "realm",
                    "audience",
                    "scope",
                    "client_id",
                    "challenge_type",
                    "authenticator_id",
                    "authenticator_types",
                ] {
                    if self.below(2) == 0 {
                        body[name] = self.value(2);
                    }
                }
                serde_json::to_vec(&body).unwrap()
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_garbage_requests_are_refused_and_a_good_one_is_served() {
    // People who do not exist are throttled per name; hashes would be what this test measures.
    let tenant = Tenant::default().section("limits.password_rate", &["capacity = 5", "refill = '1h'"]);
    let world = World::start(Store::Sqlite, tenant).await;
    let api = world.api(Transport::Http);
    let (ann, phone) = world.enrolled(&api, "ann").await;
    let client = countersign_tests::http::plain_client();
    let dice = Dice(SeededEntropy::new(42));
    let mut waiting = tokio::task::JoinSet::new();
    let mut statuses = std::collections::BTreeMap::new();
    for number in 0..10_000 {
        let path = PATHS[dice.below(PATHS.len())];
        let mut request =
            client.request(METHODS[dice.below(METHODS.len())].clone(), world.http().url(path)).body(dice.body());
        let media = MEDIA[dice.below(MEDIA.len())];
        if let (false, Ok(value)) = (media.is_empty(), HeaderValue::from_str(media)) {
            request = request.header("content-type", value);
        }
        match dice.below(6) {
            0 => request = request.header("authorization", "Basic !!!!"),
            1 => request = request.header("authorization", "Basic OjpAOjo6"),
            2 => request = request.header("authorization", format!("Bearer {}", "x".repeat(dice.below(4000)))),
            3 => request = request.header("authorization", HeaderValue::from_bytes(&[b'B', b'e', 0xff, 0xfe]).unwrap()),
            _ => {}
        }
        waiting.spawn(async move { (number, path, request.send().await.map(|answer| answer.status().as_u16())) });
        while waiting.len() >= 64 {
            let (number, path, status) = waiting.join_next().await.unwrap().unwrap();
            let status = status.unwrap_or_else(|error| panic!("{number} {path}: {error}"));
            assert!((400..500).contains(&status), "{number} {path}: {status}");
            *statuses.entry(status).or_insert(0) += 1;
        }
    }
    for (number, path, status) in waiting.join_all().await {
        let status = status.unwrap_or_else(|error| panic!("{number} {path}: {error}"));
        assert!((400..500).contains(&status), "{number} {path}: {status}");
        *statuses.entry(status).or_insert(0) += 1;
    }
    assert_eq!(statuses.values().sum::<i32>(), 10_000);
    assert!(statuses.len() >= 4, "the garbage is varied: {statuses:?}");
    world.advance(7200);
    ann.log_in(&world, &api, &phone).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_no_protocol_end_the_connection_and_nothing_else() {
    let world = World::start(Store::Sqlite, Tenant::default()).await;
    let (ann, phone) = world.enrolled(&world.api(Transport::Grpc), "ann").await;
    let dice = Dice(SeededEntropy::new(7));
    for number in 0..300 {
        let address = [world.server().http(), world.server().grpc(), world.server().ops()][number % 3];
        let mut bytes = match number % 4 {
            0 => b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
            1 => b"POST /oauth/token HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nffffffffffffffff\r\n"
                .to_vec(),
            2 => b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(),
            _ => Vec::new(),
        };
        bytes.extend(dice.bytes(600));
        let mut socket = TcpStream::connect(address).await.unwrap();
        // The server may have closed before all was written; that is an answer too.
        let _closed = socket.write_all(&bytes).await;
        let _closed = socket.shutdown().await;
        let mut answer = Vec::new();
        let _closed = socket.read_to_end(&mut answer).await;
        let answer = String::from_utf8_lossy(&answer).to_ascii_lowercase();
        // gRPC refuses with status 200 and a grpc-status other than 0.
        let granted =
            answer.starts_with("http/1.1 2") && (!answer.contains("grpc-status:") || answer.contains("grpc-status: 0"));
        assert!(!granted && !answer.starts_with("http/1.1 5"), "{number}: {answer}");
    }
    for transport in [Transport::Http, Transport::Grpc] {
        ann.log_in(&world, &world.api(transport), &phone).await;
    }
    let api = world.api(Transport::Grpc);
    assert!(api.login(BACKEND, &"x".repeat(5000), "x").await.is_err());
    assert!(api.otp(BACKEND, &"x".repeat(100_000), "x").await.is_err());
}
