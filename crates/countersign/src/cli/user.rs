//! `user`: the operator's verbs on accounts.

use std::{io::Read as _, path::PathBuf, sync::Arc};

use clap::{Args, Subcommand};
use countersign_domain::{
    account::Account,
    app::App,
    id::RealmName,
    login_name::LoginName,
    port::{clock::Clock, user_store::AddressesChanged},
    secret::Secret,
    time::Timestamp,
    usecase::{
        manage_users::{AddUser, Added, NewPassword},
        remembered_devices::RememberedDevice,
    },
    user::{AddressChange, Email, MAX_NOTIFICATION_ADDRESSES, Profile},
};

use super::{exit::Failure, run, target::Target};
use crate::{config::registry::given, wire};

/// The most of a password that is read, in bytes.
const MAX_PASSWORD: u64 = 4096;
/// Accounts read in one step.
const PAGE: usize = 500;

/// `user` and what it works on.
#[derive(Args, Debug)]
pub struct UserCommand {
    /// The verb.
    #[command(subcommand)]
    pub verb: Verb,
}

/// The realm to work on.
#[derive(Args, Clone, Debug)]
pub struct InRealm {
    /// The store.
    #[command(flatten)]
    pub store: Target,
    /// The realm. Without: the default realm.
    #[arg(long, value_name = "NAME")]
    pub realm: Option<String>,
}

/// Where a password comes from.
#[derive(Args, Clone, Debug)]
#[group(multiple = false)]
pub struct PasswordSource {
    /// A file with the password. Without this and --phc it is read from standard input.
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<PathBuf>,
    /// An argon2id PHC string that was made elsewhere.
    #[arg(long, value_name = "PHC")]
    pub phc: Option<String>,
}

/// Which user.
#[derive(Args, Clone, Debug)]
pub struct Whom {
    /// Their username or address.
    pub login: String,
    /// Where they are.
    #[command(flatten)]
    pub target: InRealm,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Add a user. The password is read from standard input, without its last line end.
    Add(Box<AddArgs>),
    /// Set a user's password and end what they have in flight. It is read from standard input, without its last line end.
    Passwd {
        /// Which.
        #[command(flatten)]
        whom: Whom,
        /// To what.
        #[command(flatten)]
        password: PasswordSource,
    },
    /// List users, one a line: realm, username, address, state, active factors and addresses for notices, separated by tabs.
    List(InRealm),
    /// Block a user and end what they have in flight.
    Block(Whom),
    /// Unblock a user.
    Unblock(Whom),
    /// Remove a user's factors, so that they enrol anew.
    ResetMfa(Whom),
    /// List the devices on which a user skips the second factor, one a line: id, client, since when, last used, until when, separated by tabs.
    Devices(Whom),
    /// Forget a device on which a user skips the second factor, or all of them.
    ForgetDevice {
        /// Which user.
        #[command(flatten)]
        whom: Whom,
        /// Which device, by the id that `user devices` lists.
        #[arg(
            long,
            value_name = "ID",
            required_unless_present = "all",
            conflicts_with = "all",
            allow_hyphen_values = true
        )]
        device: Option<String>,
        /// All of the user's.
        #[arg(long)]
        all: bool,
    },
    /// Change where a user's security notices go besides their own address.
    Notify {
        /// Which.
        #[command(flatten)]
        whom: Whom,
        /// An address to add; may be repeated.
        #[arg(long, value_name = "ADDRESS", required_unless_present = "remove")]
        add: Vec<String>,
        /// An address to remove; may be repeated.
        #[arg(long, value_name = "ADDRESS")]
        remove: Vec<String>,
    },
}

/// `user add`.
#[derive(Args, Debug)]
pub struct AddArgs {
    /// The username.
    pub username: String,
    /// Where to.
    #[command(flatten)]
    pub target: InRealm,
    /// Their password.
    #[command(flatten)]
    pub password: PasswordSource,
    /// Their address.
    #[arg(long)]
    pub email: Option<String>,
    /// They have proven to own it.
    #[arg(long, requires = "email")]
    pub email_verified: bool,
    /// An address that security notices go to besides; may be repeated.
    #[arg(long, value_name = "ADDRESS")]
    pub notify: Vec<String>,
    /// Their full name.
    #[arg(long)]
    pub name: Option<String>,
    /// Their given name.
    #[arg(long)]
    pub given_name: Option<String>,
    /// Their family name.
    #[arg(long)]
    pub family_name: Option<String>,
    /// The address of a picture of them.
    #[arg(long)]
    pub picture: Option<String>,
}

/// Does it, and says what was done, in one line.
///
/// # Errors
///
/// It could not be done; nothing was changed.
pub async fn run(command: UserCommand, clock: &Arc<dyn Clock>) -> Result<(), Failure> {
    let said = match command.verb {
        Verb::Add(args) => add(*args, clock).await?,
        Verb::Passwd { whom, password } => {
            let password = read(password)?;
            let (app, account) = find(&whom, clock).await?;
            done(app.set_password(&account.user.id, password).await?, &account, "has a new password")?
        }
        Verb::List(target) => return list(&target, clock).await,
        Verb::Block(whom) => block(&whom, true, clock).await?,
        Verb::Unblock(whom) => block(&whom, false, clock).await?,
        Verb::ResetMfa(whom) => {
            let (app, account) = find(&whom, clock).await?;
            let removed = app.reset_factors(&account.user.id).await?;
            let what = format!("has no factors any more; authenticators removed: {}", removed.unwrap_or_default());
            done(removed.is_some(), &account, &what)?
        }
        Verb::Devices(whom) => return devices(&whom, clock).await,
        Verb::ForgetDevice { whom, device, all: _ } => forget(&whom, device.as_deref(), clock).await?,
        Verb::Notify { whom, add, remove } => notify(&whom, AddressChange { add, remove }, clock).await?,
    };
    run::print(&said);
    Ok(())
}

async fn add(args: AddArgs, clock: &Arc<dyn Clock>) -> Result<String, Failure> {
    let AddArgs { username, target, password, email, email_verified, notify, name, given_name, family_name, picture } =
        args;
    let password = read(password)?;
    let (app, realm) = open(&target, clock).await?;
    let realm = realm.ok_or_else(no_realm)?;
    let user = AddUser {
        realm: realm.clone(),
        username: username.clone(),
        email: email.map(|address| Email { address, verified: email_verified }),
        notification_addresses: notify,
        profile: Profile { name, given_name, family_name, picture },
        password,
    };
    match app.add_users(vec![user]).await?.pop() {
        Some(Added::Added(id)) => Ok(format!("Added {username} to {realm}: {id}")),
        Some(Added::NameTaken) => {
            Err(Failure::Data(format!("Another user of {realm} has this name or address; nothing was changed")))
        }
        None => Err(anyhow::anyhow!("the store did not say what it did").into()),
    }
}

async fn block(whom: &Whom, blocked: bool, clock: &Arc<dyn Clock>) -> Result<String, Failure> {
    let (app, account) = find(whom, clock).await?;
    let what = if blocked { "is blocked" } else { "is not blocked any more" };
    done(app.set_blocked(&account.user.id, blocked).await?, &account, what)
}

async fn notify(whom: &Whom, change: AddressChange, clock: &Arc<dyn Clock>) -> Result<String, Failure> {
    let (app, account) = find(whom, clock).await?;
    match app.change_addresses(&account.user.id, change).await? {
        AddressesChanged::Changed(addresses) => {
            done(true, &account, &format!("is told of changes at: {}", shown(&addresses)))
        }
        AddressesChanged::TooMany => {
            Err(Failure::Data(format!("At most {MAX_NOTIFICATION_ADDRESSES} addresses; nothing was changed")))
        }
        AddressesChanged::NoUser => Err(no_user(&whom.login)),
    }
}

async fn devices(whom: &Whom, clock: &Arc<dyn Clock>) -> Result<(), Failure> {
    let (app, account) = find(whom, clock).await?;
    for device in app.devices_remembered(&account.user).await? {
        let RememberedDevice { id, client, created_at, used_at, expires_at } = device;
        let [since, used, until] = [created_at, used_at, expires_at].map(Timestamp::to_rfc3339);
        run::print(&format!("{id}\t{client}\t{since}\t{used}\t{until}"));
    }
    Ok(())
}

/// Without `device`: all of them.
async fn forget(whom: &Whom, device: Option<&str>, clock: &Arc<dyn Clock>) -> Result<String, Failure> {
    let (app, account) = find(whom, clock).await?;
    let ids = match device {
        Some(id) => vec![id.to_owned()],
        None => app.devices_remembered(&account.user).await?.into_iter().map(|device| device.id).collect(),
    };
    let mut forgotten = 0_usize;
    for id in &ids {
        forgotten += usize::from(app.forget_device(&account.user, id).await?);
    }
    match device {
        Some(id) if forgotten == 0 => {
            Err(Failure::Data(format!("{} has no device {id}; nothing was changed", account.user.username)))
        }
        _ => done(true, &account, &format!("is asked for the second factor again; devices forgotten: {forgotten}")),
    }
}

fn shown(addresses: &[String]) -> String {
    if addresses.is_empty() { "-".to_owned() } else { addresses.join(",") }
}

async fn list(target: &InRealm, clock: &Arc<dyn Clock>) -> Result<(), Failure> {
    let (app, _) = open(target, clock).await?;
    let wanted = target.realm.as_deref();
    let mut after = None;
    loop {
        let page = app.users.list(after.take(), PAGE).await.map_err(countersign_domain::error::Error::from)?;
        for account in page.iter().filter(|account| wanted.is_none_or(|realm| account.user.realm.as_str() == realm)) {
            run::print(&line(account));
        }
        let Some(last) = page.last().filter(|_| page.len() == PAGE) else { return Ok(()) };
        after = Some((last.user.realm.clone(), last.user.username.clone()));
    }
}

fn line(account: &Account) -> String {
    let user = &account.user;
    let email = user.email.as_ref().map_or("-", |email| email.address.as_str());
    let state = if user.blocked { "blocked" } else { "active" };
    let factors = account.active().len();
    let notices = shown(&user.notification_addresses);
    format!("{}\t{}\t{email}\t{state}\t{factors}\t{notices}", user.realm, user.username)
}

/// The sentence about what was done, unless the user went away in the meantime.
fn done(done: bool, account: &Account, what: &str) -> Result<String, Failure> {
    let user = &account.user;
    if done { Ok(format!("{} of {} {what}", user.username, user.realm)) } else { Err(no_user(&user.username)) }
}

pub(super) fn no_user(login: &str) -> Failure {
    Failure::NoUser(format!("There is no user {login}; nothing was changed"))
}

pub(super) fn no_realm() -> Failure {
    Failure::Data("No default realm is configured; name one with --realm".to_owned())
}

async fn find(whom: &Whom, clock: &Arc<dyn Clock>) -> Result<(App, Account), Failure> {
    let (app, realm) = open(&whom.target, clock).await?;
    let realm = realm.ok_or_else(no_realm)?;
    let login = LoginName::parse(&whom.login).map_err(|error| Failure::Data(error.to_string()))?;
    match app.find_user(&realm, &login).await? {
        Some(account) => Ok((app, account)),
        None => Err(no_user(&whom.login)),
    }
}

/// The application on the durable store alone: accounts are nowhere else.
pub(super) async fn open(target: &InRealm, clock: &Arc<dyn Clock>) -> Result<(App, Option<RealmName>), Failure> {
    let config = target.store.config()?;
    let realm = target.realm.as_deref().or_else(|| given(&config.default_realm));
    if let Some(name) = realm
        && !config.realms.iter().any(|realm| realm.name == name)
    {
        return Err(Failure::Data(format!("There is no realm {name}")));
    }
    let realm = realm.map(RealmName::new);
    let around = wire::Around { clock: Some(Arc::clone(clock)), ..wire::Around::default() };
    let app = wire::wire(&config, wire::Sessions::InDurable, around).await?.app;
    let app = Arc::into_inner(app).ok_or_else(|| anyhow::anyhow!("the application is shared"))?;
    Ok((app, realm))
}

fn read(source: PasswordSource) -> Result<NewPassword, Failure> {
    if let Some(phc) = source.phc {
        return Ok(NewPassword::Phc(Secret::new(phc)));
    }
    let mut text = zeroize::Zeroizing::new(String::new());
    match &source.password_file {
        Some(path) => std::fs::File::open(path).and_then(|file| file.take(MAX_PASSWORD).read_to_string(&mut text)),
        None => std::io::stdin().lock().take(MAX_PASSWORD).read_to_string(&mut text),
    }
    .map_err(|error| Failure::Data(format!("The password cannot be read: {error}")))?;
    let password = text.strip_suffix('\n').unwrap_or(&text);
    let password = password.strip_suffix('\r').unwrap_or(password);
    Ok(NewPassword::Plain(Secret::new(password.to_owned())))
}
