//! The connections that read. In WAL mode they do not wait for the writer, nor it for them.
//!
//! The first is the writer's own, while it does not write. Its cache knows what it wrote; each commit empties the caches of the others,
//! which then fetch every page anew.
//!
//! Reading is done by the caller, at once: a few rows found by their keys take a fraction of what handing the work to another thread
//! and back would.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use countersign_domain::port::PortError;
use rusqlite::Connection;

use super::{DURABLE_STORE, port_error};

/// As many as may read at the same moment.
pub(super) struct Readers {
    // Dropped before the first: the last to close the file empties its log, which one that only reads cannot.
    others: Vec<Mutex<Connection>>,
    first: Arc<Mutex<Connection>>,
    turn: AtomicUsize,
}

impl Readers {
    /// `first` is the writer's, who holds it from the beginning of a transaction to its end.
    pub(super) fn new(first: Arc<Mutex<Connection>>, others: Vec<Connection>) -> Self {
        let others = others.into_iter().map(Mutex::new).collect();
        Self { first, others, turn: AtomicUsize::new(0) }
    }

    /// The writer's, who lets it go between transactions.
    pub(super) fn writers_own(&self) -> Arc<Mutex<Connection>> {
        Arc::clone(&self.first)
    }

    /// Reads with `work`, of one moment: after all that was answered before.
    pub(super) fn read<T>(&self, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, PortError> {
        self.read_statement(|connection| {
            connection.prepare_cached("BEGIN DEFERRED")?.execute([])?;
            let outcome = work(connection);
            // Not a rollback, after which SQLite prepares its statements anew.
            connection.prepare_cached("COMMIT")?.execute([])?;
            outcome
        })
    }

    /// Reads with one statement, which is a transaction by itself; with others only while it is at a row.
    pub(super) fn read_statement<T>(
        &self,
        statement: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, PortError> {
        let connection = self.free();
        let outcome = catch_unwind(AssertUnwindSafe(|| statement(&connection)));
        if !connection.is_autocommit()
            && let Err(error) = connection.execute_batch("ROLLBACK")
        {
            tracing::error!(%error, "a reading transaction was not ended");
        }
        match outcome {
            Ok(outcome) => outcome.map_err(port_error),
            // A panic costs its caller the answer, not everybody the connection.
            Err(_panic) => Err(PortError::Unavailable(DURABLE_STORE, Box::from("reading panicked"))),
        }
    }

    /// A connection nobody uses, or the one whose turn it is to be waited for. Not the writer's, which may wait for the disk.
    fn free(&self) -> MutexGuard<'_, Connection> {
        let mut all = std::iter::once(&*self.first).chain(&self.others);
        if let Some(free) = all.find_map(|connection| connection.try_lock().ok()) {
            return free;
        }
        let turn = self.turn.fetch_add(1, Ordering::Relaxed).checked_rem(self.others.len()).unwrap_or_default();
        self.others.get(turn).unwrap_or(&self.first).lock().unwrap_or_else(PoisonError::into_inner)
    }
}
