//! What a template may know of a message, and nothing else of it.

use countersign_domain::{
    message::{Channel, Content, Message, Purpose},
    secret::Secret,
};
use minijinja::{Value, context};

/// Longest name of an authenticator that is shown.
const MAX_NAME_CHARS: usize = 40;

/// What stays the same from message to message.
pub(super) struct Constants {
    pub(super) app_name: String,
    pub(super) sms_domain: Option<String>,
}

/// The name of what is said: a purpose, an event, or `login`.
pub(super) fn kind(content: &Content) -> &'static str {
    match content {
        Content::Code { purpose: Purpose::Enroll, .. } => "enroll",
        Content::Code { purpose: Purpose::Verify, .. } => "verify",
        Content::Notice(notice) => notice.event.as_str(),
        Content::Push(_) => "login",
    }
}

/// Whether `channel` can say it: a login is asked about in an app, and a code never stands on a locked screen.
pub(super) const fn is_said(channel: Channel, content: &Content) -> bool {
    match content {
        Content::Code { .. } => !matches!(channel, Channel::Push),
        Content::Notice(_) => true,
        Content::Push(_) => matches!(channel, Channel::Push),
    }
}

/// The variables of the title: nothing that only the reader of the whole message may see.
pub(super) fn of_title(message: &Message, language: &str, constants: &Constants) -> Value {
    context! {
        language,
        channel => message.channel.as_str(),
        kind => kind(&message.content),
        app => constants.app_name.as_str(),
        code => (),
        authenticator => (),
        link => (),
    }
}

/// The variables of the text.
pub(super) fn of_text(message: &Message, language: &str, constants: &Constants, title: Option<&str>) -> Value {
    let code = match &message.content {
        Content::Code { code, .. } => Some(code.expose()),
        Content::Notice(_) | Content::Push(_) => None,
    };
    let notice = match &message.content {
        Content::Notice(notice) => Some(notice),
        Content::Code { .. } | Content::Push(_) => None,
    };
    // Nobody can follow what is spoken, and a notification is read by whoever holds the phone.
    let link = notice
        .filter(|_| matches!(message.channel, Channel::Sms | Channel::Email))
        .and_then(|notice| notice.repudiate.as_ref());
    // A masked number is no more than noise to the ear.
    let authenticator = notice
        .filter(|_| !matches!(message.channel, Channel::Voice))
        .and_then(|notice| notice.authenticator.as_deref())
        .map(shown)
        .filter(|name| !name.is_empty());
    context! {
        language,
        channel => message.channel.as_str(),
        kind => kind(&message.content),
        app => constants.app_name.as_str(),
        domain => constants.sms_domain.as_deref(),
        title,
        code,
        digits => code.map(|code| spaced(code)),
        minutes => message.expires_at.since(message.created_at).as_secs() / 60,
        authenticator,
        link => link.map(Secret::expose),
    }
}

/// The digits one by one, for a voice to read.
pub(super) fn spaced(code: &str) -> String {
    code.chars().map(String::from).collect::<Vec<_>>().join(", ")
}

/// The name of an authenticator is chosen by whoever enrolled it, perhaps an intruder: it stays on its line, in its direction,
/// and short.
fn shown(name: &str) -> String {
    let marks =
        |c: char| matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}');
    let clean: String = name.chars().filter(|c| !marks(*c)).map(|c| if c.is_control() { ' ' } else { c }).collect();
    let clean = clean.split_whitespace().collect::<Vec<_>>().join(" ");
    match clean.char_indices().nth(MAX_NAME_CHARS) {
        Some((end, _)) => format!("{}...", clean.get(..end).unwrap_or_default().trim_end()),
        None => clean,
    }
}

#[cfg(test)]
mod tests {
    use super::shown;

    #[test]
    fn a_name_stays_on_its_line_in_its_direction_and_short() {
        assert_eq!(shown(" My\nphone\u{202e} \t2 "), "My phone 2");
        assert_eq!(shown(&"é".repeat(41)), format!("{}...", "é".repeat(40)));
        assert_eq!(shown("\u{202e}\u{0}"), "");
    }
}
