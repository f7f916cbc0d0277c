//! The APIs that listeners serve: gRPC, and HTTP as its client in the same process.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::Request,
    middleware::{Next, from_fn},
    response::{IntoResponse as _, Response},
};
use countersign_domain::{app::App, port::entropy::Entropy};
use countersign_gateway::{ClientErrorStyle, ClientOrigins, EpochSeconds, GatewayConfig, NotEnrolledStyle, RequestIds};
use countersign_server::{HealthHandle, InProcess, METHODS};
use countersign_telemetry::{Metrics, PanicGuardLayer, RequestLogLayer};
use data_encoding::HEXLOWER;
use http::{HeaderMap, StatusCode};
use tonic::Status;

use crate::config::{
    check::Checked,
    listeners::{ClientErrorName, NotEnrolledName},
};

/// The longest a gRPC request may take to arrive and be answered; calls themselves have a shorter time.
const WHOLE_REQUEST: Duration = Duration::from_secs(10);

/// Who answers on which listener.
pub struct Apis {
    /// gRPC.
    pub grpc: Router,
    /// HTTP, with TLS or without.
    pub http: Router,
    /// What gRPC says about its health.
    pub health: HealthHandle,
}

/// The APIs of `app`.
///
/// # Errors
///
/// The protobuf descriptors cannot be read.
pub async fn apis(app: &Arc<App>, config: &Checked, metrics: &Metrics) -> anyhow::Result<Apis> {
    let (routes, health) = countersign_server::routes(Arc::clone(app)).await?;
    let gateway = countersign_gateway::router(InProcess::new(routes.clone()), gateway_config(app, config));
    // From the outside in: the line of the request, panics, the time.
    let grpc = routes
        .into_axum_router()
        .layer(from_fn(in_time))
        .layer(PanicGuardLayer::new(grpc_panicked))
        .layer(RequestLogLayer::grpc(metrics.clone(), METHODS));
    let http = gateway.layer(PanicGuardLayer::new(http_panicked)).layer(RequestLogLayer::http(metrics.clone()));
    Ok(Apis { grpc, http, health })
}

async fn in_time(request: Request, next: Next) -> Response {
    let answer = tokio::time::timeout(WHOLE_REQUEST, next.run(request)).await;
    answer.unwrap_or_else(|_| Status::deadline_exceeded("the request took too long").into_http())
}

fn grpc_panicked() -> Response<Body> {
    Status::internal("the server has failed").into_http()
}

fn http_panicked() -> Response<Body> {
    let body = r#"{"error":"server_error","error_description":"Internal server error"}"#;
    let content_type = (http::header::CONTENT_TYPE, "application/json");
    let no_store = (http::header::CACHE_CONTROL, "no-store");
    (StatusCode::INTERNAL_SERVER_ERROR, [content_type, no_store], body).into_response()
}

fn gateway_config(app: &Arc<App>, config: &Checked) -> GatewayConfig {
    let clock = Arc::clone(&app.clock);
    let now: EpochSeconds = Arc::new(move || clock.now().as_secs());
    let proxies = config.gateway.trusted_proxies.clone();
    let origins = config
        .clients
        .iter()
        .map(|client| ClientOrigins { client_id: client.id.clone(), origins: client.origins.clone() });
    GatewayConfig {
        origins: origins.collect(),
        client_error: match config.gateway.client_error {
            ClientErrorName::AccessDenied => ClientErrorStyle::AccessDenied,
            ClientErrorName::InvalidClient => ClientErrorStyle::InvalidClient,
        },
        not_enrolled_error: match config.gateway.not_enrolled_error {
            NotEnrolledName::UnsupportedChallengeType => NotEnrolledStyle::UnsupportedChallengeType,
            NotEnrolledName::AssociationRequired => NotEnrolledStyle::AssociationRequired,
        },
        trusted_proxies: Arc::new(move |address| proxies.iter().any(|network| network.contains(&address))),
        ..GatewayConfig::new(config.issuer.as_str(), request_ids(Arc::clone(&app.entropy)), now)
    }
}

/// The id under which the request is logged, so that an answer leads to its line. Where nothing is logged, 128 random bits; and
/// without randomness a counter: nothing depends on an id being secret.
fn request_ids(entropy: Arc<dyn Entropy>) -> RequestIds {
    let count = AtomicU64::new(0);
    Arc::new(move || {
        let mut id = [0; 16];
        logged_id().unwrap_or_else(|| match entropy.fill(&mut id) {
            Ok(()) => HEXLOWER.encode(&id),
            Err(_) => format!("n{}", count.fetch_add(1, Ordering::Relaxed)),
        })
    })
}

/// The parent id of a `traceparent` that would be sent on (W3C Trace Context, section 3.2): the span of the request's line.
fn logged_id() -> Option<String> {
    let mut headers = HeaderMap::new();
    countersign_telemetry::inject(&mut headers);
    headers.get("traceparent")?.to_str().ok()?.split('-').nth(2).map(str::to_owned)
}
