//! Encryption at rest by AES-256-GCM, and digests by HMAC-SHA-256 and SHA-256.

use std::{fmt, sync::Arc};

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    digest, hmac,
};
use countersign_domain::{
    port::{
        PortError,
        entropy::Entropy,
        sealer::{DigestPurpose, Place, Sealer},
    },
    secret::{Digest, Sealed, Secret},
};

use crate::master_key::MasterKey;

/// Of the form of a blob. It changes whenever the bytes below mean something else.
const VERSION: u8 = 1;
/// AES-256-GCM with a random nonce of 96 bits.
const ALGORITHM: u8 = 1;
const HEADER_BYTES: usize = 10;
const TAG_BYTES: usize = 16;

/// Seals with a data key derived from the master key.
///
/// A blob is `version (1) | algorithm (1) | key id (8) | nonce (12) | ciphertext | tag (16)`. Bound in are the first ten bytes
/// and the [`Place`]. Nonces are random, so one data key is good for 2^32 seals (NIST SP 800-38D, section 8.3).
pub struct AeadSealer {
    data_key: DataKey,
    recovery_code: hmac::Key,
    throttle: hmac::Key,
    binding_code: hmac::Key,
    address: hmac::Key,
    refresh_token: hmac::Key,
    remembered_device: hmac::Key,
    audit_trail: hmac::Key,
    integrity: hmac::Key,
    entropy: Arc<dyn Entropy>,
}

/// The key that encrypts. Its id stands in each blob, so that a second one can take over.
struct DataKey {
    header: [u8; HEADER_BYTES],
    key: LessSafeKey,
}

impl DataKey {
    fn derive(master: &MasterKey) -> Result<Self, PortError> {
        let key = UnboundKey::new(&AES_256_GCM, &*master.derive("countersign data key v1")?)
            .map_err(|error| PortError::Unavailable("data key", Box::new(error)))?;
        let mut header = [0; HEADER_BYTES];
        let id = master.derive_id("countersign data key id v1")?;
        for (byte, value) in header.iter_mut().zip([VERSION, ALGORITHM].into_iter().chain(id)) {
            *byte = value;
        }
        Ok(Self { header, key: LessSafeKey::new(key) })
    }
}

impl AeadSealer {
    /// Derives the keys. Nonces come from `entropy`.
    ///
    /// # Errors
    ///
    /// [`PortError::Unavailable`] if the cryptographic library refuses.
    pub fn new(master: &MasterKey, entropy: Arc<dyn Entropy>) -> Result<Self, PortError> {
        Ok(Self {
            data_key: DataKey::derive(master)?,
            recovery_code: master.derive_hmac("countersign recovery code digest v1")?,
            throttle: master.derive_hmac("countersign throttle digest v1")?,
            binding_code: master.derive_hmac("countersign binding code digest v1")?,
            address: master.derive_hmac("countersign address digest v1")?,
            refresh_token: master.derive_hmac("countersign refresh token v1")?,
            remembered_device: master.derive_hmac("countersign remembered device v1")?,
            audit_trail: master.derive_hmac("countersign audit trail v1")?,
            integrity: master.derive_hmac("countersign integrity digest v1")?,
            entropy,
        })
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

impl Sealer for AeadSealer {
    fn seal(&self, place: Place<'_>, plaintext: &[u8]) -> Result<Sealed, PortError> {
        let mut nonce = [0; NONCE_LEN];
        self.entropy.fill(&mut nonce)?;
        // Room for the tag from the start: growing would leave a copy of the plaintext behind.
        let mut body = Vec::with_capacity(plaintext.len() + TAG_BYTES);
        body.extend_from_slice(plaintext);
        self.data_key
            .key
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                bound(self.data_key.header, place),
                &mut body,
            )
            .map_err(|error| PortError::Unavailable("data key", Box::new(error)))?;
        Ok(Sealed::new([&self.data_key.header[..], &nonce, &body].concat()))
    }

    fn open(&self, place: Place<'_>, sealed: &Sealed) -> Result<Secret<Vec<u8>>, PortError> {
        let (header, rest) =
            sealed.as_bytes().split_first_chunk::<HEADER_BYTES>().ok_or_else(|| corrupt("too short"))?;
        let (nonce, body) = rest.split_first_chunk::<NONCE_LEN>().ok_or_else(|| corrupt("too short"))?;
        if header != &self.data_key.header {
            return Err(corrupt("of an unknown version, algorithm or key"));
        }
        let mut body = body.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let length = self
            .data_key
            .key
            .open_in_place(nonce, bound(*header, place), &mut body)
            .map_err(|_| corrupt("changed or moved"))?
            .len();
        body.truncate(length);
        Ok(Secret::new(body))
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

fn corrupt(why: &str) -> PortError {
    PortError::Corrupt(format!("the sealed value is {why}").into())
}

/// Eight bytes, so that no length needs a shorter form.
fn length_of(part: &[u8]) -> [u8; 8] {
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

fn to_digest(bytes: &[u8]) -> Digest {
    let mut digest = [0; 32];
    for (byte, computed) in digest.iter_mut().zip(bytes) {
        *byte = *computed;
    }
    Digest::new(digest)
}

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
        AeadSealer::new(&master, Arc::new(SystemEntropy::new())).unwrap()
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
    fn debug_shows_no_key() {
        assert_eq!(format!("{:?}", sealer()), "AeadSealer");
    }
}
