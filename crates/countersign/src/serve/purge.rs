//! Sweeps what expired, once a minute.

use std::{sync::Arc, time::Duration};

use countersign_domain::app::App;
use tokio::sync::watch;

const EVERY: Duration = Duration::from_secs(60);

/// Sweeps until `stopping`.
pub async fn run(app: Arc<App>, mut stopping: watch::Receiver<bool>) {
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            () = told(&mut stopping) => return,
            _ = ticks.tick() => sweep(&app).await,
        }
    }
}

/// Until the server stops; also if nobody is left to stop it.
pub(super) async fn told(stopping: &mut watch::Receiver<bool>) {
    drop(stopping.wait_for(|stopping| *stopping).await);
}

/// Expired things do no harm, so a failure waits for the next round.
async fn sweep(app: &App) {
    let now = app.clock.now();
    for (store, outcome) in [
        ("durable", app.logins.purge(now).await),
        ("outbox", app.outbox.purge(now).await),
        ("session", app.sessions.purge(now).await),
    ] {
        match outcome {
            Ok(0) => {}
            Ok(rows) => tracing::debug!(store, rows, "swept"),
            Err(error) => tracing::warn!(store, error = format!("{:#}", anyhow::Error::from(error)), "could not sweep"),
        }
    }
}
