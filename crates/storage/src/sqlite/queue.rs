//! The line before the thread that writes.
//!
//! Waking a sleeping thread costs about as much as the work of a small job. So the thread says how many jobs are worth it, and
//! whoever adds one wakes it only then.

use std::{
    collections::VecDeque,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// What waits, in two lines: work that needs no wait for the disk, and work that does.
pub(super) struct Queue<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
    most: usize,
}

struct State<T> {
    light: VecDeque<T>,
    durable: VecDeque<T>,
    /// As many durable jobs as wake the thread; a light one always does.
    wanted: usize,
    /// Whether the thread waits at the moment: telling it anything costs a system call.
    sleeps: bool,
    closed: bool,
}

/// Why a job was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// As many wait as may.
    Full,
    /// The thread has ended.
    Closed,
}

/// What woke the thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Woken {
    /// There is something to do.
    Work,
    /// Nothing came.
    Timeout,
    /// Nothing will come any more, and nothing waits.
    Ended,
}

impl<T> Queue<T> {
    /// A line for at most `most` jobs.
    pub(super) fn new(most: usize) -> Self {
        let state = State { light: VecDeque::new(), durable: VecDeque::new(), wanted: 1, sleeps: false, closed: false };
        Self { state: Mutex::new(state), changed: Condvar::new(), most }
    }

    /// Adds a job at the end of its line.
    pub(super) fn push(&self, job: T, is_durable: bool) -> Result<(), Refused> {
        let mut state = self.lock();
        if state.closed {
            return Err(Refused::Closed);
        }
        if state.light.len() + state.durable.len() >= self.most {
            return Err(Refused::Full);
        }
        let wakes = if is_durable {
            state.durable.push_back(job);
            state.durable.len() >= state.wanted
        } else {
            state.light.push_back(job);
            true
        };
        // Those who come later find it awake, or about to be.
        if wakes && std::mem::take(&mut state.sleeps) {
            drop(state);
            self.changed.notify_one();
        }
        Ok(())
    }

    /// Takes no more jobs; the thread is told to finish.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    /// Waits until there is a job of any kind, for at most `limit` if there is one.
    pub(super) fn wait_for_any(&self, limit: Option<Duration>) -> Woken {
        let mut state = self.lock();
        state.wanted = 1;
        let idle = |state: &mut State<T>| {
            state.sleeps = state.light.is_empty() && state.durable.is_empty() && !state.closed;
            state.sleeps
        };
        let mut state = match limit {
            None => self.changed.wait_while(state, idle).unwrap_or_else(PoisonError::into_inner),
            Some(limit) => {
                self.changed.wait_timeout_while(state, limit, idle).unwrap_or_else(PoisonError::into_inner).0
            }
        };
        state.sleeps = false;
        match (state.light.is_empty() && state.durable.is_empty(), state.closed) {
            (false, _) => Woken::Work,
            (true, true) => Woken::Ended,
            (true, false) => Woken::Timeout,
        }
    }

    /// Waits until `until` for `wanted` durable jobs, or for a light one.
    pub(super) fn wait_for_company(&self, wanted: usize, until: Instant) {
        let mut state = self.lock();
        state.wanted = wanted;
        let limit = until.saturating_duration_since(Instant::now());
        let alone = |state: &mut State<T>| {
            state.sleeps = state.light.is_empty() && state.durable.len() < wanted && !state.closed;
            state.sleeps
        };
        let (mut state, _) =
            self.changed.wait_timeout_while(state, limit, alone).unwrap_or_else(PoisonError::into_inner);
        (state.wanted, state.sleeps) = (1, false);
    }

    /// Takes up to `most` of the jobs that need no wait for the disk.
    pub(super) fn take_light(&self, most: usize, into: &mut Vec<T>) {
        let mut state = self.lock();
        let count = state.light.len().min(most);
        into.extend(state.light.drain(..count));
    }

    /// Takes up to `most` of the jobs that do.
    pub(super) fn take_durable(&self, most: usize, into: &mut Vec<T>) {
        let mut state = self.lock();
        let count = state.durable.len().min(most);
        into.extend(state.durable.drain(..count));
    }

    /// How many wait that do.
    pub(super) fn durable(&self) -> usize {
        self.lock().durable.len()
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        // Every change is made whole before the lock is given back.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_more_than_may_wait_is_refused_and_none_after_the_end() {
        let queue = Queue::new(2);
        assert_eq!(queue.push(1, true), Ok(()));
        assert_eq!(queue.push(2, false), Ok(()));
        assert_eq!(queue.push(3, true), Err(Refused::Full));
        queue.close();
        assert_eq!(queue.push(3, true), Err(Refused::Closed));
    }

    #[test]
    fn what_waits_at_the_end_is_still_done() {
        let queue = Queue::new(2);
        queue.push(1, true).unwrap();
        queue.close();
        assert_eq!(queue.wait_for_any(None), Woken::Work);
        let mut taken = Vec::new();
        queue.take_durable(8, &mut taken);
        assert_eq!((taken, queue.wait_for_any(None)), (vec![1], Woken::Ended));
    }

    #[test]
    fn company_ends_the_wait_and_so_does_a_light_job() {
        let far = Instant::now() + Duration::from_secs(600);
        let queue = Queue::new(8);
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| queue.wait_for_company(2, far));
            queue.push(1, true).unwrap();
            queue.push(2, true).unwrap();
            waiting.join().unwrap();
        });
        let mut taken = Vec::new();
        queue.take_durable(8, &mut taken);
        assert_eq!(taken, [1, 2]);
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| queue.wait_for_company(2, far));
            queue.push(3, true).unwrap();
            queue.push(4, false).unwrap();
            waiting.join().unwrap();
        });
        queue.take_light(8, &mut taken);
        assert_eq!((taken, queue.durable()), (vec![1, 2, 4], 1));
    }
}
