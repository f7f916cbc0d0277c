//! Rows of the audit trail about second factors that led to nothing without a wrong code.

use crate::{
    app::App,
    audit::{AuditEvent, Event},
    error::{Error, Reason},
    port::login_store::{COMPLETED, CommitOutcome, ConsumedTransaction},
};

impl App {
    /// Writes `row` because of `error`, if that is a result. Whatever goes wrong with the row, the answer is the refusal, or the failure of
    /// the store.
    ///
    /// Where the challenge may be over because `login` is completed, and is, the answer is that.
    pub(crate) async fn refused_exchange(
        &self,
        error: Error,
        login: Option<ConsumedTransaction>,
        row: AuditEvent,
    ) -> Error {
        match (why(&error), login) {
            (None, _) => error,
            (Some(why), Some(login)) if error.reason() == Reason::OobCodeInvalid => {
                self.unless_completed(error, login, row.because(why)).await
            }
            (Some(why), _) => self.note_cheap(row.because(why)).await.err().unwrap_or(error),
        }
    }

    /// `error`, unless `login` is completed: then it is that, whatever else is over with it. It leaves `row` and counts nothing.
    pub(crate) async fn unless_completed(&self, error: Error, login: ConsumedTransaction, row: AuditEvent) -> Error {
        let (error, row) = match self.logins.is_completed(&login).await {
            Ok(true) => (Error::new(Reason::MfaTokenInvalid).because("used before"), row.because(COMPLETED)),
            Ok(false) => (error, row),
            Err(failed) => return failed.into(),
        };
        self.note_cheap(row).await.err().unwrap_or(error)
    }
}

/// Why nothing came of a challenge or a confirmation. `None`: it is not decided yet, it has a row of its own, or it is no result.
fn why(error: &Error) -> Option<&'static str> {
    match error.reason() {
        Reason::AuthorizationRejected => Some("refused on the device"),
        Reason::OobCodeExpired => Some("expired"),
        Reason::OobCodeMismatched => Some("of another login"),
        Reason::OobCodeInvalid if error.detail() != Some("malformed") => error.detail(),
        Reason::MfaTokenOfOtherClient => Some("token of another client"),
        Reason::ScopeMissing => Some("scope missing"),
        Reason::StepUpRequired => Some("login too weak"),
        _ => None,
    }
}

/// The row of a login or confirmation that was right and could not be committed, made of the one that it would have had.
pub(super) fn uncommitted(row: AuditEvent, outcome: CommitOutcome) -> Option<AuditEvent> {
    let event = match (row.event, outcome) {
        // Only the store compares recovery codes: it is a wrong one, which is counted.
        (Event::RecoveryLogin, CommitOutcome::ProofSpent) => return None,
        (Event::RecoveryLogin, _) => Event::RecoveryFailed,
        (Event::OtpLogin, _) => Event::OtpFailed,
        (Event::OobLogin, _) => Event::OobFailed,
        (Event::PushLogin, _) => Event::ExchangeRefused,
        (Event::EnrollmentCompleted, _) => Event::EnrollmentUnconfirmed,
        _ => return None,
    };
    let why = match outcome {
        CommitOutcome::Committed => return None,
        CommitOutcome::ProofSpent => "used before",
        CommitOutcome::TransactionSpent => COMPLETED,
        CommitOutcome::AccountChanged | CommitOutcome::ToldBefore => "account has changed",
        CommitOutcome::RefreshSpent => "exchanged or revoked meanwhile",
    };
    Some(AuditEvent { event, ..row.because(why) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{id::UserId, time::Timestamp};

    fn row(event: Event) -> AuditEvent {
        AuditEvent::about(event, &UserId::new("auth0|ann"), Timestamp::from_millis(1))
    }

    #[test]
    fn what_could_not_be_committed_is_the_failure_of_what_it_would_have_been() {
        use CommitOutcome::{AccountChanged, Committed, ProofSpent, RefreshSpent, TransactionSpent};
        for (event, outcome, failed, why) in [
            (Event::OtpLogin, ProofSpent, Event::OtpFailed, "used before"),
            (Event::OobLogin, TransactionSpent, Event::OobFailed, COMPLETED),
            (Event::PushLogin, AccountChanged, Event::ExchangeRefused, "account has changed"),
            (Event::RecoveryLogin, AccountChanged, Event::RecoveryFailed, "account has changed"),
            (Event::EnrollmentCompleted, ProofSpent, Event::EnrollmentUnconfirmed, "used before"),
            (Event::OtpLogin, RefreshSpent, Event::OtpFailed, "exchanged or revoked meanwhile"),
        ] {
            assert_eq!(uncommitted(row(event), outcome), Some(row(failed).because(why)));
        }
        assert_eq!(uncommitted(row(Event::RecoveryLogin), ProofSpent), None, "it is counted, which is a row");
        assert_eq!(uncommitted(row(Event::OtpLogin), Committed), None);
    }

    #[test]
    fn a_challenge_that_is_undecided_or_no_challenge_at_all_is_no_result() {
        let invalid = |detail| Error::new(Reason::OobCodeInvalid).because(detail);
        for error in [
            Error::new(Reason::AuthorizationPending),
            Error::new(Reason::PollingTooFast),
            Error::new(Reason::StoreUnavailable),
            invalid("malformed"),
        ] {
            assert_eq!(why(&error), None, "{error}");
        }
        assert_eq!(why(&Error::new(Reason::AuthorizationRejected)), Some("refused on the device"));
        assert_eq!(why(&invalid("the authenticator is gone")), Some("the authenticator is gone"));
    }
}
