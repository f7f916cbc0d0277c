//! An API changes the algorithm of its tokens: the key is published before, and the old one for as long as its tokens live.

use countersign_tests::{
    api::{Transport, Wish},
    http::plain_client,
    jwt,
    person::PASSWORD,
    tenant::{API, Client, ISSUER, KEEPER, LENIENT, Tenant},
    world::{Store, World},
};
use serde_json::Value;

const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;

/// An API of this test's own, whose algorithm changes, and a client that may ask about its tokens.
const ORDERS: &str = "https://orders.test/";

fn with_orders(algorithm: &str) -> Tenant {
    Tenant::default().with_rotation().and(&format!(
        "[[apis]]\naudience = '{ORDERS}'\nscopes = ['read:things']\nalgorithm = '{algorithm}'\ntoken_lifetime = '1day'\n\
         [[clients]]\nid = 'orders'\nsecrets = ['a sixth secret of 16 or more']\ngrant_types = ['password']\n\
         introspects = ['{ORDERS}']\n"
    ))
}

const ASKING: Client = Client { id: "orders", secret: Some("a sixth secret of 16 or more") };

async fn key_set(world: &World) -> Value {
    let request = plain_client().get(world.http().url("/.well-known/jwks.json"));
    request.send().await.unwrap().json().await.unwrap()
}

/// How many keys of each type are published: RSA, then EC.
async fn types(world: &World) -> (usize, usize) {
    let keys = key_set(world).await;
    let count = |kty| keys["keys"].as_array().unwrap().iter().filter(|key| key["kty"] == kty).count();
    (count("RSA"), count("EC"))
}

async fn token(world: &World) -> String {
    let wish = Wish { audience: Some(ORDERS), scope: Some("read:things"), ..Wish::default() };
    world.api(Transport::Http).login_for(LENIENT, "ann", PASSWORD, wish).await.unwrap().tokens().access_token
}

async fn turn(world: &World) {
    world.keys().turn().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_verifies_until_it_ends_whatever_its_api_is_configured_for_meanwhile() {
    let mut world = World::start(Store::Sqlite, with_orders("ES256")).await;
    world.person("ann").await;
    turn(&world).await;
    world.advance(2 * HOUR);
    let signed = token(&world).await;
    world.restart_as(with_orders("RS256")).await;
    for hours in [0, 1, 1, 21] {
        world.advance(hours * HOUR);
        turn(&world).await;
        let (header, _) = jwt::verified(&signed, &key_set(&world).await);
        assert_eq!(header["alg"], "ES256");
        assert!(world.api(Transport::Grpc).introspect(ASKING, &signed).await.unwrap().is_some());
    }
    assert_eq!(types(&world).await.1, 2, "another server could yet go on with the one that waits for it");
    assert_eq!(jwt::verified(&token(&world).await, &key_set(&world).await).0["alg"], "RS256");
    // Its tokens are over, and the hour after.
    world.advance(4 * HOUR);
    turn(&world).await;
    assert_eq!(types(&world).await.1, 0, "who knows RSA alone is well again");
    assert!(world.api(Transport::Grpc).introspect(ASKING, &signed).await.unwrap().is_none());
    let listed = world.command(&["keys", "list"]).await.out;
    assert_eq!(listed.matches("\tES256\tretired\t").count(), 2, "{listed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_added_ahead_of_a_switch_is_published_before_it_signs() {
    let mut world = World::start(Store::Sqlite, with_orders("RS256")).await;
    world.person("ann").await;
    assert_eq!(types(&world).await.1, 0, "nobody asked for another");
    let added = world.command(&["keys", "add", "--algorithm", "ES256"]).await;
    assert_eq!(added.code, 0, "{added:?}");
    assert!(added.out.contains("is made and published") && added.err.contains("RSA"), "{added:?}");
    let ahead = added.out.split(' ').next().unwrap();
    world.keys().reload().await.unwrap();
    let kept = key_set(&world).await;
    assert!(kept["keys"].as_array().unwrap().iter().any(|key| key["kid"] == ahead), "{kept}");
    let listed = world.command(&["keys", "list"]).await.out;
    assert!(listed.contains(&format!("{ahead}\tES256\tnext\t")) && listed.contains("once an API uses"), "{listed}");
    let early = world.command(&["keys", "promote", "--algorithm", "ES256", "--now"]).await;
    assert_eq!((early.code, early.err.contains("No API is configured")), (65, true), "{early:?}");
    world.advance(DAY);
    turn(&world).await;

    world.restart_as(with_orders("ES256")).await;
    // Whoever has kept the key set since knows the key.
    assert_eq!(jwt::verified(&token(&world).await, &kept).0["kid"], ahead);
    // RS256 goes on for everybody else.
    let wish = Wish { audience: Some(API), scope: Some("openid"), ..Wish::default() };
    let other = world.api(Transport::Http).login_for(KEEPER, "ann", PASSWORD, wish).await.unwrap().tokens();
    let (header, claims) = jwt::verified(&other.access_token, &key_set(&world).await);
    assert_eq!((&header["alg"], &claims["iss"]), (&Value::from("RS256"), &Value::from(ISSUER)));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_ends_the_key_of_an_algorithm_that_no_api_uses_and_no_other() {
    let mut world = World::start(Store::Sqlite, with_orders("ES256")).await;
    world.person("ann").await;
    let signed = token(&world).await;
    let keys = key_set(&world).await;
    let id = jwt::verified(&signed, &keys).0["kid"].as_str().unwrap().to_owned();
    let signs = world.command(&["keys", "retire", "--now", &id]).await;
    assert_eq!((signs.code, signs.err.contains("This key signs")), (65, true), "{signs:?}");
    world.restart_as(with_orders("RS256")).await;
    let listed = world.command(&["keys", "list"]).await.out;
    assert!(listed.contains("signs nothing: no API uses its algorithm"), "{listed}");
    let ended = world.command(&["keys", "retire", &id]).await;
    assert_eq!((ended.code, ended.out.contains("It is a previous key now")), (0, true), "{ended:?}");
    let early = world.command(&["keys", "retire", &id]).await;
    assert_eq!((early.code, early.err.contains("Not before")), (65, true), "{early:?}");
    world.keys().reload().await.unwrap();
    jwt::verified(&signed, &key_set(&world).await);
    assert_eq!(world.command(&["keys", "retire", "--now", &id]).await.code, 0);
    world.keys().reload().await.unwrap();
    assert_eq!(types(&world).await.1, 0);
    assert!(world.api(Transport::Grpc).introspect(ASKING, &signed).await.unwrap().is_none());
    let trail = countersign_tests::trail::rows(&world.database());
    assert_eq!(trail.iter().filter(|row| row.event == "signing_key.ended" && row.operator.is_some()).count(), 1);
}
