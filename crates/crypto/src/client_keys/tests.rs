#![allow(clippy::unwrap_used)]
use aws_lc_rs::{
    encoding::AsDer as _,
    rand::SystemRandom,
    rsa::KeySize,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256,
        RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RSA_PSS_SHA256, RsaEncoding, RsaKeyPair,
    },
};
use data_encoding::{BASE64_MIME, BASE64URL_NOPAD};

use super::*;

const TYPES: [&str; 2] = ["", "JWT"];

fn pem(der: &[u8]) -> String {
    let text = BASE64_MIME.encode(der);
    format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", text.trim().replace("\r\n", "\n"))
}

fn signed(header: &str, claims: &str, sign: impl Fn(&[u8]) -> Vec<u8>) -> String {
    let input = format!("{}.{}", BASE64URL_NOPAD.encode(header.as_bytes()), BASE64URL_NOPAD.encode(claims.as_bytes()));
    let signature = sign(input.as_bytes());
    format!("{input}.{}", BASE64URL_NOPAD.encode(&signature))
}

fn rsa_signs(key: &RsaKeyPair, how: &'static dyn RsaEncoding) -> impl Fn(&[u8]) -> Vec<u8> {
    move |message| {
        let mut signature = vec![0; key.public_modulus_len()];
        key.sign(how, &SystemRandom::new(), message, &mut signature).unwrap();
        signature
    }
}

fn verifies(keys: &ClientKeys, token: &str) -> bool {
    keys.verify(token, &TYPES).is_some()
}

#[test]
fn an_rsa_key_verifies_what_it_is_good_for_and_nothing_else() {
    let key = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let der = key.public_key().as_der().unwrap();
    let by_pem = ClientKeys::parse([pem(der.as_ref()).as_str()]).unwrap();
    let (n, e) = (key.public_key().modulus(), key.public_key().exponent());
    let number = |bytes: &[u8]| BASE64URL_NOPAD.encode(bytes);
    let jwk = |more: &str| {
        let (n, e) = (number(n.big_endian_without_leading_zero()), number(e.big_endian_without_leading_zero()));
        format!(r#"{{"keys":[{{"kty":"RSA","n":"{n}","e":"{e}"{more}}}]}}"#)
    };
    let by_jwk = ClientKeys::parse([jwk("").as_str()]).unwrap();
    for keys in [&by_pem, &by_jwk] {
        for (alg, how) in [("RS256", &RSA_PKCS1_SHA256), ("RS384", &RSA_PKCS1_SHA384)] {
            assert!(verifies(keys, &signed(&format!(r#"{{"alg":"{alg}"}}"#), "{}", rsa_signs(&key, how))), "{alg}");
        }
        assert!(verifies(keys, &signed(r#"{"alg":"PS256"}"#, "{}", rsa_signs(&key, &RSA_PSS_SHA256))));
        for header in [r#"{"alg":"RS512"}"#, r#"{"alg":"RS256"}"#] {
            assert!(!verifies(keys, &signed(header, "{}", rsa_signs(&key, &RSA_PKCS1_SHA512))), "{header}");
        }
    }
    let bound = ClientKeys::parse([jwk(r#","alg":"PS256","use":"sig""#).as_str()]).unwrap();
    assert!(!verifies(&bound, &signed(r#"{"alg":"RS256"}"#, "{}", rsa_signs(&key, &RSA_PKCS1_SHA256))));
    assert_eq!(ClientKeys::parse([jwk(r#","use":"enc""#).as_str()]).unwrap_err(), KeyError::Purpose);
    assert_eq!(ClientKeys::parse([jwk(r#","alg":"HS256""#).as_str()]).unwrap_err(), KeyError::Purpose);
    assert_eq!(ClientKeys::parse([jwk(r#","d":"AQAB""#).as_str()]).unwrap_err(), KeyError::Private);
}

#[test]
fn keys_on_curves_verify_too() {
    let ec = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let (x, y) = ec.public_key().as_ref()[1..].split_at(32);
    let set = format!(
        r#"{{"keys":[{{"kty":"EC","crv":"P-256","x":"{}","y":"{}","kid":"one"}}]}}"#,
        BASE64URL_NOPAD.encode(x),
        BASE64URL_NOPAD.encode(y)
    );
    let sign = |message: &[u8]| ec.sign(&SystemRandom::new(), message).unwrap().as_ref().to_vec();
    for text in [set, pem(ec.public_key().as_der().unwrap().as_ref())] {
        let keys = ClientKeys::parse([text.as_str()]).unwrap();
        for header in [r#"{"alg":"ES256"}"#, r#"{"alg":"ES256","kid":"one"}"#, r#"{"alg":"ES256","kid":"unheard of"}"#]
        {
            assert!(verifies(&keys, &signed(header, "{}", sign)), "{header}");
        }
    }
    let ed = Ed25519KeyPair::generate().unwrap();
    let set = format!(
        r#"{{"keys":[{{"kty":"OKP","crv":"Ed25519","x":"{}"}}]}}"#,
        BASE64URL_NOPAD.encode(ed.public_key().as_ref())
    );
    for text in [set, pem(ed.public_key().as_der().unwrap().as_ref())] {
        let keys = ClientKeys::parse([text.as_str()]).unwrap();
        for alg in ["EdDSA", "Ed25519"] {
            let token = signed(&format!(r#"{{"alg":"{alg}"}}"#), "{}", |message| ed.sign(message).as_ref().to_vec());
            assert!(verifies(&keys, &token), "{alg}");
        }
    }
}

#[test]
fn headers_that_ask_for_something_else_are_refused() {
    let ed = Ed25519KeyPair::generate().unwrap();
    let keys = ClientKeys::parse([pem(ed.public_key().as_der().unwrap().as_ref()).as_str()]).unwrap();
    let sign = |message: &[u8]| ed.sign(message).as_ref().to_vec();
    assert!(verifies(&keys, &signed(r#"{"alg":"EdDSA","typ":"jwt"}"#, "{}", sign)));
    for header in [
        r#"{"alg":"none"}"#,
        r#"{"alg":"HS256"}"#,
        r#"{"alg":"ES256"}"#,
        r#"{"alg":1}"#,
        "{}",
        r#"{"alg":"EdDSA","typ":"at+jwt"}"#,
        r#"{"alg":"EdDSA","typ":1}"#,
        r#"{"alg":"EdDSA","crit":["exp"]}"#,
        r#"{"alg":"EdDSA","alg":"EdDSA"}"#,
    ] {
        assert!(!verifies(&keys, &signed(header, "{}", sign)), "{header}");
    }
    let token = signed(r#"{"alg":"EdDSA"}"#, "{}", sign);
    assert!(keys.verify(&token, &["asserted-login+jwt"]).is_none(), "it must say what it is");
    let (input, _) = token.rsplit_once('.').unwrap();
    assert!(!verifies(&keys, &format!("{input}.")));
    assert!(!verifies(&ClientKeys::parse([]).unwrap(), &token), "there is no key");
}

#[test]
fn what_is_no_public_key_of_ours_is_refused() {
    let weak = r#"{"keys":[{"kty":"RSA","n":"AQAB","e":"AQAB"}]}"#;
    let curve = r#"{"keys":[{"kty":"EC","crv":"P-384","x":"AA","y":"AA"}]}"#;
    for (text, error) in [
        ("", KeyError::Form),
        ("words", KeyError::Form),
        ("{}", KeyError::Form),
        (r#"{"keys":[]}"#, KeyError::Form),
        (weak, KeyError::Kind),
        (curve, KeyError::Kind),
        (r#"{"keys":[{"kty":"oct","k":"AAAA"}]}"#, KeyError::Private),
        ("-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----", KeyError::Private),
        ("-----BEGIN PUBLIC KEY-----\nAA==\n-----END PUBLIC KEY-----", KeyError::Kind),
    ] {
        assert_eq!(ClientKeys::parse([text]).unwrap_err(), error, "{text}");
    }
}
