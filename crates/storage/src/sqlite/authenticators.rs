//! The authenticators.

use async_trait::async_trait;
use countersign_domain::{
    audit::AuditEvent,
    id::{AuthenticatorId, UserId},
    message::{OutboxRow, day::DayCharged},
    port::{
        PortError,
        authenticator_store::{
            AuthenticatorChange, AuthenticatorStore, DeviceRecord, EnrollmentBegun, NewEnrollment, Spared,
        },
    },
    secret::Digest,
    time::Timestamp,
};
use rusqlite::{Connection, params};

use super::{
    SqliteStore,
    outbox::insert_messages,
    rows, sent,
    transaction::Transaction,
    writer::{Durability, Step},
};

#[async_trait]
impl AuthenticatorStore for SqliteStore {
    #[tracing::instrument(level = "debug", skip_all, name = "store.authenticator.begin_enrollment")]
    async fn begin_enrollment(&self, enrollment: NewEnrollment, now: Timestamp) -> Result<EnrollmentBegun, PortError> {
        self.writer
            .submit(Durability::Full, move |connection| {
                Ok(match begin(connection, &enrollment, now)? {
                    over @ EnrollmentBegun::DayIsOver { .. } => Step::Undo(over),
                    begun => Step::Keep(begun),
                })
            })
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
                        change.name.as_ref().and_then(Option::as_deref),
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

    #[tracing::instrument(level = "debug", skip_all, name = "store.authenticator.keep_device")]
    async fn keep_device(&self, device: DeviceRecord, now: Timestamp) -> Result<bool, PortError> {
        self.writer
            .submit(Durability::Full, move |connection| {
                let kept = connection
                    .prepare_cached(
                        "UPDATE authenticator SET state = ?3, address = ?4, name = coalesce(?5, name) \
                         WHERE user_id = ?1 AND id = ?2 AND kind = 'push' AND state = ?8 AND CASE WHEN ?6 \
                         THEN status = 'pending' AND pending_until > ?7 AND address IS NULL \
                         ELSE status = 'active' AND address = ?4 END",
                    )?
                    .execute(params![
                        device.user.as_str(),
                        device.authenticator.as_str(),
                        device.state.as_bytes(),
                        device.key.as_bytes(),
                        device.name,
                        device.registers,
                        now.as_millis(),
                        device.before.as_bytes(),
                    ])?;
                if kept == 0 {
                    return Ok(Step::Undo(false));
                }
                rows::insert_audit(connection, &device.audit)?;
                Ok(Step::Keep(true))
            })
            .await
    }

    #[tracing::instrument(level = "debug", skip_all, name = "store.authenticator.delete")]
    async fn delete(
        &self,
        user: &UserId,
        authenticator: &AuthenticatorId,
        spares: Option<Spared>,
        messages: Vec<OutboxRow>,
        audit: AuditEvent,
    ) -> Result<bool, PortError> {
        let (user, authenticator) = (user.clone(), authenticator.clone());
        self.writer
            .submit(Durability::Full, move |connection| {
                match remove(connection, &user, &authenticator)? {
                    Removed::Nothing => return Ok(Step::Undo(false)),
                    Removed::Pending => {}
                    Removed::Confirmed => {
                        let risen = connection
                            .prepare_cached(
                                "UPDATE user SET epoch = epoch + 1, spared = ?3, updated_at = ?2 \
                                 WHERE id = ?1 AND (?4 IS NULL OR epoch + 1 = ?4)",
                            )?
                            .execute(params![
                                user.as_str(),
                                audit.at.as_millis(),
                                spares.map(|spares| *spares.digest.as_bytes()),
                                spares.map(|spares| rows::signed(spares.epoch))
                            ])?;
                        if risen == 0 {
                            return Ok(Step::Undo(false));
                        }
                        insert_messages(connection, &messages)?;
                    }
                }
                rows::insert_audit(connection, &audit)?;
                Ok(Step::Keep(true))
            })
            .await
    }
}

/// What was removed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Removed {
    Nothing,
    Pending,
    Confirmed,
}

/// Removes one authenticator and what is paired with it, and with the last one the recovery code.
pub(super) fn remove(
    connection: &Connection,
    user: &UserId,
    authenticator: &AuthenticatorId,
) -> rusqlite::Result<Removed> {
    let pending = connection
        .prepare_cached(
            "DELETE FROM authenticator WHERE user_id = ?1 AND (id = ?2 OR pair = \
             (SELECT pair FROM authenticator WHERE user_id = ?1 AND id = ?2)) \
             RETURNING status = 'pending'",
        )?
        .query_map([user.as_str(), authenticator.as_str()], |row| row.get(0))?
        .collect::<rusqlite::Result<Vec<bool>>>()?;
    if pending.is_empty() {
        return Ok(Removed::Nothing);
    }
    connection
        .prepare_cached(
            "DELETE FROM recovery_code WHERE user_id = ?1 AND NOT EXISTS \
             (SELECT 1 FROM authenticator AS a WHERE a.user_id = ?1 \
              AND (a.status <> 'pending' OR a.bearer = recovery_code.bearer))",
        )?
        .execute([user.as_str()])?;
    Ok(if pending.contains(&false) { Removed::Confirmed } else { Removed::Pending })
}

fn begin(
    connection: &Transaction<'_>,
    enrollment: &NewEnrollment,
    now: Timestamp,
) -> rusqlite::Result<EnrollmentBegun> {
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
    let companion = enrollment.companion.as_ref();
    let wanted = 1 + usize::from(companion.is_some());
    if usize::try_from(all).is_ok_and(|all| all + wanted > enrollment.limit) {
        return Ok(EnrollmentBegun::LimitReached);
    }
    if let DayCharged::Reached { charge } = sent::charge(connection, &enrollment.charges)? {
        return Ok(EnrollmentBegun::DayIsOver { charge });
    }
    for authenticator in std::iter::once(&enrollment.authenticator).chain(companion) {
        rows::insert_authenticator(connection, authenticator)?;
    }
    let (code, digest) = &enrollment.recovery_code;
    let with_recovery_code = rows::insert_recovery_code(connection, user, code, code.status, digest, bearer)?;
    insert_messages(connection, &enrollment.messages)?;
    rows::insert_audit(connection, &enrollment.audit)?;
    Ok(EnrollmentBegun::Begun { with_recovery_code })
}
