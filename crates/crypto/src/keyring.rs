//! The keys that sign tokens, shared by all replicas through the key store.
//!
//! What keys there shall be, a [`KeyKeeper`] knows; a [`KeyRing`] is what one process knows of them.

use std::{
    fmt,
    num::NonZeroUsize,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use async_trait::async_trait;
use countersign_domain::{
    port::{
        PortError,
        key_store::StoredKey,
        signer::{Algorithm, PublicKey, Signer, Unsigned, Verified},
    },
    secret::Secret,
    signing_key::KeyState,
};

use crate::{
    jws::Unverified,
    key_keeper::KeyKeeper,
    pool::{PoolOptions, WorkPool, available_cores},
    signing_key::SigningKey,
};

/// How long new RSA keys are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RsaBits {
    /// 112 bits of strength, what Auth0 uses, and three times as fast to sign with as the next.
    Bits2048,
    /// 128 bits of strength (NIST SP 800-57, part 1, table 2).
    #[default]
    Bits3072,
}

/// Signs with the current key of each algorithm, and verifies with all that are not retired.
pub struct KeyRing {
    keeper: KeyKeeper,
    known: RwLock<Arc<Vec<Known>>>,
    rsa: WorkPool<()>,
}

/// A key as this process saw it last.
struct Known {
    state: KeyState,
    key: Arc<SigningKey>,
}

impl KeyRing {
    /// Reads the keys, and makes the first one of an algorithm that has none. Replicas that start together agree: the store
    /// keeps one key, and all read it back.
    ///
    /// # Errors
    ///
    /// [`PortError::Unavailable`] if the store does not answer or no key can be made; [`PortError::Corrupt`] if a stored key
    /// does not open.
    pub async fn load(keeper: KeyKeeper) -> Result<Self, PortError> {
        // As many as there are processors, so that they can all sign; the async threads wake up often and briefly, and the
        // system lets such threads go first.
        let threads = available_cores();
        let rsa = WorkPool::start(PoolOptions {
            name: "rsa",
            threads,
            queue: queue(threads),
            max_wait: Duration::from_millis(500),
            // Some four logins of two signatures each, a part of what they wait for in line anyway.
            hold: Duration::from_millis(6),
        })?;
        let ring = Self { keeper, known: RwLock::default(), rsa };
        let mut stored = ring.keeper.list().await?;
        if ring.keeper.begin(&stored).await? {
            stored = ring.keeper.list().await?;
        }
        ring.install(&stored)?;
        for algorithm in &ring.keeper.options().algorithms {
            ring.current(*algorithm)?;
        }
        Ok(ring)
    }

    /// Reads again what others may have changed. If that fails, what was known stays.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load).
    pub async fn reload(&self) -> Result<(), PortError> {
        self.install(&self.keeper.list().await?)
    }

    /// Takes the steps of a rotation that are due, and knows the result.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load).
    pub async fn turn(&self) -> Result<(), PortError> {
        let mut stored = self.keeper.list().await?;
        // A server that was never told of an API may have ended its key.
        if self.keeper.begin(&stored).await? {
            stored = self.keeper.list().await?;
        }
        if self.keeper.turn(&stored).await? { self.reload().await } else { self.install(&stored) }
    }

    /// Opens what is new; a key that is known is not opened again.
    fn install(&self, stored: &[StoredKey]) -> Result<(), PortError> {
        let before = self.known();
        let known = stored.iter().filter(|key| key.state != KeyState::Retired).map(|stored| {
            let known = before.iter().find(|known| known.key.public().id == stored.id);
            let key = match known {
                Some(known) => Arc::clone(&known.key),
                None => self.keeper.open(stored)?,
            };
            Ok(Known { state: stored.state, key })
        });
        let mut known = known.collect::<Result<Vec<_>, PortError>>()?;
        // Stable, so each part stays in order: the newest first.
        known.sort_by_key(|known| known.state);
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(known);
        Ok(())
    }

    fn known(&self) -> Arc<Vec<Known>> {
        Arc::clone(&self.known.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The key that signs. Where a server that was never told of an API has ended its key, that one goes on, which is published still, until the
    /// next turn begins another.
    fn current(&self, algorithm: Algorithm) -> Result<Arc<SigningKey>, PortError> {
        let known = self.known();
        let newest =
            |state| known.iter().find(|known| known.state == state && known.key.public().algorithm == algorithm);
        let wanted = self.keeper.options().algorithms.contains(&algorithm);
        let current = wanted.then(|| newest(KeyState::Current).or_else(|| newest(KeyState::Previous))).flatten();
        current
            .map(|known| Arc::clone(&known.key))
            .ok_or_else(|| PortError::Unavailable("signing key", format!("no key for {}", algorithm.as_str()).into()))
    }
}

/// How many signatures may wait: they take about a millisecond each, so whoever stands at the end still comes within the wait.
const fn queue(threads: NonZeroUsize) -> usize {
    threads.get().saturating_mul(256)
}

#[async_trait]
impl Signer for KeyRing {
    async fn sign_all(&self, tokens: Vec<Unsigned>) -> Result<Vec<Secret<String>>, PortError> {
        let takes_long = tokens.iter().any(|token| token.algorithm == Algorithm::Rs256);
        let with_keys = tokens.into_iter().map(|token| Ok((self.current(token.algorithm)?, token)));
        let with_keys = with_keys.collect::<Result<Vec<_>, PortError>>()?;
        let sign = move || {
            let sign_one = |(key, token): &(Arc<SigningKey>, Unsigned)| key.sign(token.token_type, &token.claims);
            with_keys.iter().map(|pair| sign_one(pair).map(Secret::new)).collect()
        };
        // The others take tens of microseconds: not worth a change of threads.
        if takes_long { self.rsa.run(move |()| sign()).await? } else { sign() }
    }

    fn verify(&self, token: &str) -> Option<Verified> {
        let parsed = Unverified::parse(token)?;
        let known = self.known();
        let key = &known.iter().find(|known| known.key.public().id.as_str() == parsed.key_id)?.key;
        // The algorithm is the key's, never the token's choice.
        if parsed.algorithm != key.public().algorithm.as_str() {
            return None;
        }
        if !key.verifies(parsed.parts.signing_input.as_bytes(), &parsed.parts.signature) {
            return None;
        }
        Some(Verified { token_type: parsed.token_type, claims: parsed.parts.claims()? })
    }

    fn public_keys(&self) -> Vec<PublicKey> {
        self.known().iter().map(|known| known.key.public().clone()).collect()
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = self.known();
        let ids: Vec<_> = known.iter().map(|known| known.key.public().id.as_str()).collect();
        f.debug_struct("KeyRing").field("keys", &ids).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
