//! The key of a registration: ECDSA on P-256.

use anyhow::Context as _;
use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use countersign_domain::secret::Secret;
use data_encoding::{BASE64, BASE64URL_NOPAD};
use serde_json::{Value, json};
use zeroize::Zeroizing;

/// A key pair that signs answers.
pub struct DeviceKey(EcdsaKeyPair);

impl DeviceKey {
    /// Makes a key, PKCS #8 in base64.
    ///
    /// # Errors
    ///
    /// There is no randomness.
    pub fn generate() -> anyhow::Result<Secret<String>> {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING);
        let pkcs8 = pair.and_then(|pair| pair.to_pkcs8v1()).context("cannot make a key")?;
        Ok(Secret::new(BASE64.encode(pkcs8.as_ref())))
    }

    /// Reads what [`DeviceKey::generate`] made.
    ///
    /// # Errors
    ///
    /// It is something else.
    pub fn parse(kept: &Secret<String>) -> anyhow::Result<Self> {
        let pkcs8 = BASE64.decode(kept.expose().as_bytes()).map(Zeroizing::new);
        let pkcs8 = pkcs8.map_err(|_| anyhow::anyhow!("the kept key is not base64"))?;
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &pkcs8);
        Ok(Self(pair.context("the kept key cannot be read")?))
    }

    /// Its public half as a JWK (RFC 7517; RFC 7518, section 6.2).
    ///
    /// # Errors
    ///
    /// The point is not in the uncompressed form `04 | x | y`.
    pub fn jwk(&self) -> anyhow::Result<Value> {
        let point = self.0.public_key().as_ref().strip_prefix(&[4]).filter(|point| point.len() == 64);
        let (x, y) = point.context("the public key has an unknown form")?.split_at(32);
        let (x, y) = (BASE64URL_NOPAD.encode(x), BASE64URL_NOPAD.encode(y));
        Ok(json!({ "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "x": x, "y": y }))
    }

    /// The token over `claims` (RFC 7515, section 7.1). Its header names no key: the server knows which it gave the login to.
    ///
    /// # Errors
    ///
    /// There is no randomness.
    pub fn sign(&self, claims: &Value) -> anyhow::Result<Secret<String>> {
        let header = json!({ "alg": "ES256", "typ": "JWT" });
        let mut token = BASE64URL_NOPAD.encode(header.to_string().as_bytes());
        token.push('.');
        BASE64URL_NOPAD.encode_append(Zeroizing::new(claims.to_string()).as_bytes(), &mut token);
        let signature = self.0.sign(&SystemRandom::new(), token.as_bytes()).context("cannot sign")?;
        token.push('.');
        BASE64URL_NOPAD.encode_append(signature.as_ref(), &mut token);
        Ok(Secret::new(token))
    }
}
