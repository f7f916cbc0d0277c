//! The real clock, and real waiting.

use std::time::{Duration, UNIX_EPOCH};

use countersign_domain::{port::clock::Clock, time::Timestamp};

/// The system's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        #[expect(clippy::disallowed_methods, reason = "the one place that asks the system for the time")]
        let now = std::time::SystemTime::now();
        // A clock before 1970 is broken; the epoch is as good as any other time then.
        let millis = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        Timestamp::from_millis(i64::try_from(millis).unwrap_or(i64::MAX))
    }
}

/// Waits, for what has no event to wait for.
pub async fn pause(span: Duration) {
    #[expect(clippy::disallowed_methods, reason = "the one place that lets time pass")]
    tokio::time::sleep(span).await;
}
