//! Signing keys.

use async_trait::async_trait;
use countersign_domain::{
    id::KeyId,
    port::{
        PortError,
        key_store::{KeyStore, StoredKey},
    },
    secret::Sealed,
    signing_key::KeyState,
    time::Timestamp,
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

    #[tracing::instrument(level = "debug", skip_all, name = "store.key.insert")]
    async fn insert_key(&self, key: StoredKey) -> Result<bool, PortError> {
        let mut state = self.lock();
        state.check_seals([&key.sealed])?;
        if state.keys.iter().any(|other| (other.algorithm, other.state) == (key.algorithm, key.state)) {
            return Ok(false);
        }
        state.keys.push(key);
        Ok(true)
    }

    #[tracing::instrument(level = "debug", skip_all, name = "store.key.promote")]
    async fn promote_key(&self, next: &KeyId, current: &KeyId, now: Timestamp) -> Result<bool, PortError> {
        let mut state = self.lock();
        let known = |id: &KeyId, wanted| state.keys.iter().position(|key| key.id == *id && key.state == wanted);
        let (Some(next), Some(current)) = (known(next, KeyState::Next), known(current, KeyState::Current)) else {
            return Ok(false);
        };
        for (position, becomes) in [(current, KeyState::Previous), (next, KeyState::Current)] {
            if let Some(key) = state.keys.get_mut(position) {
                (key.state, key.changed_at) = (becomes, now);
            }
        }
        Ok(true)
    }

    #[tracing::instrument(level = "debug", skip_all, name = "store.key.retire")]
    async fn retire_key(&self, id: &KeyId, from: KeyState, now: Timestamp) -> Result<bool, PortError> {
        let mut state = self.lock();
        let Some(key) = state.keys.iter_mut().find(|key| key.id == *id && key.state == from) else { return Ok(false) };
        (key.state, key.changed_at, key.sealed) = (KeyState::Retired, now, Sealed::new(Vec::new()));
        Ok(true)
    }
}
