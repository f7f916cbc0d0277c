//! What the yardsticks of written rows share: a database as the durable store has it, whose transactions eight share, and its trail.

use std::path::Path;

use rusqlite::Connection;

/// Operations that share a commit.
pub const GROUP: u64 = 8;

/// As many people take turns.
pub const PEOPLE: u64 = 6_000;

/// A database, which grows.
pub struct Rows(Connection);

impl Rows {
    /// Makes `file` in `dir`, with these tables and the trail.
    ///
    /// # Errors
    ///
    /// SQLite failed.
    pub fn create(dir: &Path, file: &str, tables: &str) -> anyhow::Result<Self> {
        let connection = Connection::open(dir.join(file))?;
        connection.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;")?;
        connection.execute_batch(
            "CREATE TABLE trail (id INTEGER PRIMARY KEY, at INTEGER NOT NULL, event TEXT NOT NULL, user TEXT NOT NULL,
                 client TEXT NOT NULL, link BLOB NOT NULL) STRICT;",
        )?;
        connection.execute_batch(tables)?;
        connection.set_prepared_statement_cache_capacity(32);
        Ok(Self(connection))
    }

    /// Does `work` in one transaction.
    ///
    /// # Errors
    ///
    /// SQLite failed.
    pub fn transact(&self, work: impl FnOnce(&Self) -> rusqlite::Result<()>) -> anyhow::Result<()> {
        self.execute("BEGIN IMMEDIATE", [])?;
        work(self)?;
        self.execute("COMMIT", [])?;
        Ok(())
    }

    /// Runs one statement; how many rows it changed.
    ///
    /// # Errors
    ///
    /// SQLite failed.
    pub fn execute(&self, sql: &str, values: impl rusqlite::Params) -> rusqlite::Result<usize> {
        self.0.prepare_cached(sql)?.execute(values)
    }

    /// One more row in the trail.
    ///
    /// # Errors
    ///
    /// SQLite failed.
    pub fn trail(&self, event: &str, at: i64) -> rusqlite::Result<()> {
        let sql = "INSERT INTO trail (at, event, user, client, link) VALUES (?1, ?2, ?3, ?4, ?5)";
        self.execute(sql, (at, event, "auth0|0123456789abcdefghijklmn", "bench-client", [7_u8; 32].as_slice()))
            .map(drop)
    }
}

/// A key as handles are: it begins with a time.
pub fn handle(number: u64) -> Vec<u8> {
    number.to_be_bytes().into_iter().chain(spread(number).repeat(3)).collect()
}

/// Spread like digests, so that rows land all over the tree.
pub fn spread(number: u64) -> [u8; 8] {
    number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes()
}
