//! One key pair that signs tokens.

use aws_lc_rs::{
    digest,
    encoding::AsDer as _,
    rand::SystemRandom,
    rsa::KeySize,
    signature::{
        ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ED25519, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _,
        ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RsaKeyPair,
    },
};
use countersign_domain::{
    id::KeyId,
    port::{
        PortError,
        signer::{Algorithm, KeyMaterial, PublicKey, TokenType},
    },
};
use data_encoding::BASE64URL_NOPAD;
use zeroize::Zeroizing;

use crate::{certificate, jws, keyring::RsaBits};

/// A key pair, read once, with everything about it that does not change from token to token.
pub(crate) struct SigningKey {
    public: PublicKey,
    jwt_header: String,
    access_token_header: String,
    verifier: ParsedPublicKey,
    pair: Pair,
}

enum Pair {
    Rsa(RsaKeyPair),
    Ec(EcdsaKeyPair),
    Ed(Ed25519KeyPair),
}

/// Makes a private key, PKCS #8. RSA takes a good part of a second.
pub(crate) fn generate(algorithm: Algorithm, rsa_bits: RsaBits) -> Result<Zeroizing<Vec<u8>>, PortError> {
    let size = match rsa_bits {
        RsaBits::Bits2048 => KeySize::Rsa2048,
        RsaBits::Bits3072 => KeySize::Rsa3072,
    };
    let pkcs8 = match algorithm {
        Algorithm::Rs256 => RsaKeyPair::generate(size).and_then(|pair| Ok(pair.as_der()?.as_ref().to_vec())),
        Algorithm::Es256 => EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)
            .and_then(|pair| Ok(pair.to_pkcs8v1()?.as_ref().to_vec())),
        Algorithm::Ed25519 | Algorithm::EdDsa => {
            Ed25519KeyPair::generate().and_then(|pair| Ok(pair.to_pkcs8()?.as_ref().to_vec()))
        }
    };
    pkcs8.map(Zeroizing::new).map_err(|error| PortError::Unavailable("key generation", Box::new(error)))
}

impl SigningKey {
    /// Reads a private key.
    ///
    /// # Errors
    ///
    /// [`PortError::Corrupt`] if it is none, or not one for `algorithm`; [`PortError::Unavailable`] if it does not sign its certificate.
    pub(crate) fn parse(algorithm: Algorithm, pkcs8: &[u8]) -> Result<Self, PortError> {
        let mut certificate = None;
        let (pair, material, verifier) = match algorithm {
            Algorithm::Rs256 => {
                let pair = RsaKeyPair::from_pkcs8(pkcs8).map_err(corrupt)?;
                let public = pair.public_key();
                let material = KeyMaterial::Rsa {
                    modulus: BASE64URL_NOPAD.encode(public.modulus().big_endian_without_leading_zero()),
                    exponent: BASE64URL_NOPAD.encode(public.exponent().big_endian_without_leading_zero()),
                };
                let verifier = ParsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, public).map_err(corrupt)?;
                certificate = Some(certificate::self_signed(&pair)?);
                (Pair::Rsa(pair), material, verifier)
            }
            Algorithm::Es256 => {
                let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8).map_err(corrupt)?;
                let material = ec_material(pair.public_key().as_ref())?;
                let verifier = ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, pair.public_key()).map_err(corrupt)?;
                (Pair::Ec(pair), material, verifier)
            }
            Algorithm::Ed25519 | Algorithm::EdDsa => {
                let pair = Ed25519KeyPair::from_pkcs8(pkcs8).map_err(corrupt)?;
                let material = KeyMaterial::Okp { x: BASE64URL_NOPAD.encode(pair.public_key().as_ref()) };
                let verifier = ParsedPublicKey::new(&ED25519, pair.public_key()).map_err(corrupt)?;
                (Pair::Ed(pair), material, verifier)
            }
        };
        let id = thumbprint(&material);
        Ok(Self {
            jwt_header: jws::header(algorithm, TokenType::Jwt, &id),
            access_token_header: jws::header(algorithm, TokenType::AccessToken, &id),
            public: PublicKey { id, algorithm, material, certificate },
            verifier,
            pair,
        })
    }

    /// Its public half.
    pub(crate) const fn public(&self) -> &PublicKey {
        &self.public
    }

    /// The token over `claims`.
    pub(crate) fn sign(&self, token_type: TokenType, claims: &[u8]) -> Result<String, PortError> {
        let header = match token_type {
            TokenType::Jwt => &self.jwt_header,
            TokenType::AccessToken => &self.access_token_header,
        };
        let input = jws::signing_input(header, claims);
        let signature = self.sign_message(input.as_bytes())?;
        Ok(jws::attach(input, &signature))
    }

    /// The signature over `message`.
    pub(crate) fn sign_message(&self, message: &[u8]) -> Result<Vec<u8>, PortError> {
        let rng = SystemRandom::new();
        let signature = match &self.pair {
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &rng, message, &mut signature).map(|()| signature)
            }
            Pair::Ec(pair) => pair.sign(&rng, message).map(|signature| signature.as_ref().to_vec()),
            Pair::Ed(pair) => pair.try_sign(message).map(|signature| signature.as_ref().to_vec()),
        };
        signature.map_err(|error| PortError::Unavailable("signing key", Box::new(error)))
    }

    /// Whether `signature` over `message` is of this key.
    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        self.verifier.verify_sig(message, signature).is_ok()
    }
}

fn corrupt(error: impl std::error::Error + Send + Sync + 'static) -> PortError {
    PortError::Corrupt(Box::new(error))
}

/// The coordinates of an uncompressed point, `04 | x | y` (SEC 1, section 2.3.3).
fn ec_material(point: &[u8]) -> Result<KeyMaterial, PortError> {
    let coordinates = match point.split_first() {
        Some((4, coordinates)) if coordinates.len() == 64 => coordinates,
        _ => return Err(PortError::Corrupt("the public key is no uncompressed P-256 point".into())),
    };
    let (x, y) = coordinates.split_at(32);
    Ok(KeyMaterial::Ec { x: BASE64URL_NOPAD.encode(x), y: BASE64URL_NOPAD.encode(y) })
}

/// The SHA-256 JWK thumbprint of RFC 7638, base64url. The members stand in the order section 3.3 demands and need no escape.
pub(crate) fn thumbprint(material: &KeyMaterial) -> KeyId {
    let members = match material {
        KeyMaterial::Rsa { modulus, exponent } => format!(r#"{{"e":"{exponent}","kty":"RSA","n":"{modulus}"}}"#),
        KeyMaterial::Ec { x, y } => format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#),
        // RFC 8037, section 2.
        KeyMaterial::Okp { x } => format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#),
    };
    KeyId::new(BASE64URL_NOPAD.encode(digest::digest(&digest::SHA256, members.as_bytes()).as_ref()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_thumbprint_is_that_of_rfc_7638() {
        // Section 3.1.
        let modulus = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw";
        let material = KeyMaterial::Rsa { modulus: modulus.to_owned(), exponent: "AQAB".to_owned() };
        assert_eq!(thumbprint(&material).as_str(), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
    }

    #[test]
    fn the_thumbprint_of_an_edwards_key_is_that_of_rfc_8037() {
        // Appendix A.3.
        let material = KeyMaterial::Okp { x: "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo".to_owned() };
        assert_eq!(thumbprint(&material).as_str(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    }

    #[test]
    fn an_edwards_key_signs_under_either_name() {
        for algorithm in [Algorithm::Ed25519, Algorithm::EdDsa] {
            let key = SigningKey::parse(algorithm, &generate(algorithm, RsaBits::Bits2048).unwrap()).unwrap();
            assert!(key.verifies(b"message", &key.sign_message(b"message").unwrap()));
            assert!(!key.verifies(b"another", &key.sign_message(b"message").unwrap()));
            assert_eq!(key.public().algorithm, algorithm);
        }
    }

    #[test]
    fn the_certificate_of_a_key_is_always_the_same_and_holds_it() {
        let pkcs8 = generate(Algorithm::Rs256, RsaBits::Bits2048).unwrap();
        let public = |pkcs8: &[u8]| SigningKey::parse(Algorithm::Rs256, pkcs8).unwrap().public().clone();
        let (first, again) = (public(&pkcs8), public(&pkcs8));
        assert_eq!(first.certificate, again.certificate);
        let KeyMaterial::Rsa { modulus, .. } = &first.material else { unreachable!() };
        let (der, modulus) = (first.certificate.unwrap(), BASE64URL_NOPAD.decode(modulus.as_bytes()).unwrap());
        assert!(der.windows(modulus.len()).any(|window| window == modulus));
        let other = public(&generate(Algorithm::Rs256, RsaBits::Bits2048).unwrap());
        assert_ne!(other.certificate, Some(der));
        let ec = SigningKey::parse(Algorithm::Es256, &generate(Algorithm::Es256, RsaBits::Bits2048).unwrap()).unwrap();
        assert_eq!(ec.public().certificate, None);
    }

    #[test]
    fn keys_are_of_the_algorithm_they_were_made_for() {
        let ec = generate(Algorithm::Es256, RsaBits::Bits2048).unwrap();
        assert!(matches!(SigningKey::parse(Algorithm::Rs256, &ec), Err(PortError::Corrupt(_))));
        let key = SigningKey::parse(Algorithm::Es256, &ec).unwrap();
        let KeyMaterial::Ec { x, y } = &key.public().material else { unreachable!() };
        assert_eq!((x.len(), y.len()), (43, 43));
        assert!(matches!(SigningKey::parse(Algorithm::Es256, &ec[1..]), Err(PortError::Corrupt(_))));
    }

    #[test]
    fn rsa_keys_have_the_size_asked_for() {
        for (bits, bytes) in [(RsaBits::Bits2048, 256), (RsaBits::Bits3072, 384)] {
            let key = SigningKey::parse(Algorithm::Rs256, &generate(Algorithm::Rs256, bits).unwrap()).unwrap();
            let KeyMaterial::Rsa { modulus, exponent } = &key.public().material else { unreachable!() };
            assert_eq!(BASE64URL_NOPAD.decode(modulus.as_bytes()).unwrap().len(), bytes);
            assert_eq!(exponent, "AQAB");
        }
    }
}
