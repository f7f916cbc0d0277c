//! Begin an enrolment.

use crate::{
    app::{App, AuthenticatorView, Bearer, Origin},
    audit::{AuditEvent, Event},
    authenticator::{Authenticator, FactorKind, MAX_PER_USER, RecoveryStatus, Status},
    error::{Error, Reason},
    factor::{
        otp::{OtpAlgorithm, OtpSecret, qr_svg},
        recovery_code,
    },
    grant::recovery_code::new_recovery_code,
    id::AuthenticatorId,
    opaque::{self, ALPHANUMERIC, TokenKind, random_text},
    port::authenticator_store::{EnrollmentBegun, NewEnrollment},
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
        let now = self.clock.now();
        let actor = self.actor(command.bearer.expose(), "enroll", now).await?;
        let user = &actor.account.user;
        if actor.account.is_enrolled() && !actor.has_mfa {
            // An mfa_token, or an access token of the first factor alone (security, decision 9).
            let is_mfa_token = opaque::is_well_formed(TokenKind::Mfa, command.bearer.expose());
            return Err(Error::new(if is_mfa_token { Reason::AlreadyEnrolled } else { Reason::StepUpRequired }));
        }
        let Enrollment::Otp { algorithm, digits } = command.enrollment;
        let entropy = self.entropy.as_ref();
        let kind = FactorKind::Otp;
        let id = AuthenticatorId::new(format!("{}|dev_{}", kind.id_prefix(), random_text(ALPHANUMERIC, 16, entropy)?));
        let secret = OtpSecret::generate(algorithm, digits, entropy)?;
        let barcode_uri = secret.barcode_uri(&self.registry.app_name, user.label());
        let barcode_svg = qr_svg(&barcode_uri)?;
        let authenticator = Authenticator {
            state: secret.seal(&id, &user.id, self.sealer.as_ref())?,
            id: id.clone(),
            user: user.id.clone(),
            kind,
            status: Status::Pending {
                until: now.plus(self.registry.policy.mfa_token_lifetime),
                bearer: self.bearer_digest(&command.bearer),
            },
            name: command.name,
            preferred: false,
            last_step: None,
            failures: 0,
            created_at: now,
            confirmed_at: None,
            last_used_at: None,
        };
        let recovery_code = recovery_code::generate(entropy)?;
        let digest = recovery_code::digest_to_store(&recovery_code, &user.id, self.sealer.as_ref());
        let begun = self
            .authenticators
            .begin_enrollment(
                NewEnrollment {
                    authenticator: authenticator.clone(),
                    recovery_code: (new_recovery_code(RecoveryStatus::Pending, now, entropy)?, digest),
                    epoch: user.epoch,
                    only_if_unenrolled: !actor.has_mfa,
                    limit: MAX_PER_USER,
                    audit: AuditEvent {
                        event: Event::EnrollmentStarted,
                        user: user.id.clone(),
                        client: Some(actor.client),
                        authenticator: Some(id),
                        address: command.origin.address,
                        at: now,
                    },
                },
                now,
            )
            .await?;
        let with_recovery_code = match begun {
            EnrollmentBegun::Begun { with_recovery_code } => with_recovery_code,
            EnrollmentBegun::AlreadyEnrolled => return Err(Error::new(Reason::AlreadyEnrolled)),
            EnrollmentBegun::LimitReached => {
                return Err(Error::new(Reason::AuthenticatorLimitReached).with("limit", MAX_PER_USER.to_string()));
            }
            EnrollmentBegun::AccountChanged => {
                return Err(Error::new(Reason::MfaTokenInvalid).because("account has changed"));
            }
        };
        Ok(Association {
            authenticator: self.view(&authenticator)?,
            otp: OtpDetails { secret: Secret::new(secret.base32().to_string()), barcode_uri, barcode_svg },
            recovery_code: with_recovery_code.then_some(recovery_code),
        })
    }
}
