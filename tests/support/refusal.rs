//! What a call is refused with, on either transport.

use countersign_proto::v1::ErrorReason;
use http::HeaderMap;
use serde_json::Value;

/// One way to be refused: the reason over gRPC, and the answer over HTTP, byte for byte.
#[derive(Clone, Copy)]
pub struct Expected {
    /// The reason over gRPC.
    pub reason: ErrorReason,
    /// The status over HTTP.
    pub status: u16,
    /// The member `error`.
    pub error: &'static str,
    /// The member `error_description`.
    pub description: &'static str,
}

impl std::fmt::Debug for Expected {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { reason, status, error, description } = self;
        write!(f, "{} ({status} {error}: {description})", reason.as_str_name())
    }
}

macro_rules! refusals {
    ($($(#[$doc:meta])* $name:ident = $reason:ident, $status:literal $error:literal $description:literal;)*) => {$(
        $(#[$doc])*
        pub const $name: Expected = Expected {
            reason: ErrorReason::$reason, status: $status, error: $error, description: $description,
        };
    )*};
}

refusals! {
    /// Username or password.
    WRONG_PASSWORD = CredentialsRejected, 403 "invalid_grant" "Wrong email or password.";
    /// Too many wrong passwords.
    LOCKED = AccountLocked, 429 "too_many_attempts" "Your account has been blocked after multiple consecutive login attempts. We've sent you an email with instructions on how to unblock it.";
    /// Too many logins.
    RATE_LIMITED = RateLimited, 429 "too_many_requests" "Rate limit exceeded. Please retry after some time.";
    /// A wrong or used code of an app.
    WRONG_OTP = ProofRejected, 403 "invalid_grant" "Invalid otp_code.";
    /// A wrong or used recovery code.
    WRONG_RECOVERY_CODE = ProofRejected, 403 "invalid_grant" "MFA Authorization rejected.";
    /// Too many wrong codes.
    TOO_MANY_CODES = TooManyAttempts, 429 "too_many_attempts" "Too many failed codes. Wait for some minutes before retrying.";
    /// In the body: none of ours, or used.
    MALFORMED_TOKEN = MfaTokenInvalid, 403 "invalid_grant" "Malformed mfa_token";
    /// In the body: expired.
    EXPIRED_TOKEN = MfaTokenExpired, 403 "expired_token" "mfa_token is expired";
    /// In the body: of another client.
    FOREIGN_TOKEN = MfaTokenOfOtherClient, 400 "invalid_request" "mfa_token not issued to this client";
    /// As a bearer: an `mfa_token` that is none of ours, or used.
    BAD_BEARER = MfaTokenInvalid, 401 "invalid_grant" "The mfa_token provided is invalid. Try getting a new token.";
    /// As a bearer: an expired `mfa_token`.
    EXPIRED_BEARER = MfaTokenExpired, 401 "expired_token" "mfa_token is expired";
    /// As a bearer: an access token that is none, or voided.
    BAD_ACCESS_TOKEN = AccessTokenInvalid, 401 "invalid_grant" "The mfa_token provided is invalid. Try getting a new token.";
    /// The operator blocked the account; said to who has the password.
    BLOCKED_AT_PASSWORD = UserBlocked, 403 "unauthorized" "user is blocked";
    /// The operator blocked the account; said at the second factor.
    BLOCKED = UserBlocked, 403 "invalid_grant" "user is blocked";
    /// The operator blocked the account; said to a bearer.
    BLOCKED_BEARER = UserBlocked, 403 "access_denied" "user is blocked";
    /// A token of the first factor alone cannot add a factor.
    ALREADY_ENROLLED = AlreadyEnrolled, 403 "access_denied" "User is already enrolled.";
    /// No authenticator at all.
    NOT_ENROLLED = NotEnrolled, 401 "unsupported_challenge_type" "User is not enrolled with guardian";
    /// None of the accepted type: no app.
    NO_OTP = ChallengeTypeUnsupported, 401 "unsupported_challenge_type" "User does not have any enrolled authenticator with the supported challenge type (otp)";
    /// None of the accepted type.
    NO_OOB = ChallengeTypeUnsupported, 401 "unsupported_challenge_type" "User does not have any enrolled authenticator with the supported challenge type (oob)";
    /// To challenge: no such authenticator.
    NO_SUCH_CHALLENGE = AuthenticatorNotFound, 400 "invalid_authenticator" "Authenticator not found";
    /// No channel of that name.
    NO_SUCH_CHANNEL = RequestMalformed, 400 "invalid_request" "oob_channel must be sms, voice, email or auth0";
    /// A wrong or used code that was sent.
    WRONG_BINDING_CODE = ProofRejected, 403 "invalid_grant" "Invalid binding_code.";
    /// A handle of a code that is none of ours, was superseded or used.
    BAD_OOB_CODE = OobCodeInvalid, 403 "invalid_grant" "Malformed oob_code";
    /// A code that was sent too long ago.
    EXPIRED_OOB_CODE = OobCodeExpired, 403 "expired_token" "oob_code is expired";
    /// A code of another login, client or person.
    FOREIGN_OOB_CODE = OobCodeMismatched, 400 "invalid_request" "The oob_code doesn't match the mfa_token";
    /// Too many text messages.
    TOO_MANY_SMS = MessageLimitReached, 429 "too_many_attempts" "Too many SMS sent by the user. Wait for some minutes before retrying.";
    /// Too many calls.
    TOO_MANY_CALLS = MessageLimitReached, 429 "too_many_attempts" "Too many calls sent by the user. Wait for some minutes before retrying.";
    /// Too many e-mails.
    TOO_MANY_EMAILS = MessageLimitReached, 429 "too_many_attempts" "Too many emails sent by the user. Wait for some minutes before retrying.";
    /// Messages of the channel cannot leave.
    CHANNEL_DOWN = DeliveryUnavailable, 503 "temporarily_unavailable" "Messages cannot be sent over this channel at the moment. Choose another factor or retry later.";
    /// An address that nobody enrolled.
    IMPLIED = AuthenticatorImplied, 403 "access_denied" "This authenticator follows from the verified email and cannot be changed or removed.";
    /// No such number can exist.
    BAD_PHONE = RequestMalformed, 400 "invalid_request" "The phone number is invalid.";
    /// No number was given.
    NO_PHONE = RequestMalformed, 400 "invalid_request" "Missing required parameter: phone_number";
    /// A number of a country that is not listed.
    FOREIGN_PHONE = RequestMalformed, 400 "invalid_request" "No messages are sent to the country of this phone_number.";
    /// No address that mail can be sent to.
    BAD_EMAIL = RequestMalformed, 400 "invalid_request" "The email is invalid.";
    /// To show, change or remove: no such authenticator.
    NO_SUCH_AUTHENTICATOR = AuthenticatorNotFound, 404 "invalid_authenticator" "Authenticator not found";
    /// Who calls is not known, or has the wrong secret.
    WRONG_CLIENT = ClientUnauthenticated, 401 "access_denied" "Unauthorized";
    /// The client may not use the one-time-password grant.
    OTP_GRANT_OFF = GrantNotAllowed, 403 "unauthorized_client" "Grant type 'http://auth0.com/oauth/grant-type/mfa-otp' not allowed for the client.";
    /// The client may not use the grant of codes that are sent.
    OOB_GRANT_OFF = GrantNotAllowed, 403 "unauthorized_client" "Grant type 'http://auth0.com/oauth/grant-type/mfa-oob' not allowed for the client.";
    /// An access token without the scope.
    NO_SCOPE = ScopeMissing, 403 "insufficient_scope" "";
    /// An access token of the first factor alone.
    STEP_UP = StepUpRequired, 401 "insufficient_user_authentication" "";
    /// No API of that name.
    UNKNOWN_API = AudienceUnknown, 403 "access_denied" "Service not found: https://nowhere.test/";
    /// The device has not answered.
    PENDING = AuthorizationPending, 400 "authorization_pending" "Authorization pending: please repeat the request in a few seconds.";
    /// The person refused on the device.
    REJECTED = AuthorizationRejected, 400 "access_denied" "MFA Authorization rejected.";
    /// Asked too often what a device answered.
    TOO_FAST = PollingTooFast, 429 "slow_down" "";
    /// Too many notifications.
    TOO_MANY_PUSHES = MessageLimitReached, 429 "too_many_attempts" "Too many notifications sent by the user. Wait for some minutes before retrying.";
    /// The number may be in other hands.
    NUMBER_AT_RISK = NumberAtRisk, 403 "access_denied" "Messages are not sent to this number at the moment. Choose another factor.";
    /// To a device: its ticket is none.
    BAD_TICKET = EnrollmentTicketInvalid, 404 "enrollment_transaction_not_found" "";
    /// To a device: another one has the ticket.
    TICKET_TAKEN = DeviceConflict, 409 "enrollment_conflict" "";
    /// To a device: a field is wrong.
    BAD_DEVICE = RequestMalformed, 400 "invalid_body" "";
    /// To a device: it is not the one it says.
    BAD_DEVICE_TOKEN = DeviceUnauthenticated, 401 "invalid_token" "";
    /// To a device: it was removed, or is somebody else's.
    NO_DEVICE = DeviceNotFound, 404 "device_account_not_found" "";
    /// To a device: nobody waits.
    NO_LOGIN_WAITS = PushTransactionUnknown, 404 "login_transaction_not_found" "";
    /// To a device: the answer is not its own.
    BAD_ANSWER = DeviceAnswerRejected, 401 "invalid_token" "";
    /// To a device: the number is wrong.
    WRONG_NUMBER = ProofRejected, 403 "invalid_otp" "";
    /// To a device: too many wrong numbers.
    TOO_MANY_NUMBERS = TooManyAttempts, 429 "too_many_attempts" "Too many wrong numbers. Wait before retrying.";
    /// A code was sent, and none came back.
    NO_BINDING_CODE = RequestMalformed, 400 "invalid_request" "Missing required parameter: binding_code";
    /// A refresh token that is none of the client's, has expired, was revoked or was used.
    BAD_REFRESH_TOKEN = RefreshTokenInvalid, 403 "invalid_grant" "Unknown or invalid refresh token.";
    /// The account of a refresh token is gone.
    USER_GONE = RefreshTokenUserGone, 403 "invalid_grant" "The refresh_token was generated for a user who doesn't exist anymore.";
    /// A refresh that asks for more than was granted.
    SCOPE_TOO_WIDE = ScopeExceeded, 400 "invalid_scope" "The scope was not granted at the login: write:things";
    /// The client may not use refresh tokens.
    REFRESH_GRANT_OFF = GrantNotAllowed, 403 "unauthorized_client" "Grant type 'refresh_token' not allowed for the client.";
    /// The client may not call APIs as itself.
    CLIENT_CREDENTIALS_OFF = GrantNotAllowed, 403 "unauthorized_client" "Grant type 'client_credentials' not allowed for the client.";
    /// A client's word that is not to be believed.
    BAD_ASSERTED_LOGIN = AssertionRejected, 403 "invalid_grant" "The asserted login is not accepted.";
    /// Nobody has the name that a client asserts, and it may make no accounts.
    UNKNOWN_SUBJECT = SubjectUnknown, 403 "invalid_grant" "Unknown subject.";
    /// The client may not ask about tokens.
    NO_INTROSPECTION = IntrospectionNotAllowed, 403 "access_denied" "The client may not ask about tokens.";
    /// None of the authentication classes is known.
    UNMET_ACR = AuthenticationUnmet, 400 "unmet_authentication_requirements" "The authentication that is required cannot be met: acr_values";
    /// The login is longer ago than the request wants.
    UNMET_MAX_AGE = AuthenticationUnmet, 400 "unmet_authentication_requirements" "The authentication that is required cannot be met: max_age";
    /// No factor the person has makes two of what they have shown.
    UNMET_FACTORS = AuthenticationUnmet, 400 "unmet_authentication_requirements" "The authentication that is required cannot be met: factors";
    /// A store does not answer.
    STORE_DOWN = StoreUnavailable, 503 "temporarily_unavailable" "";
}

/// A refusal as it came.
#[derive(Debug)]
pub enum Refusal {
    /// Over HTTP.
    Http {
        /// The status.
        status: u16,
        /// The headers.
        headers: Box<HeaderMap>,
        /// The body.
        body: Value,
    },
    /// Over gRPC.
    Grpc(Box<tonic::Status>),
}

impl Refusal {
    /// The reason, over gRPC.
    pub fn reason(&self) -> Option<ErrorReason> {
        use tonic_types::StatusExt as _;
        match self {
            Self::Http { .. } => None,
            Self::Grpc(status) => {
                let info = status.get_details_error_info()?;
                assert_eq!(info.domain, "countersign");
                ErrorReason::from_str_name(&info.reason)
            }
        }
    }

    /// Seconds until the next try makes sense, if it says.
    pub fn retry_after(&self) -> Option<u64> {
        use tonic_types::StatusExt as _;
        match self {
            Self::Http { headers, .. } => headers.get("retry-after")?.to_str().ok()?.parse().ok(),
            Self::Grpc(status) => {
                let delay = status.get_details_retry_info()?.retry_delay?;
                Some(delay.as_secs() + u64::from(delay.subsec_nanos() > 0))
            }
        }
    }

    /// Whether it is what was expected.
    pub fn is(&self, expected: &Expected) -> bool {
        match self {
            Self::Http { status, body, .. } => {
                // Devices have an error format of their own.
                let (error, description) =
                    if body["errorCode"].is_null() { ("error", "error_description") } else { ("errorCode", "message") };
                *status == expected.status
                    && body[error] == expected.error
                    && (expected.description.is_empty() || body[description] == expected.description)
            }
            Self::Grpc(_) => self.reason() == Some(expected.reason),
        }
    }
}

impl Refusal {
    /// Whether nothing was decided: a store did not answer in time, or too much was waiting. On a machine that is busy with
    /// hundreds of calls at once this is a fair answer, and never lets anybody in.
    pub fn is_undecided(&self) -> bool {
        match self {
            Self::Http { status, .. } => *status == 503,
            Self::Grpc(status) => status.code() == tonic::Code::Unavailable,
        }
    }
}

/// What a call came to.
pub trait Refused<T> {
    /// The refusal, which must be `expected`.
    fn refused(self, expected: &Expected) -> Refusal;
}

impl<T: std::fmt::Debug> Refused<T> for Result<T, Refusal> {
    #[track_caller]
    fn refused(self, expected: &Expected) -> Refusal {
        match self {
            Ok(granted) => panic!("expected {expected:?}, was granted {granted:?}"),
            Err(refusal) => {
                assert!(refusal.is(expected), "expected {expected:?}, was refused with {refusal:?}");
                refusal
            }
        }
    }
}
