//! How many rows strangers may cause. Each row that costs nothing but a wrong password is charged; what is over is counted, and the next
//! row says how many there were.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use crate::time::Timestamp;

/// Rows in a moment.
const CAPACITY: u64 = 200;
/// How long until one more may be written: ten a second.
const REFILL: Duration = Duration::from_millis(100);

/// The rows that strangers may cause in this process.
#[derive(Debug)]
pub struct AuditBudget(Mutex<State>);

#[derive(Debug)]
struct State {
    left: u64,
    /// When `left` was right.
    at: Timestamp,
    /// Rows that were not written since the last one that was.
    untold: u64,
}

impl Default for AuditBudget {
    fn default() -> Self {
        Self(Mutex::new(State { left: CAPACITY, at: Timestamp::from_millis(0), untold: 0 }))
    }
}

impl AuditBudget {
    /// Whether a row may be written at `now`, and how many it stands for besides itself.
    pub fn take(&self, now: Timestamp) -> Option<u64> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let refill = REFILL.as_millis();
        let came = u64::try_from(now.since(state.at).as_millis() / refill).unwrap_or(u64::MAX);
        if came > 0 {
            state.left = state.left.saturating_add(came).min(CAPACITY);
            state.at = if state.left == CAPACITY {
                now
            } else {
                state.at.plus(REFILL.saturating_mul(u32::try_from(came).unwrap_or(u32::MAX)))
            };
        }
        if state.left == 0 {
            state.untold += 1;
            return None;
        }
        state.left -= 1;
        Some(std::mem::take(&mut state.untold))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_leaves_few_rows_and_every_one_is_counted() {
        let budget = AuditBudget::default();
        let (mut rows, mut told) = (0, 0);
        // Ten thousand in ten seconds.
        for n in 0..10_000 {
            if let Some(untold) = budget.take(Timestamp::from_millis(1_000_000 + n)) {
                rows += 1;
                told += 1 + untold;
            }
        }
        assert!((295..=305).contains(&rows), "{rows}");
        let last = budget.take(Timestamp::from_millis(1_100_000)).expect("the flood is over");
        assert_eq!(told + last, 10_000);
    }

    #[test]
    fn a_few_have_a_row_each() {
        let budget = AuditBudget::default();
        assert!((0..100).all(|n| budget.take(Timestamp::from_millis(n)) == Some(0)));
    }
}
