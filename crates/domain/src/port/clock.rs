//! The time of day.

use crate::time::Timestamp;

/// Tells the time. A use case asks once and passes the answer down.
pub trait Clock: Send + Sync {
    /// The time now, UTC.
    fn now(&self) -> Timestamp;
}
