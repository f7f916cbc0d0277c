//! Challenges, each step one statement.

use countersign_domain::{
    challenge::ChallengeRecord,
    secret::{Digest, Sealed},
    time::Timestamp,
};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::rows;
use crate::KEPT_AFTER_EXPIRY;

/// Keeps a challenge. What had its slot goes with the same statement.
pub(super) fn insert(connection: &Connection, record: &ChallengeRecord) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO challenge (digest, slot, sealed, tries, expires_at) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute(params![
            record.digest.as_bytes(),
            record.slot.as_bytes(),
            record.sealed.as_bytes(),
            record.tries,
            record.expires_at.as_millis(),
        ])
        .map(|_| ())
}

/// Takes one try; the record is as it was before.
pub(super) fn take_try(connection: &Connection, digest: Digest) -> rusqlite::Result<Option<ChallengeRecord>> {
    // A statement only tells what it leaves behind, so the row goes one below zero: otherwise the last try would look like none.
    connection
        .prepare_cached(
            "UPDATE challenge SET tries = max(tries - 1, -1) WHERE digest = ?1 \
             RETURNING slot, sealed, tries + 1, expires_at",
        )?
        .query_row([digest.as_bytes()], |row| {
            Ok(ChallengeRecord {
                digest,
                slot: Digest::new(row.get(0)?),
                sealed: Sealed::new(row.get(1)?),
                tries: row.get(2)?,
                expires_at: rows::time(row, 3)?,
            })
        })
        .optional()
}

/// Removes one.
pub(super) fn delete(connection: &Connection, digest: &Digest) -> rusqlite::Result<()> {
    connection.prepare_cached("DELETE FROM challenge WHERE digest = ?1")?.execute([digest.as_bytes()]).map(|_| ())
}

/// Removes those that expired long enough before `now`. The answer is how many.
pub(super) fn sweep(connection: &Connection, now: Timestamp) -> rusqlite::Result<usize> {
    connection
        .prepare_cached("DELETE FROM challenge WHERE expires_at < ?1")?
        .execute([now.minus(KEPT_AFTER_EXPIRY).as_millis()])
}
