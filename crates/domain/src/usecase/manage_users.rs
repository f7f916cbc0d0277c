//! The operator's verbs: add, passwd, list, block, reset-mfa, notify.

use crate::{
    account::Account,
    app::App,
    audit::{AuditEvent, Event},
    error::Error,
    id::{RealmName, UserId},
    login_name::LoginName,
    opaque::{LOWER_ALPHANUMERIC, random_text},
    port::user_store::{AddressesChanged, NewUser, UserInserted},
    secret::Secret,
    time::Timestamp,
    user::{AddressChange, Email, MAX_NOTIFICATION_ADDRESSES, PasswordHash, Profile, User, is_notification_address},
};

/// The longest password, in bytes. Nothing is ever cut.
pub const MAX_PASSWORD_BYTES: usize = 1024;

/// An account to add.
#[derive(Clone, Debug)]
pub struct AddUser {
    /// The realm it lives in.
    pub realm: RealmName,
    /// The username.
    pub username: String,
    /// The address.
    pub email: Option<Email>,
    /// Where notices go besides.
    pub notification_addresses: Vec<String>,
    /// What is known of the person.
    pub profile: Profile,
    /// Their password, or a verifier made elsewhere.
    pub password: NewPassword,
}

/// The password of a new account.
#[derive(Clone, Debug)]
pub enum NewPassword {
    /// None: they log in elsewhere, with a client that says so.
    None,
    /// To be hashed. Accounts of one call that share a password share its hash: it is made once.
    Plain(Secret<String>),
    /// An argon2id PHC string.
    Phc(Secret<String>),
}

/// What a password must not be made of.
struct Names<'a> {
    username: &'a str,
    address: &'a str,
    profile: &'a Profile,
}

impl<'a> Names<'a> {
    /// Together with the service's name and where it is.
    fn with(&self, app_name: &'a str, issuer: &'a str) -> Vec<&'a str> {
        let Profile { name, given_name, family_name, .. } = self.profile;
        let own = [name, given_name, family_name].into_iter().flatten().map(String::as_str);
        own.chain([self.username, self.address, app_name, issuer]).collect()
    }
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
        let now = self.clock.now();
        let mut hashed: Vec<(Secret<String>, PasswordHash)> = Vec::new();
        let mut added = Vec::with_capacity(users.len());
        let mut batch = Vec::new();
        let mut users = users.into_iter().peekable();
        while let Some(user) = users.next() {
            let address = user.email.as_ref().map_or("", |email| &email.address);
            self.check_password(&user.password, &Names { username: &user.username, address, profile: &user.profile })?;
            let password = match hashed.last() {
                Some((plain, hash)) if matches!(&user.password, NewPassword::Plain(same) if same.expose() == plain.expose()) => {
                    hash.clone()
                }
                _ => self.verifier(&user.password).await?,
            };
            if let NewPassword::Plain(plain) = &user.password {
                hashed = vec![(plain.clone(), password.clone())];
            }
            batch.push(self.new_user(user, password, now)?);
            if batch.len() == BATCH || users.peek().is_none() {
                let ids: Vec<UserId> = batch.iter().map(|new| new.user.id.clone()).collect();
                let outcomes = self.users.insert(std::mem::take(&mut batch)).await?;
                added.extend(ids.into_iter().zip(outcomes).map(|(id, outcome)| match outcome {
                    UserInserted::Inserted => Added::Added(id),
                    UserInserted::NameTaken => Added::NameTaken,
                }));
            }
        }
        Ok(added)
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
        let Some(account) = self.account(user).await? else { return Ok(false) };
        let User { username, email, profile, .. } = &account.user;
        let address = email.as_ref().map_or("", |email| &email.address);
        self.check_password(&password, &Names { username, address, profile })?;
        let verifier = self.verifier(&password).await?;
        let now = self.clock.now();
        Ok(self.users.set_password(user, verifier, now, self.by_operator(Event::PasswordSet, user, now)).await?)
    }

    /// Blocks or unblocks; everything in flight of the account ends. False: no such user.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub async fn set_blocked(&self, user: &UserId, blocked: bool) -> Result<bool, Error> {
        let now = self.clock.now();
        let event = if blocked { Event::UserBlocked } else { Event::UserUnblocked };
        Ok(self.users.set_blocked(user, blocked, now, self.by_operator(event, user, now)).await?)
    }

    /// Removes all factors; everything in flight of the account ends. The answer is how many authenticators went; `None`: no
    /// such user.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub async fn reset_factors(&self, user: &UserId) -> Result<Option<u64>, Error> {
        let now = self.clock.now();
        let Some(account) = self.users.find(user).await? else { return Ok(None) };
        let messages = self.notices_of_removal(&account.user, &account.authenticators, None, now)?;
        Ok(self.users.reset_factors(user, now, messages, self.by_operator(Event::FactorsReset, user, now)).await?)
    }

    /// Changes where notices go.
    ///
    /// # Errors
    ///
    /// Request malformed, naming `notification_addresses`; the store failed.
    pub async fn change_addresses(&self, user: &UserId, change: AddressChange) -> Result<AddressesChanged, Error> {
        check_addresses(&change.add)?;
        let row = self.by_operator(Event::AddressesChanged, user, self.clock.now());
        Ok(self.users.change_addresses(user, change, row).await?)
    }

    /// A row of a change that an operator made, with who that was.
    pub(crate) fn by_operator(&self, event: Event, user: &UserId, at: Timestamp) -> AuditEvent {
        let operator = self.operator.as_deref().map(|operator| operator.to_owned().into());
        AuditEvent { operator, ..AuditEvent::about(event, user, at) }
    }

    /// Whether a password that is known will do for somebody with these names.
    fn check_password(&self, password: &NewPassword, names: &Names<'_>) -> Result<(), Error> {
        let NewPassword::Plain(plain) = password else { return Ok(()) };
        let names = names.with(&self.registry.app_name, &self.registry.issuer);
        let verdict = self.registry.policy.passwords.check(plain.expose(), &names);
        verdict.map_err(|unfit| Error::malformed("password", format!("password {unfit}")))
    }

    async fn verifier(&self, password: &NewPassword) -> Result<PasswordHash, Error> {
        match password {
            NewPassword::None => Ok(PasswordHash::none()),
            NewPassword::Plain(plain) => Ok(self.hasher.hash(plain.clone()).await?),
            NewPassword::Phc(phc) => self.hasher.import(phc).map_err(|_unusable| {
                Error::malformed(
                    "password",
                    "password must be an argon2id PHC string of at least the documented strength",
                )
            }),
        }
    }

    /// An account to add, with the row that an operator's command would leave.
    pub(crate) fn new_user(&self, user: AddUser, password: PasswordHash, now: Timestamp) -> Result<NewUser, Error> {
        let name = |field, text: &str| {
            LoginName::parse(text).map_err(|bad| Error::malformed(field, format!("{field}: {bad}")))
        };
        let mut names = vec![name("username", &user.username)?];
        if let Some(email) = &user.email {
            if !is_notification_address(&email.address) {
                return Err(Error::malformed("email", "email must be an address"));
            }
            let address = name("email", &email.address)?;
            if !names.contains(&address) {
                names.push(address);
            }
        }
        check_addresses(&user.notification_addresses)?;
        let change = AddressChange { add: user.notification_addresses, remove: Vec::new() };
        let notification_addresses = change.apply(&[]).ok_or_else(too_many_addresses)?;
        let id = UserId::new(format!("auth0|{}", random_text(LOWER_ALPHANUMERIC, 24, self.entropy.as_ref())?));
        Ok(NewUser {
            names,
            audit: self.by_operator(Event::UserAdded, &id, now),
            user: User {
                id,
                realm: user.realm,
                username: user.username.trim().to_owned(),
                email: user.email,
                notification_addresses,
                profile: user.profile,
                password,
                blocked: false,
                address_failures: 0,
                epoch: 0,
                spared: None,
                tokens_valid_from: Timestamp::from_millis(0),
                told_at: None,
                created_at: now,
                updated_at: now,
            },
        })
    }
}

/// Where notices go must be somewhere mail can be sent to.
fn check_addresses(addresses: &[String]) -> Result<(), Error> {
    if addresses.iter().all(|address| is_notification_address(address)) {
        Ok(())
    } else {
        Err(Error::malformed("notification_addresses", "notification_addresses must be e-mail addresses"))
    }
}

fn too_many_addresses() -> Error {
    let most = MAX_NOTIFICATION_ADDRESSES;
    Error::malformed("notification_addresses", format!("notification_addresses must be at most {most}"))
}

/// Accounts per transaction.
const BATCH: usize = 500;
