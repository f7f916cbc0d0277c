//! What is counted of the messages of a day. Budgets refill and are kept where they may be lost; this is durable and begins at midnight.

use crate::{registry::Limit, time::Timestamp};

/// One message in the count of a day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DayCharge {
    /// The day in UTC, counted from the Unix epoch.
    pub day: i64,
    /// What is counted, as the bucket beside it is named: `phone-person:{digest}`. No number and no address is in it.
    pub counter: String,
    /// The most there may be on one day.
    pub most: u32,
}

impl DayCharge {
    /// One more of `counter` at `now`, of as many as `limit` gives in a day.
    pub fn new(counter: &str, limit: Limit, now: Timestamp) -> Self {
        Self { day: now.utc_day(), counter: counter.to_owned(), most: limit.per_day() }
    }
}

/// What came of charging a message to its day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DayCharged {
    /// Every count has one more.
    All,
    /// This one was at its most. Nothing was changed.
    Reached {
        /// Its place in the list.
        charge: usize,
    },
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::registry::SendLimits;

    #[test]
    fn a_day_has_what_its_bucket_regains_and_at_least_what_it_holds() {
        let limits = SendLimits::default();
        for (limit, most) in [
            (limits.phone, 24),
            (limits.email, 1440),
            (limits.destination, 48),
            (limits.prefix, 240),
            (limits.country, 1004),
            (limits.deployment, 5082),
            (Limit { capacity: 30, refill: Duration::from_secs(3600) }, 30),
            (Limit { capacity: 1, refill: Duration::from_secs(86_400 * 365) }, 1),
            (Limit { capacity: 1, refill: Duration::from_millis(1) }, 86_400_000),
            (Limit { capacity: 1, refill: Duration::ZERO }, 86_400_000),
        ] {
            assert_eq!(limit.per_day(), most, "{limit:?}");
        }
    }

    #[test]
    fn a_day_begins_at_midnight_in_utc() {
        const DAY: i64 = 86_400_000;
        let limit = SendLimits::default().phone;
        for (millis, day, left) in [
            (0, 0, DAY),
            (DAY - 1, 0, 1),
            (DAY, 1, DAY),
            (-1, -1, 1),
            (1_800_000_000_123, 20_833, 16 * 3_600_000 - 123),
        ] {
            let now = Timestamp::from_millis(millis);
            assert_eq!(DayCharge::new("phone-deployment", limit, now).day, day, "{millis}");
            assert_eq!(now.until_next_day(), Duration::from_millis(u64::try_from(left).unwrap()), "{millis}");
        }
    }
}
