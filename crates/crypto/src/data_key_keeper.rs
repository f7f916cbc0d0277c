//! What data keys there shall be: making them, sealing everything anew, dropping them.

use std::{borrow::Cow, collections::BTreeMap, sync::Arc};

use countersign_domain::{
    audit::{AuditEvent, Event},
    data_key::{
        DataKeyId, DataKeyState, GRACE, LEAD, SEALS, SEALS_BEFORE_ROTATION, SETTLED, SealedCount, SealedIn,
        SealedValue, StoredDataKey, state_of,
    },
    port::{
        PortError,
        clock::Clock,
        data_key_store::{DataKeyDropped, DataKeyStore},
    },
    time::Timestamp,
};

use crate::{key_keeper::Haste, sealer::AeadSealer};

/// Values that are sealed anew in one transaction: logins wait for no more than that.
const BATCH: usize = 100;

/// Keeps the data keys of a deployment. Cheap to clone.
#[derive(Clone)]
pub struct DataKeyKeeper {
    store: Arc<dyn DataKeyStore>,
    sealer: Arc<AeadSealer>,
    clock: Arc<dyn Clock>,
    operator: Option<Cow<'static, str>>,
    blocks: Blocks,
}

/// How many seals of a data key a process takes at once, and how many there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blocks {
    /// At first.
    pub least: u64,
    /// At most.
    pub most: u64,
    /// How many the key is good for.
    pub limit: u64,
    /// From how many on another key is due.
    pub due: u64,
}

impl Blocks {
    /// For a server, which takes another when half of one is used, and tries again once a second if that fails.
    pub const SERVER: Self = Self { least: 1 << 14, most: 1 << 20, limit: SEALS, due: SEALS_BEFORE_ROTATION };
    /// For a command. There may be one every minute, and what it leaves is lost.
    pub const COMMAND: Self = Self { least: 1 << 10, ..Self::SERVER };
}

/// A data key, and what is sealed with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its id.
    pub id: DataKeyId,
    /// Where it stands.
    pub state: DataKeyState,
    /// Since when it stands there. `None`: it follows from the master key, and was there from the beginning.
    pub since: Option<Timestamp>,
    /// When its state may change: it seals, or may be dropped.
    pub ripe_at: Option<Timestamp>,
    /// How many values are sealed with it.
    pub values: u64,
    /// How many it may have sealed ever.
    pub seals: u64,
}

/// A rotation that begins, or goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rotation {
    /// The key that everything is to be sealed with.
    pub key: DataKeyId,
    /// Whether it was made now.
    pub made: bool,
    /// From when every server seals with it.
    pub settled_at: Timestamp,
    /// How many values are to be sealed anew.
    pub left: u64,
}

/// Whether a rotation that was begun goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin {
    /// It does, as long as something is left of it.
    OrGoOn,
    /// In any case with a new key.
    Anew,
}

/// Why nothing was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// There is no such key.
    Unknown,
    /// It was dropped before.
    Dropped,
    /// It seals, or is going to.
    Seals,
    /// It may be done at that time, and now only in an emergency.
    NotBefore(Timestamp),
    /// These are sealed with it.
    InUse(Vec<SealedCount>),
    /// Somebody else changed the keys at the same time.
    Conflict,
}

impl DataKeyKeeper {
    /// A keeper of the keys in `store`, who has `sealer` know them.
    pub fn new(store: Arc<dyn DataKeyStore>, sealer: Arc<AeadSealer>, clock: Arc<dyn Clock>) -> Self {
        Self { store, sealer, clock, operator: None, blocks: Blocks::SERVER }
    }

    /// Takes seals in these blocks.
    #[must_use]
    pub fn taking(self, blocks: Blocks) -> Self {
        Self { blocks, ..self }
    }

    /// For an operator's command.
    #[must_use]
    pub fn by(self, operator: String) -> Self {
        Self { operator: Some(operator.into()), ..self }
    }

    /// Has the sealer know what the store has. If that fails, what was known stays.
    ///
    /// # Errors
    ///
    /// The store failed, or a key does not open.
    pub async fn reload(&self) -> Result<(), PortError> {
        let keys = self.store.list_data_keys().await?;
        self.sealer.install(&keys, self.clock.now())
    }

    /// Sees to it that what seals may go on, and what will seal may begin: takes seals where fewer are left than half of a block.
    ///
    /// # Errors
    ///
    /// The store failed, or a key has sealed as much as it may. What is left is good still.
    pub async fn provide(&self) -> Result<(), PortError> {
        let mut outcome = Ok(());
        for key in self.sealer.sealing() {
            outcome = outcome.and(self.provide_for(key).await);
        }
        outcome
    }

    /// Waits until [`Self::provide`] has something to take.
    pub async fn runs_low(&self) {
        self.sealer.runs_low().await;
    }

    /// How many seals of the key that seals now were taken by all processes when this one last took some.
    pub fn seals_taken(&self) -> u64 {
        self.sealer.seals_taken()
    }

    async fn provide_for(&self, key: DataKeyId) -> Result<(), PortError> {
        let Blocks { least, most, limit, due } = self.blocks;
        let Some(seals) = self.sealer.seals_wanted(key, least, most) else { return Ok(()) };
        let Some(taken) = self.store.take_seals(key, seals, limit).await? else {
            let why = format!("{key} has sealed as much as it may; make another one: countersign keys rotate-data");
            return Err(PortError::Unavailable("data key", why.into()));
        };
        self.sealer.grant(key, seals, taken);
        if taken >= due {
            tracing::warn!(data_key.id = %key, seals = taken, limit, "a data key is worn; run countersign keys rotate-data");
        }
        Ok(())
    }

    /// All keys, those that sealed first first.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub async fn list(&self) -> Result<Vec<Listed>, PortError> {
        let (keys, now) = (self.keys().await?, self.clock.now());
        let mut values: BTreeMap<DataKeyId, u64> = BTreeMap::new();
        for count in self.store.count_sealed(now).await? {
            *values.entry(count.key).or_default() += count.values;
        }
        let seals: BTreeMap<DataKeyId, u64> = self.store.list_seals().await?.into_iter().collect();
        let listed = keys.iter().map(|key| {
            let state = state_of(key, &keys, now);
            let (since, ripe_at) = match state {
                DataKeyState::Next => (Some(key.created_at), Some(key.seals_from)),
                DataKeyState::Current => ((key.id != self.sealer.derived_id()).then_some(key.seals_from), None),
                DataKeyState::Previous { until } => (Some(until), Some(until.plus(GRACE))),
                DataKeyState::Dropped => (key.dropped_at, None),
            };
            let of = |counts: &BTreeMap<DataKeyId, u64>| counts.get(&key.id).copied().unwrap_or_default();
            Listed { id: key.id, state, since, ripe_at, values: of(&values), seals: of(&seals) }
        });
        Ok(listed.collect())
    }

    /// Begins a rotation, or finds the one that goes on: as long as anything is sealed with another than the newest key.
    ///
    /// # Errors
    ///
    /// The store failed, or there is no randomness.
    pub async fn begin(&self, begin: Begin) -> Result<Result<Rotation, Refused>, PortError> {
        let (keys, now) = (self.keys().await?, self.clock.now());
        let newest = keys.last().filter(|key| key.id != self.sealer.derived_id());
        if let Some(newest) = newest {
            let left = self.left(newest.id).await?;
            let waits = state_of(newest, &keys, now) == DataKeyState::Next;
            self.reload().await?;
            if waits || (left > 0 && begin == Begin::OrGoOn) {
                let settled_at = newest.seals_from.plus(SETTLED);
                return Ok(Ok(Rotation { key: newest.id, made: false, settled_at, left }));
            }
        }
        let (id, wrapped) = self.sealer.new_data_key()?;
        let seals_from = now.plus(LEAD);
        let key = StoredDataKey { id, wrapped, created_at: now, seals_from, dropped_at: None };
        let row = self.row(Event::DataKeyAdded, id, now);
        let first = StoredDataKey::derived(self.sealer.derived_id());
        if !self.store.insert_data_key(key, first, row).await? {
            return Ok(Err(Refused::Conflict));
        }
        tracing::info!(data_key.id = %id, "data key made");
        let left = self.left(id).await?;
        self.reload().await?;
        Ok(Ok(Rotation { key: id, made: true, settled_at: seals_from.plus(SETTLED), left }))
    }

    /// How many values that are kept are sealed with another key than `key`.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub async fn left(&self, key: DataKeyId) -> Result<u64, PortError> {
        let counts = self.store.count_sealed(self.clock.now()).await?;
        let left = counts.iter().filter(|count| count.key != key && SealedIn::KEPT.contains(&count.column));
        Ok(left.map(|count| count.values).sum())
    }

    /// Goes once through everything that is kept, and seals it with `key`.
    pub fn seal_anew(&self, key: DataKeyId) -> Pass {
        Pass { keeper: self.clone(), key, columns: SealedIn::KEPT.to_vec(), after: None }
    }

    /// Drops a key that seals nothing any more: what is sealed with it, in copies of the store, opens no more.
    ///
    /// Haste waives the wait, never what is sealed with it.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub async fn drop_key(&self, id: DataKeyId, haste: Haste) -> Result<Result<(), Refused>, PortError> {
        let (keys, now) = (self.keys().await?, self.clock.now());
        let Some(key) = keys.iter().find(|key| key.id == id) else { return Ok(Err(Refused::Unknown)) };
        let until = match state_of(key, &keys, now) {
            DataKeyState::Dropped => return Ok(Err(Refused::Dropped)),
            DataKeyState::Current | DataKeyState::Next => return Ok(Err(Refused::Seals)),
            DataKeyState::Previous { until } => until,
        };
        let wait = if haste == Haste::Planned { GRACE } else { SETTLED };
        if now < until.plus(wait) {
            return Ok(Err(Refused::NotBefore(until.plus(wait))));
        }
        let row = self.row(Event::DataKeyDropped, id, now);
        Ok(match self.store.drop_data_key(id, now.minus(wait), now, row).await? {
            DataKeyDropped::Dropped => {
                tracing::info!(data_key.id = %id, "data key dropped");
                Ok(())
            }
            DataKeyDropped::InUse(counts) => Err(Refused::InUse(counts)),
            DataKeyDropped::Unknown | DataKeyDropped::Seals => Err(Refused::Conflict),
        })
    }

    /// What is stored, and the derived one, which is not until there is a second.
    async fn keys(&self) -> Result<Vec<StoredDataKey>, PortError> {
        let mut keys = self.store.list_data_keys().await?;
        let derived = self.sealer.derived_id();
        if keys.iter().all(|key| key.id != derived) {
            keys.insert(0, StoredDataKey::derived(derived));
        }
        Ok(keys)
    }

    fn row(&self, event: Event, key: DataKeyId, now: Timestamp) -> AuditEvent {
        let row = AuditEvent::of_deployment(event, now).because(format!("key={key}"));
        AuditEvent { operator: self.operator.clone(), ..row }
    }
}

impl std::fmt::Debug for DataKeyKeeper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DataKeyKeeper").finish_non_exhaustive()
    }
}

/// What became of a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// Values that are sealed anew.
    pub done: u64,
    /// Values that somebody else changed or removed meanwhile.
    pub changed: u64,
    /// Ids of values that do not open: they were changed or moved in the store. They stay as they are.
    pub broken: Vec<(SealedIn, String)>,
}

/// One pass through everything that is kept. Stopping it at any point loses nothing: another one goes on with what is left.
#[derive(Debug)]
pub struct Pass {
    keeper: DataKeyKeeper,
    key: DataKeyId,
    /// Those to come, the next one last.
    columns: Vec<SealedIn>,
    after: Option<SealedValue>,
}

impl Pass {
    /// Seals a few more values anew. `None`: it is through.
    ///
    /// # Errors
    ///
    /// The store failed, or the key is not known or has no seals left.
    pub async fn next(&mut self) -> Result<Option<Batch>, PortError> {
        self.keeper.provide_for(self.key).await?;
        let (store, sealer) = (&self.keeper.store, &self.keeper.sealer);
        while let Some(column) = self.columns.last().copied() {
            let values = store.list_sealed(column, self.key, self.after.as_ref(), BATCH).await?;
            let Some(last) = values.last() else {
                self.columns.pop();
                self.after = None;
                continue;
            };
            self.after = Some(last.clone());
            let mut anew = Vec::with_capacity(values.len());
            let mut broken = Vec::new();
            for value in values {
                let new = value.place().map(|place| sealer.seal_anew(place, &value.sealed, self.key)).transpose();
                match new {
                    Ok(Some(new)) => anew.push((value, new)),
                    Ok(None) | Err(PortError::Corrupt(_)) => broken.push((column, value.id)),
                    Err(error) => return Err(error),
                }
            }
            let wanted = anew.len();
            let done = store.replace_sealed(anew).await?;
            let count = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
            return Ok(Some(Batch { done: count(done), changed: count(wanted.saturating_sub(done)), broken }));
        }
        Ok(None)
    }
}
