//! Signing keys.

use async_trait::async_trait;
use countersign_domain::{
    audit::AuditEvent,
    id::KeyId,
    port::{
        PortError,
        key_store::{KeyStore, StoredKey},
        signer::Algorithm,
    },
    secret::Sealed,
    signing_key::KeyState,
    time::Timestamp,
};
use rusqlite::{Row, params};

use super::{
    SqliteStore, rows,
    transaction::Transaction,
    writer::{Durability, Step},
};

#[async_trait]
impl KeyStore for SqliteStore {
    #[tracing::instrument(level = "debug", skip_all, name = "store.key.list")]
    async fn list_keys(&self) -> Result<Vec<StoredKey>, PortError> {
        self.readers.read(|connection| {
            connection
                .prepare_cached(
                    "SELECT id, algorithm, state, sealed, created_at, changed_at FROM signing_key \
                     ORDER BY created_at DESC, id DESC",
                )?
                .query_map([], key)?
                .collect()
        })
    }

    #[tracing::instrument(level = "debug", skip_all, name = "store.key.insert")]
    async fn insert_key(&self, key: StoredKey, audit: AuditEvent) -> Result<bool, PortError> {
        self.writer
            .submit(Durability::Full, move |connection| {
                let inserted = connection
                    .prepare_cached(
                        "INSERT INTO signing_key (id, algorithm, state, sealed, created_at, changed_at) \
                         SELECT ?1, ?2, ?3, ?4, ?5, ?6 \
                         WHERE NOT EXISTS (SELECT 1 FROM signing_key WHERE algorithm = ?2 AND state = ?3)",
                    )?
                    .execute(params![
                        key.id.as_str(),
                        key.algorithm.as_str(),
                        key.state.as_str(),
                        key.sealed.as_bytes(),
                        key.created_at.as_millis(),
                        key.changed_at.as_millis(),
                    ])?;
                if inserted == 0 {
                    return Ok(Step::Undo(false));
                }
                rows::insert_audit(connection, &audit)?;
                Ok(Step::Keep(true))
            })
            .await
    }

    #[tracing::instrument(level = "debug", skip_all, name = "store.key.promote")]
    async fn promote_key(
        &self,
        next: &KeyId,
        current: &KeyId,
        now: Timestamp,
        audit: AuditEvent,
    ) -> Result<bool, PortError> {
        let (next, current) = (next.clone(), current.clone());
        self.writer
            .submit(Durability::Full, move |connection| {
                // In this order, for there is never a second current key.
                if !step(connection, &current, (KeyState::Current, KeyState::Previous), now)?
                    || !step(connection, &next, (KeyState::Next, KeyState::Current), now)?
                {
                    return Ok(Step::Undo(false));
                }
                rows::insert_audit(connection, &audit)?;
                Ok(Step::Keep(true))
            })
            .await
    }

    #[tracing::instrument(level = "debug", skip_all, name = "store.key.begin")]
    async fn begin_key(&self, next: &KeyId, now: Timestamp, audit: AuditEvent) -> Result<bool, PortError> {
        let next = next.clone();
        self.writer
            .submit(Durability::Full, move |connection| {
                let begun = connection
                    .prepare_cached(
                        "UPDATE signing_key AS next SET state = 'current', changed_at = ?2 \
                         WHERE id = ?1 AND state = 'next' AND NOT EXISTS \
                         (SELECT 1 FROM signing_key AS other WHERE other.algorithm = next.algorithm AND other.state = 'current')",
                    )?
                    .execute(params![next.as_str(), now.as_millis()])?;
                if begun == 0 {
                    return Ok(Step::Undo(false));
                }
                rows::insert_audit(connection, &audit)?;
                Ok(Step::Keep(true))
            })
            .await
    }

    #[tracing::instrument(level = "debug", skip_all, name = "store.key.end")]
    async fn end_key(&self, current: &KeyId, now: Timestamp, audit: AuditEvent) -> Result<bool, PortError> {
        let current = current.clone();
        self.writer
            .submit(Durability::Full, move |connection| {
                if !step(connection, &current, (KeyState::Current, KeyState::Previous), now)? {
                    return Ok(Step::Undo(false));
                }
                rows::insert_audit(connection, &audit)?;
                Ok(Step::Keep(true))
            })
            .await
    }

    #[tracing::instrument(level = "debug", skip_all, name = "store.key.retire")]
    async fn retire_key(
        &self,
        id: &KeyId,
        from: KeyState,
        now: Timestamp,
        audit: AuditEvent,
    ) -> Result<bool, PortError> {
        let id = id.clone();
        self.writer
            .submit(Durability::Full, move |connection| {
                if !step(connection, &id, (from, KeyState::Retired), now)? {
                    return Ok(Step::Undo(false));
                }
                rows::insert_audit(connection, &audit)?;
                Ok(Step::Keep(true))
            })
            .await
    }

    #[tracing::instrument(level = "debug", skip_all, name = "store.key.replace")]
    async fn replace_key(
        &self,
        next: &KeyId,
        current: &KeyId,
        now: Timestamp,
        audit: Vec<AuditEvent>,
    ) -> Result<Option<u64>, PortError> {
        let (next, current) = (next.clone(), current.clone());
        self.writer
            .submit(Durability::Full, move |connection| {
                if !step(connection, &current, (KeyState::Current, KeyState::Retired), now)?
                    || !step(connection, &next, (KeyState::Next, KeyState::Current), now)?
                {
                    return Ok(Step::Undo(None));
                }
                let accounts = rows::raise_every_epoch(connection, now)?;
                for row in &audit {
                    rows::insert_audit(connection, row)?;
                }
                Ok(Step::Keep(Some(accounts)))
            })
            .await
    }
}

/// Has a key go from one state to another; false if it is not in the first. A retired one is forgotten.
fn step(
    connection: &Transaction<'_>,
    id: &KeyId,
    (from, to): (KeyState, KeyState),
    now: Timestamp,
) -> rusqlite::Result<bool> {
    if to == KeyState::Retired {
        connection.forgets();
    }
    connection
        .prepare_cached(
            "UPDATE signing_key SET state = ?3, changed_at = ?4, \
             sealed = CASE WHEN ?3 = 'retired' THEN zeroblob(0) ELSE sealed END WHERE id = ?1 AND state = ?2",
        )?
        .execute(params![id.as_str(), from.as_str(), to.as_str(), now.as_millis()])
        .map(|changed| changed == 1)
}

fn key(row: &Row<'_>) -> rusqlite::Result<StoredKey> {
    let state = row.get_ref(2)?.as_str()?;
    Ok(StoredKey {
        id: KeyId::new(row.get::<_, String>(0)?),
        algorithm: Algorithm::from_name(row.get_ref(1)?.as_str()?)
            .ok_or_else(|| rows::damaged(1, "unknown algorithm of a signing key"))?,
        state: KeyState::ALL
            .into_iter()
            .find(|known| known.as_str() == state)
            .ok_or_else(|| rows::damaged(2, "unknown state of a signing key"))?,
        sealed: Sealed::new(row.get(3)?),
        created_at: rows::time(row, 4)?,
        changed_at: rows::time(row, 5)?,
    })
}
