//! Short-lived state in Redis.
//!
//! A transaction is one string, and so is a challenge; its slot is another. A bucket is a hash of `n`, `at` and `last`.

use std::{future::poll_fn, sync::Arc, task::Poll, time::Duration};

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
use redis::RedisError;

use super::{
    Inner, RedisSessionStore, SESSION_STORE, TimeSource, connection, keys,
    records::{decode_challenge, decode_mark, decode_transaction, encode_transaction},
};
use crate::KEPT_AFTER_EXPIRY;

#[async_trait]
impl SessionStore for RedisSessionStore {
    #[tracing::instrument(level = "debug", skip_all, name = "store.session.insert_transaction")]
    async fn insert_transaction(&self, record: TransactionRecord) -> Result<(), PortError> {
        let mut command = redis::cmd("SET");
        let (unit, ttl) = time_to_live(record.expires_at, self.inner.time);
        command.arg(keys::transaction(&record.digest)).arg(encode_transaction(&record)).arg("NX").arg(unit).arg(ttl);
        let mut connection = self.inner.connection.clone();
        self.inner.within(command.exec_async(&mut connection)).await
    }

    #[tracing::instrument(level = "debug", skip_all, name = "store.session.find_transaction")]
    async fn find_transaction(&self, digest: &Digest) -> Result<Option<TransactionRecord>, PortError> {
        let mut command = redis::cmd("GET");
        command.arg(keys::transaction(digest));
        let mut connection = self.inner.connection.clone();
        let kept: Option<Vec<u8>> = self.inner.within(command.query_async(&mut connection)).await?;
        kept.map(|kept| decode_transaction(*digest, &kept)).transpose()
    }

    #[tracing::instrument(level = "debug", skip_all, name = "store.session.exhaust_transaction")]
    async fn exhaust_transaction(&self, digest: &Digest) -> Result<(), PortError> {
        let call = self.inner.scripts.exhaust(keys::transaction(digest));
        let mut connection = self.inner.connection.clone();
        self.inner.within(call.invoke_async::<()>(&mut connection)).await
    }

    #[tracing::instrument(level = "debug", skip_all, name = "store.session.insert_challenge")]
    async fn insert_challenge(&self, record: ChallengeRecord) -> Result<(), PortError> {
        let call = self.inner.scripts.challenge(&record, time_to_live(record.expires_at, self.inner.time));
        let mut connection = self.inner.connection.clone();
        self.inner.within(call.invoke_async::<()>(&mut connection)).await
    }

    #[tracing::instrument(level = "debug", skip_all, name = "store.session.take_try")]
    async fn take_try(&self, digest: &Digest) -> Result<Option<ChallengeRecord>, PortError> {
        let call = self.inner.scripts.take_try(digest);
        let mut connection = self.inner.connection.clone();
        let kept: Option<Vec<u8>> = self.inner.within(call.invoke_async(&mut connection)).await?;
        kept.map(|kept| decode_challenge(*digest, &kept)).transpose()
    }

    #[tracing::instrument(level = "debug", skip_all, name = "store.session.find_challenge")]
    async fn find_challenge(&self, digest: &Digest) -> Result<Option<ChallengeRecord>, PortError> {
        let mut command = redis::cmd("GET");
        command.arg(keys::challenge(digest));
        let mut connection = self.inner.connection.clone();
        let kept: Option<Vec<u8>> = self.inner.within(command.query_async(&mut connection)).await?;
        kept.map(|kept| decode_challenge(*digest, &kept)).transpose()
    }

    #[tracing::instrument(level = "debug", skip_all, name = "store.session.decide")]
    async fn decide(&self, digest: &Digest, mark: Digest) -> Result<Option<Digest>, PortError> {
        let call = self.inner.scripts.decide(digest, &mark);
        let mut connection = self.inner.connection.clone();
        let stands: Option<Vec<u8>> = self.inner.within(call.invoke_async(&mut connection)).await?;
        stands.map(|mark| decode_mark(&mark)).transpose()
    }

    #[tracing::instrument(level = "debug", skip_all, name = "store.session.reserve")]
    async fn reserve(&self, buckets: &[Bucket], attempt: AttemptId, now: Timestamp) -> Result<Reservation, PortError> {
        let call = self.inner.scripts.reserve(buckets, attempt, now, self.inner.time);
        let mut connection = self.inner.connection.clone();
        let (empty, wait): (usize, u64) = self.inner.within(call.invoke_async(&mut connection)).await?;
        Ok(match empty.checked_sub(1) {
            None => Reservation::Granted,
            Some(bucket) => Reservation::Denied { bucket, retry_after: Duration::from_millis(wait) },
        })
    }

    #[tracing::instrument(level = "debug", skip_all, name = "store.session.wait_of")]
    async fn wait_of(&self, bucket: &Bucket, now: Timestamp) -> Result<Duration, PortError> {
        let call = self.inner.scripts.wait(bucket, now, self.inner.time);
        let mut connection = self.inner.connection.clone();
        self.inner.within(call.invoke_async(&mut connection)).await.map(Duration::from_millis)
    }

    #[tracing::instrument(level = "debug", skip_all, name = "store.session.settle")]
    async fn settle(&self, settlement: Settlement, now: Timestamp) {
        // A password's failures are forgotten before its login goes on: whoever tries next must not find them.
        let wait = settlement.transaction.is_none();
        let mut work = Box::pin(follow_up(Arc::clone(&self.inner), settlement, now));
        if wait {
            return work.await;
        }
        // It is on its way when this returns, and nobody waits for the reply: a login that is presented again is asked for behind it.
        let sent = poll_fn(|context| Poll::Ready(work.as_mut().poll(context))).await;
        if sent.is_pending() {
            tokio::spawn(work);
        }
    }

    async fn purge(&self, _now: Timestamp) -> Result<u64, PortError> {
        // Every key has a time to live.
        Ok(0)
    }

    #[tracing::instrument(level = "debug", skip_all, name = "store.session.ping")]
    async fn ping(&self) -> Result<(), PortError> {
        let mut connection = self.inner.connection.clone();
        // One whose memory is full reads, and takes no login.
        let mut probe = redis::cmd("SET");
        probe.arg(keys::PROBE).arg(1).arg("PX").arg(millis(PROBE_KEPT));
        self.inner.within(probe.exec_async(&mut connection)).await?;
        // Not just PING: who was started with the right settings may have come back with others.
        let memory: String = self.inner.within(redis::cmd("INFO").arg("memory").query_async(&mut connection)).await?;
        if self.inner.allow_eviction {
            return Ok(());
        }
        connection::judge(&memory).map_err(|error| PortError::Unavailable(SESSION_STORE, Box::new(error)))
    }
}

/// Forgets and gives back, in one step.
async fn follow_up(inner: Arc<Inner>, settlement: Settlement, now: Timestamp) {
    let mut connection = inner.connection.clone();
    let call = inner.scripts.settle(&settlement, now, inner.time);
    if let Err(error) = inner.within(call.invoke_async::<()>(&mut connection)).await {
        let cause = std::error::Error::source(&error).map(ToString::to_string);
        tracing::warn!(%error, cause, "a follow-up was not written");
    }
}

/// How long what was written to find out whether it can be stays.
const PROBE_KEPT: Duration = Duration::from_secs(60);

/// When a record that ends at `expires_at` goes, as `SET` takes it.
fn time_to_live(expires_at: Timestamp, time: TimeSource) -> (&'static str, u64) {
    match time {
        TimeSource::Server => {
            ("PXAT", u64::try_from(expires_at.plus(KEPT_AFTER_EXPIRY).as_millis()).unwrap_or_default())
        }
        // The caller's clock may be far from this server's, so its times cannot be given as they are.
        TimeSource::Caller => ("PX", millis(KEPT_AFTER_EXPIRY * 2)),
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// What the driver says, as the port says it.
pub(super) fn unavailable(error: RedisError) -> PortError {
    PortError::Unavailable(SESSION_STORE, Box::new(error))
}
