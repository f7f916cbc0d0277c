//! The notification that apps of the Guardian protocol expect.

use countersign_domain::{
    message::{Content, Message, Push, PushService},
    port::sender::SendError,
};
use serde_json::{Map, Value, json};

use crate::user_agent;

/// Why a message is none for a push service.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotForUs {
    #[error("the message does not ask about a login")]
    NoLogin,
    #[error("the device belongs to another push service")]
    OtherService,
}

/// The login that `message` asks about on a device of `service`.
pub(crate) fn login(message: &Message, service: PushService) -> Result<&Push, SendError> {
    let refused = |why| SendError::Refused(Box::new(why));
    match &message.content {
        Content::Push(push) if push.context.service == service => Ok(push),
        Content::Push(_) => Err(refused(NotForUs::OtherService)),
        Content::Code { .. } | Content::Notice(_) => Err(refused(NotForUs::NoLogin)),
    }
}

/// The keys that are text on every system. `app` and `nm` are ours; apps that do not know them ignore them.
pub(crate) fn texts(push: &Push) -> Map<String, Value> {
    let context = &push.context;
    let mut texts = Map::new();
    for (key, value) in [
        ("sh", &context.base_url),
        ("dai", &context.device),
        ("c", push.challenge.expose()),
        ("txtkn", push.transaction_token.expose()),
        ("d", &context.requested_at.to_rfc3339()),
        ("app", &context.client_name),
    ] {
        texts.insert(key.to_owned(), Value::from(value.as_str()));
    }
    if context.number_matching {
        texts.insert("nm".to_owned(), Value::from("1"));
    }
    texts
}

/// `s`: what the person logs in with.
pub(crate) fn source(push: &Push) -> Value {
    user_agent::source(push.context.user_agent.as_deref())
}

/// `l`: where the person logs in from. Only the address is known, not where on earth it is.
pub(crate) fn location(push: &Push) -> Value {
    push.context.address.as_deref().map_or_else(|| json!({}), |address| json!({ "n": address }))
}
