//! Yardsticks right before and after what is compared with them.
//!
//! Where others share the machine, the same work costs half as much again from one minute to the next. A sum of yardsticks of other
//! minutes says little then.

use std::{path::Path, time::Duration};

use crate::{
    measure::Row,
    plan::Plan,
    run::{empty_calls, http_calls},
    yardstick::{commit::Commits, message::Messages, policy, redis_trip, signature, totp, verification::Verifications},
};

/// Measures yardsticks, as often as is needed.
pub struct Yardsticks {
    plan: Plan,
    callers: usize,
    redis: Option<String>,
    commits: Commits,
    messages: Messages,
    verifications: Verifications,
}

/// CPU time of each, in microseconds.
#[derive(Clone, Copy, Debug)]
pub struct Parts {
    signature: f64,
    commit: f64,
    message: f64,
    verification: f64,
    code: f64,
    call: f64,
    post: f64,
    trip: f64,
}

impl Yardsticks {
    /// Ready to measure on the disk of `dir`, with a Redis if there is one.
    ///
    /// # Errors
    ///
    /// SQLite failed.
    pub fn new(plan: Plan, callers: usize, dir: &Path, redis: Option<&str>) -> anyhow::Result<Self> {
        Ok(Self {
            plan,
            callers,
            redis: redis.map(str::to_owned),
            commits: Commits::open(dir)?,
            messages: Messages::open(dir)?,
            verifications: Verifications::open(dir)?,
        })
    }

    /// All of them, at length.
    ///
    /// # Errors
    ///
    /// One failed.
    pub async fn all(&mut self) -> anyhow::Result<Vec<Row>> {
        let Self { plan, callers, .. } = *self;
        let mut rows = vec![signature::rs256(plan.span)?, signature::es256(plan.span)?, totp::check(plan.span)?];
        rows.push(self.commits.alone(plan.span)?);
        rows.push(self.commits.shared(plan.span)?);
        rows.push(self.messages.shared(plan.span)?);
        // What goes was written before, so a quarter is enough.
        rows.push(self.verifications.shared(plan.span / 4)?);
        rows.push(policy::decision(plan.span)?);
        if let Some(url) = &self.redis {
            rows.push(redis_trip::round_trip(url, plan.trips, callers).await?);
        }
        rows.push(empty_calls(plan.trips, callers).await?);
        rows.push(http_calls(plan.trips, callers).await?);
        Ok(rows)
    }

    /// Those that rows are compared with, in about two seconds.
    ///
    /// # Errors
    ///
    /// One failed.
    pub async fn parts(&mut self) -> anyhow::Result<Parts> {
        let (trips, callers) = (self.plan.trips / 4, self.callers);
        let span = |of: u32| Duration::max(self.plan.span / of, Duration::from_millis(50));
        let trip = match &self.redis {
            Some(url) => redis_trip::round_trip(url, trips, callers).await?.cpu_us,
            None => 0.0,
        };
        Ok(Parts {
            signature: signature::es256(span(16))?.cpu_us,
            code: totp::check(span(40))?.cpu_us,
            commit: self.commits.shared(span(4))?.cpu_us,
            message: self.messages.shared(span(4))?.cpu_us,
            verification: self.verifications.shared(span(8))?.cpu_us,
            call: empty_calls(trips, callers).await?.cpu_us,
            post: http_calls(trips, callers).await?.cpu_us,
            trip,
        })
    }
}

impl Parts {
    /// The mean of what was measured before and after.
    #[must_use]
    pub fn and(self, after: Self) -> Self {
        let mean = f64::midpoint;
        Self {
            signature: mean(self.signature, after.signature),
            commit: mean(self.commit, after.commit),
            message: mean(self.message, after.message),
            verification: mean(self.verification, after.verification),
            code: mean(self.code, after.code),
            call: mean(self.call, after.call),
            post: mean(self.post, after.post),
            trip: mean(self.trip, after.trip),
        }
    }

    /// Of a second factor: a signature, a commit shared by eight, a code that is checked, a call.
    pub const fn of_second_factor(&self) -> f64 {
        self.signature + self.commit + self.code + self.call
    }

    /// The same where sessions are in Redis.
    pub const fn of_second_factor_with_redis(&self) -> f64 {
        self.of_second_factor() + 2.0 * self.trip
    }

    /// Of a code that is sent: the rows that come and go with its message, a call, and one to the provider.
    pub const fn of_sending(&self) -> f64 {
        self.call + self.message + self.post
    }

    /// Of a code that is verified: a signature, the rows that come and go with it, a call.
    pub const fn of_verification(&self) -> f64 {
        self.signature + self.verification + self.call
    }

    /// Of a refresh token that is exchanged: a signature, a commit shared by eight, a call.
    pub const fn of_exchange(&self) -> f64 {
        self.signature + self.commit + self.call
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARTS: Parts = Parts {
        signature: 10.0,
        commit: 20.0,
        message: 50.0,
        verification: 30.0,
        code: 1.0,
        call: 15.0,
        post: 12.0,
        trip: 6.0,
    };

    #[test]
    fn sums_are_those_of_the_figures() {
        let sums = [
            PARTS.of_second_factor(),
            PARTS.of_second_factor_with_redis(),
            PARTS.of_sending(),
            PARTS.of_verification(),
            PARTS.of_exchange(),
        ];
        for (sum, expected) in sums.into_iter().zip([46.0, 58.0, 77.0, 55.0, 45.0]) {
            assert!((sum - expected).abs() < 1e-9, "{sum}");
        }
    }

    #[test]
    fn before_and_after_count_alike() {
        let after = Parts { commit: 40.0, ..PARTS };
        assert!((PARTS.and(after).of_exchange() - 55.0).abs() < 1e-9);
    }
}
