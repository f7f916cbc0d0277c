//! `POST /oauth/introspect` (RFC 7662): whether a token is good now.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    response::Response,
};
use countersign_proto::v1::{ActiveToken, ErrorReason, IntrospectTokenRequest};
use http::StatusCode;

use crate::{
    body,
    call::{end_user, outgoing},
    credentials,
    oauth_error::{Place, Problem, Refusal},
    params::{Parameter, Params},
    reply::{ClientId, Kind, json, to_client},
    router::Gateway,
    shape,
    transport::Transport,
};

/// Handles the route.
pub(crate) async fn handle<T: Transport>(State(gateway): State<Arc<Gateway<T>>>, request: Request) -> Response {
    let mut client_id = None;
    let result = introspect(&gateway, request, &mut client_id).await;
    to_client(gateway.answer(Place::Introspection, result), client_id)
}

/// `token_type_hint` is not read: what kind a token is of can be seen.
async fn introspect<T: Transport>(
    gateway: &Gateway<T>,
    request: Request,
    client_id: &mut Option<ClientId>,
) -> Result<Response, Refusal> {
    let (request, body) = request.into_parts();
    let body = body::read(&gateway.config, &request.headers, body).await?;
    let params = Params::parse(&request.headers, &body)?;
    let client = credentials::noted_client(&request.headers, &params, client_id);
    let token = params.required(Parameter::Token)?;
    // Whoever does not say who they are is not authorized (RFC 7662, section 2.1).
    let client = client.map_err(|refusal| match refusal {
        Refusal::Problem(Problem::MissingParameter("client_id")) => Refusal::reason(ErrorReason::ClientUnauthenticated),
        other => other,
    });
    let end_user = Some(end_user(&gateway.config, &request));
    let message = IntrospectTokenRequest { client: Some(client?), token, end_user };
    let answer = gateway.tokens().introspect_token(outgoing(&gateway.config, &request, message)).await?.into_inner();
    let body = answer.active.as_ref().map_or_else(shape::Introspection::default, render);
    Ok(json(Kind::Api, StatusCode::OK, &body))
}

fn render(token: &ActiveToken) -> shape::Introspection<'_> {
    let seconds = |time: &Option<prost_types::Timestamp>| time.as_ref().map(|time| time.seconds);
    shape::Introspection {
        active: true,
        scope: Some(token.scopes.join(" ")),
        client_id: &token.client_id,
        // Of access tokens alone: RFC 6749, section 7.1.
        token_type: if token.is_refresh_token { "" } else { "Bearer" },
        exp: seconds(&token.expire_time),
        iat: seconds(&token.issue_time),
        sub: &token.subject,
        aud: &token.audiences,
        iss: &token.issuer,
        jti: &token.token_id,
        auth_time: seconds(&token.auth_time),
        acr: &token.acr,
        amr: &token.methods,
    }
}
