//! `/mfa/authenticators` and `/mfa/authenticators/{authenticator_id}`.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    response::Response,
};
use countersign_proto::v1::{
    Authenticator, DeleteAuthenticatorRequest, ErrorReason, GetAuthenticatorRequest, ListAuthenticatorsRequest,
    UpdateAuthenticatorRequest,
};
use http::{StatusCode, request::Parts};
use percent_encoding::percent_decode_str;

use crate::{
    body,
    call::{end_user, outgoing_as_bearer},
    oauth_error::{Place, Problem, Refusal},
    params::{Parameter, Params},
    reply::{Kind, json, nothing},
    router::Gateway,
    shape::Entry,
    transport::Transport,
};

/// Most pages that are put together. A person has far fewer authenticators than one page holds.
const MAX_PAGES: usize = 16;

/// `GET /mfa/authenticators`.
pub(crate) async fn list<T: Transport>(State(gateway): State<Arc<Gateway<T>>>, request: Request) -> Response {
    let (request, _) = request.into_parts();
    let result = all(&gateway, &request).await.map(|authenticators| {
        let entries: Vec<_> = authenticators.iter().filter_map(Entry::of).collect();
        json(Kind::Api, StatusCode::OK, &entries)
    });
    gateway.answer(Place::Authenticators, result)
}

async fn all<T: Transport>(gateway: &Gateway<T>, request: &Parts) -> Result<Vec<Authenticator>, Refusal> {
    let mut client = gateway.authenticators();
    let mut found = Vec::new();
    let mut page_token = String::new();
    for _ in 0..MAX_PAGES {
        let message = ListAuthenticatorsRequest { page_size: 0, page_token };
        let call = outgoing_as_bearer(&gateway.config, request, message)?;
        let page = client.list_authenticators(call).await?.into_inner();
        if found.is_empty() {
            found = page.authenticators;
        } else {
            found.extend(page.authenticators);
        }
        if page.next_page_token.is_empty() {
            return Ok(found);
        }
        page_token = page.next_page_token;
    }
    Err(Refusal::reason(ErrorReason::Internal))
}

/// `GET /mfa/authenticators/{authenticator_id}`.
pub(crate) async fn show<T: Transport>(State(gateway): State<Arc<Gateway<T>>>, request: Request) -> Response {
    let (request, _) = request.into_parts();
    let result = async {
        let message = GetAuthenticatorRequest { authenticator_id: id(&request)? };
        let call = outgoing_as_bearer(&gateway.config, &request, message)?;
        entry(gateway.authenticators().get_authenticator(call).await?.into_inner().authenticator.as_ref())
    };
    let result = result.await;
    gateway.answer(Place::Authenticator, result)
}

/// `PATCH /mfa/authenticators/{authenticator_id}`.
pub(crate) async fn update<T: Transport>(State(gateway): State<Arc<Gateway<T>>>, request: Request) -> Response {
    let result = change(&gateway, request).await;
    gateway.answer(Place::Authenticator, result)
}

async fn change<T: Transport>(gateway: &Gateway<T>, request: Request) -> Result<Response, Refusal> {
    let (request, body) = request.into_parts();
    let authenticator_id = id(&request)?;
    let call = outgoing_as_bearer(&gateway.config, &request, ())?;
    let body = body::read(&gateway.config, &request.headers, body).await?;
    let params = Params::parse(&request.headers, &body)?;
    let message = UpdateAuthenticatorRequest {
        authenticator_id,
        // Empty is absent, as null is and as it is everywhere: only over gRPC a name is removed.
        name: params.text(Parameter::Name)?.map(str::to_owned),
        preferred: params.boolean(Parameter::Preferred)?,
    };
    if message.name.is_none() && message.preferred.is_none() {
        return Err(Problem::NothingToChange.into());
    }
    let answer = gateway.authenticators().update_authenticator(call.map(|()| message)).await?.into_inner();
    entry(answer.authenticator.as_ref())
}

/// `DELETE /mfa/authenticators/{authenticator_id}`.
pub(crate) async fn delete<T: Transport>(State(gateway): State<Arc<Gateway<T>>>, request: Request) -> Response {
    let (request, _) = request.into_parts();
    let result = async {
        let end_user = Some(end_user(&gateway.config, &request));
        let message = DeleteAuthenticatorRequest { authenticator_id: id(&request)?, end_user };
        let call = outgoing_as_bearer(&gateway.config, &request, message)?;
        gateway.authenticators().delete_authenticator(call).await?;
        Ok(nothing())
    };
    let result = result.await;
    gateway.answer(Place::Authenticator, result)
}

/// The id in the path, whose `|` may be encoded or not.
fn id(request: &Parts) -> Result<String, Refusal> {
    let encoded = request.uri.path().strip_prefix("/mfa/authenticators/").unwrap_or_default();
    match percent_decode_str(encoded).decode_utf8() {
        Ok(id) => Ok(id.into_owned()),
        Err(_) => Err(Refusal::reason(ErrorReason::AuthenticatorNotFound)),
    }
}

fn entry(authenticator: Option<&Authenticator>) -> Result<Response, Refusal> {
    let entry = authenticator.and_then(Entry::of).ok_or(Refusal::reason(ErrorReason::Internal))?;
    Ok(json(Kind::Api, StatusCode::OK, &entry))
}
