//! Marks the database, once a minute.

use std::time::Duration;

use tokio::sync::watch;

use super::purge::told;
use crate::fence::{Keeper, PutBack};

/// What is put back is noticed if it is older than this.
const EVERY: Duration = Duration::from_secs(60);

/// Marks until `stopping`. The first mark was made before it served. Once another database has been put in the place of the one that is served,
/// the server is not ready any more.
pub async fn run(keeper: Keeper, draining: watch::Sender<bool>, mut stopping: watch::Receiver<bool>) {
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    ticks.tick().await;
    loop {
        tokio::select! {
            () = told(&mut stopping) => return,
            _ = ticks.tick() => {}
        }
        if let Err(error) = keeper.mark().await {
            if error.is::<PutBack>() {
                draining.send_replace(true);
            }
            tracing::error!(
                error = format!("{error:#}"),
                "the database is not marked: a backup put back may not be noticed"
            );
        }
    }
}
