//! Methods, sizes, types and headers.

use countersign_tests::{
    api::Transport,
    person::PASSWORD,
    tenant::{BACKEND, NATIVE, Tenant},
    world::{Store, World},
};
use http::Method;
use serde_json::json;

async fn world() -> World {
    let world = World::start(Store::Sqlite, Tenant::default()).await;
    world.person("ann").await;
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn the_wrong_method_is_405_and_says_the_right_one() {
    let world = world().await;
    let http = world.http();
    for (method, path, allowed) in [
        (Method::GET, "/oauth/token", "POST"),
        (Method::PUT, "/mfa/challenge", "POST"),
        (Method::DELETE, "/mfa/associate", "POST"),
        (Method::POST, "/mfa/authenticators", "GET"),
        (Method::PUT, "/mfa/authenticators/totp%7Cdev_0000000000000000", "DELETE"),
        (Method::DELETE, "/.well-known/jwks.json", "GET"),
    ] {
        let answer = http.send(http.request(method.clone(), path)).await;
        assert_eq!(answer.status, 405, "{method} {path}");
        assert!(answer.header("allow").unwrap().contains(allowed), "{method} {path}");
        assert!(answer.json()["error"].is_string(), "{method} {path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_path_is_404_in_the_same_shape() {
    let world = world().await;
    for path in
        ["/", "/oauth", "/oauth/token/", "/oauth/ro", "/api/v2/users", "/metrics", "/healthz", "/mfa", "/../etc/passwd"]
    {
        let answer = world.http().get(path).await;
        assert_eq!(answer.status, 404, "{path}");
        assert!(answer.json()["error"].is_string() && answer.json()["error_description"].is_string(), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_too_large_is_413_and_one_of_another_type_415() {
    let world = world().await;
    let http = world.http();
    let large =
        json!({"grant_type": "password", "username": "ann", "password": "x".repeat(1 << 20), "client_id": NATIVE.id});
    let answer = http.post("/oauth/token", &large).await;
    assert_eq!(answer.status, 413);
    assert!(answer.json()["error"].is_string());
    for media in ["text/plain", "application/xml", "multipart/form-data; boundary=x"] {
        let request =
            http.request(Method::POST, "/oauth/token").header("content-type", media).body("grant_type=password");
        let answer = http.send(request).await;
        assert_eq!((answer.status, answer.json()["error"].is_string()), (415, true), "{media}");
    }
    // What SDKs send at most is far below the limit.
    let roomy = json!({"grant_type": "password", "username": "ann", "password": "wrong", "client_id": NATIVE.id, "extra": "x".repeat(8192)});
    assert_eq!(http.post("/oauth/token", &roomy).await.status, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parameter_that_comes_twice_is_refused() {
    let world = world().await;
    let http = world.http();
    let twice = [
        ("grant_type", "password"),
        ("username", "ann"),
        ("username", "bob"),
        ("password", PASSWORD),
        ("client_id", NATIVE.id),
    ];
    let answer = http.form("/oauth/token", &twice).await;
    assert_eq!((answer.status, &answer.json()["error"]), (400, &json!("invalid_request")));
    let body = format!(
        r#"{{"grant_type":"password","username":"ann","username":"bob","password":"x","client_id":"{}"}}"#,
        NATIVE.id
    );
    let answer = http
        .send(http.request(Method::POST, "/oauth/token").header("content-type", "application/json").body(body))
        .await;
    assert_eq!((answer.status, &answer.json()["error"]), (400, &json!("invalid_request")));
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_in_the_address_are_not_read() {
    let world = world().await;
    let query = format!("/oauth/token?grant_type=password&username=ann&client_id={}", NATIVE.id);
    let answer = world.http().form(&query, &[("password", PASSWORD)]).await;
    assert_eq!(answer.status, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_not_stored_and_carry_a_request_id() {
    let world = world().await;
    let http = world.http();
    let login = |password: &str| {
        [("grant_type", "password"), ("username", "ann"), ("password", password), ("client_id", NATIVE.id)]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
    };
    for password in [PASSWORD, "wrong"] {
        let answer = http.send(http.request(Method::POST, "/oauth/token").form(&login(password))).await;
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert_eq!(answer.header("pragma"), Some("no-cache"));
        assert!(answer.header("x-request-id").is_some_and(|id| !id.is_empty()));
    }
    let named = http.request(Method::POST, "/oauth/token").header("x-request-id", "my-id_1.2").form(&login(PASSWORD));
    assert_eq!(http.send(named).await.header("x-request-id"), Some("my-id_1.2"));
    for hostile in ["has blanks", "<script>", &"x".repeat(300)] {
        let named = http.request(Method::POST, "/oauth/token").header("x-request-id", hostile).form(&login(PASSWORD));
        assert_ne!(http.send(named).await.header("x-request-id"), Some(hostile), "{hostile}");
    }
    let ids: Vec<_> = [http.get("/nowhere").await, http.get("/nowhere").await]
        .iter()
        .map(|answer| answer.header("x-request-id").unwrap().to_owned())
        .collect();
    assert_ne!(ids[0], ids[1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_refusal_of_the_token_endpoint_has_www_authenticate() {
    let world = world().await;
    let http = world.http();
    for body in [
        json!({}),
        json!({"grant_type": "password"}),
        json!({"grant_type": "nonsense", "client_id": NATIVE.id}),
        json!({"grant_type": "password", "username": "ann", "password": "x", "client_id": "nobody"}),
        json!({"grant_type": "password", "username": "ann", "password": "x", "client_id": NATIVE.id}),
        json!({"grant_type": "password", "username": "ann", "password": PASSWORD, "client_id": NATIVE.id}),
    ] {
        let answer = http.post("/oauth/token", &body).await;
        assert!((400..500).contains(&answer.status), "{body}");
        assert_eq!(answer.header("content-type"), Some("application/json"), "{body}");
        assert_eq!(answer.header("www-authenticate"), None, "{body}");
        let members = answer.json();
        for foreign in ["code", "message", "errorCode", "description", "err", "details"] {
            assert!(members.get(foreign).is_none(), "{foreign} in {members}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn health_and_metrics_are_on_their_own_listener() {
    let world = world().await;
    assert!(world.metrics().await.text().contains("# EOF"));
    let client = countersign_tests::http::plain_client();
    for (path, body) in [("/healthz", "ok\n"), ("/readyz", "ready\n")] {
        let answer = client.get(format!("http://{}{path}", world.server().ops())).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.text().await.unwrap(), body);
    }
    for path in ["/oauth/token", "/mfa/authenticators", "/openapi.json"] {
        let answer = client.get(format!("http://{}{path}", world.server().ops())).send().await.unwrap();
        assert_eq!(answer.status(), 404, "{path}");
    }
    let api = world.api(Transport::Grpc);
    api.login(BACKEND, "ann", PASSWORD).await.unwrap().mfa_token();
}
