//! The public keys of clients, and what they sign.

mod read;

use std::fmt;

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384,
    RSA_PSS_2048_8192_SHA256, VerificationAlgorithm,
};
use countersign_domain::port::assertion_keys::AssertionKeys;
use serde_json::{Map, Value};

pub use self::read::KeyError;
use crate::jws;

/// The longest `alg` that is looked at.
const MAX_ALG: usize = 16;

/// How a client may sign: `alg`, and what verifies it. RFC 9864 calls `EdDSA` by the name of its curve.
const RSA: [(&str, &dyn VerificationAlgorithm); 3] = [
    ("RS256", &RSA_PKCS1_2048_8192_SHA256),
    ("RS384", &RSA_PKCS1_2048_8192_SHA384),
    ("PS256", &RSA_PSS_2048_8192_SHA256),
];
const EC: [(&str, &dyn VerificationAlgorithm); 1] = [("ES256", &ECDSA_P256_SHA256_FIXED)];
const OKP: [(&str, &dyn VerificationAlgorithm); 2] = [("EdDSA", &ED25519), ("Ed25519", &ED25519)];

/// The keys of one client.
pub struct ClientKeys(Vec<ClientKey>);

/// One key, ready to verify.
struct ClientKey {
    /// `kid`, if it was given one.
    id: Option<String>,
    /// The key for each `alg` that it is good for.
    algorithms: Vec<(&'static str, ParsedPublicKey)>,
}

impl ClientKeys {
    /// Reads keys, each text a public key in PEM or a JWK set (RFC 7517, section 5) with public keys alone.
    ///
    /// # Errors
    ///
    /// A text is neither, or one of its keys cannot be used: see [`KeyError`].
    pub fn parse<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Self, KeyError> {
        let mut keys = Vec::new();
        for text in texts {
            keys.extend(read::keys(text)?);
        }
        Ok(Self(keys))
    }
}

impl fmt::Debug for ClientKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClientKeys({})", self.0.len())
    }
}

impl AssertionKeys for ClientKeys {
    fn verify(&self, token: &str, types: &[&str]) -> Option<Vec<u8>> {
        let parts = jws::Parts::split(token)?;
        if !has_type(&parts.header, types) || parts.header.contains_key("crit") {
            return None;
        }
        let alg = parts.header.get("alg")?.as_str().filter(|alg| alg.len() <= MAX_ALG)?;
        let named = parts.header.get("kid").and_then(Value::as_str);
        let named = named.filter(|kid| self.0.iter().any(|key| key.id.as_deref() == Some(*kid)));
        let good = self
            .0
            .iter()
            .filter(|key| named.is_none_or(|kid| key.id.as_deref() == Some(kid)))
            .flat_map(|key| &key.algorithms)
            .filter(|(known, _)| *known == alg)
            .any(|(_, key)| key.verify_sig(parts.signing_input.as_bytes(), &parts.signature).is_ok());
        if good { parts.claims() } else { None }
    }
}

fn has_type(header: &Map<String, Value>, types: &[&str]) -> bool {
    let typ = match header.get("typ") {
        None => "",
        Some(typ) => typ.as_str().unwrap_or("?"),
    };
    types.iter().any(|known| known.eq_ignore_ascii_case(typ))
}

#[cfg(test)]
mod tests;
