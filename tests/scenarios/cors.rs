//! Pages of browsers.

use countersign_tests::{
    person::PASSWORD,
    tenant::{BROWSER, NATIVE, ORIGIN, Tenant},
    world::{Store, World},
};
use http::Method;

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_a_clients_origin_may_call_every_path() {
    let world = World::start(Store::Sqlite, Tenant::default()).await;
    let http = world.http();
    for (path, method) in [
        ("/oauth/token", "POST"),
        ("/mfa/challenge", "POST"),
        ("/mfa/associate", "POST"),
        ("/mfa/authenticators", "GET"),
        ("/mfa/authenticators/totp%7Cdev_0000000000000000", "DELETE"),
        ("/mfa/authenticators/totp%7Cdev_0000000000000000", "PATCH"),
        ("/userinfo", "GET"),
    ] {
        let preflight = http
            .request(Method::OPTIONS, path)
            .header("origin", ORIGIN)
            .header("access-control-request-method", method)
            .header("access-control-request-headers", "auth0-client,authorization,content-type");
        let answer = http.send(preflight).await;
        assert!(matches!(answer.status, 200 | 204), "{path}: {}", answer.status);
        assert_eq!(answer.header("access-control-allow-origin"), Some(ORIGIN), "{path}");
        assert!(answer.header("access-control-allow-methods").unwrap().contains(method), "{path}");
        let headers = answer.header("access-control-allow-headers").unwrap().to_ascii_lowercase();
        for header in ["auth0-client", "authorization", "content-type"] {
            assert!(headers.contains(header), "{path}: {header}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_another_origin_is_not_let_in() {
    let world = World::start(Store::Sqlite, Tenant::default()).await;
    let http = world.http();
    for origin in ["https://evil.test", "https://spa.test.evil.test", "http://spa.test", "null"] {
        let preflight = http
            .request(Method::OPTIONS, "/oauth/token")
            .header("origin", origin)
            .header("access-control-request-method", "POST");
        assert_eq!(http.send(preflight).await.header("access-control-allow-origin"), None, "{origin}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_can_be_read_by_the_page_too() {
    let world = World::start(Store::Sqlite, Tenant::default()).await;
    world.person("ann").await;
    let http = world.http();
    let login = async |client: &str, password: &str, origin: &str| {
        let fields = [("grant_type", "password"), ("username", "ann"), ("password", password), ("client_id", client)];
        http.send(http.request(Method::POST, "/oauth/token").header("origin", origin).form(&fields)).await
    };
    for (password, error) in [("wrong", "invalid_grant"), (PASSWORD, "mfa_required")] {
        let answer = login(BROWSER.id, password, ORIGIN).await;
        assert_eq!(answer.status, 403);
        assert_eq!(answer.json()["error"], error);
        assert_eq!(answer.header("access-control-allow-origin"), Some(ORIGIN));
        assert!(answer.header("vary").unwrap().to_ascii_lowercase().contains("origin"));
    }
    assert_eq!(
        login(NATIVE.id, PASSWORD, ORIGIN).await.header("access-control-allow-origin"),
        None,
        "of another client"
    );
}
