//! Stores, keys and password hashing.

use std::{path::PathBuf, time::Duration};

use countersign_domain::password_rule::SHORTEST;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::secret::SecretText;

/// Where data lives.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct StorageConfig {
    /// The durable store: `sqlite:` and the path of its file.
    pub url: String,
    /// The session store, `redis://` or, with TLS, `rediss://`; it may hold a user and a password. Empty: tables of the durable
    /// store.
    pub session_url: SecretText,
    /// A file with the session store's URL, instead of `session_url`.
    #[schemars(with = "String")]
    pub session_url_file: PathBuf,
    /// Authorities that sign Redis's certificate, a PEM file. Empty: those of the web.
    #[schemars(with = "String")]
    pub redis_ca_file: PathBuf,
    /// Whether a Redis that may evict keys (`maxmemory-policy` other than `noeviction`) is accepted. Evicted throttles are
    /// attempts given back to whoever guesses.
    pub redis_allow_eviction: bool,
}

impl Default for StorageConfig {
    fn default() -> Self {
        Self {
            url: "sqlite:countersign.db".to_owned(),
            session_url: SecretText::default(),
            session_url_file: PathBuf::new(),
            redis_ca_file: PathBuf::new(),
            redis_allow_eviction: false,
        }
    }
}

/// Keys.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct KeysConfig {
    /// The key-encryption key: 32 random bytes in base64, base64url or hexadecimal, as `openssl rand -base64 32` makes them. From it come the
    /// keys that encrypt seeds of authenticators and signing keys, and the pepper of passwords. There is no start without it, and no way back when it is lost.
    pub kek: SecretText,
    /// A file with the key-encryption key, instead of `kek`.
    #[schemars(with = "String")]
    pub kek_file: PathBuf,
    /// Size of new RSA signing keys: 3072, or 2048, which sign three times as fast and are as long as Auth0's. Keys that are there stay as they are.
    pub rsa_bits: u32,
    /// Whether signing keys go on by themselves: a next one is made and published, takes over when the current one is old, and the
    /// previous one is retired when nothing it signed is left. Otherwise `countersign keys` does it.
    pub rotate: bool,
    /// How old a signing key grows before the next one takes over. 1day to 3650days.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub rotation_age: Duration,
    /// How long a signing key is published before it signs; others keep the key set for five minutes. 10m to 30days, and at most
    /// `rotation_age`.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub next_lead: Duration,
}

impl Default for KeysConfig {
    fn default() -> Self {
        Self {
            kek: SecretText::default(),
            kek_file: PathBuf::new(),
            rsa_bits: 3072,
            rotate: true,
            rotation_age: Duration::from_secs(30 * 86_400),
            next_lead: Duration::from_secs(86_400),
        }
    }
}

/// Password hashing.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PasswordsConfig {
    /// Hashes made at the same time. 0: as many as there are processors.
    pub threads: usize,
    /// Hashes that may wait; more are answered 503. 0: twice the threads.
    pub queue: usize,
    /// The longest a hash waits before it is answered 503.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub max_wait: Duration,
    /// Memory of new hashes, in KiB. Each thread keeps as much.
    pub memory_kib: u32,
    /// Passes of new hashes.
    pub passes: u32,
    /// Lanes of new hashes.
    pub lanes: u32,
    /// The fewest characters of new passwords. 8 to 64. Verifiers that are taken in as PHC strings cannot be looked at.
    pub min_length: usize,
    /// Whether new passwords are refused that many people have, that are a row or a repetition of characters, or that are made of the person's
    /// names or the service's.
    pub refuse_common: bool,
}

impl Default for PasswordsConfig {
    fn default() -> Self {
        Self {
            threads: 0,
            queue: 0,
            max_wait: Duration::from_millis(500),
            memory_kib: 19_456,
            passes: 2,
            lanes: 1,
            min_length: SHORTEST,
            refuse_common: true,
        }
    }
}

impl PasswordsConfig {
    /// Threads, with 0 resolved.
    pub fn effective_threads(&self) -> usize {
        match self.threads {
            0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            threads => threads,
        }
    }

    /// Queue, with 0 resolved.
    pub fn effective_queue(&self) -> usize {
        match self.queue {
            0 => self.effective_threads().saturating_mul(2),
            queue => queue,
        }
    }
}
