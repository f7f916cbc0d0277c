//! What the operator declared: the deployment, its clients, APIs and realms. Read at start, never changed while running.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use crate::{
    authenticator::FactorKind,
    certificate::CertificateName,
    id::{Audience, ClientId, RealmName, Scope},
    message::Channel,
    password_rule::{self, PasswordRule},
    policy::Rule,
    port::{
        assertion_keys::AssertionKeys,
        signer::{Algorithm, TokenType},
    },
    secret::Digest,
};

/// The deployment.
#[derive(Clone, Debug)]
pub struct Registry {
    /// The issuer, a URL with a slash at its end: the `iss` of every token.
    pub issuer: String,
    /// The name people see in their authenticator app.
    pub app_name: String,
    /// The clients.
    pub clients: BTreeMap<ClientId, Client>,
    /// The APIs, without the MFA API and userinfo, which are built in.
    pub apis: BTreeMap<Audience, Api>,
    /// The realms.
    pub realms: BTreeSet<RealmName>,
    /// The realm of clients that name none.
    pub default_realm: Option<RealmName>,
    /// The audience of requests that name none.
    pub default_audience: Option<Audience>,
    /// The factors that may be enrolled, and of those whose codes are sent, that may be challenged. The recovery code always may.
    pub factors: BTreeSet<FactorKind>,
    /// The countries whose numbers messages are sent to, ISO 3166-1 alpha-2. No other number is sent anything.
    pub countries: BTreeSet<String>,
    /// Whether any client or API goes by the context of a login. Only then is remembered what it takes.
    pub goes_by_context: bool,
    /// Lifetimes and limits.
    pub policy: Policy,
}

/// An application that may call (RFC 6749, section 2).
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a setting by itself, and any of them may be on")]
pub struct Client {
    /// Its identifier.
    pub id: ClientId,
    /// What people know it as.
    pub name: String,
    /// How it proves itself.
    pub authentication: ClientAuthMethod,
    /// The public keys of what it signs, if it has any.
    pub keys: Option<Arc<dyn AssertionKeys>>,
    /// Whether its assertions may name the token endpoint in the place of the issuer.
    pub token_endpoint_audience: bool,
    /// Whether its assertions may name their one audience in a list.
    pub audience_list: bool,
    /// Whether a request for a challenge needs its assertion too.
    pub challenges_need_assertion: bool,
    /// The grants it may use.
    pub grants: BTreeSet<GrantType>,
    /// The realm of its `password` grants.
    pub default_realm: Option<RealmName>,
    /// What it demands of its users' logins.
    pub mfa: Rule,
    /// Whether `mfa_required` names the factors over HTTP.
    pub publish_mfa_requirements: bool,
    /// Whether tokens say how the person authenticated (`auth_time`, `amr`, `acr`). Tokens of the MFA API always do.
    pub authentication_claims: bool,
    /// Whether `auth0-forwarded-for` of an authenticated request is believed. Clients that do not prove themselves are never.
    pub trust_forwarded_for: bool,
    /// Lifetime of its ID tokens.
    pub id_token_lifetime: Duration,
    /// Its refresh tokens.
    pub refresh: RefreshPolicy,
    /// For how long a device may be remembered, on which its users then skip the second factor. `None`: not at all.
    pub remembers_devices: Option<Duration>,
    /// The APIs whose tokens it may ask about (RFC 7662).
    pub introspects: BTreeSet<Audience>,
    /// The APIs it may call as itself, and with which scopes.
    pub services: BTreeMap<Audience, BTreeSet<Scope>>,
    /// Whose logins it may assert.
    pub asserts: AssertionPolicy,
}

/// Whose logins a client may assert, if it has the grant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AssertionPolicy {
    /// Those of the people of this realm. `None`: nobody's.
    pub realm: Option<RealmName>,
    /// Whether an account is made for who is not known.
    pub creates_users: bool,
    /// How long ago the login may have been.
    pub max_age: Duration,
}

impl Default for AssertionPolicy {
    fn default() -> Self {
        Self { realm: None, creates_users: false, max_age: Duration::from_secs(300) }
    }
}

/// How a client's refresh tokens live (RFC 9700, section 4.14).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RefreshPolicy {
    /// Whether each exchange yields another token, and ends the one that was presented.
    pub rotates: bool,
    /// For how long after that the one before the current may be presented again; it yields the same successor. Zero: not at all.
    pub overlap: Duration,
    /// How long after the login the last one expires. `None`: never.
    pub lifetime: Option<Duration>,
    /// How long one lives that is not used. `None`: as long as `lifetime` says.
    pub idle_lifetime: Option<Duration>,
    /// Whether an exchange asks for a second factor as a login does.
    pub asks_mfa: bool,
    /// Whether revoking one ends all of the same person, client and audience.
    pub revocation_ends_grant: bool,
}

impl Default for RefreshPolicy {
    fn default() -> Self {
        let month = Duration::from_secs(30 * 86_400);
        Self {
            rotates: true,
            overlap: Duration::from_secs(10),
            lifetime: Some(month),
            idle_lifetime: Some(month),
            asks_mfa: false,
            revocation_ends_grant: false,
        }
    }
}

/// How a client proves itself.
#[derive(Clone, Debug)]
pub enum ClientAuthMethod {
    /// A public client: its identifier is enough.
    None,
    /// Any of these secrets, of which only digests are kept (`Sealer::token_digest` of the domain `client_secret`).
    Secret(Vec<Digest>),
    /// A JWT signed with the private key of one of its `keys` (RFC 7523, section 2.2).
    PrivateKeyJwt,
    /// A certificate with one of these names (RFC 8705, section 2.1).
    Certificate(BTreeSet<CertificateName>),
}

/// Grants as clients are configured for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum GrantType {
    /// `password`
    Password,
    /// `http://auth0.com/oauth/grant-type/password-realm`
    PasswordRealm,
    /// `http://auth0.com/oauth/grant-type/mfa-otp`
    MfaOtp,
    /// `http://auth0.com/oauth/grant-type/mfa-oob`
    MfaOob,
    /// `http://auth0.com/oauth/grant-type/mfa-recovery-code`
    MfaRecoveryCode,
    /// `refresh_token`
    RefreshToken,
    /// `client_credentials`
    ClientCredentials,
    /// Our own: a client says that a person has logged in with it.
    AssertedLogin,
}

impl GrantType {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Password,
        Self::PasswordRealm,
        Self::MfaOtp,
        Self::MfaOob,
        Self::MfaRecoveryCode,
        Self::RefreshToken,
        Self::ClientCredentials,
        Self::AssertedLogin,
    ];

    /// The value of `grant_type` (RFC 6749, section 4; Auth0's extension grants).
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Password => "password",
            Self::PasswordRealm => "http://auth0.com/oauth/grant-type/password-realm",
            Self::MfaOtp => "http://auth0.com/oauth/grant-type/mfa-otp",
            Self::MfaOob => "http://auth0.com/oauth/grant-type/mfa-oob",
            Self::MfaRecoveryCode => "http://auth0.com/oauth/grant-type/mfa-recovery-code",
            Self::RefreshToken => "refresh_token",
            Self::ClientCredentials => "client_credentials",
            Self::AssertedLogin => "urn:countersign:grant-type:asserted-login",
        }
    }

    /// Whether it proves a second factor.
    pub const fn is_mfa(self) -> bool {
        matches!(self, Self::MfaOtp | Self::MfaOob | Self::MfaRecoveryCode)
    }
}

/// An API that access tokens are issued for.
#[derive(Clone, Debug)]
pub struct Api {
    /// Its identifier.
    pub audience: Audience,
    /// The scopes it knows, besides those of OpenID Connect.
    pub scopes: BTreeSet<Scope>,
    /// How its access tokens are signed.
    pub algorithm: Algorithm,
    /// What its access tokens look like.
    pub dialect: TokenDialect,
    /// How long its access tokens live.
    pub token_lifetime: Duration,
    /// Whether refresh tokens may be had for it.
    pub allow_offline_access: bool,
    /// What it demands of logins beyond what their client does.
    pub mfa: Rule,
}

/// What access tokens look like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TokenDialect {
    /// As Auth0's: `typ` "JWT", with `azp` and `gty`.
    #[default]
    Auth0,
    /// As RFC 9068 has them: `typ` "at+jwt", and no claims but those.
    Rfc9068,
}

impl TokenDialect {
    /// The `typ` of its tokens.
    pub const fn token_type(self) -> TokenType {
        match self {
            Self::Auth0 => TokenType::Jwt,
            Self::Rfc9068 => TokenType::AccessToken,
        }
    }
}

/// Lifetimes and limits.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a setting by itself, and any of them may be on")]
pub struct Policy {
    /// Lifetime of an `mfa_token`, and of a pending enrolment.
    pub mfa_token_lifetime: Duration,
    /// Lifetime of access tokens that are good for userinfo only.
    pub userinfo_token_lifetime: Duration,
    /// Wrong codes per person and factor.
    pub factor_failures: Limit,
    /// Whether the last of them locks the factor for a whole interval (PCI DSS 4, 8.3.4).
    pub factor_failures_lock: bool,
    /// Wrong passwords per account and address before it is locked; one comes back after each `refill`.
    pub password_failures: Limit,
    /// Password logins per account and address.
    pub password_rate: Limit,
    /// Userinfo requests per person.
    pub userinfo_rate: Limit,
    /// Whether password limits are counted per account alone, whatever the address.
    pub limits_ignore_address: bool,
    /// Lifetime of a code that was sent, of a question to a device, and of the ticket it enrols with.
    pub oob_code_lifetime: Duration,
    /// Messages that are sent.
    pub sends: SendLimits,
    /// How often one may ask what became of a device that is asked.
    pub poll_rate: Limit,
    /// Whether devices that do not ask for the number the login shows are refused (NIST SP 800-63B-4, section 3.1.3).
    pub number_matching_required: bool,
    /// Whether who enrols a factor that depends on the telephone network is to be told of its risks (NIST SP 800-63B-4, section 3.2.9).
    pub tells_of_restricted: bool,
    /// How long after the login its token may still change a person's factors (RFC 9470).
    pub management_max_age: Duration,
    /// What is asked of new passwords.
    pub passwords: PasswordRule,
    /// Time steps accepted before and after the current one (RFC 6238, section 5.2).
    pub otp_window: OtpWindow,
}

/// Limits of what is sent. Messages cost money and can be used to bomb people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SendLimits {
    /// Text messages and calls per person.
    pub phone: Limit,
    /// E-mails per person.
    pub email: Limit,
    /// Notifications per person.
    pub push: Limit,
    /// Notifications per person that nobody has answered, since their last success with any factor.
    pub push_unanswered: Limit,
    /// Text messages and calls to one number, and e-mails to one address, whoever asks; enrolments and logins apart.
    pub destination: Limit,
    /// Text messages and calls to numbers that differ in their last four digits only.
    pub prefix: Limit,
    /// Text messages and calls to one country.
    pub country: Limit,
    /// Text messages and calls of the deployment.
    pub deployment: Limit,
    /// Enrolments by text messages and calls of numbers that differ in their last four digits only, whose codes nobody has typed in:
    /// numbers that take messages and never log in are what pumping looks like.
    pub unproven: Limit,
}

impl SendLimits {
    /// The limit per person.
    pub const fn of_person(&self, channel: Channel) -> Limit {
        match channel {
            Channel::Sms | Channel::Voice => self.phone,
            Channel::Email => self.email,
            Channel::Push => self.push,
        }
    }
}

impl Default for SendLimits {
    /// Per person as at Auth0; the rest leaves room for a thousand messages a day to one country.
    fn default() -> Self {
        const fn limit(capacity: u32, refill: u64) -> Limit {
            Limit { capacity, refill: Duration::from_secs(refill) }
        }
        Self {
            phone: limit(10, 3600),
            email: limit(20, 60),
            push: limit(5, 12),
            push_unanswered: limit(10, 360),
            destination: limit(20, 1800),
            prefix: limit(50, 360),
            country: limit(1000, 86),
            deployment: limit(5000, 17),
            unproven: limit(20, 1800),
        }
    }
}

/// The size and speed of a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Attempts it holds.
    pub capacity: u32,
    /// How long until one comes back.
    pub refill: Duration,
}

impl Limit {
    /// What the bucket regains in a day, and at least what it holds.
    pub fn per_day(self) -> u32 {
        const DAY: u128 = 86_400_000;
        let regained = DAY / self.refill.as_millis().max(1);
        u32::try_from(regained).unwrap_or(u32::MAX).max(self.capacity)
    }
}

/// Time steps accepted around the current one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OtpWindow {
    /// Steps behind.
    pub behind: u64,
    /// Steps ahead.
    pub ahead: u64,
    /// Whether an app's clock may be a step off besides, as was learned of it.
    pub learns: bool,
}

impl Default for Policy {
    /// The profile `auth0`.
    fn default() -> Self {
        Self {
            mfa_token_lifetime: Duration::from_secs(600),
            userinfo_token_lifetime: Duration::from_secs(86_400),
            factor_failures: Limit { capacity: 10, refill: Duration::from_secs(360) },
            factor_failures_lock: false,
            password_failures: Limit { capacity: 10, refill: Duration::from_secs(30 * 86_400) },
            password_rate: Limit { capacity: 20, refill: Duration::from_secs(6) },
            userinfo_rate: Limit { capacity: 10, refill: Duration::from_secs(12) },
            limits_ignore_address: false,
            oob_code_lifetime: Duration::from_secs(300),
            sends: SendLimits::default(),
            poll_rate: Limit { capacity: 12, refill: Duration::from_secs(5) },
            number_matching_required: false,
            tells_of_restricted: false,
            management_max_age: Duration::from_secs(900),
            passwords: PasswordRule { min_length: password_rule::SHORTEST, refuses_common: true },
            otp_window: OtpWindow { behind: 1, ahead: 1, learns: false },
        }
    }
}

/// Lifetime of access tokens of the MFA API; not configurable, as at Auth0.
pub const MFA_API_TOKEN_LIFETIME: Duration = Duration::from_secs(600);

/// Scopes of the MFA API.
pub const MFA_API_SCOPES: [&str; 3] = ["enroll", "read:authenticators", "remove:authenticators"];

/// The scope that asks for a refresh token (OpenID Connect Core, section 11).
pub const OFFLINE_ACCESS: &str = "offline_access";

/// Scopes of OpenID Connect that are understood, in the order in which they are granted when none is asked for.
pub const OIDC_SCOPES: [&str; 5] = ["openid", "profile", "email", "address", "phone"];

impl Registry {
    /// What `client` and the API behind `audience` demand together.
    pub fn rule(&self, client: &Client, audience: &Audience) -> Rule {
        self.apis.get(audience).map_or(client.mfa, |api| client.mfa.and(api.mfa))
    }

    /// The audience of the MFA API: `<issuer>mfa/`.
    pub fn mfa_audience(&self) -> Audience {
        Audience::new(format!("{}mfa/", self.issuer))
    }

    /// The audience of userinfo: `<issuer>userinfo`.
    pub fn userinfo_audience(&self) -> Audience {
        Audience::new(format!("{}userinfo", self.issuer))
    }

    /// Whether `audience` means the MFA API; the slash at its end may be missing.
    pub fn is_mfa_audience(&self, audience: &str) -> bool {
        audience.strip_suffix('/').unwrap_or(audience).strip_prefix(self.issuer.as_str()) == Some("mfa")
    }

    /// Every algorithm that tokens are signed with: RS256, which ID tokens need, and those of the APIs.
    pub fn algorithms(&self) -> BTreeSet<Algorithm> {
        std::iter::once(Algorithm::Rs256).chain(self.apis.values().map(|api| api.algorithm)).collect()
    }
}
