//! Data keys, and what is sealed with them.

use std::collections::BTreeMap;

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

use super::{MemoryStore, State};

#[async_trait]
impl DataKeyStore for MemoryStore {
    async fn list_data_keys(&self) -> Result<Vec<StoredDataKey>, PortError> {
        let mut keys = self.lock().data_keys.clone();
        keys.sort_by_key(|key| (key.seals_from, key.id));
        Ok(keys)
    }

    async fn insert_data_key(
        &self,
        key: StoredDataKey,
        first: StoredDataKey,
        audit: AuditEvent,
    ) -> Result<bool, PortError> {
        let mut state = self.lock();
        if state.data_keys.iter().any(|other| other.seals_from > key.created_at || other.id == key.id) {
            return Ok(false);
        }
        if state.data_keys.iter().all(|other| other.id != first.id) {
            state.data_keys.push(first);
        }
        state.data_keys.push(key);
        state.audit.push(audit);
        Ok(true)
    }

    async fn take_seals(&self, key: DataKeyId, seals: u64, limit: u64) -> Result<Option<u64>, PortError> {
        let mut state = self.lock();
        let taken = state.seals.get(&key).copied().unwrap_or_default().saturating_add(seals);
        if taken > limit {
            return Ok(None);
        }
        state.seals.insert(key, taken);
        Ok(Some(taken))
    }

    async fn list_seals(&self) -> Result<Vec<(DataKeyId, u64)>, PortError> {
        Ok(self.lock().seals.iter().map(|(key, taken)| (*key, *taken)).collect())
    }

    async fn count_sealed(&self, now: Timestamp) -> Result<Vec<SealedCount>, PortError> {
        Ok(self.lock().count_sealed(now))
    }

    async fn list_sealed(
        &self,
        column: SealedIn,
        key: DataKeyId,
        after: Option<&SealedValue>,
        limit: usize,
    ) -> Result<Vec<SealedValue>, PortError> {
        let mut values = self.lock().kept();
        let comes_after =
            |value: &SealedValue| after.is_none_or(|after| (&value.owner, &value.id) > (&after.owner, &after.id));
        values.retain(|value| {
            value.column == column
                && DataKeyId::of(&value.sealed).is_some_and(|other| other != key)
                && comes_after(value)
        });
        values.sort_by(|a, b| (&a.owner, &a.id).cmp(&(&b.owner, &b.id)));
        values.truncate(limit);
        Ok(values)
    }

    async fn replace_sealed(&self, values: Vec<(SealedValue, Sealed)>) -> Result<usize, PortError> {
        let mut state = self.lock();
        state.check_seals(values.iter().map(|(_, new)| new))?;
        let mut replaced = 0;
        for (value, new) in values {
            if let Some(old) = state.sealed_at(&value).filter(|old| **old == value.sealed) {
                *old = new;
                replaced += 1;
            }
        }
        Ok(replaced)
    }

    async fn drop_data_key(
        &self,
        key: DataKeyId,
        sealed_since: Timestamp,
        now: Timestamp,
        audit: AuditEvent,
    ) -> Result<DataKeyDropped, PortError> {
        let mut state = self.lock();
        let mut counts = state.count_sealed(now);
        counts.retain(|count| count.key == key);
        let Some(from) = state.data_keys.iter().find(|old| old.id == key && old.dropped_at.is_none()) else {
            return Ok(DataKeyDropped::Unknown);
        };
        let from = from.seals_from;
        if !counts.is_empty() {
            return Ok(DataKeyDropped::InUse(counts));
        }
        let took_over =
            |new: &StoredDataKey| new.seals_from > from && new.seals_from <= sealed_since && new.dropped_at.is_none();
        if !state.data_keys.iter().any(took_over) {
            return Ok(DataKeyDropped::Seals);
        }
        if let Some(old) = state.data_keys.iter_mut().find(|old| old.id == key) {
            (old.wrapped, old.dropped_at) = (Sealed::new(Vec::new()), Some(now));
        }
        state.audit.push(audit);
        Ok(DataKeyDropped::Dropped)
    }
}

impl State {
    /// Fails if one of them is sealed with a key that was dropped.
    pub(super) fn check_seals<'a>(&self, sealed: impl IntoIterator<Item = &'a Sealed>) -> Result<(), PortError> {
        let dropped = |sealed: &Sealed| {
            self.data_keys.iter().any(|key| key.dropped_at.is_some() && DataKeyId::of(sealed) == Some(key.id))
        };
        if sealed.into_iter().any(dropped) {
            return Err(PortError::Unavailable("durable store", "sealed with a data key that was dropped".into()));
        }
        Ok(())
    }

    fn kept(&self) -> Vec<SealedValue> {
        let authenticators = self.users.values().flat_map(|entry| entry.authenticators.values()).map(|a| SealedValue {
            column: SealedIn::Authenticators,
            id: a.id.as_str().to_owned(),
            owner: a.user.as_str().to_owned(),
            sealed: a.state.clone(),
        });
        let keys = self.keys.iter().map(|key| SealedValue {
            column: SealedIn::SigningKeys,
            id: key.id.as_str().to_owned(),
            owner: String::new(),
            sealed: key.sealed.clone(),
        });
        let messages = self.outbox.values().map(|row| SealedValue {
            column: SealedIn::Messages,
            id: row.id.as_str().to_owned(),
            owner: row.channel.as_str().to_owned(),
            sealed: row.sealed.clone(),
        });
        authenticators.chain(keys).chain(messages).collect()
    }

    fn count_sealed(&self, now: Timestamp) -> Vec<SealedCount> {
        let kept = self.kept();
        let kept = kept.iter().map(|value| (value.column, &value.sealed));
        let transactions = self.transactions.values().filter(|record| record.expires_at > now);
        let challenges = self.challenges.values().filter(|record| record.expires_at > now);
        let mut counts: BTreeMap<_, u64> = BTreeMap::new();
        for (column, sealed) in kept
            .chain(transactions.map(|record| (SealedIn::Transactions, &record.sealed)))
            .chain(challenges.map(|record| (SealedIn::Challenges, &record.sealed)))
        {
            if let Some(key) = DataKeyId::of(sealed) {
                *counts.entry((column, key)).or_default() += 1;
            }
        }
        counts.into_iter().map(|((column, key), values)| SealedCount { column, key, values }).collect()
    }

    fn sealed_at(&mut self, value: &SealedValue) -> Option<&mut Sealed> {
        match value.column {
            SealedIn::Authenticators => self
                .users
                .values_mut()
                .flat_map(|entry| entry.authenticators.values_mut())
                .find(|a| a.id.as_str() == value.id && a.user.as_str() == value.owner)
                .map(|a| &mut a.state),
            SealedIn::SigningKeys => {
                self.keys.iter_mut().find(|key| key.id.as_str() == value.id).map(|key| &mut key.sealed)
            }
            SealedIn::Messages => self
                .outbox
                .values_mut()
                .find(|row| row.id.as_str() == value.id && row.channel.as_str() == value.owner)
                .map(|row| &mut row.sealed),
            SealedIn::Transactions | SealedIn::Challenges => None,
        }
    }
}
