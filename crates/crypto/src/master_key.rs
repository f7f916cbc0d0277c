//! The root of all keys, and what is derived from it.

use std::fmt;

use aws_lc_rs::{digest, hkdf, hmac};
use countersign_domain::port::PortError;
use data_encoding::{BASE64, BASE64_NOPAD, BASE64URL, BASE64URL_NOPAD, HEXLOWER_PERMISSIVE};
use zeroize::Zeroizing;

const KEY_BYTES: usize = 32;

/// Separates our derivations from those of anyone else who is given the same key.
const SALT: &[u8] = b"countersign key derivation v1";

/// The key-encryption key the operator gives us, 256 bits. It encrypts nothing itself; keys are derived from it by
/// HKDF-SHA-256 (RFC 5869), each under a label of its own.
///
/// Data keys are stored, sealed with one of them, and change while the service runs; a new master key means that what the old one
/// sealed is lost.
#[derive(Clone)]
pub struct MasterKey(Zeroizing<[u8; KEY_BYTES]>);

/// Why a text is no master key. It never says what the text was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MasterKeyError {
    /// It is not 32 bytes in hexadecimal, base64 or base64url.
    #[error("a master key is exactly 32 bytes in base64, base64url or hexadecimal")]
    Form,
    /// All bytes are the same: a placeholder, not a key.
    #[error("a master key must be random; this one repeats a single byte")]
    Constant,
}

impl MasterKey {
    /// Reads 32 bytes in hexadecimal, or in base64 or base64url with or without padding. Space around them is ignored.
    ///
    /// # Errors
    ///
    /// [`MasterKeyError`] if it is anything else, or obviously not random.
    pub fn parse(text: &str) -> Result<Self, MasterKeyError> {
        let text = text.trim().as_bytes();
        let encoding = match text.len() {
            64 => HEXLOWER_PERMISSIVE,
            44 if text.iter().any(|byte| matches!(byte, b'-' | b'_')) => BASE64URL,
            44 => BASE64,
            43 if text.iter().any(|byte| matches!(byte, b'-' | b'_')) => BASE64URL_NOPAD,
            43 => BASE64_NOPAD,
            _ => return Err(MasterKeyError::Form),
        };
        let bytes = Zeroizing::new(encoding.decode(text).map_err(|_| MasterKeyError::Form)?);
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        if bytes.len() != KEY_BYTES {
            return Err(MasterKeyError::Form);
        }
        key.copy_from_slice(&bytes);
        Self::from_bytes(key)
    }

    /// Takes 32 random bytes.
    ///
    /// # Errors
    ///
    /// [`MasterKeyError::Constant`] if they are obviously not random.
    pub fn from_bytes(bytes: Zeroizing<[u8; KEY_BYTES]>) -> Result<Self, MasterKeyError> {
        let [first, rest @ ..] = &*bytes;
        if rest.iter().all(|byte| byte == first) {
            return Err(MasterKeyError::Constant);
        }
        Ok(Self(bytes))
    }

    /// The key under `label`, which no other caller may use.
    pub(crate) fn derive(&self, label: &'static str) -> Result<Zeroizing<[u8; KEY_BYTES]>, PortError> {
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        hkdf::Salt::new(hkdf::HKDF_SHA256, SALT)
            .extract(&*self.0)
            .expand(&[label.as_bytes()], hkdf::HKDF_SHA256)
            .and_then(|output| output.fill(&mut *key))
            .map_err(|error| PortError::Unavailable("key derivation", Box::new(error)))?;
        Ok(key)
    }

    /// An HMAC-SHA-256 key under `label`.
    pub(crate) fn derive_hmac(&self, label: &'static str) -> Result<hmac::Key, PortError> {
        Ok(hmac::Key::new(hmac::HMAC_SHA256, &*self.derive(label)?))
    }

    /// A public name for a derived key: it tells keys apart and nothing about them.
    pub(crate) fn derive_id(&self, label: &'static str) -> Result<[u8; 8], PortError> {
        let hash = digest::digest(&digest::SHA256, &*self.derive(label)?);
        let mut id = [0; 8];
        for (byte, hashed) in id.iter_mut().zip(hash.as_ref()) {
            *byte = *hashed;
        }
        Ok(id)
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use data_encoding::HEXLOWER;

    use super::*;

    fn bytes() -> [u8; 32] {
        // Chosen so that base64 has both characters in which it differs from base64url.
        std::array::from_fn(|at| 0xff - u8::try_from(at).unwrap() / 2)
    }

    #[test]
    fn reads_every_encoding_of_the_same_key() {
        let expected = MasterKey::from_bytes(Zeroizing::new(bytes())).unwrap().derive("a").unwrap();
        for encoding in [BASE64, BASE64_NOPAD, BASE64URL, BASE64URL_NOPAD, HEXLOWER] {
            let text = encoding.encode(&bytes());
            assert_eq!(MasterKey::parse(&format!(" {text}\n")).unwrap().derive("a").unwrap(), expected);
        }
        let upper = HEXLOWER.encode(&bytes()).to_uppercase();
        assert_eq!(MasterKey::parse(&upper).unwrap().derive("a").unwrap(), expected);
    }

    #[test]
    fn refuses_anything_else_without_repeating_it() {
        let secret = "correct horse battery staple";
        for text in ["", secret, &"g".repeat(64), &"!".repeat(43), &BASE64.encode(&[7; 31]), &BASE64.encode(&[7; 33])] {
            let error = MasterKey::parse(text).unwrap_err();
            assert_eq!(error, MasterKeyError::Form, "{text}");
        }
        assert!(!MasterKey::parse(secret).unwrap_err().to_string().contains(secret));
        assert_eq!(MasterKey::parse(&"0".repeat(64)).unwrap_err(), MasterKeyError::Constant);
    }

    #[test]
    fn labels_and_master_keys_separate_derived_keys() {
        let one = MasterKey::from_bytes(Zeroizing::new(bytes())).unwrap();
        let mut other = bytes();
        other[0] ^= 1;
        let two = MasterKey::from_bytes(Zeroizing::new(other)).unwrap();
        assert_ne!(one.derive("a").unwrap(), one.derive("b").unwrap());
        assert_ne!(one.derive("a").unwrap(), two.derive("a").unwrap());
        assert_eq!(one.derive_id("a").unwrap(), one.derive_id("a").unwrap());
        assert_ne!(one.derive_id("a").unwrap(), one.derive_id("b").unwrap());
    }

    #[test]
    fn derives_as_rfc_5869_says() {
        // HKDF by hand, RFC 5869, section 2: PRK = HMAC(salt, key), OKM = HMAC(PRK, info | 0x01).
        let prk = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, SALT), &bytes());
        let okm = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, prk.as_ref()), b"label\x01");
        let key = MasterKey::from_bytes(Zeroizing::new(bytes())).unwrap().derive("label").unwrap();
        assert_eq!(key.as_slice(), okm.as_ref());
    }

    #[test]
    fn debug_shows_no_key() {
        assert_eq!(format!("{:?}", MasterKey::from_bytes(Zeroizing::new(bytes())).unwrap()), "MasterKey");
    }
}
