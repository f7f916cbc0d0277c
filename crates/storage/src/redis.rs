//! Short-lived state in Redis 6.2 or later, shared by all replicas.

mod connection;
mod keys;
mod records;
mod scripts;
mod sessions;

use std::{future::Future, sync::Arc, time::Duration};

use countersign_domain::port::PortError;
use redis::{RedisResult, aio::ConnectionManager};

use self::scripts::Scripts;

/// What errors call this store.
const SESSION_STORE: &str = "session store";

/// How long a command may take. There is no second try: nobody knows whether the first one took effect.
const PATIENCE: Duration = Duration::from_millis(250);

/// The rights of a Redis user that this store needs, in the words of `ACL SETUSER`.
pub const ACL_RULES: &str = "~cs1:* -@all +ping +info +get +set +del +exists +setrange +hmget +hset +hdel +pexpire +time \
                             +evalsha +script|load";

/// Whose clock refills buckets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TimeSource {
    /// The Redis server's, so that the clocks of replicas do not matter.
    #[default]
    Server,
    /// The caller's, for tests that move the time.
    Caller,
}

/// How a server is used.
#[derive(Clone, Debug, Default)]
pub struct RedisOptions {
    /// Accept a server that drops keys when its memory is short. Throttles may then be forgotten; it is logged.
    pub allow_eviction: bool,
    /// Whose clock refills buckets.
    pub time: TimeSource,
    /// Certificates (PEM) that `rediss:` trusts, and no others. `None`: those of the machine.
    pub ca_pem: Option<Vec<u8>>,
}

/// Keeps short-lived state in Redis.
pub struct RedisSessionStore {
    inner: Arc<Inner>,
}

struct Inner {
    /// The only one: it carries many commands at once, and the more share a write the less each costs. Replies come in the order of the
    /// commands, so what is asked of a login comes after what was told of it before.
    connection: ConnectionManager,
    scripts: Scripts,
    time: TimeSource,
    allow_eviction: bool,
}

impl RedisSessionStore {
    /// Connects to `url`: `redis://user:password@host:port/db`, or `rediss:` for TLS.
    ///
    /// # Errors
    ///
    /// [`PortError::Unavailable`] if the URL cannot be used, the server cannot be reached within 5 s or refuses, or its
    /// `maxmemory-policy` is not `noeviction` and that is not allowed. The chain of errors says which; it has no password.
    pub async fn connect(url: &str, options: RedisOptions) -> Result<Self, PortError> {
        let (time, allow_eviction) = (options.time, options.allow_eviction);
        let scripts = Scripts::new();
        let connection = connection::connect(url, &options, &scripts)
            .await
            .map_err(|error| PortError::Unavailable(SESSION_STORE, Box::new(error)))?;
        Ok(Self { inner: Arc::new(Inner { connection, scripts, time, allow_eviction }) })
    }

    /// Notes that this server has lost nothing, if it does not know since when it has kept buckets: there was nothing to lose yet.
    ///
    /// A server that does not know, because it is a new one or has lost its data, has buckets begin at three tenths for an hour.
    ///
    /// # Errors
    ///
    /// [`PortError::Unavailable`] as everywhere.
    pub async fn begin(&self) -> Result<(), PortError> {
        let mut command = redis::cmd("SET");
        command.arg(keys::KEPT_FROM).arg(0).arg("NX");
        let mut connection = self.inner.connection.clone();
        self.inner.within(command.exec_async(&mut connection)).await
    }
}

impl Inner {
    /// The answer of `call`, which waits for a connection too, if it comes in time.
    async fn within<T>(&self, call: impl Future<Output = RedisResult<T>> + Send) -> Result<T, PortError> {
        match tokio::time::timeout(PATIENCE, call).await {
            Ok(answer) => answer.map_err(sessions::unavailable),
            Err(late) => Err(PortError::Unavailable(SESSION_STORE, Box::new(late))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_access_list_covers_the_keys_and_no_others() {
        assert!(ACL_RULES.starts_with(&format!("~{} ", keys::PATTERN)));
    }
}
