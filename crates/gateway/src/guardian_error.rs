//! Errors as devices of the Guardian protocol read them: the third and last table.

use countersign_proto::v1::ErrorReason;

/// One error as a device sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) status: u16,
    /// `errorCode`.
    pub(crate) code: &'static str,
    /// `message`; `{violation}` stands for what is wrong with a field.
    pub(crate) message: &'static str,
}

/// The table.
pub(crate) const fn row(reason: ErrorReason) -> Row {
    use ErrorReason as R;
    let (status, code, message) = match reason {
        R::RequestMalformed => (400, "invalid_body", "{violation}"),
        R::EnrollmentTicketInvalid => {
            (404, "enrollment_transaction_not_found", "The enrollment is unknown, was used or has expired.")
        }
        R::DeviceConflict => (409, "enrollment_conflict", "Another device has used this enrollment."),
        R::DeviceUnauthenticated => (401, "invalid_token", "The device did not prove that it is this one."),
        R::DeviceNotFound => (404, "device_account_not_found", "The device was removed."),
        R::PushTransactionUnknown => (404, "login_transaction_not_found", "No login waits for this answer."),
        R::DeviceAnswerRejected => (401, "invalid_token", "The answer is not signed by this device for this login."),
        R::ProofRejected => (403, "invalid_otp", "The number is not the one the login shows."),
        R::TooManyAttempts => (429, "too_many_attempts", "Too many wrong numbers. Wait before retrying."),
        R::StoreUnavailable | R::Overloaded => {
            (503, "service_unavailable", "The service is temporarily unavailable. Please retry.")
        }
        // What follows is said to clients alone, in their own table.
        R::Unspecified
        | R::ClientUnauthenticated
        | R::GrantNotAllowed
        | R::AudienceUnknown
        | R::NoDefaultRealm
        | R::CredentialsRejected
        | R::AccountLocked
        | R::RateLimited
        | R::UserBlocked
        | R::MfaTokenInvalid
        | R::MfaTokenExpired
        | R::MfaTokenOfOtherClient
        | R::NotEnrolled
        | R::ChallengeTypeUnsupported
        | R::AuthenticatorNotFound
        | R::AlreadyEnrolled
        | R::AuthenticatorLimitReached
        | R::AccessTokenInvalid
        | R::ScopeMissing
        | R::StepUpRequired
        | R::Internal
        | R::OobCodeInvalid
        | R::OobCodeExpired
        | R::OobCodeMismatched
        | R::MessageLimitReached
        | R::DeliveryUnavailable
        | R::NumberAtRisk
        | R::AuthenticatorImplied
        | R::AuthorizationPending
        | R::AuthorizationRejected
        | R::PollingTooFast
        | R::RefreshTokenInvalid
        | R::RefreshTokenUserGone
        | R::ScopeExceeded
        | R::IntrospectionNotAllowed
        | R::AuthenticationUnmet
        | R::ApiNotAllowed
        | R::AssertionRejected
        | R::SubjectUnknown => (500, "server_error", "Internal server error"),
    };
    Row { status, code, message }
}

/// The `error` member: the status in words.
pub(crate) const fn phrase(status: u16) -> &'static str {
    match status {
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        409 => "Conflict",
        413 => "Content Too Large",
        415 => "Unsupported Media Type",
        429 => "Too Many Requests",
        503 => "Service Unavailable",
        _ => "Internal Server Error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The texts are what they were, and every reason a device can meet has a row of its own.
    #[test]
    fn the_table_is_what_it_was() {
        let rows = (1..).map_while(|number| ErrorReason::try_from(number).ok()).filter_map(|reason| {
            let Row { status, code, message } = row(reason);
            (status != 500).then(|| format!("{}: {status} {} {code}, {message}", reason.as_str_name(), phrase(status)))
        });
        insta::assert_snapshot!(rows.collect::<Vec<_>>().join("\n"));
    }
}
