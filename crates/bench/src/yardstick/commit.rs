//! Commits of SQLite that wait for the disk: WAL, `synchronous = FULL`, as the durable store has it.

use std::{path::Path, time::Duration};

use rusqlite::Connection;

use crate::measure::{Measured, Row};

/// Logins that share a commit.
const GROUP: u64 = 8;

/// A database for commits, which grows with each.
pub struct Commits {
    connection: Connection,
    number: i64,
}

impl Commits {
    /// Makes one in `dir`.
    ///
    /// # Errors
    ///
    /// SQLite failed.
    pub fn open(dir: &Path) -> anyhow::Result<Self> {
        let connection = Connection::open(dir.join("yardstick.db"))?;
        connection.execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; \
             CREATE TABLE mark (digest BLOB PRIMARY KEY, at INTEGER NOT NULL) WITHOUT ROWID, STRICT",
        )?;
        Ok(Self { connection, number: 0 })
    }

    /// One row a transaction.
    ///
    /// # Errors
    ///
    /// SQLite failed.
    pub fn alone(&mut self, span: Duration) -> anyhow::Result<Row> {
        measured("SQLite commit").in_a_row(span, 1, || self.commit(1))
    }

    /// Eight rows a transaction. CPU time and throughput are those of one row, latency is that of the transaction.
    ///
    /// # Errors
    ///
    /// SQLite failed.
    pub fn shared(&mut self, span: Duration) -> anyhow::Result<Row> {
        measured("SQLite commit / 8").in_a_row(span, GROUP, || self.commit(GROUP))
    }

    fn commit(&mut self, members: u64) -> anyhow::Result<()> {
        self.connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        for _ in 0..members {
            self.number += 1;
            // Spread like digests, so that rows land all over the tree.
            let digest = self.number.wrapping_mul(-7_046_029_254_386_353_131).to_be_bytes().repeat(4);
            let mut insert = self.connection.prepare_cached("INSERT INTO mark (digest, at) VALUES (?1, ?2)")?;
            insert.execute((digest, self.number))?;
        }
        self.connection.prepare_cached("COMMIT")?.execute([])?;
        Ok(())
    }
}

fn measured(name: &'static str) -> Measured {
    Measured { name, pid: std::process::id(), callers: 1 }
}
