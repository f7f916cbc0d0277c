//! The keys that encrypt, and those of them that one process knows.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use countersign_domain::{
    data_key::DataKeyId,
    port::{PortError, entropy::Entropy, sealer::Place},
    secret::{Sealed, Secret},
};
use tokio::sync::Notify;

use crate::master_key::MasterKey;

/// Of the form of a blob. It changes whenever the bytes below mean something else.
const VERSION: u8 = 1;
/// AES-256-GCM with a random nonce of 96 bits.
const ALGORITHM: u8 = 1;
const HEADER_BYTES: usize = 10;
const TAG_BYTES: usize = 16;

/// 256 bits.
pub(crate) const DATA_KEY_BYTES: usize = 32;

/// A key that encrypts. Its id stands in each blob, so that a second one can take over.
pub(crate) struct DataKey {
    id: DataKeyId,
    header: [u8; HEADER_BYTES],
    key: LessSafeKey,
    seals: Seals,
}

impl DataKey {
    /// The key of `bytes`.
    pub(crate) fn new(id: DataKeyId, bytes: &[u8; DATA_KEY_BYTES]) -> Result<Self, PortError> {
        let key = UnboundKey::new(&AES_256_GCM, bytes)
            .map_err(|error| PortError::Unavailable("data key", Box::new(error)))?;
        let mut header = [0; HEADER_BYTES];
        for (byte, value) in header.iter_mut().zip([VERSION, ALGORITHM].into_iter().chain(*id.as_bytes())) {
            *byte = value;
        }
        Ok(Self { id, header, key: LessSafeKey::new(key), seals: Seals::default() })
    }

    /// The key that follows from `master` under `label`, with the id that follows under `id_label`.
    pub(crate) fn derive(master: &MasterKey, label: &'static str, id_label: &'static str) -> Result<Self, PortError> {
        Self::new(DataKeyId::new(master.derive_id(id_label)?), &*master.derive(label)?)
    }

    pub(crate) const fn id(&self) -> DataKeyId {
        self.id
    }

    /// The seals this process has of it.
    pub(crate) const fn seals(&self) -> &Seals {
        &self.seals
    }

    /// With one of the seals that were taken for it. Without any it seals nothing. When they run low, `low` is told.
    pub(crate) fn seal_counted(
        &self,
        place: Place<'_>,
        plaintext: &[u8],
        entropy: &dyn Entropy,
        low: &Notify,
    ) -> Result<Sealed, PortError> {
        match self.seals.spend() {
            None => Err(PortError::Unavailable("data key", "no seal of it is left here; see docs/keys.md".into())),
            Some(Left::Enough) => self.seal(place, plaintext, entropy),
            Some(Left::Low) => {
                low.notify_one();
                self.seal(place, plaintext, entropy)
            }
        }
    }

    /// Uncounted: for what is sealed with it hardly ever.
    pub(crate) fn seal(&self, place: Place<'_>, plaintext: &[u8], entropy: &dyn Entropy) -> Result<Sealed, PortError> {
        let mut nonce = [0; NONCE_LEN];
        entropy.fill(&mut nonce)?;
        // Room for the tag from the start: growing would leave a copy of the plaintext behind.
        let mut body = Vec::with_capacity(plaintext.len() + TAG_BYTES);
        body.extend_from_slice(plaintext);
        self.key
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), bound(self.header, place), &mut body)
            .map_err(|error| PortError::Unavailable("data key", Box::new(error)))?;
        Ok(Sealed::new([&self.header[..], &nonce, &body].concat()))
    }

    pub(crate) fn open(&self, place: Place<'_>, sealed: &Sealed) -> Result<Secret<Vec<u8>>, PortError> {
        let (header, rest) =
            sealed.as_bytes().split_first_chunk::<HEADER_BYTES>().ok_or_else(|| corrupt("too short"))?;
        let (nonce, body) = rest.split_first_chunk::<NONCE_LEN>().ok_or_else(|| corrupt("too short"))?;
        if header != &self.header {
            return Err(corrupt("of an unknown version, algorithm or key"));
        }
        // Wiped also if it does not open: what is left in it then is nobody's.
        let mut body = zeroize::Zeroizing::new(body.to_vec());
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let length = self
            .key
            .open_in_place(nonce, bound(*header, place), &mut body)
            .map_err(|_| corrupt("changed or moved"))?
            .len();
        body.truncate(length);
        Ok(Secret::new(std::mem::take(&mut *body)))
    }
}

/// Seals of one key that a process has taken from the store. A crash loses those that are left: too many are counted then, never too few.
#[derive(Debug, Default)]
pub(crate) struct Seals {
    left: AtomicU64,
    granted: AtomicU64,
    taken: AtomicU64,
    /// Half of what was taken last: time to take some again.
    low: AtomicU64,
}

/// What is left of them, after one was used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Left {
    Enough,
    /// One less than enough: told once for each block, and not for each seal.
    Low,
}

impl Seals {
    /// Uses one. `None`: there is none.
    fn spend(&self) -> Option<Left> {
        let before = self.left.try_update(Relaxed, Relaxed, |left| left.checked_sub(1)).ok()?;
        Some(if before == self.low.load(Relaxed) { Left::Low } else { Left::Enough })
    }

    /// Has `seals` more, with which `taken` are taken by all processes.
    pub(crate) fn grant(&self, seals: u64, taken: u64) {
        self.taken.fetch_max(taken, Relaxed);
        self.granted.fetch_add(seals, Relaxed);
        self.low.store(seals.div_ceil(2), Relaxed);
        self.left.fetch_add(seals, Relaxed);
    }

    /// How many should be taken now, between `least` and `most`: as many again as there were, so that few are lost when a process ends soon
    /// and there are enough for one that has much to do. `None`: enough are left.
    pub(crate) fn wanted(&self, least: u64, most: u64) -> Option<u64> {
        let block = self.granted.load(Relaxed).clamp(least, most);
        (self.left.load(Relaxed) < block.div_ceil(2)).then_some(block)
    }

    /// How many were taken by all processes when this one last took some.
    pub(crate) fn taken(&self) -> u64 {
        self.taken.load(Relaxed)
    }
}

/// The data keys of one moment.
pub(crate) struct DataKeys {
    current: Arc<DataKey>,
    /// Those that will seal.
    next: Vec<DataKeyId>,
    all: Vec<Arc<DataKey>>,
}

impl DataKeys {
    /// `all`, of which `current` seals and `next` will.
    pub(crate) const fn new(current: Arc<DataKey>, next: Vec<DataKeyId>, all: Vec<Arc<DataKey>>) -> Self {
        Self { current, next, all }
    }

    /// No other than `key`.
    pub(crate) fn only(key: Arc<DataKey>) -> Self {
        Self { all: vec![Arc::clone(&key)], next: Vec::new(), current: key }
    }

    /// The key that seals.
    pub(crate) fn current(&self) -> &DataKey {
        &self.current
    }

    /// Those that seal, now or soon.
    pub(crate) fn sealing(&self) -> impl Iterator<Item = DataKeyId> {
        std::iter::once(self.current.id).chain(self.next.iter().copied())
    }

    /// The key `id`.
    pub(crate) fn get(&self, id: DataKeyId) -> Option<&Arc<DataKey>> {
        self.all.iter().find(|key| key.id == id)
    }

    /// The key that `sealed` names.
    pub(crate) fn find(&self, sealed: &Sealed) -> Result<&DataKey, PortError> {
        let id = DataKeyId::of(sealed).ok_or_else(|| corrupt("too short"))?;
        self.get(id).map(AsRef::as_ref).ok_or_else(|| corrupt("of an unknown version, algorithm or key"))
    }
}

pub(crate) fn corrupt(why: &str) -> PortError {
    PortError::Corrupt(format!("the sealed value is {why}").into())
}

/// Eight bytes, so that no length needs a shorter form.
pub(crate) fn length_of(part: &[u8]) -> [u8; 8] {
    (part.len() as u64).to_be_bytes()
}

/// What a blob is bound to, each part preceded by its length.
fn bound(header: [u8; HEADER_BYTES], place: Place<'_>) -> Aad<Vec<u8>> {
    let mut bytes = Vec::with_capacity(48 + place.record.len() + place.id.len() + place.owner.len());
    for part in [place.record.as_bytes(), place.id.as_bytes(), place.owner.as_bytes(), &header] {
        bytes.extend_from_slice(&length_of(part));
        bytes.extend_from_slice(part);
    }
    Aad::from(bytes)
}
