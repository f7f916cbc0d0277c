//! Sends messages to people.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;

use crate::{
    message::{Channel, Message, Purpose},
    secret::Secret,
    time::Timestamp,
};

/// Whether a channel can be used now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChannelState {
    /// No provider is configured for it.
    Absent,
    /// A provider takes messages.
    Up,
    /// Every provider has failed too often lately.
    Down,
}

/// Whether something speaks against sending to a number (NIST SP 800-63B-4, section 3.1.3.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Assessment {
    /// Nothing does, or nobody is to be asked.
    Clear,
    /// Who would know does not answer.
    Unknown,
    /// It may be in other hands. Nothing MUST be sent to it.
    AtRisk,
}

/// The name of a provider in the configuration.
pub type ProviderName = Arc<str>;

/// Why a message was not sent. The chain below is for the log; it MUST hold neither the message nor its address.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// It was not sent and never will be: a number that does not exist, a recipient who opted out, content that is refused.
    #[error("the provider refuses the message")]
    Refused(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// It was not sent; a later try may succeed.
    #[error("no provider took the message")]
    Unavailable {
        /// When the provider asked to be tried again.
        retry_after: Option<Duration>,
        /// For the log.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It was not sent, because of its recipient and not of the provider: a full mailbox, too many messages to one number. A later
    /// try may succeed.
    #[error("the message cannot be sent to its recipient now")]
    Deferred {
        /// When the provider asked to be tried again.
        retry_after: Option<Duration>,
        /// For the log.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It may have been sent: the answer did not come. It is tried again with the same id, once; and more often if the provider knows
    /// the id and sends it once.
    #[error("it is not known whether the message was sent")]
    Unknown(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Sends. Rendering the text, choosing among providers of one channel and turning to the next one are its business; switching
/// the channel is nobody's.
#[async_trait]
pub trait Sender: Send + Sync {
    /// Whether `channel` can be used now. Asks nobody.
    fn state(&self, channel: Channel) -> ChannelState;

    /// Whether something speaks against sending to the number `to`. Asks whoever is configured to know, within the time limit of a
    /// request; by itself it knows nothing.
    async fn assess(&self, _channel: Channel, _to: &Secret<String>, _purpose: Purpose) -> Assessment {
        Assessment::Clear
    }

    /// When the last message of `channel` left from here, or came as far as to be deferred for its recipient's sake; `None` if none
    /// has. Asks nobody.
    fn last_sent(&self, channel: Channel) -> Option<Timestamp>;

    /// Tries to send once, within the provider's time limit. MUST pass `message.id` on as the idempotency key wherever there is a
    /// place for one. The answer names the provider that took it.
    async fn send(&self, message: &Message) -> Result<ProviderName, SendError>;
}
