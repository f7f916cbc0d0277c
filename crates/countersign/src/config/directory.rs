//! Clients, APIs, realms and people.

use std::{path::PathBuf, time::Duration};

use countersign_domain::{port::signer::Algorithm, registry::GrantType};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{limits::MfaDemandName, secret::SecretText};

/// An application.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
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
}

impl Default for ClientConfig {
    fn default() -> Self {
        Self {
            id: String::new(),
            name: String::new(),
            authentication: ClientAuthName::Secret,
            secrets: Vec::new(),
            secret_files: Vec::new(),
            grant_types: Vec::new(),
            default_realm: String::new(),
            origins: Vec::new(),
            mfa_demand: None,
            publish_mfa_requirements: false,
            authentication_claims: true,
            trust_forwarded_for: false,
            id_token_lifetime: Duration::from_secs(36_000),
        }
    }
}

/// How a client proves itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ClientAuthName {
    /// Not at all: a public client, such as an app on a phone or in a browser.
    None,
    /// By a secret, in the body or by HTTP Basic.
    Secret,
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
}

impl GrantName {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Password, Self::PasswordRealm, Self::MfaOtp, Self::MfaOob, Self::MfaRecoveryCode];

    /// The grant.
    pub const fn grant(self) -> GrantType {
        match self {
            Self::Password => GrantType::Password,
            Self::PasswordRealm => GrantType::PasswordRealm,
            Self::MfaOtp => GrantType::MfaOtp,
            Self::MfaOob => GrantType::MfaOob,
            Self::MfaRecoveryCode => GrantType::MfaRecoveryCode,
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
    /// How its access tokens are signed: `RS256` or `ES256`.
    #[schemars(with = "String")]
    pub algorithm: Algorithm,
    /// Lifetime of its access tokens. 1m to 30days.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub token_lifetime: Duration,
}

impl Default for ApiConfig {
    fn default() -> Self {
        Self {
            audience: String::new(),
            scopes: Vec::new(),
            algorithm: Algorithm::Rs256,
            token_lifetime: Duration::from_secs(86_400),
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
