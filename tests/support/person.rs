//! People, and the apps on their phones.

use std::sync::atomic::{AtomicU64, Ordering};

use countersign_domain::{
    factor::otp::step_at,
    id::{RealmName, UserId},
    secret::Secret,
    usecase::manage_users::{AddUser, Added, NewPassword},
    user::{Email, Profile},
};

use crate::{
    api::{Api, Outcome, Tokens, Wish},
    otp,
    refusal::Refusal,
    tenant::{API, BACKEND, Client, MFA_API, MFA_SCOPES, REALM},
    world::World,
};

/// Everybody's password: with blanks and letters that are not ASCII.
pub const PASSWORD: &str = "correct horse b\u{e4}ttery \u{2713}";

/// Somebody with an account.
#[derive(Clone, Debug)]
pub struct Person {
    /// Their username.
    pub username: String,
    /// Their address.
    pub email: String,
    /// Their subject.
    pub id: UserId,
}

/// An app that was enrolled. It never shows a code twice: each call shows the next one, and time moves with it.
#[derive(Debug)]
pub struct Phone {
    /// The secret, base32.
    pub secret: String,
    /// The recovery code that came with it, if one did.
    pub recovery_code: Option<String>,
    used: AtomicU64,
}

impl Phone {
    /// An app with `secret` that has shown no code yet.
    pub fn new(secret: String, recovery_code: Option<String>) -> Self {
        Self { secret, recovery_code, used: AtomicU64::new(0) }
    }

    /// A code that was not used yet. Moves the clock on by a step if the present one was.
    pub fn code(&self, world: &World) -> String {
        if step_at(world.now()) <= self.used.load(Ordering::SeqCst) {
            world.advance(otp::PERIOD);
        }
        let step = step_at(world.now());
        self.used.store(step, Ordering::SeqCst);
        otp::code_of(&self.secret, step)
    }

    /// A code that is wrong now and around now.
    pub fn wrong(&self, world: &World) -> String {
        otp::wrong_code(&[&self.secret], world.now())
    }
}

impl World {
    /// Makes an account.
    pub async fn person(&self, username: &str) -> Person {
        self.people(&[username]).await.remove(0)
    }

    /// Makes an account whose address nobody has verified.
    pub async fn unverified_person(&self, username: &str) -> Person {
        self.people_with(&[username], false).await.remove(0)
    }

    /// Makes accounts; their password is hashed once.
    pub async fn people(&self, usernames: &[&str]) -> Vec<Person> {
        self.people_with(usernames, true).await
    }

    async fn people_with(&self, usernames: &[&str], verified: bool) -> Vec<Person> {
        let address = |username: &str| format!("{username}@people.test");
        let users = usernames.iter().map(|username| AddUser {
            realm: RealmName::new(REALM),
            username: (*username).to_owned(),
            email: Some(Email { address: address(username), verified }),
            notification_addresses: Vec::new(),
            profile: Profile { name: Some(format!("Person {username}")), ..Profile::default() },
            password: NewPassword::Plain(Secret::new(PASSWORD.to_owned())),
        });
        let added = self.app().add_users(users.collect()).await.expect("accounts are made");
        let with_ids = usernames.iter().zip(added);
        with_ids
            .map(|(username, added)| match added {
                Added::Added(id) => Person { username: (*username).to_owned(), email: address(username), id },
                Added::NameTaken => panic!("{username} is there already"),
            })
            .collect()
    }

    /// Makes an account and enrols an app at its first login.
    pub async fn enrolled(&self, api: &Api, username: &str) -> (Person, Phone) {
        let person = self.person(username).await;
        let phone = person.enrol(self, api).await;
        (person, phone)
    }
}

impl Person {
    /// The first factor at [`BACKEND`].
    pub async fn password(&self, api: &Api) -> Result<Outcome, Refusal> {
        self.password_at(api, BACKEND).await
    }

    /// The first factor at `client`.
    pub async fn password_at(&self, api: &Api, client: Client) -> Result<Outcome, Refusal> {
        api.login(client, &self.username, PASSWORD).await
    }

    /// The first factor at [`BACKEND`], which must ask for the second: the `mfa_token`.
    pub async fn mfa_token(&self, api: &Api) -> String {
        self.password(api).await.expect("the password is right").mfa_token()
    }

    /// Enrols a first app while logging in.
    pub async fn enrol(&self, world: &World, api: &Api) -> Phone {
        let token = self.mfa_token(api).await;
        let association = api.associate(&token).await.expect("nothing is enrolled yet");
        let phone = Phone::new(association.secret, association.recovery_codes.into_iter().next());
        api.otp(BACKEND, &token, &phone.code(world)).await.expect("the first code confirms");
        phone
    }

    /// Both factors at [`BACKEND`].
    pub async fn log_in(&self, world: &World, api: &Api, phone: &Phone) -> Tokens {
        let token = self.mfa_token(api).await;
        api.otp(BACKEND, &token, &phone.code(world)).await.expect("the code is right")
    }

    /// Both factors at [`BACKEND`], asking for a refresh token.
    pub async fn lasting(&self, world: &World, api: &Api, phone: &Phone) -> Tokens {
        let wish = Wish { audience: Some(API), scope: Some("openid offline_access read:things"), ..Wish::default() };
        let outcome = api.login_for(BACKEND, &self.username, PASSWORD, wish).await.expect("the password is right");
        api.otp(BACKEND, &outcome.mfa_token(), &phone.code(world)).await.expect("the code is right")
    }

    /// An access token of the MFA API with all its scopes, obtained with both factors.
    pub async fn manager(&self, world: &World, api: &Api, phone: &Phone) -> String {
        let wish = Wish { audience: Some(MFA_API), scope: Some(MFA_SCOPES), ..Wish::default() };
        let outcome = api.login_for(BACKEND, &self.username, PASSWORD, wish).await.expect("the password is right");
        let token = outcome.mfa_token();
        api.otp(BACKEND, &token, &phone.code(world)).await.expect("the code is right").access_token
    }

    /// Enrols another app with an access token of the MFA API.
    pub async fn add_phone(&self, world: &World, api: &Api, manager: &str) -> Phone {
        let association = api.associate(manager).await.expect("a second factor was proven");
        let phone = Phone::new(association.secret, None);
        api.otp(BACKEND, manager, &phone.code(world)).await.expect("the first code confirms");
        phone
    }
}
