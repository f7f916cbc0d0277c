//! Short-lived state, where no other session store is configured.

use std::{collections::HashSet, time::Duration};

use async_trait::async_trait;
use countersign_domain::{
    challenge::ChallengeRecord,
    port::{
        PortError,
        session_store::{AttemptId, Bucket, BucketKey, Reservation, SessionStore, Settlement},
    },
    secret::{Digest, Sealed},
    time::Timestamp,
    transaction::TransactionRecord,
};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::{
    SqliteStore, challenges, rows, stored,
    unwritten::Forgotten,
    writer::{Durability, Step},
};
use crate::{KEPT_AFTER_EXPIRY, bucket::Level};

#[async_trait]
impl SessionStore for SqliteStore {
    #[tracing::instrument(level = "debug", skip_all, name = "store.session.insert_transaction")]
    async fn insert_transaction(&self, record: TransactionRecord) -> Result<(), PortError> {
        self.unwritten.add_transaction(record)?;
        self.watch_unwritten()
    }

    #[tracing::instrument(level = "debug", skip_all, name = "store.session.find_transaction")]
    async fn find_transaction(&self, digest: &Digest) -> Result<Option<TransactionRecord>, PortError> {
        if self.unwritten.has_forgotten(Forgotten::Transaction(*digest)) {
            return Ok(None);
        }
        // In this order: what is committed in between is in both.
        let unwritten = self.unwritten.transaction(digest);
        let row = self.readers.read_statement(|connection| {
            connection
                .prepare_cached("SELECT sealed, expires_at, exhausted FROM mfa_transaction WHERE digest = ?1")?
                .query_row([digest.as_bytes()], |row| {
                    Ok(TransactionRecord {
                        digest: *digest,
                        sealed: Sealed::new(row.get(0)?),
                        expires_at: rows::time(row, 1)?,
                        exhausted: row.get(2)?,
                    })
                })
                .optional()
        })?;
        Ok(row.or(unwritten))
    }

    #[tracing::instrument(level = "debug", skip_all, name = "store.session.exhaust_transaction")]
    async fn exhaust_transaction(&self, digest: &Digest) -> Result<(), PortError> {
        let digest = *digest;
        self.writer
            .submit(Durability::Session, move |connection| {
                connection
                    .prepare_cached("UPDATE mfa_transaction SET exhausted = 1 WHERE digest = ?1")?
                    .execute([digest.as_bytes()])?;
                Ok(Step::Keep(()))
            })
            .await
    }

    #[tracing::instrument(level = "debug", skip_all, name = "store.session.insert_challenge")]
    async fn insert_challenge(&self, record: ChallengeRecord) -> Result<(), PortError> {
        self.unwritten.add_challenge(record)?;
        self.watch_unwritten()
    }

    #[tracing::instrument(level = "debug", skip_all, name = "store.session.take_try")]
    async fn take_try(&self, digest: &Digest) -> Result<Option<ChallengeRecord>, PortError> {
        if self.unwritten.has_forgotten(Forgotten::Challenge(*digest)) {
            return Ok(None);
        }
        let before = self.unwritten.take_try(digest, || self.load_challenge(*digest))?;
        self.watch_unwritten()?;
        Ok(before)
    }

    #[tracing::instrument(level = "debug", skip_all, name = "store.session.find_challenge")]
    async fn find_challenge(&self, digest: &Digest) -> Result<Option<ChallengeRecord>, PortError> {
        if self.unwritten.has_forgotten(Forgotten::Challenge(*digest)) {
            return Ok(None);
        }
        self.unwritten.challenge(digest, || self.load_challenge(*digest))
    }

    #[tracing::instrument(level = "debug", skip_all, name = "store.session.decide")]
    async fn decide(&self, digest: &Digest, mark: Digest) -> Result<Option<Digest>, PortError> {
        let digest = *digest;
        if self.unwritten.has_forgotten(Forgotten::Challenge(digest)) {
            return Ok(None);
        }
        self.writer
            .submit(Durability::Session, move |connection| {
                challenges::decide(connection, &digest, &mark).map(Step::Keep)
            })
            .await
    }

    #[tracing::instrument(level = "debug", skip_all, name = "store.session.reserve")]
    async fn reserve(&self, buckets: &[Bucket], attempt: AttemptId, now: Timestamp) -> Result<Reservation, PortError> {
        let reservation = self.unwritten.reserve(buckets, attempt, now, |key| self.load_bucket(key))?;
        self.watch_unwritten()?;
        Ok(reservation)
    }

    #[tracing::instrument(level = "debug", skip_all, name = "store.session.wait_of")]
    async fn wait_of(&self, bucket: &Bucket, now: Timestamp) -> Result<Duration, PortError> {
        let level = self.unwritten.level(&bucket.key, |key| self.load_bucket(key))?;
        Ok(level.map_or(Duration::ZERO, |level| level.wait(bucket, now)))
    }

    #[tracing::instrument(level = "debug", skip_all, name = "store.session.settle")]
    async fn settle(&self, settlement: Settlement, now: Timestamp) {
        let transaction = settlement.transaction.map(Forgotten::Transaction);
        for forgotten in transaction.into_iter().chain(settlement.challenge.map(Forgotten::Challenge)) {
            self.unwritten.forget(forgotten);
        }
        let refunded = settlement
            .refund
            .iter()
            .map(|(bucket, attempt)| self.unwritten.refund(bucket, *attempt, now, |key| self.load_bucket(key)));
        let refunded: Vec<_> = refunded.collect();
        let filled = match &settlement.reset {
            Some(key) => self.unwritten.reset(key, |key| self.load_bucket(key)),
            None => Ok(()),
        };
        let rest = [filled, self.watch_unwritten()];
        for error in refunded.into_iter().chain(rest).filter_map(Result::err) {
            tracing::warn!(%error, "a follow-up was not done");
        }
    }

    #[tracing::instrument(level = "debug", skip_all, name = "store.session.purge")]
    async fn purge(&self, now: Timestamp) -> Result<u64, PortError> {
        self.unwritten.hurry();
        self.unwritten.begin_to_learn();
        let swept = self
            .writer
            .submit(Durability::Session, move |connection| {
                let transactions = connection
                    .prepare_cached("DELETE FROM mfa_transaction WHERE expires_at < ?1")?
                    .execute([now.minus(KEPT_AFTER_EXPIRY).as_millis()])?;
                let challenges = challenges::sweep(connection, now)?;
                let buckets =
                    connection.prepare_cached("DELETE FROM bucket WHERE full_at <= ?1")?.execute([now.as_millis()])?;
                let swept = u64::try_from(transactions + challenges + buckets).unwrap_or(u64::MAX);
                Ok(Step::Keep((swept, stored_keys(connection)?)))
            })
            .await;
        // Committed, or nothing is unlearnt.
        let (swept, keys) = swept.map_or_else(|error| (Err(error), None), |(swept, keys)| (Ok(swept), Some(keys)));
        self.unwritten.learn(keys);
        swept
    }

    #[tracing::instrument(level = "debug", skip_all, name = "store.session.ping")]
    async fn ping(&self) -> Result<(), PortError> {
        self.touch().await
    }
}

impl SqliteStore {
    fn load_challenge(&self, digest: Digest) -> Result<Option<ChallengeRecord>, PortError> {
        self.readers.read_statement(|connection| challenges::find(connection, digest))
    }

    fn load_bucket(&self, key: &BucketKey) -> Result<Option<Level>, PortError> {
        self.readers.read_statement(|connection| {
            connection
                .prepare_cached("SELECT n, at, last FROM bucket WHERE subject = ?1 AND counter = ?2")?
                .query_row(params![key.subject.as_bytes(), &*key.counter], |row| {
                    Ok(Level {
                        left: row.get(0)?,
                        at: rows::time(row, 1)?,
                        last: row.get::<_, Option<[u8; 16]>>(2)?.map(AttemptId),
                    })
                })
                .optional()
        })
    }

    /// Has what is fresh written, for those who look at the tables.
    pub(super) async fn write_fresh(&self) -> Result<(), PortError> {
        if self.unwritten.is_fresh() {
            self.writer.submit(Durability::Session, |_| Ok(Step::Keep(()))).await?;
        }
        Ok(())
    }

    /// Sees to it that what waits to be written is.
    fn watch_unwritten(&self) -> Result<(), PortError> {
        if self.unwritten.begins_to_wait() { self.writer.wake() } else { Ok(()) }
    }
}

/// Which buckets have rows.
pub(super) fn stored_keys(connection: &Connection) -> rusqlite::Result<HashSet<u64>> {
    let mut rows = connection.prepare_cached("SELECT subject, counter FROM bucket")?;
    rows.query_map([], |row| Ok(stored::short(&row.get(0)?, row.get_ref(1)?.as_str()?)))?.collect()
}

pub(super) fn save_bucket(connection: &Connection, bucket: &Bucket, level: Level) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO bucket (subject, counter, n, at, last, full_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6) \
             ON CONFLICT DO UPDATE SET n = ?3, at = ?4, last = ?5, full_at = ?6",
        )?
        .execute(params![
            bucket.key.subject.as_bytes(),
            &*bucket.key.counter,
            level.left,
            level.at.as_millis(),
            level.last.map(|attempt| attempt.0),
            level.full_at(bucket).as_millis(),
        ])
        .map(|_| ())
}

pub(super) fn delete_bucket(connection: &Connection, key: &BucketKey) -> rusqlite::Result<()> {
    connection
        .prepare_cached("DELETE FROM bucket WHERE subject = ?1 AND counter = ?2")?
        .execute(params![key.subject.as_bytes(), &*key.counter])
        .map(|_| ())
}

/// Keeps a pending login. One with this digest stays as it is.
pub(super) fn insert_transaction(connection: &Connection, record: &TransactionRecord) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO mfa_transaction (digest, sealed, expires_at, exhausted) VALUES (?1, ?2, ?3, ?4) \
             ON CONFLICT DO NOTHING",
        )?
        .execute(params![
            record.digest.as_bytes(),
            record.sealed.as_bytes(),
            record.expires_at.as_millis(),
            record.exhausted,
        ])
        .map(|_| ())
}

pub(super) fn delete_transaction(connection: &Connection, digest: &Digest) -> rusqlite::Result<()> {
    connection.prepare_cached("DELETE FROM mfa_transaction WHERE digest = ?1")?.execute([digest.as_bytes()]).map(|_| ())
}
