//! What goes along with every gRPC call: who asks, from where, and within which trace.

use std::net::SocketAddr;

use axum::extract::ConnectInfo;
use countersign_proto::v1::{EndUserContext, ErrorReason};
use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{ACCEPT_LANGUAGE, AUTHORIZATION, USER_AGENT},
    request::Parts,
};
use tonic::metadata::MetadataMap;

use crate::{config::GatewayConfig, credentials::scheme, forwarded::client_address, oauth_error::Refusal};

/// Name of the header that identifies a request.
pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const AUTH0_FORWARDED_FOR: HeaderName = HeaderName::from_static("auth0-forwarded-for");
const X_AUTH0_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-auth0-forwarded-for");
/// W3C trace context, and the request's own id.
const PROPAGATED: [HeaderName; 3] =
    [HeaderName::from_static("traceparent"), HeaderName::from_static("tracestate"), X_REQUEST_ID];
/// Longest user agent that is sent on, in characters.
const USER_AGENT_LIMIT: usize = 512;
/// Longest list of languages that is sent on, in characters.
const LANGUAGES_LIMIT: usize = 256;

/// A call with `message`, within the deadline and the trace of the request.
pub(crate) fn outgoing<M>(config: &GatewayConfig, request: &Parts, message: M) -> tonic::Request<M> {
    let metadata = MetadataMap::from_headers(propagate(&request.headers));
    let mut call = tonic::Request::from_parts(metadata, tonic::Extensions::default(), message);
    call.set_timeout(config.deadline);
    call
}

/// The same with the request's bearer token.
///
/// # Errors
///
/// Without a bearer token, what the place says to a token that is not ours.
pub(crate) fn outgoing_as_bearer<M>(
    config: &GatewayConfig,
    request: &Parts,
    message: M,
) -> Result<tonic::Request<M>, Refusal> {
    let bearer = bearer(&request.headers).ok_or(Refusal::reason(ErrorReason::AccessTokenInvalid))?;
    let mut headers = propagate(&request.headers);
    headers.insert(AUTHORIZATION, bearer);
    let mut call =
        tonic::Request::from_parts(MetadataMap::from_headers(headers), tonic::Extensions::default(), message);
    call.set_timeout(config.deadline);
    Ok(call)
}

fn propagate(request: &HeaderMap) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(8);
    for name in PROPAGATED {
        if let Some(value) = request.get(&name) {
            headers.insert(name, value.clone());
        }
    }
    // Where the request is logged here, its own span is the parent.
    countersign_telemetry::inject(&mut headers);
    // The server decides whether the client may speak for the person's address.
    if let Some(value) = request.get(AUTH0_FORWARDED_FOR) {
        headers.insert(X_AUTH0_FORWARDED_FOR, value.clone());
    }
    headers
}

/// Whether the request brings a bearer token at all.
pub(crate) fn has_bearer(request: &Parts) -> bool {
    bearer(&request.headers).is_some()
}

/// The header as the gRPC services want it.
fn bearer(headers: &HeaderMap) -> Option<HeaderValue> {
    let value = headers.get(AUTHORIZATION)?;
    let token = scheme(value, "Bearer")?;
    let mut bearer = if value.as_bytes().strip_prefix(b"Bearer ") == Some(token.as_bytes()) {
        value.clone()
    } else {
        HeaderValue::try_from(format!("Bearer {token}")).ok()?
    };
    bearer.set_sensitive(true);
    Some(bearer)
}

/// Where the person is.
pub(crate) fn end_user(config: &GatewayConfig, request: &Parts) -> EndUserContext {
    let headers = &request.headers;
    let peer = request.extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| peer.ip());
    let address = peer.map(|peer| client_address(peer, headers, config.trusted_proxies.as_ref()).to_string());
    EndUserContext {
        address: address.unwrap_or_default(),
        user_agent: headers.get(USER_AGENT).map(user_agent).unwrap_or_default(),
        locale: headers.get(ACCEPT_LANGUAGE).and_then(languages).unwrap_or_default(),
    }
}

fn user_agent(value: &HeaderValue) -> String {
    String::from_utf8_lossy(value.as_bytes()).chars().take(USER_AGENT_LIMIT).collect()
}

/// The languages as they came; whoever writes in one of them chooses. Too long a list is cut after an entry.
fn languages(value: &HeaderValue) -> Option<String> {
    let list = value.to_str().ok()?;
    let end = if list.len() > LANGUAGES_LIMIT { list.get(..LANGUAGES_LIMIT)?.rfind(',')? } else { list.len() };
    list.get(..end).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bearer_of(value: &'static str) -> Option<String> {
        let headers = HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_static(value))]);
        bearer(&headers).and_then(|value| value.to_str().map(str::to_owned).ok())
    }

    #[test]
    fn the_bearer_scheme_has_no_letter_case() {
        for value in ["Bearer Fe26.2*a_b-c", "bearer Fe26.2*a_b-c", "BEARER   Fe26.2*a_b-c "] {
            assert_eq!(bearer_of(value).as_deref(), Some("Bearer Fe26.2*a_b-c"));
        }
        for value in ["Bearer", "Bearer ", "Basic abc", "Bearerabc"] {
            assert_eq!(bearer_of(value), None);
        }
    }

    #[test]
    fn passes_the_languages_on_and_cuts_a_long_list_between_entries() {
        let sent = |value: &str| languages(&HeaderValue::from_str(value).unwrap());
        assert_eq!(sent("de-CH, de;q=0.9").as_deref(), Some("de-CH, de;q=0.9"));
        assert_eq!(sent(""), Some(String::new()));
        assert_eq!(sent(&"de,".repeat(200)).unwrap(), "de,".repeat(85).trim_end_matches(','));
        assert_eq!(sent(&"x".repeat(300)), None);
    }

    #[test]
    fn a_long_user_agent_is_cut() {
        let long = HeaderValue::from_str(&"x".repeat(600));
        assert_eq!(long.as_ref().map(user_agent).unwrap_or_default().len(), 512);
    }
}
