//! The accounts.

use async_trait::async_trait;

use super::PortError;
use crate::{
    account::Account,
    audit::AuditEvent,
    id::{RealmName, UserId},
    login_name::LoginName,
    message::OutboxRow,
    time::Timestamp,
    user::{AddressChange, PasswordHash, User},
};

/// What became of an insert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserInserted {
    /// The account exists now.
    Inserted,
    /// Another account of the realm has one of the names; nothing was changed.
    NameTaken,
}

/// What became of a change of addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AddressesChanged {
    /// These they are now.
    Changed(Vec<String>),
    /// There would be more than [`MAX_NOTIFICATION_ADDRESSES`](crate::user::MAX_NOTIFICATION_ADDRESSES); nothing was changed.
    TooMany,
    /// There is no such user.
    NoUser,
}

/// Keeps accounts.
#[async_trait]
pub trait UserStore: Send + Sync {
    /// The account of `realm` that `name` names, by username or address, as one snapshot.
    async fn find_by_login(&self, realm: &RealmName, name: &LoginName) -> Result<Option<Account>, PortError>;

    /// The account with this id, as one snapshot.
    async fn find(&self, user: &UserId) -> Result<Option<Account>, PortError>;

    /// Adds accounts with their names, each with an audit row, all in one transaction per call.
    ///
    /// The names of an account MUST be unique within its realm across kinds: a username cannot be another's address. An
    /// account with a taken name is left out, and the answer at its place says so; the others are added.
    async fn insert(&self, users: Vec<NewUser>) -> Result<Vec<UserInserted>, PortError>;

    /// Up to `limit` users ordered by realm and username, starting after `after`.
    async fn list(&self, after: Option<(RealmName, String)>, limit: usize) -> Result<Vec<Account>, PortError>;

    /// Sets the password, raises the epoch and voids management tokens issued before `now`. False: no such user.
    async fn set_password(
        &self,
        user: &UserId,
        password: PasswordHash,
        now: Timestamp,
        audit: AuditEvent,
    ) -> Result<bool, PortError>;

    /// Blocks or unblocks, raises the epoch and voids management tokens issued before `now`. False: no such user.
    async fn set_blocked(
        &self,
        user: &UserId,
        blocked: bool,
        now: Timestamp,
        audit: AuditEvent,
    ) -> Result<bool, PortError>;

    /// Removes every authenticator and recovery code, raises the epoch and voids management tokens issued before `now`. The
    /// answer is how many authenticators went; `None`: no such user. Adds `messages` to the outbox if one of them was not pending.
    async fn reset_factors(
        &self,
        user: &UserId,
        now: Timestamp,
        messages: Vec<OutboxRow>,
        audit: AuditEvent,
    ) -> Result<Option<u64>, PortError>;

    /// Changes the addresses that notices go to, in one step. Nothing in flight ends.
    async fn change_addresses(
        &self,
        user: &UserId,
        change: AddressChange,
        audit: AuditEvent,
    ) -> Result<AddressesChanged, PortError>;

    /// Asks the store whether it can serve, with a statement that touches it.
    async fn ping(&self) -> Result<(), PortError>;
}

/// An account to add.
#[derive(Clone, Debug)]
pub struct NewUser {
    /// The account.
    pub user: User,
    /// The names it can be found by, canonical: the username, and the address if there is one and it differs.
    pub names: Vec<LoginName>,
    /// The row of the audit trail.
    pub audit: AuditEvent,
}
