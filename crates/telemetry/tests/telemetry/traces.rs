use std::convert::Infallible;

use countersign_telemetry::{
    Metrics, RequestLogLayer, RouteName, Telemetry, TelemetryConfig, TelemetryError, TraceContext, inject,
};
use http::{HeaderMap, Request, Response};
use http_body_util::Empty;
use tower::{Layer as _, ServiceExt as _, service_fn};
use tracing::{Instrument as _, instrument::WithSubscriber as _};

use crate::{
    collector::{Collector, text},
    lines::Lines,
};

type Body = Empty<std::io::Cursor<Vec<u8>>>;

const TRACE_ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const TRACEPARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const ISSUE_TOKEN: &str = "countersign.v1.TokenService/IssueToken";

/// The gRPC side: a store's span below the call's.
async fn issue_token(_: Request<()>) -> Result<Response<Body>, Infallible> {
    async { tracing::info!(target: "countersign_storage", otp = "canary-7f3a", "comparing") }
        .instrument(tracing::info_span!(target: "countersign_storage", "store.login.commit", mfa_token = "canary-7f3a"))
        .await;
    Ok(Response::builder().header("grpc-status", "0").body(Body::default()).unwrap())
}

/// The HTTP side, which carries the context to the gRPC side in headers.
async fn oauth_token(_: Request<()>) -> Result<Response<Body>, Infallible> {
    let mut call = Request::post(format!("/{ISSUE_TOKEN}")).body(()).unwrap();
    inject(call.headers_mut());
    let service = RequestLogLayer::grpc(Metrics::new(), [ISSUE_TOKEN]).layer(service_fn(issue_token));
    // As if it came over the network: the span around is not seen, only the headers are.
    let elsewhere = tokio::spawn(service.oneshot(call).with_current_subscriber());
    elsewhere.await.unwrap().unwrap();
    let mut response = Response::new(Body::default());
    response.extensions_mut().insert(RouteName("/oauth/token"));
    Ok(response)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_trace_goes_from_http_through_grpc_to_the_store() {
    let (collector, address) = Collector::start().await;
    let config = TelemetryConfig { otlp_endpoint: Some(format!("http://{address}")), ..TelemetryConfig::default() };
    let (lines, dispatch, telemetry) = Lines::of(&config);
    let service = RequestLogLayer::http(Metrics::new()).layer(service_fn(oauth_token));
    let request = Request::post("/oauth/token").header("traceparent", TRACEPARENT).body(()).unwrap();
    async { service.oneshot(request).await.unwrap() }.with_subscriber(dispatch).await;
    tokio::task::spawn_blocking(|| telemetry.shutdown()).await.unwrap().unwrap();

    let spans = collector.spans();
    let named = |name: &str| spans.iter().find(|span| span.name == name).unwrap_or_else(|| panic!("{name}: {spans:?}"));
    let (http, grpc, store) = (named("POST /oauth/token"), named(ISSUE_TOKEN), named("store.login.commit"));
    for span in [http, grpc, store] {
        assert_eq!(hex(&span.trace_id), TRACE_ID);
    }
    assert_eq!(hex(&http.parent_span_id), "00f067aa0ba902b7");
    assert_eq!(grpc.parent_span_id, http.span_id);
    assert_eq!(store.parent_span_id, grpc.span_id);
    assert_eq!(text(&http.attributes, "http.route"), Some("/oauth/token"));
    assert_eq!(text(&collector.resource().attributes, "service.name"), Some("countersign"));
    assert_eq!(text(&collector.resource().attributes, "service.version"), Some(env!("CARGO_PKG_VERSION")));

    assert_eq!(text(&store.attributes, "mfa_token"), Some("[redacted]"));
    assert!(!collector.everything().contains("canary-7f3a"));
    for line in lines.json() {
        assert_eq!(line["trace.id"], TRACE_ID);
    }
    assert_eq!(lines.json().last().unwrap()["request.id"], hex(&http.span_id));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flush_sends_what_has_ended() {
    let (collector, address) = Collector::start().await;
    let config = TelemetryConfig { otlp_endpoint: Some(format!("http://{address}")), ..TelemetryConfig::default() };
    let (_, dispatch, telemetry) = Lines::of(&config);
    tracing::dispatcher::with_default(&dispatch, || {
        tracing::info_span!(target: "countersign_domain", "usecase.issue_token").in_scope(|| {
            let mut headers = HeaderMap::new();
            inject(&mut headers);
            assert!(TraceContext::extract(&headers).is_some());
        });
    });
    let telemetry = tokio::task::spawn_blocking(move || telemetry.flush().map(|()| telemetry)).await.unwrap().unwrap();
    assert_eq!(collector.spans().len(), 1);
    tokio::task::spawn_blocking(|| telemetry.shutdown()).await.unwrap().unwrap();
}

#[test]
fn refuses_what_cannot_be_configured() {
    let build = |config: TelemetryConfig| Telemetry::build(&config, std::io::sink).map(|_| ());
    let base = TelemetryConfig::default;
    let filter = build(TelemetryConfig { filter: "countersign=loud".into(), ..base() });
    assert!(matches!(filter, Err(TelemetryError::Filter(_))));
    let endpoint = build(TelemetryConfig { otlp_endpoint: Some("https://collector:4317".into()), ..base() });
    assert!(matches!(endpoint, Err(TelemetryError::Endpoint)));
    let ratio = build(TelemetryConfig { trace_ratio: 2.0, ..base() });
    assert!(matches!(ratio, Err(TelemetryError::Ratio)));
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}
