//! Short-lived state.

use std::time::Duration;

use async_trait::async_trait;
use countersign_domain::{
    port::{
        PortError,
        session_store::{AttemptId, Bucket, Reservation, SessionStore, Settlement},
    },
    secret::Digest,
    time::Timestamp,
    transaction::TransactionRecord,
};

use super::MemoryStore;
use crate::{KEPT_AFTER_EXPIRY, bucket::Level};

#[async_trait]
impl SessionStore for MemoryStore {
    #[tracing::instrument(level = "debug", skip_all, name = "store.session.insert_transaction")]
    async fn insert_transaction(&self, record: TransactionRecord) -> Result<(), PortError> {
        self.lock().transactions.entry(record.digest).or_insert(record);
        Ok(())
    }

    #[tracing::instrument(level = "debug", skip_all, name = "store.session.find_transaction")]
    async fn find_transaction(&self, digest: &Digest) -> Result<Option<TransactionRecord>, PortError> {
        Ok(self.lock().transactions.get(digest).cloned())
    }

    #[tracing::instrument(level = "debug", skip_all, name = "store.session.exhaust_transaction")]
    async fn exhaust_transaction(&self, digest: &Digest) -> Result<(), PortError> {
        if let Some(record) = self.lock().transactions.get_mut(digest) {
            record.exhausted = true;
        }
        Ok(())
    }

    #[tracing::instrument(level = "debug", skip_all, name = "store.session.reserve")]
    async fn reserve(&self, buckets: &[Bucket], attempt: AttemptId, now: Timestamp) -> Result<Reservation, PortError> {
        let mut state = self.lock();
        let mut charged = Vec::with_capacity(buckets.len());
        for (place, bucket) in buckets.iter().enumerate() {
            let level = state.buckets.get(&bucket.key).map_or_else(|| Level::full(bucket, now), |(level, _)| *level);
            match level.charged(bucket, attempt, now) {
                Ok(level) => charged.push((bucket.key.clone(), (level, level.full_at(bucket)))),
                Err(retry_after) => return Ok(Reservation::Denied { bucket: place, retry_after }),
            }
        }
        state.buckets.extend(charged);
        Ok(Reservation::Granted)
    }

    #[tracing::instrument(level = "debug", skip_all, name = "store.session.wait_of")]
    async fn wait_of(&self, bucket: &Bucket, now: Timestamp) -> Result<Duration, PortError> {
        Ok(self.lock().buckets.get(&bucket.key).map_or(Duration::ZERO, |(level, _)| level.wait(bucket, now)))
    }

    #[tracing::instrument(level = "debug", skip_all, name = "store.session.settle")]
    async fn settle(&self, settlement: Settlement, now: Timestamp) {
        let mut state = self.lock();
        if let Some(digest) = &settlement.transaction {
            state.transactions.remove(digest);
        }
        if let Some((bucket, attempt)) = &settlement.refund
            && let Some((level, _)) = state.buckets.remove(&bucket.key)
            && let Some(level) = level.refunded(bucket, *attempt, now)
        {
            state.buckets.insert(bucket.key.clone(), (level, level.full_at(bucket)));
        }
        if let Some(key) = &settlement.reset {
            state.buckets.remove(key);
        }
    }

    #[tracing::instrument(level = "debug", skip_all, name = "store.session.purge")]
    async fn purge(&self, now: Timestamp) -> Result<u64, PortError> {
        let mut state = self.lock();
        let before = state.transactions.len() + state.buckets.len();
        state.transactions.retain(|_, record| record.expires_at >= now.minus(KEPT_AFTER_EXPIRY));
        state.buckets.retain(|_, (_, full_at)| *full_at > now);
        Ok(u64::try_from(before - state.transactions.len() - state.buckets.len()).unwrap_or(u64::MAX))
    }

    async fn ping(&self) -> Result<(), PortError> {
        Ok(())
    }
}
