//! Signing keys go on: by themselves without anybody noticing, and by an operator's hand at once.

use std::time::{Duration, Instant};

use countersign_tests::{
    api::{Transport, Wish},
    http::plain_client,
    jwt,
    person::{PASSWORD, Person},
    tenant::{API, AT_API, BACKEND, Client, ED25519_API, EDDSA_API, KEEPER, LENIENT, Tenant},
    world::{Store, World},
};
use http::Method;
use serde_json::{Value, json};
use tokio::time::interval;

/// Over a connection of its own, as a verifier who comes by every five minutes.
async fn key_set(world: &World) -> Value {
    let request = plain_client().get(world.http().url("/.well-known/jwks.json"));
    request.send().await.unwrap().json().await.unwrap()
}

fn ids(keys: &Value) -> Vec<String> {
    keys["keys"].as_array().unwrap().iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
}

async fn access_token(world: &World, ann: &Person, client: Client, audience: &str) -> String {
    let wish = Wish { audience: Some(audience), scope: Some("read:things"), ..Wish::default() };
    let outcome = world.api(Transport::Grpc).login_for(client, &ann.username, PASSWORD, wish).await;
    outcome.unwrap().tokens().access_token
}

#[tokio::test(flavor = "multi_thread")]
async fn a_verifier_that_keeps_the_key_set_for_its_time_never_meets_an_unknown_key() {
    let world = World::start(Store::Sqlite, Tenant::default().with_rotation()).await;
    let (api, ann) = (world.api(Transport::Grpc), world.person("ann").await);
    let wish = Wish { audience: Some(API), scope: Some("offline_access read:things"), ..Wish::default() };
    let tokens = api.login_for(KEEPER, &ann.username, PASSWORD, wish).await.unwrap().tokens();
    world.keys().turn().await.unwrap();
    let (mut kept, mut read_at) = (key_set(&world).await, world.now());
    let mut signers = std::collections::BTreeSet::new();
    // The last token of a key, which has to be good to its last second.
    let (mut last, mut newest): (Option<(String, i64)>, _) = (None, None);
    let mut old_and_good = 0;
    // Two and a half days: two keys take over.
    for _ in 0..760 {
        world.advance(285);
        world.keys().turn().await.unwrap();
        let refreshes = (0..3).map(|_| api.refresh(KEEPER, tokens.refresh(), None));
        for outcome in futures_util::future::join_all(refreshes).await {
            let token = outcome.unwrap().tokens().access_token;
            if world.now().since(read_at) >= Duration::from_secs(300) {
                (kept, read_at) = (key_set(&world).await, world.now());
            }
            let (header, claims) = jwt::verified(&token, &kept);
            if signers.insert(header["kid"].as_str().unwrap().to_owned()) {
                last = newest.take();
            }
            newest = Some((token, claims["exp"].as_i64().unwrap()));
        }
        if let Some((token, expires)) = &last
            && (1..300).contains(&(expires - world.now().as_secs()))
        {
            assert!(api.introspect(BACKEND, token).await.unwrap().is_some(), "its key is kept as long as it lives");
            jwt::verified(token, &key_set(&world).await);
            old_and_good += 1;
        }
    }
    assert!(old_and_good > 0);
    assert_eq!(signers.len(), 3);
    assert_eq!(ids(&key_set(&world).await).len(), 3, "one signs, one comes, one was");
}

#[tokio::test(flavor = "multi_thread")]
async fn in_an_emergency_what_the_old_key_signed_is_void_within_five_seconds() {
    let world = World::start(Store::Sqlite, Tenant::default()).await;
    let (api, grpc) = (world.api(Transport::Http), world.api(Transport::Grpc));
    let (ann, phone) = world.enrolled(&api, "ann").await;
    let manager = ann.manager(&world, &api, &phone).await;
    let bob = world.person("bob").await;
    let reader = access_token(&world, &bob, LENIENT, API).await;
    let login = api.login_for(LENIENT, "bob", PASSWORD, Wish { scope: Some("openid"), ..Wish::default() }).await;
    let about = login.unwrap().tokens().access_token;
    let old = ids(&key_set(&world).await).remove(0);

    let added = world.command(&["keys", "add"]).await;
    assert_eq!(added.code, 0, "{added:?}");
    let next = added.out.split(' ').next().unwrap().to_owned();
    let early = world.command(&["keys", "promote"]).await;
    assert_eq!(early.code, 65, "{early:?}");
    assert!(early.err.contains("Not before"), "{early:?}");
    assert_eq!(world.command(&["keys", "retire", &old, "--now"]).await.code, 65, "it signs");
    assert_eq!(world.command(&["keys", "promote", "--now"]).await.code, 0);
    let too_early = world.command(&["keys", "retire", &old]).await;
    assert!(too_early.err.contains("Not before"), "{too_early:?}");
    let listed = world.command(&["keys", "list"]).await.out;
    assert!(listed.contains(&format!("{next}\tRS256\tcurrent\t")), "{listed}");
    assert!(listed.contains(&format!("{old}\tRS256\tprevious\t")), "{listed}");
    assert!(api.list(&manager).await.is_ok(), "so far everything is as it was");

    assert_eq!(world.command(&["keys", "retire", &old, "--now"]).await.code, 0);
    let began = Instant::now();
    let mut ticks = interval(Duration::from_millis(50));
    loop {
        ticks.tick().await;
        let mut alive = Vec::new();
        for api in [&api, &grpc] {
            alive.push(api.list(&manager).await.is_ok());
            alive.push(api.associate(&manager).await.is_ok());
            alive.push(api.subject(&about).await.is_ok());
            alive.push(api.introspect(BACKEND, &reader).await.unwrap().is_some());
        }
        alive.push(ids(&key_set(&world).await).contains(&old));
        if !alive.contains(&true) {
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(5), "{alive:?}");
    }
    let fresh = access_token(&world, &bob, LENIENT, API).await;
    assert_eq!(jwt::verified(&fresh, &key_set(&world).await).0["kid"], next);
    assert!(api.introspect(BACKEND, &fresh).await.unwrap().is_some());
    assert_eq!(world.command(&["keys", "retire", &old, "--now"]).await.code, 65, "it is retired already");
    assert_eq!(world.command(&["keys", "retire", "unknown"]).await.code, 65);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_key_set_may_be_kept_for_five_minutes_and_asked_for_again_cheaply() {
    let world = World::start(Store::Sqlite, Tenant::default().with_rotation()).await;
    world.keys().turn().await.unwrap();
    let first = world.http().get("/.well-known/jwks.json").await;
    assert_eq!(first.header("cache-control"), Some("public, max-age=300"));
    assert_eq!(ids(&first.json()).len(), 2, "the current one and the next one");
    let tag = first.header("etag").unwrap().to_owned();
    let again = |tag: String| {
        let request = world.http().request(Method::GET, "/.well-known/jwks.json").header("if-none-match", tag);
        async move { request.send().await.unwrap() }
    };
    for known in [tag.clone(), format!("W/{tag}"), format!("\"x\", {tag}"), "*".to_owned()] {
        let answer = again(known.clone()).await;
        assert_eq!(answer.status(), 304, "{known}");
        assert_eq!(answer.headers()["etag"], tag.as_str());
        assert_eq!(answer.headers()["cache-control"], "public, max-age=300");
        assert!(answer.bytes().await.unwrap().is_empty());
    }
    world.advance(86_400);
    world.keys().turn().await.unwrap();
    let answer = again(tag.clone()).await;
    assert_eq!(answer.status(), 200);
    assert_ne!(answer.headers()["etag"], tag.as_str());
}

#[tokio::test(flavor = "multi_thread")]
async fn each_api_has_the_tokens_it_was_configured_for() {
    let world = World::start(Store::Sqlite, Tenant::default().with_every_kind_of_token()).await;
    let (api, ann) = (world.api(Transport::Http), world.person("ann").await);
    let keys = key_set(&world).await;
    for (audience, alg) in [(AT_API, "RS256"), (ED25519_API, "Ed25519"), (EDDSA_API, "EdDSA")] {
        let token = access_token(&world, &ann, LENIENT, audience).await;
        let (header, claims) = jwt::verified(&token, &keys);
        assert_eq!((&header["alg"], &header["typ"]), (&json!(alg), &json!("at+jwt")));
        // RFC 9068, section 2.2.
        for required in ["iss", "sub", "client_id", "jti", "scope", "acr"] {
            assert!(claims[required].is_string(), "{required}: {claims}");
        }
        for required in ["exp", "iat", "auth_time"] {
            assert!(claims[required].is_i64(), "{required}: {claims}");
        }
        assert_eq!((&claims["aud"], &claims["client_id"]), (&json!(audience), &json!(LENIENT.id)));
        assert!(claims.get("azp").is_none() && claims.get("gty").is_none(), "{claims}");
        let told = api.introspect(BACKEND, &token).await.unwrap().expect("what was issued is accepted");
        assert_eq!((told.client.as_str(), told.audiences), (LENIENT.id, vec![audience.to_owned()]));
    }
    let token = access_token(&world, &ann, LENIENT, API).await;
    let (header, claims) = jwt::verified(&token, &keys);
    assert_eq!((&header["typ"], &claims["azp"]), (&json!("JWT"), &json!(LENIENT.id)));
}
