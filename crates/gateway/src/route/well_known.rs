//! The documents anybody may read: discovery, keys, `OpenAPI`.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    response::Response,
};
use countersign_proto::v1::{GetMetadataRequest, GetMetadataResponse, GetSigningKeysRequest, SigningKey, signing_key};
use http::{HeaderValue, StatusCode, header::CACHE_CONTROL, request::Parts};

use super::oauth_token::GRANT_TYPES;
use crate::{
    call::outgoing,
    oauth_error::{Place, Refusal},
    reply::{Kind, document, json},
    router::Gateway,
    shape,
    transport::Transport,
};

/// How long anybody may keep one of the documents.
const CACHED: HeaderValue = HeaderValue::from_static("public, max-age=300");

fn cached(mut response: Response) -> Response {
    response.headers_mut().insert(CACHE_CONTROL, CACHED);
    response
}

/// `GET /.well-known/openid-configuration` and `GET /.well-known/oauth-authorization-server` (RFC 8414).
pub(crate) async fn discovery<T: Transport>(State(gateway): State<Arc<Gateway<T>>>, request: Request) -> Response {
    let (request, _) = request.into_parts();
    let result = metadata(&gateway, &request).await.map(|metadata| cached(describe(&metadata)));
    gateway.answer(Place::Open, result)
}

async fn metadata<T: Transport>(gateway: &Gateway<T>, request: &Parts) -> Result<GetMetadataResponse, Refusal> {
    let call = outgoing(&gateway.config, request, GetMetadataRequest {});
    Ok(gateway.tokens().get_metadata(call).await?.into_inner())
}

fn describe(metadata: &GetMetadataResponse) -> Response {
    let issuer = &metadata.issuer;
    let body = shape::Discovery {
        issuer,
        token_endpoint: format!("{issuer}oauth/token"),
        userinfo_endpoint: format!("{issuer}userinfo"),
        revocation_endpoint: format!("{issuer}oauth/revoke"),
        introspection_endpoint: format!("{issuer}oauth/introspect"),
        mfa_challenge_endpoint: format!("{issuer}mfa/challenge"),
        jwks_uri: format!("{issuer}.well-known/jwks.json"),
        scopes_supported: &metadata.scopes_supported,
        grant_types_supported: GRANT_TYPES,
        subject_types_supported: ["public"],
        id_token_signing_alg_values_supported: &metadata.id_token_signing_algorithms,
        token_endpoint_auth_methods_supported: ["client_secret_basic", "client_secret_post", "none"],
        revocation_endpoint_auth_methods_supported: ["client_secret_basic", "client_secret_post", "none"],
        introspection_endpoint_auth_methods_supported: ["client_secret_basic", "client_secret_post"],
        claims_supported: &metadata.claims_supported,
        acr_values_supported: &metadata.acr_values_supported,
        request_uri_parameter_supported: false,
        request_parameter_supported: false,
    };
    json(Kind::Api, StatusCode::OK, &body)
}

/// `GET /.well-known/jwks.json` (RFC 7517).
pub(crate) async fn keys<T: Transport>(State(gateway): State<Arc<Gateway<T>>>, request: Request) -> Response {
    let (request, _) = request.into_parts();
    let call = outgoing(&gateway.config, &request, GetSigningKeysRequest {});
    let result = gateway.tokens().get_signing_keys(call).await.map_err(Refusal::from).map(|answer| {
        let keys = answer.get_ref().keys.iter().filter_map(key).collect();
        cached(json(Kind::Api, StatusCode::OK, &shape::KeySet { keys }))
    });
    gateway.answer(Place::Open, result)
}

fn key(key: &SigningKey) -> Option<shape::Key<'_>> {
    let (kty, numbers) = match key.key.as_ref()? {
        signing_key::Key::Rsa(rsa) => ("RSA", shape::Numbers::Rsa { n: &rsa.modulus, e: &rsa.exponent }),
        signing_key::Key::Ec(ec) => ("EC", shape::Numbers::Ec { crv: &ec.curve, x: &ec.x, y: &ec.y }),
    };
    Some(shape::Key { kty, usage: "sig", alg: &key.algorithm, kid: &key.key_id, numbers })
}

/// `GET /openapi.json`.
pub(crate) async fn openapi<T: Transport>(State(gateway): State<Arc<Gateway<T>>>) -> Response {
    cached(document(Kind::Api, StatusCode::OK, gateway.openapi.clone()))
}
