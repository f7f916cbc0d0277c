//! Labels. Each is a closed enum, so that the number of series is known when the program is built.

use std::fmt::Write as _;

use http::Method;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};

use crate::grpc_code::GrpcCode;

macro_rules! label {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)+
        }

        impl $name {
            /// The value of the label.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }
        }

        impl EncodeLabelValue for $name {
            fn encode(&self, encoder: &mut LabelValueEncoder) -> Result<(), std::fmt::Error> {
                encoder.write_str(self.as_str())
            }
        }
    };
}

label! {
    /// How a request came in.
    Protocol {
        /// REST, through the gateway.
        Http = "http",
        /// gRPC.
        Grpc = "grpc",
    }
}

label! {
    /// What was offered for tokens.
    Grant {
        /// A password, with or without a realm.
        Password = "password",
        /// A code of an authenticator app.
        Otp = "otp",
        /// A code that was sent, or a device's answer.
        Oob = "oob",
        /// The recovery code.
        RecoveryCode = "recovery_code",
        /// A refresh token.
        RefreshToken = "refresh_token",
        /// The word of a client.
        AssertedLogin = "asserted_login",
    }
}

label! {
    /// How a grant was judged.
    GrantOutcome {
        /// Tokens were issued.
        Issued = "issued",
        /// The first factor is proven, a second one is needed.
        MfaRequired = "mfa_required",
        /// Wrong, spent or not allowed.
        Refused = "refused",
        /// Nothing was decided: a store or the service failed.
        Failed = "failed",
    }
}

label! {
    /// What was compared.
    Factor {
        /// A password.
        Password = "password",
        /// A code of an authenticator app.
        Otp = "otp",
        /// A code that was sent.
        Oob = "oob",
        /// What a device signed.
        Push = "push",
        /// The recovery code.
        RecoveryCode = "recovery_code",
    }
}

label! {
    /// Which limit denied an attempt.
    Counter {
        /// Wrong passwords for an account.
        Password = "password",
        /// Wrong codes of an authenticator app.
        Otp = "otp",
        /// Wrong codes that were sent.
        Oob = "oob",
        /// Wrong numbers on a device.
        Push = "push",
        /// Wrong recovery codes.
        RecoveryCode = "recovery_code",
        /// Messages.
        Message = "message",
        /// Requests in a time, whatever they carry.
        Rate = "rate",
    }
}

label! {
    /// The way a message takes.
    Channel {
        /// A text message.
        Sms = "sms",
        /// A call.
        Voice = "voice",
        /// An e-mail.
        Email = "email",
        /// A notification to an app.
        Push = "push",
    }
}

label! {
    /// What became of a try at one provider.
    Try {
        /// The provider took the message.
        Sent = "sent",
        /// The provider refused it for good.
        Refused = "refused",
        /// The provider did not take it.
        Unavailable = "unavailable",
        /// The provider did not take it because of its recipient.
        Deferred = "deferred",
        /// No answer came.
        Unknown = "unknown",
    }
}

label! {
    /// How a message left the outbox.
    Ending {
        /// A provider took it.
        Sent = "sent",
        /// A provider refused it for good.
        Refused = "refused",
        /// It was tried often enough, or nobody needs it any more.
        GivenUp = "given_up",
    }
}

label! {
    /// Which store failed.
    Store {
        /// The store of people and authenticators.
        Durable = "durable",
        /// The store of pending logins and attempts.
        Session = "session",
    }
}

label! {
    /// How a store failed.
    StoreFailure {
        /// It does not answer.
        Unavailable = "unavailable",
        /// Too much is waiting for it.
        Overloaded = "overloaded",
        /// What it holds cannot be read.
        Corrupt = "corrupt",
    }
}

label! {
    /// Where connections are accepted.
    Listener {
        /// The gRPC listener.
        Grpc = "grpc",
        /// The HTTP listener.
        Http = "http",
        /// The HTTPS listener.
        Https = "https",
        /// The listener of health and metrics.
        Ops = "ops",
    }
}

/// What stands for a method, path or route that is not of the fixed set: a caller must not be able to make series.
pub const OTHER: &str = "other";

/// What was called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// A method, see [`http_method`], and the template of a route.
    Http(&'static str, &'static str),
    /// A gRPC method, `package.Service/Method`.
    Grpc(&'static str),
}

impl Operation {
    /// How the request came in.
    pub fn protocol(self) -> Protocol {
        match self {
            Self::Http(..) => Protocol::Http,
            Self::Grpc(_) => Protocol::Grpc,
        }
    }
}

/// `POST /oauth/token`, or `countersign.v1.TokenService/IssueToken`.
impl std::fmt::Display for Operation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Http(method, route) => write!(f, "{method} {route}"),
            Self::Grpc(method) => f.write_str(method),
        }
    }
}

impl EncodeLabelValue for Operation {
    fn encode(&self, encoder: &mut LabelValueEncoder) -> Result<(), std::fmt::Error> {
        write!(encoder, "{self}")
    }
}

/// An HTTP method as a label: the common ones by name, the rest as [`OTHER`].
pub fn http_method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        _ => OTHER,
    }
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Code {
    /// An HTTP status; 499 when the client went away.
    Http(u16),
    /// A gRPC status.
    Grpc(GrpcCode),
}

/// `403`, or `PERMISSION_DENIED`.
impl std::fmt::Display for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Http(status) => write!(f, "{status}"),
            Self::Grpc(code) => f.write_str(code.name()),
        }
    }
}

impl EncodeLabelValue for Code {
    fn encode(&self, encoder: &mut LabelValueEncoder) -> Result<(), std::fmt::Error> {
        write!(encoder, "{self}")
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct RequestLabels {
    pub(super) protocol: Protocol,
    pub(super) operation: Operation,
    pub(super) code: Code,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct DurationLabels {
    pub(super) protocol: Protocol,
    pub(super) operation: Operation,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct GrantLabels {
    pub(super) grant: Grant,
    pub(super) outcome: GrantOutcome,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct FactorLabels {
    pub(super) factor: Factor,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct CounterLabels {
    pub(super) counter: Counter,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct TryLabels {
    pub(super) channel: Channel,
    pub(super) outcome: Try,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct EndingLabels {
    pub(super) channel: Channel,
    pub(super) ending: Ending,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct StoreLabels {
    pub(super) store: Store,
    pub(super) kind: StoreFailure,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ListenerLabels {
    pub(super) listener: Listener,
}
