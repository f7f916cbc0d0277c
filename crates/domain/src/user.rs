//! A person and what is known of them.

use crate::{
    id::{RealmName, UserId},
    secret::Secret,
    time::Timestamp,
};

/// A person who can log in with a password.
#[derive(Clone, Debug)]
pub struct User {
    /// The subject of every token.
    pub id: UserId,
    /// The realm the account lives in.
    pub realm: RealmName,
    /// The name as it was given, for display.
    pub username: String,
    /// The e-mail address, if one is known.
    pub email: Option<Email>,
    /// What the "profile" scope shows.
    pub profile: Profile,
    /// Verifier of the password.
    pub password: PasswordHash,
    /// Whether an operator has blocked the account.
    pub blocked: bool,
    /// Wrong codes in a row that were sent to the verified address without an enrolment (NIST SP 800-63B-4, section 3.2.2).
    pub address_failures: u32,
    /// Rises whenever everything in flight must end: authenticator removed, password changed, account blocked, factors reset.
    pub epoch: u64,
    /// Access tokens of the MFA API and of userinfo that were issued before this are void: password changed, account blocked, factors reset.
    pub tokens_valid_from: Timestamp,
    /// When the account was made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

impl User {
    /// The full name, or the username where none is known.
    pub fn shown_name(&self) -> &str {
        self.profile.name.as_deref().unwrap_or(&self.username)
    }

    /// The local part of the address, or the username.
    pub fn nickname(&self) -> &str {
        self.email
            .as_ref()
            .and_then(|email| email.address.split_once('@'))
            .map_or(self.username.as_str(), |(local, _)| local)
    }

    /// The name under which an authenticator app shows the account: the address, or the username.
    pub fn label(&self) -> &str {
        self.email.as_ref().map_or(&self.username, |email| &email.address)
    }
}

/// An e-mail address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Email {
    /// The address as it was given.
    pub address: String,
    /// Whether the person has proven to own it.
    pub verified: bool,
}

/// What the "profile" scope shows (OpenID Connect Core, section 5.4).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Profile {
    /// Full name.
    pub name: Option<String>,
    /// Given name.
    pub given_name: Option<String>,
    /// Family name.
    pub family_name: Option<String>,
    /// Address of a picture.
    pub picture: Option<String>,
}

/// The stored verifier of a password. Only a [`PasswordHasher`](crate::port::password_hasher::PasswordHasher) reads it.
#[derive(Clone)]
pub struct PasswordHash(Secret<String>);

impl PasswordHash {
    /// Wraps the text a hasher made.
    pub fn new(text: String) -> Self {
        Self(Secret::new(text))
    }

    /// The text to store.
    pub fn as_str(&self) -> &str {
        self.0.expose()
    }
}

impl std::fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PasswordHash")
    }
}
