//! Challenges, each step one statement.

use countersign_domain::{
    challenge::ChallengeRecord,
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
            record.decision.as_ref().map(Digest::as_bytes),
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

/// Puts a mark on it if it has none; the mark that stands afterwards.
pub(super) fn decide(connection: &Connection, digest: &Digest, mark: &Digest) -> rusqlite::Result<Option<Digest>> {
    connection
        .prepare_cached("UPDATE challenge SET decision = coalesce(decision, ?2) WHERE digest = ?1 RETURNING decision")?
        .query_row([digest.as_bytes(), mark.as_bytes()], |row| row.get(0).map(Digest::new))
        .optional()
}

/// Writes down how many tries are left, if it is there.
pub(super) fn set_tries(connection: &Connection, digest: &Digest, tries: u32) -> rusqlite::Result<()> {
    connection
        .prepare_cached("UPDATE challenge SET tries = ?2 WHERE digest = ?1")?
        .execute(params![digest.as_bytes(), tries])
        .map(|_| ())
}

fn record(row: &Row<'_>, digest: Digest) -> rusqlite::Result<ChallengeRecord> {
    Ok(ChallengeRecord {
        digest,
        slot: Digest::new(row.get(0)?),
        sealed: Sealed::new(row.get(1)?),
        tries: row.get(2)?,
        expires_at: rows::time(row, 3)?,
        decision: row.get::<_, Option<[u8; 32]>>(4)?.map(Digest::new),
    })
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
