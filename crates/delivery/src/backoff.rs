//! How long a message waits between tries.

use std::time::Duration;

const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(60);

/// The wait after `attempts` tries: 1 s, 2 s, 4 s and so on, with up to a quarter more by `random`, never above 60 s.
pub(crate) fn delay(attempts: u32, random: u8) -> Duration {
    let doubled = FIRST.saturating_mul(1_u32.checked_shl(attempts.saturating_sub(1)).unwrap_or(u32::MAX)).min(LONGEST);
    let jitter = doubled.mul_f64(f64::from(random) / 255.0 / 4.0);
    (doubled + jitter).min(LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_from_one_second_and_stops_at_sixty() {
        let seconds: Vec<u64> = (1..=8).map(|attempts| delay(attempts, 0).as_secs()).collect();
        assert_eq!(seconds, [1, 2, 4, 8, 16, 32, 60, 60]);
        for attempts in [0, 33, u32::MAX] {
            assert!((FIRST..=LONGEST).contains(&delay(attempts, 255)), "{attempts}");
        }
    }

    #[test]
    fn is_spread_over_a_quarter() {
        assert_eq!(delay(3, 255), Duration::from_secs(5));
        assert!((Duration::from_secs(4)..Duration::from_secs(5)).contains(&delay(3, 128)));
    }
}
