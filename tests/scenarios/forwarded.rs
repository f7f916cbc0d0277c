//! Whose address counts: what a client forwards, if it is trusted with that and has proven itself (`auth0-forwarded-for`).

use countersign_tests::{
    http::body,
    person::PASSWORD,
    signer::{self, ASSERTION_TYPE},
    tenant::{BACKEND, Client, FORWARDER, NATIVE, Tenant},
    trail,
    world::{Store, World},
};
use http::Method;
use serde_json::{Value, json};

/// A login by `client` that forwards `address`: the status, and whose address the trail has.
async fn log_in(world: &World, client: Client, address: &str, password: &str) -> (u16, Option<String>) {
    let fields = [("grant_type", "password"), ("username", "ann"), ("password", password)];
    let request = world.http().request(Method::POST, "/oauth/token").header("auth0-forwarded-for", address);
    let answer = world.http().send(request.json(&body(client, &fields))).await;
    (answer.status, trail::rows(&world.database()).pop().unwrap().address)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_address_is_believed_of_who_may_forward_it_and_of_nobody_else() {
    let world = World::start(Store::Sqlite, Tenant::default()).await;
    world.person("ann").await;
    let (forwarded, own) = (Some("203.0.113.9".to_owned()), Some("127.0.0.1".to_owned()));
    assert_eq!(log_in(&world, FORWARDER, "203.0.113.9", PASSWORD).await, (403, forwarded.clone()));
    assert_eq!(log_in(&world, FORWARDER, "203.0.113.9, 198.51.100.1", PASSWORD).await, (403, forwarded));
    for client in [BACKEND, NATIVE] {
        assert_eq!(log_in(&world, client, "203.0.113.9", PASSWORD).await, (403, own.clone()), "{}", client.id);
    }
    let guessing = Client { secret: Some("a guess"), ..FORWARDER };
    assert_eq!(log_in(&world, guessing, "203.0.113.9", PASSWORD).await, (401, own), "it is not that client");
}

#[tokio::test(flavor = "multi_thread")]
async fn tries_are_counted_where_the_person_is() {
    let world = World::start(Store::Sqlite, Tenant::default()).await;
    world.person("ann").await;
    for _ in 0..10 {
        assert_eq!(log_in(&world, FORWARDER, "203.0.113.9", "wrong").await.0, 403);
    }
    assert_eq!(log_in(&world, FORWARDER, "203.0.113.9", PASSWORD).await.0, 429, "that address is out of tries");
    assert_eq!(
        log_in(&world, FORWARDER, "198.51.100.7", PASSWORD).await.0,
        403,
        "where the person is, a factor is asked for"
    );
}

/// A client that signs, and whose `auth0-forwarded-for` is believed.
const SIGNING_FORWARDER: Client = Client { id: "signing-forwarder", secret: None };

#[tokio::test(flavor = "multi_thread")]
async fn who_only_gives_its_name_forwards_nothing() {
    let client = format!(
        "[[clients]]\nid = '{}'\nauthentication = 'private-key-jwt'\nkeys = ['{}']\ntrust_forwarded_for = true\n\
         grant_types = ['password', 'mfa-otp', 'mfa-oob']\n",
        SIGNING_FORWARDER.id,
        signer::key_set(),
    );
    let world = World::start(Store::Sqlite, Tenant::default().with_messages().and(&client)).await;
    world.person("ann").await;
    let signed = |jti: &str| {
        let mut claims = signer::claims(&world, jti);
        (claims["iss"], claims["sub"]) = (json!(SIGNING_FORWARDER.id), json!(SIGNING_FORWARDER.id));
        signer::signed(&json!({"alg": "EdDSA", "typ": "JWT"}), &claims)
    };
    let post = async |path: &str, fields: Value, assertion: Option<String>| {
        let mut fields = fields;
        fields["client_id"] = json!(SIGNING_FORWARDER.id);
        if let Some(assertion) = assertion {
            fields["client_assertion"] = json!(assertion);
            fields["client_assertion_type"] = json!(ASSERTION_TYPE);
        }
        let request = world.http().request(Method::POST, path).header("auth0-forwarded-for", "203.0.113.9");
        world.http().send(request.json(&fields)).await
    };
    let address = |event: &str| {
        let rows = trail::rows(&world.database());
        rows.into_iter().rfind(|row| row.event == event).unwrap().address.unwrap()
    };
    let password = json!({"grant_type": "password", "username": "ann", "password": PASSWORD});
    let asked = post("/oauth/token", password, Some(signed("1"))).await;
    assert_eq!((asked.status, address("login.mfa_required").as_str()), (403, "203.0.113.9"));
    let challenge = json!({"mfa_token": asked.json()["mfa_token"], "challenge_type": "oob", "oob_channel": "email"});
    // Auth0's libraries sign no request for a challenge; anybody may give a name.
    for (assertion, whose) in [(None, "127.0.0.1"), (Some(signed("2")), "203.0.113.9")] {
        assert_eq!(post("/mfa/challenge", challenge.clone(), assertion).await.status, 200);
        assert_eq!(address("challenge.opened"), whose);
    }
}
