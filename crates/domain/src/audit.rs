//! What happened, for the audit trail. A row is written in the transaction that made it true, and linked to the one before it.

pub mod budget;
pub mod chain;
pub mod lost;
pub mod verify;

use std::{borrow::Cow, net::IpAddr};

use crate::{
    id::{AuthenticatorId, ClientId, UserId},
    time::Timestamp,
};

/// One row of the audit trail. It holds no secret and no code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEvent {
    /// What happened.
    pub event: Event,
    /// The person it happened to. None: it is about the deployment, or about a name that nobody has.
    pub user: Option<UserId>,
    /// The client that asked. None: an operator's command, or the link of a notice.
    pub client: Option<ClientId>,
    /// The authenticator it was about.
    pub authenticator: Option<AuthenticatorId>,
    /// The person's address, as far as it is believed.
    pub address: Option<IpAddr>,
    /// The operator whose command it was: process and user of the operating system.
    pub operator: Option<Cow<'static, str>>,
    /// Why or how, in a few words of a closed vocabulary: never what a person or a client typed.
    pub detail: Option<Cow<'static, str>>,
    /// When.
    pub at: Timestamp,
}

impl AuditEvent {
    /// What happened to `user`.
    pub fn about(event: Event, user: &UserId, at: Timestamp) -> Self {
        Self { user: Some(user.clone()), ..Self::of_deployment(event, at) }
    }

    /// What happened to nobody in particular.
    pub const fn of_deployment(event: Event, at: Timestamp) -> Self {
        Self { event, user: None, client: None, authenticator: None, address: None, operator: None, detail: None, at }
    }

    /// With the client that asked.
    #[must_use]
    pub fn by(self, client: &ClientId) -> Self {
        Self { client: Some(client.clone()), ..self }
    }

    /// With the authenticator it is about.
    #[must_use]
    pub fn on(self, authenticator: &AuthenticatorId) -> Self {
        Self { authenticator: Some(authenticator.clone()), ..self }
    }

    /// With where the person is.
    #[must_use]
    pub fn at_address(self, address: Option<IpAddr>) -> Self {
        Self { address, ..self }
    }

    /// With why or how.
    #[must_use]
    pub fn because(self, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { detail: Some(detail.into()), ..self }
    }
}

/// Makes the enum, and what is said of each case in the trail and in `docs/audit.md`.
macro_rules! events {
    ($(#[doc = $what:literal] $event:ident = $name:literal, $code:literal;)*) => {
        /// The kinds of rows.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Event {
            $(#[doc = $what] $event,)*
        }

        impl Event {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$event),*];

            /// The name in the column, stable.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$event => $name,)* }
            }

            /// The code of the log event at Auth0 that says the same; empty if there is none. Two, with a blank between them, where
            /// Auth0 writes two events of one thing.
            pub const fn log_code(self) -> &'static str {
                match self { $(Self::$event => $code,)* }
            }

            /// What happened.
            pub const fn what(self) -> &'static str {
                match self { $(Self::$event => $what,)* }
            }
        }
    };
}

// Each with its name in the trail, and Auth0's code.
events! {
    /// A login was completed with the password alone.
    PasswordLogin = "login.password", "sepft";
    /// A login was completed with the word of a client alone.
    AssertedLogin = "login.asserted", "";
    /// A service got an access token of its own.
    ServiceAuthorized = "service.authorized", "seccft";
    /// A client got no access token of its own: not by this grant, or not for this API.
    ServiceRefused = "service.refused", "feccft";
    /// A client offered a grant, or wanted a challenge, that it is not configured for; `detail` names the grant.
    GrantRefused = "grant.refused", "";
    /// A client asked about a token, and may not.
    IntrospectionRefused = "introspection.refused", "";
    /// A first factor was proven, or a refresh token was good, but nothing can give what the request asks of the login.
    LoginUnmet = "login.unmet", "";
    /// A client said that somebody had logged in with it, and was not believed.
    AssertionFailed = "proof_rejected.asserted_login", "";
    /// A client did not prove itself.
    ClientFailed = "proof_rejected.client", "";
    /// A login was completed with a code of an authenticator app.
    OtpLogin = "login.otp", "seotpft";
    /// A login was completed with a code that was sent.
    OobLogin = "login.oob", "seoobft";
    /// A login was completed with a device's answer.
    PushLogin = "login.push", "seoobft";
    /// A login was completed with the recovery code, which was replaced.
    RecoveryLogin = "login.recovery_code", "sercft gd_recovery_succeed";
    /// The first factor was proven, and a second one is asked for.
    MfaRequired = "login.mfa_required", "mfar";
    /// A login was completed with the password on a device that is remembered.
    RememberedLogin = "login.remembered_device", "sepft";
    /// A token of a remembered device was presented that had been used before; the device is forgotten.
    DeviceTokenReused = "remembered_device.reused", "";
    /// A person had a remembered device forgotten.
    DeviceForgotten = "remembered_device.removed", "";
    /// A refresh token was exchanged.
    TokenRefreshed = "token.refreshed", "sertft";
    /// A refresh token was presented that had been exchanged before; its family is revoked.
    RefreshTokenReused = "token.reused", "ferrt";
    /// A client revoked a refresh token.
    TokenRevoked = "token.revoked", "";
    /// A client wanted to revoke a refresh token of another client, or one that is forged; it lives on.
    RevocationRefused = "revocation.refused", "";
    /// A wrong password, or a name that nobody has.
    PasswordFailed = "proof_rejected.password", "fepft";
    /// No password was looked at: there were too many.
    PasswordThrottled = "throttled.password", "";
    /// No code of an authenticator app was looked at: there were too many.
    OtpThrottled = "throttled.otp", "gd_otp_rate_limit_exceed";
    /// No code that was sent was looked at: there were too many.
    OobThrottled = "throttled.oob", "";
    /// No number typed on a device was looked at: there were too many.
    PushThrottled = "throttled.push", "";
    /// No recovery code was looked at: there were too many.
    RecoveryThrottled = "throttled.recovery_code", "gd_recovery_rate_limit_exceed";
    /// A refresh token was refused.
    RefreshFailed = "proof_rejected.refresh_token", "fertft";
    /// A wrong code of an authenticator app.
    OtpFailed = "proof_rejected.otp", "feotpft";
    /// A wrong code that was sent, or one that was used.
    OobFailed = "proof_rejected.oob", "feoobft";
    /// A device's answer with a wrong number.
    PushFailed = "proof_rejected.push", "gd_auth_failed";
    /// A wrong recovery code.
    RecoveryFailed = "proof_rejected.recovery_code", "fercft gd_recovery_failed";
    /// Nothing came of a challenge, and no code was looked at: it is over, of another login, or was refused on the device.
    ExchangeRefused = "exchange_refused.oob", "feoobft";
    /// An `mfa_token` was presented that opens nothing; `detail` says why. No `user`: it is unknown, or was used.
    MfaTokenRefused = "token_refused.mfa", "";
    /// An access token of the MFA API was presented, to begin or confirm an enrolment, that opens nothing any more.
    AccessTokenRefused = "token_refused.access", "";
    /// An enrolment was begun.
    EnrollmentStarted = "enrollment.started", "gd_start_enroll";
    /// An enrolment was not begun; `detail` says why.
    EnrollmentRefused = "enrollment.refused", "gd_start_enroll_failed";
    /// An enrolment was not confirmed, and no code was looked at, or the right one came too late.
    EnrollmentUnconfirmed = "enrollment.unconfirmed", "gd_start_enroll_failed";
    /// An enrolment was confirmed.
    EnrollmentCompleted = "enrollment.completed", "gd_enrollment_complete";
    /// A code is on its way, or a device is asked, to complete a login.
    ChallengeOpened = "challenge.opened", "gd_start_auth";
    /// No code was sent, and no device asked, to complete a login; `detail` says why.
    ChallengeRefused = "challenge.refused", "";
    /// A text message with a code left: its provider took it.
    SmsSent = "message_sent.sms", "gd_send_sms";
    /// A text message with a code was given up; here and below, `detail` says why.
    SmsFailed = "message_failed.sms", "gd_send_sms_failure";
    /// A call with a code left: its provider took it.
    CallMade = "message_sent.voice", "gd_send_voice";
    /// A call with a code was given up.
    CallFailed = "message_failed.voice", "gd_send_voice_failure";
    /// An e-mail with a code left: its provider took it.
    EmailSent = "message_sent.email", "gd_send_email";
    /// An e-mail with a code was given up.
    EmailFailed = "message_failed.email", "gd_send_email_failure";
    /// The notification that asks a device left: its push service took it.
    PushSent = "message_sent.push", "gd_send_pn";
    /// The notification that asks a device was given up.
    PushNotSent = "message_failed.push", "gd_send_pn_failure";
    /// A notice of something that happened to the account left: its provider took it.
    NoticeSent = "message_sent.notice", "";
    /// A notice was given up.
    NoticeFailed = "message_failed.notice", "";
    /// The owner of a device agreed to a login. It is complete when the client fetches it.
    DeviceApproved = "device.approved", "gd_auth_succeed";
    /// The owner of a device refused a login.
    DeviceRefused = "device.refused", "gd_auth_rejected";
    /// A device gave its key.
    DeviceRegistered = "device.registered", "";
    /// A device changed what it is reached by.
    DeviceUpdated = "device.updated", "gd_update_device_account";
    /// A device removed its own authenticator.
    DeviceRemoved = "device.removed", "gd_unenroll";
    /// An authenticator was renamed or preferred.
    AuthenticatorUpdated = "authenticator.updated", "gd_update_device_account";
    /// An authenticator was removed.
    AuthenticatorRemoved = "authenticator.removed", "gd_unenroll";
    /// An authenticator was removed by the link of a notice: its owner does not know it.
    AuthenticatorRepudiated = "authenticator.repudiated", "gd_unenroll";
    /// An account was made at the first login that a client asserted.
    UserAsserted = "user.asserted", "";
    /// An operator made an account.
    UserAdded = "user.added", "";
    /// An operator set a password.
    PasswordSet = "user.password_set", "";
    /// An operator blocked an account.
    UserBlocked = "user.blocked", "";
    /// An operator unblocked an account.
    UserUnblocked = "user.unblocked", "";
    /// An operator removed all factors of an account.
    FactorsReset = "user.factors_reset", "gd_unenroll";
    /// An operator changed where notices go.
    AddressesChanged = "user.notification_addresses_changed", "";
    /// A signing key was made; `detail` says which. Where no operator is named, here and below, the server did it by itself.
    SigningKeyAdded = "signing_key.added", "";
    /// A signing key took over.
    SigningKeyPromoted = "signing_key.promoted", "";
    /// A signing key signs nothing any more, and none took over: no API uses its algorithm.
    SigningKeyEnded = "signing_key.ended", "";
    /// A signing key was retired: what it signed is void.
    SigningKeyRetired = "signing_key.retired", "";
    /// An operator ended everything that anybody had in flight.
    EverythingEnded = "deployment.everything_ended", "";
    /// An operator fenced a restored database: what was issued or in flight is void; `detail` says what became of factors.
    Fenced = "deployment.fenced", "";
    /// An operator had a data key made.
    DataKeyAdded = "data_key.added", "";
    /// An operator dropped a data key.
    DataKeyDropped = "data_key.dropped", "";
    /// The chain of the rows begins.
    TrailStarted = "trail.started", "";
}

impl Event {
    /// The event with this name in the trail.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|event| event.as_str() == name)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_event_has_a_name_of_its_own() {
        let names: HashSet<_> = Event::ALL.iter().map(|event| event.as_str()).collect();
        assert_eq!(names.len(), Event::ALL.len());
        assert!(Event::ALL.iter().all(|event| Event::from_name(event.as_str()) == Some(*event)));
    }

    /// The codes of the contract, section 13.
    const CODES: [&str; 33] = [
        "sepft",
        "fepft",
        "mfar",
        "seotpft",
        "feotpft",
        "seoobft",
        "feoobft",
        "sercft",
        "fercft",
        "sertft",
        "fertft",
        "ferrt",
        "gd_start_enroll",
        "gd_enrollment_complete",
        "gd_start_enroll_failed",
        "gd_start_auth",
        "gd_auth_succeed",
        "gd_auth_failed",
        "gd_auth_rejected",
        "gd_otp_rate_limit_exceed",
        "gd_recovery_rate_limit_exceed",
        "gd_recovery_succeed",
        "gd_recovery_failed",
        "gd_send_sms",
        "gd_send_voice",
        "gd_send_email",
        "gd_send_pn",
        "gd_send_sms_failure",
        "gd_send_voice_failure",
        "gd_send_email_failure",
        "gd_send_pn_failure",
        "gd_unenroll",
        "gd_update_device_account",
    ];

    #[test]
    fn every_log_code_that_operators_know_is_some_events() {
        let codes: HashSet<_> = Event::ALL.iter().flat_map(|event| event.log_code().split(' ')).collect();
        for code in CODES {
            assert!(codes.contains(code), "{code}");
        }
    }
}
