//! The HTTP client of the providers that speak HTTP.

use std::{path::PathBuf, sync::Arc, time::Duration};

use countersign_domain::{
    port::{clock::Clock, sender::SendError},
    time::Timestamp,
};
use reqwest::{
    Client, ClientBuilder, RequestBuilder, Response,
    header::{HeaderMap, RETRY_AFTER},
    redirect,
};
use rustls::{ClientConfig, crypto::aws_lc_rs};
use rustls_platform_verifier::Verifier;

use super::settings::{self, SettingsError};

/// More of an answer is not read.
const LONGEST_BODY: usize = 64 * 1024;
/// Below what servers usually keep an idle connection for: one that is closed while a request is under way costs a try.
const IDLE: Duration = Duration::from_secs(20);

/// A connection that is kept over HTTP/2 is asked this often whether it still stands.
const KEEP_ALIVE: Duration = Duration::from_secs(60);

/// How a provider is reached over HTTP.
#[derive(Clone, Debug)]
pub struct HttpSettings {
    /// Limit for making a connection. 3 s by default.
    pub connect_timeout: Duration,
    /// Limit of one try, from connecting to the end of the answer. 10 s by default.
    pub timeout: Duration,
    /// PEM file with root certificates to trust besides those of the system.
    pub root_ca_file: Option<PathBuf>,
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self { connect_timeout: Duration::from_secs(3), timeout: Duration::from_secs(10), root_ca_file: None }
    }
}

/// A client that verifies TLS, follows no redirect, asks no proxy and reads no endless answer.
pub(super) struct Http {
    /// What requests are made with.
    pub(super) client: Client,
    clock: Arc<dyn Clock>,
}

/// An answer whose end was read, or whose first 64 KiB.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) retry_after: Option<Duration>,
    pub(super) body: Vec<u8>,
}

/// What went wrong. Bodies are left out: they may repeat what was sent.
#[derive(Debug, thiserror::Error)]
pub(super) enum HttpError {
    #[error("the provider answered with status {0}")]
    Status(u16),
    #[error("the provider answered with status {0} and its code {1}")]
    Code(u16, u32),
    #[error("the provider answered with status {0} and its reason {1}")]
    Reason(u16, &'static str),
    #[error("the provider could not be asked")]
    Connection(#[source] reqwest::Error),
    #[error("the provider gave no whole answer")]
    Broken(#[source] reqwest::Error),
}

impl Http {
    pub(super) fn new(settings: &HttpSettings, clock: Arc<dyn Clock>) -> Result<Self, SettingsError> {
        Self::build(settings, clock, &[], |builder| builder)
    }

    /// Speaks HTTP/2 alone, over connections that are kept.
    pub(super) fn http2(settings: &HttpSettings, clock: Arc<dyn Clock>) -> Result<Self, SettingsError> {
        Self::build(settings, clock, &[b"h2"], |builder| {
            builder
                .http2_prior_knowledge()
                .http2_keep_alive_interval(KEEP_ALIVE)
                .http2_keep_alive_while_idle(true)
                .pool_idle_timeout(None)
        })
    }

    fn build(
        settings: &HttpSettings,
        clock: Arc<dyn Clock>,
        alpn: &[&[u8]],
        adapt: impl FnOnce(ClientBuilder) -> ClientBuilder,
    ) -> Result<Self, SettingsError> {
        let crypto = Arc::new(aws_lc_rs::default_provider());
        let roots = settings::roots(settings.root_ca_file.as_deref())?;
        let refused = |error: rustls::Error| SettingsError::Tls(error.into());
        let verifier = Verifier::new_with_extra_roots(roots, Arc::clone(&crypto)).map_err(refused)?;
        let mut tls = ClientConfig::builder_with_provider(crypto)
            .with_safe_default_protocol_versions()
            .map_err(refused)?
            // Not dangerous: it verifies against the roots of the system and ours.
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth();
        tls.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
        let builder = Client::builder()
            .tls_backend_preconfigured(tls)
            .redirect(redirect::Policy::none())
            .no_proxy()
            .connect_timeout(settings.connect_timeout)
            .timeout(settings.timeout)
            .pool_idle_timeout(IDLE)
            .user_agent(concat!("countersign/", env!("CARGO_PKG_VERSION")));
        let client = adapt(builder).build().map_err(SettingsError::Http)?;
        Ok(Self { client, clock })
    }

    /// Asks once. Without a connection nothing was sent; after that only a whole answer is certain.
    pub(super) async fn ask(&self, request: RequestBuilder) -> Result<Answer, SendError> {
        let response = self.begin(request).await?;
        let status = response.status().as_u16();
        let retry_after = retry_after(response.headers(), self.clock.now());
        let body =
            read(response).await.map_err(|error| SendError::Unknown(HttpError::Broken(error.without_url()).into()))?;
        Ok(Answer { status, retry_after, body })
    }

    /// Asks once, and waits for the beginning of the answer.
    pub(super) async fn begin(&self, request: RequestBuilder) -> Result<Response, SendError> {
        request.send().await.map_err(|error| {
            let error = error.without_url();
            if error.is_connect() || error.is_builder() {
                SendError::Unavailable { retry_after: None, source: HttpError::Connection(error).into() }
            } else {
                SendError::Unknown(HttpError::Broken(error).into())
            }
        })
    }
}

/// What went wrong before anything was sent.
pub(super) fn unsent(error: impl std::error::Error + Send + Sync + 'static) -> SendError {
    SendError::Unavailable { retry_after: None, source: Box::new(error) }
}

impl Answer {
    /// The error of its status, with the provider's reason if it is one we know.
    pub(super) fn error(&self, reason: Option<&'static str>) -> HttpError {
        reason.map_or(HttpError::Status(self.status), |reason| HttpError::Reason(self.status, reason))
    }

    /// It was certainly not sent, because of its recipient or of how many there were, and may be later.
    pub(super) fn deferred(&self, error: HttpError) -> SendError {
        SendError::Deferred { retry_after: self.retry_after, source: error.into() }
    }

    /// It was certainly not sent, and may be later.
    pub(super) fn unavailable(&self, error: HttpError) -> SendError {
        SendError::Unavailable { retry_after: self.retry_after, source: error.into() }
    }
}

async fn read(mut response: Response) -> Result<Vec<u8>, reqwest::Error> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        body.extend(chunk.iter().take(LONGEST_BODY.saturating_sub(body.len())));
        if body.len() >= LONGEST_BODY {
            break;
        }
    }
    Ok(body)
}

/// Seconds, or a date (RFC 9110, section 10.2.3).
fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(value).ok()?.duration_since(std::time::UNIX_EPOCH).ok()?;
    Some(Timestamp::from_millis(0).plus(date).since(now))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = Timestamp::from_millis(784_111_777_000);
        for (value, expected) in [
            ("120", Some(120)),
            ("Sun, 06 Nov 1994 08:50:37 GMT", Some(60)),
            ("Sun, 06 Nov 1994 08:49:36 GMT", Some(0)),
            ("soon", None),
            ("-1", None),
        ] {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, value.parse().unwrap())]);
            assert_eq!(retry_after(&headers, now), expected.map(Duration::from_secs), "{value}");
        }
        assert_eq!(retry_after(&HeaderMap::new(), now), None);
    }
}
