//! The authenticators.

use async_trait::async_trait;
use countersign_domain::{
    audit::AuditEvent,
    id::{AuthenticatorId, UserId},
    port::{
        PortError,
        authenticator_store::{AuthenticatorChange, AuthenticatorStore, EnrollmentBegun, NewEnrollment},
    },
    secret::Digest,
    time::Timestamp,
};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::{
    SqliteStore, rows,
    writer::{Durability, Step},
};

#[async_trait]
impl AuthenticatorStore for SqliteStore {
    #[tracing::instrument(level = "debug", skip_all, name = "store.authenticator.begin_enrollment")]
    async fn begin_enrollment(&self, enrollment: NewEnrollment, now: Timestamp) -> Result<EnrollmentBegun, PortError> {
        self.writer
            .submit(Durability::Full, move |connection| begin(connection, &enrollment, now).map(Step::Keep))
            .await
    }

    #[tracing::instrument(level = "debug", skip_all, name = "store.authenticator.update")]
    async fn update(
        &self,
        user: &UserId,
        authenticator: &AuthenticatorId,
        change: AuthenticatorChange,
        audit: AuditEvent,
    ) -> Result<bool, PortError> {
        let (user, authenticator) = (user.clone(), authenticator.clone());
        self.writer
            .submit(Durability::Full, move |connection| {
                if change.preferred == Some(true) {
                    connection
                        .prepare_cached("UPDATE authenticator SET preferred = 0 WHERE user_id = ?1 AND preferred = 1")?
                        .execute([user.as_str()])?;
                }
                let changed = connection
                    .prepare_cached(
                        "UPDATE authenticator SET name = iif(?3, ?4, name), preferred = coalesce(?5, preferred) \
                         WHERE user_id = ?1 AND id = ?2 AND status = 'active'",
                    )?
                    .execute(params![
                        user.as_str(),
                        authenticator.as_str(),
                        change.name.is_some(),
                        change.name.flatten(),
                        change.preferred,
                    ])?;
                if changed == 0 {
                    return Ok(Step::Undo(false));
                }
                rows::insert_audit(connection, &audit)?;
                Ok(Step::Keep(true))
            })
            .await
    }

    #[tracing::instrument(level = "debug", skip_all, name = "store.authenticator.delete")]
    async fn delete(
        &self,
        user: &UserId,
        authenticator: &AuthenticatorId,
        audit: AuditEvent,
    ) -> Result<bool, PortError> {
        let (user, authenticator) = (user.clone(), authenticator.clone());
        self.writer
            .submit(Durability::Full, move |connection| {
                let pending: Option<bool> = connection
                    .prepare_cached(
                        "DELETE FROM authenticator WHERE user_id = ?1 AND id = ?2 RETURNING status = 'pending'",
                    )?
                    .query_row([user.as_str(), authenticator.as_str()], |row| row.get(0))
                    .optional()?;
                let Some(pending) = pending else { return Ok(Step::Undo(false)) };
                if !pending {
                    connection
                        .prepare_cached("UPDATE user SET epoch = epoch + 1, updated_at = ?2 WHERE id = ?1")?
                        .execute(params![user.as_str(), audit.at.as_millis()])?;
                }
                connection
                    .prepare_cached(
                        "DELETE FROM recovery_code WHERE user_id = ?1 AND NOT EXISTS \
                         (SELECT 1 FROM authenticator AS a WHERE a.user_id = ?1 \
                          AND (a.status <> 'pending' OR a.bearer = recovery_code.bearer))",
                    )?
                    .execute([user.as_str()])?;
                rows::insert_audit(connection, &audit)?;
                Ok(Step::Keep(true))
            })
            .await
    }
}

fn begin(connection: &Connection, enrollment: &NewEnrollment, now: Timestamp) -> rusqlite::Result<EnrollmentBegun> {
    let user = &enrollment.authenticator.user;
    let bearer = enrollment.authenticator.bearer();
    connection
        .prepare_cached("DELETE FROM authenticator WHERE user_id = ?1 AND status = 'pending' AND pending_until <= ?2")?
        .execute(params![user.as_str(), now.as_millis()])?;
    connection
        .prepare_cached(
            "DELETE FROM recovery_code WHERE user_id = ?1 AND status = 'pending' AND NOT EXISTS \
             (SELECT 1 FROM authenticator AS a WHERE a.user_id = ?1 AND a.bearer = recovery_code.bearer)",
        )?
        .execute([user.as_str()])?;
    if !rows::account_stands(connection, user, enrollment.epoch)? {
        return Ok(EnrollmentBegun::AccountChanged);
    }
    let (all, confirmed): (i64, i64) = connection
        .prepare_cached(
            "SELECT count(*) FILTER (WHERE status <> 'pending' OR bearer = ?2), \
             count(*) FILTER (WHERE status <> 'pending') FROM authenticator WHERE user_id = ?1",
        )?
        .query_row(params![user.as_str(), bearer.as_ref().map(Digest::as_bytes)], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?;
    if enrollment.only_if_unenrolled && confirmed > 0 {
        return Ok(EnrollmentBegun::AlreadyEnrolled);
    }
    if usize::try_from(all).is_ok_and(|all| all >= enrollment.limit) {
        return Ok(EnrollmentBegun::LimitReached);
    }
    rows::insert_authenticator(connection, &enrollment.authenticator)?;
    let (code, digest) = &enrollment.recovery_code;
    let with_recovery_code = rows::insert_recovery_code(connection, user, code, code.status, digest, bearer)?;
    rows::insert_audit(connection, &enrollment.audit)?;
    Ok(EnrollmentBegun::Begun { with_recovery_code })
}
