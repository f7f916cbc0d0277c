//! The only place where adapters meet ports.

pub mod apis;
mod courier;
mod metered;

use std::{num::NonZeroUsize, sync::Arc};

use anyhow::Context as _;
use countersign_crypto::{
    data_key_keeper::{Blocks, DataKeyKeeper},
    device::AwsLcDeviceVerifier,
    entropy::SystemEntropy,
    key_keeper::{KeyKeeper, KeyOptions},
    keyring::{KeyRing, RsaBits},
    master_key::MasterKey,
    password::{Argon2Hasher, HashParams, HasherOptions, Pepper},
    sealer::AeadSealer,
};
use countersign_delivery::{
    bell::Bell,
    worker::{Worker, WorkerPorts},
};
use countersign_domain::{
    app::App,
    audit::chain::AuditChain,
    id::RealmName,
    login_name::LoginName,
    port::{
        clock::Clock, entropy::Entropy, outbox_store::OutboxStore, password_hasher::PasswordHasher, sealer::Sealer,
        sender::Sender,
    },
    registry::Registry,
    signing_key::{RotationPolicy, keep_previous},
    usecase::manage_users::{AddUser, Added, NewPassword},
    user::{Email, Profile},
};
use countersign_storage::{
    open::{OpenOptions, Stores, open_session_store, open_stores},
    redis::{RedisOptions, TimeSource},
};
use countersign_telemetry::Metrics;

use self::metered::Metered;
use crate::{
    config::{check::Checked, directory::UserConfig, registry::given},
    fence::{self, Keeper},
    system::{self, SystemClock},
};

/// Where short-lived state lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sessions {
    /// Where the configuration says.
    AsConfigured,
    /// In the durable store, for commands that need none.
    InDurable,
}

/// Opens the durable store, and brings it up to date.
///
/// # Errors
///
/// It cannot be opened.
pub async fn open_durable(config: &Checked, chain: &AuditChain) -> anyhow::Result<Stores> {
    let stores = open_stores(&config.storage.url, None, OpenOptions::new(chain.clone())).await;
    stores.with_context(|| format!("cannot open {}", config.storage.url))
}

/// What links the rows of the audit trail.
///
/// # Errors
///
/// The key-encryption key cannot be used.
pub fn audit_chain(config: &Checked) -> anyhow::Result<AuditChain> {
    let master = MasterKey::parse(config.kek.expose())?;
    Ok(AuditChain::new(Arc::new(AeadSealer::new(&master, Arc::new(SystemEntropy::new()))?)))
}

/// What an application is put into.
#[derive(Default)]
pub struct Around {
    /// The clock; the system's if none.
    pub clock: Option<Arc<dyn Clock>>,
    /// Randomness; the system's if none.
    pub entropy: Option<Arc<dyn Entropy>>,
    /// Where it is counted.
    pub metrics: Metrics,
}

/// An application, and what wakes the worker that empties its outbox.
pub struct Wired {
    /// The application.
    pub app: Arc<App>,
    /// The worker, which somebody has to run.
    pub worker: Worker,
    /// The signing keys, which somebody has to look after.
    pub keys: Arc<KeyRing>,
    /// The data keys, likewise.
    pub data_keys: DataKeyKeeper,
    /// What marks the durable store, likewise. None: of a command, or in memory.
    pub fence: Option<Keeper>,
}

/// Puts the application together.
///
/// # Errors
///
/// A store cannot be opened; a key does not open with this key-encryption key; a provider of messages cannot be used.
pub async fn wire(config: &Checked, sessions: Sessions, around: Around) -> anyhow::Result<Wired> {
    let Around { clock, entropy, metrics } = around;
    // Whoever brings a clock moves it, and means the throttles too.
    let time = if clock.is_some() { TimeSource::Caller } else { TimeSource::Server };
    let clock = clock.unwrap_or_else(|| Arc::new(SystemClock));
    let entropy = entropy.unwrap_or_else(|| Arc::new(SystemEntropy::new()));
    let master = MasterKey::parse(config.kek.expose())?;
    let aead = Arc::new(AeadSealer::new(&master, Arc::clone(&entropy))?);
    let sealer: Arc<dyn Sealer> = Arc::clone(&aead) as _;
    let registry = config.registry(&sealer);

    let chain = AuditChain::new(Arc::clone(&sealer));
    if sessions == Sessions::AsConfigured {
        fence::require_own_log(&config.storage.url)?;
    }
    let mut stores = open_durable(config, &chain).await?;
    // Before anything is changed in it.
    let fence = match (sessions, stores.fence.take()) {
        (Sessions::AsConfigured, Some(store)) => Some(Keeper::begin(&config.storage.url, store).await?),
        _ => None,
    };
    if let (Sessions::AsConfigured, Some(url)) = (sessions, &config.session_url) {
        let options = OpenOptions { redis: redis_options(config, time)?, ..OpenOptions::new(chain) };
        let sessions = open_session_store(url.expose(), &*stores.audit, options).await;
        stores.sessions = sessions.context("cannot open the session store")?;
    }
    let blocks = if sessions == Sessions::AsConfigured { Blocks::SERVER } else { Blocks::COMMAND };
    let data_keys = data_keys(&stores, aead, Arc::clone(&clock)).await?.taking(blocks);
    if let Err(error) = data_keys.provide().await {
        // What is sealed opens still: keys are published, and people told that they may not log in.
        tracing::error!(error = format!("{:#}", anyhow::Error::from(error)), "nothing can be sealed");
    }
    let options = key_options(config, &registry);
    let keeper = KeyKeeper::new(Arc::clone(&stores.keys), Arc::clone(&sealer), Arc::clone(&clock), options);
    let keys = KeyRing::load(keeper).await.context(
        "cannot load the signing keys; if the key-encryption key was changed, what the old one sealed cannot be opened",
    )?;
    let keys = Arc::new(keys);
    let hasher: Arc<dyn PasswordHasher> =
        Arc::new(Argon2Hasher::new(hasher_options(config, &master)?, Arc::clone(&entropy))?);
    let sender: Arc<dyn Sender> = match sessions {
        Sessions::AsConfigured => courier::courier(config, &clock, &metrics)?,
        Sessions::InDurable => Arc::new(courier::Routes::new(config)),
    };
    let outbox: Arc<dyn OutboxStore> = Metered::new(stores.outbox, &metrics);
    let bell = Bell::new();
    let worker = Worker::new(
        bell.clone(),
        WorkerPorts {
            outbox: Arc::clone(&outbox),
            sealer: Arc::clone(&sealer),
            sender: Arc::clone(&sender),
            clock: Arc::clone(&clock),
            entropy: Arc::clone(&entropy),
            observer: Arc::new(courier::Counted(metrics.clone())),
        },
    );
    let app = Arc::new(App {
        clock,
        entropy,
        users: Metered::new(stores.users, &metrics),
        authenticators: Metered::new(stores.authenticators, &metrics),
        repudiations: Metered::new(stores.repudiations, &metrics),
        refresh: Metered::new(stores.refresh, &metrics),
        logins: Metered::new(stores.logins, &metrics),
        sessions: Metered::new(stores.sessions, &metrics),
        hasher: Metered::new(hasher, &metrics),
        sealer,
        signer: Arc::clone(&keys) as _,
        devices: Arc::new(AwsLcDeviceVerifier),
        wakes: Arc::default(),
        outbox,
        sender,
        bell: Arc::new(bell),
        in_flight: Arc::default(),
        audit_budget: Arc::default(),
        operator: Some(system::operator().into()),
        registry,
    });
    Ok(Wired { app, worker, keys, data_keys, fence })
}

/// The keepers of the keys, for commands that need nothing else.
pub struct Keepers {
    /// Of the signing keys.
    pub signing: KeyKeeper,
    /// Of the data keys.
    pub data: DataKeyKeeper,
}

/// The keepers of the keys.
///
/// # Errors
///
/// The store cannot be opened; a data key does not open with this key-encryption key.
pub async fn keepers(config: &Checked, clock: &Arc<dyn Clock>) -> anyhow::Result<Keepers> {
    let master = MasterKey::parse(config.kek.expose())?;
    let aead = Arc::new(AeadSealer::new(&master, Arc::new(SystemEntropy::new()))?);
    let sealer: Arc<dyn Sealer> = Arc::clone(&aead) as _;
    let registry = config.registry(&sealer);
    let stores = open_durable(config, &AuditChain::new(Arc::clone(&sealer))).await?;
    let data = data_keys(&stores, aead, Arc::clone(clock)).await?;
    let data = data.taking(Blocks::COMMAND).by(system::operator());
    let signing =
        KeyKeeper::new(stores.keys, sealer, Arc::clone(clock), key_options(config, &registry)).by(system::operator());
    Ok(Keepers { signing, data })
}

/// The keeper of the data keys, whose sealer knows them.
async fn data_keys(stores: &Stores, sealer: Arc<AeadSealer>, clock: Arc<dyn Clock>) -> anyhow::Result<DataKeyKeeper> {
    let keeper = DataKeyKeeper::new(Arc::clone(&stores.data_keys), sealer, clock);
    keeper.reload().await.context(
        "cannot load the data keys; if the key-encryption key was changed, what the old one sealed cannot be opened",
    )?;
    Ok(keeper)
}

fn key_options(config: &Checked, registry: &Registry) -> KeyOptions {
    let keys = &config.keys;
    KeyOptions {
        algorithms: registry.algorithms(),
        rsa_bits: if keys.rsa_bits == 3072 { RsaBits::Bits3072 } else { RsaBits::Bits2048 },
        rotation: RotationPolicy {
            age: keys.rotate.then_some(keys.rotation_age),
            lead: keys.next_lead,
            keep: keep_previous(registry),
        },
    }
}

fn redis_options(config: &Checked, time: TimeSource) -> anyhow::Result<RedisOptions> {
    let file = &config.storage.redis_ca_file;
    let read = || std::fs::read(file).with_context(|| format!("cannot read {}", file.display()));
    let ca_pem = (!file.as_os_str().is_empty()).then(read).transpose()?;
    Ok(RedisOptions { allow_eviction: config.storage.redis_allow_eviction, time, ca_pem })
}

fn hasher_options(config: &Checked, master: &MasterKey) -> anyhow::Result<HasherOptions> {
    let passwords = &config.passwords;
    Ok(HasherOptions {
        threads: NonZeroUsize::new(passwords.effective_threads()).unwrap_or(NonZeroUsize::MIN),
        queue: passwords.effective_queue(),
        max_wait: passwords.max_wait,
        params: HashParams::new(passwords.memory_kib, passwords.passes, passwords.lanes)?,
        pepper: Pepper::derive(master)?,
    })
}

/// Adds the people of the configuration who are not there. Who is there stays as they are.
///
/// # Errors
///
/// The store or the hasher failed, or a verifier is too weak.
pub async fn declare_users(app: &App, config: &Checked) -> anyhow::Result<()> {
    for (index, user) in config.users.iter().enumerate() {
        let realm = RealmName::new(given(&user.realm).unwrap_or(&config.default_realm));
        // Asked first, so that nothing is hashed in vain.
        if app.find_user(&realm, &LoginName::parse(&user.username)?).await?.is_some() {
            continue;
        }
        let added = app.add_users(vec![declared(user, realm)]).await;
        if let Some(Added::Added(id)) = added.with_context(|| format!("users[{index}]"))?.first() {
            tracing::info!(user.id = %id, "a user of the configuration was added");
        } else {
            tracing::warn!("users[{index}] was not added: another account has the address");
        }
    }
    Ok(())
}

fn declared(user: &UserConfig, realm: RealmName) -> AddUser {
    let text = |text: &str| given(text).map(str::to_owned);
    AddUser {
        realm,
        username: user.username.clone(),
        email: text(&user.email).map(|address| Email { address, verified: user.email_verified }),
        notification_addresses: user.notification_addresses.clone(),
        profile: Profile {
            name: text(&user.name),
            given_name: text(&user.given_name),
            family_name: text(&user.family_name),
            picture: text(&user.picture),
        },
        password: if user.password_phc.is_empty() {
            NewPassword::Plain(user.password.secret().clone())
        } else {
            NewPassword::Phc(user.password_phc.secret().clone())
        },
    }
}
