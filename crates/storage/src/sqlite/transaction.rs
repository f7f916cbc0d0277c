//! The transaction that is being written.

use std::{cell::Cell, ops::Deref};

use rusqlite::Connection;

use super::audit::{self, TrailEnd};

/// The connection within a transaction, and where the audit trail ends in it. Reading needs no more than the connection; rows of the
/// trail are written through this alone.
pub(super) struct Transaction<'a> {
    connection: &'a Connection,
    trail: Cell<TrailEnd>,
}

impl<'a> Transaction<'a> {
    /// The one that `connection` has just begun.
    pub(super) fn begun(connection: &'a Connection) -> Self {
        Self { connection, trail: Cell::default() }
    }

    /// Where the trail ends now.
    pub(super) const fn trail(&self) -> &Cell<TrailEnd> {
        &self.trail
    }

    /// What is due before the commit.
    pub(super) fn finish(&self) -> rusqlite::Result<()> {
        audit::seal(self.connection, self.trail.get())
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
        let connection = open_writer(&folder.path().join("data.db"), &toy_chain()).unwrap();
        let write = |transaction: &Transaction<'_>, why: &str| {
            let event = AuditEvent::of_deployment(Event::OtpLogin, Timestamp::from_millis(1)).because(why.to_owned());
            audit::insert(transaction, &event).unwrap();
        };
        for round in ["first", "second"] {
            connection.execute_batch("BEGIN IMMEDIATE").unwrap();
            let transaction = Transaction::begun(&connection);
            for _ in 0..2 {
                // Taken back before and after a row that stays.
                let before = transaction.trail().get();
                connection.execute_batch("SAVEPOINT job").unwrap();
                write(&transaction, "taken back");
                connection.execute_batch("ROLLBACK TO job; RELEASE job").unwrap();
                transaction.trail().set(before);
                write(&transaction, round);
            }
            transaction.finish().unwrap();
            connection.execute_batch("COMMIT").unwrap();
        }
        let mut verifier = Verifier::new(toy_chain());
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
