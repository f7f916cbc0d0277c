//! `POST /oauth/token`: one grant, one answer.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    response::Response,
};
use countersign_proto::v1::{
    ClientCredentialsGrant, IssueTokenRequest, MfaRequired, OobGrant, OtpGrant, PasswordGrant, RecoveryCodeGrant,
    RefreshTokenGrant, SignedLoginGrant, TokenSet, issue_token_request::Grant, issue_token_response::Outcome as Issued,
};
use countersign_telemetry::RequestFacts;
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

/// The grant types, as clients spell them and discovery lists them.
pub(crate) const GRANT_TYPES: [&str; 8] =
    [PASSWORD, PASSWORD_REALM, REFRESH_TOKEN, CLIENT_CREDENTIALS, MFA_OTP, MFA_OOB, MFA_RECOVERY_CODE, ASSERTED_LOGIN];
const PASSWORD: &str = "password";
const PASSWORD_REALM: &str = "http://auth0.com/oauth/grant-type/password-realm";
const REFRESH_TOKEN: &str = "refresh_token";
const CLIENT_CREDENTIALS: &str = "client_credentials";
const ASSERTED_LOGIN: &str = "urn:countersign:grant-type:asserted-login";
const MFA_OTP: &str = "http://auth0.com/oauth/grant-type/mfa-otp";
const MFA_OOB: &str = "http://auth0.com/oauth/grant-type/mfa-oob";
const MFA_RECOVERY_CODE: &str = "http://auth0.com/oauth/grant-type/mfa-recovery-code";

/// Handles the route.
pub(crate) async fn handle<T: Transport>(State(gateway): State<Arc<Gateway<T>>>, request: Request) -> Response {
    let mut place = Place::PasswordGrant;
    let mut client_id = None;
    let result = issue(&gateway, request, &mut place, &mut client_id).await;
    to_client(gateway.answer(place, result), client_id)
}

async fn issue<T: Transport>(
    gateway: &Gateway<T>,
    request: Request,
    place: &mut Place,
    client_id: &mut Option<ClientId>,
) -> Result<Response, Refusal> {
    let (request, body) = request.into_parts();
    let body = body::read(&gateway.config, &request.headers, body).await?;
    let params = Params::parse(&request.headers, &body)?;
    let client = credentials::noted_client(&request.headers, &params, client_id);
    let grant = grant(&params, place)?;
    let message = IssueTokenRequest {
        client: Some(client?),
        grant: Some(grant),
        // `resource` is the newer name (RFC 8707) of the same thing.
        audience: match params.text(Parameter::Audience)? {
            Some(audience) => audience.to_owned(),
            None => params.text_or_empty(Parameter::Resource)?,
        },
        scopes: words(params.text(Parameter::Scope)?),
        end_user: Some(end_user(&gateway.config, &request)),
        acr_values: words(params.text(Parameter::AcrValues)?),
        max_age: params.seconds(Parameter::MaxAge)?.map(|seconds| prost_types::Duration { seconds, nanos: 0 }),
        device_token: params.text_or_empty(Parameter::DeviceToken)?,
        remember_device: params.boolean(Parameter::RememberDevice)?.unwrap_or_default(),
    };
    let answer = gateway.tokens().issue_token(outgoing(&gateway.config, &request, message)).await?;
    match answer.into_inner().outcome {
        Some(Issued::Tokens(tokens)) => Ok(issued(&tokens)),
        Some(Issued::MfaRequired(required)) => Ok(mfa_required(&required)),
        // An outcome newer than this gateway.
        None => Err(Refusal::reason(countersign_proto::v1::ErrorReason::Internal)),
    }
}

fn words(text: Option<&str>) -> Vec<String> {
    text.unwrap_or_default().split_whitespace().map(str::to_owned).collect()
}

/// The table of grant types. A new grant is one more row.
fn grant(params: &Params<'_>, place: &mut Place) -> Result<Grant, Problem> {
    let grant_type = params.text(Parameter::GrantType)?.ok_or(Problem::MissingParameter("grant_type"))?;
    Ok(match grant_type {
        PASSWORD | PASSWORD_REALM => Grant::Password(PasswordGrant {
            username: params.required(Parameter::Username)?,
            password: params.required(Parameter::Password)?,
            realm: if grant_type == PASSWORD_REALM {
                params.required(Parameter::Realm)?
            } else {
                params.text_or_empty(Parameter::Realm)?
            },
            realm_required: grant_type == PASSWORD_REALM,
        }),
        REFRESH_TOKEN => {
            *place = Place::RefreshGrant;
            Grant::RefreshToken(RefreshTokenGrant { refresh_token: params.required(Parameter::RefreshToken)? })
        }
        CLIENT_CREDENTIALS => Grant::ClientCredentials(ClientCredentialsGrant {}),
        ASSERTED_LOGIN => Grant::SignedLogin(SignedLoginGrant { assertion: params.required(Parameter::Assertion)? }),
        MFA_OTP => {
            *place = Place::OtpGrant;
            Grant::Otp(OtpGrant { mfa_token: params.required(Parameter::MfaToken)?, otp: params.code(Parameter::Otp)? })
        }
        MFA_OOB => {
            *place = Place::OobGrant;
            Grant::Oob(OobGrant {
                mfa_token: params.required(Parameter::MfaToken)?,
                oob_code: params.required(Parameter::OobCode)?,
                // Whether one is needed depends on the challenge.
                binding_code: params.code_or_empty(Parameter::BindingCode)?,
            })
        }
        MFA_RECOVERY_CODE => {
            *place = Place::RecoveryCodeGrant;
            Grant::RecoveryCode(RecoveryCodeGrant {
                mfa_token: params.required(Parameter::MfaToken)?,
                recovery_code: params.required(Parameter::RecoveryCode)?,
            })
        }
        other => return Err(Problem::UnsupportedGrantType(other.to_owned())),
    })
}

fn issued(tokens: &TokenSet) -> Response {
    let body = shape::Tokens {
        access_token: &tokens.access_token,
        id_token: &tokens.id_token,
        scope: tokens.scopes_changed.then(|| tokens.scopes.join(" ")),
        expires_in: tokens.lifetime.as_ref().map_or(0, |lifetime| lifetime.seconds),
        token_type: "Bearer",
        refresh_token: &tokens.refresh_token,
        recovery_code: &tokens.recovery_code,
        device_token: &tokens.device_token,
        enroll_by: tokens.enroll_by_time.as_ref().map(shape::Moment::of),
    };
    json(Kind::Token, StatusCode::OK, &body)
}

fn mfa_required(required: &MfaRequired) -> Response {
    let body = shape::MfaRequired {
        error: "mfa_required",
        error_description: "Multifactor authentication required",
        mfa_token: &required.mfa_token,
        mfa_requirements: required.requirements_published.then(|| shape::MfaRequirements {
            challenge: shape::Requirement::list(required.challenge()),
            enroll: shape::Requirement::list(required.enroll()),
        }),
    };
    let mut response = json(Kind::Token, StatusCode::FORBIDDEN, &body);
    response.extensions_mut().insert(RequestFacts { outcome: Some("mfa_required"), ..RequestFacts::default() });
    response
}
