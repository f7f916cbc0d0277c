//! The ops listener: is it alive, is it ready, what does it count.

use std::{sync::Arc, time::Duration};

use axum::{Router, extract::State, response::IntoResponse, routing::get};
use countersign_domain::{app::App, port::PortError};
use countersign_telemetry::{Metrics, metrics::CONTENT_TYPE};
use http::{StatusCode, header};
use tokio::sync::watch;

/// How long a store may take to say that it can serve.
const PING: Duration = Duration::from_secs(1);

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
    let (durable, session) = tokio::join!(ping(ops.app.users.ping()), ping(ops.app.sessions.ping()));
    let mut body = String::new();
    for (name, state) in [("durable store", durable), ("session store", session)] {
        if let Err(error) = state {
            tracing::warn!(store = name, error, "not ready");
            body.push_str(name);
            body.push_str(" is not available\n");
        }
    }
    if body.is_empty() { (StatusCode::OK, "ready\n".to_owned()) } else { (StatusCode::SERVICE_UNAVAILABLE, body) }
}

async fn ping(answer: impl Future<Output = Result<(), PortError>>) -> Result<(), String> {
    match tokio::time::timeout(PING, answer).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(format!("{:#}", anyhow::Error::from(error))),
        Err(_) => Err("no answer in time".to_owned()),
    }
}

async fn metrics(State(ops): State<Ops>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], ops.metrics.render())
}
