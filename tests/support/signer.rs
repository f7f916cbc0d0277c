//! A client that signs what it says, with an Ed25519 key of the tests.

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use data_encoding::{BASE64, BASE64URL_NOPAD};
use serde_json::{Value, json};

use crate::{
    tenant::{ISSUER, SIGNER},
    world::World,
};

/// The value of `client_assertion_type`.
pub const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

fn pair(seed: u8) -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).expect("any 32 bytes are a seed")
}

/// The client's public keys.
pub fn key_set() -> String {
    let x = BASE64URL_NOPAD.encode(pair(7).public_key().as_ref());
    json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "x": x, "use": "sig", "kid": "signer-1"}]}).to_string()
}

/// The key itself, as `openssl genpkey -algorithm ed25519` writes one (RFC 8410, section 7).
pub fn private_key_pem() -> String {
    let head = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
    let der = [&head[..], &[7; 32]].concat();
    format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", BASE64.encode(&der))
}

fn encoded(value: &Value) -> String {
    BASE64URL_NOPAD.encode(value.to_string().as_bytes())
}

/// A JWT of the client with this header and these claims.
pub fn signed(header: &Value, claims: &Value) -> String {
    signed_by(7, header, claims)
}

/// The same, by the key of another seed.
pub fn signed_by(seed: u8, header: &Value, claims: &Value) -> String {
    let input = format!("{}.{}", encoded(header), encoded(claims));
    let signature = BASE64URL_NOPAD.encode(pair(seed).sign(input.as_bytes()).as_ref());
    format!("{input}.{signature}")
}

/// The claims of a client's authentication that is good now.
pub fn claims(world: &World, jti: &str) -> Value {
    let now = world.now().as_secs();
    json!({"iss": SIGNER.id, "sub": SIGNER.id, "aud": ISSUER, "iat": now, "exp": now + 60, "jti": jti})
}

/// A client's authentication that is good now, once.
pub fn assertion(world: &World, jti: &str) -> String {
    signed(&json!({"alg": "EdDSA", "typ": "JWT"}), &claims(world, jti))
}

/// The claims of an asserted login of `subject` that is good now.
pub fn login_claims(world: &World, subject: &str, jti: &str) -> Value {
    let now = world.now().as_secs();
    json!({
        "iss": SIGNER.id, "sub": subject, "aud": ISSUER, "exp": now + 60, "jti": jti,
        "auth_time": now - 5, "amr": ["pwd"],
    })
}

/// An asserted login, signed.
pub fn login(claims: &Value) -> String {
    signed(&json!({"alg": "EdDSA", "typ": "asserted-login+jwt"}), claims)
}
