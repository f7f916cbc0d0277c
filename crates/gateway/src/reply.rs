//! Answers and refusals as HTTP responses.

use axum::{body::Body, response::Response};
use bytes::Bytes;
use countersign_telemetry::RequestFacts;
use http::{
    HeaderMap, HeaderName, HeaderValue, StatusCode,
    header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE},
};
use serde::Serialize;

use crate::{
    guardian_error,
    oauth_error::{self, Place, Refusal, Refused, Row, Style, fill},
    router::Gateway,
    shape,
    transport::Transport,
};

const X_RATELIMIT_LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
const X_RATELIMIT_REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
const X_RATELIMIT_RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");
/// Seconds to wait before the next try, where a service that is unavailable does not say.
const DEFAULT_RETRY: u64 = 2;
const GRANT_TYPES_URI: &str = "https://auth0.com/docs/clients/client-grant-types";

/// The client a request named, for the CORS headers.
#[derive(Clone)]
pub(crate) struct ClientId(pub(crate) String);

/// Which content type an answer has.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `/oauth/token`.
    Token,
    /// Everything else.
    Api,
}

/// A JSON answer.
pub(crate) fn json(kind: Kind, status: StatusCode, body: &impl Serialize) -> Response {
    // Our shapes hold nothing that JSON cannot: no maps with odd keys, no numbers that are not finite.
    document(kind, status, serde_json::to_vec(body).map(Bytes::from).unwrap_or_default())
}

/// A JSON answer that is written already.
pub(crate) fn document(kind: Kind, status: StatusCode, body: Bytes) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let content_type = match kind {
        Kind::Token => HeaderValue::from_static("application/json"),
        Kind::Api => HeaderValue::from_static("application/json; charset=utf-8"),
    };
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}

impl<T: Transport> Gateway<T> {
    /// The answer, or the refusal as this place words it.
    pub(crate) fn answer(&self, place: Place, result: Result<Response, Refusal>) -> Response {
        result.unwrap_or_else(|refusal| {
            let kind = match place {
                Place::PasswordGrant
                | Place::OtpGrant
                | Place::OobGrant
                | Place::RecoveryCodeGrant
                | Place::RefreshGrant => Kind::Token,
                Place::Revocation
                | Place::Introspection
                | Place::Challenge
                | Place::Authenticators
                | Place::Authenticator
                | Place::UserInfo
                | Place::Open => Kind::Api,
            };
            match &refusal {
                Refusal::Problem(_) => self.refuse(kind, refusal),
                Refusal::Service(refused) => self.refused(kind, place, refused),
            }
        })
    }

    /// A refusal that reads the same everywhere.
    pub(crate) fn refuse(&self, kind: Kind, refusal: Refusal) -> Response {
        match refusal {
            Refusal::Problem(problem) => {
                let row = problem.row();
                let description = fill(row.description, |name| problem.value(name));
                let mut response = error(kind, row, &description, None, problem.outcome());
                if row.status == 503 {
                    retry_after(response.headers_mut(), DEFAULT_RETRY);
                }
                response
            }
            Refusal::Service(refused) => self.refused(kind, Place::Open, &refused),
        }
    }

    fn refused(&self, kind: Kind, place: Place, refused: &Refused) -> Response {
        let style = Style { client: self.config.client_error, not_enrolled: self.config.not_enrolled_error };
        let row = oauth_error::row(refused.reason, place, style);
        let delay = refused.retry_delay.map(whole_seconds);
        let wait = delay.unwrap_or(1).max(1).to_string();
        let description = fill(row.description, |name| match name {
            "violation" => refused.violation.as_deref().or(Some("The request is malformed.")),
            "retry_after" => Some(&wait),
            name => refused.metadata.get(name).map(String::as_str),
        });
        let uri = (row.error == "unauthorized_client").then_some(GRANT_TYPES_URI);
        let mut response = error(kind, row, &description, uri, refused.reason.as_str_name());
        let headers = response.headers_mut();
        if let Some(challenge) = oauth_error::challenge_header(row.error, place) {
            let challenge = oauth_error::with_requirements(challenge, refused);
            if let Ok(challenge) = HeaderValue::try_from(challenge.as_ref()) {
                headers.insert(WWW_AUTHENTICATE, challenge);
            }
        }
        match row.status {
            429 => {
                let delay = delay.unwrap_or(1).max(1);
                retry_after(headers, delay);
                headers.insert(X_RATELIMIT_LIMIT, number(refused.metadata.get("limit")));
                headers.insert(X_RATELIMIT_REMAINING, number(refused.metadata.get("remaining")));
                let reset = (self.config.now)().saturating_add(i64::try_from(delay).unwrap_or(i64::MAX));
                headers.insert(X_RATELIMIT_RESET, HeaderValue::from(reset));
            }
            503 => retry_after(headers, delay.unwrap_or(DEFAULT_RETRY).max(1)),
            _ => {}
        }
        response
    }
}

/// `response`, to a client that the request named: it decides which page may read it.
pub(crate) fn to_client(mut response: Response, client: Option<ClientId>) -> Response {
    if let Some(client) = client {
        response.extensions_mut().insert(client);
    }
    response
}

/// 204: done, and there is nothing to tell.
pub(crate) fn nothing() -> Response {
    let mut response = Response::default();
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

/// The answer to a device, or the refusal as devices read it.
pub(crate) fn guardian(result: Result<Response, Refusal>) -> Response {
    let refusal = match result {
        Ok(response) => return response,
        Err(refusal) => refusal,
    };
    let (status, code, message, reason, delay) = match &refusal {
        Refusal::Problem(problem) => {
            let row = problem.row();
            (row.status, "invalid_body", fill(row.description, |name| problem.value(name)), problem.outcome(), None)
        }
        Refusal::Service(refused) => {
            let row = guardian_error::row(refused.reason);
            let message = fill(row.message, |_violation| refused.violation.as_deref());
            (row.status, row.code, message, refused.reason.as_str_name(), refused.retry_delay)
        }
    };
    let body = shape::GuardianError {
        status_code: status,
        error_code: code,
        error: guardian_error::phrase(status),
        message: &message,
    };
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = json(Kind::Api, status, &body);
    if matches!(status.as_u16(), 429 | 503) {
        let seconds = delay.map_or(DEFAULT_RETRY, whole_seconds);
        retry_after(response.headers_mut(), seconds.max(1));
    }
    response.extensions_mut().insert(RequestFacts { reason: Some(reason), ..RequestFacts::default() });
    response
}

/// The seconds of `delay`, the last one begun too.
fn whole_seconds(delay: std::time::Duration) -> u64 {
    delay.as_secs() + u64::from(delay.subsec_nanos() > 0)
}

fn error(kind: Kind, row: Row, description: &str, uri: Option<&'static str>, reason: &'static str) -> Response {
    let status = StatusCode::from_u16(row.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let body = shape::OAuthError { error: row.error, error_description: description, error_uri: uri };
    let mut response = json(kind, status, &body);
    response.extensions_mut().insert(RequestFacts { reason: Some(reason), ..RequestFacts::default() });
    response
}

fn retry_after(headers: &mut HeaderMap, seconds: u64) {
    headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
}

/// A whole number out of a refusal's metadata; 0 if it has none.
fn number(text: Option<&String>) -> HeaderValue {
    HeaderValue::from(text.and_then(|text| text.parse::<u64>().ok()).unwrap_or(0))
}
