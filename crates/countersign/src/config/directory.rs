//! Clients, APIs, realms and people.

use std::{path::PathBuf, time::Duration};

use countersign_domain::{port::signer::Algorithm, registry::GrantType};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    limits::{ContextConfig, FactorName, MfaDemandName, StrengthName},
    secret::SecretText,
};

/// An application.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a setting by itself, and any of them may be on")]
pub struct ClientConfig {
    /// Its `client_id`.
    pub id: String,
    /// A name for people.
    pub name: String,
    /// How it proves itself.
    pub authentication: ClientAuthName,
    /// Its secrets, 16 characters or more; any of them is good, so that they can be changed without a gap.
    pub secrets: Vec<SecretText>,
    /// Files with a secret each, instead of `secrets`.
    #[schemars(with = "Vec<String>")]
    pub secret_files: Vec<PathBuf>,
    /// The public keys of what it signs, each a text: a public key in PEM or a JWK set. For `authentication = "private-key-jwt"`, and for
    /// logins that it asserts over HTTP.
    pub keys: Vec<String>,
    /// Files with such a text each, instead of `keys`.
    #[schemars(with = "Vec<String>")]
    pub key_files: Vec<PathBuf>,
    /// The names in its certificate, for `authentication = "tls-client-auth"`: each a URI, such as `spiffe://example.com/shop`, or the name of a
    /// host, exactly as in the certificate. One of them is enough. A certificate that is a client's speaks for no other client.
    pub certificate_names: Vec<String>,
    /// Whether its assertions may name the token endpoint as their audience, as RFC 7523 had it, besides the issuer, as its successor wants
    /// it. For libraries that cannot do otherwise, as authlib does by itself; give it `exp` too, which is at most five minutes ahead.
    pub token_endpoint_audience: bool,
    /// Whether its assertions may name their one audience in a list of one, as go-auth0 does before 2.8; the successor of RFC 7523 wants a text.
    pub audience_list: bool,
    /// Whether `/mfa/challenge` needs its assertion too. Auth0's libraries send none there, where an `mfa_token` is needed anyway.
    pub challenges_need_assertion: bool,
    /// The grants it may use. The `password` grants hand the person's password to the application, and RFC 9700, section 2.4
    /// says they MUST NOT be used: they are off unless listed, and the log warns of each client that has them.
    pub grant_types: Vec<GrantName>,
    /// The realm of its `password` grants. Empty: the `default_realm` above.
    pub default_realm: String,
    /// Origins whose pages may call (CORS), such as `https://app.example.com`.
    pub origins: Vec<String>,
    /// When its people are asked for a second factor. Left out: as `mfa.demand` says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mfa_demand: Option<MfaDemandName>,
    /// What `mfa_demand = "context"` looks at. Left out: as `mfa.context` says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mfa_context: Option<ContextConfig>,
    /// The factors that its people may use or enrol, of `mfa.factors`. Empty: all. The recovery code always may be used.
    pub mfa_factors: Vec<FactorName>,
    /// How strong their second factor must be.
    pub mfa_strength: StrengthName,
    /// For how long who must enrol a second factor may log in without, from when they were first told; they have that once. At most 90days,
    /// and none where a strength is required. Left out: not at all where its people are asked always.
    #[serde(with = "humantime_serde", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub mfa_grace: Option<Duration>,
    /// Whether `mfa_required` names the factors that can be used or enrolled.
    pub publish_mfa_requirements: bool,
    /// Whether tokens say how the person authenticated (`auth_time`, `amr`, `acr`).
    pub authentication_claims: bool,
    /// Whether the header `auth0-forwarded-for` of its authenticated requests is believed.
    pub trust_forwarded_for: bool,
    /// Lifetime of its ID tokens. 1m to 30days.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub id_token_lifetime: Duration,
    /// Its refresh tokens, if `refresh_token` is among its grants.
    pub refresh: RefreshConfig,
    /// For how long a device stays remembered on which a second factor was proven: logins that bring its `device_token` are then asked for
    /// the password alone. 0s: devices are not remembered. At most 8766h (a year). It counts for devices that are remembered from then on.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub remember_devices_for: Duration,
    /// The audiences of the APIs whose tokens it may ask about (`/oauth/introspect`). Empty: it may not ask.
    pub introspects: Vec<String>,
    /// The APIs it may call as itself, if `client_credentials` is among its grants.
    pub services: Vec<ServiceConfig>,
    /// Whose logins it may assert, if `asserted-login` is among its grants.
    pub asserts: AssertsConfig,
}

/// An API that a client may call as itself.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ServiceConfig {
    /// The API's audience.
    pub audience: String,
    /// The scopes the client may have of it.
    pub scopes: Vec<String>,
}

/// The logins that a client may assert: it says that a person has logged in with it, and goes on from there.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AssertsConfig {
    /// The realm of its people.
    pub realm: String,
    /// Whether an account is made for who is asserted and not known.
    pub create_users: bool,
    /// How long ago the login may have been. 1s to 1h.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub max_age: Duration,
}

impl Default for AssertsConfig {
    fn default() -> Self {
        Self { realm: String::new(), create_users: false, max_age: Duration::from_secs(300) }
    }
}

/// A client's refresh tokens.
#[expect(clippy::struct_excessive_bools, reason = "each is a setting of its own")]
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RefreshConfig {
    /// Whether each exchange yields another token and ends the one that was presented. If that is presented again, all that came of the
    /// same login is revoked. A client without authentication must rotate (RFC 9700, section 2.2.2).
    pub rotate: bool,
    /// For how long after an exchange the same token may be exchanged again, for an answer that got lost. It yields the same successor.
    /// 0s (as at Auth0, where a lost answer ends the login) to 1m.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub overlap: Duration,
    /// Whether they expire. A client without authentication must have tokens that do.
    pub expire: bool,
    /// How long after the login the last one expires. It counts for logins from then on. 1s to 8766h (a year).
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub lifetime: Duration,
    /// How long one lives that is not used; at most `lifetime`. It counts at once. 1s to 8766h (a year).
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub idle_lifetime: Duration,
    /// Whether an exchange asks for a second factor whenever a login would. The token that was presented is spent when it is given.
    pub mfa: bool,
    /// Whether revoking one (`/oauth/revoke`) ends all of the same person, client and audience.
    pub revoke_all: bool,
}

impl Default for RefreshConfig {
    fn default() -> Self {
        Self {
            rotate: true,
            overlap: Duration::from_secs(10),
            expire: true,
            lifetime: Duration::from_secs(30 * 86_400),
            idle_lifetime: Duration::from_secs(30 * 86_400),
            mfa: false,
            revoke_all: false,
        }
    }
}

impl Default for ClientConfig {
    fn default() -> Self {
        Self {
            id: String::new(),
            name: String::new(),
            authentication: ClientAuthName::Secret,
            secrets: Vec::new(),
            secret_files: Vec::new(),
            keys: Vec::new(),
            key_files: Vec::new(),
            certificate_names: Vec::new(),
            token_endpoint_audience: false,
            audience_list: false,
            challenges_need_assertion: false,
            grant_types: Vec::new(),
            default_realm: String::new(),
            origins: Vec::new(),
            mfa_demand: None,
            mfa_context: None,
            mfa_factors: Vec::new(),
            mfa_strength: StrengthName::Any,
            mfa_grace: None,
            publish_mfa_requirements: false,
            authentication_claims: true,
            trust_forwarded_for: false,
            id_token_lifetime: Duration::from_secs(36_000),
            refresh: RefreshConfig::default(),
            remember_devices_for: Duration::ZERO,
            introspects: Vec::new(),
            services: Vec::new(),
            asserts: AssertsConfig::default(),
        }
    }
}

/// What access tokens look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DialectName {
    /// As Auth0's.
    Auth0,
    /// As RFC 9068 has them.
    Rfc9068,
}

/// How a client proves itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ClientAuthName {
    /// Not at all: a public client, such as an app on a phone or in a browser.
    None,
    /// By a secret, in the body or by HTTP Basic.
    Secret,
    /// By a JWT that it signs with the private key of one of its `keys` (RFC 7523). Nothing that it sends can be used again.
    PrivateKeyJwt,
    /// By a certificate with one of its `certificate_names` (RFC 8705, section 2.1). Over gRPC alone, with `grpc.tls.client_ca_file`.
    TlsClientAuth,
}

/// A grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum GrantName {
    /// Username and password.
    #[serde(rename = "password")]
    Password,
    /// Username, password and realm.
    #[serde(rename = "http://auth0.com/oauth/grant-type/password-realm", alias = "password-realm")]
    PasswordRealm,
    /// `mfa_token` and a code of an authenticator app.
    #[serde(rename = "http://auth0.com/oauth/grant-type/mfa-otp", alias = "mfa-otp")]
    MfaOtp,
    /// `mfa_token` and `oob_code`, with a code that was sent or a device's answer.
    #[serde(rename = "http://auth0.com/oauth/grant-type/mfa-oob", alias = "mfa-oob")]
    MfaOob,
    /// `mfa_token` and the recovery code.
    #[serde(rename = "http://auth0.com/oauth/grant-type/mfa-recovery-code", alias = "mfa-recovery-code")]
    MfaRecoveryCode,
    /// A refresh token, which logins then yield that ask for `offline_access`.
    #[serde(rename = "refresh_token", alias = "refresh-token")]
    RefreshToken,
    /// The client's own proof, for access tokens of its own. Not for clients without authentication.
    #[serde(rename = "client_credentials", alias = "client-credentials")]
    ClientCredentials,
    /// The client's word that a person has logged in with it. Not for clients without authentication.
    #[serde(rename = "urn:countersign:grant-type:asserted-login", alias = "asserted-login")]
    AssertedLogin,
}

impl GrantName {
    /// Those of people who log in here.
    pub const PEOPLE: [Self; 6] =
        [Self::Password, Self::PasswordRealm, Self::MfaOtp, Self::MfaOob, Self::MfaRecoveryCode, Self::RefreshToken];

    /// The grant.
    pub const fn grant(self) -> GrantType {
        match self {
            Self::Password => GrantType::Password,
            Self::PasswordRealm => GrantType::PasswordRealm,
            Self::MfaOtp => GrantType::MfaOtp,
            Self::MfaOob => GrantType::MfaOob,
            Self::MfaRecoveryCode => GrantType::MfaRecoveryCode,
            Self::RefreshToken => GrantType::RefreshToken,
            Self::ClientCredentials => GrantType::ClientCredentials,
            Self::AssertedLogin => GrantType::AssertedLogin,
        }
    }

    /// Whether it hands a person's password to the client.
    pub const fn takes_password(self) -> bool {
        matches!(self, Self::Password | Self::PasswordRealm)
    }
}

/// An API.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ApiConfig {
    /// Its identifier, the `aud` of its access tokens: a URL that need not exist.
    pub audience: String,
    /// The scopes it knows.
    pub scopes: Vec<String>,
    /// How its access tokens are signed: `RS256`, `ES256`, `Ed25519`, or `EdDSA`, which is `Ed25519` under the name that older libraries know.
    #[schemars(with = "String")]
    pub algorithm: Algorithm,
    /// What its access tokens look like: `auth0` (`typ` "JWT", with `azp` and `gty`) or `rfc9068` (`typ` "at+jwt", without them).
    pub dialect: DialectName,
    /// Lifetime of its access tokens. 1m to 30days.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub token_lifetime: Duration,
    /// Whether refresh tokens may be had for it, by the scope `offline_access`.
    pub allow_offline_access: bool,
    /// When a second factor is asked for, besides when the client's rule asks: the stricter of both counts. Left out: as the client.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mfa_demand: Option<MfaDemandName>,
    /// What `mfa_demand = "context"` looks at, besides what the client's rule does. Left out: as `mfa.context` says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mfa_context: Option<ContextConfig>,
    /// The factors that may be used or enrolled, of those the client allows. Empty: all of them.
    pub mfa_factors: Vec<FactorName>,
    /// How strong a second factor must be, if that is stronger than the client says.
    pub mfa_strength: StrengthName,
    /// For how long who must enrol a second factor may log in without, if the client says no shorter. Left out: not at all where the API asks
    /// always, else as the client.
    #[serde(with = "humantime_serde", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub mfa_grace: Option<Duration>,
}

impl Default for ApiConfig {
    fn default() -> Self {
        Self {
            audience: String::new(),
            scopes: Vec::new(),
            algorithm: Algorithm::Rs256,
            dialect: DialectName::Auth0,
            token_lifetime: Duration::from_secs(86_400),
            allow_offline_access: false,
            mfa_demand: None,
            mfa_context: None,
            mfa_factors: Vec::new(),
            mfa_strength: StrengthName::Any,
            mfa_grace: None,
        }
    }
}

/// A realm.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RealmConfig {
    /// Its name, such as `Username-Password-Authentication`.
    pub name: String,
}

/// A person.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct UserConfig {
    /// Their realm. Empty: the `default_realm` above.
    pub realm: String,
    /// Their username.
    pub username: String,
    /// Their address. Empty: none.
    pub email: String,
    /// Whether they have proven to own it.
    pub email_verified: bool,
    /// Where security notices go besides `email`: at most five addresses. An `email` that is not verified gets notices only if there are
    /// none here.
    pub notification_addresses: Vec<String>,
    /// Their full name.
    pub name: String,
    /// Their given name.
    pub given_name: String,
    /// Their family name.
    pub family_name: String,
    /// The address of a picture of them.
    pub picture: String,
    /// Their password as an argon2id PHC string, `$argon2id$v=19$…`.
    pub password_phc: SecretText,
    /// Their password in plain text. The demo alone has this.
    pub password: SecretText,
}
