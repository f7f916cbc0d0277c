//! `GET` and `POST /userinfo` (OpenID Connect Core, section 5.3).

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    response::Response,
};
use countersign_proto::v1::{GetUserInfoRequest, GetUserInfoResponse, Profile};
use http::{HeaderValue, StatusCode, header::WWW_AUTHENTICATE, request::Parts};

use crate::{
    call::{has_bearer, outgoing_as_bearer},
    oauth_error::{Place, Refusal},
    reply::{Kind, json},
    router::Gateway,
    shape,
    transport::Transport,
};

/// Handles the route. A body is not read: the token comes in the header.
pub(crate) async fn handle<T: Transport>(State(gateway): State<Arc<Gateway<T>>>, request: Request) -> Response {
    let (request, _) = request.into_parts();
    let result = claims(&gateway, &request).await;
    let mut response = gateway.answer(Place::UserInfo, result.map(|claims| render(&claims)));
    if !has_bearer(&request) {
        // RFC 6750, section 3.1: who has tried no token is not told that it was wrong.
        response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

async fn claims<T: Transport>(gateway: &Gateway<T>, request: &Parts) -> Result<GetUserInfoResponse, Refusal> {
    let call = outgoing_as_bearer(&gateway.config, request, GetUserInfoRequest {})?;
    Ok(gateway.tokens().get_user_info(call).await?.into_inner())
}

fn render(claims: &GetUserInfoResponse) -> Response {
    let profile = |claim: for<'a> fn(&'a Profile) -> &'a str| claims.profile.as_ref().map(claim).unwrap_or_default();
    let body = shape::UserInfo {
        sub: &claims.subject,
        nickname: profile(|profile| &profile.nickname),
        name: profile(|profile| &profile.name),
        given_name: profile(|profile| &profile.given_name),
        family_name: profile(|profile| &profile.family_name),
        picture: profile(|profile| &profile.picture),
        updated_at: claims.profile.as_ref().and_then(|profile| profile.update_time.as_ref()).map(shape::Moment::of),
        email: claims.email.as_ref().map(|email| email.address.as_str()),
        email_verified: claims.email.as_ref().map(|email| email.verified),
    };
    json(Kind::Api, StatusCode::OK, &body)
}
