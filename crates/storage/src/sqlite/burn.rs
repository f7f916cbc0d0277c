//! What a login uses up. Every one-time thing is one conditional statement, judged by the rows it changed.

use countersign_domain::{
    authenticator::RecoveryStatus,
    id::{AuthenticatorId, PairId},
    port::login_store::{Burn, ConsumedTransaction, LoginCommit, Spent},
    secret::Digest,
    time::Timestamp,
};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::rows;

/// False if there was nothing left to burn.
pub(super) fn burn(connection: &Connection, login: &LoginCommit) -> rusqlite::Result<bool> {
    match &login.burn {
        Burn::Nothing => Ok(true),
        Burn::Use { authenticator, spent, telephone } => {
            use_one(connection, login, authenticator, spent, telephone.as_ref())
        }
        Burn::UseAddress => use_address(connection, login),
        Burn::RecoveryCode { presented, successor, successor_digest } => {
            let burnt = connection
                .prepare_cached(
                    "UPDATE recovery_code SET used_at = ?3 \
                     WHERE user_id = ?1 AND digest = ?2 AND status = 'active' AND used_at IS NULL",
                )?
                .execute(params![login.user.as_str(), presented.as_bytes(), login.now.as_millis()])?;
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
        Burn::Confirm { authenticator, spent, only_if_unenrolled } => {
            confirm(connection, login, authenticator, spent, *only_if_unenrolled)
        }
    }
}

/// Leaves a mark. False: it was there.
pub(super) fn mark(
    connection: &Connection,
    kind: &'static str,
    digest: &Digest,
    sweep_at: Timestamp,
) -> rusqlite::Result<bool> {
    connection
        .prepare_cached("INSERT INTO consumed (sweep_at, kind, id) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING")?
        .execute(params![sweep_at.as_millis(), kind, digest.as_bytes()])
        .map(|marked| marked == 1)
}

/// Whether this login was marked as completed.
pub(super) fn is_login_marked(connection: &Connection, login: &ConsumedTransaction) -> rusqlite::Result<bool> {
    connection
        .prepare_cached("SELECT 1 FROM consumed WHERE sweep_at = ?1 AND kind = 'mfa_transaction' AND id = ?2")?
        .exists(params![login.sweep_at.as_millis(), login.digest.as_bytes()])
}

/// The step is judged by the authenticator's own row, a challenge by its mark or by that of its login.
fn spend(connection: &Connection, login: &LoginCommit, spent: &Spent) -> rusqlite::Result<bool> {
    match spent {
        Spent::Step(_) => Ok(true),
        Spent::Challenge(challenge) => mark(connection, "challenge", &challenge.digest, challenge.sweep_at),
        Spent::OfLogin => Ok(login.transaction.is_some()),
    }
}

fn step(spent: &Spent) -> Option<i64> {
    match spent {
        Spent::Step(step) => Some(rows::signed(*step)),
        Spent::Challenge(_) | Spent::OfLogin => None,
    }
}

fn use_one(
    connection: &Connection,
    login: &LoginCommit,
    authenticator: &AuthenticatorId,
    spent: &Spent,
    telephone: Option<&PairId>,
) -> rusqlite::Result<bool> {
    let used = connection
        .prepare_cached(
            "UPDATE authenticator SET last_step = coalesce(?3, last_step), drift = coalesce(?5, drift), \
             failures = 0, last_used_at = ?4 \
             WHERE user_id = ?1 AND id = ?2 AND status = 'active' \
             AND (?3 IS NULL OR last_step IS NULL OR last_step < ?3)",
        )?
        .execute(params![
            login.user.as_str(),
            authenticator.as_str(),
            step(spent),
            login.now.as_millis(),
            login.drift
        ])?;
    if used == 0 {
        return Ok(false);
    }
    if let Some(pair) = telephone {
        connection
            .prepare_cached(
                "UPDATE authenticator SET failures = 0 \
                 WHERE user_id = ?1 AND pair = ?2 AND failures > 0 AND kind IN ('sms', 'voice')",
            )?
            .execute([login.user.as_str(), pair.as_str()])?;
    }
    spend(connection, login, spent)
}

fn use_address(connection: &Connection, login: &LoginCommit) -> rusqlite::Result<bool> {
    let found = connection
        .prepare_cached(
            "UPDATE user SET address_failures = 0 WHERE id = ?1 AND email IS NOT NULL AND email_verified = 1",
        )?
        .execute([login.user.as_str()])?;
    Ok(found == 1 && spend(connection, login, &Spent::OfLogin)?)
}

fn confirm(
    connection: &Connection,
    login: &LoginCommit,
    authenticator: &AuthenticatorId,
    spent: &Spent,
    only_if_unenrolled: bool,
) -> rusqlite::Result<bool> {
    let (user, now) = (login.user.as_str(), login.now.as_millis());
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
    let pair: Option<Option<String>> = connection
        .prepare_cached(
            "UPDATE authenticator SET status = 'active', pending_until = NULL, bearer = NULL, \
             last_step = coalesce(?3, last_step), drift = coalesce(?6, drift), failures = 0, confirmed_at = ?4, \
             last_used_at = ?4 \
             WHERE user_id = ?1 AND id = ?2 AND status = 'pending' AND pending_until > ?4 \
             AND NOT (?5 AND EXISTS \
                 (SELECT 1 FROM authenticator WHERE user_id = ?1 AND status <> 'pending')) RETURNING pair",
        )?
        .query_row(params![user, authenticator.as_str(), step(spent), now, only_if_unenrolled, login.drift], |row| {
            row.get(0)
        })
        .optional()?;
    let Some(pair) = pair else { return Ok(false) };
    rows::tell(connection, &login.user, login.now)?;
    if let Some(pair) = pair {
        connection
            .prepare_cached(
                "UPDATE authenticator SET status = 'active', pending_until = NULL, bearer = NULL, failures = 0, \
                 confirmed_at = ?3 WHERE user_id = ?1 AND pair = ?2 AND status = 'pending'",
            )?
            .execute(params![user, pair, now])?;
    }
    spend(connection, login, spent)
}
