use std::{convert::Infallible, future};

use countersign_telemetry::{
    LogFormat, Metrics, PanicGuardLayer, RequestFacts, RequestLogLayer, RouteName, inject, note,
};
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt as _, Full};
use serde_json::Value;
use tower::{Layer as _, Service as _, ServiceExt as _, service_fn};

use crate::lines::Lines;

type Bytes = std::io::Cursor<Vec<u8>>;

const TRACEPARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const ISSUE_TOKEN: &str = "countersign.v1.TokenService/IssueToken";

fn request(path: &str) -> Request<()> {
    Request::post(path).header("traceparent", TRACEPARENT).body(()).unwrap()
}

fn answer(status: u16) -> Response<Full<Bytes>> {
    Response::builder().status(status).body(Full::default()).unwrap()
}

/// The only line of a request to a handler behind the HTTP layer.
async fn http_line<F>(path: &str, handler: impl Fn(Request<()>) -> F) -> (Value, Metrics)
where
    F: Future<Output = Response<Full<Bytes>>> + Send + 'static,
{
    let metrics = Metrics::new();
    let (lines, _guard) = Lines::catch(LogFormat::Json);
    let service = service_fn(|request| {
        let answer = handler(request);
        async { Ok::<_, Infallible>(answer.await) }
    });
    let service = PanicGuardLayer::new(|| answer(500)).layer(service);
    let service = RequestLogLayer::http(metrics.clone()).layer(service);
    service.oneshot(request(path)).await.unwrap();
    let mut lines = lines.json();
    assert_eq!(lines.len(), 1, "{lines:?}");
    (lines.remove(0), metrics)
}

#[tokio::test]
async fn a_request_leaves_one_line_that_reads_alone() {
    let (line, metrics) = http_line("/oauth/token?otp=canary", |_| async {
        note(|facts| facts.client_id = Some("web".into()));
        let mut response = answer(403);
        response.extensions_mut().insert(RouteName("/oauth/token"));
        response.extensions_mut().insert(RequestFacts {
            reason: Some("PROOF_REJECTED"),
            factor: Some("otp"),
            ..RequestFacts::default()
        });
        response
    })
    .await;
    let duration = line["duration_ms"].as_f64().unwrap();
    assert!((0.0..5_000.0).contains(&duration));
    assert_eq!(line["timestamp"].as_str().unwrap().len(), "2024-02-29T23:59:59.123456Z".len());
    assert_eq!(line["request.id"].as_str().unwrap().len(), 16);
    for (name, value) in [
        ("message", "POST /oauth/token 403"),
        ("level", "INFO"),
        ("target", "countersign::request"),
        ("protocol", "http"),
        ("http.request.method", "POST"),
        ("url.path", "/oauth/token"),
        ("reason", "PROOF_REJECTED"),
        ("client.id", "web"),
        ("factor", "otp"),
        ("trace.id", "4bf92f3577b34da6a3ce929d0e0e4736"),
    ] {
        assert_eq!(line[name], value, "{name}");
    }
    assert_eq!(line["http.response.status_code"], 403);
    assert!(line.get("outcome").is_none() && line.get("rpc.method").is_none(), "{line}");
    let series = r#"countersign_requests_total{protocol="http",operation="POST /oauth/token",code="403"} 1"#;
    assert!(metrics.render().contains(series));
}

#[tokio::test]
async fn a_path_that_is_no_route_is_not_written() {
    let (line, metrics) = http_line("/mfa/authenticators/canary", |_| async { answer(404) }).await;
    assert_eq!(line["message"], "POST other 404");
    assert!(!line.to_string().contains("canary") && !metrics.render().contains("canary"));
}

#[tokio::test]
async fn levels_follow_the_status() {
    for (status, level) in [(200, "INFO"), (401, "INFO"), (429, "WARN"), (503, "WARN"), (500, "ERROR")] {
        let (line, _) = http_line("/", move |_| async move { answer(status) }).await;
        assert_eq!(line["level"], level, "{status}");
    }
}

#[tokio::test]
async fn a_panic_becomes_an_answer_and_one_line() {
    let (line, _) = http_line("/oauth/token", |_| async {
        note(|facts| facts.route = Some("/oauth/token"));
        assert!(future::ready(false).await, "canary");
        answer(200)
    })
    .await;
    assert_eq!((&line["outcome"], &line["reason"]), (&Value::from("panicked"), &Value::from("INTERNAL")));
    assert_eq!((&line["level"], &line["message"]), (&Value::from("ERROR"), &Value::from("POST /oauth/token 500")));
    assert!(!line.to_string().contains("canary"));
}

#[tokio::test]
async fn a_caller_who_went_away_leaves_a_line() {
    let (lines, _guard) = Lines::catch(LogFormat::Json);
    let metrics = Metrics::new();
    let endless = service_fn(|_: Request<()>| future::pending::<Result<Response<Full<Bytes>>, Infallible>>());
    let mut service = RequestLogLayer::http(metrics.clone()).layer(endless);
    drop(service.call(request("/oauth/token")));
    assert_eq!(lines.json()[0]["outcome"], "cancelled");
    assert_eq!(lines.json()[0]["http.response.status_code"], 499);
}

#[tokio::test]
async fn lines_in_between_name_the_request() {
    let (lines, _guard) = Lines::catch(LogFormat::Json);
    let service = service_fn(|_: Request<()>| async {
        tracing::warn!("the store is slow");
        Ok::<_, Infallible>(answer(200))
    });
    RequestLogLayer::http(Metrics::new()).layer(service).oneshot(request("/")).await.unwrap();
    tracing::info!("outside");
    let lines = lines.json();
    assert_eq!(lines[0]["message"], "the store is slow");
    assert_eq!(lines[0]["request.id"], lines[1]["request.id"]);
    assert_eq!(lines[0]["trace.id"], "4bf92f3577b34da6a3ce929d0e0e4736");
    assert!(lines[2].get("request.id").is_none());
}

#[tokio::test]
async fn the_trace_is_carried_on_without_an_exporter() {
    let (_lines, _guard) = Lines::catch(LogFormat::Json);
    let service = service_fn(|_: Request<()>| async {
        let mut headers = HeaderMap::new();
        inject(&mut headers);
        let mut response = answer(200);
        response.headers_mut().insert("carried", headers["traceparent"].clone());
        Ok::<_, Infallible>(response)
    });
    let layered = RequestLogLayer::http(Metrics::new()).layer(service);
    let carried = layered.clone().oneshot(request("/")).await.unwrap().headers()["carried"].clone();
    let carried = carried.to_str().unwrap();
    assert_eq!(carried[..36], TRACEPARENT[..36]);
    assert_ne!(carried[36..52], TRACEPARENT[36..52], "this service is the parent of what it calls");
    let begun = layered.oneshot(Request::get("/").body(()).unwrap()).await.unwrap().headers()["carried"].clone();
    assert_ne!(begun.to_str().unwrap()[..36], TRACEPARENT[..36]);
}

fn grpc(status_in: &str) -> Response<impl http_body::Body<Data = Bytes, Error = Infallible> + Unpin + use<>> {
    let mut response = Response::new(());
    let mut trailers = HeaderMap::new();
    let place = if status_in == "headers" { response.headers_mut() } else { &mut trailers };
    place.insert("grpc-status", http::HeaderValue::from_static("7"));
    response.map(|()| Full::<Bytes>::default().with_trailers(future::ready(Some(Ok(trailers)))))
}

#[tokio::test]
async fn a_grpc_status_is_found_in_headers_and_in_trailers() {
    for place in ["headers", "trailers"] {
        let (lines, _guard) = Lines::catch(LogFormat::Json);
        let layer = RequestLogLayer::grpc(Metrics::new(), [ISSUE_TOKEN, "a.B/C"]);
        let service = layer.layer(service_fn(move |_: Request<()>| future::ready(Ok::<_, Infallible>(grpc(place)))));
        let response = service.oneshot(request(&format!("/{ISSUE_TOKEN}"))).await.unwrap();
        response.into_body().collect().await.unwrap();
        let lines = lines.json();
        assert_eq!(lines.len(), 1);
        assert_eq!(lines[0]["message"], format!("{ISSUE_TOKEN} PERMISSION_DENIED"));
        assert_eq!(lines[0]["rpc.method"], ISSUE_TOKEN);
        assert_eq!(lines[0]["rpc.grpc.status_code"], 7);
        assert_eq!(lines[0]["protocol"], "grpc");
    }
}

#[tokio::test]
async fn a_grpc_answer_that_is_not_read_is_cancelled() {
    let (lines, _guard) = Lines::catch(LogFormat::Json);
    let layer = RequestLogLayer::grpc(Metrics::new(), [ISSUE_TOKEN]);
    let service = layer.layer(service_fn(|_: Request<()>| future::ready(Ok::<_, Infallible>(grpc("trailers")))));
    drop(service.oneshot(request("/a.Made/Up")).await.unwrap());
    assert_eq!(lines.json()[0]["message"], "other CANCELLED");
    assert_eq!(lines.json()[0]["outcome"], "cancelled");
}
