//! Access tokens of a Google service account: a signed assertion for a bearer (RFC 7523, section 2.1).

use std::{sync::Arc, time::Duration};

use countersign_domain::{
    port::{clock::Clock, sender::SendError},
    secret::Secret,
    time::Timestamp,
};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::Mutex;
use url::Url;
use zeroize::Zeroizing;

use crate::{
    jwt::{JwtKey, KeyError},
    provider::http::{Answer, Http, unsent},
};

const SCOPE: &str = "https://www.googleapis.com/auth/firebase.messaging";
const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
/// What Google allows at most.
const ASSERTION_SECS: i64 = 3600;
/// A token is not used in its last minute: it might end under way.
const MARGIN: Duration = Duration::from_secs(60);
/// Those who waited for a token that did not come do not each ask again.
const PAUSE: Duration = Duration::from_secs(1);

/// The key file.
#[derive(Deserialize)]
pub(super) struct ServiceAccount {
    pub(super) project_id: String,
    pub(super) token_uri: String,
    client_email: String,
    private_key_id: String,
    private_key: Zeroizing<String>,
}

/// Fetches tokens, and keeps one while it is good.
pub(super) struct Access {
    http: Arc<Http>,
    token_uri: Url,
    email: String,
    key_id: String,
    key: JwtKey,
    clock: Arc<dyn Clock>,
    /// Held while a token is fetched, so that it is fetched once for all who wait.
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    token: Option<Token>,
    failed_at: Option<Timestamp>,
}

struct Token {
    value: Secret<String>,
    good_until: Timestamp,
}

/// What Google answers.
#[derive(Deserialize)]
struct TokenAnswer {
    access_token: Zeroizing<String>,
    expires_in: u64,
}

#[derive(Debug, thiserror::Error)]
enum AccessError {
    #[error("no access token: the answer has none")]
    Malformed,
    #[error("no access token: the last try failed just now")]
    Pausing,
    #[error("the assertion cannot be signed")]
    Unsigned,
    #[error("no access token: no answer")]
    Unanswered(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl Access {
    pub(super) fn new(
        account: &ServiceAccount,
        token_uri: Url,
        http: Arc<Http>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, KeyError> {
        Ok(Self {
            http,
            token_uri,
            email: account.client_email.clone(),
            key_id: account.private_key_id.clone(),
            key: JwtKey::rs256(&account.private_key)?,
            clock,
            state: Mutex::default(),
        })
    }

    /// A token that is good for at least a minute more.
    ///
    /// # Errors
    ///
    /// Always `Unavailable`: without a token no message was sent.
    pub(super) async fn token(&self) -> Result<Secret<String>, SendError> {
        let mut state = self.state.lock().await;
        let now = self.clock.now();
        if let Some(token) = state.token.as_ref().filter(|token| now < token.good_until) {
            return Ok(token.value.clone());
        }
        if state.failed_at.is_some_and(|failed_at| now < failed_at.plus(PAUSE)) {
            return Err(unsent(AccessError::Pausing));
        }
        match self.fetch(now).await {
            Ok(token) => {
                let value = token.value.clone();
                *state = State { token: Some(token), failed_at: None };
                Ok(value)
            }
            Err(error) => {
                *state = State { token: None, failed_at: Some(self.clock.now()) };
                Err(error)
            }
        }
    }

    /// Gives `token` up, unless another has taken its place already.
    pub(super) async fn forget(&self, token: &Secret<String>) {
        let mut state = self.state.lock().await;
        if state.token.as_ref().is_some_and(|kept| kept.value.expose() == token.expose()) {
            state.token = None;
        }
    }

    async fn fetch(&self, now: Timestamp) -> Result<Token, SendError> {
        let assertion = self.key.sign(&self.key_id, &self.claims(now)).map_err(|_| unsent(AccessError::Unsigned))?;
        let form = [("grant_type", GRANT_TYPE), ("assertion", assertion.expose())];
        let request = self.http.client.post(self.token_uri.clone()).form(&form);
        let answer = self.http.ask(request).await.map_err(not_sent)?;
        if !matches!(answer.status, 200..=299) {
            return Err(answer.unavailable(answer.error(code(&answer))));
        }
        let token: TokenAnswer = serde_json::from_slice(&answer.body)
            // The parser's error might quote the token.
            .map_err(|_| unsent(AccessError::Malformed))?;
        let lifetime = Duration::from_secs(token.expires_in.min(24 * 3600));
        Ok(Token {
            value: Secret::new((*token.access_token).clone()),
            good_until: now.plus(lifetime.saturating_sub(MARGIN)),
        })
    }

    fn claims(&self, now: Timestamp) -> Value {
        json!({
            "iss": self.email,
            "scope": SCOPE,
            "aud": self.token_uri.as_str(),
            "iat": now.as_secs(),
            "exp": now.as_secs().saturating_add(ASSERTION_SECS),
        })
    }
}

/// A token that may or may not have been issued is of no matter; the message was not sent.
fn not_sent(error: SendError) -> SendError {
    match error {
        SendError::Refused(source) | SendError::Unknown(source) => unsent(AccessError::Unanswered(source)),
        certain @ (SendError::Unavailable { .. } | SendError::Deferred { .. }) => certain,
    }
}

/// The error codes of RFC 6749, section 5.2, that a service account can meet.
fn code(answer: &Answer) -> Option<&'static str> {
    let body: Value = serde_json::from_slice(&answer.body).ok()?;
    let told = body.get("error")?.as_str()?;
    ["invalid_client", "invalid_grant", "invalid_request", "invalid_scope", "unauthorized_client"]
        .into_iter()
        .find(|known| *known == told)
}
