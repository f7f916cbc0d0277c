//! `POST /mfa/associate`: a new authenticator.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    response::Response,
};
use countersign_proto::v1::{
    AssociateAuthenticatorRequest, ErrorReason, OtpAlgorithm, OtpEnrollment,
    associate_authenticator_request::Enrollment, associate_authenticator_response::Enrollment as Enrolled,
};
use http::StatusCode;

use crate::{
    body,
    call::{end_user, outgoing_as_bearer},
    oauth_error::{Place, Problem, Refusal},
    params::{Parameter, Params, Value},
    reply::{Kind, json},
    router::Gateway,
    shape,
    transport::Transport,
};

/// Handles the route.
pub(crate) async fn handle<T: Transport>(State(gateway): State<Arc<Gateway<T>>>, request: Request) -> Response {
    let result = associate(&gateway, request).await;
    gateway.answer(Place::Authenticators, result)
}

async fn associate<T: Transport>(gateway: &Gateway<T>, request: Request) -> Result<Response, Refusal> {
    let (request, body) = request.into_parts();
    // Who has no token learns nothing about the body.
    let call = outgoing_as_bearer(&gateway.config, &request, ())?;
    let body = body::read(&gateway.config, &request.headers, body).await?;
    let params = Params::parse(&request.headers, &body)?;
    let message = AssociateAuthenticatorRequest {
        enrollment: Some(enrollment(&params)?),
        name: params.text_or_empty(Parameter::Name)?,
        end_user: Some(end_user(&gateway.config, &request)),
    };
    let answer = gateway.authenticators().associate_authenticator(call.map(|()| message)).await?.into_inner();
    match &answer.enrollment {
        Some(Enrolled::Otp(details)) => {
            let body = shape::Association {
                authenticator_type: "otp",
                secret: &details.secret,
                barcode_uri: &details.barcode_uri,
                recovery_codes: &answer.recovery_codes,
            };
            Ok(json(Kind::Api, StatusCode::OK, &body))
        }
        // An enrolment newer than this gateway.
        None => Err(Refusal::reason(ErrorReason::Internal)),
    }
}

/// The kind to enrol. What belongs to other kinds (`oob_channels`, `phone_number`, `email`) may come along and is ignored.
fn enrollment(params: &Params<'_>) -> Result<Enrollment, Problem> {
    let absent = |value: &&Value<'_>| match value {
        Value::Text(text) => text.is_empty(),
        Value::List(list) => list.iter().all(|text| text.is_empty()),
        _ => false,
    };
    let named = [Parameter::AuthenticatorTypes, Parameter::AuthenticationTypes]
        .into_iter()
        .find_map(|name| params.raw(name).filter(|value| !absent(value)));
    let name = Parameter::AuthenticatorTypes.as_str();
    let kind = match named {
        None => return Err(Problem::MissingParameter(name)),
        Some(Value::Text(text)) => text,
        Some(Value::List(list)) => match list.as_slice() {
            [only] => only,
            _ => return Err(Problem::NotOneOf(name, "one type")),
        },
        Some(_) => return Err(Problem::NotAString(name)),
    };
    match kind.trim() {
        "otp" => Ok(Enrollment::Otp(OtpEnrollment { algorithm: algorithm(params)?.into(), digits: digits(params)? })),
        _ => Err(Problem::NotOneOf(name, "otp")),
    }
}

fn algorithm(params: &Params<'_>) -> Result<OtpAlgorithm, Problem> {
    match params.text(Parameter::Algorithm)? {
        None => Ok(OtpAlgorithm::Unspecified),
        Some("SHA1") => Ok(OtpAlgorithm::Sha1),
        Some("SHA256") => Ok(OtpAlgorithm::Sha256),
        Some("SHA512") => Ok(OtpAlgorithm::Sha512),
        Some(_) => Err(Problem::NotOneOf(Parameter::Algorithm.as_str(), "SHA1, SHA256 or SHA512")),
    }
}

fn digits(params: &Params<'_>) -> Result<u32, Problem> {
    match params.raw(Parameter::Digits) {
        None => Ok(0),
        Some(Value::Text(text)) if text.is_empty() => Ok(0),
        Some(Value::Integer(6)) => Ok(6),
        Some(Value::Integer(8)) => Ok(8),
        Some(Value::Text(text)) if text == "6" => Ok(6),
        Some(Value::Text(text)) if text == "8" => Ok(8),
        Some(_) => Err(Problem::NotOneOf(Parameter::Digits.as_str(), "6 or 8")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn read(body: &str) -> Result<(i32, u32), Problem> {
        let params = Params::parse(&http::HeaderMap::new(), body.as_bytes()).unwrap();
        enrollment(&params).map(|Enrollment::Otp(otp)| (otp.algorithm, otp.digits))
    }

    #[test]
    fn reads_every_spelling_of_the_type() {
        for body in [
            r#"{"authenticator_types":["otp"]}"#,
            r#"{"authenticator_types":"otp"}"#,
            r#"{"authentication_types":["otp"]}"#,
            r#"{"authenticator_types":["otp"],"oob_channels":null,"phone_number":["x"]}"#,
            r#"{"authenticator_types":"","authentication_types":"otp"}"#,
            "authenticator_types=otp",
            "authenticator_types=otp&algorithm=&digits=",
        ] {
            assert_eq!(read(body), Ok((0, 0)), "{body}");
        }
    }

    #[test]
    fn reads_the_extensions() {
        assert_eq!(read("authenticator_types=otp&algorithm=SHA256&digits=8"), Ok((2, 8)));
        assert_eq!(read(r#"{"authenticator_types":["otp"],"algorithm":"SHA512","digits":6}"#), Ok((3, 6)));
        let problem = Problem::NotOneOf("digits", "6 or 8");
        assert_eq!(read(r#"{"authenticator_types":["otp"],"digits":7}"#), Err(problem));
    }

    #[test]
    fn refuses_by_name_what_is_not_there_yet() {
        assert_eq!(read("{}"), Err(Problem::MissingParameter("authenticator_types")));
        assert_eq!(read(r#"{"authenticator_types":[]}"#), Err(Problem::MissingParameter("authenticator_types")));
        for body in [r#"{"authenticator_types":["oob"]}"#, r#"{"authenticator_types":"sms"}"#] {
            assert_eq!(read(body), Err(Problem::NotOneOf("authenticator_types", "otp")));
        }
        let several = Problem::NotOneOf("authenticator_types", "one type");
        assert_eq!(read(r#"{"authenticator_types":["otp","oob"]}"#), Err(several));
        assert_eq!(read(r#"{"authenticator_types":[1]}"#), Err(Problem::NotAString("authenticator_types")));
    }
}
