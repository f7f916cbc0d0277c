//! `POST /mfa/associate`: a new authenticator.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    response::Response,
};
use countersign_proto::v1::{
    AssociateAuthenticatorRequest, ErrorReason, OobChannel, OobEnrollment, OtpAlgorithm, OtpEnrollment,
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
            let body = shape::OtpAssociation {
                authenticator_type: "otp",
                secret: &details.secret,
                barcode_uri: &details.barcode_uri,
                recovery_codes: &answer.recovery_codes,
            };
            Ok(json(Kind::Api, StatusCode::OK, &body))
        }
        Some(Enrolled::Oob(details)) => {
            let oob_channel = shape::channel_name(details.channel()).ok_or(Refusal::reason(ErrorReason::Internal))?;
            let body = shape::OobAssociation {
                authenticator_type: "oob",
                binding_method: "prompt",
                recovery_codes: &answer.recovery_codes,
                oob_channel,
                oob_code: &details.oob_code,
                restricted: details.restricted,
            };
            Ok(json(Kind::Api, StatusCode::OK, &body))
        }
        Some(Enrolled::Push(details)) => {
            let body = shape::PushAssociation {
                authenticator_type: "oob",
                recovery_codes: &answer.recovery_codes,
                barcode_uri: &details.barcode_uri,
                oob_channel: "auth0",
                oob_code: &details.oob_code,
            };
            Ok(json(Kind::Api, StatusCode::OK, &body))
        }
        // An enrolment newer than this gateway.
        None => Err(Refusal::reason(ErrorReason::Internal)),
    }
}

/// The kind to enrol. What belongs to other kinds (`oob_channels`, `phone_number`, `email`) may come along and is ignored.
fn enrollment(params: &Params<'_>) -> Result<Enrollment, Problem> {
    let named = first_given(params, [Parameter::AuthenticatorTypes, Parameter::AuthenticationTypes]);
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
        "oob" => Ok(Enrollment::Oob(OobEnrollment {
            channels: channels(params)?.into_iter().map(i32::from).collect(),
            phone_number: params.text_or_empty(Parameter::PhoneNumber)?,
            email: params.text_or_empty(Parameter::Email)?,
        })),
        _ => Err(Problem::NotOneOf(name, "otp or oob")),
    }
}

/// The channels; unknown ones are left out if there are others.
fn channels(params: &Params<'_>) -> Result<Vec<OobChannel>, Problem> {
    let name = Parameter::OobChannels.as_str();
    let listed: Vec<&str> = match first_given(params, [Parameter::OobChannels, Parameter::OobChannel]) {
        None => return Err(Problem::MissingParameter(name)),
        Some(Value::Text(text)) => vec![text],
        Some(Value::List(list)) => list.iter().map(AsRef::as_ref).collect(),
        Some(_) => return Err(Problem::NotAString(name)),
    };
    let known: Vec<_> = listed
        .into_iter()
        .filter_map(|channel| match channel.trim().to_ascii_lowercase().as_str() {
            "sms" => Some(OobChannel::Sms),
            "voice" => Some(OobChannel::Voice),
            "email" => Some(OobChannel::Email),
            "auth0" => Some(OobChannel::Push),
            _ => None,
        })
        .take(10)
        .collect();
    if known.is_empty() { Err(Problem::NotOneOf(name, "sms, voice, email or auth0")) } else { Ok(known) }
}

/// The first of two spellings of a parameter that says something.
fn first_given<'p>(params: &'p Params<'_>, names: [Parameter; 2]) -> Option<&'p Value<'p>> {
    let absent = |value: &&Value<'_>| match value {
        Value::Text(text) => text.is_empty(),
        Value::List(list) => list.iter().all(|text| text.is_empty()),
        _ => false,
    };
    names.into_iter().find_map(|name| params.raw(name).filter(|value| !absent(value)))
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
        enrollment(&params).map(|enrollment| match enrollment {
            Enrollment::Otp(otp) => (otp.algorithm, otp.digits),
            Enrollment::Oob(_) => panic!("no app"),
        })
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
    fn reads_every_spelling_of_a_channel() {
        let read = |body: &str| match enrollment(&Params::parse(&http::HeaderMap::new(), body.as_bytes()).unwrap()) {
            Ok(Enrollment::Oob(oob)) => Ok((oob.channels.clone(), oob.phone_number, oob.email)),
            Ok(Enrollment::Otp(_)) => panic!("an app"),
            Err(problem) => Err(problem),
        };
        let phone = Ok((vec![1], "+12025550123".to_owned(), String::new()));
        for body in [
            r#"{"authenticator_types":["oob"],"oob_channels":["sms"],"phone_number":"+12025550123"}"#,
            r#"{"authenticator_types":["oob"],"oob_channels":"SMS","phone_number":"+12025550123"}"#,
            r#"{"authenticator_types":"oob","oob_channel":"sms","phone_number":"+12025550123"}"#,
            r#"{"authenticator_types":["oob"],"oob_channels":["fax","sms"],"phone_number":"+12025550123"}"#,
            "authenticator_types=oob&oob_channels=sms&phone_number=%2B12025550123",
        ] {
            assert_eq!(read(body), phone, "{body}");
        }
        let all = r#"{"authenticator_types":["oob"],"oob_channels":["sms","email","auth0"],"email":"a@b.c"}"#;
        let three = vec![1, 3, 4];
        assert_eq!(read(all), Ok((three, String::new(), "a@b.c".to_owned())));
        assert_eq!(read("authenticator_types=oob"), Err(Problem::MissingParameter("oob_channels")));
        let unknown = Err(Problem::NotOneOf("oob_channels", "sms, voice, email or auth0"));
        assert_eq!(read("authenticator_types=oob&oob_channels=fax"), unknown);
    }

    #[test]
    fn refuses_by_name_what_is_not_there_yet() {
        assert_eq!(read("{}"), Err(Problem::MissingParameter("authenticator_types")));
        assert_eq!(read(r#"{"authenticator_types":[]}"#), Err(Problem::MissingParameter("authenticator_types")));
        assert_eq!(
            read(r#"{"authenticator_types":"sms"}"#),
            Err(Problem::NotOneOf("authenticator_types", "otp or oob"))
        );
        let several = Problem::NotOneOf("authenticator_types", "one type");
        assert_eq!(read(r#"{"authenticator_types":["otp","oob"]}"#), Err(several));
        assert_eq!(read(r#"{"authenticator_types":[1]}"#), Err(Problem::NotAString("authenticator_types")));
    }
}
