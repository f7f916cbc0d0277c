//! Requests that no client would send: each is answered, and none is a fault of ours.

use std::net::SocketAddr;

use countersign_tests::{
    api::{To, Transport},
    person::PASSWORD,
    sent::NUMBER,
    tenant::{NATIVE, Tenant},
    world::{Store, World},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

const TARGETS: [&str; 17] = [
    "POST /oauth/token",
    "POST /oauth/revoke",
    "POST /oauth/introspect",
    "POST /mfa/challenge",
    "POST /mfa/associate",
    "GET /mfa/authenticators",
    "DELETE /mfa/authenticators/%ff%00",
    "PATCH /mfa/authenticators/totp%7Cx",
    "POST /appliance-mfa/api/enroll",
    "POST /appliance-mfa/api/resolve-transaction",
    "PATCH /appliance-mfa/api/device-accounts/x",
    "POST /notices/%F0%9F%98%80",
    "POST /userinfo",
    "TRACE /oauth/token",
    "foo *",
    "POST //%zz",
    "GET http://elsewhere.test/oauth/token",
];

const HEADERS: [&[u8]; 16] = [
    b"X-Nothing: here",
    b"Authorization: Basic !!!",
    b"Authorization: Basic Og==",
    b"Authorization: Basic /////w==",
    b"Authorization: Bearer \xff\xfe",
    b"Authorization: Bearer",
    b"Authorization: a\r\nAuthorization: b",
    b"X-Forwarded-For: \xff, [::]:x, ,,",
    b"auth0-forwarded-for: ,,;\x80",
    b"Accept-Language: \xf0\x9f;q=9,,;",
    b"Origin: \xff",
    b"Access-Control-Request-Method: \xff\r\nOrigin: null",
    b"traceparent: 00-zz-\x80",
    b"Content-Type: \xff",
    b"Content-Encoding: gzip",
    b"Upgrade: h2c\r\nConnection: Upgrade",
];

/// Bodies that get as far as they can, around tokens that are good.
fn bodies(mfa_token: &str, oob_code: &str) -> Vec<(&'static str, Vec<u8>)> {
    const JSON: &str = "application/json";
    const FORM: &str = "application/x-www-form-urlencoded";
    let client = NATIVE.id;
    let grant = |name: &str| format!("http://auth0.com/oauth/grant-type/{name}");
    let mut bodies: Vec<(&str, Vec<u8>)> = Vec::new();
    for value in
        ["", "\u{0}", "\u{202e}", "😀", "١٢٣٤٥٦", "%00", "null", "-1", "1e999", "' OR 1=1 --", "a.b.c", "..", "\r\n"]
    {
        let text = serde_json::json!(value);
        for (name, proof) in [("mfa-otp", "otp"), ("mfa-recovery-code", "recovery_code"), ("mfa-oob", "binding_code")] {
            let json = serde_json::json!({
                "grant_type": grant(name), "client_id": client, "mfa_token": mfa_token, "oob_code": oob_code, proof: value,
            });
            bodies.push((JSON, json.to_string().into_bytes()));
        }
        for json in [
            format!(r#"{{"grant_type":"password","client_id":"{client}","username":{text},"password":"{PASSWORD}"}}"#),
            format!(
                r#"{{"grant_type":"password","client_id":"{client}","username":"ann","password":{text},"scope":{text}}}"#
            ),
            format!(r#"{{"grant_type":"refresh_token","client_id":"{client}","refresh_token":{text},"token":{text}}}"#),
            format!(
                r#"{{"client_id":"{client}","mfa_token":"{mfa_token}","authenticator_id":{text},"challenge_type":{text}}}"#
            ),
            format!(
                r#"{{"authenticator_types":["oob"],"oob_channels":[{text}],"phone_number":{text},"email":{text}}}"#
            ),
        ] {
            bodies.push((JSON, json.into_bytes()));
        }
    }
    for body in [
        b"[".as_slice(),
        b"{\"grant_type\":{\"a\":[1,{}]},\"client_id\":[],\"otp\":1e400}",
        b"{\"grant_type\":\"a\",\"grant_type\":\"b\"}",
        b"{\"username\":\"\\ud800\"}",
        b"\xef\xbb\xbf{}",
        b"{}{}",
        b"\xff\xfe{\x00}\x00",
    ] {
        bodies.push((JSON, body.to_vec()));
    }
    bodies.push((JSON, b"{\"a\":".repeat(3000)));
    for body in [b"&&&==&=%".as_slice(), b"grant_type=%ff", b"client_id=%00&client_id=x", b"\x00\xff"] {
        bodies.push((FORM, body.to_vec()));
    }
    bodies.extend([("multipart/form-data; boundary=x", b"--x--".to_vec()), ("text/plain;;;=", Vec::new())]);
    bodies
}

/// The status of the answer, and all of it.
async fn sent(address: SocketAddr, head: &[u8], body: &[u8]) -> (u16, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(&[head, body].concat()).await.unwrap();
    let mut answer = Vec::new();
    let _ended = stream.read_to_end(&mut answer).await;
    let text = String::from_utf8_lossy(&answer).into_owned();
    let status = text.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default();
    (status, text)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_is_answered_and_none_is_a_fault_of_ours() {
    let roomy = ["capacity = 100", "refill = '1s'"];
    let tenant = Tenant::default().with_messages().section("limits.factor_failures", &roomy);
    let world = World::start(Store::Sqlite, tenant.section("limits.password_failures", &roomy)).await;
    let ann = world.person("ann").await;
    let api = world.api(Transport::Http);
    let token = ann.mfa_token(&api).await;
    let (begun, _) = world.sent(api.associate_oob(&token, To::Phone("sms", NUMBER))).await;
    let address = world.server().http();
    let mut answered = std::collections::BTreeSet::new();
    for (n, (media, body)) in bodies(&token, &begun.oob_code).into_iter().enumerate() {
        for (m, target) in TARGETS.iter().enumerate() {
            // Each header meets each target.
            let header = HEADERS[(n + m) % HEADERS.len()];
            let bearer = if (n + m) % 3 == 0 { format!("\r\nAuthorization: Bearer {token}") } else { String::new() };
            let head = format!(
                "{target} HTTP/1.1\r\nHost: id.test\r\nConnection: close\r\nContent-Type: {media}\r\nContent-Length: {}{bearer}\r\n",
                body.len()
            );
            let head = [head.as_bytes(), header, b"\r\n\r\n"].concat();
            let (status, answer) = sent(address, &head, &body).await;
            let request = String::from_utf8_lossy(&[&head[..], &body].concat()).into_owned();
            assert!((200..500).contains(&status), "{request}\nwas answered with\n{answer}");
            answered.insert(status);
        }
    }
    // They got somewhere.
    for status in [400, 401, 403, 404, 405, 415] {
        assert!(answered.contains(&status), "{status} of {answered:?}");
    }
}
