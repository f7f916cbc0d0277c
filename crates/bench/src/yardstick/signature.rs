//! Signatures of a token's size, one after the other on one thread, or on every core at once.

use std::{hint::black_box, time::Duration};

use anyhow::Context as _;
use aws_lc_rs::{
    rand::SystemRandom,
    rsa::KeySize,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, RSA_PKCS1_SHA256, RsaKeyPair},
};

use crate::measure::{Measured, Row};

/// Bytes of what is signed: header and claims of an access token.
const SIGNED: [u8; 600] = [b'a'; 600];

/// RS256 with 3072 bits, as the server's default is (RFC 7518, section 3.3).
///
/// # Errors
///
/// The library failed.
pub fn rs256(span: Duration) -> anyhow::Result<Row> {
    let key = RsaKeyPair::generate(KeySize::Rsa3072).context("no RSA key")?;
    let random = SystemRandom::new();
    let mut signature = vec![0; key.public_modulus_len()];
    measured("RS256 signature").in_a_row(span, 1, || {
        key.sign(&RSA_PKCS1_SHA256, &random, black_box(&SIGNED), &mut signature).context("RSA does not sign")
    })
}

/// The same on every core at once: the limit of logins that are answered with such tokens.
///
/// # Errors
///
/// The library failed.
pub fn rs256_on_all(span: Duration) -> anyhow::Result<Row> {
    let key = RsaKeyPair::generate(KeySize::Rsa3072).context("no RSA key")?;
    let callers = std::thread::available_parallelism()?.get();
    let measured = Measured { name: "RS256, every core", pid: std::process::id(), callers };
    let stretch = measured.on_threads(span, || {
        let (key, random) = (&key, SystemRandom::new());
        let mut signature = vec![0; key.public_modulus_len()];
        Ok(move || {
            key.sign(&RSA_PKCS1_SHA256, &random, black_box(&SIGNED), &mut signature).context("RSA does not sign")
        })
    })?;
    Ok(measured.row(&stretch))
}

/// ES256 (RFC 7518, section 3.4).
///
/// # Errors
///
/// The library failed.
pub fn es256(span: Duration) -> anyhow::Result<Row> {
    let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).context("no EC key")?;
    let random = SystemRandom::new();
    measured("ES256 signature").in_a_row(span, 1, || {
        black_box(key.sign(&random, black_box(&SIGNED)).context("ECDSA does not sign")?);
        Ok(())
    })
}

fn measured(name: &'static str) -> Measured {
    Measured { name, pid: std::process::id(), callers: 1 }
}
