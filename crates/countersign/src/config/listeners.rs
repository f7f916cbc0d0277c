//! Listeners, the gateway on them, and how they stop.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::tls::{Authorities, Files};

const fn loopback(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}

/// The gRPC API.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct GrpcConfig {
    /// Whether it is served.
    pub enabled: bool,
    /// Address and port; `0.0.0.0` for all addresses, port `0` for any free one.
    #[schemars(with = "String")]
    pub listen: SocketAddr,
    /// TLS.
    pub tls: TlsConfig,
}

impl Default for GrpcConfig {
    fn default() -> Self {
        Self { enabled: true, listen: loopback(50_051), tls: TlsConfig::default() }
    }
}

/// TLS of the gRPC API (1.2 and 1.3).
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TlsConfig {
    /// Whether connections are encrypted.
    pub enabled: bool,
    /// The certificate chain, a PEM file.
    #[schemars(with = "String")]
    pub cert_file: PathBuf,
    /// The private key, a PEM file.
    #[schemars(with = "String")]
    pub key_file: PathBuf,
    /// Authorities that sign callers' certificates, a PEM file with one or, while one replaces another, several. Empty: no caller shows a
    /// certificate.
    #[schemars(with = "String")]
    pub client_ca_file: PathBuf,
    /// Whether every caller must show a certificate then.
    pub client_certificates: ClientCertificatesName,
    /// Names in the certificates of gateways, each a URI or the name of a host, exactly as in the certificate. Who shows one of them is
    /// believed when it says where a person is (`end_user.address`).
    pub gateways: Vec<String>,
}

/// Whether callers must show a certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ClientCertificatesName {
    /// Without one there is no connection.
    #[default]
    Required,
    /// Who shows none proves itself in another way. One that is shown must be good.
    Optional,
}

impl GrpcConfig {
    /// The files of TLS, if connections are encrypted.
    pub fn files(&self) -> Option<Files> {
        let tls = &self.tls;
        let authorities = (!tls.client_ca_file.as_os_str().is_empty()).then(|| Authorities {
            file: tls.client_ca_file.clone(),
            optional: tls.client_certificates == ClientCertificatesName::Optional,
        });
        let files = || Files { cert: tls.cert_file.clone(), key: tls.key_file.clone(), authorities };
        (self.enabled && tls.enabled).then(files)
    }
}

/// The HTTP API without TLS.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HttpConfig {
    /// Whether it is served.
    pub enabled: bool,
    /// Address and port.
    #[schemars(with = "String")]
    pub listen: SocketAddr,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self { enabled: true, listen: loopback(8080) }
    }
}

/// The HTTP API with TLS (1.2 and 1.3).
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HttpsConfig {
    /// Whether it is served.
    pub enabled: bool,
    /// Address and port.
    #[schemars(with = "String")]
    pub listen: SocketAddr,
    /// The certificate chain, a PEM file.
    #[schemars(with = "String")]
    pub cert_file: PathBuf,
    /// The private key, a PEM file.
    #[schemars(with = "String")]
    pub key_file: PathBuf,
}

impl Default for HttpsConfig {
    fn default() -> Self {
        Self { enabled: false, listen: loopback(8443), cert_file: PathBuf::new(), key_file: PathBuf::new() }
    }
}

impl HttpsConfig {
    /// The files of TLS, if it is served.
    pub fn files(&self) -> Option<Files> {
        let files = || Files { cert: self.cert_file.clone(), key: self.key_file.clone(), authorities: None };
        self.enabled.then(files)
    }
}

/// The ops listener: `/healthz`, `/readyz`, `/metrics`.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct OpsConfig {
    /// Address and port.
    #[schemars(with = "String")]
    pub listen: SocketAddr,
}

impl Default for OpsConfig {
    fn default() -> Self {
        Self { listen: loopback(9090) }
    }
}

/// What the HTTP API leaves open.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct GatewaySection {
    /// Networks of proxies whose `X-Forwarded-For` is believed, such as `10.0.0.0/8`.
    #[schemars(with = "Vec<String>")]
    pub trusted_proxies: Vec<IpNet>,
    /// How a wrong client secret is answered.
    pub client_error: ClientErrorName,
    /// How `/mfa/challenge` answers who has no authenticator.
    pub not_enrolled_error: NotEnrolledName,
}

/// The answer to a wrong client secret, always with status 401.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ClientErrorName {
    /// What Auth0 has been seen to say.
    #[default]
    AccessDenied,
    /// What RFC 6749, section 5.2 says.
    InvalidClient,
}

/// The answer to a challenge of who has no authenticator.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NotEnrolledName {
    /// What SDKs read as "must enrol".
    #[default]
    UnsupportedChallengeType,
    /// What the draft says.
    AssociationRequired,
}

/// Limits on connections.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ConnectionsConfig {
    /// The most connections at once; more are closed as they come.
    pub max: usize,
    /// The most connections at once from one address. Raise it behind a proxy, which is one address.
    pub max_per_address: usize,
}

impl Default for ConnectionsConfig {
    fn default() -> Self {
        Self { max: 4096, max_per_address: 256 }
    }
}

/// How the server stops.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ShutdownConfig {
    /// How long the server says "not ready" before it stops accepting, so that load balancers notice.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub drain: Duration,
    /// How long requests that have begun, and messages that are on their way to a provider, may still take then.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub in_flight: Duration,
}

impl Default for ShutdownConfig {
    fn default() -> Self {
        Self { drain: Duration::from_secs(5), in_flight: Duration::from_secs(10) }
    }
}
