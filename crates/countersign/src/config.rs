//! What the operator says: defaults in code, then a TOML file, then variables `COUNTERSIGN__SECTION__KEY`.
//!
//! Every mistake is reported, with its path, not only the first. To add a setting, add a field with a doc comment and a default;
//! the reference in `docs/config.md` and the printed default follow from it.

pub mod check;
pub mod directory;
pub mod layers;
pub mod limits;
pub mod listeners;
pub mod messages;
pub mod mistake;
pub mod profile;
pub mod reference;
pub mod registry;
pub mod secret;
pub mod stores;
pub mod telemetry;
mod warnings;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::{
    directory::{ApiConfig, ClientConfig, RealmConfig, UserConfig},
    limits::{LimitsConfig, MfaConfig},
    listeners::{ConnectionsConfig, GatewaySection, GrpcConfig, HttpConfig, HttpsConfig, OpsConfig, ShutdownConfig},
    messages::MessagesConfig,
    profile::ProfileName,
    stores::{KeysConfig, PasswordsConfig, StorageConfig},
    telemetry::{LogConfig, OtlpConfig},
};

/// The whole configuration. Durations are written `500ms`, `10m`, `30days`; sizes and counts are numbers.
///
/// It is never logged: parts of it are secret.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The issuer: the `https` URL people and services reach this deployment at, with a slash at its end. It is the `iss` of
    /// every token, so changing it voids them all. `http` is allowed on loopback only.
    pub issuer: String,
    /// The name people see in their authenticator app. Empty: the host of the issuer, if that is a name.
    pub app_name: String,
    /// A table of limits for the whole deployment. It is the default of the settings it is about, which then may only be made stricter:
    /// `limits`, `mfa`, and the `refresh` of clients. docs/policy.md has the tables.
    pub profile: ProfileName,
    /// The realm of `password` grants of clients that name none of their own. Empty: none.
    pub default_realm: String,
    /// The audience of requests that name none; one of `apis`. Empty: such tokens are good for userinfo only.
    pub default_audience: String,
    /// The gRPC API.
    pub grpc: GrpcConfig,
    /// The HTTP API without TLS, for use behind a proxy that ends it.
    pub http: HttpConfig,
    /// The HTTP API with TLS.
    pub https: HttpsConfig,
    /// Health and metrics, on a listener of their own that is not for the public.
    pub ops: OpsConfig,
    /// The Auth0-shaped HTTP API.
    pub gateway: GatewaySection,
    /// Limits on connections, of all listeners of the APIs together.
    pub connections: ConnectionsConfig,
    /// How the server stops.
    pub shutdown: ShutdownConfig,
    /// Where data lives.
    pub storage: StorageConfig,
    /// Keys.
    pub keys: KeysConfig,
    /// Password hashing (argon2id, RFC 9106).
    pub passwords: PasswordsConfig,
    /// Lifetimes and limits.
    pub limits: LimitsConfig,
    /// The second factor.
    pub mfa: MfaConfig,
    /// Messages to people.
    pub messages: MessagesConfig,
    /// Log lines.
    pub log: LogConfig,
    /// Traces.
    pub otlp: OtlpConfig,
    /// The applications that may call (RFC 6749, section 2).
    pub clients: Vec<ClientConfig>,
    /// The APIs that access tokens are issued for.
    ///
    /// `/.well-known/jwks.json` lists RSA keys only until an API here uses another algorithm (or an operator adds a key of one, see
    /// `docs/keys.md`), and then until that key is retired: `auth0-python` reads every key there as RSA and fails on the first that is not.
    pub apis: Vec<ApiConfig>,
    /// Where usernames and passwords live.
    pub realms: Vec<RealmConfig>,
    /// People to add at start if no account has their name. Later changes here do not change an account.
    pub users: Vec<UserConfig>,
    /// Whether this is the demo, which may have passwords in plain text.
    #[serde(skip)]
    pub demo: bool,
}

#[cfg(test)]
mod tests;
