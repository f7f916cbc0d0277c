//! Signatures of people's devices.

use super::signer::{Algorithm, KeyMaterial};

/// The public key of a device. Nothing else of its key pair is ever here (NIST SP 800-63B-4, section 3.1.3.2).
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct DeviceKey {
    /// How it signs.
    pub algorithm: Algorithm,
    /// The key.
    pub material: KeyMaterial,
}

/// Checks what devices sign.
pub trait DeviceVerifier: Send + Sync {
    /// Whether `key` can be used: material of its algorithm, RSA of 2048 bits or more with an odd exponent, a point on P-256.
    fn accepts(&self, key: &DeviceKey) -> bool;

    /// The claims of a JWT that `key` signed: `None` unless it has three parts, exactly that key's `alg`, no `typ` but "JWT", no `crit`,
    /// at most 8 KiB, and a good signature. A `kid` is not looked at. The claims are the caller's to judge.
    fn verify(&self, key: &DeviceKey, token: &str) -> Option<Vec<u8>>;
}
