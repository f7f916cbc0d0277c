//! The rows of a text message in bare SQLite, under the same conditions as the [commit](super::commit): a challenge whose slot is unique, the
//! message in the outbox, five counts of the day and a row of the trail; then the message goes, and the trail has another row.

use std::{path::Path, time::Duration};

use super::rows::{GROUP, PEOPLE, Rows, handle, spread};
use crate::measure::{Measured, Row};

/// A database for the rows of messages.
pub struct Messages {
    rows: Rows,
    number: u64,
}

impl Messages {
    /// Makes one in `dir`.
    ///
    /// # Errors
    ///
    /// SQLite failed.
    pub fn open(dir: &Path) -> anyhow::Result<Self> {
        let rows = Rows::create(
            dir,
            "yardstick-messages.db",
            "CREATE TABLE challenge (digest BLOB PRIMARY KEY, slot BLOB NOT NULL UNIQUE, sealed BLOB NOT NULL,
                 tries INTEGER NOT NULL, expires_at INTEGER NOT NULL) WITHOUT ROWID, STRICT;
             CREATE TABLE outbox (id TEXT PRIMARY KEY, channel TEXT NOT NULL, sealed BLOB NOT NULL, due_at INTEGER NOT NULL)
                 WITHOUT ROWID, STRICT;
             CREATE INDEX outbox_due ON outbox (channel, due_at);
             CREATE TABLE sent (day INTEGER, counter TEXT, n INTEGER NOT NULL, PRIMARY KEY (day, counter)) WITHOUT ROWID, STRICT;",
        )?;
        Ok(Self { rows, number: 0 })
    }

    /// Eight messages are written in a transaction, and go in another. CPU time and throughput are those of one message, latency is that of
    /// both transactions.
    ///
    /// # Errors
    ///
    /// SQLite failed.
    pub fn shared(&mut self, span: Duration) -> anyhow::Result<Row> {
        let measured = Measured { name: "message's rows / 8", pid: std::process::id(), callers: 1 };
        measured.in_a_row(span, GROUP, || {
            let mut group = self.number..self.number + GROUP;
            self.number = group.end;
            self.rows.transact(|rows| group.clone().try_for_each(|number| write(rows, number)))?;
            self.rows.transact(|rows| group.try_for_each(|number| remove(rows, number)))
        })
    }
}

fn write(rows: &Rows, number: u64) -> rusqlite::Result<()> {
    let (at, person) = (number.cast_signed(), number % PEOPLE);
    let challenge = (handle(number), spread(person).repeat(4), [7_u8; 400].as_slice(), at);
    rows.execute("INSERT OR REPLACE INTO challenge VALUES (?1, ?2, ?3, 5, ?4)", challenge)?;
    rows.execute("INSERT INTO outbox VALUES (?1, 'sms', ?2, ?3)", (id(number), [7_u8; 200].as_slice(), at))?;
    let counters = [
        format!("phone-person:{:032x}", u64::from_be_bytes(spread(person))),
        format!("phone-destination:{:032x}", u64::from_be_bytes(spread(person + PEOPLE))),
        format!("phone-prefix:{:032x}", u64::from_be_bytes(spread(person / 1000))),
        "phone-country:US".to_owned(),
        "phone-deployment".to_owned(),
    ];
    for counter in counters {
        rows.execute("INSERT INTO sent VALUES (20000, ?1, 1) ON CONFLICT DO UPDATE SET n = n + 1", [counter])?;
    }
    rows.trail("challenge_opened", at)
}

fn remove(rows: &Rows, number: u64) -> rusqlite::Result<()> {
    rows.execute("DELETE FROM outbox WHERE id = ?1", [id(number)])?;
    rows.trail("message_sent", number.cast_signed())
}

fn id(number: u64) -> String {
    format!("msg_{:024x}", u64::from_be_bytes(spread(number)))
}
