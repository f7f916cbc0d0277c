//! Signing keys.

use async_trait::async_trait;
use countersign_domain::{
    audit::AuditEvent,
    id::KeyId,
    port::{
        PortError,
        key_store::{KeyStore, StoredKey},
    },
    secret::Sealed,
    signing_key::KeyState,
    time::Timestamp,
};

use super::{MemoryStore, State};

#[async_trait]
impl KeyStore for MemoryStore {
    #[tracing::instrument(level = "debug", skip_all, name = "store.key.list")]
    async fn list_keys(&self) -> Result<Vec<StoredKey>, PortError> {
        let mut keys = self.lock().keys.clone();
        keys.sort_by(|a, b| (b.created_at, &b.id).cmp(&(a.created_at, &a.id)));
        Ok(keys)
    }

    #[tracing::instrument(level = "debug", skip_all, name = "store.key.insert")]
    async fn insert_key(&self, key: StoredKey, audit: AuditEvent) -> Result<bool, PortError> {
        let mut state = self.lock();
        state.check_seals([&key.sealed])?;
        if state.keys.iter().any(|other| (other.algorithm, other.state) == (key.algorithm, key.state)) {
            return Ok(false);
        }
        state.keys.push(key);
        state.audit.push(audit);
        Ok(true)
    }

    #[tracing::instrument(level = "debug", skip_all, name = "store.key.promote")]
    async fn promote_key(
        &self,
        next: &KeyId,
        current: &KeyId,
        now: Timestamp,
        audit: AuditEvent,
    ) -> Result<bool, PortError> {
        let mut state = self.lock();
        let steps = [(current, KeyState::Current, KeyState::Previous), (next, KeyState::Next, KeyState::Current)];
        if !state.step_keys(&steps, now) {
            return Ok(false);
        }
        state.audit.push(audit);
        Ok(true)
    }

    #[tracing::instrument(level = "debug", skip_all, name = "store.key.begin")]
    async fn begin_key(&self, next: &KeyId, now: Timestamp, audit: AuditEvent) -> Result<bool, PortError> {
        let mut state = self.lock();
        let algorithm = state.keys.iter().find(|key| key.id == *next).map(|key| key.algorithm);
        let signs = |key: &StoredKey| Some(key.algorithm) == algorithm && key.state == KeyState::Current;
        if state.keys.iter().any(signs) || !state.step_keys(&[(next, KeyState::Next, KeyState::Current)], now) {
            return Ok(false);
        }
        state.audit.push(audit);
        Ok(true)
    }

    #[tracing::instrument(level = "debug", skip_all, name = "store.key.end")]
    async fn end_key(&self, current: &KeyId, now: Timestamp, audit: AuditEvent) -> Result<bool, PortError> {
        let mut state = self.lock();
        if !state.step_keys(&[(current, KeyState::Current, KeyState::Previous)], now) {
            return Ok(false);
        }
        state.audit.push(audit);
        Ok(true)
    }

    #[tracing::instrument(level = "debug", skip_all, name = "store.key.retire")]
    async fn retire_key(
        &self,
        id: &KeyId,
        from: KeyState,
        now: Timestamp,
        audit: AuditEvent,
    ) -> Result<bool, PortError> {
        let mut state = self.lock();
        if !state.step_keys(&[(id, from, KeyState::Retired)], now) {
            return Ok(false);
        }
        state.audit.push(audit);
        Ok(true)
    }

    #[tracing::instrument(level = "debug", skip_all, name = "store.key.replace")]
    async fn replace_key(
        &self,
        next: &KeyId,
        current: &KeyId,
        now: Timestamp,
        audit: Vec<AuditEvent>,
    ) -> Result<Option<u64>, PortError> {
        let mut state = self.lock();
        let steps = [(current, KeyState::Current, KeyState::Retired), (next, KeyState::Next, KeyState::Current)];
        if !state.step_keys(&steps, now) {
            return Ok(None);
        }
        for entry in state.users.values_mut() {
            entry.user.epoch += 1;
            entry.user.tokens_valid_from = entry.user.tokens_valid_from.max(now);
        }
        state.audit.extend(audit);
        Ok(Some(u64::try_from(state.users.len()).unwrap_or(u64::MAX)))
    }
}

impl State {
    /// Has each key go from one state to another; false, and nothing is changed, if one is not in the first. A retired one is forgotten.
    fn step_keys(&mut self, steps: &[(&KeyId, KeyState, KeyState)], now: Timestamp) -> bool {
        let there = |(id, from, _): &(&KeyId, KeyState, KeyState)| {
            self.keys.iter().any(|key| key.id == **id && key.state == *from)
        };
        if !steps.iter().all(there) {
            return false;
        }
        for (id, _, to) in steps {
            for key in self.keys.iter_mut().filter(|key| key.id == **id) {
                (key.state, key.changed_at) = (*to, now);
                if *to == KeyState::Retired {
                    key.sealed = Sealed::new(Vec::new());
                }
            }
        }
        true
    }
}
