//! Which browser pages may read an answer (the Fetch standard, "CORS protocol").

use std::collections::HashMap;

use http::{
    HeaderMap, HeaderValue, Method, StatusCode,
    header::{
        ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
        ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
    },
};

use crate::config::ClientOrigins;

const ALLOWED_METHODS: HeaderValue = HeaderValue::from_static("GET, POST, PATCH, DELETE");
const ALLOWED_HEADERS: HeaderValue = HeaderValue::from_static("Auth0-Client, Authorization, Content-Type, DPoP");
const EXPOSED_HEADERS: HeaderValue = HeaderValue::from_static(
    "DPoP-Nonce, Retry-After, X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset, X-Request-Id",
);
/// How long a browser may remember a preflight, in seconds.
const MAX_AGE: HeaderValue = HeaderValue::from_static("600");

/// Origins, and the clients that own them.
pub(crate) struct Cors {
    owners: HashMap<Box<str>, Vec<Box<str>>>,
}

impl Cors {
    pub(crate) fn new(clients: &[ClientOrigins]) -> Self {
        let mut owners: HashMap<Box<str>, Vec<Box<str>>> = HashMap::new();
        for client in clients {
            for origin in &client.origins {
                owners.entry(origin.as_str().into()).or_default().push(client.client_id.as_str().into());
            }
        }
        Self { owners }
    }

    /// Whether the request only asks what would be allowed.
    pub(crate) fn is_preflight(method: &Method, headers: &HeaderMap) -> bool {
        *method == Method::OPTIONS
            && headers.contains_key(ORIGIN)
            && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
    }

    /// The answer to a preflight. It cannot know the client, so any client's origin will do.
    pub(crate) fn preflight(&self, origin: Option<&HeaderValue>) -> axum::response::Response {
        let mut response = axum::response::Response::default();
        *response.status_mut() = StatusCode::NO_CONTENT;
        let headers = response.headers_mut();
        headers.insert(
            VARY,
            HeaderValue::from_static("Origin, Access-Control-Request-Method, Access-Control-Request-Headers"),
        );
        if let Some(origin) = origin.filter(|origin| self.owns(origin, None)) {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
            headers.insert(ACCESS_CONTROL_ALLOW_METHODS, ALLOWED_METHODS);
            headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, ALLOWED_HEADERS);
            headers.insert(ACCESS_CONTROL_MAX_AGE, MAX_AGE);
        }
        response
    }

    /// Lets the page read an answer if the origin is the client's own; any client's, where the request named none.
    pub(crate) fn apply(&self, origin: Option<HeaderValue>, client_id: Option<&str>, headers: &mut HeaderMap) {
        if self.owners.is_empty() {
            return;
        }
        headers.append(VARY, HeaderValue::from_static("Origin"));
        if let Some(origin) = origin.filter(|origin| self.owns(origin, client_id)) {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED_HEADERS);
        }
    }

    fn owns(&self, origin: &HeaderValue, client_id: Option<&str>) -> bool {
        let owners = origin.to_str().ok().and_then(|origin| self.owners.get(origin));
        owners.is_some_and(|owners| client_id.is_none_or(|id| owners.iter().any(|owner| **owner == *id)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cors() -> Cors {
        Cors::new(&[
            ClientOrigins { client_id: "spa".into(), origins: vec!["https://app.example".into()] },
            ClientOrigins { client_id: "other".into(), origins: vec!["https://other.example".into()] },
        ])
    }

    fn allowed(origin: &'static str, client: Option<&str>) -> bool {
        let mut headers = HeaderMap::new();
        cors().apply(Some(HeaderValue::from_static(origin)), client, &mut headers);
        assert_eq!(headers.get(VARY), Some(&HeaderValue::from_static("Origin")));
        headers.contains_key(ACCESS_CONTROL_ALLOW_ORIGIN)
    }

    #[test]
    fn an_origin_reads_answers_of_its_own_client_only() {
        assert!(allowed("https://app.example", Some("spa")));
        assert!(!allowed("https://app.example", Some("other")));
        assert!(!allowed("https://app.example", Some("unknown")));
    }

    #[test]
    fn without_a_client_any_known_origin_reads() {
        assert!(allowed("https://other.example", None));
        assert!(!allowed("https://evil.example", None));
        assert!(!allowed("null", None));
    }

    #[test]
    fn a_preflight_from_elsewhere_is_allowed_nothing() {
        let evil = cors().preflight(Some(&HeaderValue::from_static("https://evil.example")));
        assert!(!evil.headers().contains_key(ACCESS_CONTROL_ALLOW_ORIGIN));
        let good = cors().preflight(Some(&HeaderValue::from_static("https://app.example")));
        assert_eq!(
            good.headers().get(ACCESS_CONTROL_ALLOW_ORIGIN),
            Some(&HeaderValue::from_static("https://app.example"))
        );
    }
}
