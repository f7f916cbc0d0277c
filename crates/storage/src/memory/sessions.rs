//! Short-lived state.

use std::time::Duration;

use async_trait::async_trait;
use countersign_domain::{
    challenge::ChallengeRecord,
    port::{
        PortError,
        session_store::{AttemptId, Bucket, Reservation, SessionStore, Settlement},
    },
    secret::Digest,
    time::Timestamp,
    transaction::TransactionRecord,
};

use super::{MemoryStore, State};
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

    #[tracing::instrument(level = "debug", skip_all, name = "store.session.insert_challenge")]
    async fn insert_challenge(&self, record: ChallengeRecord) -> Result<(), PortError> {
        let mut state = self.lock();
        state.challenges.retain(|_, earlier| earlier.slot != record.slot);
        state.challenges.insert(record.digest, record);
        Ok(())
    }

    #[tracing::instrument(level = "debug", skip_all, name = "store.session.take_try")]
    async fn take_try(&self, digest: &Digest) -> Result<Option<ChallengeRecord>, PortError> {
        let mut state = self.lock();
        let Some(record) = state.challenges.get_mut(digest) else { return Ok(None) };
        let before = record.clone();
        record.tries = record.tries.saturating_sub(1);
        Ok(Some(before))
    }

    #[tracing::instrument(level = "debug", skip_all, name = "store.session.find_challenge")]
    async fn find_challenge(&self, digest: &Digest) -> Result<Option<ChallengeRecord>, PortError> {
        Ok(self.lock().challenges.get(digest).cloned())
    }

    #[tracing::instrument(level = "debug", skip_all, name = "store.session.decide")]
    async fn decide(&self, digest: &Digest, mark: Digest) -> Result<Option<Digest>, PortError> {
        let mut state = self.lock();
        let Some(record) = state.challenges.get_mut(digest) else { return Ok(None) };
        Ok(Some(*record.decision.get_or_insert(mark)))
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
        if let Some(digest) = &settlement.challenge {
            state.challenges.remove(digest);
        }
        for (bucket, attempt) in &settlement.refund {
            if let Some((level, _)) = state.buckets.remove(&bucket.key)
                && let Some(level) = level.refunded(bucket, *attempt, now)
            {
                state.buckets.insert(bucket.key.clone(), (level, level.full_at(bucket)));
            }
        }
        if let Some(key) = &settlement.reset {
            state.buckets.remove(key);
        }
    }

    #[tracing::instrument(level = "debug", skip_all, name = "store.session.purge")]
    async fn purge(&self, now: Timestamp) -> Result<u64, PortError> {
        let mut state = self.lock();
        let rows = |state: &State| state.transactions.len() + state.challenges.len() + state.buckets.len();
        let before = rows(&state);
        state.transactions.retain(|_, record| record.expires_at >= now.minus(KEPT_AFTER_EXPIRY));
        state.challenges.retain(|_, record| record.expires_at >= now.minus(KEPT_AFTER_EXPIRY));
        state.buckets.retain(|_, (_, full_at)| *full_at > now);
        Ok(u64::try_from(before - rows(&state)).unwrap_or(u64::MAX))
    }

    async fn ping(&self) -> Result<(), PortError> {
        Ok(())
    }
}
