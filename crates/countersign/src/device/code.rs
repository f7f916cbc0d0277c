//! Codes of the secret that comes along with an enrolment (RFC 6238).

use countersign_domain::{secret::Secret, time::Timestamp};
use data_encoding::BASE32_NOPAD;
use serde::{Deserialize, Serialize};
use totp_rs::{Algorithm, Builder};
use zeroize::Zeroizing;

use super::phone::kept;

/// What codes are made with, as the server tells it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Totp {
    /// The secret in base32.
    #[serde(with = "kept")]
    pub secret: Secret<String>,
    /// The hash of the HMAC.
    pub algorithm: Hash,
    /// Digits of a code.
    pub digits: u8,
    /// Seconds of a time step.
    pub period: u64,
}

/// Hashes by their names in the protocol.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Hash {
    /// HMAC-SHA-1.
    #[serde(alias = "SHA1")]
    Sha1,
    /// HMAC-SHA-256.
    #[serde(alias = "SHA256")]
    Sha256,
    /// HMAC-SHA-512.
    #[serde(alias = "SHA512")]
    Sha512,
}

impl Totp {
    /// The code at `now`.
    ///
    /// # Errors
    ///
    /// The server told something that no code can be made with.
    pub fn code(&self, now: Timestamp) -> anyhow::Result<Secret<String>> {
        let secret = self.secret.expose().trim_end_matches('=');
        let secret = BASE32_NOPAD.decode(secret.as_bytes()).map(Zeroizing::new);
        let secret = secret.map_err(|_| anyhow::anyhow!("the secret is not base32"))?;
        if !(6..=8).contains(&self.digits) || self.period == 0 {
            anyhow::bail!("a code of {} digits each {} s cannot be made", self.digits, self.period);
        }
        let algorithm = match self.algorithm {
            Hash::Sha1 => Algorithm::SHA1,
            Hash::Sha256 => Algorithm::SHA256,
            Hash::Sha512 => Algorithm::SHA512,
        };
        let totp = Builder::new()
            .with_algorithm(algorithm)
            .with_digits(self.digits)
            .with_secret(secret.to_vec())
            .with_step_duration(self.period)
            .build_noncompliant();
        Ok(Secret::new(totp.generate(now.as_secs().max(0).unsigned_abs()).to_string()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// RFC 6238, appendix B.
    #[test]
    fn codes_are_those_of_rfc_6238() {
        let totp: Totp = serde_json::from_str(
            r#"{"secret":"GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ","algorithm":"sha1","digits":8,"period":30}"#,
        )
        .unwrap();
        assert_eq!(totp.code(Timestamp::from_millis(59_000)).unwrap().expose(), "94287082");
        assert!(Totp { digits: 40, ..totp }.code(Timestamp::from_millis(0)).is_err());
    }
}
