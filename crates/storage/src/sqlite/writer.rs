//! The one thread that writes.
//!
//! What waits is written in one transaction, so that many callers share one wait for the disk. A job that fails takes back only its own
//! rows: that takes savepoints, which cost more than a small job, and almost no job fails after its first change. So a transaction is
//! written without them, and once more with them if it comes to that. Nobody is answered before the commit.

mod job;

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

use countersign_domain::{audit::chain::AuditChain, port::PortError};
use rusqlite::Connection;
use tokio::sync::oneshot;

pub(super) use self::job::{Durability, Step};
use self::job::{Job, Look, Lost, Queued, Submitted};
use super::{
    DURABLE_STORE,
    queue::{Queue, Refused, Woken},
    transaction::Transaction,
    unwritten::{Batch, RIPE, Unwritten},
};

/// Most jobs in one transaction: what bounds how long a reader of the log and another process wait.
const BATCH: usize = 64;

/// As many durable jobs as are worth a commit of their own.
const GROUP: usize = 8;

/// How long they are gathered, at most, while several callers are there. Nobody notices two thousandths of a second, and the disk is
/// waited for once instead of several times.
const GATHER: Duration = Duration::from_millis(2);

/// The way to the thread.
pub(super) struct Writer {
    queue: Arc<Queue<Queued>>,
    thread: Option<JoinHandle<()>>,
    commits: Arc<AtomicU64>,
}

impl Writer {
    /// Starts the thread. At most `waiting` jobs wait.
    pub(super) fn start(
        connection: Arc<Mutex<Connection>>,
        chain: AuditChain,
        unwritten: Arc<Unwritten>,
        waiting: usize,
    ) -> std::io::Result<Self> {
        let queue = Arc::new(Queue::new(waiting));
        let commits = Arc::new(AtomicU64::new(0));
        let (jobs, count) = (Arc::clone(&queue), Arc::clone(&commits));
        let thread = std::thread::Builder::new().name("sqlite-writer".into()).spawn(move || {
            // However it ends: nobody waits for a thread that is gone.
            let _closing = Closing(&jobs);
            Loop { connection, chain, unwritten, full: true, commits: count }.run(&jobs);
        })?;
        Ok(Self { queue, thread: Some(thread), commits })
    }

    /// Transactions committed so far.
    pub(super) fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }

    /// Has `work` done, and waits until it is committed. It may be done twice, but only once of what is committed.
    pub(super) async fn submit<T: Send + 'static>(
        &self,
        durability: Durability,
        work: impl Fn(&Transaction<'_>) -> rusqlite::Result<Step<T>> + Send + 'static,
    ) -> Result<T, PortError> {
        let (caller, committed) = oneshot::channel();
        self.enqueue(durability, Box::new(Submitted::new(work, caller)))?;
        match committed.await {
            Ok(outcome) => outcome,
            Err(gone) => Err(PortError::Unavailable(DURABLE_STORE, Box::new(gone))),
        }
    }

    /// Has the thread look at what is unwritten, now and then.
    pub(super) fn wake(&self) -> Result<(), PortError> {
        self.enqueue(Durability::Session, Box::new(Look))
    }

    fn enqueue(&self, durability: Durability, job: Box<dyn Job>) -> Result<(), PortError> {
        let durable = durability == Durability::Full;
        self.queue.push(Queued { durability, job }, durable).map_err(|refused| match refused {
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
struct Closing<'a>(&'a Queue<Queued>);

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
    chain: AuditChain,
    unwritten: Arc<Unwritten>,
    /// Whether commits wait for the disk at the moment.
    full: bool,
    commits: Arc<AtomicU64>,
}

impl Loop {
    /// Jobs that wait for the disk are gathered for a moment while others come; the rest is done at once.
    fn run(mut self, jobs: &Queue<Queued>) {
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
    fn write(&mut self, batch: &mut Vec<Queued>) -> bool {
        let unwritten = Instant::now().checked_sub(RIPE).and_then(|ripe| self.unwritten.batch(ripe));
        if batch.is_empty() && unwritten.is_none() {
            return true;
        }
        // Whoever panicked with it only read.
        let connection = Arc::clone(&self.connection);
        let connection = connection.lock().unwrap_or_else(PoisonError::into_inner);
        let outcome = self.transact(&connection, batch, unwritten.as_ref());
        if let Err(Failed { why: error, .. }) = &outcome {
            tracing::error!(%error, jobs = batch.len(), "a transaction was not committed");
            if let Err(error) = roll_back(&connection) {
                tracing::error!(%error, "a transaction was not rolled back");
            }
        }
        // First: whoever reads while they hold the lock of what is unwritten waits for a connection.
        drop(connection);
        match (&outcome, &unwritten) {
            (Ok(()), Some(written)) => self.unwritten.committed(written),
            (Ok(()), None) => {}
            (Err(_), _) => self.unwritten.failed(),
        }
        let outcome = outcome
            .map_err(|Failed { why, committing }| Lost { undone: !committing || is_full(&why), why: Arc::new(why) });
        for Queued { job, .. } in batch.drain(..) {
            job.answer(outcome.clone());
        }
        outcome.is_ok()
    }

    fn transact(
        &mut self,
        connection: &Connection,
        batch: &mut [Queued],
        unwritten: Option<&Batch>,
    ) -> Result<(), Failed> {
        let full = batch.iter().any(|queued| queued.durability == Durability::Full);
        if full != self.full {
            // Not from the cache of statements: this pragma works when it is compiled, not when it runs.
            connection.execute_batch(if full { "PRAGMA synchronous = FULL" } else { "PRAGMA synchronous = NORMAL" })?;
            self.full = full;
        }
        if !self.commit(connection, batch, unwritten, Savepoints::None)? {
            roll_back(connection)?;
            self.commit(connection, batch, unwritten, Savepoints::EachJob)?;
        }
        self.commits.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// False: nothing is committed, since a job has changed something that is to be taken back, and there are no savepoints.
    fn commit(
        &self,
        connection: &Connection,
        batch: &mut [Queued],
        unwritten: Option<&Batch>,
        savepoints: Savepoints,
    ) -> Result<bool, Failed> {
        let transaction = Transaction::begin(connection, &self.chain)?;
        if let Some(unwritten) = unwritten {
            unwritten.write(connection)?;
        }
        for Queued { job, .. } in batch {
            if savepoints == Savepoints::EachJob {
                execute(connection, "SAVEPOINT job")?;
            }
            let (trail, changes) = (transaction.trail().get(), connection.total_changes());
            let keep = catch_unwind(AssertUnwindSafe(|| job.run(&transaction))).unwrap_or_else(|panic| {
                tracing::error!(panic = describe(panic.as_ref()), "a job panicked");
                false
            });
            if connection.is_autocommit() {
                // A full disk may make SQLite take back everything by itself, other callers' rows included.
                return Err(rusqlite::Error::SqliteFailure(
                    rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_ABORT_ROLLBACK),
                    Some("the engine rolled back by itself".into()),
                )
                .into());
            }
            match savepoints {
                Savepoints::None if !keep && connection.total_changes() != changes => return Ok(false),
                Savepoints::None => {}
                Savepoints::EachJob => {
                    if !keep {
                        execute(connection, "ROLLBACK TO job")?;
                        transaction.trail().set(trail);
                    }
                    execute(connection, "RELEASE job")?;
                }
            }
        }
        transaction.commit().map_err(|why| Failed { why, committing: true })?;
        Ok(true)
    }
}

/// Why a batch is not committed, or may not be.
struct Failed {
    why: rusqlite::Error,
    /// Whether it was being committed: until then nothing is in the file for good.
    committing: bool,
}

impl From<rusqlite::Error> for Failed {
    fn from(why: rusqlite::Error) -> Self {
        Self { why, committing: false }
    }
}

/// Whether there was no room. A commit counts from its last frame on, and that is not whole then. After any other failure, such as one of
/// waiting for the disk, it may be.
fn is_full(why: &rusqlite::Error) -> bool {
    why.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull)
}

/// Where a transaction can be taken back to, besides its beginning.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Savepoints {
    None,
    EachJob,
}

fn roll_back(connection: &Connection) -> rusqlite::Result<()> {
    if connection.is_autocommit() { Ok(()) } else { connection.execute_batch("ROLLBACK") }
}

fn execute(connection: &Connection, sql: &'static str) -> rusqlite::Result<()> {
    connection.prepare_cached(sql)?.execute([]).map(|_| ())
}

fn describe(panic: &(dyn Any + Send)) -> &'static str {
    panic.downcast_ref::<&'static str>().copied().unwrap_or("no message")
}

#[cfg(test)]
mod tests;
