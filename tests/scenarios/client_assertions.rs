//! Clients that prove themselves by signed assertions (RFC 7523; G-54).

use countersign_tests::{
    api::Wish,
    everywhere,
    http::Answer,
    refusal::{MALFORMED_TOKEN, Refused as _, WRONG_CLIENT},
    signer::{ASSERTION_TYPE, assertion, claims, key_set, signed, signed_by},
    tenant::{API, BACKEND, Client, ISSUER, NATIVE, SIGNER, Tenant},
    world::{Store, World},
};
use serde_json::{Value, json};

async fn world() -> World {
    World::start(Store::Sqlite, Tenant::default()).await
}

async fn present(world: &World, jwt: &str, more: Value) -> Answer {
    let mut body = json!({
        "grant_type": "client_credentials", "audience": API,
        "client_assertion": jwt, "client_assertion_type": ASSERTION_TYPE,
    });
    for (name, value) in more.as_object().unwrap() {
        body[name] = value.clone();
    }
    world.http().post("/oauth/token", &body).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_assertion_proves_its_client_once_with_and_without_its_name() {
    let world = world().await;
    let first = assertion(&world, "one");
    assert_eq!(present(&world, &first, json!({})).await.status, 200);
    assert_eq!(present(&world, &first, json!({})).await.status, 401, "it was used");
    let second = assertion(&world, "two");
    assert_eq!(present(&world, &second, json!({"client_id": SIGNER.id})).await.status, 200);
    let third = assertion(&world, "three");
    assert_eq!(present(&world, &third, json!({"client_id": BACKEND.id})).await.status, 401, "another's name");
    let mut later = claims(&world, "one");
    later["exp"] = json!(world.now().as_secs() + 61);
    let again = signed(&json!({"alg": "EdDSA"}), &later);
    assert_eq!(present(&world, &again, json!({})).await.status, 401, "the same jti in another assertion");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_assertion_that_was_used_is_so_after_a_restart_and_for_64_at_once() {
    let mut world = world().await;
    let jwt = assertion(&world, "one");
    let url = world.http().url("/oauth/token");
    let form = [
        ("grant_type", "client_credentials"),
        ("audience", API),
        ("client_assertion", jwt.as_str()),
        ("client_assertion_type", ASSERTION_TYPE),
    ]
    .map(|(name, value)| (name, value.to_owned()));
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let tries = (0..64).map(|_| {
        let request = client.post(&url).form(&form);
        tokio::spawn(async move { request.send().await.unwrap().status() })
    });
    let mut good = 0;
    for answer in tries.collect::<Vec<_>>() {
        good += usize::from(answer.await.unwrap() == 200);
    }
    assert_eq!(good, 1);
    world.restart().await;
    assert_eq!(present(&world, &jwt, json!({})).await.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_assertion_for_another_or_too_long_or_badly_signed_is_refused() {
    let world = world().await;
    let now = world.now().as_secs();
    let header = json!({"alg": "EdDSA", "typ": "client-authentication+jwt"});
    let mut number = 0;
    let mut with = |name: &str, value: Value| {
        number += 1;
        let mut claims = claims(&world, &format!("j{number}"));
        claims[name] = value;
        signed(&header, &claims)
    };
    assert_eq!(present(&world, &with("nothing", json!(1)), json!({})).await.status, 200, "the frame itself is good");
    for name in ["exp", "nbf", "iat"] {
        // Libraries whose language counts time in fractions write them (RFC 7519, section 2).
        let date: Value = serde_json::from_str(&format!("{}.359", now + i64::from(name == "exp") * 60)).unwrap();
        assert_eq!(present(&world, &with(name, date), json!({})).await.status, 200, "{name}");
    }
    for (name, value) in [
        ("aud", json!(format!("{ISSUER}oauth/token"))),
        ("aud", json!([ISSUER])),
        ("aud", json!([ISSUER, "https://other.test/"])),
        ("aud", json!("https://id.test")),
        ("aud", json!("https://other.test/")),
        ("aud", Value::Null),
        ("iss", json!("backend")),
        ("sub", json!("backend")),
        ("exp", json!(now - 11)),
        ("exp", json!(now + 400)),
        ("exp", json!((now + 60).to_string())),
        ("exp", Value::Null),
        ("nbf", json!(now + 60)),
        ("iat", json!(now + 60)),
        ("jti", json!("")),
        ("jti", json!("x".repeat(65))),
        ("jti", Value::Null),
        ("more", json!("x".repeat(2048))),
    ] {
        let answer = present(&world, &with(name, value.clone()), json!({})).await;
        assert_eq!(answer.status, 401, "{name}: {value}");
        assert_eq!(answer.json()["error"], "access_denied");
    }
    for header in
        [json!({"alg": "none"}), json!({"alg": "HS256"}), json!({"alg": "EdDSA", "typ": "asserted-login+jwt"})]
    {
        assert_eq!(present(&world, &signed(&header, &claims(&world, "h")), json!({})).await.status, 401, "{header}");
    }
    let forged = signed_by(8, &json!({"alg": "EdDSA"}), &claims(&world, "f"));
    assert_eq!(present(&world, &forged, json!({})).await.status, 401, "another key");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_of_one_audience_is_taken_from_clients_that_may_write_one() {
    let tenant = Tenant::default().and(&format!(
        "[[clients]]\nid = 'lister'\nauthentication = 'private-key-jwt'\nkeys = ['{}']\naudience_list = true\n\
         grant_types = ['client_credentials']\nservices = [{{ audience = '{API}', scopes = ['read:things'] }}]\n",
        key_set()
    ));
    let world = World::start(Store::Sqlite, tenant).await;
    let audiences = [
        (json!([ISSUER]), 200),
        (json!(ISSUER), 200),
        (json!([ISSUER, "https://other.test/"]), 401),
        (json!([ISSUER, ISSUER]), 401),
        (json!(["https://other.test/"]), 401),
        (json!([]), 401),
    ];
    for (number, (audience, status)) in audiences.into_iter().enumerate() {
        let mut claims = claims(&world, &format!("l{number}"));
        for (name, value) in [("iss", json!("lister")), ("sub", json!("lister")), ("aud", audience.clone())] {
            claims[name] = value;
        }
        let answer = present(&world, &signed(&json!({"alg": "EdDSA"}), &claims), json!({})).await;
        assert_eq!(answer.status, status, "{audience}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_ways_at_once_are_a_malformed_request() {
    let world = world().await;
    let jwt = assertion(&world, "one");
    let both = present(&world, &jwt, json!({"client_secret": "anything of any length"})).await;
    assert_eq!((both.status, &both.json()["error"]), (400, &json!("invalid_request")));
    let untyped = present(&world, &jwt, json!({"client_assertion_type": "other"})).await;
    assert_eq!((untyped.status, &untyped.json()["error"]), (400, &json!("invalid_request")));
    assert_eq!(present(&world, &jwt, json!({})).await.status, 200, "neither has spent it");
    let named = json!({"grant_type": "client_credentials", "audience": API, "client_id": SIGNER.id});
    assert_eq!(world.http().post("/oauth/token", &named).await.status, 401, "its name is no proof");
}

everywhere! {
    async fn an_assertion_is_good_once_and_for_its_own_client(world: World, api: Api) {
        let wish = Wish { audience: Some(API), ..Wish::default() };
        let first = api.signed(&assertion(&world, "one"));
        first.service(SIGNER, wish).await.unwrap();
        first.service(SIGNER, wish).await.refused(&WRONG_CLIENT);
        let mut later = claims(&world, "one");
        later["exp"] = json!(world.now().as_secs() + 61);
        let same_jti = api.signed(&signed(&json!({"alg": "EdDSA"}), &later));
        same_jti.service(SIGNER, wish).await.refused(&WRONG_CLIENT);
        let second = assertion(&world, "two");
        for other in [Client { secret: None, ..BACKEND }, NATIVE, Client { id: "nobody", secret: None }] {
            api.signed(&second).introspect(other, "x").await.refused(&WRONG_CLIENT);
        }
        api.signed(&second).service(SIGNER, wish).await.expect("others have not spent it");
    }

    async fn introspection_revocation_and_challenges_take_assertions_too(world: World, api: Api) {
        let wish = Wish { audience: Some(API), ..Wish::default() };
        let signed = |jti: &str| api.signed(&assertion(&world, jti));
        let token = signed("one").service(SIGNER, wish).await.unwrap().access_token;
        let asking = signed("two");
        assert!(asking.introspect(SIGNER, &token).await.unwrap().is_some());
        asking.introspect(SIGNER, &token).await.refused(&WRONG_CLIENT);
        let ending = signed("three");
        ending.revoke(SIGNER, &token).await.unwrap();
        ending.revoke(SIGNER, &token).await.refused(&WRONG_CLIENT);
        let challenging = signed("four");
        challenging.challenge(SIGNER, "csmfa_x", "otp", None).await.refused(&MALFORMED_TOKEN);
        challenging.challenge(SIGNER, "csmfa_x", "otp", None).await.refused(&WRONG_CLIENT);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_challenge_needs_an_assertion_where_that_is_configured() {
    let strict = format!(
        "[[clients]]\nid = 'strict'\nauthentication = 'private-key-jwt'\nkeys = ['{}']\nchallenges_need_assertion = true\n\
         grant_types = ['mfa-otp']\n",
        key_set()
    );
    let world = World::start(Store::Sqlite, Tenant::default().and(&strict)).await;
    let challenge = async |client: &str, proof: Option<String>| {
        let mut body = json!({"mfa_token": "none of ours", "client_id": client});
        if let Some(jwt) = proof {
            body["client_assertion"] = json!(jwt);
            body["client_assertion_type"] = json!(ASSERTION_TYPE);
        }
        world.http().post("/mfa/challenge", &body).await.status
    };
    assert_eq!(challenge("strict", None).await, 401);
    let mut claims = claims(&world, "one");
    (claims["iss"], claims["sub"]) = (json!("strict"), json!("strict"));
    let proof = signed(&json!({"alg": "EdDSA"}), &claims);
    assert_ne!(challenge("strict", Some(proof.clone())).await, 401, "the token is what is refused");
    assert_eq!(challenge("strict", Some(proof)).await, 401, "it was used");
    assert_ne!(challenge(SIGNER.id, None).await, 401, "Auth0's libraries send none");
}

#[tokio::test(flavor = "multi_thread")]
async fn while_a_secret_is_exchanged_both_are_good() {
    let changing = format!(
        "[[clients]]\nid = 'changing'\nsecrets = ['the old secret, of 16 or more', 'the new secret, of 16 or more']\n\
         grant_types = ['client_credentials']\nservices = [{{ audience = '{API}', scopes = ['read:things'] }}]\n"
    );
    let world = World::start(Store::Sqlite, Tenant::default().and(&changing)).await;
    for (secret, status) in [
        ("the old secret, of 16 or more", 200),
        ("the new secret, of 16 or more", 200),
        ("another secret, of 16 or more", 401),
        ("the old secret, of 16 or mor", 401),
    ] {
        let body = json!({
            "grant_type": "client_credentials", "audience": API, "client_id": "changing", "client_secret": secret,
        });
        assert_eq!(world.http().post("/oauth/token", &body).await.status, status, "{secret}");
    }
}
