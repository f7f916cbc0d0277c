//! Verifies tokens as a stranger would: with the published keys alone.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey,
};
use data_encoding::BASE64URL_NOPAD;
use serde_json::Value;

/// The header and the claims of a token whose signature one of `jwks` verifies.
#[track_caller]
pub fn verified(token: &str, jwks: &Value) -> (Value, Value) {
    let (signed, signature) = token.rsplit_once('.').expect("a JWT has three parts");
    let (header, claims) = signed.split_once('.').expect("a JWT has three parts");
    let (header, claims) = (json(header), json(claims));
    let keys = jwks["keys"].as_array().expect("a key set has keys");
    let key = keys.iter().find(|key| key["kid"] == header["kid"]).expect("the key is published");
    assert_eq!(key["use"], "sig");
    assert_eq!(key["alg"], header["alg"]);
    let signature = bytes(signature);
    match header["alg"].as_str() {
        Some("RS256") => RsaPublicKeyComponents { n: member(key, "n"), e: member(key, "e") }.verify(
            &RSA_PKCS1_2048_8192_SHA256,
            signed.as_bytes(),
            &signature,
        ),
        Some("ES256") => {
            let point = [vec![4], member(key, "x"), member(key, "y")].concat();
            UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(signed.as_bytes(), &signature)
        }
        Some("Ed25519" | "EdDSA") => {
            assert_eq!((&key["kty"], &key["crv"]), (&Value::from("OKP"), &Value::from("Ed25519")));
            UnparsedPublicKey::new(&ED25519, member(key, "x")).verify(signed.as_bytes(), &signature)
        }
        other => panic!("unknown algorithm {other:?}"),
    }
    .expect("the signature verifies");
    (header, claims)
}

/// The claims of a token, unverified.
pub fn claims(token: &str) -> Value {
    json(token.split('.').nth(1).expect("a JWT has three parts"))
}

/// A token with these claims and the header and signature of `token`.
pub fn forged(token: &str, claims: &Value) -> String {
    let parts: Vec<&str> = token.split('.').collect();
    format!("{}.{}.{}", parts[0], BASE64URL_NOPAD.encode(claims.to_string().as_bytes()), parts[2])
}

/// A token with these claims and no signature, `alg` `none`.
pub fn unsigned(claims: &Value) -> String {
    let part = |text: &str| BASE64URL_NOPAD.encode(text.as_bytes());
    format!("{}.{}.", part(r#"{"alg":"none","typ":"JWT"}"#), part(&claims.to_string()))
}

fn json(part: &str) -> Value {
    serde_json::from_slice(&bytes(part)).expect("a part is JSON")
}

fn bytes(part: &str) -> Vec<u8> {
    BASE64URL_NOPAD.decode(part.as_bytes()).expect("a part is base64url")
}

fn member(key: &Value, name: &str) -> Vec<u8> {
    bytes(key[name].as_str().expect("the member is there"))
}
