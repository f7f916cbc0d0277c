//! The compact form of a signed JWT (RFC 7515, section 7.1): writing it, and taking it apart with suspicion.

use countersign_domain::{
    id::KeyId,
    port::signer::{Algorithm, TokenType},
};
use data_encoding::BASE64URL_NOPAD;
use serde_json::{Map, Value, json};

use crate::strict_json::is_object_without_duplicates;

/// No token of ours is longer.
const MAX_BYTES: usize = 8 * 1024;

/// The first part of every token of a type that is signed with a key, and the dot after it.
pub(crate) fn header(algorithm: Algorithm, token_type: TokenType, id: &KeyId) -> String {
    let header = json!({ "alg": algorithm.as_str(), "typ": token_type.as_str(), "kid": id.as_str() });
    let mut text = BASE64URL_NOPAD.encode(header.to_string().as_bytes());
    text.push('.');
    text
}

/// `header` and `claims`, which is what is signed.
pub(crate) fn signing_input(header: &str, claims: &[u8]) -> String {
    let mut input = String::with_capacity(header.len() + claims.len().div_ceil(3) * 4 + 512);
    input.push_str(header);
    BASE64URL_NOPAD.encode_append(claims, &mut input);
    input
}

/// The finished token.
pub(crate) fn attach(mut input: String, signature: &[u8]) -> String {
    input.push('.');
    BASE64URL_NOPAD.encode_append(signature, &mut input);
    input
}

/// A JWT in its three parts. Nothing in it is to be believed before the signature is checked.
pub(crate) struct Parts<'a> {
    /// The header.
    pub(crate) header: Map<String, Value>,
    /// What the signature is over.
    pub(crate) signing_input: &'a str,
    /// The signature.
    pub(crate) signature: Vec<u8>,
    claims: &'a str,
}

impl<'a> Parts<'a> {
    /// Takes `token` apart; `None` if it has not this form.
    pub(crate) fn split(token: &'a str) -> Option<Self> {
        if token.len() > MAX_BYTES {
            return None;
        }
        let (signing_input, signature) = token.rsplit_once('.')?;
        let (header, claims) = signing_input.split_once('.')?;
        if claims.contains('.') {
            return None;
        }
        let header = decode(header)?;
        if !is_object_without_duplicates(&header) {
            return None;
        }
        let header = serde_json::from_slice(&header).ok()?;
        Some(Self { header, signing_input, signature: decode(signature)?, claims })
    }

    /// The claims, to be asked for once the signature is known to be good.
    pub(crate) fn claims(&self) -> Option<Vec<u8>> {
        let claims = decode(self.claims)?;
        is_object_without_duplicates(&claims).then_some(claims)
    }
}

/// A token that says it is ours.
pub(crate) struct Unverified<'a> {
    /// The `kid` it names.
    pub(crate) key_id: String,
    /// The `alg` it claims.
    pub(crate) algorithm: String,
    /// The `typ` it claims.
    pub(crate) token_type: TokenType,
    /// The rest of it.
    pub(crate) parts: Parts<'a>,
}

impl<'a> Unverified<'a> {
    /// Takes `token` apart; `None` if its form alone shows that it is not ours.
    pub(crate) fn parse(token: &'a str) -> Option<Self> {
        let mut parts = Parts::split(token)?;
        let header = &mut parts.header;
        // We understand no extension, so a critical one is a reason to refuse (RFC 7515, section 4.1.11). `jku`, `jwk`,
        // `x5u` and `x5c` are not looked at: keys come from the ring alone.
        if header.contains_key("crit") {
            return None;
        }
        let token_type = TokenType::from_name(header.get("typ")?.as_str()?)?;
        let (Value::String(key_id), Value::String(algorithm)) = (header.remove("kid")?, header.remove("alg")?) else {
            return None;
        };
        Some(Self { key_id, algorithm, token_type, parts })
    }
}

/// Base64url without padding, in the only spelling of its bytes.
fn decode(part: &str) -> Option<Vec<u8>> {
    BASE64URL_NOPAD.decode(part.as_bytes()).ok()
}
