//! Adapters for the store ports: SQLite, Redis and memory.
//!
//! [`sqlite`] keeps everything in one file and is the durable store. [`redis`] keeps short-lived state that replicas share.
//! [`memory`] is for tests. The suite that all of them pass is `contract`, behind the feature `testing`.

mod bucket;
#[cfg(feature = "testing")]
pub mod contract;
pub mod memory;
pub mod open;
pub mod redis;
pub mod sqlite;
#[cfg(feature = "testing")]
pub mod testing_redis;

use std::time::Duration;

/// How long a transaction or a challenge is kept after its end, so that expired and unknown can be told apart for that long.
const KEPT_AFTER_EXPIRY: Duration = Duration::from_secs(3600);
