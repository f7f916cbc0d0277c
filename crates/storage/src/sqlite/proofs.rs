//! The second factors that are remembered.

use countersign_domain::{
    id::UserId,
    port::login_store::{LastProven, LoginCommit, MAX_PROOFS, NewProof, ProofQuery},
    secret::Digest,
};
use rusqlite::{Connection, params};

use super::rows;

/// Remembers `proof` of `login`; what does not count any more, or is one too many, goes.
pub(super) fn remember(connection: &Connection, login: &LoginCommit, proof: &NewProof) -> rusqlite::Result<()> {
    let (user, epoch) = (login.user.as_str(), rows::signed(login.epoch));
    connection.prepare_cached("DELETE FROM proof WHERE user_id = ?1 AND epoch <> ?2")?.execute(params![user, epoch])?;
    connection
        .prepare_cached(
            "INSERT INTO proof (user_id, network, strength, epoch, proven_at) VALUES (?1, ?2, ?3, ?4, ?5) \
             ON CONFLICT DO UPDATE SET proven_at = max(proven_at, excluded.proven_at)",
        )?
        .execute(params![
            user,
            proof.network.as_ref().map_or(&[][..], |network| network.as_bytes()),
            proof.strength.level(),
            epoch,
            login.now.as_millis()
        ])?;
    connection
        .prepare_cached(
            "DELETE FROM proof WHERE user_id = ?1 AND (network, strength) IN (SELECT network, strength FROM proof \
             WHERE user_id = ?1 ORDER BY proven_at DESC, network, strength LIMIT -1 OFFSET ?2)",
        )?
        .execute(params![user, MAX_PROOFS])
        .map(|_| ())
}

/// When the person last completed one.
pub(super) fn last(connection: &Connection, user: &UserId, query: &ProofQuery) -> rusqlite::Result<LastProven> {
    connection
        .prepare_cached(
            "SELECT max(proven_at), max(CASE WHEN network = ?4 THEN proven_at END) FROM proof \
             WHERE user_id = ?1 AND epoch = ?2 AND strength >= ?3",
        )?
        .query_row(
            params![
                user.as_str(),
                rows::signed(query.epoch),
                query.strength.level(),
                query.network.as_ref().map(Digest::as_bytes)
            ],
            |row| Ok(LastProven { anywhere: rows::optional_time(row, 0)?, network: rows::optional_time(row, 1)? }),
        )
}

/// Forgets all of a person's.
pub(super) fn forget(connection: &Connection, user: &UserId) -> rusqlite::Result<()> {
    connection.prepare_cached("DELETE FROM proof WHERE user_id = ?1")?.execute([user.as_str()]).map(|_| ())
}
