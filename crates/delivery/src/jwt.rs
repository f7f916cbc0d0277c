//! Signing the tokens that providers know us by: JWS in its compact form (RFC 7515, section 7.1).

use aws_lc_rs::{
    error::Unspecified,
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, RSA_PKCS1_SHA256, RsaKeyPair},
};
use countersign_domain::secret::Secret;
use data_encoding::BASE64URL_NOPAD;
use rustls_pki_types::{PrivatePkcs8KeyDer, pem::PemObject as _};
use serde_json::Value;

/// Why a private key cannot be used. What was read is not told.
#[derive(Clone, Copy, Debug, thiserror::Error)]
pub enum KeyError {
    /// It is no private key in PEM, PKCS #8.
    #[error("the private key is not PEM with PKCS #8 inside")]
    Form,
    /// It is not of the kind that the provider demands, or damaged.
    #[error("the private key is damaged or of the wrong kind")]
    Kind,
}

/// A private key.
pub(crate) enum JwtKey {
    Rs256(Box<RsaKeyPair>),
    Es256(Box<EcdsaKeyPair>),
}

impl JwtKey {
    /// An RSA key.
    pub(crate) fn rs256(pem: &str) -> Result<Self, KeyError> {
        let pair = RsaKeyPair::from_pkcs8(der(pem)?.secret_pkcs8_der()).map_err(|_| KeyError::Kind)?;
        Ok(Self::Rs256(Box::new(pair)))
    }

    /// A key on the curve P-256.
    pub(crate) fn es256(pem: &str) -> Result<Self, KeyError> {
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der(pem)?.secret_pkcs8_der());
        Ok(Self::Es256(Box::new(pair.map_err(|_| KeyError::Kind)?)))
    }

    /// The token over `claims`, under a header that names the key `id`.
    pub(crate) fn sign(&self, id: &str, claims: &Value) -> Result<Secret<String>, Unspecified> {
        let algorithm = match self {
            Self::Rs256(_) => "RS256",
            Self::Es256(_) => "ES256",
        };
        let header = serde_json::json!({ "alg": algorithm, "typ": "JWT", "kid": id });
        let mut token = BASE64URL_NOPAD.encode(header.to_string().as_bytes());
        token.push('.');
        BASE64URL_NOPAD.encode_append(claims.to_string().as_bytes(), &mut token);
        let signature = self.signature(token.as_bytes())?;
        token.push('.');
        BASE64URL_NOPAD.encode_append(&signature, &mut token);
        Ok(Secret::new(token))
    }

    fn signature(&self, message: &[u8]) -> Result<Vec<u8>, Unspecified> {
        let rng = SystemRandom::new();
        match self {
            Self::Rs256(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &rng, message, &mut signature)?;
                Ok(signature)
            }
            Self::Es256(pair) => Ok(pair.sign(&rng, message)?.as_ref().to_vec()),
        }
    }
}

fn der(pem: &str) -> Result<PrivatePkcs8KeyDer<'static>, KeyError> {
    PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes()).map_err(|_| KeyError::Form)
}
