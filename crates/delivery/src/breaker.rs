//! Keeps messages away from a provider that fails.
//!
//! Ours, because it must be counted by calls, say whether it admits one without letting it through, and ask the Clock port.
//!
//! ```text
//!            10 of the last 20 failed              10 s passed: one call may find out
//!  Closed ────────────────────────────▶ Open ──────────────────────────────────────▶ HalfOpen
//!    ▲                                   ▲                                             │  │
//!    │                                   └───────────────── it failed ─────────────────┘  │
//!    └──────────────────────────────────── it succeeded ──────────────────────────────────┘
//! ```

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use countersign_domain::time::Timestamp;

/// Calls that are looked back at.
const WINDOW: usize = 20;
/// Half of them: with so many failures the rate is reached, whatever the rest of the window brings.
const FAILURES: usize = WINDOW / 2;
/// How long it stays open.
const PAUSE: Duration = Duration::from_secs(10);

/// A circuit breaker, counted by calls.
#[derive(Debug)]
pub(crate) struct Breaker(Mutex<State>);

#[derive(Debug)]
enum State {
    /// Calls go through; `true` is one that failed.
    Closed(VecDeque<bool>),
    /// No call goes through.
    Open { until: Timestamp },
    /// One call is under way to find out.
    HalfOpen,
}

/// What became of the breaker by a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// Nothing new.
    None,
    /// Calls are kept away from now on.
    Opened,
    /// Calls go through again.
    Closed,
}

/// The right to one call.
#[derive(Debug)]
pub(crate) struct Permit<'a> {
    breaker: &'a Breaker,
    /// Set while this is the call that finds out: when the breaker could have let it through.
    probing_since: Option<Timestamp>,
}

impl Breaker {
    /// A closed one.
    pub(crate) const fn new() -> Self {
        Self(Mutex::new(State::Closed(VecDeque::new())))
    }

    /// Whether a call would go through.
    pub(crate) fn admits(&self, now: Timestamp) -> bool {
        match *self.state() {
            State::Closed(_) => true,
            State::Open { until } => now >= until,
            State::HalfOpen => false,
        }
    }

    /// Lets a call through, or not.
    pub(crate) fn admit(&self, now: Timestamp) -> Option<Permit<'_>> {
        let mut state = self.state();
        match *state {
            State::Closed(_) => Some(Permit { breaker: self, probing_since: None }),
            State::Open { until } if now >= until => {
                *state = State::HalfOpen;
                Some(Permit { breaker: self, probing_since: Some(until) })
            }
            State::Open { .. } | State::HalfOpen => None,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Permit<'_> {
    /// The provider did its work.
    pub(crate) fn succeeded(mut self) -> Change {
        let mut state = self.breaker.state();
        if self.probing_since.take().is_some() {
            *state = State::Closed(VecDeque::new());
            return Change::Closed;
        }
        if let State::Closed(calls) = &mut *state {
            push(calls, false);
        }
        Change::None
    }

    /// What came of it says nothing of the provider. If this was to find out, the next call may.
    pub(crate) fn found_nothing(self) -> Change {
        drop(self);
        Change::None
    }

    /// The provider did not do its work.
    pub(crate) fn failed(mut self, now: Timestamp) -> Change {
        let mut state = self.breaker.state();
        let tripped = match &mut *state {
            // A call of the time before: what it found is known already.
            State::Open { .. } | State::HalfOpen => self.probing_since.take().is_some(),
            State::Closed(calls) => {
                push(calls, true);
                calls.iter().filter(|failed| **failed).count() >= FAILURES
            }
        };
        if tripped {
            *state = State::Open { until: now.plus(PAUSE) };
            return Change::Opened;
        }
        Change::None
    }
}

impl Drop for Permit<'_> {
    /// A call that was abandoned found nothing out: the next one may.
    fn drop(&mut self) {
        if let Some(until) = self.probing_since {
            *self.breaker.state() = State::Open { until };
        }
    }
}

fn push(calls: &mut VecDeque<bool>, failed: bool) {
    if calls.len() == WINDOW {
        calls.pop_front();
    }
    calls.push_back(failed);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const START: Timestamp = Timestamp::from_millis(1_700_000_000_000);

    fn after(seconds: u64) -> Timestamp {
        START.plus(Duration::from_secs(seconds))
    }

    fn open() -> Breaker {
        let breaker = Breaker::new();
        for _ in 0..FAILURES {
            breaker.admit(START).unwrap().failed(START);
        }
        breaker
    }

    #[test]
    fn opens_when_half_of_the_last_twenty_calls_failed() {
        let breaker = Breaker::new();
        for _ in 0..9 {
            assert_eq!(breaker.admit(START).unwrap().failed(START), Change::None);
            breaker.admit(START).unwrap().succeeded();
        }
        assert!(breaker.admits(START));
        assert_eq!(breaker.admit(START).unwrap().failed(START), Change::Opened);
        assert!(!breaker.admits(START));
        assert!(breaker.admit(START).is_none());
    }

    #[test]
    fn failures_further_back_than_twenty_calls_are_forgotten() {
        let breaker = Breaker::new();
        for _ in 0..9 {
            breaker.admit(START).unwrap().failed(START);
        }
        for _ in 0..WINDOW {
            breaker.admit(START).unwrap().succeeded();
        }
        for _ in 0..9 {
            assert_eq!(breaker.admit(START).unwrap().failed(START), Change::None);
        }
        assert!(breaker.admits(START));
    }

    #[test]
    fn lets_one_call_find_out_after_ten_seconds() {
        let breaker = open();
        assert!(!breaker.admits(START.plus(Duration::from_millis(9_999))));
        let probe = breaker.admit(after(10)).unwrap();
        assert!(breaker.admit(after(10)).is_none());
        assert_eq!(probe.succeeded(), Change::Closed);
        assert!(breaker.admits(after(10)));
    }

    #[test]
    fn stays_open_for_ten_more_seconds_when_the_call_fails() {
        let breaker = open();
        assert_eq!(breaker.admit(after(12)).unwrap().failed(after(13)), Change::Opened);
        assert!(!breaker.admits(after(22)));
        assert!(breaker.admits(after(23)));
    }

    #[test]
    fn an_abandoned_call_leaves_the_question_to_the_next() {
        let breaker = open();
        drop(breaker.admit(after(10)).unwrap());
        assert!(breaker.admit(after(10)).is_some());
    }

    #[test]
    fn a_call_that_finds_nothing_counts_neither_way() {
        let breaker = Breaker::new();
        for _ in 0..9 {
            breaker.admit(START).unwrap().failed(START);
        }
        for _ in 0..WINDOW {
            assert_eq!(breaker.admit(START).unwrap().found_nothing(), Change::None);
        }
        assert_eq!(breaker.admit(START).unwrap().failed(START), Change::Opened);
        assert_eq!(breaker.admit(after(10)).unwrap().found_nothing(), Change::None);
        let probe = breaker.admit(after(10)).unwrap();
        assert!(!breaker.admits(after(10)), "the question is still open");
        assert_eq!(probe.succeeded(), Change::Closed);
    }

    #[test]
    fn calls_from_before_it_opened_change_nothing() {
        let breaker = Breaker::new();
        let (late, later) = (breaker.admit(START).unwrap(), breaker.admit(START).unwrap());
        for _ in 0..FAILURES {
            breaker.admit(START).unwrap().failed(START);
        }
        assert_eq!(late.failed(after(9)), Change::None);
        assert_eq!(later.succeeded(), Change::None);
        assert!(breaker.admits(after(10)));
    }
}
