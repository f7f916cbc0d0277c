//! Signing keys.

use async_trait::async_trait;
use countersign_domain::port::{
    PortError,
    key_store::{KeyStore, StoredKey},
};

use super::MemoryStore;

#[async_trait]
impl KeyStore for MemoryStore {
    #[tracing::instrument(level = "debug", skip_all, name = "store.key.list")]
    async fn list_keys(&self) -> Result<Vec<StoredKey>, PortError> {
        let mut keys = self.lock().keys.clone();
        keys.sort_by(|a, b| (b.created_at, &b.id).cmp(&(a.created_at, &a.id)));
        Ok(keys)
    }

    #[tracing::instrument(level = "debug", skip_all, name = "store.key.insert_first")]
    async fn insert_first_key(&self, key: StoredKey) -> Result<bool, PortError> {
        let mut state = self.lock();
        if state.keys.iter().any(|other| other.algorithm == key.algorithm) {
            return Ok(false);
        }
        state.keys.push(key);
        Ok(true)
    }
}
