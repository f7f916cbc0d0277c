//! From the URLs of the configuration to adapters.

use std::{path::Path, sync::Arc};

use countersign_domain::{
    audit::chain::AuditChain,
    port::{
        PortError, audit_store::AuditStore, authenticator_store::AuthenticatorStore, data_key_store::DataKeyStore,
        fence_store::FenceStore, key_store::KeyStore, login_store::LoginStore, outbox_store::OutboxStore,
        refresh_store::RefreshStore, repudiation_store::RepudiationStore, session_store::SessionStore,
        user_store::UserStore,
    },
};

use crate::{
    memory::MemoryStore,
    redis::{RedisOptions, RedisSessionStore},
    sqlite::{SqliteOptions, SqliteStore},
};

/// Every store port.
#[derive(Clone)]
pub struct Stores {
    /// Accounts.
    pub users: Arc<dyn UserStore>,
    /// Authenticators.
    pub authenticators: Arc<dyn AuthenticatorStore>,
    /// Links of notices.
    pub repudiations: Arc<dyn RepudiationStore>,
    /// Families of refresh tokens.
    pub refresh: Arc<dyn RefreshStore>,
    /// The commit point.
    pub logins: Arc<dyn LoginStore>,
    /// The audit trail, to be read.
    pub audit: Arc<dyn AuditStore>,
    /// Signing keys.
    pub keys: Arc<dyn KeyStore>,
    /// Data keys, and what is sealed with them.
    pub data_keys: Arc<dyn DataKeyStore>,
    /// Messages that wait to be sent.
    pub outbox: Arc<dyn OutboxStore>,
    /// Transactions, challenges and throttles.
    pub sessions: Arc<dyn SessionStore>,
    /// What tells it from an older copy of itself. None: it is in memory, of which there are no backups.
    pub fence: Option<Arc<dyn FenceStore>>,
}

impl Stores {
    /// All ports from one store.
    pub fn of<S>(store: Arc<S>) -> Self
    where
        S: UserStore
            + AuditStore
            + AuthenticatorStore
            + RepudiationStore
            + RefreshStore
            + LoginStore
            + KeyStore
            + DataKeyStore
            + OutboxStore
            + SessionStore
            + 'static,
    {
        Self {
            users: Arc::clone(&store) as _,
            authenticators: Arc::clone(&store) as _,
            repudiations: Arc::clone(&store) as _,
            refresh: Arc::clone(&store) as _,
            logins: Arc::clone(&store) as _,
            audit: Arc::clone(&store) as _,
            keys: Arc::clone(&store) as _,
            data_keys: Arc::clone(&store) as _,
            outbox: Arc::clone(&store) as _,
            sessions: store,
            fence: None,
        }
    }
}

/// How stores are opened.
#[derive(Clone, Debug)]
pub struct OpenOptions {
    /// Links the rows of the audit trail.
    pub chain: AuditChain,
    /// For `sqlite:`.
    pub sqlite: SqliteOptions,
    /// For `redis:` and `rediss:`.
    pub redis: RedisOptions,
}

impl OpenOptions {
    /// With `chain`, and everything else as usual.
    pub fn new(chain: AuditChain) -> Self {
        Self { chain, sqlite: SqliteOptions::default(), redis: RedisOptions::default() }
    }
}

/// Opens the durable store at `durable` (`sqlite:` and a path; `memory:` in tests) and the session store at `sessions`
/// (`redis:`, `rediss:`, `sqlite:`, `memory:`). Without `sessions`, the durable store keeps short-lived state too.
///
/// # Errors
///
/// [`PortError::Unavailable`] if a scheme is unknown or a store does not open.
pub async fn open_stores(durable: &str, sessions: Option<&str>, options: OpenOptions) -> Result<Stores, PortError> {
    let mut stores = match Scheme::of(durable)? {
        Scheme::Sqlite(path) => {
            let store = Arc::new(SqliteStore::open(path, &options.chain, options.sqlite)?);
            Stores { fence: Some(Arc::clone(&store) as _), ..Stores::of(store) }
        }
        Scheme::Memory => Stores::of(Arc::new(MemoryStore::default())),
        Scheme::Redis => return Err(unknown("Redis cannot be the durable store: it may lose what it acknowledged")),
    };
    if let Some(url) = sessions {
        stores.sessions = open_session_store(url, &*stores.audit, options).await?;
    }
    Ok(stores)
}

/// Opens the session store at `url`: `redis:`, `rediss:`, `sqlite:` or `memory:`. `audit` is the trail of the durable
/// store beside it.
///
/// # Errors
///
/// [`PortError::Unavailable`] if the scheme is unknown or a store does not open or answer.
pub async fn open_session_store(
    url: &str,
    audit: &dyn AuditStore,
    options: OpenOptions,
) -> Result<Arc<dyn SessionStore>, PortError> {
    Ok(match Scheme::of(url)? {
        Scheme::Sqlite(path) => Arc::new(SqliteStore::open(path, &options.chain, options.sqlite)?),
        Scheme::Memory => Arc::new(MemoryStore::default()),
        Scheme::Redis => {
            let redis = RedisSessionStore::connect(url, options.redis).await?;
            if is_unused(audit).await? {
                redis.begin().await?;
            }
            Arc::new(redis)
        }
    })
}

/// Rows of the trail that are read at once.
const PAGE: usize = 1000;

/// Whether no client was ever there: then nobody has used up anything that a session store could have lost.
async fn is_unused(audit: &dyn AuditStore) -> Result<bool, PortError> {
    let mut after = 0;
    loop {
        let rows = audit.list_rows(after, PAGE).await?;
        if rows.iter().any(|row| row.client.is_some()) {
            return Ok(false);
        }
        match rows.last() {
            Some(last) => after = last.id,
            None => return Ok(true),
        }
    }
}

enum Scheme<'a> {
    Sqlite(&'a Path),
    Redis,
    Memory,
}

impl<'a> Scheme<'a> {
    fn of(url: &'a str) -> Result<Self, PortError> {
        match url.split_once(':') {
            // Both `sqlite:data.db` and `sqlite:///var/lib/data.db` are in use.
            Some(("sqlite", path)) if !path.is_empty() => {
                Ok(Self::Sqlite(Path::new(path.strip_prefix("//").unwrap_or(path))))
            }
            Some(("redis" | "rediss", _)) => Ok(Self::Redis),
            Some(("memory", _)) => Ok(Self::Memory),
            // The URL is not repeated: it may hold a password.
            _ => Err(unknown("the URL must begin with sqlite:, redis: or rediss:")),
        }
    }
}

fn unknown(why: &'static str) -> PortError {
    PortError::Unavailable("configured store", Box::from(why))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(url: &str) -> Option<&Path> {
        match Scheme::of(url) {
            Ok(Scheme::Sqlite(path)) => Some(path),
            _ => None,
        }
    }

    #[test]
    fn both_spellings_of_a_path_are_read() {
        assert_eq!(path("sqlite:data/cs.db"), Some(Path::new("data/cs.db")));
        assert_eq!(path("sqlite:/var/lib/cs.db"), Some(Path::new("/var/lib/cs.db")));
        assert_eq!(path("sqlite:///var/lib/cs.db"), Some(Path::new("/var/lib/cs.db")));
        assert_eq!(path("sqlite://cs.db"), Some(Path::new("cs.db")));
    }

    #[test]
    fn an_unknown_scheme_is_refused_without_repeating_it() {
        for url in ["", "postgres://u:hunter2@host", "/var/lib/cs.db", "sqlite:"] {
            let error = Scheme::of(url).err().unwrap();
            assert!(!format!("{error:?}").contains("hunter2"));
        }
    }

    #[tokio::test]
    async fn a_cache_cannot_be_the_durable_store() {
        assert!(
            open_stores("redis://127.0.0.1:1", None, OpenOptions::new(countersign_domain::testing::toy_chain()))
                .await
                .is_err()
        );
    }
}
