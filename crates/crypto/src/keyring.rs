//! The keys that sign tokens, shared by all replicas through the key store.

use std::{collections::BTreeSet, fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use countersign_domain::{
    id::KeyId,
    port::{
        PortError,
        clock::Clock,
        key_store::{KeyStore, StoredKey},
        sealer::{Place, Sealer},
        signer::{Algorithm, PublicKey, Signer},
    },
    secret::Secret,
};

use crate::{
    jws::Unverified,
    pool::{PoolOptions, WorkPool, available_cores},
    signing_key::{self, SigningKey},
};

/// How long new RSA keys are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RsaBits {
    /// 112 bits of strength, what Auth0 uses, and three times as fast to sign with as the next.
    #[default]
    Bits2048,
    /// 128 bits of strength (NIST SP 800-57, part 1, table 2).
    Bits3072,
}

/// Which keys there shall be.
#[derive(Clone, Debug)]
pub struct KeyRingOptions {
    /// The algorithms to sign with. Keys of others that the store holds still verify.
    pub algorithms: BTreeSet<Algorithm>,
    /// The length of RSA keys that are made.
    pub rsa_bits: RsaBits,
}

/// Signs with the newest key of each algorithm, and verifies with all of them.
pub struct KeyRing {
    /// The newest first.
    keys: Vec<Arc<SigningKey>>,
    algorithms: BTreeSet<Algorithm>,
    rsa: WorkPool<()>,
}

impl KeyRing {
    /// Reads the keys, and makes the first one of an algorithm that has none. Replicas that start together agree: the store
    /// keeps one key, and all read it back.
    ///
    /// # Errors
    ///
    /// [`PortError::Unavailable`] if the store does not answer or no key can be made; [`PortError::Corrupt`] if a stored key
    /// does not open.
    pub async fn load(
        store: &dyn KeyStore,
        sealer: &dyn Sealer,
        clock: &dyn Clock,
        options: KeyRingOptions,
    ) -> Result<Self, PortError> {
        let KeyRingOptions { algorithms, rsa_bits } = options;
        let threads = available_cores();
        let rsa = WorkPool::start(PoolOptions {
            name: "rsa",
            threads,
            // A signature takes about a millisecond: whoever stands at the end still comes within the wait.
            queue: threads.get().saturating_mul(256),
            max_wait: Duration::from_millis(500),
        })?;

        let mut stored = store.list_keys().await?;
        let missing: Vec<_> = algorithms
            .iter()
            .copied()
            .filter(|algorithm| stored.iter().all(|key| key.algorithm != *algorithm))
            .collect();
        for algorithm in &missing {
            let pkcs8 = rsa.run({
                let algorithm = *algorithm;
                move |()| signing_key::generate(algorithm, rsa_bits)
            });
            let pkcs8 = pkcs8.await??;
            let id = SigningKey::parse(*algorithm, &pkcs8)?.public().id.clone();
            let key = StoredKey {
                sealed: sealer.seal(place(&id), &pkcs8)?,
                id,
                algorithm: *algorithm,
                created_at: clock.now(),
            };
            if store.insert_first_key(key.clone()).await? {
                tracing::info!(kid = %key.id, alg = algorithm.as_str(), "signing key made");
            }
        }
        if !missing.is_empty() {
            stored = store.list_keys().await?;
        }
        let keys = stored.iter().map(|key| open(sealer, key)).collect::<Result<Vec<_>, _>>()?;
        let ring = Self { keys, algorithms, rsa };
        for algorithm in &ring.algorithms {
            ring.current(*algorithm)?;
        }
        Ok(ring)
    }

    /// The key that signs.
    fn current(&self, algorithm: Algorithm) -> Result<&Arc<SigningKey>, PortError> {
        self.algorithms
            .contains(&algorithm)
            .then(|| self.keys.iter().find(|key| key.public().algorithm == algorithm))
            .flatten()
            .ok_or_else(|| PortError::Unavailable("signing key", format!("no key for {}", algorithm.as_str()).into()))
    }

    fn find(&self, id: &str) -> Option<&SigningKey> {
        self.keys.iter().find(|key| key.public().id.as_str() == id).map(AsRef::as_ref)
    }
}

#[async_trait]
impl Signer for KeyRing {
    async fn sign(&self, algorithm: Algorithm, claims: Vec<u8>) -> Result<Secret<String>, PortError> {
        let key = Arc::clone(self.current(algorithm)?);
        let token = match algorithm {
            Algorithm::Rs256 => self.rsa.run(move |()| key.sign(&claims)).await?,
            // Tens of microseconds: not worth a change of threads.
            Algorithm::Es256 => key.sign(&claims),
        };
        token.map(Secret::new)
    }

    fn verify(&self, token: &str) -> Option<Vec<u8>> {
        let parsed = Unverified::parse(token)?;
        let key = self.find(&parsed.key_id)?;
        // The algorithm is the key's, never the token's choice.
        if parsed.algorithm != key.public().algorithm.as_str() {
            return None;
        }
        if !key.verifies(parsed.parts.signing_input.as_bytes(), &parsed.parts.signature) {
            return None;
        }
        parsed.parts.claims()
    }

    fn public_keys(&self) -> Vec<PublicKey> {
        let mut keys: Vec<_> = self.keys.iter().map(|key| key.public().clone()).collect();
        let is_current =
            |key: &PublicKey| self.current(key.algorithm).is_ok_and(|current| current.public().id == key.id);
        // Stable, so both halves stay in order: the newest first.
        keys.sort_by_key(|key| !is_current(key));
        keys
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids: Vec<_> = self.keys.iter().map(|key| key.public().id.as_str()).collect();
        f.debug_struct("KeyRing").field("keys", &ids).finish_non_exhaustive()
    }
}

fn place(id: &KeyId) -> Place<'_> {
    Place { record: "signing_key", id: id.as_str(), owner: "" }
}

fn open(sealer: &dyn Sealer, stored: &StoredKey) -> Result<Arc<SigningKey>, PortError> {
    let pkcs8 = sealer.open(place(&stored.id), &stored.sealed)?;
    let key = SigningKey::parse(stored.algorithm, pkcs8.expose())?;
    if key.public().id != stored.id {
        return Err(PortError::Corrupt("a signing key is stored under another key's id".into()));
    }
    Ok(Arc::new(key))
}

#[cfg(test)]
mod tests;
