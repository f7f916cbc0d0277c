//! What the kernel says about a process: its CPU time and its memory (proc(5)).

use std::{
    fs,
    time::{Duration, Instant},
};

use anyhow::Context as _;

/// The unit of times in `/proc/PID/stat`: a hundredth of a second on every architecture this runs on.
const TICK: Duration = Duration::from_millis(10);

/// CPU time, user and system, of the process and of all its threads, those that ended included. It is exact to 10 ms.
///
/// # Errors
///
/// There is no such process.
pub fn cpu_time(pid: u32) -> anyhow::Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).context("the process has ended")?;
    let ticks = ticks(&stat).context("/proc/PID/stat does not read as documented")?;
    Ok(TICK.saturating_mul(ticks))
}

/// `utime` and `stime`. The name before them may hold blanks and parentheses, so counting starts at the last parenthesis.
fn ticks(stat: &str) -> Option<u32> {
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split(' ').skip(11).map(str::parse::<u32>);
    Some(fields.next()?.ok()? + fields.next()?.ok()?)
}

/// Waits until a server does nothing by itself any more. One on a new database makes signing keys for later, as much work as thousands of
/// logins, and of none of them; and counts of what was sent are written up to a second after it was.
///
/// # Errors
///
/// It has ended, or does not come to rest.
pub async fn at_rest(pid: u32) -> anyhow::Result<()> {
    const PATIENCE: Duration = Duration::from_secs(20);
    const LOOK: Duration = Duration::from_millis(1500);
    /// What little it may do in between; the kernel tells no less.
    const NEXT_TO_NOTHING: Duration = Duration::from_millis(10);
    let start = Instant::now();
    let mut tick = tokio::time::interval(LOOK);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    tick.tick().await;
    let mut before = cpu_time(pid)?;
    loop {
        tick.tick().await;
        let now = cpu_time(pid)?;
        if now.saturating_sub(before) <= NEXT_TO_NOTHING {
            return Ok(());
        }
        anyhow::ensure!(start.elapsed() < PATIENCE, "the server does not come to rest");
        before = now;
    }
}

/// Memory of a process, in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    /// Resident now.
    pub resident: u64,
    /// The most that was resident since the start, or since [`forget_peak`].
    pub peak: u64,
}

/// The memory of the process.
///
/// # Errors
///
/// There is no such process.
pub fn memory(pid: u32) -> anyhow::Result<Memory> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).context("the process has ended")?;
    let field = |name| bytes(&status, name).with_context(|| format!("/proc/PID/status does not tell {name}"));
    Ok(Memory { resident: field("VmRSS:")?, peak: field("VmHWM:")? })
}

fn bytes(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1024)
}

/// Begins a new peak. Where the kernel refuses, peaks are those since the start, which is never too little.
pub fn forget_peak(pid: u32) {
    drop(fs::write(format!("/proc/{pid}/clear_refs"), "5"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_blanks_and_parentheses_does_not_shift_the_fields() {
        let stat = "7 (a (b) c) S 1 7 7 0 -1 4194304 103 0 0 0 12 30 0 0 20 0 1 0 599307";
        assert_eq!(ticks(stat), Some(42));
    }

    #[test]
    fn a_status_line_reads_in_bytes() {
        assert_eq!(bytes("VmHWM:\t   2048 kB\nVmRSS:\t    1024 kB\n", "VmRSS:"), Some(1_048_576));
    }

    #[test]
    fn this_process_has_used_some_memory() {
        assert!(memory(std::process::id()).unwrap().peak > 0);
    }
}
