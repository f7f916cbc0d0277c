//! G-21, authentik CVE-2024-47070, and G-22: an address that could not be read skipped the password.

use countersign_tests::{
    api::Transport,
    http::body,
    person::PASSWORD,
    tenant::{BACKEND, FORWARDER, Tenant},
    world::{Store, World},
};
use http::Method;

#[tokio::test(flavor = "multi_thread")]
async fn headers_that_are_no_addresses_change_nothing() {
    let tenant = Tenant::default().section("gateway", &["trusted_proxies = ['127.0.0.0/8']"]);
    let world = World::start(Store::Sqlite, tenant).await;
    world.enrolled(&world.api(Transport::Http), "ann").await;
    let http = world.http();
    for value in [
        "",
        ",",
        "nonsense",
        "1.2.3",
        "999.1.1.1",
        "::::",
        "[::1",
        "1.2.3.4, garbage",
        "unknown",
        "for=1.2.3.4",
        "\u{e4}",
    ] {
        for name in ["x-forwarded-for", "forwarded", "x-real-ip", "auth0-forwarded-for"] {
            for client in [BACKEND, FORWARDER] {
                let send = async |password: &str| {
                    let fields = [("grant_type", "password"), ("username", "ann"), ("password", password)];
                    http.send(
                        http.request(Method::POST, "/oauth/token").header(name, value).json(&body(client, &fields)),
                    )
                    .await
                };
                let right = send(PASSWORD).await;
                assert_eq!(
                    (right.status, right.json()["error"].as_str()),
                    (403, Some("mfa_required")),
                    "{name}: {value}"
                );
                let wrong = send("wrong").await;
                assert_eq!(wrong.json()["error"], "invalid_grant", "{name}: {value}");
            }
        }
    }
}
