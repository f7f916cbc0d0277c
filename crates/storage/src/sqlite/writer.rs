//! The one thread that writes.
//!
//! What waits is written in one transaction, so that many callers share one wait for the disk. Each job has a savepoint of its
//! own: one that fails takes back only its own rows. Nobody is answered before the commit.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use countersign_domain::port::PortError;
use rusqlite::Connection;
use tokio::sync::oneshot;

use super::{
    DURABLE_STORE, port_error,
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
type Run = Box<dyn FnOnce(&Connection) -> (bool, Answer) + Send>;

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
    queue: Option<SyncSender<Job>>,
    thread: Option<JoinHandle<()>>,
    commits: Arc<AtomicU64>,
}

impl Writer {
    /// Starts the thread. At most `waiting` jobs wait.
    pub(super) fn start(connection: Connection, unwritten: Arc<Unwritten>, waiting: usize) -> std::io::Result<Self> {
        let (queue, jobs) = sync_channel(waiting);
        let commits = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&commits);
        let thread = std::thread::Builder::new()
            .name("sqlite-writer".into())
            .spawn(move || Loop { connection, unwritten, full: true, commits: count }.run(&jobs))?;
        Ok(Self { queue: Some(queue), thread: Some(thread), commits })
    }

    /// Transactions committed so far.
    pub(super) fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }

    /// Has `work` done, and waits until it is committed.
    pub(super) async fn submit<T: Send + 'static>(
        &self,
        durability: Durability,
        work: impl FnOnce(&Connection) -> rusqlite::Result<Step<T>> + Send + 'static,
    ) -> Result<T, PortError> {
        let (answer, committed) = oneshot::channel();
        self.enqueue(durability, move |connection| {
            let (keep, outcome) = match work(connection) {
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
        run: impl FnOnce(&Connection) -> (bool, Answer) + Send + 'static,
    ) -> Result<(), PortError> {
        let queue = self.queue.as_ref().ok_or(PortError::Overloaded)?;
        queue.try_send(Job { durability, run: Box::new(run) }).map_err(|error| match error {
            TrySendError::Full(_) => PortError::Overloaded,
            TrySendError::Disconnected(_) => {
                PortError::Unavailable(DURABLE_STORE, Box::from("the thread that writes has ended"))
            }
        })
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // Closing the queue ends the thread once everything in it is written.
        self.queue = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that writes ended in a panic");
        }
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
    connection: Connection,
    unwritten: Arc<Unwritten>,
    /// Whether commits wait for the disk at the moment.
    full: bool,
    commits: Arc<AtomicU64>,
}

impl Loop {
    /// Jobs that wait for the disk are gathered for a moment while others come; the rest is done at once.
    fn run(mut self, jobs: &Receiver<Job>) {
        let (mut light, mut durable) = (Vec::with_capacity(BATCH), Vec::with_capacity(BATCH));
        let mut crowd = Crowd::default();
        let mut until = Instant::now();
        let mut resting = true;
        loop {
            let first = if !durable.is_empty() {
                jobs.recv_timeout(until.saturating_duration_since(Instant::now()))
            } else if resting {
                jobs.recv().map_err(|_| RecvTimeoutError::Disconnected)
            } else {
                jobs.recv_timeout(RIPE)
            };
            let ended = matches!(first, Err(RecvTimeoutError::Disconnected));
            let quiet = matches!(first, Err(RecvTimeoutError::Timeout)) && durable.is_empty();
            let mut came = 0;
            let mut next = first.ok();
            while let Some(job) = next {
                came += 1;
                if job.durability == Durability::Full {
                    if durable.is_empty() {
                        until = Instant::now() + GATHER;
                    }
                    durable.push(job);
                } else {
                    light.push(job);
                }
                next = if light.len() < BATCH && durable.len() < BATCH { jobs.try_recv().ok() } else { None };
            }
            crowd.saw(came);
            if !light.is_empty() {
                self.write(&mut light);
            }
            let enough = !crowd.is_there() || durable.len() >= GROUP || ended || Instant::now() >= until;
            if !durable.is_empty() && enough {
                self.write(&mut durable);
            }
            if ended {
                self.unwritten.hurry();
            }
            if quiet || ended {
                self.write(&mut Vec::new());
            }
            if ended {
                return;
            }
            resting = if quiet { self.unwritten.rest() } else { false };
        }
    }

    fn write(&mut self, batch: &mut Vec<Job>) {
        let mut answers = Vec::with_capacity(batch.len());
        let unwritten = Instant::now().checked_sub(RIPE).and_then(|ripe| self.unwritten.batch(ripe));
        if batch.is_empty() && unwritten.is_none() {
            return;
        }
        let outcome = self.transact(batch, unwritten.as_ref(), &mut answers);
        if let (Ok(()), Some(written)) = (&outcome, &unwritten) {
            self.unwritten.committed(written);
        }
        if let Err(error) = &outcome {
            tracing::error!(%error, jobs = answers.len(), "a transaction was not committed");
            if !self.connection.is_autocommit()
                && let Err(error) = self.connection.execute_batch("ROLLBACK")
            {
                tracing::error!(%error, "a transaction was not rolled back");
            }
        }
        let outcome = outcome.map_err(|error| Lost(Arc::new(error)));
        for answer in answers {
            answer(outcome.clone());
        }
        // Jobs that did not come to run are dropped here, which tells their callers that the store is not available.
        batch.clear();
    }

    fn transact(
        &mut self,
        batch: &mut Vec<Job>,
        unwritten: Option<&Batch>,
        answers: &mut Vec<Answer>,
    ) -> rusqlite::Result<()> {
        let full = batch.iter().any(|job| job.durability == Durability::Full);
        if full != self.full {
            // Not from the cache of statements: this pragma works when it is compiled, not when it runs.
            self.connection.execute_batch(if full {
                "PRAGMA synchronous = FULL"
            } else {
                "PRAGMA synchronous = NORMAL"
            })?;
            self.full = full;
        }
        self.execute("BEGIN IMMEDIATE")?;
        if let Some(unwritten) = unwritten {
            unwritten.write(&self.connection)?;
        }
        for job in batch.drain(..) {
            self.execute("SAVEPOINT job")?;
            let keep = match catch_unwind(AssertUnwindSafe(|| (job.run)(&self.connection))) {
                Ok((keep, answer)) => {
                    answers.push(answer);
                    keep
                }
                Err(panic) => {
                    tracing::error!(panic = describe(panic.as_ref()), "a job panicked");
                    false
                }
            };
            if self.connection.is_autocommit() {
                // A full disk may make SQLite take back everything by itself, other callers' rows included.
                return Err(rusqlite::Error::SqliteFailure(
                    rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_ABORT_ROLLBACK),
                    Some("the engine rolled back by itself".into()),
                ));
            }
            if !keep {
                self.execute("ROLLBACK TO job")?;
            }
            self.execute("RELEASE job")?;
        }
        self.execute("COMMIT")?;
        self.commits.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn execute(&self, sql: &'static str) -> rusqlite::Result<()> {
        self.connection.prepare_cached(sql)?.execute([]).map(|_| ())
    }
}

fn describe(panic: &(dyn Any + Send)) -> &'static str {
    panic.downcast_ref::<&'static str>().copied().unwrap_or("no message")
}
