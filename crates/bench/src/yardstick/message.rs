//! The rows of a text message in bare SQLite, under the same conditions as the [commit](super::commit): a challenge whose slot is unique, the
//! message in the outbox, five counts of the day and a row of the trail; then the message goes, and the trail has another row.

use std::{path::Path, time::Duration};

use rusqlite::Connection;

use crate::measure::{Measured, Row};

/// Messages that share a commit.
const GROUP: u64 = 8;

/// As many people get messages in turn.
const PEOPLE: u64 = 6_000;

/// A database for the rows of messages, which grows.
pub struct Messages {
    connection: Connection,
    number: u64,
}

impl Messages {
    /// Makes one in `dir`.
    ///
    /// # Errors
    ///
    /// SQLite failed.
    pub fn open(dir: &Path) -> anyhow::Result<Self> {
        let connection = Connection::open(dir.join("yardstick-messages.db"))?;
        connection.execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
             CREATE TABLE challenge (digest BLOB PRIMARY KEY, slot BLOB NOT NULL UNIQUE, sealed BLOB NOT NULL,
                 tries INTEGER NOT NULL, expires_at INTEGER NOT NULL) WITHOUT ROWID, STRICT;
             CREATE TABLE outbox (id TEXT PRIMARY KEY, channel TEXT NOT NULL, sealed BLOB NOT NULL, due_at INTEGER NOT NULL)
                 WITHOUT ROWID, STRICT;
             CREATE INDEX outbox_due ON outbox (channel, due_at);
             CREATE TABLE sent (day INTEGER, counter TEXT, n INTEGER NOT NULL, PRIMARY KEY (day, counter)) WITHOUT ROWID, STRICT;
             CREATE TABLE trail (id INTEGER PRIMARY KEY, at INTEGER NOT NULL, event TEXT NOT NULL, user TEXT NOT NULL,
                 client TEXT NOT NULL, link BLOB NOT NULL) STRICT;",
        )?;
        connection.set_prepared_statement_cache_capacity(32);
        Ok(Self { connection, number: 0 })
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
            let group = self.number..self.number + GROUP;
            self.number = group.end;
            self.transact(|this| group.clone().try_for_each(|number| this.write(number)))?;
            self.transact(|this| group.clone().try_for_each(|number| this.remove(number)))
        })
    }

    fn transact(&self, work: impl Fn(&Self) -> rusqlite::Result<()>) -> anyhow::Result<()> {
        self.connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        work(self)?;
        self.connection.prepare_cached("COMMIT")?.execute([])?;
        Ok(())
    }

    fn write(&self, number: u64) -> rusqlite::Result<()> {
        let (at, person) = (number.cast_signed(), number % PEOPLE);
        // As handles are: they begin with a time.
        let digest: Vec<u8> = number.to_be_bytes().into_iter().chain(spread(number).repeat(3)).collect();
        self.connection.prepare_cached("INSERT OR REPLACE INTO challenge VALUES (?1, ?2, ?3, 5, ?4)")?.execute((
            digest,
            spread(person).repeat(4),
            [7_u8; 400].as_slice(),
            at,
        ))?;
        self.connection.prepare_cached("INSERT INTO outbox VALUES (?1, 'sms', ?2, ?3)")?.execute((
            id(number),
            [7_u8; 200].as_slice(),
            at,
        ))?;
        let counters = [
            format!("phone-person:{:032x}", u64::from_be_bytes(spread(person))),
            format!("phone-destination:{:032x}", u64::from_be_bytes(spread(person + PEOPLE))),
            format!("phone-prefix:{:032x}", u64::from_be_bytes(spread(person / 1000))),
            "phone-country:US".to_owned(),
            "phone-deployment".to_owned(),
        ];
        for counter in counters {
            self.connection
                .prepare_cached("INSERT INTO sent VALUES (20000, ?1, 1) ON CONFLICT DO UPDATE SET n = n + 1")?
                .execute([counter])?;
        }
        self.trail("challenge_opened", at)
    }

    fn remove(&self, number: u64) -> rusqlite::Result<()> {
        self.connection.prepare_cached("DELETE FROM outbox WHERE id = ?1")?.execute([id(number)])?;
        self.trail("message_sent", number.cast_signed())
    }

    fn trail(&self, event: &str, at: i64) -> rusqlite::Result<()> {
        self.connection
            .prepare_cached("INSERT INTO trail (at, event, user, client, link) VALUES (?1, ?2, ?3, ?4, ?5)")?
            .execute((at, event, "auth0|0123456789abcdefghijklmn", "bench-client", [7_u8; 32].as_slice()))
            .map(|_| ())
    }
}

fn id(number: u64) -> String {
    format!("msg_{:024x}", u64::from_be_bytes(spread(number)))
}

/// Spread like digests, so that rows land all over the tree.
fn spread(number: u64) -> [u8; 8] {
    number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes()
}
