//! Rows to entities and back.

use std::cmp::Reverse;

use countersign_domain::{
    account::Account,
    authenticator::{Authenticator, FactorKind, RecoveryCode, RecoveryStatus, Status},
    id::{AuthenticatorId, PairId, RealmName, UserId},
    secret::{Digest, Sealed},
    time::Timestamp,
    user::{Email, PasswordHash, Profile, User},
};
use rusqlite::{Connection, Row, params, types::Type};

pub(super) use super::audit::insert as insert_audit;

/// The columns [`user`] reads, in its order; the table is called `u`.
macro_rules! user_columns {
    () => {
        "u.id, u.realm, u.username, u.email, u.email_verified, u.name, u.given_name, u.family_name, u.picture, \
         u.password, u.blocked, u.epoch, u.tokens_valid_from, u.created_at, u.updated_at, u.address_failures, \
         u.notification_addresses, u.told_at, u.spared"
    };
}
pub(super) use user_columns;

pub(super) fn user(row: &Row<'_>) -> rusqlite::Result<User> {
    let verified = row.get(4)?;
    Ok(User {
        id: UserId::new(row.get::<_, String>(0)?),
        realm: RealmName::new(row.get::<_, String>(1)?),
        username: row.get(2)?,
        email: row.get::<_, Option<String>>(3)?.map(|address| Email { address, verified }),
        notification_addresses: addresses(row, 16)?,
        profile: Profile { name: row.get(5)?, given_name: row.get(6)?, family_name: row.get(7)?, picture: row.get(8)? },
        password: PasswordHash::new(row.get(9)?),
        blocked: row.get(10)?,
        address_failures: row.get(15)?,
        epoch: unsigned(row, 11)?,
        spared: row.get::<_, Option<[u8; 32]>>(18)?.map(Digest::new),
        tokens_valid_from: time(row, 12)?,
        told_at: optional_time(row, 17)?,
        created_at: time(row, 13)?,
        updated_at: time(row, 14)?,
    })
}

/// One address a line: none of them has a line end.
pub(super) fn addresses(row: &Row<'_>, column: usize) -> rusqlite::Result<Vec<String>> {
    Ok(row.get_ref(column)?.as_str()?.lines().map(str::to_owned).collect())
}

/// The rest of `user`'s account.
pub(super) fn account(connection: &Connection, user: User) -> rusqlite::Result<Account> {
    let authenticators = connection
        .prepare_cached(
            "SELECT id, kind, status, pending_until, state, name, preferred, last_step, failures, created_at, \
             confirmed_at, last_used_at, bearer, pair, address, drift FROM authenticator WHERE user_id = ?1",
        )?
        .query_map([user.id.as_str()], |row| authenticator(row, &user.id))?
        .collect::<rusqlite::Result<_>>()?;
    // One that was confirmed, else the newest. There are few, and SQLite would build a table to sort them.
    let codes = connection
        .prepare_cached(
            "SELECT id, status, failures, created_at FROM recovery_code WHERE user_id = ?1 AND used_at IS NULL",
        )?
        .query_map([user.id.as_str()], recovery_code)?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    let recovery_code =
        codes.into_iter().min_by_key(|code| (code.status == RecoveryStatus::Pending, Reverse(code.created_at)));
    Ok(Account { user, authenticators, recovery_code })
}

fn authenticator(row: &Row<'_>, user: &UserId) -> rusqlite::Result<Authenticator> {
    Ok(Authenticator {
        id: AuthenticatorId::new(row.get::<_, String>(0)?),
        user: user.clone(),
        kind: FactorKind::from_name(row.get_ref(1)?.as_str()?)
            .ok_or_else(|| damaged(1, "unknown kind of authenticator"))?,
        status: match row.get_ref(2)?.as_str()? {
            "pending" => Status::Pending { until: time(row, 3)?, bearer: Digest::new(row.get(12)?) },
            "active" => Status::Active,
            "disabled" => Status::Disabled,
            _ => return Err(damaged(2, "unknown status of an authenticator")),
        },
        pair: row.get::<_, Option<String>>(13)?.map(PairId::new),
        state: Sealed::new(row.get(4)?),
        address: row.get::<_, Option<[u8; 32]>>(14)?.map(Digest::new),
        implied: None,
        name: row.get(5)?,
        preferred: row.get(6)?,
        last_step: row.get::<_, Option<i64>>(7)?.map(|_| unsigned(row, 7)).transpose()?,
        drift: row.get(15)?,
        failures: row.get(8)?,
        created_at: time(row, 9)?,
        confirmed_at: optional_time(row, 10)?,
        last_used_at: optional_time(row, 11)?,
    })
}

fn recovery_code(row: &Row<'_>) -> rusqlite::Result<RecoveryCode> {
    Ok(RecoveryCode {
        id: AuthenticatorId::new(row.get::<_, String>(0)?),
        status: match row.get_ref(1)?.as_str()? {
            "pending" => RecoveryStatus::Pending,
            "active" => RecoveryStatus::Active,
            "disabled" => RecoveryStatus::Disabled,
            _ => return Err(damaged(1, "unknown status of a recovery code")),
        },
        failures: row.get(2)?,
        created_at: time(row, 3)?,
    })
}

pub(super) fn insert_authenticator(connection: &Connection, a: &Authenticator) -> rusqlite::Result<()> {
    let (status, until, bearer) = match a.status {
        Status::Pending { until, bearer } => ("pending", Some(until.as_millis()), Some(bearer)),
        Status::Active => ("active", None, None),
        Status::Disabled => ("disabled", None, None),
    };
    connection
        .prepare_cached(
            "INSERT INTO authenticator (user_id, id, kind, status, pending_until, state, name, preferred, last_step, \
             failures, created_at, confirmed_at, last_used_at, bearer, pair, address, drift) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)",
        )?
        .execute(params![
            a.user.as_str(),
            a.id.as_str(),
            a.kind.as_str(),
            status,
            until,
            a.state.as_bytes(),
            a.name,
            a.preferred,
            a.last_step.map(signed),
            a.failures,
            a.created_at.as_millis(),
            a.confirmed_at.map(Timestamp::as_millis),
            a.last_used_at.map(Timestamp::as_millis),
            bearer.as_ref().map(Digest::as_bytes),
            a.pair.as_ref().map(PairId::as_str),
            a.address.as_ref().map(Digest::as_bytes),
            a.drift,
        ])
        .map(|_| ())
}

/// False if the person has a code already: one that was confirmed, or one that was begun with the same bearer.
pub(super) fn insert_recovery_code(
    connection: &Connection,
    user: &UserId,
    code: &RecoveryCode,
    status: RecoveryStatus,
    digest: &Digest,
    bearer: Option<Digest>,
) -> rusqlite::Result<bool> {
    let status = match status {
        RecoveryStatus::Pending => "pending",
        RecoveryStatus::Active => "active",
        RecoveryStatus::Disabled => "disabled",
    };
    connection
        .prepare_cached(
            "INSERT INTO recovery_code (user_id, id, digest, status, failures, created_at, bearer) \
             SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7 WHERE NOT EXISTS \
             (SELECT 1 FROM recovery_code WHERE user_id = ?1 AND used_at IS NULL \
              AND (status <> 'pending' OR bearer = ?7))",
        )?
        .execute(params![
            user.as_str(),
            code.id.as_str(),
            digest.as_bytes(),
            status,
            code.failures,
            code.created_at.as_millis(),
            bearer.as_ref().map(Digest::as_bytes),
        ])
        .map(|inserted| inserted == 1)
}

/// Whether the account exists, is not blocked, and has this epoch still.
pub(super) fn account_stands(connection: &Connection, user: &UserId, epoch: u64) -> rusqlite::Result<bool> {
    connection
        .prepare_cached("SELECT 1 FROM user WHERE id = ?1 AND blocked = 0 AND epoch = ?2")?
        .exists(params![user.as_str(), signed(epoch)])
}

/// Remembers that the person was told to enrol. False: they were before, and that stands.
pub(super) fn tell(connection: &Connection, user: &UserId, now: Timestamp) -> rusqlite::Result<bool> {
    connection
        .prepare_cached("UPDATE user SET told_at = ?2 WHERE id = ?1 AND told_at IS NULL")?
        .execute(params![user.as_str(), now.as_millis()])
        .map(|told| told == 1)
}

/// Ends everything the user has in flight.
pub(super) fn raise_epoch(connection: &Connection, user: &UserId) -> rusqlite::Result<()> {
    connection.prepare_cached("UPDATE user SET epoch = epoch + 1 WHERE id = ?1")?.execute([user.as_str()]).map(|_| ())
}

/// Ends everything that anybody has in flight; how many accounts there are.
pub(super) fn raise_every_epoch(connection: &Connection, now: Timestamp) -> rusqlite::Result<u64> {
    connection
        .prepare_cached("UPDATE user SET epoch = epoch + 1, tokens_valid_from = max(tokens_valid_from, ?1)")?
        .execute([now.as_millis()])
        .map(|accounts| u64::try_from(accounts).unwrap_or(u64::MAX))
}

/// SQLite's integers have a sign; numbers that large do not occur.
pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(super) fn unsigned(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    let number: i64 = row.get(column)?;
    u64::try_from(number).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, number))
}

pub(super) fn time(row: &Row<'_>, column: usize) -> rusqlite::Result<Timestamp> {
    row.get(column).map(Timestamp::from_millis)
}

pub(super) fn optional_time(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Timestamp>> {
    Ok(row.get::<_, Option<i64>>(column)?.map(Timestamp::from_millis))
}

pub(super) fn damaged(column: usize, what: &'static str) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::from(what))
}
