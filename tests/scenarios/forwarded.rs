//! Whose address counts: what a client forwards, if it is trusted with that and has proven itself (`auth0-forwarded-for`).

use countersign_tests::{
    http::body,
    person::PASSWORD,
    tenant::{BACKEND, Client, FORWARDER, NATIVE, Tenant},
    trail,
    world::{Store, World},
};
use http::Method;

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
