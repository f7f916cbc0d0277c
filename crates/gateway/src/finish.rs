//! What all responses share: the request's id, the deadline, caching, CORS.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use countersign_telemetry::RouteName;
use http::{
    HeaderMap, HeaderValue,
    header::{CACHE_CONTROL, ORIGIN, PRAGMA, X_CONTENT_TYPE_OPTIONS},
};
use tokio::time::timeout;

use crate::{
    call::X_REQUEST_ID,
    cors::Cors,
    oauth_error::Problem,
    reply::{ClientId, Kind},
    router::{Gateway, route_name},
    transport::Transport,
};

const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
const NO_CACHE: HeaderValue = HeaderValue::from_static("no-cache");
const NO_SNIFF: HeaderValue = HeaderValue::from_static("nosniff");

/// Wraps every route, known or not.
pub(crate) async fn finish<T: Transport>(
    State(gateway): State<Arc<Gateway<T>>>,
    mut request: Request,
    next: Next,
) -> Response {
    let id = request_id(&gateway, request.headers());
    let origin = request.headers().get(ORIGIN).cloned();
    let preflight = Cors::is_preflight(request.method(), request.headers());
    let route = route_name(request.uri().path());
    request.headers_mut().insert(X_REQUEST_ID, id.clone());
    let mut response = if preflight {
        gateway.cors.preflight(origin.as_ref())
    } else {
        let kind = if route == Some("/oauth/token") { Kind::Token } else { Kind::Api };
        let deadline = gateway.config.deadline;
        timeout(deadline, next.run(request))
            .await
            .unwrap_or_else(|_| gateway.refuse(kind, Problem::DeadlineExceeded.into()))
    };
    let client = response.extensions_mut().remove::<ClientId>();
    if let Some(route) = route {
        // The request log must not print the path itself: it may hold anything.
        response.extensions_mut().insert(RouteName(route));
    }
    let headers = response.headers_mut();
    if !preflight {
        gateway.cors.apply(origin, client.as_ref().map(|ClientId(id)| id.as_str()), headers);
    }
    if !headers.contains_key(CACHE_CONTROL) {
        headers.insert(CACHE_CONTROL, NO_STORE);
        headers.insert(PRAGMA, NO_CACHE);
    }
    headers.insert(X_CONTENT_TYPE_OPTIONS, NO_SNIFF);
    headers.insert(X_REQUEST_ID, id);
    response
}

/// The caller's id if it is one, else a new one.
fn request_id<T>(gateway: &Gateway<T>, headers: &HeaderMap) -> HeaderValue {
    let fits = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let given = headers.get(X_REQUEST_ID).filter(|id| (1..=128).contains(&id.len()) && id.as_bytes().iter().all(fits));
    if let Some(id) = given.and_then(|id| id.to_str().ok()) {
        countersign_telemetry::note(|facts| facts.caller_request_id = Some(id.to_owned()));
    }
    given.cloned().unwrap_or_else(|| {
        // An id source that breaks its promise costs the id, not the request.
        HeaderValue::try_from((gateway.config.request_ids)()).unwrap_or(HeaderValue::from_static("unknown"))
    })
}
