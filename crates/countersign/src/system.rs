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

/// Whether whoever started this process has it ignore that its terminal goes (SIGHUP), as `nohup` does.
pub fn ignores_hang_up() -> bool {
    std::fs::read_to_string("/proc/self/status").is_ok_and(|status| ignored_signals(&status) & 1 == 1)
}

/// The signals that a process ignores, the first in the lowest bit.
fn ignored_signals(status: &str) -> u64 {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default()
}

/// Who runs this process: `process 4242 of ann (1000)`. The system says so, not the caller's environment.
pub fn operator() -> String {
    use std::os::unix::fs::MetadataExt as _;
    let process = std::process::id();
    // The owner of the process, in the one place that needs no call of the C library.
    let Ok(owner) = std::fs::metadata("/proc/self").map(|process| process.uid()) else {
        return format!("process {process}");
    };
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    match name_of(owner, &users) {
        Some(name) => format!("process {process} of {name} ({owner})"),
        None => format!("process {process} of user {owner}"),
    }
}

/// The name that the lines of `/etc/passwd` give to a user.
fn name_of(user: u32, passwd: &str) -> Option<&str> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let id: u32 = fields.nth(1)?.parse().ok()?;
        (id == user).then_some(name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_has_the_name_of_their_line() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nbroken\nann:x:1000:1000::/home/ann:/bin/sh\n";
        assert_eq!(name_of(1000, passwd), Some("ann"));
        assert_eq!(name_of(0, passwd), Some("root"));
        assert_eq!(name_of(7, passwd), None);
    }

    #[test]
    fn the_ignored_signals_are_a_mask() {
        assert_eq!(ignored_signals("SigBlk:\t0000000000000000\nSigIgn:\t0000000000001001\nSigCgt:\tf"), 0x1001);
        assert_eq!(ignored_signals("Name:\tcountersign"), 0);
    }

    #[test]
    fn the_operator_is_a_process_of_somebody() {
        assert!(operator().starts_with(&format!("process {} of ", std::process::id())), "{}", operator());
    }
}
