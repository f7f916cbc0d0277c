//! The ops listener: is it alive, is it ready, what does it count.

use std::sync::Arc;

use axum::{Router, extract::State, response::IntoResponse, routing::get};
use countersign_domain::app::App;
use countersign_telemetry::{Metrics, metrics::CONTENT_TYPE};
use http::{StatusCode, header};
use tokio::sync::watch;

use crate::serve::readiness;

/// What the ops listener looks at.
#[derive(Clone)]
pub struct Ops {
    /// Whose stores are asked.
    pub app: Arc<App>,
    /// What is counted.
    pub metrics: Metrics,
    /// Turns true when the server is about to stop.
    pub draining: watch::Receiver<bool>,
}

/// `/healthz`, `/readyz` and `/metrics`.
pub fn router(ops: Ops) -> Router {
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(ops)
}

/// Whether every store can serve, and the server is not about to stop. Says which is not; the cause is for the log.
async fn ready(State(ops): State<Ops>) -> (StatusCode, String) {
    if *ops.draining.borrow() {
        return (StatusCode::SERVICE_UNAVAILABLE, "stopping\n".to_owned());
    }
    let mut body = String::new();
    for missing in readiness::missing(&ops.app).await {
        tracing::warn!(store = missing.store, error = missing.why, "not ready");
        body.push_str(missing.store);
        body.push_str(" is not available\n");
    }
    if body.is_empty() { (StatusCode::OK, "ready\n".to_owned()) } else { (StatusCode::SERVICE_UNAVAILABLE, body) }
}

async fn metrics(State(ops): State<Ops>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], ops.metrics.render())
}
