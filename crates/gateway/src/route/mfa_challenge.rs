//! `POST /mfa/challenge`: which second factor is to be proven.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    response::Response,
};
use countersign_proto::v1::{CreateChallengeRequest, ErrorReason, create_challenge_response::Challenge};
use http::StatusCode;

use crate::{
    body,
    call::{end_user, outgoing},
    credentials,
    oauth_error::{Place, Refusal},
    params::{Parameter, Params},
    reply::{ClientId, Kind, json, to_client},
    router::Gateway,
    shape,
    transport::Transport,
};

/// Handles the route.
pub(crate) async fn handle<T: Transport>(State(gateway): State<Arc<Gateway<T>>>, request: Request) -> Response {
    let mut client_id = None;
    let result = challenge(&gateway, request, &mut client_id).await;
    to_client(gateway.answer(Place::Challenge, result), client_id)
}

async fn challenge<T: Transport>(
    gateway: &Gateway<T>,
    request: Request,
    client_id: &mut Option<ClientId>,
) -> Result<Response, Refusal> {
    let (request, body) = request.into_parts();
    let body = body::read(&gateway.config, &request.headers, body).await?;
    let params = Params::parse(&request.headers, &body)?;
    let client = credentials::noted_client(&request.headers, &params, client_id);
    let mfa_token = params.required(Parameter::MfaToken)?;
    let message = CreateChallengeRequest {
        client: Some(client?),
        mfa_token,
        challenge_types: params.words(Parameter::ChallengeType)?,
        authenticator_id: params.text_or_empty(Parameter::AuthenticatorId)?,
        oob_channel: params.text_or_empty(Parameter::OobChannel)?,
        end_user: Some(end_user(&gateway.config, &request)),
    };
    let answer = gateway.challenges().create_challenge(outgoing(&gateway.config, &request, message)).await?;
    let answer = answer.into_inner();
    match answer.challenge {
        Some(Challenge::Otp(_)) => {
            let authenticator_id = &answer.authenticator_id;
            Ok(json(Kind::Api, StatusCode::OK, &shape::OtpChallenge { challenge_type: "otp", authenticator_id }))
        }
        Some(Challenge::Oob(challenge)) => {
            let body = shape::OobChallenge {
                challenge_type: "oob",
                oob_code: &challenge.oob_code,
                binding_method: "prompt",
                authenticator_id: &answer.authenticator_id,
                expires_in: challenge.lifetime.as_ref().map_or(0, |lifetime| lifetime.seconds),
            };
            Ok(json(Kind::Api, StatusCode::OK, &body))
        }
        Some(Challenge::Push(challenge)) => {
            let body = shape::PushChallenge {
                challenge_type: "oob",
                oob_code: &challenge.oob_code,
                // Our decision 8: the number goes from the login to the device.
                binding_method: (!challenge.number.is_empty()).then_some("transfer"),
                binding_code: &challenge.number,
                authenticator_id: &answer.authenticator_id,
                expires_in: challenge.lifetime.as_ref().map_or(0, |lifetime| lifetime.seconds),
                interval: challenge.interval.as_ref().map_or(0, |interval| interval.seconds),
            };
            Ok(json(Kind::Api, StatusCode::OK, &body))
        }
        // A challenge newer than this gateway.
        None => Err(Refusal::reason(ErrorReason::Internal)),
    }
}
