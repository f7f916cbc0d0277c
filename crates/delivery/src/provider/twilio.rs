//! Text messages and calls by Twilio, or whoever speaks its REST API.

mod twiml;

use std::sync::Arc;

use async_trait::async_trait;
use countersign_domain::{
    message::{Channel, Content, Message},
    port::{clock::Clock, sender::SendError},
    secret::Secret,
};
use serde::Deserialize;
use url::Url;

use super::{
    Provider, Rendered, SettingsError,
    http::{Answer, Http, HttpError, HttpSettings},
    settings,
};

/// Codes of errors that are about our side of a message: the number it comes from, the account, its queue.
///
/// <https://www.twilio.com/docs/api/errors>
const OURS: [u32; 19] = [
    21_210, 21_212, 21_213, 21_218, 21_220, 21_403, 21_601, 21_603, 21_605, 21_606, 21_607, 21_611, 21_618, 21_624,
    21_659, 21_660, 21_661, 21_701, 21_703,
];

/// Codes of errors that are about this account and this number together: what the account may send to, what its number reaches. Another provider
/// may, and nothing is wrong with the way as such.
const UNREACHED: [u32; 6] = [21_215, 21_216, 21_219, 21_408, 21_608, 21_612];

/// The code of too many requests of the account.
const TOO_MANY: u32 = 20_429;

/// Who text messages come from.
#[derive(Clone, Debug)]
pub enum TwilioSender {
    /// A number in E.164, a short code, or an alphanumeric sender id.
    Number(String),
    /// The SID of a messaging service, which chooses.
    MessagingService(String),
}

/// How Twilio is reached and what it is asked with.
#[derive(Clone)]
pub struct TwilioSettings {
    /// Where its API is. `https://api.twilio.com` by default.
    pub base_url: String,
    /// The account, `AC…`.
    pub account_sid: String,
    /// The API key, `SK…`, that `secret` belongs to; `None` if `secret` is the account's token.
    pub api_key: Option<String>,
    /// The secret of the API key, or the account's token.
    pub secret: Secret<String>,
    /// Who text messages come from.
    pub sender: TwilioSender,
    /// The number calls come from, in E.164; `None` if there are no calls.
    pub caller: Option<String>,
    /// Limits and trust.
    pub http: HttpSettings,
}

impl TwilioSettings {
    /// The settings of text messages from `sender`; what else there is can be changed after.
    pub fn new(account_sid: impl Into<String>, secret: Secret<String>, sender: TwilioSender) -> Self {
        Self {
            base_url: "https://api.twilio.com".into(),
            account_sid: account_sid.into(),
            api_key: None,
            secret,
            sender,
            caller: None,
            http: HttpSettings::default(),
        }
    }
}

/// Hands text messages and calls to Twilio, with the message's id as `Idempotency-Key`.
pub struct Twilio {
    http: Http,
    messages: Url,
    calls: Url,
    user: String,
    secret: Secret<String>,
    sender: TwilioSender,
    caller: Option<String>,
}

/// What is read of an error. Its text may hold the number.
#[derive(Deserialize)]
struct Problem {
    code: u32,
}

/// Why it cannot even be asked.
#[derive(Debug, thiserror::Error)]
enum Unasked {
    #[error("the provider sends text messages and calls only")]
    Channel,
    #[error("no number is configured that calls come from")]
    Caller,
    #[error("the call cannot be written")]
    Twiml(#[source] std::io::Error),
}

impl Twilio {
    /// Prepares the client. Nothing is connected yet.
    ///
    /// # Errors
    ///
    /// The settings cannot be used.
    pub fn new(settings: &TwilioSettings, clock: Arc<dyn Clock>) -> Result<Self, SettingsError> {
        let resource = |name| {
            let mut url = settings::endpoint(&settings.base_url)?;
            url.path_segments_mut().map_err(|()| SettingsError::Url)?.pop_if_empty().extend([
                "2010-04-01",
                "Accounts",
                &settings.account_sid,
                name,
            ]);
            Ok(url)
        };
        Ok(Self {
            http: Http::new(&settings.http, clock)?,
            messages: resource("Messages.json")?,
            calls: resource("Calls.json")?,
            user: settings.api_key.clone().unwrap_or_else(|| settings.account_sid.clone()),
            secret: settings.secret.clone(),
            sender: settings.sender.clone(),
            caller: settings.caller.clone(),
        })
    }

    async fn post(&self, url: &Url, message: &Message, form: &[(&str, &str)]) -> Result<(), SendError> {
        let request = self
            .http
            .client
            .post(url.clone())
            .basic_auth(&self.user, Some(self.secret.expose()))
            .header("Idempotency-Key", message.id.as_str())
            .form(form);
        judge(&self.http.ask(request).await?)
    }

    async fn text(&self, message: &Message, words: &Rendered) -> Result<(), SendError> {
        let from = match &self.sender {
            TwilioSender::Number(number) => ("From", number.as_str()),
            TwilioSender::MessagingService(sid) => ("MessagingServiceSid", sid.as_str()),
        };
        let form = [("To", message.to.expose().as_str()), from, ("Body", words.text.expose())];
        self.post(&self.messages, message, &form).await
    }

    async fn call(&self, message: &Message, words: &Rendered) -> Result<(), SendError> {
        let Some(caller) = &self.caller else {
            return Err(SendError::Unavailable { retry_after: None, source: Unasked::Caller.into() });
        };
        let code = match &message.content {
            Content::Code { code, .. } => Some(code.expose().as_str()),
            Content::Notice(_) | Content::Push(_) => None,
        };
        let twiml = twiml::speak(&words.language, words.text.expose(), code)
            .map_err(|error| SendError::Refused(Unasked::Twiml(error).into()))?;
        let form = [("To", message.to.expose().as_str()), ("From", caller), ("Twiml", twiml.expose())];
        self.post(&self.calls, message, &form).await
    }
}

#[async_trait]
impl Provider for Twilio {
    async fn send(&self, message: &Message, words: &Rendered) -> Result<(), SendError> {
        match message.channel {
            Channel::Sms => self.text(message, words).await,
            Channel::Voice => self.call(message, words).await,
            Channel::Email | Channel::Push => Err(SendError::Refused(Unasked::Channel.into())),
        }
    }
}

fn judge(answer: &Answer) -> Result<(), SendError> {
    let status = answer.status;
    let code = serde_json::from_slice::<Problem>(&answer.body).ok().map(|problem| problem.code);
    let error = code.map_or(HttpError::Status(status), |code| HttpError::Code(status, code));
    match (status, code) {
        (200..=299, _) => Ok(()),
        (400, Some(code)) if UNREACHED.contains(&code) => Err(answer.deferred(error)),
        // 21xxx is about a call or a message; what is not about our side is about its number or its text.
        (400, Some(code @ 21_000..=21_999)) if !OURS.contains(&code) => Err(SendError::Refused(error.into())),
        // So many to one number. 20429, and no code, are about the account.
        (429, Some(code)) if code != TOO_MANY => Err(answer.deferred(error)),
        // A gateway on the way gave up waiting for what stands behind it.
        (504, _) => Err(SendError::Unknown(error.into())),
        _ => Err(answer.unavailable(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(status: u16, body: &str) -> &'static str {
        match judge(&Answer { status, retry_after: None, body: body.into() }) {
            Ok(()) => "sent",
            Err(SendError::Refused(_)) => "refused",
            Err(SendError::Unavailable { .. }) => "unavailable",
            Err(SendError::Deferred { .. }) => "deferred",
            Err(SendError::Unknown(_)) => "unknown",
        }
    }

    #[test]
    fn codes_of_numbers_refuse_the_message() {
        for code in [21_211, 21_214, 21_217, 21_610, 21_614, 21_421, 21_617] {
            assert_eq!(outcome(400, &format!("{{\"code\":{code}}}")), "refused", "{code}");
        }
    }

    #[test]
    fn what_the_account_may_not_send_to_is_left_to_another() {
        for code in [21_215, 21_216, 21_219, 21_408, 21_608, 21_612] {
            assert_eq!(outcome(400, &format!("{{\"code\":{code}}}")), "deferred", "{code}");
        }
    }

    #[test]
    fn everything_else_but_success_may_be_better_later() {
        for code in [20_003, 21_212, 21_606, 21_611, 30_001] {
            assert_eq!(outcome(400, &format!("{{\"code\":{code}}}")), "unavailable", "{code}");
        }
        for status in [302, 400, 401, 403, 404, 408, 429, 500, 502, 503] {
            assert_eq!(outcome(status, "<html>"), "unavailable", "{status}");
        }
        assert_eq!(outcome(403, "{\"code\":21211}"), "unavailable");
        assert_eq!(outcome(429, "{\"code\":20429}"), "unavailable");
        assert_eq!(outcome(429, "{\"code\":14107}"), "deferred");
        assert_eq!(outcome(504, ""), "unknown");
        assert_eq!(outcome(201, "{\"sid\":\"SM1\",\"code\":null}"), "sent");
    }
}
