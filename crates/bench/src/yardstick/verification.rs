//! The rows of a code that is verified in bare SQLite, under the same conditions as the [commit](super::commit): the mark of the login, what
//! its authenticator remembers, a row of the trail, and the challenge and the pending login, which go.

use std::{path::Path, time::Duration};

use anyhow::ensure;

use super::rows::{GROUP, PEOPLE, Rows, handle, spread};
use crate::measure::{Measured, Row};

/// More than are verified in a second.
const A_SECOND: u64 = 50_000;

/// As many challenges are written in a transaction beforehand.
const AT_ONCE: u64 = 1_000;

/// A database for the rows of verifications.
pub struct Verifications {
    rows: Rows,
    /// The next one to be verified.
    next: u64,
    /// The next one to be written.
    written: u64,
}

impl Verifications {
    /// Makes one in `dir`.
    ///
    /// # Errors
    ///
    /// SQLite failed.
    pub fn open(dir: &Path) -> anyhow::Result<Self> {
        let rows = Rows::create(
            dir,
            "yardstick-verifications.db",
            "CREATE TABLE challenge (digest BLOB PRIMARY KEY, sealed BLOB NOT NULL, expires_at INTEGER NOT NULL) WITHOUT ROWID, STRICT;
             CREATE TABLE pending (digest BLOB PRIMARY KEY, sealed BLOB NOT NULL, expires_at INTEGER NOT NULL) WITHOUT ROWID, STRICT;
             CREATE TABLE mark (digest BLOB PRIMARY KEY, at INTEGER NOT NULL) WITHOUT ROWID, STRICT;
             CREATE TABLE authenticator (user BLOB, id TEXT, sealed BLOB NOT NULL, failures INTEGER NOT NULL, used_at INTEGER,
                 PRIMARY KEY (user, id)) WITHOUT ROWID, STRICT;",
        )?;
        rows.transact(|rows| (0..PEOPLE).try_for_each(|person| enrol(rows, person)))?;
        Ok(Self { rows, next: 0, written: 0 })
    }

    /// Eight verifications a transaction. CPU time and throughput are those of one, latency is that of the transaction.
    ///
    /// # Errors
    ///
    /// SQLite failed.
    pub fn shared(&mut self, span: Duration) -> anyhow::Result<Row> {
        self.prepare(span)?;
        let measured = Measured { name: "verification's rows / 8", pid: std::process::id(), callers: 1 };
        measured.in_a_row(span, GROUP, || {
            let mut group = self.next..self.next + GROUP;
            self.next = group.end;
            ensure!(self.next <= self.written, "there were too few challenges");
            self.rows.transact(|rows| group.try_for_each(|number| verify(rows, number)))
        })
    }

    /// Writes more challenges than will be verified in `span` and the warming up before it.
    fn prepare(&mut self, span: Duration) -> anyhow::Result<()> {
        let wanted = self.next + A_SECOND * u64::try_from(span.as_millis() + span.as_millis() / 8)? / 1_000;
        while self.written < wanted {
            let mut group = self.written..self.written + AT_ONCE;
            self.written = group.end;
            self.rows.transact(|rows| group.try_for_each(|number| begin(rows, number)))?;
        }
        Ok(())
    }
}

fn enrol(rows: &Rows, person: u64) -> rusqlite::Result<()> {
    ["sms", "voice"].into_iter().try_for_each(|channel| {
        let id = format!("{channel}|dev_{person:016}");
        let values = (spread(person).repeat(4), id, [7_u8; 120].as_slice());
        rows.execute("INSERT INTO authenticator VALUES (?1, ?2, ?3, 0, NULL)", values).map(drop)
    })
}

fn begin(rows: &Rows, number: u64) -> rusqlite::Result<()> {
    for sql in ["INSERT INTO challenge VALUES (?1, ?2, ?3)", "INSERT INTO pending VALUES (?1, ?2, ?3)"] {
        rows.execute(sql, (handle(number), [7_u8; 400].as_slice(), number.cast_signed()))?;
    }
    Ok(())
}

fn verify(rows: &Rows, number: u64) -> rusqlite::Result<()> {
    let (at, person) = (number.cast_signed(), number % PEOPLE);
    rows.execute("INSERT INTO mark VALUES (?1, ?2)", (handle(number), at))?;
    let update = "UPDATE authenticator SET failures = 0, used_at = ?3 WHERE user = ?1 AND id = ?2";
    rows.execute(update, (spread(person).repeat(4), format!("sms|dev_{person:016}"), at))?;
    for sql in ["DELETE FROM challenge WHERE digest = ?1", "DELETE FROM pending WHERE digest = ?1"] {
        rows.execute(sql, [handle(number)])?;
    }
    rows.trail("login.oob", at)
}
