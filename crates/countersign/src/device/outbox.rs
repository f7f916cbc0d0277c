//! The logins that wait for a phone, from the outbox of a demo: `countersign_delivery::provider::outbox` writes it.

use std::{
    fs::File,
    io::{BufRead as _, BufReader},
    path::Path,
};

use countersign_domain::{secret::Secret, time::Timestamp};
use serde::{Deserialize, Deserializer, de::Error as _};

use super::phone::{Account, PATIENCE, Phone, kept};
use crate::cli::exit::Failure;

/// The characters of a message's id that stand for it in a list.
const SHORT: usize = 8;

/// A login that somebody is asked about.
#[derive(Debug)]
pub struct Login {
    /// The id of its message, `msg_…`.
    pub id: String,
    /// When the message was sent.
    pub at: Timestamp,
    /// What it says.
    pub push: Push,
}

/// The fields of a notification.
#[derive(Debug, Deserialize)]
pub struct Push {
    /// The account it is for.
    pub device: String,
    /// What the answer is about.
    #[serde(with = "kept")]
    pub challenge: Secret<String>,
    /// The bearer of the answer.
    #[serde(with = "kept")]
    pub transaction_token: Secret<String>,
    /// The application that is logged in to.
    pub client_name: String,
    /// What the person logs in with.
    pub user_agent: Option<String>,
    /// Where the person logs in from.
    pub address: Option<String>,
    /// Whether the person types the number that the login shows.
    pub number_matching: bool,
}

/// What an outbox holds for a phone.
#[derive(Debug, Default)]
pub struct Waiting {
    /// Newest first.
    pub logins: Vec<Login>,
    /// Numbers of lines that are no messages.
    pub broken: Vec<usize>,
}

/// Lines that are not for a phone need no more than this.
#[derive(Deserialize)]
struct Line {
    id: String,
    channel: String,
    to: String,
    #[serde(deserialize_with = "time")]
    at: Timestamp,
    push: Option<Push>,
}

impl Waiting {
    /// Reads the outbox at `path` for what waits for `phone` at `now`.
    ///
    /// A line that is no message is left out and told of: it must not hide the logins around it.
    ///
    /// # Errors
    ///
    /// There is no outbox, or it cannot be read.
    pub fn read(path: &Path, phone: &Phone, now: Timestamp) -> Result<Self, Failure> {
        let unreadable =
            |error| Failure::Data(format!("The outbox {} cannot be read: {error}; --outbox names one", path.display()));
        let mut waiting = Self::default();
        let file = File::open(path).map_err(unreadable)?;
        for (number, line) in (1..).zip(BufReader::new(file).split(b'\n')) {
            let line = Secret::new(line.map_err(unreadable)?);
            match serde_json::from_slice(line.expose()) {
                Ok(line) => waiting.logins.extend(login(line, phone, now)),
                Err(_) if line.expose().is_empty() => {}
                Err(_) => waiting.broken.push(number),
            }
        }
        // Lines of the same millisecond stay in their order, the later one first.
        waiting.logins.reverse();
        waiting.logins.sort_by_key(|login| std::cmp::Reverse(login.at));
        Ok(waiting)
    }

    /// The login that `id` or the beginning of it names; without, the newest.
    ///
    /// # Errors
    ///
    /// There is none, or there are several.
    pub fn choose(&self, id: Option<&str>) -> Result<&Login, Failure> {
        let Some(start) = id else {
            return self.logins.first().ok_or_else(|| Failure::Data("No login waits for this phone".to_owned()));
        };
        let mut named =
            self.logins.iter().filter(|login| login.id.starts_with(start) || login.bare_id().starts_with(start));
        match (named.next(), named.next()) {
            (Some(login), None) => Ok(login),
            (Some(_), Some(_)) => Err(Failure::Data(format!("Several waiting logins begin with {start}"))),
            (None, _) => Err(Failure::Data(format!("No login {start} waits for this phone"))),
        }
    }
}

/// A time of RFC 3339.
fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
    let time: jiff::Timestamp = String::deserialize(deserializer)?.parse().map_err(D::Error::custom)?;
    Ok(Timestamp::from_millis(time.as_millisecond()))
}

/// The login of `line`, if it waits for `phone`.
fn login(line: Line, phone: &Phone, now: Timestamp) -> Option<Login> {
    let at = line.at;
    let push = line.push.filter(|_| line.channel == "push" && line.to == *phone.push_token.expose())?;
    let waits = now.since(at) <= PATIENCE && !phone.has_answered(&line.id);
    (waits && phone.accounts.iter().any(|account| account.id == push.device)).then_some(Login { id: line.id, at, push })
}

impl Login {
    /// The account of `phone` that is asked.
    ///
    /// # Errors
    ///
    /// It was removed.
    pub fn account<'a>(&self, phone: &'a Phone) -> Result<&'a Account, Failure> {
        let mut accounts = phone.accounts.iter();
        let account = accounts.find(|account| account.id == self.push.device);
        account.ok_or_else(|| Failure::Data("This phone has no such account".to_owned()))
    }

    /// The beginning of its id, to name it by.
    pub fn short_id(&self) -> &str {
        let id = self.bare_id();
        id.get(..SHORT).unwrap_or(id)
    }

    fn bare_id(&self) -> &str {
        self.id.strip_prefix("msg_").unwrap_or(&self.id)
    }

    /// Who asks, in words.
    pub fn words(&self) -> String {
        let Push { client_name, address, user_agent, .. } = &self.push;
        let from = address.as_deref().unwrap_or("an unknown address");
        let with = user_agent.as_deref().map(|agent| format!(" with {agent}")).unwrap_or_default();
        shown(&format!("login {} to {client_name} from {from}{with}", self.short_id()))
    }
}

/// `text` without what would steer a terminal. Whoever logs in chooses the name of their browser.
pub fn shown(text: &str) -> String {
    let steers = |sign: char| {
        sign.is_control()
            || matches!(sign, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}')
    };
    text.chars().map(|sign| if steers(sign) { char::REPLACEMENT_CHARACTER } else { sign }).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_would_steer_a_terminal_is_not_shown() {
        assert_eq!(shown("Mozilla/5.0 (ü)"), "Mozilla/5.0 (ü)");
        assert_eq!(shown("a\u{1b}[2Jb\nc\td\u{202e}e"), "a\u{fffd}[2Jb\u{fffd}c\u{fffd}d\u{fffd}e");
    }
}
