//! Why a use case refuses.

use std::{fmt, time::Duration};

use crate::port::PortError;

/// Every reason a call can fail, one to one with `ErrorReason` of the protobuf contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "error_reason.proto and docs/errors.md describe each")]
pub enum Reason {
    RequestMalformed,
    ClientUnauthenticated,
    GrantNotAllowed,
    AudienceUnknown,
    NoDefaultRealm,
    CredentialsRejected,
    AccountLocked,
    RateLimited,
    UserBlocked,
    MfaTokenInvalid,
    MfaTokenExpired,
    MfaTokenOfOtherClient,
    ProofRejected,
    TooManyAttempts,
    NotEnrolled,
    ChallengeTypeUnsupported,
    AuthenticatorNotFound,
    AlreadyEnrolled,
    AuthenticatorLimitReached,
    AccessTokenInvalid,
    ScopeMissing,
    StepUpRequired,
    OobCodeInvalid,
    OobCodeExpired,
    OobCodeMismatched,
    MessageLimitReached,
    DeliveryUnavailable,
    NumberAtRisk,
    AuthenticatorImplied,
    AuthorizationPending,
    AuthorizationRejected,
    PollingTooFast,
    EnrollmentTicketInvalid,
    DeviceConflict,
    DeviceUnauthenticated,
    DeviceNotFound,
    PushTransactionUnknown,
    DeviceAnswerRejected,
    RefreshTokenInvalid,
    RefreshTokenUserGone,
    ScopeExceeded,
    IntrospectionNotAllowed,
    AuthenticationUnmet,
    ApiNotAllowed,
    AssertionRejected,
    SubjectUnknown,
    StoreUnavailable,
    Overloaded,
    Internal,
}

impl Reason {
    /// All of them, in the order of the contract.
    pub const ALL: [Self; 49] = [
        Self::RequestMalformed,
        Self::ClientUnauthenticated,
        Self::GrantNotAllowed,
        Self::AudienceUnknown,
        Self::NoDefaultRealm,
        Self::CredentialsRejected,
        Self::AccountLocked,
        Self::RateLimited,
        Self::UserBlocked,
        Self::MfaTokenInvalid,
        Self::MfaTokenExpired,
        Self::MfaTokenOfOtherClient,
        Self::ProofRejected,
        Self::TooManyAttempts,
        Self::NotEnrolled,
        Self::ChallengeTypeUnsupported,
        Self::AuthenticatorNotFound,
        Self::AlreadyEnrolled,
        Self::AuthenticatorLimitReached,
        Self::AccessTokenInvalid,
        Self::ScopeMissing,
        Self::StepUpRequired,
        Self::OobCodeInvalid,
        Self::OobCodeExpired,
        Self::OobCodeMismatched,
        Self::MessageLimitReached,
        Self::DeliveryUnavailable,
        Self::NumberAtRisk,
        Self::AuthenticatorImplied,
        Self::AuthorizationPending,
        Self::AuthorizationRejected,
        Self::PollingTooFast,
        Self::EnrollmentTicketInvalid,
        Self::DeviceConflict,
        Self::DeviceUnauthenticated,
        Self::DeviceNotFound,
        Self::PushTransactionUnknown,
        Self::DeviceAnswerRejected,
        Self::RefreshTokenInvalid,
        Self::RefreshTokenUserGone,
        Self::ScopeExceeded,
        Self::IntrospectionNotAllowed,
        Self::AuthenticationUnmet,
        Self::ApiNotAllowed,
        Self::AssertionRejected,
        Self::SubjectUnknown,
        Self::StoreUnavailable,
        Self::Overloaded,
        Self::Internal,
    ];
}

/// A refusal. It tells the caller what they may know; `source` is for the log alone.
#[derive(Debug)]
pub struct Error {
    reason: Reason,
    violations: Vec<Violation>,
    metadata: Vec<(&'static str, String)>,
    throttle: Option<Throttle>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
    detail: Option<&'static str>,
}

/// One field that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The field, by its name in the request: `mfa_token`, `authenticator_id`.
    pub field: &'static str,
    /// What is wrong with it, a sentence fit for the caller: `Missing required parameter: mfa_token`.
    pub description: String,
}

/// What a throttle tells who it turns away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Throttle {
    /// How many attempts the bucket holds.
    pub limit: u32,
    /// When the next attempt will be possible.
    pub retry_after: Duration,
}

impl Error {
    /// A refusal for `reason`.
    pub const fn new(reason: Reason) -> Self {
        Self { reason, violations: Vec::new(), metadata: Vec::new(), throttle: None, source: None, detail: None }
    }

    /// A request whose `field` is wrong.
    pub fn malformed(field: &'static str, description: impl Into<String>) -> Self {
        Self::violations(vec![Violation { field, description: description.into() }])
    }

    /// A request that lacks `field`.
    pub fn missing(field: &'static str) -> Self {
        Self::malformed(field, format!("Missing required parameter: {field}"))
    }

    /// A request with several wrong fields.
    pub fn violations(violations: Vec<Violation>) -> Self {
        Self { violations, ..Self::new(Reason::RequestMalformed) }
    }

    /// Adds a fact the caller may know.
    #[must_use]
    pub fn with(mut self, key: &'static str, value: impl Into<String>) -> Self {
        self.metadata.push((key, value.into()));
        self
    }

    /// Adds what the throttle says.
    #[must_use]
    pub const fn throttled(mut self, throttle: Throttle) -> Self {
        self.throttle = Some(throttle);
        self
    }

    /// Adds a word for the log that tells apart what the caller must not.
    #[must_use]
    pub const fn because(mut self, detail: &'static str) -> Self {
        self.detail = Some(detail);
        self
    }

    /// Why.
    pub const fn reason(&self) -> Reason {
        self.reason
    }

    /// The fields that are wrong, with [`Reason::RequestMalformed`].
    pub fn field_violations(&self) -> &[Violation] {
        &self.violations
    }

    /// Facts the caller may know.
    pub fn metadata(&self) -> &[(&'static str, String)] {
        &self.metadata
    }

    /// What the throttle says, if one refused.
    pub const fn throttle(&self) -> Option<Throttle> {
        self.throttle
    }

    /// A word for the log.
    pub const fn detail(&self) -> Option<&'static str> {
        self.detail
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.reason)?;
        if let Some(detail) = self.detail {
            write!(f, " ({detail})")?;
        }
        for violation in &self.violations {
            write!(f, "; {}", violation.field)?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

impl From<PortError> for Error {
    fn from(error: PortError) -> Self {
        let reason = match error {
            PortError::Unavailable(..) | PortError::Undone(..) => Reason::StoreUnavailable,
            PortError::Overloaded | PortError::Abandoned => Reason::Overloaded,
            PortError::Corrupt(_) => Reason::Internal,
        };
        Self { source: Some(Box::new(error)), ..Self::new(reason) }
    }
}
