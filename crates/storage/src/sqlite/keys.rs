//! Signing keys.

use async_trait::async_trait;
use countersign_domain::{
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
    async fn insert_key(&self, key: StoredKey) -> Result<bool, PortError> {
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
                Ok(Step::Keep(inserted == 1))
            })
            .await
    }

    #[tracing::instrument(level = "debug", skip_all, name = "store.key.promote")]
    async fn promote_key(&self, next: &KeyId, current: &KeyId, now: Timestamp) -> Result<bool, PortError> {
        let (next, current) = (next.clone(), current.clone());
        self.writer
            .submit(Durability::Full, move |connection| {
                let mut step = connection.prepare_cached(
                    "UPDATE signing_key SET state = ?3, changed_at = ?4 WHERE id = ?1 AND state = ?2",
                )?;
                // In this order, for there is never a second current key.
                if step.execute(params![current.as_str(), "current", "previous", now.as_millis()])? != 1 {
                    return Ok(Step::Undo(false));
                }
                let took_over = step.execute(params![next.as_str(), "next", "current", now.as_millis()])? == 1;
                Ok(if took_over { Step::Keep(true) } else { Step::Undo(false) })
            })
            .await
    }

    #[tracing::instrument(level = "debug", skip_all, name = "store.key.retire")]
    async fn retire_key(&self, id: &KeyId, from: KeyState, now: Timestamp) -> Result<bool, PortError> {
        let id = id.clone();
        self.writer
            .submit(Durability::Full, move |connection| {
                let retired = connection
                    .prepare_cached(
                        "UPDATE signing_key SET state = 'retired', sealed = zeroblob(0), changed_at = ?3 \
                         WHERE id = ?1 AND state = ?2",
                    )?
                    .execute(params![id.as_str(), from.as_str(), now.as_millis()])?;
                Ok(Step::Keep(retired == 1))
            })
            .await
    }
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
