//! The transaction that is being written.

use std::{cell::Cell, ops::Deref, time::Duration};

use countersign_domain::audit::chain::AuditChain;
use rusqlite::Connection;

use super::{
    audit::{self, TrailEnd},
    schema::BUSY,
};

/// How long emptying the log waits for those who read: everybody's writes wait along.
const PATIENCE: Duration = Duration::from_millis(200);

/// The connection within a transaction, and where the audit trail ends in it. Reading needs no more than the connection; rows of the
/// trail are written through this alone.
pub(super) struct Transaction<'a> {
    connection: &'a Connection,
    chain: &'a AuditChain,
    trail: Cell<TrailEnd>,
    forgets: Cell<bool>,
}

impl<'a> Transaction<'a> {
    /// Begins one, with SQLite's write lock.
    pub(super) fn begin(connection: &'a Connection, chain: &'a AuditChain) -> rusqlite::Result<Self> {
        connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        Ok(Self { connection, chain, trail: Cell::default(), forgets: Cell::default() })
    }

    /// What links the rows of the trail.
    pub(super) const fn chain(&self) -> &AuditChain {
        self.chain
    }

    /// Where the trail ends now.
    pub(super) const fn trail(&self) -> &Cell<TrailEnd> {
        &self.trail
    }

    /// A key is overwritten hereby, and is not to be in the log either once this is committed.
    pub(super) fn forgets(&self) {
        self.forgets.set(true);
    }

    /// Commits.
    pub(super) fn commit(self) -> rusqlite::Result<()> {
        audit::seal(self.connection, self.chain, self.trail.get())?;
        self.connection.prepare_cached("COMMIT")?.execute([])?;
        if self.forgets.get()
            && let Err(error) = empty_log(self.connection)
        {
            tracing::warn!(%error, "the log holds what was overwritten until it is copied the next time");
        }
        Ok(())
    }
}

/// Brings everything from the log into the file, and empties the log.
fn empty_log(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(PATIENCE)?;
    let busy = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0));
    connection.busy_timeout(BUSY)?;
    if busy? {
        Err(rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY), None))
    } else {
        Ok(())
    }
}

impl Deref for Transaction<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.connection
    }
}

#[cfg(test)]
mod tests {
    use countersign_domain::{
        audit::{AuditEvent, Event, verify::Verifier},
        testing::toy_chain,
        time::Timestamp,
    };

    use super::*;
    use crate::sqlite::schema::open_writer;

    #[test]
    fn what_is_taken_back_leaves_no_gap_in_the_trail() {
        let folder = tempfile::tempdir().unwrap();
        let chain = toy_chain();
        let connection = open_writer(&folder.path().join("data.db"), &chain).unwrap();
        let write = |transaction: &Transaction<'_>, why: &str| {
            let event = AuditEvent::of_deployment(Event::OtpLogin, Timestamp::from_millis(1)).because(why.to_owned());
            audit::insert(transaction, &event).unwrap();
        };
        for round in ["first", "second"] {
            let transaction = Transaction::begin(&connection, &chain).unwrap();
            for _ in 0..2 {
                // Taken back before and after a row that stays.
                let before = transaction.trail().get();
                connection.execute_batch("SAVEPOINT job").unwrap();
                write(&transaction, "taken back");
                connection.execute_batch("ROLLBACK TO job; RELEASE job").unwrap();
                transaction.trail().set(before);
                write(&transaction, round);
            }
            transaction.commit().unwrap();
        }
        let mut verifier = Verifier::new(chain);
        let rows = audit::list(&connection, 0, 100).unwrap();
        for row in &rows {
            verifier.take(row).unwrap();
        }
        assert_eq!(verifier.end().unwrap().id, 5);
        let why: Vec<_> = rows[1..].iter().map(|row| row.detail.as_deref().unwrap()).collect();
        assert_eq!(why, ["first", "first", "second", "second"]);
        assert_eq!(rows.iter().filter(|row| row.seal.is_some()).count(), 1);
    }
}
