//! Encryption at rest by AES-256-GCM, and digests by HMAC-SHA-256 and SHA-256.

use std::{
    fmt,
    sync::{Arc, PoisonError, RwLock},
};

use aws_lc_rs::{digest, hmac};
use countersign_domain::{
    data_key::{DataKeyId, DataKeyState, StoredDataKey, state_of},
    port::{
        PortError,
        entropy::Entropy,
        sealer::{DigestPurpose, Place, Sealer, record},
    },
    secret::{Digest, Sealed, Secret},
    time::Timestamp,
};
use tokio::sync::Notify;
use zeroize::Zeroizing;

use crate::{
    data_keys::{self, DATA_KEY_BYTES, DataKey, DataKeys, length_of},
    master_key::MasterKey,
};

/// Seals with a data key.
///
/// A blob is `version (1) | algorithm (1) | key id (8) | nonce (12) | ciphertext | tag (16)`. Bound in are the first ten bytes
/// and the [`Place`]. Nonces are random, so one data key is good for 2^32 seals (NIST SP 800-38D, section 8.3). They are counted: it
/// seals only with what was [granted](Self::grant) to it.
///
/// At first there is one data key, which follows from the master key. [`install`](Self::install) makes it know those that are stored.
pub struct AeadSealer {
    keys: RwLock<Arc<DataKeys>>,
    derived: Arc<DataKey>,
    /// Seals data keys.
    wrapping: DataKey,
    recovery_code: hmac::Key,
    throttle: hmac::Key,
    binding_code: hmac::Key,
    address: hmac::Key,
    refresh_token: hmac::Key,
    remembered_device: hmac::Key,
    audit_trail: hmac::Key,
    integrity: hmac::Key,
    entropy: Arc<dyn Entropy>,
    /// Told when a block of seals is half used.
    low: Notify,
}

impl AeadSealer {
    /// Derives the keys. Nonces come from `entropy`.
    ///
    /// # Errors
    ///
    /// [`PortError::Unavailable`] if the cryptographic library refuses.
    pub fn new(master: &MasterKey, entropy: Arc<dyn Entropy>) -> Result<Self, PortError> {
        let derived = Arc::new(DataKey::derive(master, "countersign data key v1", "countersign data key id v1")?);
        Ok(Self {
            keys: RwLock::new(Arc::new(DataKeys::only(Arc::clone(&derived)))),
            derived,
            wrapping: DataKey::derive(
                master,
                "countersign data key wrapping v1",
                "countersign data key wrapping id v1",
            )?,
            recovery_code: master.derive_hmac("countersign recovery code digest v1")?,
            throttle: master.derive_hmac("countersign throttle digest v1")?,
            binding_code: master.derive_hmac("countersign binding code digest v1")?,
            address: master.derive_hmac("countersign address digest v1")?,
            refresh_token: master.derive_hmac("countersign refresh token v1")?,
            remembered_device: master.derive_hmac("countersign remembered device v1")?,
            audit_trail: master.derive_hmac("countersign audit trail v1")?,
            integrity: master.derive_hmac("countersign integrity digest v1")?,
            entropy,
            low: Notify::new(),
        })
    }

    /// The data key that follows from the master key.
    pub fn derived_id(&self) -> DataKeyId {
        self.derived.id()
    }

    /// Lets the data key `id` seal `seals` more values. With them all processes have taken `taken`.
    pub fn grant(&self, id: DataKeyId, seals: u64, taken: u64) {
        if let Some(key) = self.known().get(id) {
            key.seals().grant(seals, taken);
        }
    }

    /// How many seals of the key that seals now were taken by all processes when this one last took some.
    pub fn seals_taken(&self) -> u64 {
        self.known().current().seals().taken()
    }

    /// Waits until a block of seals is half used. Told to one who waits, or who comes later.
    pub(crate) async fn runs_low(&self) {
        self.low.notified().await;
    }

    /// The data keys that seal, now or soon.
    pub(crate) fn sealing(&self) -> Vec<DataKeyId> {
        self.known().sealing().collect()
    }

    /// How many seals of the data key `id` should be taken now; `None` if enough are left.
    pub(crate) fn seals_wanted(&self, id: DataKeyId, least: u64, most: u64) -> Option<u64> {
        self.known().get(id)?.seals().wanted(least, most)
    }

    /// A new data key, which nobody knows yet: its id, and the key as it is to be stored.
    ///
    /// # Errors
    ///
    /// [`PortError::Unavailable`] if there is no randomness.
    pub fn new_data_key(&self) -> Result<(DataKeyId, Sealed), PortError> {
        let mut id = [0; 8];
        self.entropy.fill(&mut id)?;
        let mut key = Zeroizing::new([0; DATA_KEY_BYTES]);
        self.entropy.fill(&mut *key)?;
        let id = DataKeyId::new(id);
        let name = id.to_string();
        Ok((id, self.wrapping.seal(wrapped(&name), &*key, self.entropy.as_ref())?))
    }

    /// Knows the data keys that are stored, and seals with the one that does so at `now`. If one of them does not open, all that was
    /// known stays.
    ///
    /// # Errors
    ///
    /// [`PortError::Corrupt`] if a key was changed or moved, or another master key sealed it.
    pub fn install(&self, stored: &[StoredDataKey], now: Timestamp) -> Result<(), PortError> {
        let before = self.known();
        let key_of = |stored: &StoredDataKey| {
            if stored.id == self.derived.id() {
                return Ok(Arc::clone(&self.derived));
            }
            if let Some(known) = before.get(stored.id) {
                return Ok(Arc::clone(known));
            }
            let bytes = self.wrapping.open(wrapped(&stored.id.to_string()), &stored.wrapped)?;
            let bytes = bytes.expose().as_slice().try_into().map_err(|_| data_keys::corrupt("no data key"))?;
            Ok::<_, PortError>(Arc::new(DataKey::new(stored.id, bytes)?))
        };
        let mut keys = Vec::with_capacity(stored.len() + 1);
        let (mut current, mut next) = (None, Vec::new());
        if stored.iter().all(|key| key.id != self.derived.id()) {
            keys.push(Arc::clone(&self.derived));
        }
        for stored_key in stored {
            let key = match state_of(stored_key, stored, now) {
                DataKeyState::Dropped => continue,
                DataKeyState::Current => Arc::clone(current.insert(key_of(stored_key)?)),
                DataKeyState::Next => {
                    next.push(stored_key.id);
                    key_of(stored_key)?
                }
                DataKeyState::Previous { .. } => key_of(stored_key)?,
            };
            keys.push(key);
        }
        // Before the first stored one seals, and never once the derived one was dropped: that had a successor.
        let fallback = || keys.iter().find(|key| key.id() == self.derived.id()).cloned();
        let current =
            current.or_else(fallback).ok_or_else(|| data_keys::corrupt("of a store whose data keys are gone"))?;
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(DataKeys::new(current, next, keys));
        Ok(())
    }

    /// `sealed` under the data key `id`, for the same place.
    ///
    /// # Errors
    ///
    /// [`PortError::Corrupt`] if it does not open; [`PortError::Unavailable`] if `id` is not known or has no seals left.
    pub fn seal_anew(&self, place: Place<'_>, sealed: &Sealed, id: DataKeyId) -> Result<Sealed, PortError> {
        let known = self.known();
        let key = known.get(id).ok_or_else(|| PortError::Unavailable("data key", "it is not known".into()))?;
        key.seal_counted(place, known.find(sealed)?.open(place, sealed)?.expose(), self.entropy.as_ref(), &self.low)
    }

    fn known(&self) -> Arc<DataKeys> {
        Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner))
    }

    const fn key_of(&self, purpose: DigestPurpose) -> &hmac::Key {
        match purpose {
            DigestPurpose::RecoveryCode => &self.recovery_code,
            DigestPurpose::Throttle => &self.throttle,
            DigestPurpose::BindingCode => &self.binding_code,
            DigestPurpose::Address => &self.address,
            DigestPurpose::RefreshToken => &self.refresh_token,
            DigestPurpose::RememberedDevice => &self.remembered_device,
            DigestPurpose::AuditTrail => &self.audit_trail,
            DigestPurpose::Integrity => &self.integrity,
        }
    }
}

/// Where the data key `id` is sealed for.
fn wrapped(id: &str) -> Place<'_> {
    Place { record: record::DATA_KEY, id, owner: "" }
}

impl Sealer for AeadSealer {
    fn seal(&self, place: Place<'_>, plaintext: &[u8]) -> Result<Sealed, PortError> {
        self.known().current().seal_counted(place, plaintext, self.entropy.as_ref(), &self.low)
    }

    fn open(&self, place: Place<'_>, sealed: &Sealed) -> Result<Secret<Vec<u8>>, PortError> {
        self.known().find(sealed)?.open(place, sealed)
    }

    fn has_forgotten(&self, sealed: &Sealed) -> bool {
        DataKeyId::of(sealed).is_some_and(|id| self.known().get(id).is_none())
    }

    fn keyed_digest(&self, purpose: DigestPurpose, parts: &[&[u8]]) -> Digest {
        let mut context = hmac::Context::with_key(self.key_of(purpose));
        for part in parts {
            context.update(&length_of(part));
            context.update(part);
        }
        to_digest(context.sign().as_ref())
    }

    fn token_digest(&self, domain: &'static str, value: &[u8]) -> Digest {
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(&length_of(domain.as_bytes()));
        context.update(domain.as_bytes());
        context.update(value);
        to_digest(context.finish().as_ref())
    }
}

impl fmt::Debug for AeadSealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AeadSealer")
    }
}

fn to_digest(bytes: &[u8]) -> Digest {
    let mut digest = [0; 32];
    for (byte, computed) in digest.iter_mut().zip(bytes) {
        *byte = *computed;
    }
    Digest::new(digest)
}

#[cfg(test)]
mod data_key_tests;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::HashSet;

    use data_encoding::HEXLOWER;
    use proptest::prelude::*;

    use super::*;
    use crate::entropy::SystemEntropy;

    const PLACE: Place<'static> = Place { record: "authenticator", id: "totp|dev_1", owner: "auth0|1" };

    fn sealer_of(last: &str) -> AeadSealer {
        let master = MasterKey::parse(&format!("{}{last}", "01".repeat(31))).unwrap();
        let sealer = AeadSealer::new(&master, Arc::new(SystemEntropy::new())).unwrap();
        sealer.grant(sealer.derived_id(), 1000, 1000);
        sealer
    }

    fn sealer() -> AeadSealer {
        sealer_of("02")
    }

    proptest! {
        #[test]
        fn opens_what_it_sealed_and_nothing_with_a_changed_byte(
            plaintext in proptest::collection::vec(any::<u8>(), 0..200), at in any::<prop::sample::Index>(), flip in 1u8..,
        ) {
            let sealer = sealer();
            let blob = sealer.seal(PLACE, &plaintext).unwrap();
            prop_assert_eq!(blob.as_bytes().len(), 10 + 12 + plaintext.len() + 16);
            let opened = sealer.open(PLACE, &blob).unwrap();
            prop_assert_eq!(opened.expose(), &plaintext);

            let mut changed = blob.as_bytes().to_vec();
            let at = at.index(changed.len());
            changed[at] ^= flip;
            prop_assert!(matches!(sealer.open(PLACE, &Sealed::new(changed)), Err(PortError::Corrupt(_))));
        }
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_noticed() {
        let sealer = sealer();
        let blob = sealer.seal(PLACE, b"JBSWY3DPEHPK3PXP").unwrap();
        let bytes = blob.as_bytes();
        for bit in 0..bytes.len() * 8 {
            let mut changed = bytes.to_vec();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(sealer.open(PLACE, &Sealed::new(changed)).is_err(), "bit {bit}");
        }
        for length in 0..bytes.len() {
            assert!(sealer.open(PLACE, &Sealed::new(bytes[..length].to_vec())).is_err(), "length {length}");
        }
    }

    #[test]
    fn a_value_moved_to_another_place_does_not_open() {
        let sealer = sealer();
        let blob = sealer.seal(PLACE, b"seed").unwrap();
        for moved in [
            Place { owner: "auth0|2", ..PLACE },
            Place { id: "totp|dev_2", ..PLACE },
            Place { record: "signing_key", ..PLACE },
            // The same bytes in a row, cut elsewhere.
            Place { id: "totp|dev_1a", owner: "uth0|1", ..PLACE },
        ] {
            assert!(matches!(sealer.open(moved, &blob), Err(PortError::Corrupt(_))), "{moved:?}");
        }
    }

    #[test]
    fn another_master_key_opens_nothing() {
        let blob = sealer().seal(PLACE, b"seed").unwrap();
        assert!(matches!(sealer_of("03").open(PLACE, &blob), Err(PortError::Corrupt(_))));
        assert_eq!(sealer().open(PLACE, &blob).unwrap().expose(), b"seed");
    }

    #[test]
    fn sealing_twice_gives_different_blobs_that_hide_the_plaintext() {
        let sealer = sealer();
        let blobs: HashSet<_> =
            (0..64).map(|_| sealer.seal(PLACE, b"JBSWY3DPEHPK3PXP").unwrap().as_bytes().to_vec()).collect();
        assert_eq!(blobs.len(), 64);
        assert!(blobs.iter().all(|blob| !blob.windows(4).any(|window| window == b"JBSW")));
    }

    #[test]
    fn hmac_is_that_of_rfc_4231() {
        // Section 4.3, test case 2, through the same calls as keyed digests.
        let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, b"Jefe"));
        context.update(b"what do ya want ");
        context.update(b"for nothing?");
        assert_eq!(
            HEXLOWER.encode(to_digest(context.sign().as_ref()).as_bytes()),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
    }

    #[test]
    fn keyed_digests_depend_on_key_purpose_and_where_parts_end() {
        let sealer = sealer();
        let parts: &[&[u8]] = &[b"ab", b"c"];
        let digest = sealer.keyed_digest(DigestPurpose::RecoveryCode, parts);
        assert_eq!(digest, sealer.keyed_digest(DigestPurpose::RecoveryCode, parts));
        assert_ne!(digest, sealer.keyed_digest(DigestPurpose::Throttle, parts));
        assert_ne!(digest, sealer.keyed_digest(DigestPurpose::Integrity, parts));
        assert_ne!(digest, sealer.keyed_digest(DigestPurpose::RecoveryCode, &[b"a", b"bc"]));
        assert_ne!(digest, sealer.keyed_digest(DigestPurpose::RecoveryCode, &[b"abc"]));
        assert_ne!(digest, sealer_of("03").keyed_digest(DigestPurpose::RecoveryCode, parts));
    }

    #[test]
    fn token_digests_are_sha_256_and_separate_their_domains() {
        let sealer = sealer();
        let expected = digest::digest(&digest::SHA256, b"\0\0\0\0\0\0\0\x09mfa_tokenvalue");
        assert_eq!(sealer.token_digest("mfa_token", b"value").as_bytes(), expected.as_ref());
        assert_ne!(sealer.token_digest("mfa_token", b"value"), sealer.token_digest("mfa_tokenv", b"alue"));
        assert_eq!(sealer.token_digest("a", b"b"), sealer_of("03").token_digest("a", b"b"));
    }

    #[test]
    fn seals_what_was_granted_to_it_and_nothing_more() {
        let sealer = sealer();
        for _ in 0..1000 {
            sealer.seal(PLACE, b"seed").unwrap();
        }
        let refused = |sealer: &AeadSealer| matches!(sealer.seal(PLACE, b"seed"), Err(PortError::Unavailable(..)));
        assert!(refused(&sealer) && refused(&sealer), "it does not begin anew");
        sealer.grant(sealer.derived_id(), 1, 1001);
        let blob = sealer.seal(PLACE, b"seed").unwrap();
        assert!(refused(&sealer));
        assert_eq!(sealer.open(PLACE, &blob).unwrap().expose(), b"seed", "opening takes none");
        let fresh =
            AeadSealer::new(&MasterKey::parse(&"01c2".repeat(16)).unwrap(), Arc::new(SystemEntropy::new())).unwrap();
        assert!(refused(&fresh));
    }

    #[test]
    fn of_64_threads_none_uses_the_seal_of_another() {
        let sealer = sealer();
        let done = |sealer: &AeadSealer| (0..100).filter(|_| sealer.seal(PLACE, b"seed").is_ok()).count();
        let total: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..64).map(|_| scope.spawn(|| done(&sealer))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(total, 1000);
    }

    #[test]
    fn as_many_seals_are_taken_again_as_there_were() {
        let sealer = sealer_of("04");
        let id = sealer.derived_id();
        assert_eq!(sealer.seals_wanted(id, 1000, 4000), None, "enough are left");
        let mut blocks = Vec::new();
        for _ in 0..20_000 {
            sealer.seal(PLACE, b"").unwrap();
            if let Some(block) = sealer.seals_wanted(id, 1000, 4000) {
                sealer.grant(id, block, 0);
                blocks.push(block);
            }
        }
        assert_eq!(blocks[..4], [1000, 2000, 4000, 4000]);
        assert!(blocks.iter().sum::<u64>() < 20_000 + 4000, "no more than are needed: {blocks:?}");
    }

    #[tokio::test]
    async fn a_block_that_is_half_used_is_told_once() {
        let sealer = sealer_of("05");
        let told = || async {
            tokio::select! { biased; () = sealer.runs_low() => true, () = std::future::ready(()) => false }
        };
        sealer.grant(sealer.derived_id(), 9, 9);
        let mut tellings = Vec::new();
        for used in 1.. {
            if sealer.seal(PLACE, b"").is_err() {
                break;
            }
            if told().await {
                tellings.push(used);
            }
        }
        assert_eq!(tellings, [1000 + 5], "five of the last nine are left, with the thousand there were before");
    }

    #[test]
    fn debug_shows_no_key() {
        assert_eq!(format!("{:?}", sealer()), "AeadSealer");
    }
}
