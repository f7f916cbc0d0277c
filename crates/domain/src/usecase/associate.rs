//! Begin an enrolment.

mod draft;

use self::draft::Frame;
use crate::{
    app::{App, AuthenticatorView, Bearer, Origin},
    audit::{AuditEvent, Event},
    authenticator::{FactorKind, MAX_PER_USER, RecoveryStatus},
    bearer::Actor,
    dispatch::{UNCHECKED, unsent},
    error::{Error, Reason},
    factor::{otp::OtpAlgorithm, recovery_code},
    factor_set::FactorSet,
    grant::recovery_code::new_recovery_code,
    message::Channel,
    opaque::{self, TokenKind},
    port::authenticator_store::{EnrollmentBegun, NewEnrollment},
    registry::GrantType,
    secret::Secret,
    time::Timestamp,
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
#[derive(Clone, Debug)]
pub enum Enrollment {
    /// An authenticator app.
    Otp {
        /// Hash of the HMAC.
        algorithm: OtpAlgorithm,
        /// Digits of a code: 6 or 8.
        digits: u8,
    },
    /// A telephone, a mailbox or a device.
    Oob {
        /// The ways codes and notifications may take, best first; the first that is enabled is taken. Where text messages and calls are both enabled, a
        /// telephone is enrolled for both.
        channels: Vec<Channel>,
        /// The number as it was typed.
        phone_number: Option<Secret<String>>,
        /// The address; the person's own if none is given.
        email: Option<Secret<String>>,
    },
}

/// A pending authenticator, with what its device needs. Shown once.
#[derive(Debug)]
pub struct Association {
    /// The pending authenticator.
    pub authenticator: AuthenticatorView,
    /// How it is confirmed.
    pub details: Details,
    /// The recovery code, at the first association only.
    pub recovery_code: Option<Secret<String>>,
}

/// How a pending authenticator is confirmed.
#[derive(Debug)]
pub enum Details {
    /// With a code of the app that has this secret.
    Otp(OtpDetails),
    /// With the code that was sent.
    Oob {
        /// The handle it comes back with.
        oob_code: Secret<String>,
        /// The way it took.
        channel: Channel,
        /// Whether the person must be told of the risks of that way.
        restricted: bool,
    },
    /// With a device that scans this.
    Push {
        /// The handle to wait with.
        oob_code: Secret<String>,
        /// The URI it scans, which holds a ticket that is good once.
        barcode_uri: Secret<String>,
        /// Its QR code, an SVG document.
        barcode_svg: Secret<String>,
    },
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
        let address = command.origin.address;
        let actor = match self.actor(command.bearer.expose(), "enroll", now).await {
            Ok(actor) => actor,
            Err(over) => {
                let mfa = opaque::is_well_formed(TokenKind::Mfa, command.bearer.expose());
                let event = if mfa { Event::MfaTokenRefused } else { Event::AccessTokenRefused };
                return Err(self.note_over(event, over, None, address, now).await);
            }
        };
        let begun = self.begin(&actor, command, now).await;
        if let Err(error) = &begun
            && let Some(why) = refusal(error)
        {
            let row = AuditEvent::about(Event::EnrollmentRefused, &actor.account.user.id, now).by(&actor.client);
            self.note_cheap(row.at_address(address).because(why)).await?;
        }
        begun
    }

    async fn begin(&self, actor: &Actor, command: Command, now: Timestamp) -> Result<Association, Error> {
        let user = &actor.account.user;
        let first_factor_alone = self.refuse_unproven(actor, now)?;
        let frame = Frame {
            user,
            actor,
            bearer: self.bearer_digest(&command.bearer),
            name: command.name,
            languages: command.origin.languages,
            now,
        };
        // Whatever can fail comes before a message is paid for.
        let entropy = self.entropy.as_ref();
        let recovery_code = recovery_code::generate(entropy)?;
        let digest = recovery_code::digest_to_store(&recovery_code, &user.id, self.sealer.as_ref());
        let pending_code = new_recovery_code(RecoveryStatus::Pending, now, entropy)?;
        let draft = match command.enrollment {
            Enrollment::Otp { algorithm, digits } => self.draft_otp(&frame, algorithm, digits)?,
            Enrollment::Oob { channels, phone_number, email } => {
                self.require_return_of_codes(actor)?;
                match self.first_enabled(&channels, actor.allowed)? {
                    FactorKind::Push => self.draft_push(&frame).await?,
                    FactorKind::Email => self.draft_email(&frame, email.as_ref()).await?,
                    kind => self.draft_phone(&frame, kind, phone_number.as_ref()).await?,
                }
            }
        };
        let (messages, receipt) = draft.sends.unzip();
        let started = AuditEvent::about(Event::EnrollmentStarted, &user.id, now)
            .by(&actor.client)
            .on(&draft.authenticator.id)
            .at_address(command.origin.address);
        let unchecked = receipt.as_ref().is_some_and(|receipt| receipt.unchecked);
        let enrollment = NewEnrollment {
            audit: if unchecked { started.because(UNCHECKED) } else { started },
            authenticator: draft.authenticator,
            companion: draft.companion,
            messages: messages.into_iter().collect(),
            charges: receipt.as_ref().map(|receipt| receipt.charges.clone()).unwrap_or_default(),
            recovery_code: (pending_code, digest),
            epoch: user.epoch,
            only_if_unenrolled: first_factor_alone,
            limit: MAX_PER_USER,
        };
        let refusal = match self.authenticators.begin_enrollment(enrollment, now).await {
            Ok(EnrollmentBegun::Begun { with_recovery_code }) => Ok(with_recovery_code),
            Ok(EnrollmentBegun::AlreadyEnrolled) => Err(Error::new(Reason::AlreadyEnrolled)),
            Ok(EnrollmentBegun::LimitReached) => Err(limit_reached()),
            Ok(EnrollmentBegun::DayIsOver { charge }) => Err(match &receipt {
                Some(receipt) => receipt.day_is_over(charge, now),
                None => Error::new(Reason::Internal).because("a day was over that nothing was charged to"),
            }),
            Ok(EnrollmentBegun::AccountChanged) => {
                Err(Error::new(Reason::MfaTokenInvalid).because("account has changed"))
            }
            Err(error) => {
                self.take_back_unwritten(receipt, &error, now).await;
                return Err(error.into());
            }
        };
        let with_recovery_code = match (refusal, receipt) {
            (Ok(with_recovery_code), receipt) => {
                if let Some(receipt) = receipt {
                    receipt.note_spent();
                    self.bell.ring();
                }
                with_recovery_code
            }
            (Err(refusal), receipt) => {
                // Nothing is sent, so nothing is paid for.
                if let Some(receipt) = receipt {
                    self.take_back(receipt, now).await;
                }
                return Err(refusal);
            }
        };
        Ok(Association {
            authenticator: draft.view,
            details: draft.details,
            recovery_code: with_recovery_code.then_some(recovery_code),
        })
    }

    /// Refuses if the client of the bearer may not bring codes back: they would be sent for nothing.
    fn require_return_of_codes(&self, actor: &Actor) -> Result<(), Error> {
        match self.registry.clients.get(&actor.client) {
            Some(client) => client.may_use(GrantType::MfaOob),
            None => Err(Error::new(Reason::GrantNotAllowed)
                .with("grant_type", GrantType::MfaOob.as_str())
                .because("the client is gone")),
        }
    }

    /// The kind behind the first of `channels` that is enabled and allowed.
    fn first_enabled(&self, channels: &[Channel], allowed: FactorSet) -> Result<FactorKind, Error> {
        let kinds = FactorKind::ALL.into_iter().filter(|kind| self.may_enrol(*kind, allowed));
        let enabled: Vec<_> = kinds.filter_map(|kind| Some((kind.channel()?, kind))).collect();
        let found = channels.iter().find_map(|wanted| enabled.iter().find(|(channel, _)| channel == wanted));
        found.map(|(_, kind)| *kind).ok_or_else(|| {
            let names: Vec<_> = enabled.iter().map(|(channel, _)| channel.oob_channel()).collect();
            let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            let refused = format!("oob_channels has none that is enabled here: {names}");
            Error::malformed("oob_channels", refused).because("factor not allowed")
        })
    }

    /// Refuses who has not proven what the person has (security, decision 9), or not lately. The answer is whether the person must have
    /// nothing yet when the enrolment is stored.
    fn refuse_unproven(&self, actor: &Actor, now: Timestamp) -> Result<bool, Error> {
        let account = &actor.account;
        let Some(token) = &actor.token else {
            if account.is_enrolled() {
                return Err(Error::new(Reason::AlreadyEnrolled));
            }
            // It may go on with an old refresh token, which must not be worth the account's first factor to whoever found it.
            self.require_recent_login(actor.authenticated_at, account, now)?;
            return Ok(true);
        };
        self.require_fresh_login(token, account, now)?;
        // An access token of the first factor alone is all that who has no factor but e-mail can get.
        Ok(!actor.has_mfa() && !account.is_enrolled())
    }
}

/// Why an enrolment was not begun, for the audit trail. `None`: a request that lacks something, or a failure of ours.
fn refusal(error: &Error) -> Option<&'static str> {
    match error.reason() {
        Reason::AlreadyEnrolled => Some("already enrolled"),
        Reason::StepUpRequired => Some("login too weak or too long ago"),
        Reason::AuthenticatorLimitReached => Some("limit of authenticators"),
        Reason::GrantNotAllowed => Some("client cannot bring codes back"),
        Reason::MfaTokenInvalid => Some("account has changed"),
        Reason::RequestMalformed => error.detail(),
        reason => unsent(reason),
    }
}

fn limit_reached() -> Error {
    Error::new(Reason::AuthenticatorLimitReached).with("limit", MAX_PER_USER.to_string())
}
