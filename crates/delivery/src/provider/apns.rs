//! Apple Push Notification service, with token-based authentication.

mod token;

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use aws_lc_rs::digest::{SHA256, digest};
use countersign_domain::{
    id::MessageId,
    message::{Message, PushService},
    port::{clock::Clock, sender::SendError},
    secret::Secret,
};
use reqwest::header::{AUTHORIZATION, HeaderValue, InvalidHeaderValue};
use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;

use self::token::ProviderToken;
use super::{
    Provider, Rendered, SettingsError, guardian,
    http::{Answer, Http, HttpSettings, unsent},
    settings,
};
use crate::jwt::{JwtKey, KeyError};

const BASE_URL: &str = "https://api.push.apple.com";
/// What apps of the Guardian protocol attach their buttons to.
const CATEGORY: &str = "com.auth0.notification.authentication";
/// Apple names no limit; tokens of today have 64 digits.
const MAX_DEVICE_TOKEN_BYTES: usize = 200;

/// Access to one app.
#[derive(Clone, Debug)]
pub struct ApnsSettings {
    /// The signing key, the content of the `.p8` file.
    pub key: Secret<String>,
    /// The key's id, ten characters.
    pub key_id: String,
    /// The id of the developer team, ten characters.
    pub team_id: String,
    /// The app's bundle id.
    pub topic: String,
    /// Another address than <https://api.push.apple.com>, such as <https://api.sandbox.push.apple.com>.
    pub base_url: Option<String>,
    /// Limits and trust.
    pub http: HttpSettings,
}

/// What is wrong with [`ApnsSettings`].
#[derive(Debug, thiserror::Error)]
pub enum ApnsError {
    /// The signing key cannot be used.
    #[error("the signing key")]
    Key(#[from] KeyError),
    /// The topic is not an app's id.
    #[error("the topic is not the id of an app")]
    Topic(#[source] InvalidHeaderValue),
    /// The address or the client.
    #[error(transparent)]
    Settings(#[from] SettingsError),
}

/// Sends notifications to iOS devices.
pub struct Apns {
    http: Http,
    base: Url,
    topic: HeaderValue,
    token: ProviderToken,
    clock: Arc<dyn Clock>,
}

impl Apns {
    /// A sender for one app. Asks nobody yet.
    ///
    /// # Errors
    ///
    /// The settings cannot be used.
    pub fn new(settings: &ApnsSettings, clock: Arc<dyn Clock>) -> Result<Self, ApnsError> {
        let base = settings::endpoint(settings.base_url.as_deref().unwrap_or(BASE_URL))?;
        let key = JwtKey::es256(settings.key.expose())?;
        Ok(Self {
            http: Http::http2(&settings.http, Arc::clone(&clock))?,
            base,
            topic: HeaderValue::from_str(&settings.topic).map_err(ApnsError::Topic)?,
            token: ProviderToken::new(key, settings.key_id.clone(), settings.team_id.clone()),
            clock,
        })
    }

    async fn post(&self, message: &Message, body: &Value, bearer: &Secret<String>) -> Result<Answer, SendError> {
        let mut url = self.base.clone();
        url.path_segments_mut().map_err(|()| unsent(NotPosted::Address))?.pop_if_empty().extend([
            "3",
            "device",
            message.to.expose(),
        ]);
        let mut authorization =
            HeaderValue::from_str(&format!("bearer {}", bearer.expose())).map_err(|_| unsent(NotPosted::Token))?;
        authorization.set_sensitive(true);
        let id = uuid(&message.id);
        let request = self
            .http
            .client
            .post(url)
            .header(AUTHORIZATION, authorization)
            .header("apns-topic", &self.topic)
            .header("apns-push-type", "alert")
            .header("apns-priority", "10")
            .header("apns-expiration", message.expires_at.as_secs().max(0))
            .header("apns-id", &id)
            // Equal at every try, so that a second copy takes the place of the first.
            .header("apns-collapse-id", &id)
            .json(body);
        self.http.ask(request).await
    }
}

impl fmt::Debug for Apns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Apns").field("base", &self.base.as_str()).finish_non_exhaustive()
    }
}

#[async_trait]
impl Provider for Apns {
    async fn send(&self, message: &Message, words: &Rendered) -> Result<(), SendError> {
        let body = body(message, words)?;
        if !is_device_token(message.to.expose()) {
            return Err(SendError::Refused(Box::new(NotPosted::DeviceToken)));
        }
        let now = self.clock.now();
        let bearer = self.token.bearer(now)?;
        let answer = self.post(message, &body, &bearer).await?;
        let renewed = match (answer.status, reason(&answer.body)) {
            (403, Some("ExpiredProviderToken")) => self.token.renew(&bearer, now)?,
            _ => None,
        };
        let answer = match renewed {
            Some(bearer) => self.post(message, &body, &bearer).await?,
            None => answer,
        };
        judge(&answer)
    }

    /// A second copy takes the place of the first.
    fn knows_ids(&self, _message: &Message) -> bool {
        true
    }
}

/// Why nothing was posted.
#[derive(Debug, thiserror::Error)]
enum NotPosted {
    #[error("the device token is none of APNs")]
    DeviceToken,
    #[error("the provider token is no header value")]
    Token,
    #[error("the base URL has no path")]
    Address,
}

/// It becomes a part of the path.
fn is_device_token(text: &str) -> bool {
    (1..=MAX_DEVICE_TOKEN_BYTES).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

fn body(message: &Message, words: &Rendered) -> Result<Value, SendError> {
    let push = guardian::login(message, PushService::Apns)?;
    let mut mfa = guardian::texts(push);
    mfa.insert("s".to_owned(), guardian::source(push));
    mfa.insert("l".to_owned(), guardian::location(push));
    Ok(json!({
        "aps": {
            "alert": {
                "title": words.subject.as_deref().unwrap_or(&push.context.client_name),
                "body": words.text.expose(),
            },
            "category": CATEGORY,
            "sound": "default",
        },
        "mfa": mfa,
    }))
}

fn judge(answer: &Answer) -> Result<(), SendError> {
    let reason = reason(&answer.body);
    match (answer.status, reason) {
        (200..=299, _) => Ok(()),
        (410 | 413, _) | (400, Some("BadDeviceToken" | "DeviceTokenNotForTopic" | "Unregistered")) => {
            Err(SendError::Refused(answer.error(reason).into()))
        }
        // So many to one device.
        (429, Some("TooManyRequests")) => Err(answer.deferred(answer.error(reason))),
        _ => Err(answer.unavailable(answer.error(reason))),
    }
}

/// Reasons that may be told.
const REASONS: [&str; 24] = [
    "BadCollapseId",
    "BadDeviceToken",
    "BadExpirationDate",
    "BadMessageId",
    "BadPath",
    "BadPriority",
    "BadTopic",
    "DeviceTokenNotForTopic",
    "ExpiredProviderToken",
    "ExpiredToken",
    "Forbidden",
    "InternalServerError",
    "InvalidProviderToken",
    "InvalidPushType",
    "MissingProviderToken",
    "MissingTopic",
    "PayloadTooLarge",
    "ServiceUnavailable",
    "Shutdown",
    "TooManyProviderTokenUpdates",
    "TooManyRequests",
    "TopicDisallowed",
    "Unregistered",
    "UnrelatedKeyIdInToken",
];

fn reason(body: &[u8]) -> Option<&'static str> {
    let answer: ErrorAnswer = serde_json::from_slice(body).ok()?;
    REASONS.into_iter().find(|known| *known == answer.reason)
}

#[derive(Deserialize)]
struct ErrorAnswer {
    reason: String,
}

/// A UUID that follows from the message's id (version 8 of RFC 9562, section 5.8), because APNs takes nothing else.
fn uuid(id: &MessageId) -> String {
    let hash = digest(&SHA256, id.as_str().as_bytes());
    let mut bytes = [0; 16];
    for (byte, hashed) in bytes.iter_mut().zip(hash.as_ref()) {
        *byte = *hashed;
    }
    let number = u128::from_be_bytes(bytes) & !(0xf << 76) & !(0b11 << 62) | (8 << 76) | (0b10 << 62);
    let digits = format!("{number:032x}");
    let part = |from, to| digits.get(from..to).unwrap_or_default();
    [part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32)].join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_of_a_notification_is_a_uuid_of_version_8() {
        let id = uuid(&MessageId::new("msg_4fzyo82mvyr2k9q1w7h3x5t6"));
        assert_eq!(id, uuid(&MessageId::new("msg_4fzyo82mvyr2k9q1w7h3x5t6")));
        assert_ne!(id, uuid(&MessageId::new("msg_4fzyo82mvyr2k9q1w7h3x5t7")));
        let lengths: Vec<_> = id.split('-').map(str::len).collect();
        assert_eq!(lengths, [8, 4, 4, 4, 12]);
        assert_eq!(&id[14..15], "8");
        assert!("89ab".contains(&id[19..20]));
    }

    #[test]
    fn a_device_token_is_no_path() {
        assert!(is_device_token(&"0a".repeat(32)));
        for token in ["", "..", "a/b", "a?b", &"a".repeat(201)] {
            assert!(!is_device_token(token), "{token}");
        }
    }
}
