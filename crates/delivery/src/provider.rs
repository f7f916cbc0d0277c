//! What a provider is: somebody outside who takes a message.

pub mod apns;
pub mod fcm;
mod guardian;
pub mod http;
pub mod outbox;
pub mod push;
mod push_fields;
mod settings;
pub mod smtp;
pub mod twilio;
pub mod webhook;

use async_trait::async_trait;
use countersign_domain::{message::Message, port::sender::SendError, secret::Secret};

pub use self::settings::SettingsError;

/// A message in the words of its reader.
#[derive(Clone, Debug)]
pub struct Rendered {
    /// The language the words are in: `en`, `pt-BR`.
    pub language: String,
    /// The subject line of an e-mail, or the title of a notification.
    pub subject: Option<String>,
    /// The text: of an SMS, of the plain part of an e-mail, to be spoken by a call, of a notification's alert.
    pub text: Secret<String>,
    /// The HTML part of an e-mail.
    pub html: Option<Secret<String>>,
}

/// One provider.
#[async_trait]
pub trait Provider: Send + Sync {
    /// Tries once to hand `message` over. Time limits are the provider's own. `message.id` is the idempotency key.
    ///
    /// # Errors
    ///
    /// See [`SendError`]: what is certain and what is not decides what happens next, so an answer that did not come is
    /// [`SendError::Unknown`], and a connection that was never made is [`SendError::Unavailable`]. What is said of one recipient is
    /// [`SendError::Refused`] or [`SendError::Deferred`]: other messages are not kept from the provider by it.
    async fn send(&self, message: &Message, words: &Rendered) -> Result<(), SendError>;

    /// Whether `message`, handed over twice under its id, arrives once.
    fn knows_ids(&self, _message: &Message) -> bool {
        false
    }
}
