//! The commit point. Every one-time thing is one conditional statement, judged by the rows it changed.

use async_trait::async_trait;
use countersign_domain::{
    audit::AuditEvent,
    authenticator::RecoveryStatus,
    id::UserId,
    port::{
        PortError,
        login_store::{Burn, CommitOutcome, FailureTarget, LoginCommit, LoginStore},
    },
    time::Timestamp,
};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::{
    SqliteStore, rows,
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

    #[tracing::instrument(level = "debug", skip_all, name = "store.login.count_failure")]
    async fn count_failure(
        &self,
        user: &UserId,
        target: FailureTarget,
        ceiling: u32,
        audit: AuditEvent,
    ) -> Result<(), PortError> {
        let user = user.clone();
        self.unwritten.hurry();
        self.writer
            .submit(Durability::Full, move |connection| {
                count(connection, &user, &target, ceiling)?;
                rows::insert_audit(connection, &audit)?;
                Ok(Step::Keep(()))
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

fn decide(connection: &Connection, login: &LoginCommit) -> rusqlite::Result<CommitOutcome> {
    if let Some(transaction) = &login.transaction {
        let marked = connection
            .prepare_cached(
                "INSERT INTO consumed (sweep_at, kind, id) VALUES (?2, 'mfa_transaction', ?1) ON CONFLICT DO NOTHING",
            )?
            .execute(params![transaction.digest.as_bytes(), transaction.sweep_at.as_millis()])?;
        if marked == 0 {
            return Ok(CommitOutcome::TransactionSpent);
        }
    }
    if !rows::account_stands(connection, &login.user, login.epoch)? {
        return Ok(CommitOutcome::AccountChanged);
    }
    if !burn(connection, login)? {
        return Ok(CommitOutcome::ProofSpent);
    }
    rows::insert_audit(connection, &login.audit)?;
    Ok(CommitOutcome::Committed)
}

/// False if there was nothing left to burn.
fn burn(connection: &Connection, login: &LoginCommit) -> rusqlite::Result<bool> {
    let (user, now) = (login.user.as_str(), login.now.as_millis());
    match &login.burn {
        Burn::Nothing => Ok(true),
        Burn::OtpStep { authenticator, step } => connection
            .prepare_cached(
                "UPDATE authenticator SET last_step = ?3, failures = 0, last_used_at = ?4 \
                 WHERE user_id = ?1 AND id = ?2 AND status = 'active' AND (last_step IS NULL OR last_step < ?3)",
            )?
            .execute(params![user, authenticator.as_str(), rows::signed(*step), now])
            .map(|burnt| burnt == 1),
        Burn::RecoveryCode { presented, successor, successor_digest } => {
            let burnt = connection
                .prepare_cached(
                    "UPDATE recovery_code SET used_at = ?3 \
                     WHERE user_id = ?1 AND digest = ?2 AND status = 'active' AND used_at IS NULL",
                )?
                .execute(params![user, presented.as_bytes(), now])?;
            if burnt == 0 {
                return Ok(false);
            }
            rows::insert_recovery_code(
                connection,
                &login.user,
                successor,
                RecoveryStatus::Active,
                successor_digest,
                None,
            )
        }
        Burn::ConfirmOtp { authenticator, step, only_if_unenrolled } => {
            // The code that was shown with this enrolment; those of other bearers were shown to somebody else.
            connection
                .prepare_cached(
                    "UPDATE recovery_code SET status = 'active', bearer = NULL \
                     WHERE user_id = ?1 AND status = 'pending' AND bearer = \
                     (SELECT bearer FROM authenticator WHERE user_id = ?1 AND id = ?2)",
                )?
                .execute([user, authenticator.as_str()])?;
            connection
                .prepare_cached("DELETE FROM recovery_code WHERE user_id = ?1 AND status = 'pending'")?
                .execute([user])?;
            let confirmed = connection
                .prepare_cached(
                    "UPDATE authenticator SET status = 'active', pending_until = NULL, bearer = NULL, last_step = ?3, failures = 0, \
                     confirmed_at = ?4, last_used_at = ?4 \
                     WHERE user_id = ?1 AND id = ?2 AND status = 'pending' AND pending_until > ?4 \
                     AND NOT (?5 AND EXISTS \
                         (SELECT 1 FROM authenticator WHERE user_id = ?1 AND status <> 'pending'))",
                )?
                .execute(params![user, authenticator.as_str(), rows::signed(*step), now, only_if_unenrolled])?;
            Ok(confirmed == 1)
        }
    }
}

fn count(connection: &Connection, user: &UserId, target: &FailureTarget, ceiling: u32) -> rusqlite::Result<()> {
    match target {
        FailureTarget::Authenticators(ids) => {
            // A pending one is not disabled: a disabled one counts as enrolled, and nobody has proven to own this.
            let mut statement = connection.prepare_cached(
                "UPDATE authenticator SET failures = failures + 1, \
                 status = iif(status = 'active' AND failures + 1 >= ?3, 'disabled', status) \
                 WHERE user_id = ?1 AND id = ?2 RETURNING status = 'disabled' AND failures = ?3",
            )?;
            for id in ids {
                let disabled = statement.query_row(params![user.as_str(), id.as_str(), ceiling], |row| row.get(0));
                if disabled.optional()?.unwrap_or(false) {
                    rows::raise_epoch(connection, user)?;
                }
            }
        }
        FailureTarget::RecoveryCode => {
            let disabled = connection
                .prepare_cached(
                    "UPDATE recovery_code SET failures = failures + 1, \
                     status = iif(failures + 1 >= ?2, 'disabled', status) \
                     WHERE user_id = ?1 AND status = 'active' AND used_at IS NULL RETURNING status = 'disabled'",
                )?
                .query_row(params![user.as_str(), ceiling], |row| row.get(0));
            if disabled.optional()?.unwrap_or(false) {
                rows::raise_epoch(connection, user)?;
            }
        }
    }
    Ok(())
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
    Ok(marks + pending + codes)
}
