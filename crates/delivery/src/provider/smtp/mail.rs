//! The e-mail itself (RFC 5322, RFC 2045).

use std::time::{Duration, UNIX_EPOCH};

use countersign_domain::{message::Message, time::Timestamp};
use lettre::{
    Address,
    message::{
        Mailbox, MultiPart, SinglePart,
        header::{HeaderName, HeaderValue},
    },
};

use super::super::Rendered;

/// Why a message cannot be an e-mail. The address is left out.
#[derive(Debug, thiserror::Error)]
pub(super) enum MailError {
    #[error("the recipient is no e-mail address")]
    Address,
    #[error("the e-mail cannot be built")]
    Build(#[source] lettre::error::Error),
}

/// Writes `words` to the recipient of `message`. Date and Message-ID are the same at every try.
pub(super) fn compose(from: &Mailbox, message: &Message, words: &Rendered) -> Result<lettre::Message, MailError> {
    let to: Address = message.to.expose().parse().map_err(|_| MailError::Address)?;
    let builder = lettre::Message::builder()
        .from(from.clone())
        .to(Mailbox::new(None, to))
        .subject(words.subject.clone().unwrap_or_default())
        .date(UNIX_EPOCH + since_epoch(message.created_at))
        .message_id(Some(format!("<{}@{}>", message.id, from.email.domain())))
        // No vacation notes in answer (RFC 3834, section 5).
        .raw_header(HeaderValue::new(HeaderName::new_from_ascii_str("Auto-Submitted"), "auto-generated".into()));
    let text = words.text.expose().clone();
    match &words.html {
        Some(html) => builder.multipart(MultiPart::alternative_plain_html(text, html.expose().clone())),
        None => builder.singlepart(SinglePart::plain(text)),
    }
    .map_err(MailError::Build)
}

fn since_epoch(time: Timestamp) -> Duration {
    time.since(Timestamp::from_millis(0))
}
