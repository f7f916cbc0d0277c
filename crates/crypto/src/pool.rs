//! A few threads for work that would hold up the async runtime, with a short line before them.

mod queue;

use std::{
    fmt,
    future::{Future, pending, poll_fn},
    num::NonZeroUsize,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::{Pin, pin},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    task::Poll,
    thread,
    time::{Duration, Instant},
};

use countersign_domain::port::PortError;

use self::queue::{Answer, Held, Pending, Queue};

/// How long an idle thread keeps its state.
const KEEP_WARM: Duration = Duration::from_secs(10);

/// How a pool is built.
#[derive(Clone, Copy, Debug)]
pub struct PoolOptions {
    /// What its threads are called, and what an outage names.
    pub name: &'static str,
    /// How many threads.
    pub threads: NonZeroUsize,
    /// How many jobs may wait when every thread is busy.
    pub queue: usize,
    /// A job that waited longer when a thread takes it is not run.
    pub max_wait: Duration,
    /// How long answers may be kept back while other jobs wait, and then until the next one is done. Whoever is woken runs on the same
    /// processors, and several of them together cost little more than one.
    pub hold: Duration,
}

/// As many as the machine, or its cgroup, lends us; at least one.
pub fn available_cores() -> NonZeroUsize {
    thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}

/// Threads that each own a reusable `S`, made when first needed and dropped after ten idle seconds.
///
/// Dropping the pool lets running jobs finish and forgets those that wait.
pub struct WorkPool<S> {
    shared: Arc<Shared<S>>,
    name: &'static str,
}

struct Shared<S> {
    line: Mutex<Line<S>>,
    arrived: Condvar,
    keep_warm: Duration,
}

struct Line<S> {
    queue: Queue<S>,
    held: Held,
    idle: usize,
    closed: bool,
}

impl<S> Shared<S> {
    fn line(&self) -> MutexGuard<'_, Line<S>> {
        // Jobs run outside the lock, so a panic cannot leave the line half changed.
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: Default + 'static> WorkPool<S> {
    /// Starts the threads.
    ///
    /// # Errors
    ///
    /// [`PortError::Unavailable`] if the system gives no thread.
    pub fn start(options: PoolOptions) -> Result<Self, PortError> {
        Self::start_warm(options, KEEP_WARM)
    }

    fn start_warm(options: PoolOptions, keep_warm: Duration) -> Result<Self, PortError> {
        let PoolOptions { name, threads, queue, max_wait, hold } = options;
        let line =
            Line { queue: Queue::new(queue, max_wait), held: Held::new(hold), idle: threads.get(), closed: false };
        let shared = Shared { line: Mutex::new(line), arrived: Condvar::new(), keep_warm };
        let pool = Self { shared: Arc::new(shared), name };
        for _ in 0..threads.get() {
            let shared = Arc::clone(&pool.shared);
            thread::Builder::new()
                .name(name.to_owned())
                .spawn(move || serve(&shared))
                .map_err(|error| PortError::Unavailable(name, Box::new(error)))?;
        }
        Ok(pool)
    }

    /// Runs `work` on one of the threads. If the returned future is dropped before a thread has taken the work, it is not done.
    ///
    /// # Errors
    ///
    /// [`PortError::Overloaded`], at once if the queue is full, later if the wait was too long; in both cases `work` has not
    /// run. [`PortError::Unavailable`] if `work` panicked.
    pub async fn run<T, F>(&self, work: F) -> Result<T, PortError>
    where
        T: Send + 'static,
        F: FnOnce(&mut S) -> T + Send + 'static,
    {
        self.run_unless(pending(), work).await
    }

    /// The same for somebody who may leave. If `left` ends before a thread has taken the work, it is not done; what was taken is finished
    /// and answered.
    ///
    /// # Errors
    ///
    /// As [`WorkPool::run`]; [`PortError::Abandoned`] if they left in time.
    pub async fn run_unless<T, F>(&self, left: impl Future<Output = ()>, work: F) -> Result<T, PortError>
    where
        T: Send + 'static,
        F: FnOnce(&mut S) -> T + Send + 'static,
    {
        let (job, mut answer) = Pending::new(work);
        let ticket = {
            let mut line = self.shared.line();
            let idle = line.idle;
            line.queue.push(Box::new(job), idle, Instant::now()).ok_or(PortError::Overloaded)?
        };
        self.shared.arrived.notify_one();
        let mut left = pin!(left);
        let first = poll_fn(|cx| match Pin::new(&mut answer).poll(cx) {
            Poll::Ready(answered) => Poll::Ready(Some(answered)),
            Poll::Pending => left.as_mut().poll(cx).map(|()| None),
        })
        .await;
        let answered = if let Some(answered) = first {
            answered
        } else {
            // Under the lock under which a thread takes it: it is one or the other.
            let given_up = self.shared.line().queue.leave(ticket);
            if given_up.is_some() {
                return Err(PortError::Abandoned);
            }
            answer.await
        };
        answered.unwrap_or_else(|gone| Err(PortError::Unavailable(self.name, Box::new(gone))))
    }
}

impl<S> WorkPool<S> {
    /// How many jobs wait for a thread.
    pub fn waiting(&self) -> usize {
        self.shared.line().queue.len()
    }
}

impl<S> Drop for WorkPool<S> {
    fn drop(&mut self) {
        let mut line = self.shared.line();
        line.closed = true;
        line.queue.clear();
        drop(line);
        self.shared.arrived.notify_all();
    }
}

impl<S> fmt::Debug for WorkPool<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkPool").field("name", &self.name).finish_non_exhaustive()
    }
}

/// The life of one thread.
fn serve<S: Default>(shared: &Shared<S>) {
    let mut state: Option<S> = None;
    let mut line = shared.line();
    loop {
        let (now, somebody_waits) = (Instant::now(), line.queue.len() > 0);
        let due = line.held.due(now, somebody_waits);
        if !due.is_empty() {
            drop(line);
            tell(due);
            line = shared.line();
            continue;
        }
        if line.closed {
            return;
        }
        let Some(job) = line.queue.take(now) else {
            // What was in it is shed: nobody waits, and what is held is due.
            if line.held.is_empty() {
                line = wait(shared, line, &mut state);
            }
            continue;
        };
        line.idle = line.idle.saturating_sub(1);
        drop(line);
        let warm = state.get_or_insert_with(S::default);
        let done = catch_unwind(AssertUnwindSafe(|| job.run(warm)));
        line = shared.line();
        line.idle += 1;
        match done {
            Ok(answer) => line.held.keep(answer, Instant::now()),
            // The panic hook has told the log; what the job left behind is not to be trusted.
            Err(_) => state = None,
        }
    }
}

/// Tells callers. One who panics when woken keeps nobody else from being told.
fn tell(answers: Vec<Answer>) {
    for answer in answers {
        drop(catch_unwind(AssertUnwindSafe(answer)));
    }
}

/// Waits for a job to arrive. A thread with nothing to drop waits without waking up in between.
fn wait<'a, S>(shared: &Shared<S>, line: MutexGuard<'a, Line<S>>, state: &mut Option<S>) -> MutexGuard<'a, Line<S>> {
    if state.is_none() {
        return shared.arrived.wait(line).unwrap_or_else(PoisonError::into_inner);
    }
    let (line, waited) = shared.arrived.wait_timeout(line, shared.keep_warm).unwrap_or_else(PoisonError::into_inner);
    if waited.timed_out() {
        *state = None;
    }
    line
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use std::{
        sync::mpsc,
        task::{Context, Waker},
    };

    use super::*;

    fn options(threads: usize, queue: usize) -> PoolOptions {
        let threads = NonZeroUsize::new(threads).unwrap();
        PoolOptions { name: "test", threads, queue, max_wait: Duration::from_secs(60), hold: Duration::ZERO }
    }

    fn pool(threads: usize, queue: usize) -> WorkPool<u32> {
        WorkPool::start(options(threads, queue)).unwrap()
    }

    /// Occupies the only thread until the returned sender is dropped.
    fn occupy(pool: &Arc<WorkPool<u32>>) -> (mpsc::Sender<()>, tokio::task::JoinHandle<Result<(), PortError>>) {
        let (release, gate) = mpsc::channel::<()>();
        let (entered, inside) = mpsc::channel();
        let worker = Arc::clone(pool);
        let task = tokio::spawn(async move {
            worker
                .run(move |_| {
                    entered.send(()).unwrap();
                    assert!(gate.recv().is_err());
                })
                .await
        });
        inside.recv().unwrap();
        (release, task)
    }

    fn poll_once<F: Future>(future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }

    #[tokio::test]
    async fn answers_and_keeps_the_state_of_its_thread() {
        let pool = pool(1, 4);
        for expected in 1..=3 {
            let count = pool
                .run(|count| {
                    *count += 1;
                    *count
                })
                .await
                .unwrap();
            assert_eq!(count, expected);
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_full_queue_sheds_at_once_and_the_rest_is_served() {
        let pool = Arc::new(pool(1, 2));
        let (release, busy) = occupy(&pool);
        let mut one = pin!(pool.run(|_| 1));
        let mut two = pin!(pool.run(|_| 2));
        assert!(poll_once(one.as_mut()).is_pending());
        assert!(poll_once(two.as_mut()).is_pending());
        assert_eq!(pool.waiting(), 2);
        assert!(matches!(poll_once(pin!(pool.run(|_| 3))), Poll::Ready(Err(PortError::Overloaded))));
        drop(release);
        assert_eq!((one.await.unwrap(), two.await.unwrap()), (1, 2));
        busy.await.unwrap().unwrap();
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_job_whose_caller_left_is_not_run() {
        let pool = Arc::new(pool(1, 2));
        let (release, busy) = occupy(&pool);
        {
            let mut left = pin!(pool.run(|_| panic!("nobody waits for this")));
            assert!(poll_once(left.as_mut()).is_pending());
        }
        drop(release);
        // The state would be gone had the panic happened.
        assert_eq!(pool.run(|count| *count).await.unwrap(), 0);
        assert_eq!(pool.waiting(), 0);
        busy.await.unwrap().unwrap();
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn who_leaves_before_a_thread_took_the_job_is_answered_at_once_and_it_is_not_run() {
        let pool = Arc::new(pool(1, 1));
        let (release, busy) = occupy(&pool);
        let (leave, left) = tokio::sync::oneshot::channel::<()>();
        let left = async { drop(left.await) };
        let mut waiting = pin!(pool.run_unless(left, |_| panic!("nobody waits for this")));
        assert!(poll_once(waiting.as_mut()).is_pending());
        drop(leave);
        assert!(matches!(waiting.await, Err::<(), _>(PortError::Abandoned)));
        assert_eq!(pool.waiting(), 0, "the seat is free at once");
        drop(release);
        busy.await.unwrap().unwrap();
        assert_eq!(pool.run(|count| *count).await.unwrap(), 0);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn who_leaves_while_the_job_runs_is_answered_what_came_of_it() {
        let pool = pool(1, 1);
        let (entered, inside) = mpsc::channel();
        let (release, gate) = mpsc::channel::<()>();
        let (leave, left) = tokio::sync::oneshot::channel::<()>();
        let left = async { drop(left.await) };
        let mut running = pin!(pool.run_unless(left, move |_| {
            entered.send(()).unwrap();
            assert!(gate.recv().is_err());
            7
        }));
        assert!(poll_once(running.as_mut()).is_pending());
        inside.recv().unwrap();
        drop(leave);
        assert!(poll_once(running.as_mut()).is_pending());
        drop(release);
        assert_eq!(running.await.unwrap(), 7);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_job_that_waited_too_long_is_answered_without_being_run() {
        let pool = Arc::new(pool(1, 2));
        let (release, busy) = occupy(&pool);
        // From here on any wait is too long.
        pool.shared.line().queue.max_wait = Duration::ZERO;
        let mut late = pin!(pool.run(|_| panic!("it has waited too long")));
        assert!(poll_once(late.as_mut()).is_pending());
        drop(release);
        assert!(matches!(late.await, Err::<(), _>(PortError::Overloaded)));
        busy.await.unwrap().unwrap();
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn answers_that_are_held_are_told_together_and_none_is_lost() {
        let hold = Duration::from_secs(3600);
        let pool = Arc::new(WorkPool::<u32>::start(PoolOptions { hold, ..options(1, 3) }).unwrap());
        assert_eq!(pool.run(|_| 1).await.unwrap(), 1, "nobody else waits");
        let (release, busy) = occupy(&pool);
        let (entered, inside) = mpsc::channel();
        let (go_on, gate) = mpsc::channel::<()>();
        let mut first = pin!(pool.run(|_| 2));
        let mut second = pin!(pool.run(move |_| {
            entered.send(()).unwrap();
            assert!(gate.recv().is_err());
            3
        }));
        assert!(poll_once(first.as_mut()).is_pending());
        assert!(poll_once(second.as_mut()).is_pending());
        drop(release);
        inside.recv().unwrap();
        assert!(poll_once(first.as_mut()).is_pending(), "it is done, and kept for the one that runs");
        drop(go_on);
        assert_eq!((first.await.unwrap(), second.await.unwrap()), (2, 3));
        busy.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn an_idle_thread_gives_its_state_up_and_still_serves() {
        let pool = WorkPool::<Option<mpsc::Sender<()>>>::start_warm(options(1, 1), Duration::from_millis(1)).unwrap();
        let (kept, dropped) = mpsc::channel();
        pool.run(move |state| *state = Some(kept)).await.unwrap();
        assert!(dropped.recv().is_err());
        assert!(pool.run(|state| state.is_none()).await.unwrap());
    }

    #[tokio::test]
    async fn survives_a_panic_with_fresh_state() {
        let pool = pool(1, 2);
        pool.run(|count| *count = 7).await.unwrap();
        let lost = pool.run(|_| panic!("on purpose")).await;
        assert!(matches!(lost, Err::<(), _>(PortError::Unavailable("test", _))));
        assert_eq!(pool.run(|count| *count).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn serves_with_no_queue_while_a_thread_is_idle() {
        assert_eq!(pool(1, 0).run(|_| 5).await.unwrap(), 5);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_dropped_pool_ends_its_threads() {
        let pool = pool(2, 2);
        let shared = Arc::downgrade(&pool.shared);
        drop(pool);
        while shared.strong_count() > 0 {
            thread::yield_now();
        }
    }
}
