//! The accounts.

use async_trait::async_trait;
use countersign_domain::{
    account::Account,
    audit::AuditEvent,
    id::{RealmName, UserId},
    login_name::LoginName,
    message::OutboxRow,
    port::{
        PortError,
        user_store::{AddressesChanged, NewUser, UserInserted, UserStore},
    },
    time::Timestamp,
    user::{AddressChange, PasswordHash},
};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::{
    SqliteStore,
    outbox::insert_messages,
    proofs,
    rows::{self, user_columns},
    transaction::Transaction,
    writer::{Durability, Step},
};

#[async_trait]
impl UserStore for SqliteStore {
    #[tracing::instrument(level = "debug", skip_all, name = "store.user.find_by_login")]
    async fn find_by_login(&self, realm: &RealmName, name: &LoginName) -> Result<Option<Account>, PortError> {
        self.readers.read_statement(|connection| {
            connection
                .prepare_cached(concat!(
                    "SELECT ",
                    user_columns!(),
                    " FROM login_name AS l JOIN user AS u ON u.id = l.user_id WHERE l.realm = ?1 AND l.name = ?2"
                ))?
                .query_row([realm.as_str(), name.as_str()], |row| Ok(rows::account(connection, rows::user(row)?)))
                .optional()?
                .transpose()
        })
    }

    #[tracing::instrument(level = "debug", skip_all, name = "store.user.find")]
    async fn find(&self, user: &UserId) -> Result<Option<Account>, PortError> {
        self.readers.read_statement(|connection| {
            connection
                .prepare_cached(concat!("SELECT ", user_columns!(), " FROM user AS u WHERE u.id = ?1"))?
                .query_row([user.as_str()], |row| Ok(rows::account(connection, rows::user(row)?)))
                .optional()?
                .transpose()
        })
    }

    #[tracing::instrument(level = "debug", skip_all, name = "store.user.insert")]
    async fn insert(&self, users: Vec<NewUser>) -> Result<Vec<UserInserted>, PortError> {
        self.writer
            .submit(Durability::Full, move |connection| {
                users.iter().map(|new| insert_one(connection, new)).collect::<Result<_, _>>().map(Step::Keep)
            })
            .await
    }

    #[tracing::instrument(level = "debug", skip_all, name = "store.user.list")]
    async fn list(&self, after: Option<(RealmName, String)>, limit: usize) -> Result<Vec<Account>, PortError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.readers.read(|connection| {
            let mut statement = connection.prepare_cached(concat!(
                "SELECT ",
                user_columns!(),
                " FROM user AS u WHERE ?1 IS NULL OR (u.realm, u.username) > (?1, ?2) \
                      ORDER BY u.realm, u.username LIMIT ?3"
            ))?;
            let (realm, username) = after.as_ref().map(|(realm, name)| (realm.as_str(), name.as_str())).unzip();
            let users = statement
                .query_map(params![realm, username, limit], rows::user)?
                .collect::<rusqlite::Result<Vec<_>>>()?;
            users.into_iter().map(|user| rows::account(connection, user)).collect()
        })
    }

    #[tracing::instrument(level = "debug", skip_all, name = "store.user.set_password")]
    async fn set_password(
        &self,
        user: &UserId,
        password: PasswordHash,
        now: Timestamp,
        audit: AuditEvent,
    ) -> Result<bool, PortError> {
        self.change(user, now, audit, move |connection, user| {
            connection
                .prepare_cached("UPDATE user SET password = ?2 WHERE id = ?1")?
                .execute([user.as_str(), password.as_str()])
                .map(|_| ())
        })
        .await
        .map(|changed| changed.is_some())
    }

    #[tracing::instrument(level = "debug", skip_all, name = "store.user.set_blocked")]
    async fn set_blocked(
        &self,
        user: &UserId,
        blocked: bool,
        now: Timestamp,
        audit: AuditEvent,
    ) -> Result<bool, PortError> {
        self.change(user, now, audit, move |connection, user| {
            connection
                .prepare_cached("UPDATE user SET blocked = ?2 WHERE id = ?1")?
                .execute(params![user.as_str(), blocked])
                .map(|_| ())
        })
        .await
        .map(|changed| changed.is_some())
    }

    #[tracing::instrument(level = "debug", skip_all, name = "store.user.reset_factors")]
    async fn reset_factors(
        &self,
        user: &UserId,
        now: Timestamp,
        messages: Vec<OutboxRow>,
        audit: AuditEvent,
    ) -> Result<Option<u64>, PortError> {
        self.change(user, now, audit, move |connection, user| {
            connection
                .prepare_cached("UPDATE user SET address_failures = 0 WHERE id = ?1")?
                .execute([user.as_str()])?;
            connection.prepare_cached("DELETE FROM recovery_code WHERE user_id = ?1")?.execute([user.as_str()])?;
            let pending = connection
                .prepare_cached("DELETE FROM authenticator WHERE user_id = ?1 RETURNING status = 'pending'")?
                .query_map([user.as_str()], |row| row.get(0))?
                .collect::<rusqlite::Result<Vec<bool>>>()?;
            if pending.contains(&false) {
                insert_messages(connection, &messages)?;
            }
            Ok(u64::try_from(pending.len()).unwrap_or(u64::MAX))
        })
        .await
    }

    #[tracing::instrument(level = "debug", skip_all, name = "store.user.change_addresses")]
    async fn change_addresses(
        &self,
        user: &UserId,
        change: AddressChange,
        audit: AuditEvent,
    ) -> Result<AddressesChanged, PortError> {
        let user = user.clone();
        self.writer
            .submit(Durability::Full, move |connection| {
                // The write lock is held, so nobody can change them between the look and the update.
                let addresses = connection
                    .prepare_cached("SELECT notification_addresses FROM user WHERE id = ?1")?
                    .query_row([user.as_str()], |row| rows::addresses(row, 0))
                    .optional()?;
                let Some(addresses) = addresses else { return Ok(Step::Undo(AddressesChanged::NoUser)) };
                let Some(addresses) = change.apply(&addresses) else {
                    return Ok(Step::Undo(AddressesChanged::TooMany));
                };
                connection
                    .prepare_cached("UPDATE user SET notification_addresses = ?2 WHERE id = ?1")?
                    .execute([user.as_str(), &addresses.join("\n")])?;
                rows::insert_audit(connection, &audit)?;
                Ok(Step::Keep(AddressesChanged::Changed(addresses)))
            })
            .await
    }

    #[tracing::instrument(level = "debug", skip_all, name = "store.user.ping")]
    async fn ping(&self) -> Result<(), PortError> {
        self.touch().await
    }
}

/// Writes the file's first page as it is: the number that names what made the file, which nobody reads. Unlike a row that is set to what it
/// was, this is written whatever it was before.
fn write_header(connection: &Connection) -> rusqlite::Result<()> {
    let application: i32 = connection.query_row("PRAGMA application_id", [], |row| row.get(0))?;
    connection.execute_batch(&format!("PRAGMA application_id = {application}"))
}

impl SqliteStore {
    /// Asks both kinds of threads. A statement that writes nothing still needs the lock to write; now and then, and always after a failure,
    /// one does write, since a full disk is found by nothing else.
    pub(super) async fn touch(&self) -> Result<(), PortError> {
        const TOUCH: &str = "SELECT 1 FROM user LIMIT 1";
        self.readers.read(|connection| connection.prepare_cached(TOUCH)?.exists([]).map(|_| ()))?;
        let writes = self.written.is_due();
        self.writer
            .submit(Durability::Session, move |connection| {
                connection.prepare_cached(TOUCH)?.exists([])?;
                if writes {
                    write_header(connection)?;
                }
                Ok(Step::Keep(()))
            })
            .await?;
        if writes {
            self.written.now();
        }
        Ok(())
    }

    /// An operator's change to an account, after which everything in flight of it ends. `None`: no such user.
    async fn change<T: Send + 'static>(
        &self,
        user: &UserId,
        now: Timestamp,
        audit: AuditEvent,
        change: impl Fn(&Connection, &UserId) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<Option<T>, PortError> {
        let user = user.clone();
        self.writer
            .submit(Durability::Full, move |connection| {
                let found = connection
                    .prepare_cached(
                        "UPDATE user SET epoch = epoch + 1, tokens_valid_from = max(tokens_valid_from, ?2), \
                         updated_at = ?2 WHERE id = ?1",
                    )?
                    .execute(params![user.as_str(), now.as_millis()])?;
                if found == 0 {
                    return Ok(Step::Undo(None));
                }
                proofs::forget(connection, &user)?;
                let value = change(connection, &user)?;
                rows::insert_audit(connection, &audit)?;
                Ok(Step::Keep(Some(value)))
            })
            .await
    }
}

fn insert_one(connection: &Transaction<'_>, new: &NewUser) -> rusqlite::Result<UserInserted> {
    let user = &new.user;
    // The write lock is held, so nobody can take a name between the look and the insert.
    let mut taken = connection.prepare_cached("SELECT 1 FROM login_name WHERE realm = ?1 AND name = ?2")?;
    for name in &new.names {
        if taken.exists([user.realm.as_str(), name.as_str()])? {
            return Ok(UserInserted::NameTaken);
        }
    }
    connection
        .prepare_cached(
            "INSERT INTO user (id, realm, username, email, email_verified, name, given_name, family_name, picture, \
             password, blocked, epoch, tokens_valid_from, created_at, updated_at, address_failures, \
             notification_addresses, told_at) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18)",
        )?
        .execute(params![
            user.id.as_str(),
            user.realm.as_str(),
            user.username,
            user.email.as_ref().map(|email| email.address.as_str()),
            user.email.as_ref().is_some_and(|email| email.verified),
            user.profile.name,
            user.profile.given_name,
            user.profile.family_name,
            user.profile.picture,
            user.password.as_str(),
            user.blocked,
            rows::signed(user.epoch),
            user.tokens_valid_from.as_millis(),
            user.created_at.as_millis(),
            user.updated_at.as_millis(),
            user.address_failures,
            user.notification_addresses.join("\n"),
            user.told_at.map(Timestamp::as_millis),
        ])?;
    let mut add = connection
        .prepare_cached("INSERT INTO login_name (realm, name, user_id) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING")?;
    for name in &new.names {
        add.execute([user.realm.as_str(), name.as_str(), user.id.as_str()])?;
    }
    rows::insert_audit(connection, &new.audit)?;
    Ok(UserInserted::Inserted)
}
