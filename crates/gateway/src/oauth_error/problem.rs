//! What the gateway refuses by itself, before any service is asked.

use super::{Row, is};

/// A request the gateway cannot translate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Problem {
    /// No such path.
    NotFound,
    /// The path has other methods.
    MethodNotAllowed,
    /// The body is longer than the limit.
    BodyTooLarge,
    /// The body did not arrive in time.
    BodyTooSlow,
    /// The body ended early.
    BodyBroken,
    /// The body is neither JSON nor a form.
    UnsupportedMediaType,
    /// The body is no JSON, and here nothing else will do.
    NotJsonType,
    /// The body is not the JSON object that belongs here.
    NotThisJson,
    /// The body, or a value in it, is not UTF-8.
    NotUtf8,
    /// The body is not one JSON object.
    NotJson,
    /// A parameter comes twice.
    RepeatedParameter(&'static str),
    /// A parameter is missing.
    MissingParameter(&'static str),
    /// A parameter has another JSON type.
    NotAString(&'static str),
    /// A parameter is neither `true` nor `false`.
    NotABoolean(&'static str),
    /// A parameter is not one of the values named.
    NotOneOf(&'static str, &'static str),
    /// A PATCH that changes nothing.
    NothingToChange,
    /// A grant type that nobody here knows.
    UnsupportedGrantType(String),
    /// The client authenticates in the header and in the body.
    TwoClientAuthentications,
    /// The client has one name in the header and another one in the body.
    ClientMismatch,
    /// The whole request took too long.
    DeadlineExceeded,
}

impl Problem {
    /// The table.
    pub(crate) const fn row(&self) -> Row {
        match self {
            Self::NotFound => is(404, "not_found", "There is nothing at this path."),
            Self::MethodNotAllowed => is(405, "method_not_allowed", "The path does not have this method."),
            Self::BodyTooLarge => is(413, "invalid_request", "The request body is too long."),
            Self::BodyTooSlow => is(408, "invalid_request", "The request body did not arrive in time."),
            Self::BodyBroken => is(400, "invalid_request", "The request body ended early."),
            Self::UnsupportedMediaType => is(
                415,
                "invalid_request",
                "The content type must be application/json or application/x-www-form-urlencoded.",
            ),
            Self::NotJsonType => is(415, "invalid_request", "The content type must be application/json."),
            Self::NotThisJson => {
                is(400, "invalid_request", "The request body is not the JSON object that belongs here.")
            }
            Self::NotUtf8 => is(400, "invalid_request", "The request body must be UTF-8."),
            Self::NotJson => is(400, "invalid_request", "The request body must be a JSON object."),
            Self::RepeatedParameter(_) => is(400, "invalid_request", "Repeated parameter: {name}"),
            Self::MissingParameter(_) => is(400, "invalid_request", "Missing required parameter: {name}"),
            Self::NotAString(_) => is(400, "invalid_request", "{name} must be a string"),
            Self::NotABoolean(_) => is(400, "invalid_request", "{name} must be a boolean"),
            Self::NotOneOf(..) => is(400, "invalid_request", "{name} must be {values}"),
            Self::NothingToChange => is(400, "invalid_request", "Missing required parameter: name or preferred"),
            Self::UnsupportedGrantType(_) => is(400, "unsupported_grant_type", "Unsupported grant type: {value}"),
            Self::TwoClientAuthentications => {
                is(400, "invalid_request", "The client must authenticate in one way only.")
            }
            Self::ClientMismatch => is(400, "invalid_request", "client_id differs from the Authorization header."),
            Self::DeadlineExceeded => {
                is(503, "temporarily_unavailable", "The service is temporarily unavailable. Please retry.")
            }
        }
    }

    /// The value for a name in the text.
    pub(crate) fn value(&self, placeholder: &str) -> Option<&str> {
        match (self, placeholder) {
            (
                Self::RepeatedParameter(name)
                | Self::MissingParameter(name)
                | Self::NotAString(name)
                | Self::NotABoolean(name)
                | Self::NotOneOf(name, _),
                "name",
            ) => Some(name),
            (Self::NotOneOf(_, values), "values") => Some(values),
            (Self::UnsupportedGrantType(value), "value") => Some(value.trim()),
            _ => None,
        }
    }

    /// The name, for the log.
    pub(crate) const fn outcome(&self) -> &'static str {
        match self {
            Self::NotFound => "NOT_FOUND",
            Self::MethodNotAllowed => "METHOD_NOT_ALLOWED",
            Self::BodyTooLarge => "BODY_TOO_LARGE",
            Self::BodyTooSlow => "BODY_TOO_SLOW",
            Self::BodyBroken => "BODY_BROKEN",
            Self::UnsupportedMediaType => "UNSUPPORTED_MEDIA_TYPE",
            Self::NotJsonType => "NOT_JSON_TYPE",
            Self::NotThisJson => "NOT_THIS_JSON",
            Self::NotUtf8 => "NOT_UTF8",
            Self::NotJson => "NOT_JSON",
            Self::RepeatedParameter(_) => "REPEATED_PARAMETER",
            Self::MissingParameter(_) => "MISSING_PARAMETER",
            Self::NotAString(_) => "NOT_A_STRING",
            Self::NotABoolean(_) => "NOT_A_BOOLEAN",
            Self::NotOneOf(..) => "NOT_ONE_OF",
            Self::NothingToChange => "NOTHING_TO_CHANGE",
            Self::UnsupportedGrantType(_) => "UNSUPPORTED_GRANT_TYPE",
            Self::TwoClientAuthentications => "TWO_CLIENT_AUTHENTICATIONS",
            Self::ClientMismatch => "CLIENT_MISMATCH",
            Self::DeadlineExceeded => "DEADLINE_EXCEEDED",
        }
    }
}
