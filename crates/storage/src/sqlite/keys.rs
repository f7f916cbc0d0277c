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
                    "SELECT id, algorithm, sealed, created_at FROM signing_key ORDER BY created_at DESC, id DESC",
                )?
                .query_map([], key)?
                .collect()
        })
    }

    #[tracing::instrument(level = "debug", skip_all, name = "store.key.insert_first")]
    async fn insert_first_key(&self, key: StoredKey) -> Result<bool, PortError> {
        self.writer
            .submit(Durability::Full, move |connection| {
                let inserted = connection
                    .prepare_cached(
                        "INSERT INTO signing_key (id, algorithm, sealed, created_at) SELECT ?1, ?2, ?3, ?4 \
                         WHERE NOT EXISTS (SELECT 1 FROM signing_key WHERE algorithm = ?2)",
                    )?
                    .execute(params![
                        key.id.as_str(),
                        key.algorithm.as_str(),
                        key.sealed.as_bytes(),
                        key.created_at.as_millis(),
                    ])?;
                Ok(Step::Keep(inserted == 1))
            })
            .await
    }
}

fn key(row: &Row<'_>) -> rusqlite::Result<StoredKey> {
    Ok(StoredKey {
        id: KeyId::new(row.get::<_, String>(0)?),
        algorithm: match row.get_ref(1)?.as_str()? {
            "RS256" => Algorithm::Rs256,
            "ES256" => Algorithm::Es256,
            _ => return Err(rows::damaged(1, "unknown algorithm of a signing key")),
        },
        sealed: Sealed::new(row.get(2)?),
        created_at: rows::time(row, 3)?,
    })
}
