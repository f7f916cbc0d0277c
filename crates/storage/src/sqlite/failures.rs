//! Failures in a row, and what they lead to.

use std::collections::HashSet;

use countersign_domain::{
    id::{AuthenticatorId, UserId},
    port::login_store::{COMPLETED, Counted, Failure, FailureTarget},
};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::{burn, outbox::insert_messages, rows, transaction::Transaction};

/// Counts one, unless its login is completed.
pub(super) fn count(connection: &Transaction<'_>, user: &UserId, failure: &Failure) -> rusqlite::Result<Counted> {
    if let Some(login) = &failure.login
        && burn::is_login_marked(connection, login)?
    {
        rows::insert_audit(connection, &failure.audit.clone().because(COMPLETED))?;
        return Ok(Counted::LoginSpent);
    }
    let counted = match &failure.target {
        FailureTarget::Authenticators(ids) => count_authenticators(connection, user, ids, failure)?,
        FailureTarget::Address => count_address(connection, user, failure)?,
        FailureTarget::RecoveryCode => count_recovery_code(connection, user, failure)?,
    };
    if counted.disables {
        rows::raise_epoch(connection, user)?;
    }
    if counted.notifies {
        insert_messages(connection, &failure.messages)?;
    }
    rows::insert_audit(connection, &failure.audit)?;
    Ok(Counted::Yes)
}

/// What a failure leads to.
#[derive(Default)]
struct Consequence {
    disables: bool,
    notifies: bool,
}

fn count_authenticators(
    connection: &Connection,
    user: &UserId,
    ids: &[AuthenticatorId],
    failure: &Failure,
) -> rusqlite::Result<Consequence> {
    let mut count = connection.prepare_cached(
        "UPDATE authenticator SET failures = failures + 1 WHERE user_id = ?1 AND (id = ?2 OR \
         (kind IN ('sms', 'voice') AND pair = (SELECT pair FROM authenticator WHERE user_id = ?1 AND id = ?2))) \
         RETURNING id, failures, status = 'active'",
    )?;
    let mut counted = Consequence::default();
    // A telephone that is named in both of its ways has failed once.
    let mut seen = HashSet::new();
    for id in ids {
        if seen.contains(id.as_str()) {
            continue;
        }
        let mut ripe = false;
        let mut rows = count.query([user.as_str(), id.as_str()])?;
        while let Some(row) = rows.next()? {
            let (failures, active): (u32, bool) = (row.get(1)?, row.get(2)?);
            seen.insert(row.get::<_, String>(0)?);
            counted.notifies |= failures == failure.notify_at;
            ripe |= active && failures >= failure.ceiling;
        }
        drop(rows);
        // A pending one is not disabled: a disabled one counts as enrolled, and nobody has proven to own this.
        if ripe {
            connection
                .prepare_cached(
                    "UPDATE authenticator SET status = 'disabled' WHERE user_id = ?1 AND status = 'active' AND \
                     (id = ?2 OR pair = (SELECT pair FROM authenticator WHERE user_id = ?1 AND id = ?2))",
                )?
                .execute([user.as_str(), id.as_str()])?;
            counted.disables = true;
        }
    }
    Ok(counted)
}

fn count_address(connection: &Connection, user: &UserId, failure: &Failure) -> rusqlite::Result<Consequence> {
    let failures = connection
        .prepare_cached(
            "UPDATE user SET address_failures = address_failures + 1 WHERE id = ?1 RETURNING address_failures",
        )?
        .query_row([user.as_str()], |row| row.get::<_, u32>(0))
        .optional()?;
    // Only the failure that reaches the ceiling: each further one would end what the person has begun with another factor.
    Ok(Consequence { disables: failures == Some(failure.ceiling), notifies: failures == Some(failure.notify_at) })
}

fn count_recovery_code(connection: &Connection, user: &UserId, failure: &Failure) -> rusqlite::Result<Consequence> {
    let counted = connection
        .prepare_cached(
            "UPDATE recovery_code SET failures = failures + 1, status = iif(failures + 1 >= ?2, 'disabled', status) \
             WHERE user_id = ?1 AND status = 'active' AND used_at IS NULL RETURNING status = 'disabled', failures = ?3",
        )?
        .query_row(params![user.as_str(), failure.ceiling, failure.notify_at], |row| {
            Ok(Consequence { disables: row.get(0)?, notifies: row.get(1)? })
        })
        .optional()?;
    Ok(counted.unwrap_or_default())
}
