//! `/appliance-mfa/api/…`: the Guardian protocol, for devices.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    response::Response,
};
use countersign_proto::v1::{
    AnswerChallengeRequest, DeleteDeviceRequest, DeviceEcKey, DeviceRsaKey, EnrollDeviceRequest, EnrollDeviceResponse,
    ErrorReason, PushCredentials, PushService, UpdateDeviceRequest, enroll_device_request::PublicKey,
};
use http::{HeaderMap, StatusCode, header::AUTHORIZATION, header::CONTENT_TYPE, request::Parts};
use serde::{Deserialize, de::DeserializeOwned};

use crate::{
    body,
    call::{outgoing, outgoing_as_bearer},
    credentials::scheme,
    oauth_error::{Problem, Refusal},
    reply::{Kind, guardian, json, nothing},
    router::Gateway,
    shape,
    transport::Transport,
};

/// `POST /appliance-mfa/api/enroll`.
#[derive(Deserialize)]
struct Enrollment {
    identifier: Option<String>,
    name: Option<String>,
    push_credentials: Option<Credentials>,
    public_key: Option<Jwk>,
    /// Ours: the device asks for the number that the login shows.
    number_matching: Option<bool>,
}

/// `PATCH /appliance-mfa/api/device-accounts/{id}`.
#[derive(Deserialize)]
struct Change {
    identifier: Option<String>,
    name: Option<String>,
    push_credentials: Option<Credentials>,
}

#[derive(Deserialize)]
struct Credentials {
    service: Option<String>,
    token: Option<String>,
}

/// A public key (RFC 7517). Members that say what we know anyway are not looked at, but for `alg`.
#[derive(Deserialize)]
struct Jwk {
    kty: Option<String>,
    alg: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

/// `POST /appliance-mfa/api/resolve-transaction`.
#[derive(Deserialize)]
struct Answer {
    challenge_response: Option<String>,
}

/// Registers a device.
pub(crate) async fn enroll<T: Transport>(State(gateway): State<Arc<Gateway<T>>>, request: Request) -> Response {
    let result = registered(&gateway, request).await;
    guardian(result)
}

async fn registered<T: Transport>(gateway: &Gateway<T>, request: Request) -> Result<Response, Refusal> {
    let (request, body) = request.into_parts();
    // Who has no ticket learns nothing about the body.
    let ticket = ticket(&request.headers).ok_or(Refusal::reason(ErrorReason::EnrollmentTicketInvalid))?;
    let body = body::read(&gateway.config, &request.headers, body).await?;
    let enrollment: Enrollment = read(&request.headers, &body)?;
    let message = EnrollDeviceRequest {
        ticket,
        identifier: enrollment.identifier.unwrap_or_default(),
        name: enrollment.name.unwrap_or_default(),
        push_credentials: enrollment.push_credentials.map(credentials).transpose()?,
        public_key: enrollment.public_key.map(public_key).transpose()?,
        number_matching: enrollment.number_matching.unwrap_or_default(),
    };
    let answer = gateway.devices().enroll_device(outgoing(&gateway.config, &request, message)).await?.into_inner();
    Ok(device(&answer))
}

fn device(answer: &EnrollDeviceResponse) -> Response {
    let body = shape::Device {
        id: &answer.device_id,
        url: &answer.url,
        issuer: &answer.issuer,
        user_id: &answer.user_id,
        token: &answer.token,
        totp: answer.totp.as_ref().map(|totp| shape::DeviceTotp {
            secret: &totp.secret,
            algorithm: totp.algorithm.to_ascii_lowercase(),
            digits: totp.digits,
            period: totp.period,
        }),
    };
    json(Kind::Api, StatusCode::OK, &body)
}

/// Changes what a device is called and reached by.
pub(crate) async fn update<T: Transport>(State(gateway): State<Arc<Gateway<T>>>, request: Request) -> Response {
    let result = changed(&gateway, request).await;
    guardian(result)
}

async fn changed<T: Transport>(gateway: &Gateway<T>, request: Request) -> Result<Response, Refusal> {
    let (request, body) = request.into_parts();
    let call = as_device(gateway, &request)?;
    let body = body::read(&gateway.config, &request.headers, body).await?;
    let change: Change = read(&request.headers, &body)?;
    let message = UpdateDeviceRequest {
        device_id: id(&request),
        identifier: change.identifier.unwrap_or_default(),
        name: change.name.unwrap_or_default(),
        push_credentials: change.push_credentials.map(credentials).transpose()?,
    };
    let kept = gateway.devices().update_device(call.map(|()| message)).await?.into_inner();
    let push = kept.push_credentials.as_ref();
    let body = shape::MaintainedDevice {
        id: &kept.device_id,
        identifier: &kept.identifier,
        name: Some(kept.name.as_str()).filter(|name| !name.is_empty()),
        push_credentials: push.map(|push| shape::PushCredentials {
            service: if push.service() == PushService::Apns { "APNS" } else { "GCM" },
            token: &push.token,
        }),
    };
    Ok(json(Kind::Api, StatusCode::OK, &body))
}

/// Removes a device.
pub(crate) async fn delete<T: Transport>(State(gateway): State<Arc<Gateway<T>>>, request: Request) -> Response {
    let result = deleted(&gateway, request).await;
    guardian(result)
}

async fn deleted<T: Transport>(gateway: &Gateway<T>, request: Request) -> Result<Response, Refusal> {
    let (request, _) = request.into_parts();
    let message = DeleteDeviceRequest { device_id: id(&request) };
    gateway.devices().delete_device(as_device(gateway, &request)?.map(|()| message)).await?;
    Ok(nothing())
}

/// Takes a device's answer.
pub(crate) async fn resolve<T: Transport>(State(gateway): State<Arc<Gateway<T>>>, request: Request) -> Response {
    let result = resolved(&gateway, request).await;
    guardian(result)
}

async fn resolved<T: Transport>(gateway: &Gateway<T>, request: Request) -> Result<Response, Refusal> {
    let (request, body) = request.into_parts();
    let bearer = request.headers.get(AUTHORIZATION).and_then(|value| scheme(value, "Bearer"));
    let token = bearer.ok_or(Refusal::reason(ErrorReason::PushTransactionUnknown))?.to_owned();
    let body = body::read(&gateway.config, &request.headers, body).await?;
    let answer: Answer = read(&request.headers, &body)?;
    let response = answer.challenge_response.filter(|response| !response.is_empty());
    let message = AnswerChallengeRequest {
        transaction_token: token,
        challenge_response: response.ok_or(Problem::MissingParameter("challenge_response"))?,
    };
    gateway.challenges().answer_challenge(outgoing(&gateway.config, &request, message)).await?;
    Ok(nothing())
}

fn as_device<T>(gateway: &Gateway<T>, request: &Parts) -> Result<tonic::Request<()>, Refusal> {
    let refused = || Refusal::reason(ErrorReason::DeviceUnauthenticated);
    outgoing_as_bearer(&gateway.config, request, ()).map_err(|_no_bearer| refused())
}

/// The last part of the path: a device's id needs no encoding.
fn id(request: &Parts) -> String {
    request.uri.path().rsplit('/').next().unwrap_or_default().to_owned()
}

/// `Authorization: Ticket id="…"`.
fn ticket(headers: &HeaderMap) -> Option<String> {
    let parameters = scheme(headers.get(AUTHORIZATION)?, "Ticket")?;
    let (name, value) = parameters.split_once('=')?;
    let value = value.trim();
    let value = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value);
    (name.trim().eq_ignore_ascii_case("id") && !value.is_empty()).then(|| value.to_owned())
}

/// A JSON body. What is unknown is ignored, null is absent, a member that comes twice is refused.
fn read<B: DeserializeOwned>(headers: &HeaderMap, body: &[u8]) -> Result<B, Problem> {
    let essence = headers.get(CONTENT_TYPE).map(|value| value.to_str().unwrap_or("?")).unwrap_or_default();
    let essence = essence.split(';').next().unwrap_or_default().trim();
    if !essence.is_empty() && !essence.eq_ignore_ascii_case("application/json") {
        return Err(Problem::NotJsonType);
    }
    // The reader's own words may quote the body.
    serde_json::from_slice(body).map_err(|_| Problem::NotThisJson)
}

fn credentials(credentials: Credentials) -> Result<PushCredentials, Problem> {
    let service = match credentials.service.as_deref() {
        Some("GCM" | "FCM") => PushService::Fcm,
        Some("APNS") => PushService::Apns,
        _ => return Err(Problem::NotOneOf("push_credentials.service", "GCM or APNS")),
    };
    let token = credentials.token.filter(|token| !token.is_empty());
    let token = token.ok_or(Problem::MissingParameter("push_credentials.token"))?;
    Ok(PushCredentials { service: service.into(), token })
}

fn public_key(jwk: Jwk) -> Result<PublicKey, Problem> {
    let member = |value: Option<String>, name| value.filter(|v| !v.is_empty()).ok_or(Problem::MissingParameter(name));
    match (jwk.kty.as_deref(), jwk.alg.as_deref(), jwk.crv.as_deref()) {
        (Some("RSA"), Some("RS256") | None, _) => Ok(PublicKey::Rsa(DeviceRsaKey {
            modulus: member(jwk.n, "public_key.n")?,
            exponent: member(jwk.e, "public_key.e")?,
        })),
        (Some("EC"), Some("ES256") | None, Some("P-256")) => {
            Ok(PublicKey::Ec(DeviceEcKey { x: member(jwk.x, "public_key.x")?, y: member(jwk.y, "public_key.y")? }))
        }
        _ => Err(Problem::NotOneOf("public_key", "an RSA key for RS256 or a P-256 key for ES256")),
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn ticket_of(value: &'static str) -> Option<String> {
        ticket(&HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_static(value))]))
    }

    #[test]
    fn a_ticket_is_read_with_and_without_quotes() {
        for value in [r#"Ticket id="abc""#, r#"ticket  id="abc""#, "Ticket id=abc", r#"Ticket ID = "abc""#] {
            assert_eq!(ticket_of(value).as_deref(), Some("abc"), "{value}");
        }
        for value in ["Ticket", "Ticket abc", r#"Ticket id="""#, "Ticket id=", "Bearer abc", r#"Ticket no="abc""#] {
            assert_eq!(ticket_of(value), None, "{value}");
        }
    }

    #[test]
    fn a_key_is_of_a_kind_we_verify() {
        let key = |json: &str| serde_json::from_str(json).ok().map(public_key);
        assert!(matches!(
            key(r#"{"kty":"RSA","alg":"RS256","use":"sig","n":"a","e":"AQAB"}"#),
            Some(Ok(PublicKey::Rsa(_)))
        ));
        assert!(matches!(key(r#"{"kty":"EC","crv":"P-256","x":"a","y":"b"}"#), Some(Ok(PublicKey::Ec(_)))));
        for refused in [
            "{}",
            r#"{"kty":"oct","k":"a"}"#,
            r#"{"kty":"RSA","alg":"HS256","n":"a","e":"b"}"#,
            r#"{"kty":"RSA","alg":"RS256","n":"a"}"#,
            r#"{"kty":"EC","crv":"P-384","x":"a","y":"b"}"#,
            r#"{"kty":"EC","crv":"P-256","alg":"RS256","x":"a","y":"b"}"#,
        ] {
            assert!(matches!(key(refused), Some(Err(_))), "{refused}");
        }
    }

    #[test]
    fn a_body_is_one_json_object() {
        let body = |content_type: &'static str, body: &str| {
            let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(content_type))]);
            read::<Answer>(&headers, body.as_bytes()).map(|answer| answer.challenge_response)
        };
        let json = "application/json; charset=utf-8";
        assert_eq!(body(json, r#"{"challenge_response":"a","other":[1]}"#), Ok(Some("a".to_owned())));
        assert_eq!(body(json, r#"{"challenge_response":null}"#), Ok(None));
        for broken in
            ["", "[]", "{", r#"{"challenge_response":1}"#, r#"{"challenge_response":"a","challenge_response":"b"}"#]
        {
            assert_eq!(body(json, broken), Err(Problem::NotThisJson), "{broken}");
        }
        assert_eq!(body("application/x-www-form-urlencoded", "challenge_response=a"), Err(Problem::NotJsonType));
    }
}
