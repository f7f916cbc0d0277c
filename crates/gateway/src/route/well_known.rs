//! The documents anybody may read: discovery, keys, `OpenAPI`.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    response::Response,
};
use countersign_proto::v1::{GetMetadataRequest, GetMetadataResponse, GetSigningKeysRequest, SigningKey, signing_key};
use data_encoding::BASE64;
use http::{
    HeaderValue, StatusCode,
    header::{CACHE_CONTROL, ETAG, IF_NONE_MATCH},
    request::Parts,
};

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

/// How clients may prove themselves.
const CLIENT_AUTHENTICATION: [&str; 4] = ["client_secret_basic", "client_secret_post", "private_key_jwt", "none"];

/// How clients may sign their assertions.
const ASSERTION_ALGORITHMS: [&str; 6] = ["RS256", "RS384", "PS256", "ES256", "EdDSA", "Ed25519"];

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
    // No `response_types_supported`: there are none, and what would be empty is left out (RFC 8414, section 3.2).
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
        token_endpoint_auth_methods_supported: CLIENT_AUTHENTICATION,
        token_endpoint_auth_signing_alg_values_supported: ASSERTION_ALGORITHMS,
        revocation_endpoint_auth_methods_supported: CLIENT_AUTHENTICATION,
        revocation_endpoint_auth_signing_alg_values_supported: ASSERTION_ALGORITHMS,
        introspection_endpoint_auth_methods_supported: ["client_secret_basic", "client_secret_post", "private_key_jwt"],
        introspection_endpoint_auth_signing_alg_values_supported: ASSERTION_ALGORITHMS,
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
        let keys = &answer.get_ref().keys;
        let tag = entity_tag(keys);
        let kept = tag.as_ref().is_some_and(|tag| is_kept(&request, tag));
        let mut response = if kept {
            let mut response = Response::default();
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            response
        } else {
            json(Kind::Api, StatusCode::OK, &shape::KeySet { keys: keys.iter().filter_map(key).collect() })
        };
        if let Some(tag) = tag {
            response.headers_mut().insert(ETAG, tag);
        }
        cached(response)
    });
    gateway.answer(Place::Open, result)
}

/// The ids of the keys in their order: an id is the digest of its key, so these tell key sets apart.
fn entity_tag(keys: &[SigningKey]) -> Option<HeaderValue> {
    let ids: Vec<_> = keys.iter().map(|key| key.key_id.as_str()).collect();
    HeaderValue::try_from(format!("\"{}\"", ids.join("."))).ok()
}

/// Whether who asks has what `tag` stands for (RFC 9110, section 13.1.2).
fn is_kept(request: &Parts, tag: &HeaderValue) -> bool {
    let known = request.headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    known.flat_map(|value| value.split(',')).any(|one| {
        let one = one.trim();
        one == "*" || one.strip_prefix("W/").unwrap_or(one).as_bytes() == tag.as_bytes()
    })
}

fn key(key: &SigningKey) -> Option<shape::Key<'_>> {
    let (kty, numbers) = match key.key.as_ref()? {
        signing_key::Key::Rsa(rsa) => {
            let x5c = (!rsa.certificate.is_empty()).then(|| [BASE64.encode(&rsa.certificate)]);
            ("RSA", shape::Numbers::Rsa { n: &rsa.modulus, e: &rsa.exponent, x5c })
        }
        signing_key::Key::Ec(ec) => ("EC", shape::Numbers::Ec { crv: &ec.curve, x: &ec.x, y: &ec.y }),
        signing_key::Key::Okp(okp) => ("OKP", shape::Numbers::Okp { crv: &okp.curve, x: &okp.x }),
    };
    Some(shape::Key { kty, usage: "sig", alg: &key.algorithm, kid: &key.key_id, numbers })
}

/// `GET /openapi.json`.
pub(crate) async fn openapi<T: Transport>(State(gateway): State<Arc<Gateway<T>>>) -> Response {
    cached(document(Kind::Api, StatusCode::OK, gateway.openapi.clone()))
}
