//! Begin an enrolment.

use crate::{
    app::{App, AuthenticatorView, Bearer, Origin},
    error::Error,
    factor::otp::OtpAlgorithm,
    secret::Secret,
};

/// A wish to enrol.
#[derive(Clone, Debug)]
pub struct Command {
    /// The bearer token of the call.
    pub bearer: Bearer,
    /// What to enrol.
    pub enrollment: Enrollment,
    /// Name for the new authenticator.
    pub name: Option<String>,
    /// Where the person is.
    pub origin: Origin,
}

/// What to enrol.
#[derive(Clone, Copy, Debug)]
pub enum Enrollment {
    /// An authenticator app.
    Otp {
        /// Hash of the HMAC.
        algorithm: OtpAlgorithm,
        /// Digits of a code: 6 or 8.
        digits: u8,
    },
}

/// A pending authenticator, with what its device needs. Shown once.
#[derive(Debug)]
pub struct Association {
    /// The pending authenticator.
    pub authenticator: AuthenticatorView,
    /// For the device.
    pub otp: OtpDetails,
    /// The recovery code, at the first association only.
    pub recovery_code: Option<Secret<String>>,
}

/// A TOTP secret in three spellings.
#[derive(Debug)]
pub struct OtpDetails {
    /// Base32 without padding.
    pub secret: Secret<String>,
    /// The otpauth URI.
    pub barcode_uri: Secret<String>,
    /// Its QR code, an SVG document.
    pub barcode_svg: Secret<String>,
}

impl App {
    /// Begins an enrolment.
    ///
    /// # Errors
    ///
    /// Any reason `AssociateAuthenticator` lists in the protobuf contract.
    pub async fn associate(&self, command: Command) -> Result<Association, Error> {
        let _ = command;
        Err(Error::new(crate::error::Reason::Internal))
    }
}
