//! Families of refresh tokens. A token is exchanged by one conditional statement, judged by the row it changed.

use async_trait::async_trait;
use countersign_domain::{
    audit::AuditEvent,
    id::{Audience, ClientId, FamilyId, Scope, UserId},
    message::OutboxRow,
    port::{
        PortError,
        login_store::LoginCommit,
        refresh_store::{FamilyKind, MAX_FAMILIES, RefreshFamily, RefreshStep, RefreshStore, RevocationReach},
    },
    time::Timestamp,
};
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::{
    SqliteStore,
    outbox::insert_messages,
    rows,
    writer::{Durability, Step},
};

#[async_trait]
impl RefreshStore for SqliteStore {
    #[tracing::instrument(level = "debug", skip_all, name = "store.refresh.find")]
    async fn find_family(&self, id: &FamilyId) -> Result<Option<RefreshFamily>, PortError> {
        self.readers.read_statement(|connection| {
            connection
                .prepare_cached(
                    "SELECT id, user_id, client_id, audience, scopes, epoch, authenticated_at, methods, salt, \
                     generation, rotated_at, used_at, created_at, expires_at, sweep_at, kind \
                     FROM refresh_family WHERE id = ?1",
                )?
                .query_row([id.as_bytes()], family)
                .optional()
        })
    }

    #[tracing::instrument(level = "debug", skip_all, name = "store.refresh.list")]
    async fn list_families(&self, user: &UserId, kind: FamilyKind) -> Result<Vec<RefreshFamily>, PortError> {
        self.readers.read(|connection| {
            connection
                .prepare_cached(
                    "SELECT id, user_id, client_id, audience, scopes, epoch, authenticated_at, methods, salt, \
                     generation, rotated_at, used_at, created_at, expires_at, sweep_at, kind \
                     FROM refresh_family WHERE user_id = ?1 AND kind = ?2",
                )?
                .query_map([user.as_str(), kind.as_str()], family)?
                .collect()
        })
    }

    #[tracing::instrument(level = "debug", skip_all, name = "store.refresh.revoke")]
    async fn revoke_family(
        &self,
        id: &FamilyId,
        reach: RevocationReach,
        audit: AuditEvent,
        messages: Vec<OutboxRow>,
    ) -> Result<bool, PortError> {
        let id = *id;
        self.writer
            .submit(Durability::Full, move |connection| {
                if reach == RevocationReach::Grant {
                    connection
                        .prepare_cached(
                            "DELETE FROM refresh_family WHERE id <> ?1 AND (user_id, client_id, audience) = \
                             (SELECT user_id, client_id, audience FROM refresh_family WHERE id = ?1)",
                        )?
                        .execute([id.as_bytes()])?;
                }
                let gone =
                    connection.prepare_cached("DELETE FROM refresh_family WHERE id = ?1")?.execute([id.as_bytes()])?;
                if gone == 0 {
                    return Ok(Step::Undo(false));
                }
                insert_messages(connection, &messages)?;
                rows::insert_audit(connection, &audit)?;
                Ok(Step::Keep(true))
            })
            .await
    }
}

/// Does what `login` does to its families. False: there was no such token.
pub(super) fn apply(connection: &Connection, login: &LoginCommit) -> rusqlite::Result<bool> {
    Ok(apply_step(connection, login, &login.refresh)? && apply_step(connection, login, &login.device)?)
}

fn apply_step(connection: &Connection, login: &LoginCommit, step: &RefreshStep) -> rusqlite::Result<bool> {
    match step {
        RefreshStep::Nothing => Ok(true),
        RefreshStep::Open(family) => {
            make_room(connection, family)?;
            insert(connection, family).map(|()| true)
        }
        RefreshStep::Exchange { family, generation, rotates, adds } => {
            let exchanged = connection
                .prepare_cached(
                    "UPDATE refresh_family SET generation = generation + ?4, rotated_at = iif(?4, ?5, rotated_at), \
                     used_at = max(used_at, ?5) WHERE id = ?1 AND user_id = ?2 AND generation = ?3",
                )?
                .execute(params![family.as_bytes(), login.user.as_str(), generation, rotates, login.now.as_millis()])?;
            if exchanged == 0 {
                return Ok(false);
            }
            for method in adds {
                add_method(connection, family, method)?;
            }
            Ok(true)
        }
    }
}

/// Unless it is there: another exchange may have added it.
fn add_method(connection: &Connection, family: &FamilyId, method: &str) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "UPDATE refresh_family SET methods = ltrim(methods || ' ' || ?2) \
             WHERE id = ?1 AND instr(' ' || methods || ' ', ' ' || ?2 || ' ') = 0",
        )?
        .execute(params![family.as_bytes(), method])
        .map(|_| ())
}

/// Those that have expired go first, then the oldest.
fn make_room(connection: &Connection, new: &RefreshFamily) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "DELETE FROM refresh_family WHERE id IN (SELECT id FROM refresh_family \
             WHERE user_id = ?1 AND client_id = ?2 AND kind = ?5 \
             ORDER BY coalesce(expires_at <= ?3, 0), created_at DESC, id DESC LIMIT -1 OFFSET ?4)",
        )?
        .execute(params![
            new.user.as_str(),
            new.client.as_str(),
            new.created_at.as_millis(),
            rows::signed(MAX_FAMILIES as u64 - 1),
            new.kind.as_str(),
        ])
        .map(|_| ())
}

fn insert(connection: &Connection, new: &RefreshFamily) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO refresh_family (id, user_id, client_id, audience, scopes, epoch, authenticated_at, methods, \
             salt, generation, rotated_at, used_at, created_at, expires_at, sweep_at, kind) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)",
        )?
        .execute(params![
            new.id.as_bytes(),
            new.user.as_str(),
            new.client.as_str(),
            new.audience.as_str(),
            new.scopes.iter().map(Scope::as_str).collect::<Vec<_>>().join(" "),
            rows::signed(new.epoch),
            new.authenticated_at.as_millis(),
            new.methods.join(" "),
            new.salt,
            new.generation,
            new.rotated_at.as_millis(),
            new.used_at.as_millis(),
            new.created_at.as_millis(),
            new.expires_at.map(Timestamp::as_millis),
            new.sweep_at.map(Timestamp::as_millis),
            new.kind.as_str(),
        ])
        .map(|_| ())
}

/// Removes at most `limit` that nobody asks about any more. The answer is how many.
pub(super) fn sweep(connection: &Connection, now: Timestamp, limit: i64) -> rusqlite::Result<usize> {
    connection
        .prepare_cached(
            "DELETE FROM refresh_family WHERE id IN \
             (SELECT id FROM refresh_family WHERE sweep_at <= ?1 LIMIT ?2)",
        )?
        .execute(params![now.as_millis(), limit])
}

fn family(row: &Row<'_>) -> rusqlite::Result<RefreshFamily> {
    let words = |column| -> rusqlite::Result<Vec<String>> {
        Ok(row.get_ref(column)?.as_str()?.split(' ').filter(|word| !word.is_empty()).map(str::to_owned).collect())
    };
    Ok(RefreshFamily {
        kind: FamilyKind::from_name(row.get_ref(15)?.as_str()?)
            .ok_or_else(|| rows::damaged(15, "unknown kind of a family"))?,
        id: FamilyId::new(row.get(0)?),
        user: UserId::new(row.get::<_, String>(1)?),
        client: ClientId::new(row.get::<_, String>(2)?),
        audience: Audience::new(row.get::<_, String>(3)?),
        scopes: words(4)?.into_iter().map(Scope::new).collect(),
        epoch: rows::unsigned(row, 5)?,
        authenticated_at: rows::time(row, 6)?,
        methods: words(7)?,
        salt: row.get(8)?,
        generation: row.get(9)?,
        rotated_at: rows::time(row, 10)?,
        used_at: rows::time(row, 11)?,
        created_at: rows::time(row, 12)?,
        expires_at: rows::optional_time(row, 13)?,
        sweep_at: rows::optional_time(row, 14)?,
    })
}
