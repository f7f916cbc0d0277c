//! What people's devices sign.

use aws_lc_rs::{
    rsa::PublicKeyComponents,
    signature::{
        ECDSA_P256_SHA256_FIXED, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RsaParameters, UnparsedPublicKey,
    },
};
use countersign_domain::port::{
    device_verifier::{DeviceKey, DeviceVerifier},
    signer::{Algorithm, KeyMaterial},
};
use data_encoding::BASE64URL_NOPAD;
use serde_json::{Map, Value};

use crate::jws;

/// Verifies with AWS-LC.
#[derive(Clone, Copy, Debug, Default)]
pub struct AwsLcDeviceVerifier;

/// Sizes of RSA keys that are taken, in bytes of the modulus.
const RSA_BYTES: std::ops::RangeInclusive<usize> = 256..=1024;

impl DeviceVerifier for AwsLcDeviceVerifier {
    fn accepts(&self, key: &DeviceKey) -> bool {
        match (key.algorithm, &key.material) {
            (Algorithm::Rs256, KeyMaterial::Rsa { modulus, exponent }) => {
                let (Some(n), Some(e)) = (number(modulus), number(exponent)) else { return false };
                is_strong_rsa(&n, &e)
            }
            (Algorithm::Es256, KeyMaterial::Ec { x, y }) => {
                point(x, y).is_some_and(|point| ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).is_ok())
            }
            _ => false,
        }
    }

    fn verify(&self, key: &DeviceKey, token: &str) -> Option<Vec<u8>> {
        let parts = jws::Parts::split(token)?;
        if !header_fits(&parts.header, key.algorithm) {
            return None;
        }
        let input = parts.signing_input.as_bytes();
        let good = match &key.material {
            // No SDK of devices makes these.
            KeyMaterial::Okp { .. } => false,
            KeyMaterial::Rsa { modulus, exponent } => {
                const PARAMETERS: &RsaParameters = &RSA_PKCS1_2048_8192_SHA256;
                PublicKeyComponents { n: number(modulus)?, e: number(exponent)? }
                    .verify(PARAMETERS, input, &parts.signature)
                    .is_ok()
            }
            KeyMaterial::Ec { x, y } => {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point(x, y)?).verify(input, &parts.signature).is_ok()
            }
        };
        if good { parts.claims() } else { None }
    }
}

/// Whether an RSA key is long enough and well made. The numbers have no zeroes in front.
pub(crate) fn is_strong_rsa(modulus: &[u8], exponent: &[u8]) -> bool {
    // F4 or another odd exponent of at least three and no more than four bytes (FIPS 186-5 asks for more than 2^16).
    let e = exponent.iter().take(8).fold(0u64, |sum, byte| sum << 8 | u64::from(*byte));
    RSA_BYTES.contains(&modulus.len())
        && modulus.last().is_some_and(|byte| byte & 1 == 1)
        && exponent.len() <= 4
        && e > 1 << 16
        && e & 1 == 1
}

/// Whether a header names exactly the key's algorithm. Keys and URLs in it are not looked at, extensions not understood.
fn header_fits(header: &Map<String, Value>, algorithm: Algorithm) -> bool {
    let typ = header.get("typ").is_none_or(|typ| typ == "JWT");
    typ && !header.contains_key("crit") && header.get("alg").is_some_and(|alg| alg == algorithm.as_str())
}

/// The bytes of a number, the most significant first, without zeroes in front. Java's have one in front at times.
fn number(text: &str) -> Option<Vec<u8>> {
    let bytes = BASE64URL_NOPAD.decode(text.trim_end_matches('=').as_bytes()).ok()?;
    let zeroes = bytes.iter().take_while(|byte| **byte == 0).count();
    bytes.get(zeroes..).map(<[u8]>::to_vec).filter(|bytes| !bytes.is_empty())
}

/// An uncompressed point (SEC 1, section 2.3.3).
fn point(x: &str, y: &str) -> Option<[u8; 65]> {
    let mut point = [4; 65];
    let (_, coordinates) = point.split_first_mut()?;
    for (coordinate, text) in coordinates.chunks_mut(32).zip([x, y]) {
        let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).ok().filter(|bytes| bytes.len() == 32)?;
        coordinate.copy_from_slice(&bytes);
    }
    Some(point)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::{
        keyring::RsaBits,
        signing_key::{SigningKey, generate},
    };

    fn pair(algorithm: Algorithm) -> (SigningKey, DeviceKey) {
        let key = SigningKey::parse(algorithm, &generate(algorithm, RsaBits::Bits2048).unwrap()).unwrap();
        let public = DeviceKey { algorithm, material: key.public().material.clone() };
        (key, public)
    }

    fn signed(key: &SigningKey, header: &str, claims: &str) -> String {
        let input =
            format!("{}.{}", BASE64URL_NOPAD.encode(header.as_bytes()), BASE64URL_NOPAD.encode(claims.as_bytes()));
        let signature = key.sign_message(input.as_bytes()).unwrap();
        jws::attach(input, &signature)
    }

    #[test]
    fn what_a_device_signed_is_read_and_nothing_else() {
        for algorithm in [Algorithm::Rs256, Algorithm::Es256] {
            let alg = algorithm.as_str();
            let (key, public) = pair(algorithm);
            let (_, other) = pair(algorithm);
            assert!(AwsLcDeviceVerifier.accepts(&public));
            let verify = |token: &str| AwsLcDeviceVerifier.verify(&public, token);
            for header in [format!(r#"{{"alg":"{alg}","typ":"JWT"}}"#), format!(r#"{{"alg":"{alg}","kid":"x"}}"#)] {
                let token = signed(&key, &header, r#"{"a":1}"#);
                assert_eq!(verify(&token).unwrap(), br#"{"a":1}"#);
                assert!(AwsLcDeviceVerifier.verify(&other, &token).is_none(), "another key");
                // The first character: the last one may hold bits that mean nothing.
                let (input, signature) = token.rsplit_once('.').unwrap();
                let first = if signature.starts_with('A') { "B" } else { "A" };
                assert!(verify(&format!("{input}.{first}{}", &signature[1..])).is_none());
                assert!(verify(input).is_none());
                assert!(verify(&format!("{input}.")).is_none());
            }
            for header in [
                r#"{"alg":"none"}"#.to_owned(),
                r#"{"alg":"HS256"}"#.to_owned(),
                r#"{"alg":"RS512"}"#.to_owned(),
                "{}".to_owned(),
                format!(r#"{{"alg":"{alg}","typ":"at+jwt"}}"#),
                format!(r#"{{"alg":"{alg}","crit":["exp"]}}"#),
                format!(r#"{{"alg":"{alg}","alg":"{alg}"}}"#),
            ] {
                assert!(verify(&signed(&key, &header, r#"{"a":1}"#)).is_none(), "{header}");
            }
            let header = format!(r#"{{"alg":"{alg}"}}"#);
            for claims in [r#"{"a":1,"a":2}"#, "[]", "1", ""] {
                assert!(verify(&signed(&key, &header, claims)).is_none(), "{claims}");
            }
            assert!(verify(&signed(&key, &header, &format!(r#"{{"a":"{}"}}"#, "x".repeat(9000)))).is_none());
        }
    }

    #[test]
    fn a_key_of_one_algorithm_is_none_of_the_other() {
        let (rsa_key, rsa) = pair(Algorithm::Rs256);
        let (_, ec) = pair(Algorithm::Es256);
        let mixed = DeviceKey { algorithm: Algorithm::Es256, material: rsa.material.clone() };
        assert!(!AwsLcDeviceVerifier.accepts(&mixed));
        let mixed = DeviceKey { algorithm: Algorithm::Rs256, material: ec.material };
        assert!(!AwsLcDeviceVerifier.accepts(&mixed));
        let token = signed(&rsa_key, r#"{"alg":"RS256"}"#, "{}");
        assert!(AwsLcDeviceVerifier.verify(&mixed, &token).is_none());
    }

    #[test]
    fn weak_and_broken_keys_are_refused() {
        let rsa = |modulus: &[u8], exponent: &[u8]| DeviceKey {
            algorithm: Algorithm::Rs256,
            material: KeyMaterial::Rsa {
                modulus: BASE64URL_NOPAD.encode(modulus),
                exponent: BASE64URL_NOPAD.encode(exponent),
            },
        };
        let f4 = [1, 0, 1];
        assert!(AwsLcDeviceVerifier.accepts(&rsa(&[0xff; 256], &f4)));
        assert!(
            AwsLcDeviceVerifier.accepts(&rsa(&[&[0][..], &[0xff; 256]].concat(), &f4)),
            "a sign byte, as Java has it"
        );
        for (modulus, exponent) in [
            (&[0xff; 128][..], &f4[..]),
            (&[0xff; 2048], &f4),
            (&[0xfe; 256], &f4),
            (&[], &f4),
            (&[0xff; 256], &[3]),
            (&[0xff; 256], &[1, 0, 0]),
            (&[0xff; 256], &[0xff; 9]),
            (&[0xff; 256], &[]),
        ] {
            assert!(!AwsLcDeviceVerifier.accepts(&rsa(modulus, exponent)), "{} {exponent:?}", modulus.len());
        }
        let ec = |x: &[u8], y: &[u8]| DeviceKey {
            algorithm: Algorithm::Es256,
            material: KeyMaterial::Ec { x: BASE64URL_NOPAD.encode(x), y: BASE64URL_NOPAD.encode(y) },
        };
        for (x, y) in [(&[1; 32][..], &[1; 32][..]), (&[0; 32], &[0; 32]), (&[1; 31], &[1; 32]), (&[], &[])] {
            assert!(!AwsLcDeviceVerifier.accepts(&ec(x, y)), "{x:?}");
        }
    }
}
