//! Short-lived state in Redis.
//!
//! A transaction is one string: whether it is exhausted, one byte; when it ends, eight; the sealed rest. A bucket is a hash of
//! `n`, `at` and `last`.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use countersign_domain::{
    port::{
        PortError,
        session_store::{AttemptId, Bucket, Reservation, SessionStore, Settlement},
    },
    secret::{Digest, Sealed},
    time::Timestamp,
    transaction::TransactionRecord,
};
use redis::RedisError;

use super::{RedisSessionStore, SESSION_STORE, TimeSource, connection, keys};
use crate::KEPT_AFTER_EXPIRY;

#[async_trait]
impl SessionStore for RedisSessionStore {
    #[tracing::instrument(level = "debug", skip_all, name = "store.session.insert_transaction")]
    async fn insert_transaction(&self, record: TransactionRecord) -> Result<(), PortError> {
        let mut command = redis::cmd("SET");
        command.arg(keys::transaction(&record.digest)).arg(encode(&record)).arg("NX");
        match self.inner.time {
            TimeSource::Server => command.arg("PXAT").arg(record.expires_at.plus(KEPT_AFTER_EXPIRY).as_millis()),
            // The caller's clock may be far from this server's, so its times cannot be given as they are.
            TimeSource::Caller => command.arg("PX").arg(millis(KEPT_AFTER_EXPIRY * 2)),
        };
        let mut connection = self.inner.connection();
        self.inner.within(command.exec_async(&mut connection)).await
    }

    #[tracing::instrument(level = "debug", skip_all, name = "store.session.find_transaction")]
    async fn find_transaction(&self, digest: &Digest) -> Result<Option<TransactionRecord>, PortError> {
        let mut command = redis::cmd("GET");
        command.arg(keys::transaction(digest));
        let mut connection = self.inner.connection();
        let kept: Option<Vec<u8>> = self.inner.within(command.query_async(&mut connection)).await?;
        kept.map(|kept| decode(*digest, &kept)).transpose()
    }

    #[tracing::instrument(level = "debug", skip_all, name = "store.session.exhaust_transaction")]
    async fn exhaust_transaction(&self, digest: &Digest) -> Result<(), PortError> {
        let call = self.inner.scripts.exhaust(keys::transaction(digest));
        let mut connection = self.inner.connection();
        self.inner.within(call.invoke_async::<()>(&mut connection)).await
    }

    #[tracing::instrument(level = "debug", skip_all, name = "store.session.reserve")]
    async fn reserve(&self, buckets: &[Bucket], attempt: AttemptId, now: Timestamp) -> Result<Reservation, PortError> {
        let call = self.inner.scripts.reserve(buckets, attempt, now, self.inner.time);
        let mut connection = self.inner.connection();
        let (empty, wait): (usize, u64) = self.inner.within(call.invoke_async(&mut connection)).await?;
        Ok(match empty.checked_sub(1) {
            None => Reservation::Granted,
            Some(bucket) => Reservation::Denied { bucket, retry_after: Duration::from_millis(wait) },
        })
    }

    #[tracing::instrument(level = "debug", skip_all, name = "store.session.wait_of")]
    async fn wait_of(&self, bucket: &Bucket, now: Timestamp) -> Result<Duration, PortError> {
        let call = self.inner.scripts.wait(bucket, now, self.inner.time);
        let mut connection = self.inner.connection();
        self.inner.within(call.invoke_async(&mut connection)).await.map(Duration::from_millis)
    }

    #[tracing::instrument(level = "debug", skip_all, name = "store.session.settle")]
    async fn settle(&self, settlement: Settlement, now: Timestamp) {
        // A password's failures are forgotten before its login goes on: whoever tries next must not find them.
        let wait = settlement.transaction.is_none();
        let inner = Arc::clone(&self.inner);
        let task = tokio::spawn(async move {
            // Both are written to one connection at once, without waiting in between.
            let (mut forgetting, mut refunding) = {
                let connection = inner.connection();
                (connection.clone(), connection)
            };
            let mut forget = redis::pipe();
            if let Some(digest) = &settlement.transaction {
                forget.del(keys::transaction(digest)).ignore();
            }
            if let Some(key) = &settlement.reset {
                forget.del(keys::bucket(key)).ignore();
            }
            let refund = settlement
                .refund
                .as_ref()
                .map(|(bucket, attempt)| inner.scripts.refund(bucket, *attempt, now, inner.time));
            let forgotten = async {
                if forget.is_empty() {
                    return Ok(());
                }
                inner.within(forget.exec_async(&mut forgetting)).await
            };
            let refunded = async {
                match &refund {
                    Some(call) => inner.within(call.invoke_async::<()>(&mut refunding)).await,
                    None => Ok(()),
                }
            };
            let (forgotten, refunded) = tokio::join!(forgotten, refunded);
            for error in [forgotten.err(), refunded.err()].into_iter().flatten() {
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                tracing::warn!(%error, cause, "a follow-up was not written");
            }
        });
        if wait && task.await.is_err() {
            tracing::error!("a follow-up panicked");
        }
    }

    async fn purge(&self, _now: Timestamp) -> Result<u64, PortError> {
        // Every key has a time to live.
        Ok(0)
    }

    #[tracing::instrument(level = "debug", skip_all, name = "store.session.ping")]
    async fn ping(&self) -> Result<(), PortError> {
        let mut connection = self.inner.connection();
        // Not just PING: who was started with the right settings may have come back with others.
        let memory: String = self.inner.within(redis::cmd("INFO").arg("memory").query_async(&mut connection)).await?;
        if self.inner.allow_eviction {
            return Ok(());
        }
        connection::judge(&memory).map_err(|error| PortError::Unavailable(SESSION_STORE, Box::new(error)))
    }
}

fn encode(record: &TransactionRecord) -> Vec<u8> {
    let mut value = Vec::with_capacity(9 + record.sealed.as_bytes().len());
    value.push(u8::from(record.exhausted));
    value.extend_from_slice(&record.expires_at.as_millis().to_be_bytes());
    value.extend_from_slice(record.sealed.as_bytes());
    value
}

fn decode(digest: Digest, value: &[u8]) -> Result<TransactionRecord, PortError> {
    let short = || PortError::Corrupt(Box::from("a transaction is too short"));
    let (exhausted, rest) = value.split_first().ok_or_else(short)?;
    let (expires_at, sealed) = rest.split_first_chunk::<8>().ok_or_else(short)?;
    Ok(TransactionRecord {
        digest,
        sealed: Sealed::new(sealed.to_vec()),
        expires_at: Timestamp::from_millis(i64::from_be_bytes(*expires_at)),
        exhausted: *exhausted != 0,
    })
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// What the driver says, as the port says it.
pub(super) fn unavailable(error: RedisError) -> PortError {
    PortError::Unavailable(SESSION_STORE, Box::new(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transaction_reads_back_as_it_was_written() {
        let digest = Digest::new([7; 32]);
        for exhausted in [false, true] {
            let record = TransactionRecord {
                digest,
                sealed: Sealed::new(vec![0, 255, 13, 10]),
                expires_at: Timestamp::from_millis(1_795_000_000_123),
                exhausted,
            };
            let read = decode(digest, &encode(&record)).unwrap();
            assert_eq!(read.sealed, record.sealed);
            assert_eq!((read.expires_at, read.exhausted), (record.expires_at, exhausted));
        }
    }

    #[test]
    fn a_cut_transaction_is_damage() {
        for length in 0..9 {
            assert!(matches!(decode(Digest::new([7; 32]), &vec![0; length]), Err(PortError::Corrupt(_))), "{length}");
        }
    }
}
