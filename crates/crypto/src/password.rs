//! Passwords by argon2id with a pepper, on threads of their own.

mod memory;
mod params;
mod verifier;

use std::{
    fmt,
    num::NonZeroUsize,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use aws_lc_rs::hmac;
use countersign_domain::{
    port::{
        PortError,
        entropy::Entropy,
        password_hasher::{PasswordHasher, PasswordVerdict},
    },
    presence::Presence,
    secret::Secret,
    user::PasswordHash,
};
use subtle::ConstantTimeEq as _;
use unicode_normalization::UnicodeNormalization as _;
use zeroize::Zeroizing;

use self::verifier::{Recipe, Verifier, parse_phc};
pub use self::{
    memory::{HashMemory, argon2id_raw},
    params::{HashParams, HashParamsError},
};
use crate::{
    master_key::MasterKey,
    pool::{PoolOptions, WorkPool, available_cores},
};

/// How long answers may be kept while others wait: about one hash more. A hash leaves nothing of anybody else in the caches, so who is woken
/// by themselves is slow.
const HOLD: Duration = Duration::from_millis(15);

/// The salt of hashes for accounts that do not exist. Nothing is ever compared with what comes out.
const DUMMY_SALT: [u8; 16] = *b"nobody is called";

/// A key over all password hashes that is not in the database: without it, a stolen copy cannot be guessed at.
#[derive(Clone)]
pub struct Pepper {
    id: [u8; 8],
    key: hmac::Key,
}

impl Pepper {
    /// Derives the pepper and the id that is stored beside each hash.
    ///
    /// # Errors
    ///
    /// [`PortError::Unavailable`] if the cryptographic library refuses.
    pub fn derive(master: &MasterKey) -> Result<Self, PortError> {
        Ok(Self {
            id: master.derive_id("countersign password pepper id v1")?,
            key: master.derive_hmac("countersign password pepper v1")?,
        })
    }

    fn mac(&self, output: &[u8]) -> [u8; 32] {
        let mut mac = [0; 32];
        for (byte, computed) in mac.iter_mut().zip(hmac::sign(&self.key, output).as_ref()) {
            *byte = *computed;
        }
        mac
    }
}

impl fmt::Debug for Pepper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pepper")
    }
}

/// How the hasher works.
#[derive(Clone, Debug)]
pub struct HasherOptions {
    /// How many hashes run at a time; each needs the memory of `params`.
    pub threads: NonZeroUsize,
    /// How many may wait beyond those.
    pub queue: usize,
    /// How long one may wait.
    pub max_wait: Duration,
    /// The cost of new hashes. Stored ones keep theirs.
    pub params: HashParams,
    /// The key over all hashes.
    pub pepper: Pepper,
}

impl HasherOptions {
    /// As many threads as cores, two waiting for each, half a second of patience, and the default cost.
    pub fn new(pepper: Pepper) -> Self {
        let threads = available_cores();
        Self {
            threads,
            queue: threads.get().saturating_mul(2),
            max_wait: Duration::from_millis(500),
            params: HashParams::DEFAULT,
            pepper,
        }
    }
}

/// Argon2id version 1.3, then HMAC-SHA-256 with the pepper.
///
/// Passwords are taken in Unicode's composed form (NFC), whole: nothing is cut off. A hash that was imported costs what its
/// maker chose, so the time of a check can tell it from one of ours; it cannot tell whether an account exists among ours.
pub struct Argon2Hasher {
    pool: WorkPool<HashMemory>,
    params: HashParams,
    pepper: Pepper,
    entropy: Arc<dyn Entropy>,
    hashes_run: Arc<AtomicU64>,
}

impl Argon2Hasher {
    /// Starts the threads. Salts come from `entropy`.
    ///
    /// # Errors
    ///
    /// [`PortError::Unavailable`] if the system gives no thread.
    pub fn new(options: HasherOptions, entropy: Arc<dyn Entropy>) -> Result<Self, PortError> {
        let HasherOptions { threads, queue, max_wait, params, pepper } = options;
        let pool = WorkPool::start(PoolOptions { name: "argon2", threads, queue, max_wait, hold: HOLD })?;
        Ok(Self { pool, params, pepper, entropy, hashes_run: Arc::default() })
    }

    /// How many times argon2 has run.
    pub fn hashes_run(&self) -> u64 {
        self.hashes_run.load(Ordering::Relaxed)
    }

    /// How many callers wait for a thread.
    pub fn waiting(&self) -> usize {
        self.pool.waiting()
    }

    /// The peppered hash of `password`, computed on the pool.
    async fn compute(
        &self,
        recipe: Recipe,
        password: Secret<String>,
        asked_by: &Presence,
    ) -> Result<[u8; 32], PortError> {
        let (pepper, usual, hashes_run) = (self.pepper.clone(), self.params, Arc::clone(&self.hashes_run));
        self.pool
            .run_unless(asked_by.leaving(), move |memory| {
                let mut output = Zeroizing::new(vec![0; recipe.output_bytes]);
                let password = composed(&password);
                argon2id_raw(memory, recipe.params, password.as_bytes(), &recipe.salt, &mut output)?;
                memory.trim(usual);
                hashes_run.fetch_add(1, Ordering::Relaxed);
                Ok(pepper.mac(&output))
            })
            .await?
    }
}

#[async_trait]
impl PasswordHasher for Argon2Hasher {
    async fn verify(
        &self,
        stored: Option<PasswordHash>,
        password: Secret<String>,
        asked_by: &Presence,
    ) -> Result<PasswordVerdict, PortError> {
        let known = stored.is_some();
        let expected = match stored {
            Some(stored) => Verifier::parse(stored.as_str()).ok_or_else(|| corrupt("the verifier does not parse"))?,
            None => Verifier { pepper_id: self.pepper.id, recipe: Recipe::new(self.params, &DUMMY_SALT), mac: [0; 32] },
        };
        if expected.pepper_id != self.pepper.id {
            return Err(corrupt("the verifier was made with another pepper"));
        }
        let mac = self.compute(expected.recipe, password, asked_by).await?;
        let equal = bool::from(mac.ct_eq(&expected.mac));
        Ok(if known && equal { PasswordVerdict::Right } else { PasswordVerdict::Wrong })
    }

    async fn hash(&self, password: Secret<String>) -> Result<PasswordHash, PortError> {
        let mut salt = [0; 16];
        self.entropy.fill(&mut salt)?;
        let recipe = Recipe::new(self.params, &salt);
        let mac = self.compute(recipe.clone(), password, &Presence::default()).await?;
        Ok(PasswordHash::new(Verifier { pepper_id: self.pepper.id, recipe, mac }.to_string()))
    }

    fn import(&self, phc: &Secret<String>) -> Result<PasswordHash, PortError> {
        let (recipe, output) = importable(phc).map_err(|error| PortError::Corrupt(error.into()))?;
        let mac = self.pepper.mac(&output);
        Ok(PasswordHash::new(Verifier { pepper_id: self.pepper.id, recipe, mac }.to_string()))
    }
}

impl fmt::Debug for Argon2Hasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Argon2Hasher").field("params", &self.params).finish_non_exhaustive()
    }
}

/// Why the hash of somebody else is not taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PhcError {
    /// It is no PHC string, or one of another function, or cut, or of costs that are not borne.
    #[error(
        "must be an argon2id PHC string, $argon2id$v=19$m=…,t=…,p=…$salt$hash, of at most 1 GiB, 64 passes and 64 lanes, with a \
         salt of 8 to 64 bytes and a hash of 16 to 64"
    )]
    NotArgon2id,
    /// Whoever steals it guesses too cheaply: see [`HashParams::is_strong_enough`].
    #[error("is weaker than m=12288 and t=3, m=19456 and t=2, or m=47104 and t=1 (OWASP ASVS 5.0, 11.4.2)")]
    TooWeak,
}

/// Whether [`PasswordHasher::import`] takes `phc`, for those who must know before there is a hasher.
///
/// # Errors
///
/// [`PhcError`] if it does not.
pub fn check_phc(phc: &Secret<String>) -> Result<(), PhcError> {
    importable(phc).map(drop)
}

/// The recipe of `phc` and what argon2 put out.
fn importable(phc: &Secret<String>) -> Result<(Recipe, Zeroizing<Vec<u8>>), PhcError> {
    let (recipe, output) = parse_phc(phc.expose()).ok_or(PhcError::NotArgon2id)?;
    let output = Zeroizing::new(output);
    if recipe.params.is_strong_enough() { Ok((recipe, output)) } else { Err(PhcError::TooWeak) }
}

fn corrupt(why: &'static str) -> PortError {
    PortError::Corrupt(why.into())
}

/// `password` in NFC, so that it does not matter how a keyboard composes its accents.
fn composed(password: &Secret<String>) -> Zeroizing<String> {
    // NFC makes UTF-8 at most three times as long; room for that leaves no copies behind.
    let mut text = Zeroizing::new(String::with_capacity(password.expose().len().saturating_mul(3)));
    text.extend(password.expose().nfc());
    text
}

#[cfg(test)]
mod tests;
