//! The audit trail: a chain, whose rows are linked in the transaction that writes them.
//!
//! The key is with the transaction that writes: whoever has only the file cannot link a row.

use async_trait::async_trait;
use countersign_domain::{
    audit::{
        AuditEvent, Event,
        chain::{AuditChain, AuditRow, Content, NOTHING},
    },
    id::{AuthenticatorId, ClientId, UserId},
    port::{PortError, audit_store::AuditStore},
    secret::Digest,
};
use rusqlite::{Connection, OptionalExtension as _, Row, params, types::ValueRef};

use super::{SqliteStore, rows, transaction::Transaction};

/// As many rows of older versions as are read at a time when the chain begins.
const OLD_ROWS: usize = 1000;

#[async_trait]
impl AuditStore for SqliteStore {
    #[tracing::instrument(level = "debug", skip_all, name = "store.audit.list_rows")]
    async fn list_rows(&self, after: i64, limit: usize) -> Result<Vec<AuditRow>, PortError> {
        self.readers.read(|connection| list(connection, after, limit))
    }

    #[tracing::instrument(level = "debug", skip_all, name = "store.audit.last_row")]
    async fn last_row(&self) -> Result<i64, PortError> {
        self.readers.read(|connection| {
            connection.prepare_cached("SELECT coalesce(max(id), 0) FROM audit")?.query_row([], |row| row.get(0))
        })
    }
}

pub(super) fn list(connection: &Connection, after: i64, limit: usize) -> rusqlite::Result<Vec<AuditRow>> {
    connection
        .prepare_cached(
            "SELECT id, at, event, user_id, client_id, authenticator, address, operator, detail, link, seal \
             FROM audit WHERE id > ?1 ORDER BY id LIMIT ?2",
        )?
        .query_map(params![after, rows::signed(limit as u64)], audit_row)?
        .collect()
}

/// Where the trail ends, as far as a transaction knows.
#[derive(Clone, Copy, Default)]
pub(super) enum TrailEnd {
    /// Where it did before, sealed.
    #[default]
    Unread,
    /// At a row of the transaction's own, whose seal is still due.
    Unsealed {
        /// Its number.
        id: i64,
        /// Its link.
        link: Digest,
    },
}

/// Writes the next row. The write lock is held, so nobody comes between the last row and this one, not even another process. The rows of
/// one transaction share the look at what was there before it, and one seal.
pub(super) fn insert(transaction: &Transaction<'_>, audit: &AuditEvent) -> rusqlite::Result<()> {
    let (last, link) = match transaction.trail().get() {
        TrailEnd::Unsealed { id, link } => (id, link),
        TrailEnd::Unread => unseal(transaction)?,
    };
    transaction.trail().set(append(transaction, transaction.chain(), last.saturating_add(1), &link, audit)?);
    Ok(())
}

/// The last row is the last no longer. One without its seal is not the one that was written last: what follows it stands on nothing, and
/// cannot hide that.
fn unseal(transaction: &Transaction<'_>) -> rusqlite::Result<(i64, Digest)> {
    let last = transaction
        .prepare_cached("SELECT id, link, seal FROM audit ORDER BY id DESC LIMIT 1")?
        .query_row([], |row| Ok((row.get(0)?, digest(row.get_ref(1)?), digest(row.get_ref(2)?))))
        .optional()?;
    let (id, link, seal) = last.unwrap_or_default();
    match link {
        Some(link) if seal == Some(transaction.chain().seal(id, &link)) => {
            transaction.prepare_cached("UPDATE audit SET seal = NULL WHERE id = ?1")?.execute([id])?;
            Ok((id, link))
        }
        _ => Ok((id, NOTHING)),
    }
}

/// Seals the last row.
pub(super) fn seal(connection: &Connection, chain: &AuditChain, end: TrailEnd) -> rusqlite::Result<()> {
    let TrailEnd::Unsealed { id, link } = end else { return Ok(()) };
    connection
        .prepare_cached("UPDATE audit SET seal = ?2 WHERE id = ?1")?
        .execute(params![id, chain.seal(id, &link).as_bytes()])
        .map(|_| ())
}

/// Begins the chain, once for each file: its first row stands on the rows of versions that had no chain.
pub(super) fn begin(connection: &Connection, chain: &AuditChain) -> rusqlite::Result<()> {
    let (mut covered, mut last, mut count) = (NOTHING, 0, 0);
    loop {
        let old = list(connection, last, OLD_ROWS)?;
        let Some(newest) = old.last() else { break };
        last = newest.id;
        count += old.len();
        covered = old.iter().fold(covered, |covered, row| chain.cover(&covered, &row.content()));
    }
    let now =
        connection.query_row("SELECT CAST(unixepoch('subsec') * 1000 AS INTEGER)", [], |row| rows::time(row, 0))?;
    let start = AuditEvent::of_deployment(Event::TrailStarted, now).because(format!("rows_before={count}"));
    seal(connection, chain, append(connection, chain, last.saturating_add(1), &covered, &start)?)
}

fn append(
    connection: &Connection,
    chain: &AuditChain,
    id: i64,
    previous: &Digest,
    audit: &AuditEvent,
) -> rusqlite::Result<TrailEnd> {
    let address = audit.address.map(|address| address.to_string());
    let row = Content {
        id,
        at: audit.at.as_millis(),
        event: audit.event.as_str(),
        user: audit.user.as_ref().map_or("", UserId::as_str),
        client: audit.client.as_ref().map(ClientId::as_str),
        authenticator: audit.authenticator.as_ref().map(AuthenticatorId::as_str),
        address: address.as_deref(),
        operator: audit.operator.as_deref(),
        detail: audit.detail.as_deref(),
    };
    let link = chain.link(previous, &row);
    connection
        .prepare_cached(
            "INSERT INTO audit (id, at, event, user_id, client_id, authenticator, address, operator, detail, link) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        )?
        .execute(params![
            row.id,
            row.at,
            row.event,
            row.user,
            row.client,
            row.authenticator,
            row.address,
            row.operator,
            row.detail,
            link.as_bytes(),
        ])?;
    Ok(TrailEnd::Unsealed { id, link })
}

/// Whatever is there is read: what does not fit its link is found by who checks it.
fn audit_row(row: &Row<'_>) -> rusqlite::Result<AuditRow> {
    Ok(AuditRow {
        id: row.get(0)?,
        at: rows::time(row, 1)?,
        event: text(row.get_ref(2)?).unwrap_or_default(),
        user: text(row.get_ref(3)?).unwrap_or_default(),
        client: text(row.get_ref(4)?),
        authenticator: text(row.get_ref(5)?),
        address: text(row.get_ref(6)?),
        operator: text(row.get_ref(7)?),
        detail: text(row.get_ref(8)?),
        link: digest(row.get_ref(9)?),
        seal: digest(row.get_ref(10)?),
    })
}

fn text(value: ValueRef<'_>) -> Option<String> {
    value.as_bytes_or_null().ok().flatten().map(|bytes| String::from_utf8_lossy(bytes).into_owned())
}

fn digest(value: ValueRef<'_>) -> Option<Digest> {
    value.as_blob().ok()?.try_into().ok().map(Digest::new)
}
