//! The one thread that writes.
//!
//! What waits is written in one transaction, so that many callers share one wait for the disk. Each job has a savepoint of its
//! own: one that fails takes back only its own rows. Nobody is answered before the commit.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use countersign_domain::port::PortError;
use rusqlite::Connection;
use tokio::sync::oneshot;

use super::{
    DURABLE_STORE, port_error,
    queue::{Queue, Refused, Woken},
    transaction::Transaction,
    unwritten::{Batch, RIPE, Unwritten},
};

/// Most jobs in one transaction: what bounds how long a reader of the log and another process wait.
const BATCH: usize = 64;

/// As many durable jobs as are worth a commit of their own.
const GROUP: usize = 8;

/// How long they are gathered, at most, while several callers are there. Nobody notices a thousandth of a second, and the disk is
/// waited for once instead of several times.
const GATHER: Duration = Duration::from_millis(1);

/// What a job did.
pub(super) enum Step<T> {
    /// Its changes stay.
    Keep(T),
    /// Its changes are taken back.
    Undo(T),
}

/// What a job needs of its transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Durability {
    /// Its effect need not survive a loss of power: losing an MFA transaction, a challenge or a bucket only makes a person start again. The file
    /// stays sound either way.
    Session,
    /// Its effect must survive.
    Full,
}

/// Tells a caller what became of their job, once it is known whether the batch was committed.
type Answer = Box<dyn FnOnce(Result<(), Lost>) + Send>;

/// Runs a job. The answer to "are its changes to be kept?", and the way back to its caller.
type Run = Box<dyn FnOnce(&Transaction<'_>) -> (bool, Answer) + Send>;

struct Job {
    durability: Durability,
    run: Run,
}

/// The batch was not committed, or nobody knows.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the transaction was not committed")]
struct Lost(#[source] Arc<rusqlite::Error>);

/// The way to the thread.
pub(super) struct Writer {
    queue: Arc<Queue<Job>>,
    thread: Option<JoinHandle<()>>,
    commits: Arc<AtomicU64>,
}

impl Writer {
    /// Starts the thread. At most `waiting` jobs wait.
    pub(super) fn start(
        connection: Arc<Mutex<Connection>>,
        unwritten: Arc<Unwritten>,
        waiting: usize,
    ) -> std::io::Result<Self> {
        let queue = Arc::new(Queue::new(waiting));
        let commits = Arc::new(AtomicU64::new(0));
        let (jobs, count) = (Arc::clone(&queue), Arc::clone(&commits));
        let thread = std::thread::Builder::new().name("sqlite-writer".into()).spawn(move || {
            // However it ends: nobody waits for a thread that is gone.
            let _closing = Closing(&jobs);
            Loop { connection, unwritten, full: true, commits: count }.run(&jobs);
        })?;
        Ok(Self { queue, thread: Some(thread), commits })
    }

    /// Transactions committed so far.
    pub(super) fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }

    /// Has `work` done, and waits until it is committed.
    pub(super) async fn submit<T: Send + 'static>(
        &self,
        durability: Durability,
        work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<Step<T>> + Send + 'static,
    ) -> Result<T, PortError> {
        let (answer, committed) = oneshot::channel();
        self.enqueue(durability, move |transaction| {
            let (keep, outcome) = match work(transaction) {
                Ok(Step::Keep(value)) => (true, Ok(value)),
                Ok(Step::Undo(value)) => (false, Ok(value)),
                Err(error) => (false, Err(port_error(error))),
            };
            let answer: Answer = Box::new(move |batch| {
                let outcome = match batch {
                    Ok(()) => outcome,
                    Err(lost) => Err(PortError::Unavailable(DURABLE_STORE, Box::new(lost))),
                };
                // A caller that has gone does not want the answer.
                drop(answer.send(outcome));
            });
            (keep, answer)
        })?;
        match committed.await {
            Ok(outcome) => outcome,
            Err(gone) => Err(PortError::Unavailable(DURABLE_STORE, Box::new(gone))),
        }
    }

    /// Has the thread look at what is unwritten, now and then.
    pub(super) fn wake(&self) -> Result<(), PortError> {
        self.enqueue(Durability::Session, |_| (false, Box::new(|_| {})))
    }

    fn enqueue(
        &self,
        durability: Durability,
        run: impl FnOnce(&Transaction<'_>) -> (bool, Answer) + Send + 'static,
    ) -> Result<(), PortError> {
        let durable = durability == Durability::Full;
        self.queue.push(Job { durability, run: Box::new(run) }, durable).map_err(|refused| match refused {
            Refused::Full => PortError::Overloaded,
            Refused::Closed => PortError::Unavailable(DURABLE_STORE, Box::from("the thread that writes has ended")),
        })
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // Closing the queue ends the thread once everything in it is written.
        self.queue.close();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that writes ended in a panic");
        }
    }
}

/// Closes the queue when the thread ends, and lets go of what waits in it: that tells its callers.
struct Closing<'a>(&'a Queue<Job>);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        self.0.close();
        let mut left = Vec::new();
        self.0.take_light(usize::MAX, &mut left);
        self.0.take_durable(usize::MAX, &mut left);
    }
}

/// Whether several callers were there a moment ago. Who is alone need not wait for company.
#[derive(Default)]
struct Crowd(usize);

impl Crowd {
    fn saw(&mut self, came: usize) {
        self.0 = came.max(self.0.saturating_sub(1));
    }

    fn is_there(&self) -> bool {
        self.0 > 1
    }
}

struct Loop {
    /// Others read with it between transactions.
    connection: Arc<Mutex<Connection>>,
    unwritten: Arc<Unwritten>,
    /// Whether commits wait for the disk at the moment.
    full: bool,
    commits: Arc<AtomicU64>,
}

impl Loop {
    /// Jobs that wait for the disk are gathered for a moment while others come; the rest is done at once.
    fn run(mut self, jobs: &Queue<Job>) {
        let mut batch = Vec::with_capacity(BATCH);
        let mut crowd = Crowd::default();
        let mut resting = true;
        loop {
            match jobs.wait_for_any(if resting { None } else { Some(RIPE) }) {
                Woken::Work => resting = false,
                Woken::Timeout => {
                    self.write(&mut batch);
                    resting = self.unwritten.rest();
                    continue;
                }
                Woken::Ended => {
                    self.unwritten.finish();
                    while self.write(&mut batch) && !self.unwritten.rest() {}
                    return;
                }
            }
            let until = Instant::now() + GATHER;
            loop {
                jobs.take_light(BATCH, &mut batch);
                if !batch.is_empty() {
                    self.write(&mut batch);
                }
                let waiting = jobs.durable();
                if waiting == 0 || waiting >= GROUP || !crowd.is_there() || Instant::now() >= until {
                    break;
                }
                jobs.wait_for_company(GROUP, until);
            }
            jobs.take_durable(BATCH, &mut batch);
            crowd.saw(batch.len());
            if !batch.is_empty() {
                self.write(&mut batch);
            }
        }
    }

    /// Writes what is there, and tells its callers. False: it was not committed.
    fn write(&mut self, batch: &mut Vec<Job>) -> bool {
        let mut answers = Vec::with_capacity(batch.len());
        let unwritten = Instant::now().checked_sub(RIPE).and_then(|ripe| self.unwritten.batch(ripe));
        if batch.is_empty() && unwritten.is_none() {
            return true;
        }
        // Whoever panicked with it only read.
        let connection = Arc::clone(&self.connection);
        let connection = connection.lock().unwrap_or_else(PoisonError::into_inner);
        let outcome = self.transact(&connection, batch, unwritten.as_ref(), &mut answers);
        if let (Ok(()), Some(written)) = (&outcome, &unwritten) {
            self.unwritten.committed(written);
        }
        if let Err(error) = &outcome {
            tracing::error!(%error, jobs = answers.len(), "a transaction was not committed");
            if !connection.is_autocommit()
                && let Err(error) = connection.execute_batch("ROLLBACK")
            {
                tracing::error!(%error, "a transaction was not rolled back");
            }
        }
        drop(connection);
        let outcome = outcome.map_err(|error| Lost(Arc::new(error)));
        for answer in answers {
            answer(outcome.clone());
        }
        // Jobs that did not come to run are dropped here, which tells their callers that the store is not available.
        batch.clear();
        outcome.is_ok()
    }

    fn transact(
        &mut self,
        connection: &Connection,
        batch: &mut Vec<Job>,
        unwritten: Option<&Batch>,
        answers: &mut Vec<Answer>,
    ) -> rusqlite::Result<()> {
        let full = batch.iter().any(|job| job.durability == Durability::Full);
        if full != self.full {
            // Not from the cache of statements: this pragma works when it is compiled, not when it runs.
            connection.execute_batch(if full { "PRAGMA synchronous = FULL" } else { "PRAGMA synchronous = NORMAL" })?;
            self.full = full;
        }
        let transaction = Transaction::begin(connection)?;
        if let Some(unwritten) = unwritten {
            unwritten.write(connection)?;
        }
        for job in batch.drain(..) {
            execute(connection, "SAVEPOINT job")?;
            let trail = transaction.trail().get();
            let keep = match catch_unwind(AssertUnwindSafe(|| (job.run)(&transaction))) {
                Ok((keep, answer)) => {
                    answers.push(answer);
                    keep
                }
                Err(panic) => {
                    tracing::error!(panic = describe(panic.as_ref()), "a job panicked");
                    false
                }
            };
            if connection.is_autocommit() {
                // A full disk may make SQLite take back everything by itself, other callers' rows included.
                return Err(rusqlite::Error::SqliteFailure(
                    rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_ABORT_ROLLBACK),
                    Some("the engine rolled back by itself".into()),
                ));
            }
            if !keep {
                execute(connection, "ROLLBACK TO job")?;
                transaction.trail().set(trail);
            }
            execute(connection, "RELEASE job")?;
        }
        transaction.commit()?;
        self.commits.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

fn execute(connection: &Connection, sql: &'static str) -> rusqlite::Result<()> {
    connection.prepare_cached(sql)?.execute([]).map(|_| ())
}

fn describe(panic: &(dyn Any + Send)) -> &'static str {
    panic.downcast_ref::<&'static str>().copied().unwrap_or("no message")
}
