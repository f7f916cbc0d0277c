//! A person and what is known of them.

use crate::{
    factor::oob::canonical_email,
    id::{RealmName, UserId},
    secret::{Digest, Secret},
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
    /// Where notices go besides, as an operator said: at most [`MAX_NOTIFICATION_ADDRESSES`], each once.
    pub notification_addresses: Vec<String>,
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
    /// The access token with which the last authenticator was removed: the one that goes on in this epoch though it is older.
    pub spared: Option<Digest>,
    /// When the password was changed, the account blocked or its factors reset last: wrong passwords are counted anew from then on.
    pub tokens_valid_from: Timestamp,
    /// When the person was first told to enrol a second factor, or confirmed one. Written once and never changed, whatever becomes of their
    /// factors: the grace period for enrolment runs from it and cannot be had again.
    pub told_at: Option<Timestamp>,
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

    /// Where notices go, each address once: the person's own if it is verified, and those for notices.
    ///
    /// An address nobody has proven to own may be a stranger's, who would learn what happens here and could remove what the person
    /// adds. It is used only if there is no other: then a notice that may go astray is still better than an intrusion nobody hears of.
    pub fn notice_addresses(&self) -> Vec<&str> {
        let own = self.email.as_ref().filter(|email| email.verified || self.notification_addresses.is_empty());
        let mut addresses: Vec<&str> = own.map(|email| email.address.as_str()).into_iter().collect();
        for address in &self.notification_addresses {
            if !addresses.iter().any(|known| known.eq_ignore_ascii_case(address)) {
                addresses.push(address);
            }
        }
        addresses
    }

    /// The name under which an authenticator app shows the account: the address, or the username.
    pub fn label(&self) -> &str {
        self.email.as_ref().map_or(&self.username, |email| &email.address)
    }
}

/// The most addresses a person may have for notices besides their own. NIST SP 800-63B-4, section 4.6, asks for two.
pub const MAX_NOTIFICATION_ADDRESSES: usize = 5;

/// Whether notices can go to `address`: one that could be enrolled, with nothing around it, on one line.
pub fn is_notification_address(address: &str) -> bool {
    address.trim() == address && !address.chars().any(char::is_control) && canonical_email(address).is_some()
}

/// A change of the addresses that notices go to.
#[derive(Clone, Debug, Default)]
pub struct AddressChange {
    /// Those to add.
    pub add: Vec<String>,
    /// Those to remove. Who is in both stays.
    pub remove: Vec<String>,
}

impl AddressChange {
    /// What becomes of `addresses`; `None` if there would be more than [`MAX_NOTIFICATION_ADDRESSES`]. Letter case tells no addresses
    /// apart.
    pub fn apply(&self, addresses: &[String]) -> Option<Vec<String>> {
        let among = |list: &[String], address: &str| list.iter().any(|known| known.eq_ignore_ascii_case(address));
        let mut changed: Vec<String> = addresses.iter().filter(|old| !among(&self.remove, old)).cloned().collect();
        for new in &self.add {
            if !among(&changed, new) {
                changed.push(new.clone());
            }
        }
        (changed.len() <= MAX_NOTIFICATION_ADDRESSES).then_some(changed)
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

    /// No password at all: none is right. For who logs in elsewhere.
    pub fn none() -> Self {
        Self::new("!".to_owned())
    }

    /// Whether there is a password.
    pub fn is_set(&self) -> bool {
        self.as_str() != "!"
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

#[cfg(test)]
mod tests {
    use super::*;

    fn user(email: Option<bool>, others: &[&str]) -> User {
        User {
            id: UserId::new("auth0|ann"),
            realm: RealmName::new("main"),
            username: "ann".into(),
            email: email.map(|verified| Email { address: "ann@people.test".into(), verified }),
            notification_addresses: others.iter().map(|address| (*address).to_owned()).collect(),
            profile: Profile::default(),
            password: PasswordHash::new(String::new()),
            blocked: false,
            address_failures: 0,
            epoch: 0,
            spared: None,
            tokens_valid_from: Timestamp::from_millis(0),
            told_at: None,
            created_at: Timestamp::from_millis(0),
            updated_at: Timestamp::from_millis(0),
        }
    }

    #[test]
    fn notices_go_to_what_is_proven_and_to_the_rest_only_if_there_is_nothing_else() {
        for (email, others, expected) in [
            (Some(true), vec!["a@x.test", "b@x.test"], vec!["ann@people.test", "a@x.test", "b@x.test"]),
            (Some(false), vec!["a@x.test"], vec!["a@x.test"]),
            (Some(false), vec![], vec!["ann@people.test"]),
            (Some(true), vec!["Ann@People.test"], vec!["ann@people.test"]),
            (None, vec![], vec![]),
        ] {
            assert_eq!(user(email, &others).notice_addresses(), expected);
        }
    }

    #[test]
    fn a_change_of_addresses_keeps_each_once_and_has_a_bound() {
        let change = |add: &[&str], remove: &[&str]| {
            let owned = |list: &[&str]| list.iter().map(|address| (*address).to_owned()).collect();
            AddressChange { add: owned(add), remove: owned(remove) }.apply(&["a@x".into(), "b@x".into()])
        };
        assert_eq!(change(&["A@x", "c@x"], &["B@X"]).unwrap(), ["a@x", "c@x"]);
        assert_eq!(change(&["b@x"], &["b@x", "z@x"]).unwrap(), ["a@x", "b@x"]);
        assert!(change(&["1@x", "2@x", "3@x"], &[]).is_some());
        assert!(change(&["1@x", "2@x", "3@x", "4@x"], &[]).is_none());
    }

    #[test]
    fn an_address_is_bare_and_on_one_line() {
        assert!(is_notification_address("ann+mfa@mail.people.test"));
        for wrong in [
            "",
            "ann",
            "ann@",
            "ann@localhost",
            " ann@people.test",
            "Ann <ann@people.test>",
            "ann@people.test\nb@x.test",
            "a@x.test,b@x.test",
        ] {
            assert!(!is_notification_address(wrong), "{wrong:?}");
        }
    }
}
