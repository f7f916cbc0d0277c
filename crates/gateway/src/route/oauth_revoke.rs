//! `POST /oauth/revoke` (RFC 7009): a login is not to go on.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    response::Response,
};
use countersign_proto::v1::RevokeTokenRequest;

use crate::{
    body,
    call::{end_user, outgoing},
    credentials,
    oauth_error::{Place, Refusal},
    params::{Parameter, Params},
    reply::{ClientId, to_client},
    router::Gateway,
    transport::Transport,
};

/// Handles the route.
pub(crate) async fn handle<T: Transport>(State(gateway): State<Arc<Gateway<T>>>, request: Request) -> Response {
    let mut client_id = None;
    let result = revoke(&gateway, request, &mut client_id).await;
    to_client(gateway.answer(Place::Revocation, result), client_id)
}

/// `token_type_hint` is not read: what kind a token is of can be seen.
async fn revoke<T: Transport>(
    gateway: &Gateway<T>,
    request: Request,
    client_id: &mut Option<ClientId>,
) -> Result<Response, Refusal> {
    let (request, body) = request.into_parts();
    let body = body::read(&gateway.config, &request.headers, body).await?;
    let params = Params::parse(&request.headers, &body)?;
    let client = credentials::noted_client(&request.headers, &params, client_id);
    let token = params.required(Parameter::Token)?;
    let end_user = Some(end_user(&gateway.config, &request));
    let message = RevokeTokenRequest { client: Some(client?), token, end_user };
    gateway.tokens().revoke_token(outgoing(&gateway.config, &request, message)).await?;
    // 200 with an empty body: whether there was such a token is not told.
    Ok(Response::default())
}
