//! Tokens that open nothing: each try of one that may have been good once is a row of the audit trail.

use std::net::IpAddr;

use crate::{
    app::App,
    audit::{AuditEvent, Event},
    error::{Error, Reason},
    id::{ClientId, UserId},
    port::PortError,
    registry::Client,
    time::Timestamp,
};

/// Why a token opens nothing, and whose it was, if it was ours.
#[derive(Debug)]
pub(crate) struct Over {
    /// The refusal, or the failure of a store.
    pub error: Error,
    /// The person, and the client it was issued to.
    pub whose: Option<Box<(UserId, ClientId)>>,
}

impl Over {
    /// A token of `user`.
    pub(crate) fn of(user: &UserId, client: &ClientId, error: Error) -> Self {
        Self { error, whose: Some(Box::new((user.clone(), client.clone()))) }
    }
}

impl From<Error> for Over {
    fn from(error: Error) -> Self {
        Self { error, whose: None }
    }
}

impl From<PortError> for Over {
    fn from(error: PortError) -> Self {
        Error::from(error).into()
    }
}

impl From<Over> for Error {
    fn from(over: Over) -> Self {
        over.error
    }
}

impl App {
    /// Writes the row of a token that `client`, if it is known, presented in vain. The answer is the refusal, or the failure of the store.
    pub(crate) async fn note_over(
        &self,
        event: Event,
        over: Over,
        client: Option<&Client>,
        address: Option<IpAddr>,
        now: Timestamp,
    ) -> Error {
        let Some(why) = why(&over.error) else { return over.error };
        let (user, issued_to) = over.whose.map(|whose| *whose).unzip();
        let client = client.map(|client| client.id.clone()).or(issued_to);
        let row = AuditEvent { user, client, address, ..AuditEvent::of_deployment(event, now) };
        self.note_cheap(row.because(why)).await.err().unwrap_or(over.error)
    }
}

/// What the row says. `None`: it is no token of ours by its form, or a store failed.
fn why(error: &Error) -> Option<&'static str> {
    match error.reason() {
        Reason::MfaTokenInvalid if error.detail() != Some("malformed") => error.detail(),
        Reason::AccessTokenInvalid if error.detail() != Some("signature or form") => error.detail(),
        Reason::MfaTokenExpired => Some("expired"),
        Reason::MfaTokenOfOtherClient => Some("token of another client"),
        Reason::TooManyAttempts => Some("exhausted"),
        Reason::UserBlocked => Some("blocked"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_token_by_its_form_and_a_store_that_fails_are_no_result() {
        for error in [
            Error::new(Reason::MfaTokenInvalid).because("malformed"),
            Error::new(Reason::AccessTokenInvalid).because("signature or form"),
            Error::new(Reason::StoreUnavailable),
            Error::new(Reason::ScopeMissing),
        ] {
            assert_eq!(why(&error), None, "{error}");
        }
        assert_eq!(why(&Error::new(Reason::MfaTokenInvalid).because("unknown or used")), Some("unknown or used"));
        assert_eq!(why(&Error::new(Reason::AccessTokenInvalid).because("voided")), Some("voided"));
    }
}
