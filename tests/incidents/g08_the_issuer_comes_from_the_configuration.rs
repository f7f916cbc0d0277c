//! G-08, Zitadel GHSA-2wmj: a forwarded host shaped links.

use countersign_tests::{
    api::Transport,
    jwt,
    person::PASSWORD,
    tenant::{ISSUER, LENIENT, Tenant},
    world::{Store, World},
};
use http::Method;

const HOSTILE: [(&str, &str); 6] = [
    ("host", "evil.test"),
    ("x-forwarded-host", "evil.test"),
    ("x-forwarded-proto", "gopher"),
    ("x-forwarded-prefix", "/evil"),
    ("forwarded", "for=1.2.3.4;host=evil.test;proto=http"),
    ("x-original-url", "/evil"),
];

#[tokio::test(flavor = "multi_thread")]
async fn no_header_shapes_issuer_endpoints_or_enrolment() {
    let world = World::start(Store::Sqlite, Tenant::default()).await;
    let api = world.api(Transport::Http);
    world.person("ann").await;
    let http = world.http();
    let hostile = |method: Method, path: &str| {
        HOSTILE.iter().fold(http.request(method, path), |request, (name, value)| request.header(*name, *value))
    };
    let login = [("grant_type", "password"), ("username", "ann"), ("password", PASSWORD), ("client_id", LENIENT.id)];
    let tokens = http.send(hostile(Method::POST, "/oauth/token").form(&login)).await;
    assert_eq!(tokens.status, 200);
    for member in ["access_token", "id_token"] {
        assert_eq!(jwt::claims(tokens.json()[member].as_str().unwrap())["iss"], ISSUER);
    }
    for path in ["/.well-known/openid-configuration", "/openapi.json", "/.well-known/jwks.json"] {
        let answer = http.send(hostile(Method::GET, path)).await;
        assert_eq!(answer.status, 200, "{path}");
        assert!(!answer.text().contains("evil"), "{path}");
    }
    let token = api.login(countersign_tests::tenant::BACKEND, "ann", PASSWORD).await.unwrap().mfa_token();
    let body = serde_json::json!({"authenticator_types": ["otp"]});
    let answer = http.send(hostile(Method::POST, "/mfa/associate").bearer_auth(&token).json(&body)).await;
    assert!(answer.status == 200 && !answer.text().contains("evil"));
}
