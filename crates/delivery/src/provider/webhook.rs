//! Any channel, by a signed request to an endpoint of the operator's own.
//!
//! # For receivers
//!
//! The body is JSON:
//!
//! | field | value |
//! | --- | --- |
//! | `id` | the message's id; the same at every try |
//! | `channel` | `sms`, `voice`, `email` or `push` |
//! | `to` | a number in E.164, an e-mail address, or the token an app has from its push service |
//! | `language`, `text` | the words and their language |
//! | `subject`, `html` | of an e-mail |
//! | `purpose`, `code` | of a code: `enroll` or `verify`, and the code itself |
//! | `event` | of a notice: `factor-added`, `factor-removed`, … |
//! | `push` | of a notification: `service`, `device`, `challenge`, `transaction_token`, `base_url`, `requested_at`, `client_name`, `user_agent`, `address`, `number_matching` |
//! | `created_at`, `expires_at` | RFC 3339; after the second nobody needs the message |
//!
//! `Idempotency-Key` repeats the id. [`TIMESTAMP_HEADER`] is the time of the try in seconds since 1970, and
//! [`SIGNATURE_HEADER`] is `v1=` and the hexadecimal HMAC-SHA-256 of `{timestamp}.{body}`, once for each secret, separated by
//! commas. So a secret is replaced by adding the new one here, then exchanging it at the receiver, then removing the old one.
//!
//! A receiver must refuse a signature that is not right, a timestamp more than [`REPLAY_WINDOW`] away from its clock, and it
//! must remember the ids of that time and answer one it has seen with 200 and nothing else: then a message is sent once. [`verify`]
//! does all but the remembering.
//!
//! Any status of 2xx says that the message was taken. 408, 409, 425, 429 and 5xx say that it should be tried again, after
//! `Retry-After` if there is one; 504 that it may have been taken. 400, 410, 413 and 422 refuse it for good. 409, 425 and 429 are
//! understood to be about this one message, everything else but a refusal about the endpoint: if it comes often, the endpoint is
//! given a pause.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use aws_lc_rs::hmac;
use countersign_domain::{
    message::{Content, Message, Purpose},
    port::{clock::Clock, sender::SendError},
    secret::Secret,
    time::Timestamp,
};
use data_encoding::HEXLOWER;
use reqwest::{RequestBuilder, header::CONTENT_TYPE};
use serde::Serialize;
use url::Url;

use super::{
    Provider, Rendered, SettingsError,
    http::{Answer, Http, HttpError, HttpSettings},
    push_fields::PushFields,
    settings,
};

/// The header with the time of the try.
pub const TIMESTAMP_HEADER: &str = "X-Countersign-Timestamp";
/// The header with the signatures.
pub const SIGNATURE_HEADER: &str = "X-Countersign-Signature";
/// How far a timestamp may be from the receiver's clock.
pub const REPLAY_WINDOW: Duration = Duration::from_secs(300);

const VERSION: &str = "v1=";
/// As long as the hash (RFC 2104, section 3).
const SHORTEST_SECRET: usize = 32;

/// Where messages are posted and how they are signed.
#[derive(Clone)]
pub struct WebhookSettings {
    /// The endpoint.
    pub url: String,
    /// What requests are signed with, each; at least one of at least 32 bytes.
    pub secrets: Vec<Secret<String>>,
    /// Limits and trust.
    pub http: HttpSettings,
}

/// Posts messages, signed.
pub struct Webhook(Endpoint);

/// An endpoint of the operator's own, which knows our signature.
pub(crate) struct Endpoint {
    http: Http,
    url: Url,
    keys: Vec<hmac::Key>,
    clock: Arc<dyn Clock>,
}

#[derive(Serialize)]
struct Body<'a> {
    id: &'a str,
    channel: &'static str,
    to: &'a str,
    language: &'a str,
    text: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    html: Option<&'a str>,
    #[serde(flatten)]
    content: Fields<'a>,
    created_at: String,
    expires_at: String,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Fields<'a> {
    Code { purpose: Purpose, code: &'a str },
    Notice { event: &'static str },
    Push { push: PushFields<'a> },
}

/// Why a request is not from us, or not of now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// The timestamp is missing, no number, or too far away.
    #[error("the timestamp is not of this time")]
    Timestamp,
    /// No signature is right.
    #[error("no signature is right")]
    Signature,
}

impl Webhook {
    /// Prepares the client. Nothing is connected yet.
    ///
    /// # Errors
    ///
    /// The settings cannot be used.
    pub fn new(settings: &WebhookSettings, clock: Arc<dyn Clock>) -> Result<Self, SettingsError> {
        Endpoint::new(settings, clock).map(Self)
    }
}

impl Endpoint {
    /// Prepares the client. Nothing is connected yet.
    ///
    /// # Errors
    ///
    /// The settings cannot be used.
    pub(crate) fn new(settings: &WebhookSettings, clock: Arc<dyn Clock>) -> Result<Self, SettingsError> {
        if settings.secrets.is_empty() || settings.secrets.iter().any(|one| one.expose().len() < SHORTEST_SECRET) {
            return Err(SettingsError::Secret(SHORTEST_SECRET));
        }
        Ok(Self {
            http: Http::new(&settings.http, Arc::clone(&clock))?,
            url: settings::endpoint(&settings.url)?,
            keys: settings.secrets.iter().map(key).collect(),
            clock,
        })
    }

    /// A `POST` of a JSON body, signed.
    fn request(&self, body: &Secret<Vec<u8>>) -> RequestBuilder {
        let timestamp = self.clock.now().as_secs().to_string();
        let signatures: Vec<String> = self.keys.iter().map(|key| sign(key, &timestamp, body.expose())).collect();
        self.http
            .client
            .post(self.url.clone())
            .header(CONTENT_TYPE, "application/json")
            .header(TIMESTAMP_HEADER, timestamp)
            .header(SIGNATURE_HEADER, signatures.join(","))
            .body(body.expose().clone())
    }

    /// The status that `body` is answered with; what else is answered is not read.
    pub(crate) async fn status_of(&self, body: &Secret<Vec<u8>>) -> Result<u16, SendError> {
        self.http.begin(self.request(body)).await.map(|response| response.status().as_u16())
    }
}

#[async_trait]
impl Provider for Webhook {
    async fn send(&self, message: &Message, words: &Rendered) -> Result<(), SendError> {
        let body = body(message, words).map_err(|error| SendError::Refused(error.into()))?;
        let request = self.0.request(&body).header("Idempotency-Key", message.id.as_str());
        judge(&self.0.http.ask(request).await?)
    }

    /// Receivers must remember them.
    fn knows_ids(&self, _message: &Message) -> bool {
        true
    }
}

/// Whether a request is from us and of this time: `timestamp` and `header` as they came in [`TIMESTAMP_HEADER`] and
/// [`SIGNATURE_HEADER`], `body` byte for byte. Whether its id was seen before is for the caller to know.
///
/// # Errors
///
/// It is not: refuse it.
pub fn verify(
    secret: &Secret<String>,
    timestamp: &str,
    body: &[u8],
    header: &str,
    now: Timestamp,
) -> Result<(), VerifyError> {
    let seconds: i64 = timestamp.parse().map_err(|_| VerifyError::Timestamp)?;
    if now.as_secs().abs_diff(seconds) > REPLAY_WINDOW.as_secs() {
        return Err(VerifyError::Timestamp);
    }
    let (key, signed) = (key(secret), signed(timestamp, body));
    let is_right = |signature: &str| {
        let tag = signature.trim().strip_prefix(VERSION).and_then(|hex| HEXLOWER.decode(hex.as_bytes()).ok());
        tag.is_some_and(|tag| hmac::verify(&key, signed.expose(), &tag).is_ok())
    };
    if header.split(',').any(is_right) { Ok(()) } else { Err(VerifyError::Signature) }
}

fn key(secret: &Secret<String>) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, secret.expose().as_bytes())
}

fn sign(key: &hmac::Key, timestamp: &str, body: &[u8]) -> String {
    let tag = hmac::sign(key, signed(timestamp, body).expose());
    format!("{VERSION}{}", HEXLOWER.encode(tag.as_ref()))
}

fn signed(timestamp: &str, body: &[u8]) -> Secret<Vec<u8>> {
    Secret::new([timestamp.as_bytes(), b".", body].concat())
}

fn body(message: &Message, words: &Rendered) -> Result<Secret<Vec<u8>>, serde_json::Error> {
    let content = match &message.content {
        Content::Code { purpose, code } => Fields::Code { purpose: *purpose, code: code.expose() },
        Content::Notice(notice) => Fields::Notice { event: notice.event.as_str() },
        Content::Push(push) => Fields::Push { push: PushFields::of(push) },
    };
    serde_json::to_vec(&Body {
        id: message.id.as_str(),
        channel: message.channel.as_str(),
        to: message.to.expose(),
        language: &words.language,
        text: words.text.expose(),
        subject: words.subject.as_deref(),
        html: words.html.as_ref().map(|html| html.expose().as_str()),
        content,
        created_at: message.created_at.to_rfc3339(),
        expires_at: message.expires_at.to_rfc3339(),
    })
    .map(Secret::new)
}

fn judge(answer: &Answer) -> Result<(), SendError> {
    let error = HttpError::Status(answer.status);
    match answer.status {
        200..=299 => Ok(()),
        // The receiver has read the message and does not want it.
        400 | 410 | 413 | 422 => Err(SendError::Refused(error.into())),
        // Not this message, not now.
        409 | 425 | 429 => Err(answer.deferred(error)),
        // Anything else is no word about the message: a wrong path or secret must not lose what could go another way.
        // A gateway on the way gave up waiting for what stands behind it.
        504 => Err(SendError::Unknown(error.into())),
        _ => Err(answer.unavailable(error)),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_790_000_000_000);

    fn secret(text: &str) -> Secret<String> {
        Secret::new(text.into())
    }

    fn header(secrets: &[&str], timestamp: &str, body: &[u8]) -> String {
        secrets.iter().map(|one| sign(&key(&secret(one)), timestamp, body)).collect::<Vec<_>>().join(",")
    }

    #[test]
    fn a_signature_is_what_other_tools_compute() {
        // printf '1790000000.{}' | openssl dgst -sha256 -hmac 0123456789abcdef0123456789abcdef
        assert_eq!(
            header(&["0123456789abcdef0123456789abcdef"], "1790000000", b"{}"),
            "v1=5949482f8f268ce61c6208ee9050323b82d4c3033bad3f5c14c19f657d409d60"
        );
    }

    #[test]
    fn verifies_what_either_secret_signed_and_nothing_else() {
        let header = header(&["old", "new"], "1790000000", b"{}");
        for known in ["old", "new"] {
            assert_eq!(verify(&secret(known), "1790000000", b"{}", &header, NOW), Ok(()), "{known}");
        }
        let wrong = Err(VerifyError::Signature);
        assert_eq!(verify(&secret("other"), "1790000000", b"{}", &header, NOW), wrong);
        assert_eq!(verify(&secret("new"), "1790000001", b"{}", &header, NOW), wrong);
        assert_eq!(verify(&secret("new"), "1790000000", b"{ }", &header, NOW), wrong);
        for broken in ["", "v1=", "v1=00", "v2=00", ",,"] {
            assert_eq!(verify(&secret("new"), "1790000000", b"{}", broken, NOW), wrong, "{broken}");
        }
    }

    #[test]
    fn refuses_what_is_older_than_five_minutes_or_from_the_future() {
        for (timestamp, expected) in [
            ("1789999700", Ok(())),
            ("1789999699", Err(VerifyError::Timestamp)),
            ("1790000300", Ok(())),
            ("1790000301", Err(VerifyError::Timestamp)),
            ("", Err(VerifyError::Timestamp)),
            ("-9223372036854775808", Err(VerifyError::Timestamp)),
        ] {
            let header = header(&["s"], timestamp, b"{}");
            assert_eq!(verify(&secret("s"), timestamp, b"{}", &header, NOW), expected, "{timestamp}");
        }
    }

    #[test]
    fn statuses_decide_what_happens_next() {
        for (status, expected) in [
            (200, "sent"),
            (204, "sent"),
            (302, "Unavailable"),
            (400, "Refused"),
            (410, "Refused"),
            (408, "Unavailable"),
            (409, "Deferred"),
            (425, "Deferred"),
            (429, "Deferred"),
            (500, "Unavailable"),
            (503, "Unavailable"),
            (504, "Unknown"),
        ] {
            let result = judge(&Answer { status, retry_after: None, body: Vec::new() });
            let outcome = result.map_or_else(|error| format!("{error:?}"), |()| "sent".to_owned());
            assert!(outcome.starts_with(expected), "{status}: {outcome}");
        }
    }
}
