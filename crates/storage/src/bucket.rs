//! The arithmetic of token buckets, for the adapters that judge them in this process.
//!
//! The scripts in `redis/` do the same on the server; the contract suite holds both to it.

use std::time::Duration;

use countersign_domain::{
    port::session_store::{AttemptId, Bucket},
    time::Timestamp,
};

/// What is kept of a bucket that is not full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Level {
    /// Attempts left.
    pub left: u32,
    /// Since when the next attempt is coming back.
    pub at: Timestamp,
    /// Who charged last.
    pub last: Option<AttemptId>,
}

impl Level {
    /// The level of a bucket nothing is kept of.
    pub(crate) fn full(bucket: &Bucket, now: Timestamp) -> Self {
        Self { left: bucket.capacity, at: now, last: None }
    }

    /// Adds what came back until `now`.
    ///
    /// A clock that steps back adds nothing and takes nothing; moving `at` back with it would let replicas whose clocks differ
    /// refill a bucket twice.
    #[must_use]
    fn refilled(mut self, bucket: &Bucket, now: Timestamp) -> Self {
        self.left = self.left.min(bucket.capacity);
        if now > self.at {
            let refill = refill_millis(bucket);
            let elapsed = now.since(self.at).as_millis();
            let added = u32::try_from(elapsed / refill).unwrap_or(u32::MAX);
            self.left = self.left.saturating_add(added).min(bucket.capacity);
            self.at = if self.left == bucket.capacity {
                now
            } else {
                self.at.plus(Duration::from_millis(u64::try_from(elapsed - elapsed % refill).unwrap_or(u64::MAX)))
            };
        }
        self
    }

    /// The level after `attempt`; an error says how long until one attempt comes back.
    pub(crate) fn charged(self, bucket: &Bucket, attempt: AttemptId, now: Timestamp) -> Result<Self, Duration> {
        if self.last == Some(attempt) {
            return Ok(self);
        }
        let level = self.refilled(bucket, now);
        match level.left.checked_sub(1) {
            Some(left) => {
                let at = if bucket.locks && left == 0 { level.at.max(now) } else { level.at };
                Ok(Self { left, at, last: Some(attempt) })
            }
            None => Err(level.next(bucket).since(now)),
        }
    }

    /// The level after `attempt` was given back; `None` if the bucket is full with it.
    pub(crate) fn refunded(self, bucket: &Bucket, attempt: AttemptId, now: Timestamp) -> Option<Self> {
        let level = self.refilled(bucket, now);
        let left = level.left.saturating_add(1);
        let last = level.last.filter(|last| *last != attempt);
        (left < bucket.capacity).then_some(Self { left, last, ..level })
    }

    /// How long until there is an attempt; zero if there is one.
    pub(crate) fn wait(self, bucket: &Bucket, now: Timestamp) -> Duration {
        let level = self.refilled(bucket, now);
        if level.left > 0 { Duration::ZERO } else { level.next(bucket).since(now) }
    }

    /// When the bucket is full again and nothing need be kept of it.
    pub(crate) fn full_at(self, bucket: &Bucket) -> Timestamp {
        let missing = bucket.capacity.saturating_sub(self.left);
        self.at.plus(bucket.refill.saturating_mul(missing))
    }

    fn next(self, bucket: &Bucket) -> Timestamp {
        self.at.plus(bucket.refill)
    }
}

/// The refill interval in milliseconds, never zero.
pub(crate) fn refill_millis(bucket: &Bucket) -> u128 {
    bucket.refill.as_millis().max(1)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use countersign_domain::{port::session_store::BucketKey, secret::Digest};

    use super::*;

    fn bucket() -> Bucket {
        Bucket {
            key: BucketKey { subject: Digest::new([0; 32]), counter: Arc::from("otp") },
            capacity: 10,
            refill: Duration::from_secs(360),
            locks: false,
        }
    }

    #[test]
    fn an_attempt_comes_back_after_one_interval_and_not_before() {
        let (bucket, start) = (bucket(), Timestamp::from_millis(1_000_000));
        let mut level = Level::full(&bucket, start);
        for n in 0..10u8 {
            level = level.charged(&bucket, AttemptId([n; 16]), start).unwrap();
        }
        let probe = AttemptId([99; 16]);
        let at = |secs| start.plus(Duration::from_secs(secs));
        assert_eq!(level.charged(&bucket, probe, at(359)), Err(Duration::from_secs(1)));
        assert_eq!(level.charged(&bucket, probe, at(360)).unwrap().left, 0);
        assert_eq!(level.charged(&bucket, probe, at(719)).unwrap().at, at(360), "what was underway is kept");
        assert_eq!(level.full_at(&bucket), at(3600));
    }

    #[test]
    fn the_last_attempt_locks_for_a_whole_interval() {
        let (bucket, start) = (Bucket { locks: true, ..bucket() }, Timestamp::from_millis(1_000_000));
        let at = |secs| start.plus(Duration::from_secs(secs));
        let mut level = Level::full(&bucket, start);
        for n in 0..10u8 {
            level = level.charged(&bucket, AttemptId([n; 16]), at(u64::from(n) * 30)).unwrap();
        }
        let probe = AttemptId([99; 16]);
        assert_eq!(level.charged(&bucket, probe, at(360)), Err(Duration::from_secs(270)));
        let level = level.charged(&bucket, probe, at(270 + 360)).unwrap();
        assert_eq!(level.wait(&bucket, at(631)), Duration::from_secs(359), "and so does the one that came back");
    }

    #[test]
    fn a_clock_that_steps_back_gives_nothing() {
        let (bucket, start) = (bucket(), Timestamp::from_millis(1_000_000));
        let level = Level { left: 0, at: start, last: None };
        let earlier = start.minus(Duration::from_secs(10));
        assert_eq!(level.wait(&bucket, earlier), Duration::from_secs(370));
        assert_eq!(level.charged(&bucket, AttemptId([1; 16]), earlier), Err(Duration::from_secs(370)));
    }

    #[test]
    fn a_lowered_capacity_applies_at_once() {
        let (mut bucket, now) = (bucket(), Timestamp::from_millis(0));
        let level = Level { left: 9, at: now, last: None };
        bucket.capacity = 1;
        assert_eq!(level.charged(&bucket, AttemptId([1; 16]), now).unwrap().left, 0);
    }
}
