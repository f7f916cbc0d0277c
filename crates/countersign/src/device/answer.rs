//! Answering a login.

use std::path::Path;

use countersign_domain::{secret::Secret, time::Timestamp};
use reqwest::StatusCode;
use serde_json::json;

use super::{
    guardian::{Guardian, Problem, RESOLVE},
    key::DeviceKey,
    outbox::Login,
    phone::Phone,
};
use crate::cli::exit::Failure;

/// Seconds that a signed answer is good for.
const LIFETIME: i64 = 30;

/// The number that a login shows.
#[derive(Debug)]
pub struct Number(Secret<String>);

impl Number {
    /// Reads what was typed.
    ///
    /// # Errors
    ///
    /// It is not six digits.
    pub fn parse(typed: &str) -> Result<Self, Failure> {
        let typed = typed.trim();
        if typed.len() == 6 && typed.bytes().all(|byte| byte.is_ascii_digit()) {
            Ok(Self(Secret::new(typed.to_owned())))
        } else {
            Err(Failure::Data("The number has six digits; nothing was sent".to_owned()))
        }
    }
}

/// What the person says.
#[derive(Debug)]
pub enum Verdict {
    /// That it is theirs, with the number if they were asked for it.
    Accept(Option<Number>),
    /// That it is not, and why if they like.
    Reject(Option<String>),
}

/// Tells the server what the person of `phone` says of `login`, and remembers in the file `path` that it was said.
///
/// # Errors
///
/// The server refuses or does not answer. A login that it does not know any more waits no longer.
pub async fn answer(
    guardian: &Guardian,
    phone: &mut Phone,
    login: &Login,
    verdict: &Verdict,
    now: Timestamp,
    path: &Path,
) -> Result<(), Failure> {
    let account = login.account(phone)?;
    let mut claims = json!({
        "iss": phone.identifier,
        "sub": login.push.challenge.expose(),
        // What the enrolment said, not the notification: a bearer goes to nobody else.
        "aud": account.url.at(RESOLVE),
        "iat": now.as_secs(),
        "exp": now.as_secs().saturating_add(LIFETIME),
        "auth0_guardian_method": "push",
        "auth0_guardian_accepted": matches!(verdict, Verdict::Accept(_)),
    });
    let more = match verdict {
        Verdict::Accept(number) => ("binding_code", number.as_ref().map(|number| number.0.expose())),
        Verdict::Reject(reason) => ("auth0_guardian_reason", reason.as_ref()),
    };
    if let (name, Some(value)) = more
        && let Some(claims) = claims.as_object_mut()
    {
        claims.insert(name.to_owned(), value.as_str().into());
    }
    let token = DeviceKey::parse(&account.key)?.sign(&claims)?;
    let said = guardian.resolve(&account.url, &login.push.transaction_token, &token).await;
    if said.is_ok() || matches!(said, Err(Problem::Refused(StatusCode::NOT_FOUND, ..))) {
        phone.answered(&login.id, login.at, now);
        phone.save(path)?;
    }
    Ok(said?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_number_is_six_digits() {
        for good in ["012345", "999999\r\n", " 123456"] {
            assert!(Number::parse(good).is_ok(), "{good:?}");
        }
        for bad in ["", "12345", "1234567", "12 345", "１２３４５６", "12345a", "-12345"] {
            assert!(matches!(Number::parse(bad), Err(Failure::Data(_))), "{bad:?}");
        }
    }
}
