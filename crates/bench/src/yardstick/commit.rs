//! Commits of SQLite that wait for the disk: WAL, `synchronous = FULL`, as the durable store has it.

use std::{path::Path, time::Duration};

use rusqlite::Connection;

use crate::measure::{Measured, Row};

/// Logins that share a commit.
const GROUP: u64 = 8;

/// One row a transaction, and eight rows a transaction. With eight, CPU time and throughput are those of one row, latency is
/// that of the transaction.
///
/// # Errors
///
/// SQLite failed.
pub fn commits(dir: &Path, span: Duration) -> anyhow::Result<(Row, Row)> {
    let connection = Connection::open(dir.join("yardstick.db"))?;
    connection.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; \
         CREATE TABLE mark (digest BLOB PRIMARY KEY, at INTEGER NOT NULL) WITHOUT ROWID, STRICT",
    )?;
    let mut number = 0_i64;
    let mut group = |members: u64| -> anyhow::Result<()> {
        connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        for _ in 0..members {
            number += 1;
            // Spread like digests, so that rows land all over the tree.
            let digest = number.wrapping_mul(-7_046_029_254_386_353_131).to_be_bytes().repeat(4);
            connection.prepare_cached("INSERT INTO mark (digest, at) VALUES (?1, ?2)")?.execute((digest, number))?;
        }
        connection.prepare_cached("COMMIT")?.execute([])?;
        Ok(())
    };
    let pid = std::process::id();
    let alone = Measured { name: "SQLite commit", pid, callers: 1 }.in_a_row(span, 1, || group(1))?;
    let shared = Measured { name: "SQLite commit / 8", pid, callers: 1 }.in_a_row(span, GROUP, || group(GROUP))?;
    Ok((alone, shared))
}
