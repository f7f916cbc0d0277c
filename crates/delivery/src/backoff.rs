//! How long a message waits between tries.

use std::time::Duration;

const FIRST: Duration = Duration::from_secs(1);

/// The longest wait of what somebody waits for.
pub(crate) const URGENT: Duration = Duration::from_secs(60);
/// The longest wait of what is still good in days: a provider that comes back after hours is not met by everything at once.
pub(crate) const PATIENT: Duration = Duration::from_secs(900);
/// The longest wait that a provider may ask for, of what is still good in days.
pub(crate) const ASKED: Duration = Duration::from_secs(3600);

/// The wait after `attempts` tries: 1 s, 2 s, 4 s and so on, with up to a quarter more by `random`, never above `longest`.
pub(crate) fn delay(attempts: u32, longest: Duration, random: u8) -> Duration {
    let doubled = FIRST.saturating_mul(1_u32.checked_shl(attempts.saturating_sub(1)).unwrap_or(u32::MAX)).min(longest);
    let jitter = doubled.mul_f64(f64::from(random) / 255.0 / 4.0);
    (doubled + jitter).min(longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_from_one_second_and_stops_at_sixty() {
        let seconds: Vec<u64> = (1..=8).map(|attempts| delay(attempts, URGENT, 0).as_secs()).collect();
        assert_eq!(seconds, [1, 2, 4, 8, 16, 32, 60, 60]);
        for attempts in [0, 33, u32::MAX] {
            assert!((FIRST..=URGENT).contains(&delay(attempts, URGENT, 255)), "{attempts}");
        }
    }

    #[test]
    fn what_can_wait_stops_at_a_quarter_of_an_hour() {
        let seconds: Vec<u64> = (9..=12).map(|attempts| delay(attempts, PATIENT, 0).as_secs()).collect();
        assert_eq!(seconds, [256, 512, 900, 900]);
    }

    #[test]
    fn is_spread_over_a_quarter() {
        assert_eq!(delay(3, URGENT, 255), Duration::from_secs(5));
        assert!((Duration::from_secs(4)..Duration::from_secs(5)).contains(&delay(3, URGENT, 128)));
    }
}
