//! The demo's people.

use countersign_domain::{
    app::App,
    id::RealmName,
    login_name::LoginName,
    secret::Secret,
    usecase::manage_users::{AddUser, NewPassword},
    user::{Email, Profile},
};

use super::settings::REALM;
use crate::config::{directory::UserConfig, secret::SecretText};

/// The password of all numbered users.
pub const SHARED_PASSWORD: &str = "pass wörd of all";

/// Username, password, full, given and family name of those with names. Their addresses are verified.
const NAMED: [(&str, &str, &str, &str, &str); 3] = [
    ("ada", "correct horse battery staple", "Ada Lovelace", "Ada", "Lovelace"),
    ("grace", "nanosekunden für alle 1906", "Grace Hopper", "Grace", "Hopper"),
    ("rené", "cogito ergo sum, naïvement", "René Descartes", "René", "Descartes"),
];

/// A person, as `demo.json` tells.
#[derive(Clone, Debug)]
pub struct Person {
    /// Their username.
    pub username: String,
    /// Their password.
    pub password: &'static str,
    /// Their address.
    pub email: String,
}

/// Everybody there is with `numbered` numbered users: those with names first.
pub fn everybody(numbered: u32) -> Vec<Person> {
    let named = NAMED.iter().map(|(username, password, _, given, _)| Person {
        username: (*username).to_owned(),
        password,
        email: address(given),
    });
    let numbered = (1..=numbered).map(|number| {
        let username = numbered_name(number);
        Person { email: format!("{username}@example.com"), username, password: SHARED_PASSWORD }
    });
    named.chain(numbered).collect()
}

/// Those with names, as the configuration declares them.
pub(super) fn named() -> Vec<UserConfig> {
    NAMED
        .iter()
        .map(|(username, password, name, given, family)| UserConfig {
            realm: REALM.to_owned(),
            username: (*username).to_owned(),
            email: address(given),
            email_verified: true,
            name: (*name).to_owned(),
            given_name: (*given).to_owned(),
            family_name: (*family).to_owned(),
            password: SecretText::new(*password),
            ..UserConfig::default()
        })
        .collect()
}

/// Adds the numbered users that are not there. Their password is hashed once for all.
///
/// # Errors
///
/// The store or the hasher failed.
pub async fn add_numbered(app: &App, count: u32) -> anyhow::Result<()> {
    let realm = RealmName::new(REALM);
    // They are added in order, so where the last is, all are.
    if count > 0 && app.find_user(&realm, &LoginName::parse(&numbered_name(count))?).await?.is_none() {
        app.add_users((1..=count).map(|number| numbered_user(&realm, number)).collect()).await?;
    }
    Ok(())
}

fn numbered_user(realm: &RealmName, number: u32) -> AddUser {
    let username = numbered_name(number);
    AddUser {
        realm: realm.clone(),
        email: Some(Email { address: format!("{username}@example.com"), verified: false }),
        notification_addresses: Vec::new(),
        profile: Profile::default(),
        password: NewPassword::Plain(Secret::new(SHARED_PASSWORD.to_owned())),
        username,
    }
}

fn numbered_name(number: u32) -> String {
    format!("user{number:05}")
}

fn address(given: &str) -> String {
    format!("{}@example.com", given.to_lowercase().replace('é', "e"))
}
