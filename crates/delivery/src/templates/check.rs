//! The rehearsal: every text in every language, with made-up people.

use std::collections::BTreeSet;

use countersign_domain::{
    id::MessageId,
    message::{Channel, Content, Message, Notice, NoticeEvent, Purpose, Push, PushContext, PushService},
    secret::Secret,
    time::Timestamp,
};

use super::{Mistake, Templates, context};

/// Occurs nowhere else, so that it shows where it stands.
const CODE: &str = "918273";

/// What goes wrong when every text is made once.
pub(super) fn rehearse(templates: &Templates) -> Vec<Mistake> {
    let mut mistakes = Vec::new();
    let mut known = BTreeSet::new();
    for language in &templates.languages {
        for message in samples() {
            for mistake in rehearse_one(templates, language, &message) {
                // What is wrong in every language is told once.
                if known.insert(mistake.to_string()) {
                    let place =
                        format!("{language}, {}, {}", message.channel.as_str(), context::kind(&message.content));
                    mistakes.push(Mistake { what: format!("{} ({place})", mistake.what), ..mistake });
                }
            }
        }
    }
    mistakes
}

fn rehearse_one(templates: &Templates, language: &str, message: &Message) -> Vec<Mistake> {
    let rendered = match templates.render_in(language, message) {
        Ok(rendered) => rendered,
        Err(mistake) => return vec![mistake],
    };
    let mut mistakes = Vec::new();
    let mut note = |file: &str, what: &str| mistakes.push(Mistake::of_file(file, what.to_owned()));
    if rendered.subject.as_ref().is_some_and(|title| title.is_empty() || title.contains(['\n', '\r'])) {
        note("title.txt", "must make exactly one line");
    }
    let text_file = super::text_file(message.channel);
    let text = rendered.text.expose();
    let html = rendered.html.as_ref().map(|html| html.expose().as_str());
    if text.is_empty() {
        note(text_file, "makes no text");
    }
    if matches!(message.content, Content::Code { .. }) {
        let told = if message.channel == Channel::Voice { context::spaced(CODE) } else { CODE.to_owned() };
        if !text.contains(&told) {
            note(text_file, "does not tell the code");
        }
        if html.is_some_and(|html| !html.contains(CODE)) {
            note(super::HTML, "does not tell the code");
        }
    }
    mistakes
}

/// One message of each sort, and every notice with and without what it need not have.
fn samples() -> Vec<Message> {
    let mut contents: Vec<_> = [Purpose::Enroll, Purpose::Verify]
        .map(|purpose| Content::Code { purpose, code: Secret::new(CODE.to_owned()) })
        .into_iter()
        .chain([Content::Push(push())])
        .collect();
    for event in NoticeEvent::ALL {
        for authenticator in [None, Some("XXXXXX4567".to_owned())] {
            for link in [None, Some("https://login.example.com/not-me")] {
                let repudiate = link.map(|link| Secret::new(link.to_owned()));
                contents.push(Content::Notice(Notice { event, authenticator: authenticator.clone(), repudiate }));
            }
        }
    }
    let every = |channel| contents.iter().map(move |content| (channel, content.clone()));
    Channel::ALL
        .into_iter()
        .flat_map(every)
        .filter(|(channel, content)| context::is_said(*channel, content))
        .map(|(channel, content)| Message {
            id: MessageId::new("msg_rehearsal"),
            channel,
            to: Secret::new(String::new()),
            content,
            languages: None,
            created_at: Timestamp::from_millis(0),
            expires_at: Timestamp::from_millis(300_000),
        })
        .collect()
}

fn push() -> Push {
    Push {
        challenge: Secret::new(String::new()),
        transaction_token: Secret::new(String::new()),
        context: PushContext {
            service: PushService::Fcm,
            base_url: String::new(),
            device: String::new(),
            requested_at: Timestamp::from_millis(0),
            client_name: String::new(),
            user_agent: None,
            address: None,
            number_matching: false,
        },
    }
}
