//! Firebase Cloud Messaging, the HTTP v1 API.

mod access;

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use countersign_domain::{
    message::{Message, PushService},
    port::{clock::Clock, sender::SendError},
    secret::Secret,
    time::Timestamp,
};
use reqwest::StatusCode;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use url::Url;

use self::access::{Access, ServiceAccount};
use super::{
    Provider, Rendered, SettingsError, guardian,
    http::{Answer, Http, HttpSettings},
    settings,
};
use crate::jwt::KeyError;

const BASE_URL: &str = "https://fcm.googleapis.com";
/// FCM keeps no message longer.
const MAX_TTL_SECS: i64 = 4 * 7 * 24 * 3600;

/// Access to one Firebase project.
#[derive(Clone, Debug)]
pub struct FcmSettings {
    /// The key file of a service account, the JSON itself. It names the project.
    pub service_account: Secret<String>,
    /// Another address than <https://fcm.googleapis.com>.
    pub base_url: Option<String>,
    /// Another address to get access tokens from than the key file's `token_uri`.
    pub token_uri: Option<String>,
    /// Limits and trust, for FCM and for its access tokens.
    pub http: HttpSettings,
}

/// What is wrong with [`FcmSettings`]. The key file is not quoted.
#[derive(Debug, thiserror::Error)]
pub enum FcmError {
    /// The key file is not that of a service account.
    #[error("the key file is not that of a service account: line {line}, column {column}")]
    KeyFile {
        /// Where reading failed.
        line: usize,
        /// Where in that line.
        column: usize,
    },
    /// Its private key cannot be used.
    #[error("the key file of the service account")]
    Key(#[from] KeyError),
    /// An address or the client.
    #[error(transparent)]
    Settings(#[from] SettingsError),
}

/// Sends notifications to Android devices.
pub struct Fcm {
    http: Arc<Http>,
    url: Url,
    access: Access,
    clock: Arc<dyn Clock>,
}

impl Fcm {
    /// A sender for one project. Asks nobody yet.
    ///
    /// # Errors
    ///
    /// The settings cannot be used.
    pub fn new(settings: &FcmSettings, clock: Arc<dyn Clock>) -> Result<Self, FcmError> {
        let account: ServiceAccount = serde_json::from_str(settings.service_account.expose())
            .map_err(|error| FcmError::KeyFile { line: error.line(), column: error.column() })?;
        let mut url = settings::endpoint(settings.base_url.as_deref().unwrap_or(BASE_URL))?;
        url.path_segments_mut().map_err(|()| SettingsError::Url)?.pop_if_empty().extend([
            "v1",
            "projects",
            &account.project_id,
            "messages:send",
        ]);
        let token_uri = settings::endpoint(settings.token_uri.as_deref().unwrap_or(&account.token_uri))?;
        let http = Arc::new(Http::new(&settings.http, Arc::clone(&clock))?);
        let access = Access::new(&account, token_uri, Arc::clone(&http), Arc::clone(&clock))?;
        Ok(Self { http, url, access, clock })
    }

    async fn post(&self, body: &Value, token: &Secret<String>) -> Result<Answer, SendError> {
        self.http.ask(self.http.client.post(self.url.clone()).bearer_auth(token.expose()).json(body)).await
    }
}

impl fmt::Debug for Fcm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fcm").field("url", &self.url.as_str()).finish_non_exhaustive()
    }
}

#[async_trait]
impl Provider for Fcm {
    /// FCM has no place for an idempotency key: after an answer that did not come, a device may be asked twice about one login.
    async fn send(&self, message: &Message, _words: &Rendered) -> Result<(), SendError> {
        let body = body(message, self.clock.now())?;
        let token = self.access.token().await?;
        let mut answer = self.post(&body, &token).await?;
        if answer.status == StatusCode::UNAUTHORIZED.as_u16() {
            // The token may have been revoked before its time.
            self.access.forget(&token).await;
            let token = self.access.token().await?;
            answer = self.post(&body, &token).await?;
        }
        judge(&answer)
    }
}

/// A message of data alone: the app itself makes the notification, whose words are therefore its own.
fn body(message: &Message, now: Timestamp) -> Result<Value, SendError> {
    let push = guardian::login(message, PushService::Fcm)?;
    let mut data: Map<String, Value> = guardian::texts(push);
    data.insert("s".to_owned(), Value::from(guardian::source(push).to_string()));
    data.insert("l".to_owned(), Value::from(guardian::location(push).to_string()));
    let ttl = message.expires_at.as_secs().saturating_sub(now.as_secs()).clamp(0, MAX_TTL_SECS);
    Ok(json!({
        "message": {
            "token": message.to.expose(),
            "data": data,
            "android": { "priority": "HIGH", "ttl": format!("{ttl}s") },
        }
    }))
}

fn judge(answer: &Answer) -> Result<(), SendError> {
    let code = code(&answer.body);
    match (answer.status, code) {
        (200..=299, _) => Ok(()),
        (404, Some("UNREGISTERED")) | (400, Some("INVALID_ARGUMENT")) => {
            Err(SendError::Refused(answer.error(code).into()))
        }
        // So many to one device, or a device that is another project's.
        (429, Some("QUOTA_EXCEEDED")) | (403, Some("SENDER_ID_MISMATCH")) => Err(answer.deferred(answer.error(code))),
        _ => Err(answer.unavailable(answer.error(code))),
    }
}

/// Codes that may be told: `ErrorCode` of the API, and of `google.rpc.Code` what comes without it.
const CODES: [&str; 11] = [
    "INTERNAL",
    "INVALID_ARGUMENT",
    "NOT_FOUND",
    "PERMISSION_DENIED",
    "QUOTA_EXCEEDED",
    "RESOURCE_EXHAUSTED",
    "SENDER_ID_MISMATCH",
    "THIRD_PARTY_AUTH_ERROR",
    "UNAUTHENTICATED",
    "UNAVAILABLE",
    "UNREGISTERED",
];

/// The most exact code of an answer.
fn code(body: &[u8]) -> Option<&'static str> {
    let answer: ErrorAnswer = serde_json::from_slice(body).ok()?;
    let exact = answer.error.details.into_iter().find_map(|detail| detail.error_code);
    let told = exact.or(answer.error.status)?;
    CODES.into_iter().find(|known| *known == told)
}

#[derive(Deserialize)]
struct ErrorAnswer {
    error: ErrorBody,
}

#[derive(Deserialize)]
struct ErrorBody {
    #[serde(default)]
    status: Option<String>,
    #[serde(default)]
    details: Vec<ErrorDetail>,
}

#[derive(Deserialize)]
struct ErrorDetail {
    #[serde(default, rename = "errorCode")]
    error_code: Option<String>,
}
