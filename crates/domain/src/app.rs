//! The application: the ports and the registry that every use case speaks to.

use std::{net::IpAddr, sync::Arc};

use crate::{
    attempt::InFlight,
    audit::budget::AuditBudget,
    certificate::CertificateNames,
    id::{AuthenticatorId, ClientId, Scope},
    message::Channel,
    port::{
        authenticator_store::AuthenticatorStore,
        clock::Clock,
        device_verifier::DeviceVerifier,
        entropy::Entropy,
        login_store::LoginStore,
        outbox_store::{Bell, OutboxStore},
        password_hasher::PasswordHasher,
        refresh_store::RefreshStore,
        repudiation_store::RepudiationStore,
        sealer::Sealer,
        sender::Sender,
        session_store::SessionStore,
        signer::Signer,
        user_store::UserStore,
    },
    presence::Presence,
    registry::Registry,
    secret::Secret,
    wakes::Wakes,
};

/// Everything a use case needs. Cheap to clone behind an `Arc`; a clone with another port is for tests and benchmarks.
#[derive(Clone)]
pub struct App {
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
    /// Accounts.
    pub users: Arc<dyn UserStore>,
    /// Authenticators.
    pub authenticators: Arc<dyn AuthenticatorStore>,
    /// Links of notices.
    pub repudiations: Arc<dyn RepudiationStore>,
    /// Families of refresh tokens.
    pub refresh: Arc<dyn RefreshStore>,
    /// The commit point.
    pub logins: Arc<dyn LoginStore>,
    /// Transactions and throttles.
    pub sessions: Arc<dyn SessionStore>,
    /// Passwords.
    pub hasher: Arc<dyn PasswordHasher>,
    /// Encryption at rest.
    pub sealer: Arc<dyn Sealer>,
    /// Tokens.
    pub signer: Arc<dyn Signer>,
    /// Signatures of devices.
    pub devices: Arc<dyn DeviceVerifier>,
    /// Messages that wait to be sent.
    pub outbox: Arc<dyn OutboxStore>,
    /// Whoever sends them.
    pub sender: Arc<dyn Sender>,
    /// Wakes whoever empties the outbox.
    pub bell: Arc<dyn Bell>,
    /// Who waits for a device here.
    pub wakes: Arc<Wakes>,
    /// Passwords being looked at.
    pub in_flight: Arc<InFlight>,
    /// Rows of the audit trail that strangers may cause.
    pub audit_budget: Arc<AuditBudget>,
    /// Who runs this process, for the rows of an operator's changes.
    pub operator: Option<Arc<str>>,
    /// What the operator declared.
    pub registry: Registry,
}

/// The client's own proof, as it came.
#[derive(Clone, Debug)]
pub struct ClientCredentials {
    /// Who it says it is. `None`: its assertion says so.
    pub client_id: Option<ClientId>,
    /// What it sent to prove it.
    pub proof: Option<ClientProof>,
    /// The names in the certificate of the connection. `None`: there was none, or it was not the client's own connection.
    pub certificate: Option<CertificateNames>,
}

/// What a client proves itself with.
#[derive(Clone, Debug)]
pub enum ClientProof {
    /// Its secret.
    Secret(Secret<String>),
    /// A JWT signed with its private key (RFC 7523, section 2.2).
    Assertion(Secret<String>),
}

/// Where the person is, as far as it is believed.
#[derive(Clone, Debug, Default)]
pub struct Origin {
    /// Address that throttles and the audit trail use. From the connection, or from a gateway that is believed.
    pub address: Option<IpAddr>,
    /// Address the client forwarded (`auth0-forwarded-for`). Used only if the client is trusted with it and has proven itself
    /// with a secret.
    pub forwarded_for: Option<IpAddr>,
    /// The languages the person reads, as in `Accept-Language` (RFC 9110, section 12.5.4). Said by anybody: it chooses words only.
    pub languages: Option<String>,
    /// The browser or app the person logs in with, as its `User-Agent` says. Said by anybody: it is only shown.
    pub user_agent: Option<String>,
    /// What the device was last remembered by.
    pub device_token: Option<Secret<String>>,
    /// Whether the device is to be remembered once the second factor is proven.
    pub remember_device: bool,
    /// Whether somebody still waits for the answer.
    pub presence: Presence,
}

/// The bearer token of a call, as it came.
pub type Bearer = Secret<String>;

/// The scopes a request names; `None` if it names none.
pub type RequestedScopes = Option<Vec<Scope>>;

/// An authenticator as the person may see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthenticatorView {
    /// Its id.
    pub id: AuthenticatorId,
    /// What it is.
    pub factor: FactorView,
    /// Where it stands.
    pub state: StateView,
    /// The name its owner gave it, or where its codes go, masked.
    pub name: Option<String>,
    /// Whether its owner prefers it.
    pub preferred: bool,
    /// When it was associated.
    pub created_at: crate::time::Timestamp,
    /// When it last completed a login.
    pub last_used_at: Option<crate::time::Timestamp>,
}

/// What an authenticator is, without what proves it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FactorView {
    /// An authenticator app.
    Otp {
        /// Hash of the HMAC.
        algorithm: crate::factor::otp::OtpAlgorithm,
        /// Digits of a code.
        digits: u8,
    },
    /// Codes that are sent.
    Oob {
        /// The way they take.
        channel: Channel,
    },
    /// The recovery code.
    RecoveryCode,
}

/// Where an authenticator stands, as the person may see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StateView {
    /// Not confirmed.
    Pending,
    /// Usable.
    Active,
    /// Disabled by too many failures.
    Disabled,
}
