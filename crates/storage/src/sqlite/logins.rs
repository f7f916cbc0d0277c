//! The commit point. Every one-time thing is one conditional statement, judged by the rows it changed.

use async_trait::async_trait;
use countersign_domain::{
    audit::AuditEvent,
    id::UserId,
    message::OutboxRow,
    port::{
        PortError,
        login_store::{
            CommitOutcome, ConsumedTransaction, Counted, Failure, LastProven, LoginCommit, LoginStore, ProofQuery,
            UsedAssertion,
        },
    },
    time::Timestamp,
};
use rusqlite::{Connection, params};

use super::{
    SqliteStore, burn, failures,
    outbox::insert_messages,
    proofs, refresh, repudiations, rows,
    transaction::Transaction,
    writer::{Durability, Step},
};

/// Rows that one job sweeps: sweeping must not keep logins waiting.
const SWEEP: usize = 1000;

#[async_trait]
impl LoginStore for SqliteStore {
    #[tracing::instrument(level = "debug", skip_all, name = "store.login.commit")]
    async fn commit(&self, login: LoginCommit) -> Result<CommitOutcome, PortError> {
        self.writer
            .submit(Durability::Full, move |connection| {
                Ok(match decide(connection, &login)? {
                    CommitOutcome::Committed => Step::Keep(CommitOutcome::Committed),
                    refused => Step::Undo(refused),
                })
            })
            .await
    }

    #[tracing::instrument(level = "debug", skip_all, name = "store.login.is_completed")]
    async fn is_completed(&self, login: &ConsumedTransaction) -> Result<bool, PortError> {
        self.readers.read_statement(|connection| burn::is_login_marked(connection, login))
    }

    #[tracing::instrument(level = "debug", skip_all, name = "store.login.last_proven")]
    async fn last_proven(&self, user: &UserId, query: ProofQuery) -> Result<LastProven, PortError> {
        self.readers.read(|connection| proofs::last(connection, user, &query))
    }

    #[tracing::instrument(level = "debug", skip_all, name = "store.login.count_failure")]
    async fn count_failure(&self, user: &UserId, failure: Failure) -> Result<Counted, PortError> {
        let user = user.clone();
        self.unwritten.hurry();
        self.writer
            .submit(Durability::Full, move |connection| failures::count(connection, &user, &failure).map(Step::Keep))
            .await
    }

    #[tracing::instrument(level = "debug", skip_all, name = "store.login.record")]
    async fn record(&self, audit: AuditEvent, messages: Vec<OutboxRow>) -> Result<(), PortError> {
        self.writer
            .submit(Durability::Full, move |connection| {
                insert_messages(connection, &messages)?;
                rows::insert_audit(connection, &audit).map(Step::Keep)
            })
            .await
    }

    #[tracing::instrument(level = "debug", skip_all, name = "store.login.note")]
    async fn note(&self, audit: AuditEvent) -> Result<(), PortError> {
        self.writer
            .submit(Durability::Session, move |connection| rows::insert_audit(connection, &audit).map(Step::Keep))
            .await
    }

    #[tracing::instrument(level = "debug", skip_all, name = "store.login.redeem_assertion")]
    async fn redeem_assertion(&self, assertion: UsedAssertion) -> Result<bool, PortError> {
        self.writer
            .submit(Durability::Full, move |connection| {
                let new = connection
                    .prepare_cached(
                        "INSERT INTO used_assertion (digest, sweep_at) SELECT ?1, ?2 \
                         WHERE NOT EXISTS (SELECT 1 FROM lineage WHERE fenced_at >= ?3) ON CONFLICT DO NOTHING",
                    )?
                    .execute(params![
                        assertion.digest.as_bytes(),
                        assertion.sweep_at.as_millis(),
                        assertion.usable_from.as_millis()
                    ])?;
                Ok(Step::Keep(new == 1))
            })
            .await
    }

    #[tracing::instrument(level = "debug", skip_all, name = "store.login.purge")]
    async fn purge(&self, now: Timestamp) -> Result<u64, PortError> {
        let mut total = 0;
        loop {
            let swept =
                self.writer.submit(Durability::Full, move |connection| sweep(connection, now).map(Step::Keep)).await?;
            total += u64::try_from(swept).unwrap_or(0);
            if swept < SWEEP {
                return Ok(total);
            }
        }
    }
}

fn decide(connection: &Transaction<'_>, login: &LoginCommit) -> rusqlite::Result<CommitOutcome> {
    if let Some(transaction) = &login.transaction
        && !burn::mark(connection, "mfa_transaction", &transaction.digest, transaction.sweep_at)?
    {
        return Ok(CommitOutcome::TransactionSpent);
    }
    if !rows::account_stands(connection, &login.user, login.epoch)? {
        return Ok(CommitOutcome::AccountChanged);
    }
    if !refresh::apply(connection, login)? {
        return Ok(CommitOutcome::RefreshSpent);
    }
    if login.begins_grace && !rows::tell(connection, &login.user, login.now)? {
        return Ok(CommitOutcome::ToldBefore);
    }
    if !burn::burn(connection, login)? {
        return Ok(CommitOutcome::ProofSpent);
    }
    if let Some(proof) = &login.proof {
        proofs::remember(connection, login, proof)?;
    }
    if let Some(repudiation) = &login.repudiation {
        repudiations::insert(connection, &login.user, repudiation)?;
    }
    insert_messages(connection, &login.messages)?;
    rows::insert_audit(connection, &login.audit)?;
    Ok(CommitOutcome::Committed)
}

fn sweep(connection: &Connection, now: Timestamp) -> rusqlite::Result<usize> {
    let marks = connection
        .prepare_cached(
            "DELETE FROM consumed WHERE (sweep_at, kind, id) IN \
             (SELECT sweep_at, kind, id FROM consumed WHERE sweep_at <= ?1 LIMIT ?2)",
        )?
        .execute(params![now.as_millis(), rows::signed(SWEEP as u64)])?;
    let pending = connection
        .prepare_cached(
            "DELETE FROM authenticator WHERE (user_id, id) IN (SELECT user_id, id FROM authenticator \
             WHERE status = 'pending' AND pending_until <= ?1 LIMIT ?2)",
        )?
        .execute(params![now.as_millis(), rows::signed(SWEEP as u64)])?;
    // A code that waits for a confirmation goes with the last authenticator that could have brought it.
    let codes = connection
        .prepare_cached(
            "DELETE FROM recovery_code WHERE (user_id, id) IN (SELECT c.user_id, c.id FROM recovery_code AS c \
             WHERE c.status = 'pending' AND NOT EXISTS \
             (SELECT 1 FROM authenticator AS a WHERE a.user_id = c.user_id AND a.bearer = c.bearer) LIMIT ?1)",
        )?
        .execute([rows::signed(SWEEP as u64)])?;
    let links = repudiations::sweep(connection, now, rows::signed(SWEEP as u64))?;
    let assertions = connection
        .prepare_cached(
            "DELETE FROM used_assertion WHERE digest IN (SELECT digest FROM used_assertion WHERE sweep_at <= ?1 LIMIT ?2)",
        )?
        .execute(params![now.as_millis(), rows::signed(SWEEP as u64)])?;
    let families = refresh::sweep(connection, now, rows::signed(SWEEP as u64))?;
    Ok(marks + pending + codes + links + assertions + families)
}
