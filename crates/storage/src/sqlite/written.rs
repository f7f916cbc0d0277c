//! When it was last found that the file takes what is written to it.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// How long that is taken for granted. Who asks more often has nothing written.
const FRESH: Duration = Duration::from_secs(2);

/// The moment.
#[derive(Debug, Default)]
pub(super) struct Written(Mutex<Option<Instant>>);

impl Written {
    /// Whether it is to be found out again. After a failure it is, until it succeeds.
    pub(super) fn is_due(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_none_or(|at| at.elapsed() >= FRESH)
    }

    /// It was found now.
    pub(super) fn now(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }
}
