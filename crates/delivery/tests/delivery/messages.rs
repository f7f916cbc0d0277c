//! Messages and their words.

use std::time::Duration;

use countersign_delivery::{
    provider::Rendered,
    words::{Words, WordsError},
};
use countersign_domain::{
    id::MessageId,
    message::{Channel, Content, Message, Notice, NoticeEvent, Purpose, Push, PushContext, PushService},
    secret::Secret,
    time::Timestamp,
};

pub const START: Timestamp = Timestamp::from_millis(1_790_000_000_000);
pub const NUMBER: &str = "+4915112345678";
pub const ADDRESS: &str = "ada@example.com";
pub const CODE: &str = "839271";

pub fn message(channel: Channel, id: &str, content: Content) -> Message {
    let to = match channel {
        Channel::Sms | Channel::Voice => NUMBER,
        Channel::Email => ADDRESS,
        Channel::Push => "token-of-the-app",
    };
    Message {
        id: MessageId::new(id),
        channel,
        to: Secret::new(to.into()),
        content,
        languages: None,
        created_at: START,
        expires_at: START.plus(Duration::from_secs(300)),
    }
}

pub fn code(channel: Channel, id: &str) -> Message {
    message(channel, id, Content::Code { purpose: Purpose::Verify, code: Secret::new(CODE.into()) })
}

pub fn notice(channel: Channel, id: &str) -> Message {
    let repudiate = Some(Secret::new("https://login.example.com/not-me?token=r4nd0m".into()));
    let authenticator = Some("Ada's phone".into());
    message(channel, id, Content::Notice(Notice { event: NoticeEvent::FactorAdded, authenticator, repudiate }))
}

pub fn push(id: &str) -> Message {
    let context = PushContext {
        service: PushService::Apns,
        base_url: "https://mfa.example.com".into(),
        device: "dev_0123456789abcdef".into(),
        requested_at: START,
        client_name: "Shop".into(),
        user_agent: Some("Firefox".into()),
        address: Some("192.0.2.7".into()),
        number_matching: true,
    };
    let challenge = Secret::new("the-challenge".into());
    let transaction_token = Secret::new("the-transaction-token".into());
    message(Channel::Push, id, Content::Push(Push { challenge, transaction_token, context }))
}

/// English, always the same.
pub struct English;

impl Words for English {
    fn render(&self, message: &Message) -> Result<Rendered, WordsError> {
        let text = match &message.content {
            Content::Code { code, .. } => format!("Your code is {}. Tell it nobody.", code.expose()),
            Content::Notice(_) => "A factor was added to your account.".to_owned(),
            Content::Push(push) => format!("Log in to {}?", push.context.client_name),
        };
        let email = message.channel == Channel::Email;
        Ok(Rendered {
            language: "en".into(),
            subject: email.then(|| "Your account – a message".into()),
            html: email.then(|| Secret::new(format!("<p>{text}</p>"))),
            text: Secret::new(text),
        })
    }
}

pub fn words(message: &Message) -> Rendered {
    English.render(message).unwrap()
}
