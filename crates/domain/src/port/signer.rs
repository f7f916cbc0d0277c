//! Signed tokens.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::PortError;
use crate::{id::KeyId, secret::Secret};

/// JWS algorithms of RFC 7518, section 3.1, that tokens are signed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Algorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256: what every SDK verifies.
    #[serde(rename = "RS256")]
    Rs256,
    /// ECDSA with P-256 and SHA-256.
    #[serde(rename = "ES256")]
    Es256,
}

impl Algorithm {
    /// The `alg` value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Es256 => "ES256",
        }
    }
}

/// A public key, in the members of a JWK (RFC 7517), base64url without padding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    /// `kid`.
    pub id: KeyId,
    /// `alg`.
    pub algorithm: Algorithm,
    /// The key.
    pub material: KeyMaterial,
}

/// The numbers of a public key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyMaterial {
    /// RFC 7518, section 6.3.
    Rsa {
        /// `n`
        modulus: String,
        /// `e`
        exponent: String,
    },
    /// RFC 7518, section 6.2; the curve is P-256.
    Ec {
        /// `x`
        x: String,
        /// `y`
        y: String,
    },
}

/// Signs JWTs, and verifies our own.
#[async_trait]
pub trait Signer: Send + Sync {
    /// Signs `claims`, a JSON object, with the current key of `algorithm`; header `{"alg", "typ": "JWT", "kid"}`.
    ///
    /// Signing that takes long (RSA) happens off the async threads.
    ///
    /// # Errors
    ///
    /// [`PortError::Unavailable`] if there is no current key; [`PortError::Overloaded`] if too much waits.
    async fn sign(&self, algorithm: Algorithm, claims: Vec<u8>) -> Result<Secret<String>, PortError>;

    /// The claims of a JWT we signed: `None` unless it has three parts, a `kid` we know, exactly that key's `alg`, `typ` "JWT",
    /// no `crit`, at most 8 KiB, and a good signature. Times and audience are the caller's to judge.
    fn verify(&self, token: &str) -> Option<Vec<u8>>;

    /// The public keys, the current one of each algorithm first.
    fn public_keys(&self) -> Vec<PublicKey>;
}
