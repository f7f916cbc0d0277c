//! The lineage of the file, and what is done to one that was put back.

use std::{os::unix::ffi::OsStrExt as _, path::Path, sync::PoisonError};

use async_trait::async_trait;
use countersign_domain::{
    authenticator::FAILURE_CEILING,
    port::{
        PortError,
        fence_store::{Factors, Fence, FenceStore, Fenced, Lineage, PersonFence},
    },
};
use rusqlite::{Connection, OpenFlags, params};

use super::{
    DURABLE_STORE, SqliteStore, port_error, rows,
    transaction::Transaction,
    writer::{Durability, Step},
};

/// More than an epoch can rise in half a millisecond: epochs leap to so many times the sum of the moment of the fence and of the clock, so that
/// no two fences lead to the same ones, not even of one backup, nor where the clock is behind what the backup holds.
const LEAP: i64 = 1 << 19;
/// More than a data key can have sealed since any backup worth putting back.
const SEALS: i64 = 1 << 28;

#[async_trait]
impl FenceStore for SqliteStore {
    #[tracing::instrument(level = "debug", skip_all, name = "store.fence.lineage")]
    async fn lineage(&self) -> Result<Lineage, PortError> {
        self.readers.read(lineage)
    }

    #[tracing::instrument(level = "debug", skip_all, name = "store.fence.mark")]
    async fn mark(&self) -> Result<Lineage, PortError> {
        self.writer
            .submit(Durability::Full, |connection| {
                connection.prepare_cached("UPDATE lineage SET mark = mark + 1")?.execute([])?;
                lineage(connection).map(Step::Keep)
            })
            .await
    }

    #[tracing::instrument(level = "debug", skip_all, name = "store.fence.settle")]
    async fn settle(&self) -> Result<bool, PortError> {
        let connection = self.readers.writers_own();
        let settled = tokio::task::spawn_blocking(move || {
            let connection = connection.lock().unwrap_or_else(PoisonError::into_inner);
            connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| {
                let (busy, frames, copied): (bool, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
                Ok(!busy && frames == copied)
            })
        });
        match settled.await {
            Ok(settled) => settled.map_err(port_error),
            Err(panic) => Err(PortError::Unavailable(DURABLE_STORE, Box::new(panic))),
        }
    }

    #[tracing::instrument(level = "debug", skip_all, name = "store.fence.fence")]
    async fn fence(&self, fence: Fence) -> Result<Fenced, PortError> {
        self.writer.submit(Durability::Full, move |connection| apply(connection, &fence).map(Step::Keep)).await
    }
}

/// The lineage that the file at `path` has without the log beside it, if there is one. None: there is no log, or the file by itself cannot be
/// read. Nobody in this process may have it open.
pub fn lineage_without_log(path: &Path) -> Option<Lineage> {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    if std::fs::metadata(log).is_ok_and(|log| log.len() > 0) {
        let uri = format!("file:{}?immutable=1", percent_encoded(path));
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        return Connection::open_with_flags(uri, flags).and_then(|connection| lineage(&connection)).ok();
    }
    None
}

fn percent_encoded(path: &Path) -> String {
    let bytes = path.as_os_str().as_bytes().iter();
    bytes
        .map(|byte| {
            if byte.is_ascii_alphanumeric() || b"/._-".contains(byte) {
                char::from(*byte).to_string()
            } else {
                format!("%{byte:02X}")
            }
        })
        .collect()
}

fn lineage(connection: &Connection) -> rusqlite::Result<Lineage> {
    connection
        .prepare_cached("SELECT id, mark FROM lineage")?
        .query_row([], |row| Ok(Lineage { id: row.get(0)?, mark: rows::unsigned(row, 1)? }))
}

fn apply(connection: &Transaction<'_>, fence: &Fence) -> rusqlite::Result<Fenced> {
    let now = fence.now.as_millis();
    let counted = |sql: &str| connection.execute(sql, []).map(|rows| u64::try_from(rows).unwrap_or(u64::MAX));
    connection.execute(
        "UPDATE lineage SET id = ?1, mark = mark + 1, fenced_at = max(coalesce(fenced_at, ?2), ?2)",
        params![fence.lineage, now],
    )?;
    connection.execute(
        "UPDATE user SET epoch = max(epoch + ?1, ?3), tokens_valid_from = max(tokens_valid_from, ?2), updated_at = ?2",
        params![LEAP, now, now.saturating_add(fence.clock.as_millis()).saturating_mul(LEAP)],
    )?;
    let mut fenced = Fenced {
        accounts: connection.query_row("SELECT count(*) FROM user", [], |row| rows::unsigned(row, 0))?,
        families: counted("DELETE FROM refresh_family")?,
        messages: counted("DELETE FROM outbox")?,
        ..Fenced::default()
    };
    for table in ["mfa_transaction", "challenge", "repudiation", "proof"] {
        counted(&format!("DELETE FROM {table}"))?;
    }
    connection.execute("UPDATE data_key_seals SET taken = taken + ?1", [SEALS])?;
    counted("DELETE FROM authenticator WHERE status = 'pending'")?;
    counted("DELETE FROM recovery_code WHERE status = 'pending'")?;
    match &fence.factors {
        Factors::Keep => {
            // A used one: whoever enrols another authenticator is given a new one.
            let void = "UPDATE recovery_code SET used_at = ?1 WHERE used_at IS NULL";
            let voided = connection.execute(void, [now])?;
            fenced.recovery_codes = u64::try_from(voided).unwrap_or(u64::MAX);
        }
        Factors::Reset => {
            fenced.recovery_codes = counted("DELETE FROM recovery_code WHERE used_at IS NULL")?;
            fenced.authenticators = counted("DELETE FROM authenticator")?;
            counted("DELETE FROM recovery_code")?;
        }
        Factors::Of(people) => {
            for person in people {
                change(connection, person, &mut fenced)?;
            }
        }
    }
    let quarantine = "UPDATE authenticator SET last_step = max(coalesce(last_step, 0), ?1) WHERE kind = 'otp'";
    let apps = connection.execute(quarantine, [rows::signed(fence.last_step)])?;
    fenced.apps = u64::try_from(apps).unwrap_or(u64::MAX);
    rows::insert_audit(connection, &fence.audit)?;
    Ok(fenced)
}

/// Nothing is done to somebody who is not there.
fn change(connection: &Transaction<'_>, person: &PersonFence, fenced: &mut Fenced) -> rusqlite::Result<()> {
    let user = person.user.as_str();
    if !connection.prepare_cached("SELECT 1 FROM user WHERE id = ?1")?.exists([user])? {
        return Ok(());
    }
    let counted = |sql: &str| -> rusqlite::Result<u64> {
        let rows = connection.prepare_cached(sql)?.execute([user])?;
        Ok(u64::try_from(rows).unwrap_or(u64::MAX))
    };
    if let Some(row) = &person.reset {
        fenced.recovery_codes += counted("DELETE FROM recovery_code WHERE user_id = ?1 AND used_at IS NULL")?;
        fenced.authenticators += counted("DELETE FROM authenticator WHERE user_id = ?1")?;
        counted("DELETE FROM recovery_code WHERE user_id = ?1")?;
        rows::insert_audit(connection, row)?;
    }
    if let Some(row) = &person.block {
        counted("UPDATE user SET blocked = 1 WHERE id = ?1")?;
        rows::insert_audit(connection, row)?;
    }
    if person.failures > 0 {
        for table in ["authenticator", "recovery_code"] {
            connection
                .prepare_cached(&format!(
                    "UPDATE {table} SET failures = failures + ?2, \
                     status = iif(status = 'active' AND failures + ?2 >= ?3, 'disabled', status) WHERE user_id = ?1"
                ))?
                .execute(params![user, person.failures, FAILURE_CEILING])?;
        }
        connection
            .prepare_cached("UPDATE user SET address_failures = address_failures + ?2 WHERE id = ?1")?
            .execute(params![user, person.failures])?;
    }
    Ok(())
}
