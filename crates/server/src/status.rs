//! The one table from reason to gRPC status (`google.rpc.Status` with `ErrorInfo`, `BadRequest` and `RetryInfo`).

use std::{
    collections::HashMap,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use countersign_domain::{
    error::{Error, Reason},
    port::PortError,
};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt as _};

/// The domain of every `ErrorInfo`.
pub const ERROR_DOMAIN: &str = "countersign";

/// What a reason looks like on the wire: its code, its name in the contract, and a sentence for people.
#[expect(clippy::too_many_lines, reason = "a table is as long as it has rows")]
pub const fn row(reason: Reason) -> (Code, &'static str, &'static str) {
    match reason {
        Reason::RequestMalformed => (Code::InvalidArgument, "REQUEST_MALFORMED", "a field is wrong"),
        Reason::ClientUnauthenticated => {
            (Code::Unauthenticated, "CLIENT_UNAUTHENTICATED", "the client is unknown or its secret is wrong")
        }
        Reason::GrantNotAllowed => {
            (Code::PermissionDenied, "GRANT_NOT_ALLOWED", "the client is not configured for this grant")
        }
        Reason::AudienceUnknown => (Code::NotFound, "AUDIENCE_UNKNOWN", "no API has this identifier"),
        Reason::NoDefaultRealm => {
            (Code::FailedPrecondition, "NO_DEFAULT_REALM", "no realm was named and none is the default")
        }
        Reason::CredentialsRejected => {
            (Code::PermissionDenied, "CREDENTIALS_REJECTED", "the username or the password is wrong")
        }
        Reason::AccountLocked => {
            (Code::ResourceExhausted, "ACCOUNT_LOCKED", "too many wrong passwords for this account")
        }
        Reason::RateLimited => (Code::ResourceExhausted, "RATE_LIMITED", "more requests than the rate allows"),
        Reason::UserBlocked => (Code::PermissionDenied, "USER_BLOCKED", "the account is blocked"),
        Reason::MfaTokenInvalid => {
            (Code::PermissionDenied, "MFA_TOKEN_INVALID", "the mfa_token is not valid or was used")
        }
        Reason::MfaTokenExpired => (Code::FailedPrecondition, "MFA_TOKEN_EXPIRED", "the mfa_token has expired"),
        Reason::MfaTokenOfOtherClient => {
            (Code::PermissionDenied, "MFA_TOKEN_OF_OTHER_CLIENT", "the mfa_token was issued to another client")
        }
        Reason::ProofRejected => (Code::PermissionDenied, "PROOF_REJECTED", "the code is wrong or was used"),
        Reason::TooManyAttempts => {
            (Code::ResourceExhausted, "TOO_MANY_ATTEMPTS", "too many wrong codes for this person and factor")
        }
        Reason::NotEnrolled => (Code::FailedPrecondition, "NOT_ENROLLED", "the person has no authenticator"),
        Reason::ChallengeTypeUnsupported => (
            Code::FailedPrecondition,
            "CHALLENGE_TYPE_UNSUPPORTED",
            "the person has no authenticator of an accepted type",
        ),
        Reason::AuthenticatorNotFound => {
            (Code::NotFound, "AUTHENTICATOR_NOT_FOUND", "the person has no such active authenticator")
        }
        Reason::AlreadyEnrolled => (Code::FailedPrecondition, "ALREADY_ENROLLED", "the person has an authenticator"),
        Reason::AuthenticatorLimitReached => {
            (Code::ResourceExhausted, "AUTHENTICATOR_LIMIT_REACHED", "the person has as many authenticators as allowed")
        }
        Reason::AccessTokenInvalid => (Code::Unauthenticated, "ACCESS_TOKEN_INVALID", "the access token is not valid"),
        Reason::ScopeMissing => (Code::PermissionDenied, "SCOPE_MISSING", "the access token lacks a scope"),
        Reason::StepUpRequired => {
            (Code::Unauthenticated, "STEP_UP_REQUIRED", "a token of a recent login with a second factor is needed")
        }
        Reason::OobCodeInvalid => {
            (Code::PermissionDenied, "OOB_CODE_INVALID", "the oob_code is not valid, was used or was superseded")
        }
        Reason::OobCodeExpired => (Code::FailedPrecondition, "OOB_CODE_EXPIRED", "the code has expired"),
        Reason::OobCodeMismatched => {
            (Code::PermissionDenied, "OOB_CODE_MISMATCHED", "the oob_code belongs to another mfa_token")
        }
        Reason::MessageLimitReached => {
            (Code::ResourceExhausted, "MESSAGE_LIMIT_REACHED", "no more messages are sent for now")
        }
        Reason::DeliveryUnavailable => {
            (Code::Unavailable, "DELIVERY_UNAVAILABLE", "no message can be sent over this channel now")
        }
        Reason::NumberAtRisk => {
            (Code::FailedPrecondition, "NUMBER_AT_RISK", "the number may be in other hands, and nothing is sent to it")
        }
        Reason::AuthenticatorImplied => (
            Code::FailedPrecondition,
            "AUTHENTICATOR_IMPLIED",
            "it follows from the address and cannot be changed or removed",
        ),
        Reason::AuthorizationPending => {
            (Code::FailedPrecondition, "AUTHORIZATION_PENDING", "the device has not answered yet")
        }
        Reason::AuthorizationRejected => {
            (Code::PermissionDenied, "AUTHORIZATION_REJECTED", "the person refused on the device")
        }
        Reason::PollingTooFast => {
            (Code::ResourceExhausted, "POLLING_TOO_FAST", "the outcome is asked for more often than allowed")
        }
        Reason::EnrollmentTicketInvalid => {
            (Code::NotFound, "ENROLLMENT_TICKET_INVALID", "the ticket is unknown, was used or has expired")
        }
        Reason::DeviceConflict => {
            (Code::AlreadyExists, "DEVICE_CONFLICT", "another device has registered with the same ticket")
        }
        Reason::DeviceUnauthenticated => {
            (Code::Unauthenticated, "DEVICE_UNAUTHENTICATED", "the device did not prove that it is this one")
        }
        Reason::DeviceNotFound => (Code::NotFound, "DEVICE_NOT_FOUND", "the device was removed"),
        Reason::PushTransactionUnknown => {
            (Code::NotFound, "PUSH_TRANSACTION_UNKNOWN", "no login waits for this answer")
        }
        Reason::DeviceAnswerRejected => {
            (Code::PermissionDenied, "DEVICE_ANSWER_REJECTED", "the answer is not the device's for this login")
        }
        Reason::RefreshTokenInvalid => {
            (Code::PermissionDenied, "REFRESH_TOKEN_INVALID", "the refresh token is not valid, or was used or revoked")
        }
        Reason::RefreshTokenUserGone => {
            (Code::PermissionDenied, "REFRESH_TOKEN_USER_GONE", "the account of the refresh token is gone")
        }
        Reason::ScopeExceeded => (Code::InvalidArgument, "SCOPE_EXCEEDED", "a scope was not granted at the login"),
        Reason::IntrospectionNotAllowed => {
            (Code::PermissionDenied, "INTROSPECTION_NOT_ALLOWED", "the client may not ask about tokens")
        }
        Reason::AuthenticationUnmet => {
            (Code::FailedPrecondition, "AUTHENTICATION_UNMET", "the login cannot be what is asked for")
        }
        Reason::ApiNotAllowed => {
            (Code::PermissionDenied, "API_NOT_ALLOWED", "the client may not call this API as itself")
        }
        Reason::AssertionRejected => {
            (Code::PermissionDenied, "ASSERTION_REJECTED", "what the client says of the login is not believed")
        }
        Reason::SubjectUnknown => (Code::PermissionDenied, "SUBJECT_UNKNOWN", "nobody has the asserted name"),
        Reason::StoreUnavailable => (Code::Unavailable, "STORE_UNAVAILABLE", "a store does not answer"),
        Reason::Overloaded => (Code::Unavailable, "OVERLOADED", "the server is too busy"),
        Reason::Internal => (Code::Internal, "INTERNAL", "the server has failed"),
    }
}

/// The status of a refusal. Causes are logged here, once, and never sent.
pub fn to_status(error: &Error) -> Status {
    let reason = error.reason();
    let (code, name, message) = row(reason);
    countersign_telemetry::note(|facts| facts.reason = Some(name));
    log(error, name);

    let mut metadata: HashMap<String, String> =
        error.metadata().iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
    let mut details = ErrorDetails::new();
    if let Some(throttle) = error.throttle() {
        metadata.insert("limit".into(), throttle.limit.to_string());
        metadata.insert("remaining".into(), "0".into());
        details.set_retry_info(Some(throttle.retry_after));
    }
    if matches!(reason, Reason::StoreUnavailable | Reason::Overloaded | Reason::DeliveryUnavailable) {
        details.set_retry_info(Some(retry_delay()));
    }
    details.set_error_info(name, ERROR_DOMAIN, metadata);
    if !error.field_violations().is_empty() {
        let violations: Vec<_> = error
            .field_violations()
            .iter()
            .map(|violation| FieldViolation::new(violation.field, violation.description.clone()))
            .collect();
        details.set_bad_request(violations);
    }
    Status::with_error_details(code, message, details)
}

fn log(error: &Error, name: &'static str) {
    let cause = chain(error);
    match error.reason() {
        Reason::Internal => tracing::error!(reason = name, detail = error.detail(), cause, "a request failed"),
        Reason::StoreUnavailable => tracing::warn!(reason = name, cause, "a store does not answer"),
        Reason::DeliveryUnavailable => {
            tracing::warn!(reason = name, detail = error.detail(), "a message could not be sent");
        }
        Reason::Overloaded if is_abandoned(error) => {
            tracing::debug!(reason = name, "nobody waits for a request any more");
        }
        Reason::Overloaded => tracing::warn!(reason = name, "a request was shed"),
        _ => tracing::debug!(reason = name, detail = error.detail(), "a request was refused"),
    }
}

/// Whether it was not begun because nobody would have heard of it: that says nothing about how busy the server is.
fn is_abandoned(error: &Error) -> bool {
    let cause = std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<PortError>());
    matches!(cause, Some(PortError::Abandoned))
}

fn chain(error: &Error) -> String {
    let mut text = String::new();
    let mut next = std::error::Error::source(error);
    while let Some(cause) = next {
        if !text.is_empty() {
            text.push_str(": ");
        }
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}

/// One to three seconds, spread so that callers who were refused together do not come back together.
fn retry_delay() -> Duration {
    static TURN: AtomicU64 = AtomicU64::new(0);
    Duration::from_secs(1 + TURN.fetch_add(1, Ordering::Relaxed) % 3)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use countersign_proto::v1::ErrorReason;

    use super::*;

    #[test]
    fn the_table_is_what_it_was() {
        let table: Vec<String> =
            Reason::ALL.into_iter().map(row).map(|(code, name, text)| format!("{name}: {code:?}, {text}")).collect();
        insta::assert_snapshot!(table.join("\n"));
    }

    #[test]
    fn reasons_and_the_contract_are_one_to_one() {
        let names: HashSet<&str> = Reason::ALL.into_iter().map(|reason| row(reason).1).collect();
        assert_eq!(names.len(), Reason::ALL.len());
        for name in &names {
            assert!(ErrorReason::from_str_name(name).is_some(), "{name}");
        }
        let in_contract = (1..).map_while(|n| ErrorReason::try_from(n).ok()).count();
        assert_eq!(in_contract, names.len());
    }

    #[test]
    fn details_say_what_the_caller_may_know_and_no_more() {
        let source = countersign_domain::port::PortError::Unavailable("x", Box::from("password=hunter2"));
        let status = to_status(&Error::from(source));
        let details = status.get_error_details();
        assert_eq!(status.code(), Code::Unavailable);
        assert_eq!(details.error_info().unwrap().reason, "STORE_UNAVAILABLE");
        let delay = details.retry_info().unwrap().retry_delay.unwrap();
        assert!((1..=3).contains(&delay.as_secs()));
        assert!(!format!("{status:?}").contains("hunter2"));

        let status = to_status(&Error::missing("otp"));
        let bad = status.get_error_details().bad_request().unwrap().clone();
        assert_eq!(bad.field_violations[0].field, "otp");
        assert_eq!(bad.field_violations[0].description, "Missing required parameter: otp");
    }
}
