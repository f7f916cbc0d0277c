//! The result, as a table and as JSON.

use std::{fmt, fs, path::Path};

use anyhow::Context as _;
use serde::Serialize;

use crate::{
    measure::Row,
    verdict::{Bound, Footprint, Verdict},
};

/// Everything one run found. Its JSON form grows, but names do not change.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Where it ran.
    pub machine: Machine,
    /// Whether it was a quick run, whose figures are rough.
    pub quick: bool,
    /// What the parts cost by themselves.
    pub yardsticks: Vec<Row>,
    /// What the server did.
    pub server: Vec<Row>,
    /// Memory and start.
    pub footprint: Footprint,
    /// The figures to reach.
    pub verdicts: Vec<Verdict>,
}

/// Where a run was.
#[derive(Debug, Serialize)]
pub struct Machine {
    /// The processor's name.
    pub processor: String,
    /// Cores.
    pub cores: usize,
    /// The kernel.
    pub kernel: String,
}

impl Machine {
    /// This one.
    pub fn this() -> Self {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        let processor = read("/proc/cpuinfo")
            .lines()
            .find_map(|line| line.strip_prefix("model name")?.split_once(": ").map(|(_, name)| name.to_owned()))
            .unwrap_or_default();
        Self {
            processor,
            cores: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
        }
    }
}

impl Report {
    /// Writes the JSON form.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub fn write(&self, path: &Path) -> anyhow::Result<()> {
        if let Some(dir) = path.parent() {
            fs::create_dir_all(dir)?;
        }
        fs::write(path, serde_json::to_vec_pretty(self)?).with_context(|| format!("cannot write {}", path.display()))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Machine { processor, cores, kernel } = &self.machine;
        let size = if self.quick { "quick run, figures are rough" } else { "full run" };
        writeln!(f, "{processor}, {cores} cores, Linux {kernel}, {size}\n")?;
        for (title, rows) in [("yardsticks", &self.yardsticks), ("server", &self.server)] {
            writeln!(
                f,
                "{title:<28} {:>7} {:>7} {:>10} {:>10} {:>10} {:>10} {:>10} {:>8}",
                "ops", "callers", "ops/s", "p50 us", "p95 us", "p99 us", "CPU us/op", "peak MB"
            )?;
            for row in rows {
                writeln!(
                    f,
                    "{:<28} {:>7} {:>7} {:>10.0} {:>10.1} {:>10.1} {:>10.1} {:>10.1} {:>8.1}",
                    row.name,
                    row.operations,
                    row.callers,
                    row.per_second,
                    row.p50_us,
                    row.p95_us,
                    row.p99_us,
                    row.cpu_us,
                    row.peak_mb
                )?;
            }
            writeln!(f)?;
        }
        let starts: Vec<_> = self.footprint.ready_seconds.iter().map(|seconds| format!("{seconds:.3}")).collect();
        writeln!(f, "starts, s: {}\n", starts.join(" "))?;
        writeln!(f, "{:<40} {:>9}   {:<12}", "figure", "measured", "to reach")?;
        for verdict in &self.verdicts {
            let sign = match verdict.bound {
                Bound::AtLeast => ">=",
                Bound::AtMost => "<=",
            };
            let reached = if verdict.reached { "reached" } else { "MISSED" };
            writeln!(f, "{:<40} {:>9.3}   {sign} {:<9.3} {reached}", verdict.figure, verdict.measured, verdict.target)?;
        }
        Ok(())
    }
}
