//! The operator's verbs: add, passwd, list, block, reset-mfa.

use crate::{
    account::Account,
    app::App,
    error::Error,
    id::{RealmName, UserId},
    login_name::LoginName,
    secret::Secret,
    user::{Email, Profile},
};

/// An account to add.
#[derive(Clone, Debug)]
pub struct AddUser {
    /// The realm it lives in.
    pub realm: RealmName,
    /// The username.
    pub username: String,
    /// The address.
    pub email: Option<Email>,
    /// What is known of the person.
    pub profile: Profile,
    /// Their password, or a verifier made elsewhere.
    pub password: NewPassword,
}

/// The password of a new account.
#[derive(Clone, Debug)]
pub enum NewPassword {
    /// To be hashed. Accounts of one call that share a password share its hash: it is made once.
    Plain(Secret<String>),
    /// An argon2id PHC string.
    Phc(Secret<String>),
}

/// What became of an account to add.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Added {
    /// It exists now.
    Added(UserId),
    /// Another account has one of its names.
    NameTaken,
}

impl App {
    /// Adds accounts.
    ///
    /// # Errors
    ///
    /// Request malformed, naming `username`, `email` or `password`; a store or the hasher failed.
    pub async fn add_users(&self, users: Vec<AddUser>) -> Result<Vec<Added>, Error> {
        let _ = users;
        Err(Error::new(crate::error::Reason::Internal))
    }

    /// The account that `login` names in `realm`.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub async fn find_user(&self, realm: &RealmName, login: &LoginName) -> Result<Option<Account>, Error> {
        Ok(self.users.find_by_login(realm, login).await?)
    }

    /// Sets a password; everything in flight of the account ends. False: no such user.
    ///
    /// # Errors
    ///
    /// Request malformed, naming `password`; a store or the hasher failed.
    pub async fn set_password(&self, user: &UserId, password: NewPassword) -> Result<bool, Error> {
        let _ = (user, password);
        Err(Error::new(crate::error::Reason::Internal))
    }

    /// Blocks or unblocks; everything in flight of the account ends. False: no such user.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub async fn set_blocked(&self, user: &UserId, blocked: bool) -> Result<bool, Error> {
        let _ = (user, blocked);
        Err(Error::new(crate::error::Reason::Internal))
    }

    /// Removes all factors; everything in flight of the account ends. The answer is how many authenticators went; `None`: no
    /// such user.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub async fn reset_factors(&self, user: &UserId) -> Result<Option<u64>, Error> {
        let _ = user;
        Err(Error::new(crate::error::Reason::Internal))
    }
}
