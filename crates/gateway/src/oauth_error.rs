//! Reasons to OAuth errors: the one place where HTTP status, `error` and `error_description` are decided.
//!
//! Two tables: [`row`] for what the gRPC services refuse, [`Problem::row`] for what the gateway refuses by itself. Clients
//! compare the texts byte for byte; never touch one without reading the HTTP contract. In a text, `{name}` stands for a
//! value that comes with the refusal.

mod problem;

use std::{borrow::Cow, time::Duration};

use countersign_proto::v1::ErrorReason;
use tonic::Code;
use tonic_types::StatusExt as _;

pub(crate) use self::problem::Problem;
use crate::config::{ClientErrorStyle, NotEnrolledStyle};

/// Where an error shows. The same reason reads differently in different places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// `/oauth/token` with a password.
    PasswordGrant,
    /// `/oauth/token` with a one-time password.
    OtpGrant,
    /// `/oauth/token` with a code that was sent.
    OobGrant,
    /// `/oauth/token` with a recovery code.
    RecoveryCodeGrant,
    /// `/oauth/token` with a refresh token.
    RefreshGrant,
    /// `/oauth/revoke`.
    Revocation,
    /// `/oauth/introspect`.
    Introspection,
    /// `/mfa/challenge`.
    Challenge,
    /// `/mfa/associate` and `GET /mfa/authenticators`.
    Authenticators,
    /// `/mfa/authenticators/{id}`.
    Authenticator,
    /// `/userinfo`.
    UserInfo,
    /// Discovery and keys.
    Open,
}

/// How the deployment words two of the errors.
#[derive(Clone, Copy)]
pub(crate) struct Style {
    pub(crate) client: ClientErrorStyle,
    pub(crate) not_enrolled: NotEnrolledStyle,
}

/// One error as a client sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) status: u16,
    pub(crate) error: &'static str,
    pub(crate) description: &'static str,
}

const fn is(status: u16, error: &'static str, description: &'static str) -> Row {
    Row { status, error, description }
}

/// The table of refusals by the gRPC services.
#[expect(clippy::too_many_lines, reason = "a table is as long as it has rows")]
pub(crate) fn row(reason: ErrorReason, place: Place, style: Style) -> Row {
    use ErrorReason as R;
    use Place as P;
    const BEARER_REFUSED: Row = is(401, "invalid_grant", "The mfa_token provided is invalid. Try getting a new token.");
    const NO_ACCESS: Row = is(401, "invalid_token", "The access token is invalid or has expired");

    match (reason, place) {
        (R::RequestMalformed, _) => is(400, "invalid_request", "{violation}"),
        (R::ClientUnauthenticated, _) => match style.client {
            ClientErrorStyle::AccessDenied => is(401, "access_denied", "Unauthorized"),
            ClientErrorStyle::InvalidClient => is(401, "invalid_client", "Client authentication failed"),
        },
        (R::GrantNotAllowed, _) => {
            is(403, "unauthorized_client", "Grant type '{grant_type}' not allowed for the client.")
        }
        (R::AudienceUnknown, _) => is(403, "access_denied", "Service not found: {audience}"),
        (R::NoDefaultRealm, _) => {
            is(500, "server_error", "Authorization server not configured with default connection.")
        }
        (R::CredentialsRejected, _) => is(403, "invalid_grant", "Wrong email or password."),
        (R::AccountLocked, _) => is(
            429,
            "too_many_attempts",
            "Your account has been blocked after multiple consecutive login attempts. We've sent you an email with \
             instructions on how to unblock it.",
        ),
        (R::RateLimited, _) => is(429, "too_many_requests", "Rate limit exceeded. Please retry after some time."),
        (R::UserBlocked, P::PasswordGrant | P::RefreshGrant) => is(403, "unauthorized", "user is blocked"),
        (R::UserBlocked, P::OtpGrant | P::OobGrant | P::RecoveryCodeGrant | P::Challenge) => {
            is(403, "invalid_grant", "user is blocked")
        }
        (
            R::UserBlocked,
            P::Authenticators | P::Authenticator | P::UserInfo | P::Revocation | P::Introspection | P::Open,
        ) => is(403, "access_denied", "user is blocked"),
        (
            R::MfaTokenInvalid | R::AccessTokenInvalid,
            P::PasswordGrant | P::OtpGrant | P::OobGrant | P::RecoveryCodeGrant | P::RefreshGrant | P::Challenge,
        ) => is(403, "invalid_grant", "Malformed mfa_token"),
        (R::MfaTokenInvalid | R::AccessTokenInvalid, P::Authenticators | P::Authenticator) => BEARER_REFUSED,
        (
            R::MfaTokenInvalid | R::AccessTokenInvalid | R::MfaTokenExpired,
            P::UserInfo | P::Revocation | P::Introspection | P::Open,
        ) => NO_ACCESS,
        (
            R::MfaTokenExpired,
            P::PasswordGrant | P::OtpGrant | P::OobGrant | P::RecoveryCodeGrant | P::RefreshGrant | P::Challenge,
        ) => is(403, "expired_token", "mfa_token is expired"),
        (R::MfaTokenExpired, P::Authenticators | P::Authenticator) => is(401, "expired_token", "mfa_token is expired"),
        (R::MfaTokenOfOtherClient, _) => is(400, "invalid_request", "mfa_token not issued to this client"),
        (R::ProofRejected, P::RecoveryCodeGrant) => is(403, "invalid_grant", "MFA Authorization rejected."),
        (R::ProofRejected, P::OobGrant) => is(403, "invalid_grant", "Invalid binding_code."),
        (R::ProofRejected, _) => is(403, "invalid_grant", "Invalid otp_code."),
        (R::TooManyAttempts, _) => {
            is(429, "too_many_attempts", "Too many failed codes. Wait for some minutes before retrying.")
        }
        (R::NotEnrolled, _) => match style.not_enrolled {
            NotEnrolledStyle::UnsupportedChallengeType => {
                is(401, "unsupported_challenge_type", "User is not enrolled with guardian")
            }
            NotEnrolledStyle::AssociationRequired => {
                is(401, "association_required", "User is not enrolled with guardian")
            }
        },
        (R::ChallengeTypeUnsupported, _) => is(
            401,
            "unsupported_challenge_type",
            "User does not have any enrolled authenticator with the supported challenge type ({challenge_types})",
        ),
        (R::AuthenticatorNotFound, P::Authenticator) => is(404, "invalid_authenticator", "Authenticator not found"),
        (R::AuthenticatorNotFound, _) => is(400, "invalid_authenticator", "Authenticator not found"),
        (R::AlreadyEnrolled, _) => is(403, "access_denied", "User is already enrolled."),
        (R::AuthenticatorLimitReached, _) => {
            is(403, "access_denied", "The maximum number of authenticators is reached.")
        }
        (R::ScopeMissing, _) => is(403, "insufficient_scope", "The access token lacks the scope: {scope}"),
        (R::StepUpRequired, _) => {
            is(401, "insufficient_user_authentication", "A token of a recent login with a second factor is required.")
        }
        (R::OobCodeInvalid, _) => is(403, "invalid_grant", "Malformed oob_code"),
        (R::OobCodeExpired, _) => is(403, "expired_token", "oob_code is expired"),
        (R::OobCodeMismatched, _) => is(400, "invalid_request", "The oob_code doesn't match the mfa_token"),
        (R::MessageLimitReached, _) => {
            is(429, "too_many_attempts", "Too many {messages} sent by the user. Wait for some minutes before retrying.")
        }
        (R::DeliveryUnavailable, _) => is(
            503,
            "temporarily_unavailable",
            "Messages cannot be sent over this channel at the moment. Choose another factor or retry later.",
        ),
        (R::NumberAtRisk, _) => {
            is(403, "access_denied", "Messages are not sent to this number at the moment. Choose another factor.")
        }
        (R::AuthenticatorImplied, _) => is(
            403,
            "access_denied",
            "This authenticator follows from the verified email and cannot be changed or removed.",
        ),
        (R::AuthorizationPending, _) => {
            is(400, "authorization_pending", "Authorization pending: please repeat the request in a few seconds.")
        }
        (R::AuthorizationRejected, _) => is(400, "access_denied", "MFA Authorization rejected."),
        (R::PollingTooFast, _) => {
            is(429, "slow_down", "You are polling faster than allowed. Try again in {retry_after} seconds.")
        }
        (R::RefreshTokenInvalid, _) => is(403, "invalid_grant", "Unknown or invalid refresh token."),
        (R::RefreshTokenUserGone, _) => {
            is(403, "invalid_grant", "The refresh_token was generated for a user who doesn't exist anymore.")
        }
        (R::ScopeExceeded, _) => is(400, "invalid_scope", "The scope was not granted at the login: {scope}"),
        (R::IntrospectionNotAllowed, _) => is(403, "access_denied", "The client may not ask about tokens."),
        (R::AuthenticationUnmet, _) => {
            is(400, "unmet_authentication_requirements", "The authentication that is required cannot be met: {unmet}")
        }
        (R::ApiNotAllowed, _) => is(403, "access_denied", "Client is not authorized to access \"{audience}\"."),
        (R::AssertionRejected, _) => is(403, "invalid_grant", "The asserted login is not accepted."),
        (R::SubjectUnknown, _) => is(403, "invalid_grant", "Unknown subject."),
        (R::StoreUnavailable | R::Overloaded, _) => {
            is(503, "temporarily_unavailable", "The service is temporarily unavailable. Please retry.")
        }
        // What follows is said to devices alone, in their own table.
        (
            R::EnrollmentTicketInvalid
            | R::DeviceConflict
            | R::DeviceUnauthenticated
            | R::DeviceNotFound
            | R::PushTransactionUnknown
            | R::DeviceAnswerRejected
            | R::Internal
            | R::Unspecified,
            _,
        ) => is(500, "server_error", "Internal server error"),
    }
}

const INSUFFICIENT: &str = "Bearer error=\"insufficient_user_authentication\"";

/// What `WWW-Authenticate` says with an error: never at `/oauth/token` and `/mfa/challenge`, where engines that see it stop
/// reading the body.
pub(crate) fn challenge_header(error: &str, place: Place) -> Option<&'static str> {
    match (error, place) {
        ("invalid_token", Place::UserInfo) => Some("Bearer error=\"invalid_token\""),
        ("insufficient_scope", Place::UserInfo) => Some("Bearer error=\"insufficient_scope\""),
        // RFC 9470, section 3. What would do comes with the refusal.
        ("insufficient_user_authentication", Place::Authenticators | Place::Authenticator) => Some(INSUFFICIENT),
        _ => None,
    }
}

/// The header with what a service said would do: `acr_values` and `max_age` (RFC 9470, section 3).
pub(crate) fn with_requirements(challenge: &'static str, refused: &Refused) -> Cow<'static, str> {
    if challenge != INSUFFICIENT {
        return Cow::Borrowed(challenge);
    }
    let mut text = challenge.to_owned();
    for name in ["acr_values", "max_age"] {
        if let Some(value) = refused.metadata.get(name) {
            text.extend([", ", name, "=\""]);
            text.extend(printable(value));
            text.push('"');
        }
    }
    Cow::Owned(text)
}

/// Why a request is not answered.
pub(crate) enum Refusal {
    /// By the gateway.
    Problem(Problem),
    /// By a gRPC service.
    Service(Box<Refused>),
}

/// What came with a refusal of a gRPC service.
pub(crate) struct Refused {
    pub(crate) reason: ErrorReason,
    /// Values for the texts, and the throttle's numbers.
    pub(crate) metadata: std::collections::HashMap<String, String>,
    /// What is wrong with the first wrong field.
    pub(crate) violation: Option<String>,
    /// When to come back.
    pub(crate) retry_delay: Option<Duration>,
}

impl Refusal {
    /// A refusal in a gRPC service's words.
    pub(crate) fn reason(reason: ErrorReason) -> Self {
        Self::Service(Box::new(Refused {
            reason,
            metadata: std::collections::HashMap::new(),
            violation: None,
            retry_delay: None,
        }))
    }
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

impl From<tonic::Status> for Refusal {
    fn from(status: tonic::Status) -> Self {
        let details = status.get_error_details();
        let info = details.error_info().filter(|info| info.domain == "countersign");
        let Some(reason) = info.and_then(|info| ErrorReason::from_str_name(&info.reason)) else {
            // Not ours: the transport, a deadline, or a layer before the service.
            return Self::reason(match status.code() {
                Code::Unavailable | Code::DeadlineExceeded | Code::ResourceExhausted => ErrorReason::Overloaded,
                _ => ErrorReason::Internal,
            });
        };
        let violation = details.bad_request().and_then(|bad| bad.field_violations.first());
        Self::Service(Box::new(Refused {
            reason,
            metadata: info.map(|info| info.metadata.clone()).unwrap_or_default(),
            violation: violation.map(|violation| violation.description.clone()),
            retry_delay: details.retry_info().and_then(|info| info.retry_delay),
        }))
    }
}

/// Puts values in the place of `{name}`. Values are cut and kept to what RFC 6749, section 5.2 allows in a description.
pub(crate) fn fill<'v>(text: &'static str, value: impl Fn(&str) -> Option<&'v str>) -> Cow<'static, str> {
    let mut filled = String::new();
    let mut rest = text;
    while let Some((before, name, after)) = next_placeholder(rest) {
        filled.push_str(before);
        filled.extend(printable(value(name).unwrap_or_default()));
        rest = after;
    }
    if filled.is_empty() && rest.len() == text.len() {
        return Cow::Borrowed(text);
    }
    filled.push_str(rest);
    Cow::Owned(filled)
}

fn next_placeholder(text: &'static str) -> Option<(&'static str, &'static str, &'static str)> {
    let (before, rest) = text.split_once('{')?;
    let (name, after) = rest.split_once('}')?;
    Some((before, name, after))
}

fn printable(value: &str) -> impl Iterator<Item = char> {
    let fits = |character: &char| matches!(character, ' '..='~') && !matches!(character, '"' | '\\');
    value.chars().filter(fits).take(200)
}

#[cfg(test)]
mod tests;
