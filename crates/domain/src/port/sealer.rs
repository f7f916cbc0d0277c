//! Encryption at rest, and keyed digests.

use super::PortError;
use crate::secret::{Digest, Sealed, Secret};

/// The kinds of records that sealed values belong to, so that each has a name of its own.
pub mod record {
    /// Seeds, numbers, addresses and keys of devices.
    pub const AUTHENTICATOR: &str = "authenticator";
    /// Signing keys.
    pub const SIGNING_KEY: &str = "signing_key";
    /// Messages that wait to be sent.
    pub const MESSAGE: &str = "message";
    /// Logins under way.
    pub const MFA_TRANSACTION: &str = "mfa_transaction";
    /// Codes that were sent.
    pub const CHALLENGE: &str = "challenge";
    /// Devices that are asked.
    pub const APPROVAL: &str = "approval";
    /// Data keys.
    pub const DATA_KEY: &str = "data_key";
}

/// Where a sealed value belongs. It is bound in, so that a value moved to another row does not open.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The kind of record: one of [`record`].
    pub record: &'static str,
    /// The record's key.
    pub id: &'a str,
    /// Whose it is; empty where it is nobody's.
    pub owner: &'a str,
}

/// What a keyed digest is for. Each purpose has a key of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DigestPurpose {
    /// Recovery codes: HMAC-SHA-256 over owner and code.
    RecoveryCode,
    /// Keys of throttle buckets: they hide who a bucket belongs to.
    Throttle,
    /// Codes that were sent: HMAC-SHA-256 over the challenge and the code.
    BindingCode,
    /// Numbers, addresses and keys of devices, to find them by: they hide what they stand for.
    Address,
    /// Refresh tokens: HMAC-SHA-256 over family, generation and the family's salt.
    RefreshToken,
    /// Tokens of remembered devices, as refresh tokens.
    RememberedDevice,
    /// Links and seals of the audit trail.
    AuditTrail,
    /// Page tokens and other things that only we must be able to make.
    Integrity,
}

/// Seals what must be read again, and digests what must only be compared.
pub trait Sealer: Send + Sync {
    /// Encrypts `plaintext` for `place`.
    ///
    /// # Errors
    ///
    /// [`PortError::Unavailable`] if no key can be used.
    fn seal(&self, place: Place<'_>, plaintext: &[u8]) -> Result<Sealed, PortError>;

    /// Decrypts what was sealed for `place`.
    ///
    /// # Errors
    ///
    /// [`PortError::Corrupt`] if it was changed, moved, or sealed with a key that is gone.
    fn open(&self, place: Place<'_>, sealed: &Sealed) -> Result<Secret<Vec<u8>>, PortError>;

    /// Whether `sealed` names a key that is not there, or no longer: what is short-lived begins again then, and is not damaged.
    fn has_forgotten(&self, _sealed: &Sealed) -> bool {
        false
    }

    /// HMAC-SHA-256 over `parts`, each preceded by its length, with the key of `purpose`.
    fn keyed_digest(&self, purpose: DigestPurpose, parts: &[&[u8]]) -> Digest;

    /// SHA-256 over `domain` and `value`, for opaque tokens of at least 160 random bits, which need no key.
    fn token_digest(&self, domain: &'static str, value: &[u8]) -> Digest;
}
