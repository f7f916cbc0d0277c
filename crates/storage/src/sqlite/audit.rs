//! The audit trail: a chain, whose rows are linked in the transaction that writes them.
//!
//! The key is with the connection that writes, as functions of its SQL: whoever has only the file cannot link a row.

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
use rusqlite::{
    Connection, OptionalExtension as _, Row,
    functions::{Context, FunctionFlags},
    params,
    types::ValueRef,
};

use super::{SqliteStore, rows, transaction::Transaction};

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

/// Gives `connection` the functions that [`insert`] and [`begin`] use.
pub(super) fn teach(connection: &Connection, chain: &AuditChain) -> rusqlite::Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC | FunctionFlags::SQLITE_DIRECTONLY;
    let links = chain.clone();
    connection.create_scalar_function("audit_link", 10, flags, move |values| {
        Ok(*links.link(&Digest::new(values.get(0)?), &content(values)?).as_bytes())
    })?;
    let covers = chain.clone();
    connection.create_scalar_function("audit_cover", 10, flags, move |values| {
        Ok(*covers.cover(&Digest::new(values.get(0)?), &content(values)?).as_bytes())
    })?;
    let seals = chain.clone();
    connection.create_scalar_function("audit_seal", 2, flags, move |values| {
        // A row without a link has no seal either.
        let link: Option<[u8; 32]> = values.get(1)?;
        let id = values.get(0)?;
        Ok(link.map(|link| *seals.seal(id, &Digest::new(link)).as_bytes()))
    })
}

/// What a row says, from the arguments after the link before it.
fn content<'a>(values: &'a Context<'_>) -> rusqlite::Result<Content<'a>> {
    let text =
        |at| values.get_raw(at).as_str_or_null().map_err(|error| rusqlite::Error::UserFunctionError(error.into()));
    Ok(Content {
        id: values.get(1)?,
        at: values.get(2)?,
        event: text(3)?.unwrap_or_default(),
        user: text(4)?.unwrap_or_default(),
        client: text(5)?,
        authenticator: text(6)?,
        address: text(7)?,
        operator: text(8)?,
        detail: text(9)?,
    })
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
        link: [u8; 32],
    },
}

/// Writes the next row. The write lock is held, so nobody comes between the last row and this one, not even another process. The rows of
/// one transaction share the look at what was there before it, and one seal.
pub(super) fn insert(transaction: &Transaction<'_>, audit: &AuditEvent) -> rusqlite::Result<()> {
    let (last, link) = match transaction.trail().get() {
        TrailEnd::Unsealed { id, link } => (id, link),
        TrailEnd::Unread => unseal(transaction)?,
    };
    transaction.trail().set(append(transaction, last.saturating_add(1), &link, audit)?);
    Ok(())
}

/// The last row is the last no longer. One without its seal is not the one that was written last: what follows it stands on nothing, and
/// cannot hide that.
fn unseal(connection: &Connection) -> rusqlite::Result<(i64, [u8; 32])> {
    let last: Option<(i64, Option<[u8; 32]>)> = connection
        .prepare_cached("SELECT id, iif(seal IS audit_seal(id, link), link, NULL) FROM audit ORDER BY id DESC LIMIT 1")?
        .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let (last, link) = last.unwrap_or_default();
    if link.is_some() {
        connection.prepare_cached("UPDATE audit SET seal = NULL WHERE id = ?1")?.execute([last])?;
    }
    Ok((last, link.unwrap_or(*NOTHING.as_bytes())))
}

/// Seals the last row.
pub(super) fn seal(connection: &Connection, end: TrailEnd) -> rusqlite::Result<()> {
    let TrailEnd::Unsealed { id, .. } = end else { return Ok(()) };
    connection.prepare_cached("UPDATE audit SET seal = audit_seal(id, link) WHERE id = ?1")?.execute([id]).map(|_| ())
}

/// Begins the chain, once for each file: its first row stands on the rows of versions that had no chain.
pub(super) fn begin(connection: &Connection) -> rusqlite::Result<()> {
    let mut covered = *NOTHING.as_bytes();
    let mut last: i64 = 0;
    let mut count: u64 = 0;
    {
        let mut old = connection.prepare(
            "SELECT id, audit_cover(?1, id, at, event, user_id, client_id, authenticator, address, operator, detail) \
             FROM audit WHERE id > ?2 ORDER BY id LIMIT 1",
        )?;
        while let Some((id, digest)) =
            old.query_row(params![covered, last], |row| Ok((row.get(0)?, row.get(1)?))).optional()?
        {
            (last, covered) = (id, digest);
            count += 1;
        }
    }
    let now =
        connection.query_row("SELECT CAST(unixepoch('subsec') * 1000 AS INTEGER)", [], |row| rows::time(row, 0))?;
    let start = AuditEvent::of_deployment(Event::TrailStarted, now).because(format!("rows_before={count}"));
    seal(connection, append(connection, last.saturating_add(1), &covered, &start)?)
}

fn append(connection: &Connection, id: i64, previous: &[u8; 32], audit: &AuditEvent) -> rusqlite::Result<TrailEnd> {
    let link = connection
        .prepare_cached(
            "INSERT INTO audit (id, at, event, user_id, client_id, authenticator, address, operator, detail, link) \
             VALUES (?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, audit_link(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)) \
             RETURNING link",
        )?
        .query_row(
            params![
                previous,
                id,
                audit.at.as_millis(),
                audit.event.as_str(),
                audit.user.as_ref().map_or("", UserId::as_str),
                audit.client.as_ref().map(ClientId::as_str),
                audit.authenticator.as_ref().map(AuthenticatorId::as_str),
                audit.address.map(|address| address.to_string()),
                audit.operator,
                audit.detail,
            ],
            |row| row.get(0),
        )?;
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
