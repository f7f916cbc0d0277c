//! Whether the stores can serve, and telling gRPC's health of it.
//!
//! `/readyz` asks them each time. `grpc.health.v1` is asked far more often, so it says what was found in the last second.

use std::{sync::Arc, time::Duration};

use countersign_domain::{app::App, port::PortError};
use countersign_server::HealthHandle;
use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval},
};

use super::purge::told;

/// How long a store may take to say that it can serve.
const PING: Duration = Duration::from_secs(1);
/// How often they are asked.
const EVERY: Duration = Duration::from_secs(1);

/// A store that cannot serve.
pub struct Missing {
    /// Which.
    pub store: &'static str,
    /// Why, for the log.
    pub why: String,
}

/// The stores that cannot serve now.
pub async fn missing(app: &App) -> Vec<Missing> {
    let (durable, session) = tokio::join!(ping(app.users.ping()), ping(app.sessions.ping()));
    let states = [("durable store", durable), ("session store", session)];
    states.into_iter().filter_map(|(store, state)| Some(Missing { store, why: state.err()? })).collect()
}

async fn ping(answer: impl Future<Output = Result<(), PortError>>) -> Result<(), String> {
    match tokio::time::timeout(PING, answer).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(format!("{:#}", anyhow::Error::from(error))),
        Err(_) => Err("no answer in time".to_owned()),
    }
}

/// Keeps `health` true, until `stopping`.
pub async fn follow(app: Arc<App>, health: HealthHandle, mut stopping: watch::Receiver<bool>) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut ready = true;
    loop {
        let missing = tokio::select! {
            () = told(&mut stopping) => return,
            missing = async { ticks.tick().await; missing(&app).await } => missing,
        };
        // One line when it begins and one when it ends, not one a second.
        if std::mem::replace(&mut ready, missing.is_empty()) == missing.is_empty() {
            continue;
        }
        for Missing { store, why } in &missing {
            tracing::warn!(store, error = why, "not serving");
        }
        if missing.is_empty() {
            tracing::info!("serving again");
        }
        health.set_ready(missing.is_empty()).await;
    }
}
