//! What happened, for the audit trail. A row is written in the transaction that made it true.

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

/// The kinds of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// A login was completed with the password alone.
    PasswordLogin,
    /// A login was completed with a code of an authenticator app.
    OtpLogin,
    /// A login was completed with a code that was sent.
    OobLogin,
    /// A login was completed with a device's answer.
    PushLogin,
    /// A login was completed with the recovery code, which was replaced.
    RecoveryLogin,
    /// A refresh token was exchanged.
    TokenRefreshed,
    /// A refresh token was presented that had been exchanged before; its family is revoked.
    RefreshTokenReused,
    /// A client revoked a refresh token.
    TokenRevoked,
    /// A wrong code of an authenticator app.
    OtpFailed,
    /// A wrong code that was sent, or one that was used.
    OobFailed,
    /// A device's answer with a wrong number.
    PushFailed,
    /// A wrong recovery code.
    RecoveryFailed,
    /// An enrolment was begun.
    EnrollmentStarted,
    /// An enrolment was confirmed.
    EnrollmentCompleted,
    /// The owner of a device agreed to a login. It is complete when the client fetches it.
    DeviceApproved,
    /// The owner of a device refused a login.
    DeviceRefused,
    /// A device gave its key.
    DeviceRegistered,
    /// A device changed what it is reached by.
    DeviceUpdated,
    /// A device removed its own authenticator.
    DeviceRemoved,
    /// An authenticator was renamed or preferred.
    AuthenticatorUpdated,
    /// An authenticator was removed.
    AuthenticatorRemoved,
    /// An authenticator was removed by the link of a notice: its owner does not know it.
    AuthenticatorRepudiated,
    /// An operator made an account.
    UserAdded,
    /// An operator set a password.
    PasswordSet,
    /// An operator blocked an account.
    UserBlocked,
    /// An operator unblocked an account.
    UserUnblocked,
    /// An operator removed all factors of an account.
    FactorsReset,
    /// An operator changed where notices go.
    AddressesChanged,
}

impl Event {
    /// The name in the column, stable.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PasswordLogin => "login.password",
            Self::OtpLogin => "login.otp",
            Self::OobLogin => "login.oob",
            Self::PushLogin => "login.push",
            Self::RecoveryLogin => "login.recovery_code",
            Self::TokenRefreshed => "token.refreshed",
            Self::RefreshTokenReused => "token.reused",
            Self::TokenRevoked => "token.revoked",
            Self::OtpFailed => "proof_rejected.otp",
            Self::OobFailed => "proof_rejected.oob",
            Self::PushFailed => "proof_rejected.push",
            Self::RecoveryFailed => "proof_rejected.recovery_code",
            Self::EnrollmentStarted => "enrollment.started",
            Self::EnrollmentCompleted => "enrollment.completed",
            Self::DeviceApproved => "device.approved",
            Self::DeviceRefused => "device.refused",
            Self::DeviceRegistered => "device.registered",
            Self::DeviceUpdated => "device.updated",
            Self::DeviceRemoved => "device.removed",
            Self::AuthenticatorUpdated => "authenticator.updated",
            Self::AuthenticatorRemoved => "authenticator.removed",
            Self::AuthenticatorRepudiated => "authenticator.repudiated",
            Self::UserAdded => "user.added",
            Self::PasswordSet => "user.password_set",
            Self::UserBlocked => "user.blocked",
            Self::UserUnblocked => "user.unblocked",
            Self::FactorsReset => "user.factors_reset",
            Self::AddressesChanged => "user.notification_addresses_changed",
        }
    }
}
