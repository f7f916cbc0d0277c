//! The figures to reach, as ratios of what one run measured.

use std::time::Duration;

use serde::Serialize;

use crate::measure::{Row, megabytes};

/// Bytes of a mebibyte.
const MIB: u64 = 1024 * 1024;

/// What was found out about the process itself.
#[derive(Clone, Debug, Serialize)]
pub struct Footprint {
    /// Resident before the first request, in megabytes.
    pub idle_mb: f64,
    /// The most resident under load, in megabytes.
    pub peak_mb: f64,
    /// What a thousand clients cost that wait for a device, in megabytes.
    pub streams_mb: f64,
    /// Hashes made at the same time.
    pub hashing_permits: usize,
    /// Start to ready with an existing store, each start, in seconds.
    pub ready_seconds: Vec<f64>,
}

impl Footprint {
    /// Start to ready, the slowest of all starts.
    fn slowest_start(&self) -> f64 {
        self.ready_seconds.iter().copied().fold(0.0, f64::max)
    }
}

/// A duration in seconds, as [`Footprint`] wants it.
pub fn seconds(duration: Duration) -> f64 {
    duration.as_secs_f64()
}

/// A figure beside the one to reach.
#[derive(Clone, Debug, Serialize)]
pub struct Verdict {
    /// What is compared.
    pub figure: &'static str,
    /// What was measured.
    pub measured: f64,
    /// The bound.
    pub target: f64,
    /// Whether the bound is the least or the most that is good.
    pub bound: Bound,
    /// Whether it was reached.
    pub reached: bool,
}

/// Which side of the target is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Bound {
    /// The target or more.
    AtLeast,
    /// The target or less.
    AtMost,
}

impl Verdict {
    fn new(figure: &'static str, bound: Bound, measured: f64, target: f64) -> Self {
        let reached = match bound {
            Bound::AtLeast => measured >= target,
            Bound::AtMost => measured <= target,
        };
        Self { figure, measured, target, bound, reached }
    }
}

/// Compares. Figures whose rows were not measured are left out.
pub fn judge(rows: &[Row], footprint: &Footprint) -> Vec<Verdict> {
    let row = |name: &str| rows.iter().find(|row| row.name == name);
    let cpu = |name: &str| row(name).map(|row| row.cpu_us);
    let ratio = |part: Option<f64>, whole: Option<f64>| Some(part? / whole?);
    let in_parts = |name: &str| row(name).and_then(Row::in_parts);
    let rate = |name: &str| row(name).map(|row| row.per_second);
    // Each login signs twice.
    let two_tokens = rate("RS256, every core").map(|signatures| signatures / 2.0);
    let permits = u64::try_from(footprint.hashing_permits).unwrap_or(u64::MAX);
    let memory_limit = 128.0 + megabytes(permits.saturating_mul(19 * MIB));
    let most = |figure, measured: Option<f64>, target| Some(Verdict::new(figure, Bound::AtMost, measured?, target));
    [
        ratio(rate("full login, gRPC"), rate("argon2id"))
            .map(|measured| Verdict::new("full login / argon2id, rate", Bound::AtLeast, measured, 0.90)),
        most("second factor, gRPC / yardsticks, CPU", in_parts("second factor, gRPC"), 2.5),
        most("the same with Redis / yardsticks, CPU", in_parts("second factor, gRPC, Redis"), 2.5),
        most("second factor, HTTP / gRPC, CPU", ratio(cpu("second factor, HTTP"), cpu("second factor, gRPC")), 1.4),
        most(
            "the same with Redis, HTTP / gRPC, CPU",
            ratio(cpu("second factor, HTTP, Redis"), cpu("second factor, gRPC, Redis")),
            1.4,
        ),
        most("code by SMS / yardsticks, CPU", in_parts("code by SMS, gRPC"), 2.5),
        most("code verification / yardsticks, CPU", in_parts("code verification, gRPC"), 2.5),
        most("refresh / yardsticks, CPU", in_parts("refresh, gRPC"), 2.5),
        ratio(rate("second factor, two RS256"), two_tokens)
            .map(|measured| Verdict::new("two RS256 tokens / signatures, rate", Bound::AtLeast, measured, 0.80)),
        most("health check beside them, p99, ms", row("health check beside them").map(|row| row.p99_us / 1e3), 20.0),
        cpu("introspection, gRPC")
            .map(|us| Verdict::new("introspections per second of CPU", Bound::AtLeast, 1e6 / us, 5_000.0)),
        most(
            "device's answer to who watches, p50, ms",
            row("device's answer, watched").map(|row| row.p50_us / 1e3),
            50.0,
        ),
        most("policy decision, CPU, us", cpu("policy decision"), 5.0),
        most("5000 waiting streams, MB", Some(footprint.streams_mb * 5.0), 64.0),
        most("idle memory, MB", Some(footprint.idle_mb), 40.0),
        most("memory under load, MB", Some(footprint.peak_mb), memory_limit),
        most("start to ready, slowest, s", Some(footprint.slowest_start()), 0.3),
    ]
    .into_iter()
    .flatten()
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &'static str, per_second: f64, cpu_us: f64) -> Row {
        Row {
            name,
            operations: 1,
            callers: 1,
            per_second,
            p50_us: 0.0,
            p95_us: 0.0,
            p99_us: 0.0,
            cpu_us,
            peak_mb: 0.0,
            parts_us: None,
        }
    }

    fn footprint() -> Footprint {
        Footprint {
            idle_mb: 20.0,
            peak_mb: 100.0,
            streams_mb: 10.0,
            hashing_permits: 2,
            ready_seconds: vec![0.1, 0.31, 0.2],
        }
    }

    #[test]
    fn a_second_factor_is_compared_with_the_sum_of_its_yardsticks() {
        let rows = [row("second factor, gRPC", 0.0, 250.0).beside(100.0)];
        let verdicts = judge(&rows, &footprint());
        let verdict = verdicts.iter().find(|verdict| verdict.figure.starts_with("second factor, gRPC")).unwrap();
        assert!((verdict.measured - 2.5).abs() < 1e-9);
        assert!(verdict.reached);
    }

    #[test]
    fn what_was_not_measured_is_not_judged() {
        let figures: Vec<_> = judge(&[], &footprint()).iter().map(|verdict| verdict.figure).collect();
        assert_eq!(
            figures,
            ["5000 waiting streams, MB", "idle memory, MB", "memory under load, MB", "start to ready, slowest, s"]
        );
    }

    #[test]
    fn the_slowest_start_counts() {
        let verdicts = judge(&[], &footprint());
        let start = verdicts.last().unwrap();
        assert!((start.measured - 0.31).abs() < 1e-9);
        assert!(!start.reached);
    }
}
