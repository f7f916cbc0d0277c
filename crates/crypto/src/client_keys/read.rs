//! Reads keys: PEM, and JWK sets.

use aws_lc_rs::{
    encoding::{AsDer as _, PublicKeyX509Der},
    rsa::{PublicKey, PublicKeyComponents},
    signature::{ParsedPublicKey, VerificationAlgorithm},
};
use data_encoding::BASE64URL_NOPAD;
use rustls_pki_types::{SubjectPublicKeyInfoDer, pem::PemObject as _};
use serde_json::{Map, Value};

use super::{ClientKey, EC, OKP, RSA};
use crate::{device::is_strong_rsa, strict_json::is_object_without_duplicates};

/// Members of a JWK that only a private key has (RFC 7518, sections 6.2.2, 6.3.2 and 6.4).
const PRIVATE: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

/// Why a text has no key for us.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Neither PEM nor JSON.
    #[error("must be a public key in PEM (BEGIN PUBLIC KEY) or a JWK set")]
    Form,
    /// A private key was given.
    #[error("must be a public key: a private one stays with its owner")]
    Private,
    /// A key of a kind or size that is not taken.
    #[error("must be an RSA key of 2048 to 8192 bits, a key on P-256 or an Ed25519 key")]
    Kind,
    /// A JWK that is for something else.
    #[error("a key of the set is not for signatures, or for an algorithm its kind does not have")]
    Purpose,
}

/// All keys of one text.
pub(super) fn keys(text: &str) -> Result<Vec<ClientKey>, KeyError> {
    let text = text.trim();
    if text.starts_with('{') {
        return jwk_set(text);
    }
    if text.contains("PRIVATE KEY-----") {
        return Err(KeyError::Private);
    }
    let keys = SubjectPublicKeyInfoDer::pem_slice_iter(text.as_bytes())
        .map(|der| spki(der.map_err(|_not_pem| KeyError::Form)?.as_ref()))
        .collect::<Result<Vec<_>, _>>()?;
    if keys.is_empty() { Err(KeyError::Form) } else { Ok(keys) }
}

fn spki(der: &[u8]) -> Result<ClientKey, KeyError> {
    if let Ok(rsa) = PublicKey::from_der(der) {
        let PublicKeyComponents { n, e } = PublicKeyComponents::<Vec<u8>>::from(&rsa);
        return rsa_key(None, n, e);
    }
    [&EC[..], &OKP[..]].into_iter().find_map(|known| key(None, known, der).ok()).ok_or(KeyError::Kind)
}

fn jwk_set(text: &str) -> Result<Vec<ClientKey>, KeyError> {
    if !is_object_without_duplicates(text.as_bytes()) {
        return Err(KeyError::Form);
    }
    let set: Value = serde_json::from_str(text).map_err(|_not_json| KeyError::Form)?;
    let keys = set.get("keys").and_then(Value::as_array).filter(|keys| !keys.is_empty()).ok_or(KeyError::Form)?;
    keys.iter().map(|key| jwk(key.as_object().ok_or(KeyError::Form)?)).collect()
}

fn jwk(jwk: &Map<String, Value>) -> Result<ClientKey, KeyError> {
    let text = |name: &str| jwk.get(name).and_then(Value::as_str);
    if PRIVATE.iter().any(|member| jwk.contains_key(*member)) {
        return Err(KeyError::Private);
    }
    if text("use").is_some_and(|purpose| purpose != "sig") {
        return Err(KeyError::Purpose);
    }
    let bytes = |name| {
        let bytes = text(name).and_then(|text| BASE64URL_NOPAD.decode(text.as_bytes()).ok());
        bytes.filter(|bytes| !bytes.is_empty()).ok_or(KeyError::Kind)
    };
    let id = text("kid").map(str::to_owned);
    let mut found = match (text("kty"), text("crv")) {
        (Some("RSA"), _) => rsa_key(id, bytes("n")?, bytes("e")?),
        (Some("EC"), Some("P-256")) => {
            let (x, y) = (bytes("x")?, bytes("y")?);
            if x.len() != 32 || y.len() != 32 {
                return Err(KeyError::Kind);
            }
            key(id, &EC, &[&[4][..], &x, &y].concat())
        }
        (Some("OKP"), Some("Ed25519")) => key(id, &OKP, &bytes("x")?),
        _ => Err(KeyError::Kind),
    }?;
    if let Some(alg) = text("alg") {
        found.algorithms.retain(|(known, _)| *known == alg);
        if found.algorithms.is_empty() {
            return Err(KeyError::Purpose);
        }
    }
    Ok(found)
}

fn rsa_key(id: Option<String>, modulus: Vec<u8>, exponent: Vec<u8>) -> Result<ClientKey, KeyError> {
    let bare = |bytes: Vec<u8>| bytes.into_iter().skip_while(|byte| *byte == 0).collect::<Vec<_>>();
    let (n, e) = (bare(modulus), bare(exponent));
    if !is_strong_rsa(&n, &e) {
        return Err(KeyError::Kind);
    }
    let der: PublicKeyX509Der<'_> = PublicKeyComponents { n, e }.as_der().map_err(|_no_key| KeyError::Kind)?;
    key(id, &RSA, der.as_ref())
}

fn key(
    id: Option<String>,
    algorithms: &[(&'static str, &'static dyn VerificationAlgorithm)],
    bytes: &[u8],
) -> Result<ClientKey, KeyError> {
    let parsed = |(name, algorithm): &(&'static str, &'static dyn VerificationAlgorithm)| {
        ParsedPublicKey::new(*algorithm, bytes).map(|key| (*name, key)).map_err(|_rejected| KeyError::Kind)
    };
    Ok(ClientKey { id, algorithms: algorithms.iter().map(parsed).collect::<Result<_, _>>()? })
}
