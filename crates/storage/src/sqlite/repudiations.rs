//! Links of notices. Each is spent by one conditional statement, judged by the row it changed.

use async_trait::async_trait;
use countersign_domain::{
    id::{AuthenticatorId, UserId},
    port::{
        PortError,
        login_store::NewRepudiation,
        repudiation_store::{Redemption, Repudiation, RepudiationStore},
    },
    secret::Digest,
    time::Timestamp,
};
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::{
    SqliteStore, authenticators,
    outbox::insert_messages,
    rows,
    transaction::Transaction,
    writer::{Durability, Step},
};

#[async_trait]
impl RepudiationStore for SqliteStore {
    #[tracing::instrument(level = "debug", skip_all, name = "store.repudiation.find")]
    async fn find(&self, digest: &Digest) -> Result<Option<Repudiation>, PortError> {
        self.readers.read(|connection| {
            connection
                .prepare_cached("SELECT user_id, authenticator, expires_at FROM repudiation WHERE digest = ?1")?
                .query_row(params![digest.as_bytes()], repudiation)
                .optional()
        })
    }

    #[tracing::instrument(level = "debug", skip_all, name = "store.repudiation.redeem")]
    async fn redeem(&self, redemption: Redemption) -> Result<bool, PortError> {
        self.writer
            .submit(Durability::Full, move |connection| {
                let good = redeem(connection, &redemption)?;
                Ok(if good { Step::Keep(true) } else { Step::Undo(false) })
            })
            .await
    }
}

fn redeem(connection: &Transaction<'_>, redemption: &Redemption) -> rusqlite::Result<bool> {
    let spent = connection
        .prepare_cached(
            "DELETE FROM repudiation WHERE digest = ?1 AND expires_at > ?2 RETURNING user_id, authenticator, expires_at",
        )?
        .query_row(params![redemption.digest.as_bytes(), redemption.now.as_millis()], repudiation)
        .optional()?;
    let Some(Repudiation { user, authenticator, .. }) = spent else { return Ok(false) };
    // A link goes with its authenticator, so there is one.
    if authenticators::remove(connection, &user, &authenticator)? == authenticators::Removed::Nothing {
        return Ok(false);
    }
    connection
        .prepare_cached(
            "UPDATE user SET epoch = epoch + 1, tokens_valid_from = max(tokens_valid_from, ?2), updated_at = ?2 \
             WHERE id = ?1",
        )?
        .execute(params![user.as_str(), redemption.now.as_millis()])?;
    insert_messages(connection, &redemption.messages)?;
    rows::insert_audit(connection, &redemption.audit)?;
    Ok(true)
}

/// Adds a link, in the transaction that confirms its authenticator.
pub(super) fn insert(connection: &Connection, user: &UserId, new: &NewRepudiation) -> rusqlite::Result<()> {
    connection
        .prepare_cached("INSERT INTO repudiation (user_id, authenticator, digest, expires_at) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![user.as_str(), new.authenticator.as_str(), new.digest.as_bytes(), new.expires_at.as_millis(),])
        .map(|_| ())
}

/// Removes at most `limit` that have expired. The answer is how many.
pub(super) fn sweep(connection: &Connection, now: Timestamp, limit: i64) -> rusqlite::Result<usize> {
    connection
        .prepare_cached(
            "DELETE FROM repudiation WHERE (user_id, authenticator) IN \
             (SELECT user_id, authenticator FROM repudiation WHERE expires_at <= ?1 LIMIT ?2)",
        )?
        .execute(params![now.as_millis(), limit])
}

fn repudiation(row: &Row<'_>) -> rusqlite::Result<Repudiation> {
    Ok(Repudiation {
        user: UserId::new(row.get::<_, String>(0)?),
        authenticator: AuthenticatorId::new(row.get::<_, String>(1)?),
        expires_at: rows::time(row, 2)?,
    })
}
