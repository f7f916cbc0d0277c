//! Who waits for a thread, and who has waited too long. It holds no thread and asks no clock.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use countersign_domain::port::PortError;
use tokio::sync::oneshot;

/// Work together with the caller who waits for it.
pub(super) trait Job<S>: Send {
    /// Whether the caller has gone away.
    fn abandoned(&self) -> bool;
    /// Does the work; the caller is told later.
    fn run(self: Box<Self>, state: &mut S) -> Answer;
    /// Answers [`PortError::Overloaded`] without doing the work.
    fn shed(self: Box<Self>);
}

/// Tells a caller what came of their work.
pub(super) type Answer = Box<dyn FnOnce() + Send>;

/// Answers that are kept back for a moment, so that whoever waits for them is woken together.
pub(super) struct Held {
    answers: Vec<Answer>,
    since: Option<Instant>,
    hold: Duration,
}

impl Held {
    /// For `hold`.
    pub(super) const fn new(hold: Duration) -> Self {
        Self { answers: Vec::new(), since: None, hold }
    }

    /// One more, at `now`.
    pub(super) fn keep(&mut self, answer: Answer, now: Instant) {
        self.answers.push(answer);
        self.since.get_or_insert(now);
    }

    /// Whether nobody waits to be told.
    pub(super) const fn is_empty(&self) -> bool {
        self.answers.is_empty()
    }

    /// All that is to be told at `now`: everything if the first has been kept for long enough, or nobody waits for a thread; else nothing.
    pub(super) fn due(&mut self, now: Instant, somebody_waits: bool) -> Vec<Answer> {
        let is_due = |since| now.saturating_duration_since(since) >= self.hold;
        if somebody_waits && !self.since.is_some_and(is_due) {
            return Vec::new();
        }
        self.since = None;
        std::mem::take(&mut self.answers)
    }
}

/// The one kind of job there is.
pub(super) struct Pending<F, T> {
    work: F,
    answer: oneshot::Sender<Result<T, PortError>>,
}

impl<F, T> Pending<F, T> {
    pub(super) fn new(work: F) -> (Self, oneshot::Receiver<Result<T, PortError>>) {
        let (answer, receiver) = oneshot::channel();
        (Self { work, answer }, receiver)
    }
}

impl<S, T: Send + 'static, F: FnOnce(&mut S) -> T + Send> Job<S> for Pending<F, T> {
    fn abandoned(&self) -> bool {
        self.answer.is_closed()
    }

    fn run(self: Box<Self>, state: &mut S) -> Answer {
        let Self { work, answer } = *self;
        let done = work(state);
        // A caller who left while the work ran misses nothing.
        Box::new(move || drop(answer.send(Ok(done))))
    }

    fn shed(self: Box<Self>) {
        drop(self.answer.send(Err(PortError::Overloaded)));
    }
}

/// A place in the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ticket(u64);

struct Waiting<S> {
    ticket: Ticket,
    since: Instant,
    job: Box<dyn Job<S>>,
}

/// A bounded line of jobs, first come, first served.
pub(super) struct Queue<S> {
    waiting: VecDeque<Waiting<S>>,
    next: u64,
    capacity: usize,
    pub(super) max_wait: Duration,
}

impl<S> Queue<S> {
    pub(super) fn new(capacity: usize, max_wait: Duration) -> Self {
        Self { waiting: VecDeque::with_capacity(capacity), next: 0, capacity, max_wait }
    }

    /// Lines `job` up at `now`; `None` if no seat is free. `idle` threads about to take a job are seats too.
    pub(super) fn push(&mut self, job: Box<dyn Job<S>>, idle: usize, now: Instant) -> Option<Ticket> {
        let seats = self.capacity.saturating_add(idle);
        if self.waiting.len() >= seats {
            // Only now, because it costs a walk: callers who hung up must not keep others out.
            self.waiting.retain(|waiting| !waiting.job.abandoned());
        }
        if self.waiting.len() >= seats {
            return None;
        }
        let ticket = Ticket(self.next);
        self.next = self.next.wrapping_add(1);
        self.waiting.push_back(Waiting { ticket, since: now, job });
        Some(ticket)
    }

    /// Gives the place up; `None` if there is none any more: the job was taken, or shed.
    pub(super) fn leave(&mut self, ticket: Ticket) -> Option<Box<dyn Job<S>>> {
        let at = self.waiting.iter().position(|waiting| waiting.ticket == ticket)?;
        self.waiting.remove(at).map(|waiting| waiting.job)
    }

    /// The next job that is worth doing at `now`. Jobs nobody waits for vanish, jobs that waited too long are shed.
    pub(super) fn take(&mut self, now: Instant) -> Option<Box<dyn Job<S>>> {
        while let Some(Waiting { since, job, .. }) = self.waiting.pop_front() {
            if job.abandoned() {
                continue;
            }
            if now.saturating_duration_since(since) > self.max_wait {
                job.shed();
                continue;
            }
            return Some(job);
        }
        None
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn clear(&mut self) {
        self.waiting.clear();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    type Told = oneshot::Receiver<Result<u32, PortError>>;

    const MAX_WAIT: Duration = Duration::from_millis(500);

    fn queue(capacity: usize) -> Queue<u32> {
        Queue::new(capacity, MAX_WAIT)
    }

    fn job(value: u32) -> (Box<dyn Job<u32>>, Told) {
        let (job, answer) = Pending::new(move |state: &mut u32| {
            *state += 1;
            value
        });
        (Box::new(job), answer)
    }

    #[test]
    fn takes_jobs_in_order() {
        let (mut queue, now, mut state) = (queue(2), Instant::now(), 0);
        let ((one, mut first), (two, mut second)) = (job(1), job(2));
        assert!(queue.push(one, 0, now).is_some());
        assert!(queue.push(two, 0, now).is_some());
        queue.take(now).unwrap().run(&mut state)();
        assert_eq!(first.try_recv().unwrap().unwrap(), 1);
        queue.take(now).unwrap().run(&mut state)();
        assert_eq!(second.try_recv().unwrap().unwrap(), 2);
        assert!(queue.take(now).is_none());
        assert_eq!(state, 2);
    }

    #[test]
    fn answers_are_kept_until_the_first_was_kept_for_long_enough_or_nobody_waits() {
        let (mut held, start) = (Held::new(Duration::from_millis(6)), Instant::now());
        let due = |held: &mut Held, after, waits| {
            let now = start + Duration::from_millis(after);
            held.keep(Box::new(|| ()), now);
            held.due(now, waits).len()
        };
        let told = [0, 4, 6, 7, 12, 13].map(|after| due(&mut held, after, true));
        assert_eq!(told, [0, 0, 3, 0, 0, 3]);
        assert_eq!((due(&mut held, 14, true), due(&mut held, 15, false)), (0, 2));
        assert_eq!(held.due(start + Duration::from_secs(60), false).len(), 0);
        assert_eq!(due(&mut Held::new(Duration::ZERO), 0, true), 1, "at once");
    }

    #[test]
    fn sheds_a_job_that_waited_longer_than_allowed_and_not_a_moment_earlier() {
        let (mut queue, start) = (queue(2), Instant::now());
        let ((early, _kept), (late, mut shed)) = (job(1), job(2));
        queue.push(early, 0, start);
        assert!(queue.take(start + MAX_WAIT).is_some());
        queue.push(late, 0, start);
        assert!(queue.take(start + MAX_WAIT + Duration::from_nanos(1)).is_none());
        assert!(matches!(shed.try_recv().unwrap(), Err(PortError::Overloaded)));
    }

    #[test]
    fn refuses_when_all_seats_are_taken() {
        let (mut queue, now) = (queue(1), Instant::now());
        let jobs: Vec<_> = (0..4).map(job).collect();
        let mut answers = Vec::new();
        let mut taken = Vec::new();
        for (at, (job, answer)) in jobs.into_iter().enumerate() {
            // Two threads are idle for the first three jobs.
            taken.push(queue.push(job, if at < 3 { 2 } else { 0 }, now).is_some());
            answers.push(answer);
        }
        assert_eq!(taken, [true, true, true, false]);
    }

    #[test]
    fn callers_who_left_give_up_their_seat_and_are_never_served() {
        let (mut queue, now) = (queue(1), Instant::now());
        let ((gone, answer), (next, _kept)) = (job(1), job(2));
        assert!(queue.push(gone, 0, now).is_some());
        drop(answer);
        assert!(queue.push(next, 0, now).is_some());
        assert_eq!(queue.len(), 1);

        let (mut queue, (gone, answer)) = (self::queue(1), job(1));
        queue.push(gone, 0, now);
        drop(answer);
        assert!(queue.take(now).is_none());
    }

    #[test]
    fn who_leaves_gives_up_their_own_place_and_once_only() {
        let (mut queue, now, mut state) = (queue(3), Instant::now(), 0);
        let ((one, _first), (two, _second), (three, mut third)) = (job(1), job(2), job(3));
        let places: Vec<_> = [one, two, three].into_iter().map(|job| queue.push(job, 0, now).unwrap()).collect();
        assert!(queue.leave(places[1]).is_some());
        assert!(queue.leave(places[1]).is_none());
        assert!(queue.take(now).is_some());
        assert!(queue.leave(places[0]).is_none(), "it was taken: what has begun is finished");
        queue.take(now).unwrap().run(&mut state)();
        assert_eq!(third.try_recv().unwrap().unwrap(), 3);
    }
}
