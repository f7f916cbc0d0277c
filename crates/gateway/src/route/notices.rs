//! `GET` and `POST /notices/{token}`: the link of a notice.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    response::Response,
};
use countersign_proto::v1::{
    DescribeNoticeRequest, DescribeNoticeResponse, ErrorReason, RepudiateAuthenticatorRequest,
};
use countersign_telemetry::RequestFacts;
use http::{HeaderMap, HeaderValue, StatusCode, header::RETRY_AFTER, request::Parts};

use crate::{
    call::{end_user, outgoing},
    oauth_error::{Refusal, Refused},
    page::{Page, page},
    router::Gateway,
    shape::Moment,
    transport::Transport,
};

/// Shows what the link is about. Changes nothing: programs that read mail follow links.
pub(crate) async fn show<T: Transport>(State(gateway): State<Arc<Gateway<T>>>, request: Request) -> Response {
    let (request, _) = request.into_parts();
    let call = outgoing(&gateway.config, &request, DescribeNoticeRequest { token: token(&request) });
    match gateway.notices().describe_notice(call).await {
        Ok(answer) => question(&request.headers, answer.get_ref()),
        Err(status) => refused(&request.headers, status),
    }
}

fn question(headers: &HeaderMap, notice: &DescribeNoticeResponse) -> Response {
    let DescribeNoticeResponse { app_name, authenticator, add_time, .. } = notice;
    page(StatusCode::OK, headers, &Page::Question { app_name, authenticator, added: add_time.as_ref().map(Moment::of) })
}

/// Removes what the link is about. A body is not read: pressing the button says everything.
pub(crate) async fn repudiate<T: Transport>(State(gateway): State<Arc<Gateway<T>>>, request: Request) -> Response {
    let (request, _) = request.into_parts();
    let message =
        RepudiateAuthenticatorRequest { token: token(&request), end_user: Some(end_user(&gateway.config, &request)) };
    let call = outgoing(&gateway.config, &request, message);
    match gateway.notices().repudiate_authenticator(call).await {
        Ok(_) => page(StatusCode::OK, &request.headers, &Page::Removed),
        Err(status) => refused(&request.headers, status),
    }
}

/// The last part of the path, as it came: a token needs no encoding.
fn token(request: &Parts) -> String {
    request.uri.path().rsplit('/').next().unwrap_or_default().to_owned()
}

/// Whoever reads this is a person, not a client.
fn refused(headers: &HeaderMap, status: tonic::Status) -> Response {
    let Refusal::Service(refused) = Refusal::from(status) else {
        return page(StatusCode::INTERNAL_SERVER_ERROR, headers, &Page::Trouble);
    };
    let Refused { reason, retry_delay, .. } = *refused;
    let mut response = match reason {
        ErrorReason::AuthenticatorNotFound => page(StatusCode::NOT_FOUND, headers, &Page::Dead),
        ErrorReason::StoreUnavailable | ErrorReason::Overloaded => {
            let mut response = page(StatusCode::SERVICE_UNAVAILABLE, headers, &Page::Trouble);
            let seconds = retry_delay.map_or(2, |delay| delay.as_secs().max(1));
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
            response
        }
        _ => page(StatusCode::INTERNAL_SERVER_ERROR, headers, &Page::Trouble),
    };
    response.extensions_mut().insert(RequestFacts { reason: Some(reason.as_str_name()), ..RequestFacts::default() });
    response
}
