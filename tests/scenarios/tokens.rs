//! What tokens say, and that strangers can verify them.

use countersign_tests::{
    api::{Api, Transport, Wish},
    jwt,
    person::PASSWORD,
    tenant::{BACKEND, ES256_API, ISSUER, TOLD, Tenant},
    world::{Store, World},
};
use serde_json::{Value, json};

async fn world(tenant: Tenant) -> (World, Api, Value) {
    let world = World::start(Store::Sqlite, tenant).await;
    let api = world.api(Transport::Http);
    let keys = world.http().get("/.well-known/jwks.json").await.json();
    (world, api, keys)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_token_verifies_with_the_published_keys_and_tells_the_truth() {
    let (world, api, keys) = world(Tenant::default()).await;
    let (ann, phone) = world.enrolled(&api, "ann").await;
    let token = ann.mfa_token(&api).await;
    let first_factor = world.now().as_secs();
    let code = phone.code(&world);
    world.advance(2);
    let tokens = api.otp(BACKEND, &token, &code).await.unwrap();
    let now = world.now().as_secs();

    let (header, claims) = jwt::verified(tokens.id_token.as_deref().unwrap(), &keys);
    assert_eq!(header["alg"], "RS256");
    assert_eq!(claims["iss"], ISSUER);
    assert_eq!(claims["aud"], BACKEND.id);
    assert_eq!(claims["sub"], ann.id.as_str());
    assert_eq!(claims["iat"], json!(now));
    assert_eq!(claims["exp"], json!(now + 36_000));
    assert_eq!(claims["auth_time"], json!(first_factor));
    assert_eq!(claims["amr"], json!(["pwd", "otp", "mfa"]));
    assert_eq!(claims["acr"], "http://schemas.openid.net/pape/policies/2007/06/multi-factor");
    assert_eq!(claims["email"], ann.email.as_str());
    assert_eq!(claims["email_verified"], true);
    assert_eq!(claims["name"], "Person ann");
    assert!(claims.get("nonce").is_none());

    let (header, claims) = jwt::verified(&tokens.access_token, &keys);
    assert_eq!(header["alg"], "RS256");
    assert_eq!(claims["iss"], ISSUER);
    assert_eq!(claims["aud"], "https://id.test/userinfo");
    assert_eq!((&claims["azp"], &claims["client_id"]), (&json!(BACKEND.id), &json!(BACKEND.id)));
    assert_eq!(claims["exp"], json!(now + 86_400));
    assert_eq!(claims["gty"], "password");
    assert!(claims["jti"].as_str().unwrap().len() >= 16);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_can_have_tokens_that_do_not_say_how_the_person_authenticated() {
    let (world, api, keys) = world(Tenant::default()).await;
    let (ann, phone) = world.enrolled(&api, "ann").await;
    let token = ann.password_at(&api, TOLD).await.unwrap().mfa_token();
    let tokens = api.otp(TOLD, &token, &phone.code(&world)).await.unwrap();
    for token in [&tokens.access_token, tokens.id_token.as_ref().unwrap()] {
        let (_, claims) = jwt::verified(token, &keys);
        for absent in ["amr", "acr", "auth_time"] {
            assert!(claims.get(absent).is_none(), "{absent}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_may_have_es256_tokens_and_the_id_token_stays_rs256() {
    let (world, api, keys) = world(Tenant::default().with_es256_api()).await;
    let (_, phone) = world.enrolled(&api, "ann").await;
    let wish = Wish { audience: Some(ES256_API), scope: Some("openid read:things"), ..Wish::default() };
    let token = api.login_for(BACKEND, "ann", PASSWORD, wish).await.unwrap().mfa_token();
    let tokens = api.otp(BACKEND, &token, &phone.code(&world)).await.unwrap();
    let (header, claims) = jwt::verified(&tokens.access_token, &keys);
    assert_eq!(header["alg"], "ES256");
    assert_eq!(claims["aud"], ES256_API);
    assert_eq!(jwt::verified(tokens.id_token.as_deref().unwrap(), &keys).0["alg"], "RS256");
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_verify_after_a_restart() {
    let (mut world, api, keys) = world(Tenant::default()).await;
    let (ann, phone) = world.enrolled(&api, "ann").await;
    let tokens = ann.log_in(&world, &api, &phone).await;
    let pending = ann.mfa_token(&api).await;
    world.restart().await;
    let api = world.api(Transport::Http);
    assert_eq!(world.http().get("/.well-known/jwks.json").await.json(), keys);
    assert_eq!(api.subject(&tokens.access_token).await.unwrap(), ann.id.as_str());
    api.otp(BACKEND, &pending, &phone.code(&world)).await.expect("a pending login outlives a restart too");
}
