//! G-60, Vault CVE-2026-5807: endpoints for maintenance answered everybody.

use std::collections::BTreeSet;

use countersign_tests::{
    tenant::Tenant,
    world::{Store, World},
};
use http::Method;

/// The token of a link that nobody was sent. Whoever has the right one needs nothing else; it is 256 random bits.
const TOKEN: &str = "csnot_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa_aaaaaaa";

#[tokio::test(flavor = "multi_thread")]
async fn without_credentials_only_documents_are_served() {
    let world = World::start(Store::Sqlite, Tenant::default()).await;
    let http = world.http();
    let paths = http.document().document()["paths"].as_object().unwrap().clone();
    let mut open = BTreeSet::new();
    for (path, operations) in &paths {
        for method in operations
            .as_object()
            .unwrap()
            .keys()
            .filter(|key| !matches!(key.as_str(), "parameters" | "summary" | "description"))
        {
            let concrete = path.replace("{authenticator_id}", "totp%7Cdev_0000000000000000").replace("{token}", TOKEN);
            let concrete = concrete.replace("{device_id}", "dev_0000000000000000");
            let method = Method::from_bytes(method.to_ascii_uppercase().as_bytes()).unwrap();
            let answer = http.send(http.request(method.clone(), &concrete)).await;
            if answer.status < 400 {
                open.insert(format!("{method} {path}"));
            }
        }
    }
    let documents = [
        "GET /.well-known/jwks.json",
        "GET /.well-known/oauth-authorization-server",
        "GET /.well-known/openid-configuration",
        "GET /openapi.json",
    ];
    assert_eq!(open, documents.map(str::to_owned).into());
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_is_in_the_document() {
    let world = World::start(Store::Sqlite, Tenant::default()).await;
    let paths = world.document().document()["paths"].as_object().unwrap();
    let known: BTreeSet<&str> = paths.keys().map(String::as_str).collect();
    let routes = [
        "/.well-known/jwks.json",
        "/.well-known/oauth-authorization-server",
        "/.well-known/openid-configuration",
        "/appliance-mfa/api/device-accounts/{device_id}",
        "/appliance-mfa/api/enroll",
        "/appliance-mfa/api/resolve-transaction",
        "/mfa/associate",
        "/mfa/authenticators",
        "/mfa/authenticators/{authenticator_id}",
        "/mfa/challenge",
        "/mfa/remembered-devices",
        "/mfa/remembered-devices/{device_id}",
        "/notices/{token}",
        "/oauth/introspect",
        "/oauth/revoke",
        "/oauth/token",
        "/openapi.json",
        "/userinfo",
    ];
    assert_eq!(known, routes.into());
}
