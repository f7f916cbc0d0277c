//! Looks after the keys: what an operator or another process changed is known a second later, and rotation happens.

use std::{sync::Arc, time::Duration};

use countersign_crypto::{data_key_keeper::DataKeyKeeper, keyring::KeyRing};
use countersign_domain::port::PortError;
use countersign_telemetry::Metrics;
use tokio::{
    sync::watch,
    time::{Interval, MissedTickBehavior, interval},
};

use super::purge::told;

/// How long a change stays unnoticed, at most. `docs/keys.md` promises five seconds, and `data_key.rs` counts on it.
const REREAD_EVERY: Duration = Duration::from_secs(1);
/// How late a step of a rotation may be, at most.
const ROTATE_EVERY: Duration = Duration::from_secs(60);

/// Reads the keys again and again, and takes seals, until `stopping`.
pub async fn reread(
    data_keys: DataKeyKeeper,
    keys: Arc<KeyRing>,
    metrics: Metrics,
    mut stopping: watch::Receiver<bool>,
) {
    let mut ticks = every(REREAD_EVERY);
    let (mut failing, mut wanting) = (false, false);
    loop {
        tokio::select! {
            () = told(&mut stopping) => return,
            // Those who seal do not wait for the tick: a fast server uses a block in less.
            () = data_keys.runs_low() => {}
            _ = ticks.tick() => {
                // In this order: what signs is sealed with what seals. A data key that does not open keeps no signing key in force.
                let data = data_keys.reload().await;
                let outcome = data.and(keys.reload().await);
                // One line when it begins, not one a second.
                if !std::mem::replace(&mut failing, outcome.is_err()) {
                    complain("the keys cannot be read again; those that are known stay", outcome);
                }
            }
        }
        let outcome = data_keys.provide().await;
        if !std::mem::replace(&mut wanting, outcome.is_err()) {
            complain(
                "no seals of the data key can be taken; nothing is sealed when those that are left are used",
                outcome,
            );
        }
        metrics.data_key_seals(data_keys.seals_taken());
    }
}

/// Rotates when it is time, until `stopping`. Making a key takes a while, which is why reading does not wait for it.
pub async fn rotate(keys: Arc<KeyRing>, mut stopping: watch::Receiver<bool>) {
    let mut ticks = every(ROTATE_EVERY);
    loop {
        tokio::select! {
            () = told(&mut stopping) => return,
            _ = ticks.tick() => complain("the signing keys could not be rotated", keys.turn().await),
        }
    }
}

fn every(period: Duration) -> Interval {
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    ticks
}

fn complain(what: &'static str, outcome: Result<(), PortError>) {
    if let Err(error) = outcome {
        tracing::warn!(error = format!("{:#}", anyhow::Error::from(error)), "{what}");
    }
}

#[cfg(test)]
mod tests {
    use countersign_crypto::{
        data_key_keeper::Blocks,
        entropy::SystemEntropy,
        key_keeper::{KeyKeeper, KeyOptions},
        keyring::RsaBits,
        master_key::MasterKey,
        sealer::AeadSealer,
    };
    use countersign_domain::{
        port::sealer::{Place, Sealer as _},
        signing_key::RotationPolicy,
    };
    use countersign_storage::memory::MemoryStore;

    use super::*;
    use crate::system::SystemClock;

    /// Time stands still while there is something to do, so no tick comes to help.
    #[tokio::test(start_paused = true)]
    async fn a_server_that_seals_faster_than_the_tick_takes_seals_in_time() {
        let store = Arc::new(MemoryStore::default());
        let master = MasterKey::parse(&"0123456789abcdef".repeat(4)).unwrap();
        let sealer = Arc::new(AeadSealer::new(&master, Arc::new(SystemEntropy::new())).unwrap());
        let clock = Arc::new(SystemClock);
        let data_keys = DataKeyKeeper::new(Arc::clone(&store) as _, Arc::clone(&sealer), clock.clone())
            .taking(Blocks { least: 64, most: 256, ..Blocks::SERVER });
        data_keys.provide().await.unwrap();
        let options = KeyOptions {
            algorithms: [].into(),
            rsa_bits: RsaBits::Bits2048,
            rotation: RotationPolicy { age: None, lead: REREAD_EVERY, keep: REREAD_EVERY },
        };
        let keys = KeyRing::load(KeyKeeper::new(store, Arc::clone(&sealer) as _, clock, options)).await.unwrap();
        let (stop, stopping) = watch::channel(false);
        let looking = tokio::spawn(reread(data_keys, Arc::new(keys), Metrics::new(), stopping));
        let began = tokio::time::Instant::now();
        for sealed in 0..2000 {
            sealer
                .seal(Place { record: "authenticator", id: "1", owner: "2" }, b"seed")
                .unwrap_or_else(|error| panic!("{sealed}: {error}"));
            if sealed % 16 == 0 {
                tokio::task::yield_now().await;
            }
        }
        assert_eq!(began.elapsed(), Duration::ZERO);
        stop.send(true).unwrap();
        looking.await.unwrap();
    }
}
