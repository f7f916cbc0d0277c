//! Services that call an API as themselves.

use countersign_tests::{
    api::Transport,
    jwt,
    signer::{ASSERTION_TYPE, assertion},
    tenant::{API, BACKEND, MFA_API, SIGNER, Tenant},
    world::{Store, World},
};
use serde_json::{Value, json};

async fn ask(world: &World, jti: &str, more: Value) -> (u16, Value) {
    let mut body = json!({
        "grant_type": "client_credentials", "audience": API,
        "client_assertion": assertion(world, jti), "client_assertion_type": ASSERTION_TYPE,
    });
    for (name, value) in more.as_object().unwrap() {
        body[name] = value.clone();
    }
    let answer = world.http().post("/oauth/token", &body).await;
    (answer.status, answer.json())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_gets_a_token_of_its_own_with_the_scopes_it_is_configured_for() {
    let world = World::start(Store::Sqlite, Tenant::default()).await;
    let (status, all) = ask(&world, "1", json!({})).await;
    assert_eq!((status, &all["scope"]), (200, &json!("read:things")));
    assert!(all.get("id_token").is_none() && all.get("refresh_token").is_none());
    let claims = jwt::claims(all["access_token"].as_str().unwrap());
    assert_eq!(claims["sub"], "signer@clients");
    assert_eq!(
        (&claims["gty"], &claims["aud"], &claims["azp"]),
        (&json!("client-credentials"), &json!(API), &json!("signer"))
    );
    assert!(["auth_time", "amr", "acr", "sid"].iter().all(|absent| claims.get(absent).is_none()));
    let (_, narrow) = ask(&world, "2", json!({"scope": "openid offline_access write:things"})).await;
    let narrow = jwt::claims(narrow["access_token"].as_str().unwrap());
    assert_eq!(narrow["scope"], "", "nothing else can be had");
    let active = world.api(Transport::Http).introspect(BACKEND, all["access_token"].as_str().unwrap()).await.unwrap();
    assert_eq!(active.unwrap().subject, "signer@clients");
    let info = world.http().call_as(all["access_token"].as_str().unwrap(), http::Method::GET, "/userinfo").await;
    assert_eq!(info.status, 401, "it is nobody's");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_calls_no_other_api_and_nobody_else_is_a_service() {
    let world = World::start(Store::Sqlite, Tenant::default().with_es256_api()).await;
    let (status, refused) = ask(&world, "1", json!({"audience": countersign_tests::tenant::ES256_API})).await;
    assert_eq!((status, &refused["error"]), (403, &json!("access_denied")));
    for audience in [MFA_API, "https://id.test/userinfo", "https://unheard.test/"] {
        assert_eq!(ask(&world, audience, json!({"audience": audience})).await.0, 403, "{audience}");
    }
    let body = json!({
        "grant_type": "client_credentials", "audience": API, "client_id": BACKEND.id, "client_secret": BACKEND.secret,
    });
    let answer = world.http().post("/oauth/token", &body).await;
    assert_eq!((answer.status, &answer.json()["error"]), (403, &json!("unauthorized_client")));
    assert_eq!(SIGNER.secret, None);
}
