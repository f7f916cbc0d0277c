//! Challenges, each step one statement.

use countersign_domain::{
    challenge::{ChallengeRecord, Decision},
    secret::{Digest, Sealed},
    time::Timestamp,
};
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::rows;
use crate::KEPT_AFTER_EXPIRY;

/// Keeps a challenge. What had its slot goes with the same statement.
pub(super) fn insert(connection: &Connection, record: &ChallengeRecord) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO challenge (digest, slot, sealed, tries, expires_at, decision) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(params![
            record.digest.as_bytes(),
            record.slot.as_bytes(),
            record.sealed.as_bytes(),
            record.tries,
            record.expires_at.as_millis(),
            number(record.decision),
        ])
        .map(|_| ())
}

/// The challenge with this digest.
pub(super) fn find(connection: &Connection, digest: Digest) -> rusqlite::Result<Option<ChallengeRecord>> {
    connection
        .prepare_cached("SELECT slot, sealed, max(tries, 0), expires_at, decision FROM challenge WHERE digest = ?1")?
        .query_row([digest.as_bytes()], |row| record(row, digest))
        .optional()
}

/// Decides, if nobody has; what stands afterwards.
pub(super) fn decide(
    connection: &Connection,
    digest: &Digest,
    decision: Decision,
) -> rusqlite::Result<Option<Decision>> {
    connection
        .prepare_cached("UPDATE challenge SET decision = ?2 WHERE digest = ?1 AND decision = 0")?
        .execute(params![digest.as_bytes(), number(decision)])?;
    connection
        .prepare_cached("SELECT decision FROM challenge WHERE digest = ?1")?
        .query_row([digest.as_bytes()], |row| self::decision(row, 0))
        .optional()
}

/// Takes one try; the record is as it was before.
pub(super) fn take_try(connection: &Connection, digest: Digest) -> rusqlite::Result<Option<ChallengeRecord>> {
    // A statement only tells what it leaves behind, so the row goes one below zero: otherwise the last try would look like none.
    connection
        .prepare_cached(
            "UPDATE challenge SET tries = max(tries - 1, -1) WHERE digest = ?1 \
             RETURNING slot, sealed, tries + 1, expires_at, decision",
        )?
        .query_row([digest.as_bytes()], |row| record(row, digest))
        .optional()
}

fn record(row: &Row<'_>, digest: Digest) -> rusqlite::Result<ChallengeRecord> {
    Ok(ChallengeRecord {
        digest,
        slot: Digest::new(row.get(0)?),
        sealed: Sealed::new(row.get(1)?),
        tries: row.get(2)?,
        expires_at: rows::time(row, 3)?,
        decision: decision(row, 4)?,
    })
}

const fn number(decision: Decision) -> u8 {
    match decision {
        Decision::Pending => 0,
        Decision::Approved => 1,
        Decision::Rejected => 2,
    }
}

fn decision(row: &Row<'_>, column: usize) -> rusqlite::Result<Decision> {
    match row.get(column)? {
        0 => Ok(Decision::Pending),
        1 => Ok(Decision::Approved),
        2 => Ok(Decision::Rejected),
        _ => Err(rows::damaged(column, "unknown decision of a challenge")),
    }
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
