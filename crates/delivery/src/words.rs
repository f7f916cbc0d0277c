//! Who puts a message into words.

use countersign_domain::message::Message;

use crate::provider::Rendered;

/// Why a message has no words. The chain is for the log; it MUST hold neither the message nor its address.
pub type WordsError = Box<dyn std::error::Error + Send + Sync>;

/// Puts messages into the words of their reader.
pub trait Words: Send + Sync {
    /// The words of `message`. The same message MUST always get the same words: a provider may see it more than once.
    ///
    /// # Errors
    ///
    /// There are no words for it. It is not sent then, now or later.
    fn render(&self, message: &Message) -> Result<Rendered, WordsError>;
}
