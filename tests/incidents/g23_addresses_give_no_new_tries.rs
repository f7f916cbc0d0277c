//! G-23, `RubyGems` GHSA-c55g: tries at a code were counted by address.

use countersign_tests::{
    api::Transport,
    dump,
    http::body,
    tenant::{FORWARDER, Tenant},
    world::{Store, World},
};
use http::Method;

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_addresses_share_ten_tries_at_a_code() {
    let tenant = Tenant::default().section("gateway", &["trusted_proxies = ['127.0.0.0/8']"]);
    let world = World::start(Store::Sqlite, tenant).await;
    let api = world.api(Transport::Http);
    let (ann, phone) = world.enrolled(&api, "ann").await;
    let token = ann.password_at(&api, FORWARDER).await.unwrap().mfa_token();
    let wrong = phone.wrong(&world);
    let mut looked_at = 0;
    for number in 0..200 {
        let fields = [
            ("grant_type", "http://auth0.com/oauth/grant-type/mfa-otp"),
            ("mfa_token", token.as_str()),
            ("otp", &wrong),
        ];
        let address = format!("203.0.113.{number}");
        let request = world
            .http()
            .request(Method::POST, "/oauth/token")
            .header("x-forwarded-for", &address)
            .header("auth0-forwarded-for", &address)
            .json(&body(FORWARDER, &fields));
        match world.http().send(request).await.status {
            403 => looked_at += 1,
            status => assert_eq!(status, 429),
        }
    }
    assert_eq!(looked_at, 10);
    assert_eq!(dump::audited(&world.database(), "proof_rejected.otp", ann.id.as_str()), 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_guesses_passwords_elsewhere_locks_nobody_out() {
    let tenant = Tenant::default().section("gateway", &["trusted_proxies = ['127.0.0.0/8']"]);
    let world = World::start(Store::Sqlite, tenant).await;
    let ann = world.person("ann").await;
    let http = world.http();
    let guess = async |address: &str| {
        let fields = [("grant_type", "password"), ("username", "ann"), ("password", "wrong")];
        let request = http.request(Method::POST, "/oauth/token").header("x-forwarded-for", address);
        http.send(request.json(&body(countersign_tests::tenant::BACKEND, &fields))).await.status
    };
    for _ in 0..10 {
        assert_eq!(guess("198.51.100.7").await, 403);
    }
    assert_eq!(guess("198.51.100.7").await, 429);
    assert_eq!(guess("198.51.100.8").await, 403);
    ann.mfa_token(&world.api(Transport::Http)).await;
    // A header of somebody who is no proxy is not believed: an empty list of proxies counts the connection.
    let plain = World::start(Store::Sqlite, Tenant::default()).await;
    plain.person("ann").await;
    for number in 0..11 {
        let fields = [("grant_type", "password"), ("username", "ann"), ("password", "wrong")];
        let request = plain
            .http()
            .request(Method::POST, "/oauth/token")
            .header("x-forwarded-for", format!("198.51.100.{number}"));
        let status = plain.http().send(request.json(&body(countersign_tests::tenant::BACKEND, &fields))).await.status;
        assert_eq!(status, if number < 10 { 403 } else { 429 }, "{number}");
    }
}
