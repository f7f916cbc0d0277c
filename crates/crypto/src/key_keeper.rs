//! What keys there shall be: making them, having them take over, retiring them.

use std::{borrow::Cow, collections::BTreeSet, num::NonZeroUsize, sync::Arc, time::Duration};

use countersign_domain::{
    audit::{AuditEvent, Event},
    id::KeyId,
    port::{
        PortError,
        clock::Clock,
        key_store::{KeyStore, StoredKey},
        sealer::{Place, Sealer, record},
        signer::Algorithm,
    },
    signing_key::{KeyState, RotationPolicy, Turn, Wanted, turns},
    time::Timestamp,
};

use crate::{
    keyring::RsaBits,
    pool::{PoolOptions, WorkPool},
    signing_key::{self, SigningKey},
};

/// Which keys there shall be.
#[derive(Clone, Debug)]
pub struct KeyOptions {
    /// The algorithms to sign with. Keys of others that the store holds verify and are published until they are retired.
    pub algorithms: BTreeSet<Algorithm>,
    /// The length of RSA keys that are made.
    pub rsa_bits: RsaBits,
    /// When keys go on.
    pub rotation: RotationPolicy,
}

/// Whether the lead times count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Haste {
    /// Nobody is to notice.
    Planned,
    /// An emergency: at once, whatever fails to verify.
    AtOnce,
}

/// What became of a wish to change a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyChange {
    /// It was done, to this key.
    Done(KeyId),
    /// There is a next key of the algorithm already: this one.
    NextExists(KeyId),
    /// The key signs nothing any more, and may be retired at that time.
    Ended(Timestamp),
    /// There is no next key of the algorithm to take over.
    NoNext,
    /// There is a next key of the algorithm, and no current one: no API uses it.
    Unused,
    /// There is no such key.
    Unknown,
    /// The key signs: another has to take over first.
    Signs,
    /// The key is retired.
    Retired,
    /// It may be done at that time, and now only in an emergency.
    NotBefore(Timestamp),
    /// Somebody else changed the keys at the same time; nothing was done.
    Conflict,
}

/// Keeps the signing keys of a deployment. Cheap to clone.
#[derive(Clone)]
pub struct KeyKeeper {
    store: Arc<dyn KeyStore>,
    sealer: Arc<dyn Sealer>,
    clock: Arc<dyn Clock>,
    options: KeyOptions,
    since: Timestamp,
    operator: Option<Cow<'static, str>>,
}

impl KeyKeeper {
    /// A keeper of the keys in `store`.
    pub fn new(store: Arc<dyn KeyStore>, sealer: Arc<dyn Sealer>, clock: Arc<dyn Clock>, options: KeyOptions) -> Self {
        let since = clock.now();
        Self { store, sealer, clock, options, since, operator: None }
    }

    /// For an operator's command.
    #[must_use]
    pub fn by(self, operator: String) -> Self {
        Self { operator: Some(operator.into()), ..self }
    }

    /// Which keys there shall be.
    pub const fn options(&self) -> &KeyOptions {
        &self.options
    }

    /// All keys, the newest first.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub async fn list(&self) -> Result<Vec<StoredKey>, PortError> {
        self.store.list_keys().await
    }

    /// Whether all keys that are not retired open.
    ///
    /// # Errors
    ///
    /// The store failed; one does not open: another key-encryption key sealed it, or it was changed.
    pub async fn check(&self) -> Result<(), PortError> {
        let keys = self.list().await?;
        keys.iter().filter(|key| key.state != KeyState::Retired).try_for_each(|key| self.open(key).map(|_| ()))
    }

    /// Has a key sign with every algorithm that has none: the one that was published ahead, or one that is made; whether there was
    /// anything to do.
    pub(crate) async fn begin(&self, keys: &[StoredKey]) -> Result<bool, PortError> {
        let lacks_one = |algorithm: &&Algorithm| in_state(keys, **algorithm, KeyState::Current).is_none();
        let missing: Vec<_> = self.options.algorithms.iter().filter(lacks_one).collect();
        for algorithm in &missing {
            let Some(next) = in_state(keys, **algorithm, KeyState::Next) else {
                self.make(**algorithm, KeyState::Current).await?;
                continue;
            };
            let now = self.clock.now();
            let row = self.row(Event::SigningKeyPromoted, &next.id, now);
            if self.store.begin_key(&next.id, now, row).await? {
                tracing::info!(kid = %next.id, "signing key begins");
            }
        }
        Ok(!missing.is_empty())
    }

    /// Takes the steps of a rotation that are due; whether there were any. Another process may take them first.
    ///
    /// # Errors
    ///
    /// The store failed, or no key can be made.
    pub async fn turn(&self, keys: &[StoredKey]) -> Result<bool, PortError> {
        let now = self.clock.now();
        let wanted = Wanted { algorithms: self.options.algorithms.clone(), since: self.since };
        let due = turns(keys, &wanted, &self.options.rotation, now);
        for turn in &due {
            match turn {
                Turn::Add(algorithm) => {
                    self.make(*algorithm, KeyState::Next).await?;
                }
                Turn::Promote { next, current } => {
                    let row = self.row(Event::SigningKeyPromoted, next, now);
                    if self.store.promote_key(next, current, now, row).await? {
                        tracing::info!(kid = %next, previous = %current, "signing key took over");
                    }
                }
                Turn::StepDown(id) => {
                    let row = self.row(Event::SigningKeyEnded, id, now);
                    if self.store.end_key(id, now, row).await? {
                        tracing::info!(kid = %id, "signing key ended: no API uses its algorithm");
                    }
                }
                Turn::Retire(id, from) => {
                    let row = self.row(Event::SigningKeyRetired, id, now);
                    if self.store.retire_key(id, *from, now, row).await? {
                        tracing::info!(kid = %id, "signing key retired");
                    }
                }
            }
        }
        Ok(!due.is_empty())
    }

    /// Makes the next key of `algorithm`, which is published. If nothing signs with the algorithm, it waits for an API that uses it.
    ///
    /// # Errors
    ///
    /// The store failed, or no key can be made.
    pub async fn add(&self, algorithm: Algorithm) -> Result<KeyChange, PortError> {
        let keys = self.list().await?;
        if let Some(next) = in_state(&keys, algorithm, KeyState::Next) {
            return Ok(KeyChange::NextExists(next.id.clone()));
        }
        Ok(self.make(algorithm, KeyState::Next).await?.map_or(KeyChange::Conflict, KeyChange::Done))
    }

    /// Has the next key of `algorithm` take over.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub async fn promote(&self, algorithm: Algorithm, haste: Haste) -> Result<KeyChange, PortError> {
        let (keys, now) = (self.list().await?, self.clock.now());
        let found = (in_state(&keys, algorithm, KeyState::Next), in_state(&keys, algorithm, KeyState::Current));
        let (next, current) = match found {
            (Some(next), Some(current)) => (next, current),
            (Some(_), None) => return Ok(KeyChange::Unused),
            (None, _) => return Ok(KeyChange::NoNext),
        };
        if let Some(at) = self.too_early(next, haste, now) {
            return Ok(KeyChange::NotBefore(at));
        }
        let row = self.row(Event::SigningKeyPromoted, &next.id, now);
        let promoted = self.store.promote_key(&next.id, &current.id, now, row).await?;
        Ok(if promoted { KeyChange::Done(next.id.clone()) } else { KeyChange::Conflict })
    }

    /// Retires a key that signs nothing: what it signed is void, wherever the key set is read anew. The current key of an algorithm that
    /// no API uses signs nothing either; but when it last did, nobody knows, so unless there is haste it becomes a previous one first.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub async fn retire(&self, id: &KeyId, haste: Haste) -> Result<KeyChange, PortError> {
        let (keys, now) = (self.list().await?, self.clock.now());
        let Some(key) = keys.iter().find(|key| key.id == *id) else { return Ok(KeyChange::Unknown) };
        match key.state {
            KeyState::Current if self.options.algorithms.contains(&key.algorithm) => return Ok(KeyChange::Signs),
            KeyState::Current if haste == Haste::Planned => return self.end(&keys, key, now).await,
            KeyState::Retired => return Ok(KeyChange::Retired),
            // The one signs nothing any more, the other has signed nothing.
            KeyState::Current | KeyState::Next => {}
            KeyState::Previous => {
                if let Some(at) = self.too_early(key, haste, now) {
                    return Ok(KeyChange::NotBefore(at));
                }
            }
        }
        let row = self.row(Event::SigningKeyRetired, id, now);
        let retired = self.store.retire_key(id, key.state, now, row).await?;
        if retired && key.state == KeyState::Current {
            self.retire_waiting(&keys, key.algorithm, now).await?;
        }
        Ok(if retired { KeyChange::Done(id.clone()) } else { KeyChange::Conflict })
    }

    async fn end(&self, keys: &[StoredKey], key: &StoredKey, now: Timestamp) -> Result<KeyChange, PortError> {
        if !self.store.end_key(&key.id, now, self.row(Event::SigningKeyEnded, &key.id, now)).await? {
            return Ok(KeyChange::Conflict);
        }
        self.retire_waiting(keys, key.algorithm, now).await?;
        Ok(KeyChange::Ended(now.plus(self.options.rotation.keep)))
    }

    /// Retires the next key that waited for a current one which is gone.
    async fn retire_waiting(&self, keys: &[StoredKey], algorithm: Algorithm, now: Timestamp) -> Result<(), PortError> {
        if let Some(next) = in_state(keys, algorithm, KeyState::Next) {
            let row = self.row(Event::SigningKeyRetired, &next.id, now);
            self.store.retire_key(&next.id, KeyState::Next, now, row).await?;
        }
        Ok(())
    }

    /// An emergency: the next key of `algorithm` signs at once, the current one is retired, and everything that anybody has in flight
    /// ends. If no next key waits, one is made. The number is that of accounts.
    ///
    /// # Errors
    ///
    /// The store failed, or no key can be made.
    pub async fn replace(&self, algorithm: Algorithm) -> Result<(KeyChange, u64), PortError> {
        let mut keys = self.list().await?;
        if in_state(&keys, algorithm, KeyState::Current).is_none() {
            return Ok((KeyChange::Unknown, 0));
        }
        if in_state(&keys, algorithm, KeyState::Next).is_none() {
            // If somebody else was faster, theirs will do.
            self.make(algorithm, KeyState::Next).await?;
            keys = self.list().await?;
        }
        let found = (in_state(&keys, algorithm, KeyState::Next), in_state(&keys, algorithm, KeyState::Current));
        let (Some(next), Some(current)) = found else { return Ok((KeyChange::NoNext, 0)) };
        let now = self.clock.now();
        let ended = AuditEvent { detail: None, ..self.row(Event::EverythingEnded, &next.id, now) };
        let rows = vec![
            self.row(Event::SigningKeyPromoted, &next.id, now),
            self.row(Event::SigningKeyRetired, &current.id, now),
            ended,
        ];
        let replaced = self.store.replace_key(&next.id, &current.id, now, rows).await?;
        Ok(replaced.map_or((KeyChange::Conflict, 0), |accounts| (KeyChange::Done(next.id.clone()), accounts)))
    }

    /// The row of the trail about a change of the key `id`.
    fn row(&self, event: Event, id: &KeyId, now: Timestamp) -> AuditEvent {
        let row = AuditEvent::of_deployment(event, now).because(format!("key={id}"));
        AuditEvent { operator: self.operator.clone(), ..row }
    }

    fn too_early(&self, key: &StoredKey, haste: Haste, now: Timestamp) -> Option<Timestamp> {
        self.options.rotation.ripe_at(key).filter(|at| haste == Haste::Planned && now < *at)
    }

    /// Makes a key and keeps it, unless another process was faster.
    async fn make(&self, algorithm: Algorithm, state: KeyState) -> Result<Option<KeyId>, PortError> {
        let pkcs8 = generate(algorithm, self.options.rsa_bits).await?;
        let id = SigningKey::parse(algorithm, &pkcs8)?.public().id.clone();
        let (sealed, now) = (self.sealer.seal(place(&id), &pkcs8)?, self.clock.now());
        let key = StoredKey { id: id.clone(), algorithm, state, sealed, created_at: now, changed_at: now };
        let row = self.row(Event::SigningKeyAdded, &id, now).because(format!(
            "key={id} algorithm={} state={}",
            algorithm.as_str(),
            state.as_str()
        ));
        let kept = self.store.insert_key(key, row).await?;
        if kept {
            tracing::info!(kid = %id, alg = algorithm.as_str(), state = state.as_str(), "signing key made");
        }
        Ok(kept.then_some(id))
    }

    /// The key pair of a stored key.
    pub(crate) fn open(&self, stored: &StoredKey) -> Result<Arc<SigningKey>, PortError> {
        let pkcs8 = self.sealer.open(place(&stored.id), &stored.sealed)?;
        let key = SigningKey::parse(stored.algorithm, pkcs8.expose())?;
        if key.public().id != stored.id {
            return Err(PortError::Corrupt("a signing key is stored under another key's id".into()));
        }
        Ok(Arc::new(key))
    }
}

impl std::fmt::Debug for KeyKeeper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyKeeper").field("options", &self.options).finish_non_exhaustive()
    }
}

/// Where the private key of `id` is sealed for.
pub fn place(id: &KeyId) -> Place<'_> {
    Place { record: record::SIGNING_KEY, id: id.as_str(), owner: "" }
}

fn in_state(keys: &[StoredKey], algorithm: Algorithm, state: KeyState) -> Option<&StoredKey> {
    keys.iter().find(|key| key.algorithm == algorithm && key.state == state)
}

/// Makes a private key on a thread of its own: RSA takes a good part of a second, for which neither requests nor the signatures of
/// others should wait.
async fn generate(algorithm: Algorithm, bits: RsaBits) -> Result<zeroize::Zeroizing<Vec<u8>>, PortError> {
    let thread = WorkPool::<()>::start(PoolOptions {
        name: "key generation",
        threads: NonZeroUsize::MIN,
        queue: 1,
        max_wait: Duration::from_secs(60),
        hold: Duration::ZERO,
    })?;
    thread.run(move |()| signing_key::generate(algorithm, bits)).await?
}
