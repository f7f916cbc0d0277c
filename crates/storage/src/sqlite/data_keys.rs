//! Data keys, and what is sealed with them.

use async_trait::async_trait;
use countersign_domain::{
    audit::AuditEvent,
    data_key::{DataKeyId, SealedCount, SealedIn, SealedValue, StoredDataKey},
    port::{
        PortError,
        data_key_store::{DataKeyDropped, DataKeyStore},
    },
    secret::Sealed,
    time::Timestamp,
};
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::{
    SqliteStore, rows, sealed,
    writer::{Durability, Step},
};

#[async_trait]
impl DataKeyStore for SqliteStore {
    #[tracing::instrument(level = "debug", skip_all, name = "store.data_key.list")]
    async fn list_data_keys(&self) -> Result<Vec<StoredDataKey>, PortError> {
        self.readers.read(|connection| {
            connection
                .prepare_cached(
                    "SELECT id, wrapped, created_at, seals_from, dropped_at FROM data_key ORDER BY seals_from, id",
                )?
                .query_map([], key)?
                .collect()
        })
    }

    #[tracing::instrument(level = "debug", skip_all, name = "store.data_key.insert")]
    async fn insert_data_key(
        &self,
        key: StoredDataKey,
        first: StoredDataKey,
        audit: AuditEvent,
    ) -> Result<bool, PortError> {
        self.writer
            .submit(Durability::Full, move |connection| {
                insert(connection, &first)?;
                let waits = connection
                    .prepare_cached("SELECT 1 FROM data_key WHERE seals_from > ?1")?
                    .exists([key.created_at.as_millis()])?;
                if waits || !insert(connection, &key)? {
                    return Ok(Step::Undo(false));
                }
                rows::insert_audit(connection, &audit)?;
                Ok(Step::Keep(true))
            })
            .await
    }

    #[tracing::instrument(level = "debug", skip_all, name = "store.data_key.take_seals")]
    async fn take_seals(&self, key: DataKeyId, seals: u64, limit: u64) -> Result<Option<u64>, PortError> {
        self.writer
            .submit(Durability::Full, move |connection| {
                connection
                    .prepare_cached(
                        "INSERT INTO data_key_seals (id, taken) SELECT ?1, ?2 WHERE ?2 <= ?3 \
                         ON CONFLICT (id) DO UPDATE SET taken = taken + excluded.taken \
                         WHERE taken + excluded.taken <= ?3 RETURNING taken",
                    )?
                    .query_row(params![key.as_bytes(), rows::signed(seals), rows::signed(limit)], |row| {
                        rows::unsigned(row, 0)
                    })
                    .optional()
                    .map(Step::Keep)
            })
            .await
    }

    #[tracing::instrument(level = "debug", skip_all, name = "store.data_key.list_seals")]
    async fn list_seals(&self) -> Result<Vec<(DataKeyId, u64)>, PortError> {
        self.readers.read(|connection| {
            connection
                .prepare_cached("SELECT id, taken FROM data_key_seals")?
                .query_map([], |row| Ok((DataKeyId::new(row.get(0)?), rows::unsigned(row, 1)?)))?
                .collect()
        })
    }

    #[tracing::instrument(level = "debug", skip_all, name = "store.data_key.count")]
    async fn count_sealed(&self, now: Timestamp) -> Result<Vec<SealedCount>, PortError> {
        self.write_fresh().await?;
        self.readers.read(|connection| sealed::count(connection, now))
    }

    #[tracing::instrument(level = "debug", skip_all, name = "store.data_key.list_sealed")]
    async fn list_sealed(
        &self,
        column: SealedIn,
        key: DataKeyId,
        after: Option<&SealedValue>,
        limit: usize,
    ) -> Result<Vec<SealedValue>, PortError> {
        self.write_fresh().await?;
        self.readers.read(|connection| sealed::list(connection, column, key, after, limit))
    }

    #[tracing::instrument(level = "debug", skip_all, name = "store.data_key.replace_sealed")]
    async fn replace_sealed(&self, values: Vec<(SealedValue, Sealed)>) -> Result<usize, PortError> {
        self.writer
            .submit(Durability::Full, move |connection| {
                let mut replaced = 0;
                for (value, new) in &values {
                    replaced += usize::from(sealed::replace(connection, value, new)?);
                }
                Ok(Step::Keep(replaced))
            })
            .await
    }

    #[tracing::instrument(level = "debug", skip_all, name = "store.data_key.drop")]
    async fn drop_data_key(
        &self,
        key: DataKeyId,
        sealed_since: Timestamp,
        now: Timestamp,
        audit: AuditEvent,
    ) -> Result<DataKeyDropped, PortError> {
        self.writer
            .submit(Durability::Full, move |connection| {
                let known = connection
                    .prepare_cached("SELECT 1 FROM data_key WHERE id = ?1 AND dropped_at IS NULL")?
                    .exists([key.as_bytes()])?;
                if !known {
                    return Ok(Step::Undo(DataKeyDropped::Unknown));
                }
                // The write lock is held: nothing is sealed between the count and the drop.
                let mut counts = sealed::count(connection, now)?;
                counts.retain(|count| count.key == key);
                if !counts.is_empty() {
                    return Ok(Step::Undo(DataKeyDropped::InUse(counts)));
                }
                let dropped = connection
                    .prepare_cached(
                        "UPDATE data_key AS old SET wrapped = zeroblob(0), dropped_at = ?3 WHERE id = ?1 AND EXISTS \
                         (SELECT 1 FROM data_key AS new WHERE new.seals_from > old.seals_from \
                          AND new.seals_from <= ?2 AND new.dropped_at IS NULL)",
                    )?
                    .execute(params![key.as_bytes(), sealed_since.as_millis(), now.as_millis()])?;
                if dropped == 0 {
                    return Ok(Step::Undo(DataKeyDropped::Seals));
                }
                connection.forgets();
                rows::insert_audit(connection, &audit)?;
                Ok(Step::Keep(DataKeyDropped::Dropped))
            })
            .await
    }
}

/// False if there is one with this id.
fn insert(connection: &Connection, key: &StoredDataKey) -> rusqlite::Result<bool> {
    connection
        .prepare_cached(
            "INSERT INTO data_key (id, wrapped, created_at, seals_from, dropped_at) VALUES (?1, ?2, ?3, ?4, ?5) \
             ON CONFLICT DO NOTHING",
        )?
        .execute(params![
            key.id.as_bytes(),
            key.wrapped.as_bytes(),
            key.created_at.as_millis(),
            key.seals_from.as_millis(),
            key.dropped_at.map(Timestamp::as_millis),
        ])
        .map(|inserted| inserted == 1)
}

fn key(row: &Row<'_>) -> rusqlite::Result<StoredDataKey> {
    Ok(StoredDataKey {
        id: DataKeyId::new(row.get(0)?),
        wrapped: Sealed::new(row.get(1)?),
        created_at: rows::time(row, 2)?,
        seals_from: rows::time(row, 3)?,
        dropped_at: rows::optional_time(row, 4)?,
    })
}
