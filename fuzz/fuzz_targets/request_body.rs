//! The gateway's reader of bodies, forms and JSON, at every route that takes one. Behind it answers a server that is not there.
#![no_main]

use std::{
    convert::Infallible,
    future::{Ready, ready},
    net::SocketAddr,
    sync::{Arc, LazyLock},
};

use axum::{
    Router,
    body::Body,
    extract::{ConnectInfo, Request},
};
use countersign_gateway::GatewayConfig;
use http_body_util::BodyExt as _;
use libfuzzer_sys::fuzz_target;
use tokio::runtime::Runtime;
use tonic::Status;
use tower::{ServiceExt as _, service_fn};

const ROUTES: [(&str, &str); 10] = [
    ("POST", "/oauth/token"),
    ("POST", "/mfa/challenge"),
    ("POST", "/mfa/associate"),
    ("PATCH", "/mfa/authenticators/totp%7Cdev_0123456789abcdef"),
    ("POST", "/userinfo"),
    ("DELETE", "/mfa/authenticators/totp%7Cdev_0123456789abcdef"),
    ("POST", "/appliance-mfa/api/enroll"),
    ("POST", "/appliance-mfa/api/resolve-transaction"),
    ("PATCH", "/appliance-mfa/api/device-accounts/dev_0123456789abcdef"),
    ("POST", "/notices/csntc_token"),
];
const TYPES: [Option<&str>; 5] = [
    Some("application/x-www-form-urlencoded"),
    Some("application/json"),
    Some("application/json; charset=utf-8"),
    Some("text/plain"),
    None,
];

type Answer = Ready<Result<axum::http::Response<tonic::body::Body>, Infallible>>;

static GATEWAY: LazyLock<(Runtime, Router)> = LazyLock::new(|| {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let behind = service_fn(|_: axum::http::Request<tonic::body::Body>| -> Answer {
        ready(Ok(Status::unavailable("nobody").into_http()))
    });
    let config = GatewayConfig::new("https://id.example/", Arc::new(|| "request".to_owned()), Arc::new(|| 0));
    (runtime, countersign_gateway::router(behind, config))
});

fuzz_target!(|data: &[u8]| {
    let [kind, body @ ..] = data else { return };
    let (method, path) = ROUTES[usize::from(*kind) % ROUTES.len()];
    let authorization = if path.ends_with("/enroll") { "Ticket id=\"ticket\"" } else { "Bearer token" };
    let mut request = Request::builder().method(method).uri(path).header("authorization", authorization);
    if let Some(kind) = TYPES[usize::from(*kind) / ROUTES.len() % TYPES.len()] {
        request = request.header("content-type", kind);
    }
    let address = SocketAddr::from(([192, 0, 2, 1], 4711));
    let request = request.extension(ConnectInfo(address)).body(Body::from(body.to_vec())).expect("a request");
    let (runtime, router) = &*GATEWAY;
    runtime.block_on(async {
        let answer = router.clone().oneshot(request).await.expect("infallible");
        let status = answer.status().as_u16();
        let bytes = answer.into_body().collect().await.expect("a body").to_bytes();
        // 500 is what a bug would look like; 503 is the server behind that is not there.
        assert!(status != 500, "{status}");
        // The page behind a link is for people, and so are its errors.
        if status >= 400 && !path.starts_with("/notices/") {
            let error: serde_json::Value = serde_json::from_slice(&bytes).expect("errors are JSON");
            assert!(error.is_object());
        }
    });
});
