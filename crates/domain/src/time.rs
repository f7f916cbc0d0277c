//! A point in time, as a value.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Milliseconds of a day.
const DAY: i64 = 86_400_000;

/// Milliseconds since the Unix epoch, UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The time `millis` milliseconds after the Unix epoch.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the Unix epoch.
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// Whole seconds since the Unix epoch, rounded down: the `NumericDate` of RFC 7519, section 2.
    pub const fn as_secs(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// The day in UTC, counted from the Unix epoch.
    pub const fn utc_day(self) -> i64 {
        self.0.div_euclid(DAY)
    }

    /// How long until the next day begins in UTC.
    pub fn until_next_day(self) -> Duration {
        Duration::from_millis((DAY - self.0.rem_euclid(DAY)).unsigned_abs())
    }

    /// RFC 3339 in UTC with milliseconds, such as `2023-06-14T21:36:26.399Z`.
    pub fn to_rfc3339(self) -> String {
        let time = jiff::Timestamp::from_millisecond(self.0).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
        time.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
    }

    /// The time `span` later; saturates at the end of time.
    #[must_use]
    pub fn plus(self, span: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(span.as_millis()).unwrap_or(i64::MAX)))
    }

    /// The time `span` earlier; saturates at the beginning of time.
    #[must_use]
    pub fn minus(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(span.as_millis()).unwrap_or(i64::MAX)))
    }

    /// How long after `earlier` this is; zero if it is not.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}
