//! What the gateway is told at start.

use std::{net::IpAddr, sync::Arc, time::Duration};

/// Judges whether an address is one of our own proxies.
pub type TrustedProxies = Arc<dyn Fn(IpAddr) -> bool + Send + Sync>;
/// Makes request ids: 1 to 128 characters of `[A-Za-z0-9._-]`, never twice the same.
pub type RequestIds = Arc<dyn Fn() -> String + Send + Sync>;
/// Tells the time in whole seconds since the epoch, for `x-ratelimit-reset`.
pub type EpochSeconds = Arc<dyn Fn() -> i64 + Send + Sync>;

/// Everything the gateway is configured with.
#[derive(Clone)]
pub struct GatewayConfig {
    /// The issuer, a URL with a slash at its end. The `OpenAPI` document names it as its server.
    pub issuer: String,
    /// Which browser origins belong to which client (CORS).
    pub origins: Vec<ClientOrigins>,
    /// How a client that could not be authenticated is told so.
    pub client_error: ClientErrorStyle,
    /// How a person without an authenticator is told so at `/mfa/challenge`.
    pub not_enrolled_error: NotEnrolledStyle,
    /// Longest body that is read, in bytes.
    pub body_limit: usize,
    /// How long a body may take to arrive.
    pub body_read_timeout: Duration,
    /// How long a whole request may take; also sent on as `grpc-timeout`.
    pub deadline: Duration,
    /// From whom `X-Forwarded-For` is believed.
    pub trusted_proxies: TrustedProxies,
    /// Where request ids come from when the caller sent none.
    pub request_ids: RequestIds,
    /// Where the time comes from.
    pub now: EpochSeconds,
}

impl GatewayConfig {
    /// The defaults: no browser origins, no trusted proxies, bodies up to 16 KiB within 5 s, answers within 8 s.
    pub fn new(issuer: impl Into<String>, request_ids: RequestIds, now: EpochSeconds) -> Self {
        Self {
            issuer: issuer.into(),
            origins: Vec::new(),
            client_error: ClientErrorStyle::default(),
            not_enrolled_error: NotEnrolledStyle::default(),
            body_limit: 16 * 1024,
            body_read_timeout: Duration::from_secs(5),
            deadline: Duration::from_secs(8),
            trusted_proxies: Arc::new(|_| false),
            request_ids,
            now,
        }
    }
}

/// The browser origins of one client.
#[derive(Clone, Debug)]
pub struct ClientOrigins {
    /// Identifier of the client.
    pub client_id: String,
    /// Its origins as browsers send them, for example `https://app.example`, with no slash at the end.
    pub origins: Vec<String>,
}

/// How a failed client authentication is worded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientErrorStyle {
    /// `access_denied` / `Unauthorized`: what Auth0 sends.
    #[default]
    AccessDenied,
    /// `invalid_client` / `Client authentication failed`: what RFC 6749, section 5.2 says.
    InvalidClient,
}

/// How a challenge for a person without an authenticator is refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NotEnrolledStyle {
    /// `unsupported_challenge_type`: what mobile SDKs read as "enrolment required".
    #[default]
    UnsupportedChallengeType,
    /// `association_required`: what the draft says.
    AssociationRequired,
}
