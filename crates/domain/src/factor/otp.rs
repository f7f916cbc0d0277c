//! Authenticator apps: time-based one-time passwords (RFC 6238).

use serde::{Deserialize, Serialize};

/// The hash of the HMAC (RFC 6238, section 1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum OtpAlgorithm {
    /// HMAC-SHA-1, what every app understands.
    #[serde(rename = "SHA1")]
    Sha1,
    /// HMAC-SHA-256.
    #[serde(rename = "SHA256")]
    Sha256,
    /// HMAC-SHA-512.
    #[serde(rename = "SHA512")]
    Sha512,
}
