//! Signed tokens.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::PortError;
use crate::{id::KeyId, secret::Secret};

/// JWS algorithms that tokens are signed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Algorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256: what every SDK verifies.
    #[serde(rename = "RS256")]
    Rs256,
    /// ECDSA with P-256 and SHA-256.
    #[serde(rename = "ES256")]
    Es256,
    /// Edwards-curve signatures with Ed25519, under the name RFC 9864 gave them.
    #[serde(rename = "Ed25519")]
    Ed25519,
    /// The same, under the name of RFC 8037, which is all that libraries before 2025 know.
    #[serde(rename = "EdDSA")]
    EdDsa,
}

impl Algorithm {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Rs256, Self::Es256, Self::Ed25519, Self::EdDsa];

    /// The `alg` value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Es256 => "ES256",
            Self::Ed25519 => "Ed25519",
            Self::EdDsa => "EdDSA",
        }
    }

    /// The algorithm of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.as_str() == name)
    }
}

/// What kind of JWT one says it is: its `typ` (RFC 8725, section 3.11).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TokenType {
    /// An ID token, or an access token as Auth0 has them.
    Jwt,
    /// An access token of RFC 9068.
    AccessToken,
}

impl TokenType {
    /// The `typ` value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Jwt => "JWT",
            Self::AccessToken => "at+jwt",
        }
    }

    /// The type of this name, byte for byte: only we make what we verify.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Jwt, Self::AccessToken].into_iter().find(|token_type| token_type.as_str() == name)
    }
}

/// A JWT whose signature is ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// What it says it is.
    pub token_type: TokenType,
    /// Its claims, a JSON object.
    pub claims: Vec<u8>,
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
    /// Of an RSA key: a certificate that it signed itself, DER, for who reads keys from `x5c` alone (RFC 7517, section 4.7).
    pub certificate: Option<Vec<u8>>,
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
    /// RFC 8037, section 2; the curve is Ed25519.
    Okp {
        /// `x`
        x: String,
    },
}

/// A JWT before it is signed.
#[derive(Clone, Debug)]
pub struct Unsigned {
    /// What to sign it with.
    pub algorithm: Algorithm,
    /// What it says it is.
    pub token_type: TokenType,
    /// A JSON object.
    pub claims: Vec<u8>,
}

/// Signs JWTs, and verifies our own.
#[async_trait]
pub trait Signer: Send + Sync {
    /// Signs all that one answer holds, each with the current key of its algorithm; header `{"alg", "typ", "kid"}`. The JWTs come in the
    /// same order.
    ///
    /// Signing that takes long (RSA) happens off the async threads, and all of `tokens` on the same one.
    ///
    /// # Errors
    ///
    /// [`PortError::Unavailable`] if there is no current key; [`PortError::Overloaded`] if too much waits.
    async fn sign_all(&self, tokens: Vec<Unsigned>) -> Result<Vec<Secret<String>>, PortError>;

    /// Signs one.
    ///
    /// # Errors
    ///
    /// As [`sign_all`](Self::sign_all).
    async fn sign(&self, token: Unsigned) -> Result<Secret<String>, PortError> {
        let signed = self.sign_all(vec![token]).await?.pop();
        signed.ok_or_else(|| PortError::Unavailable("signing key", "it signed nothing".into()))
    }

    /// The claims of a JWT we signed: `None` unless it has three parts, a `kid` we know that is not retired, exactly that key's
    /// `alg`, a `typ` of ours, no `crit`, at most 8 KiB, and a good signature. Times and audience are the caller's to judge.
    fn verify(&self, token: &str) -> Option<Verified>;

    /// The public keys that are published: the current one of each algorithm first, then the next ones, then the previous ones.
    fn public_keys(&self) -> Vec<PublicKey>;
}
