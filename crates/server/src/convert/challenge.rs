//! Messages of `ChallengeService`.

use countersign_domain::{
    app::Origin,
    error::Error,
    id::AuthenticatorId,
    message::Channel,
    secret::Secret,
    usecase::{
        answer_challenge,
        open_challenge::{Challenge, Command, RequiredProof},
        watch_challenge::{self, ChallengeState},
    },
};
use countersign_proto::v1::{self, create_challenge_response};

use super::{Known, Violations, authenticator::channel_name, client, given, token::mfa_token};

/// The longest `oob_code` that is looked at.
const MAX_OOB_CODE: usize = 8192;

/// A command, or everything that is wrong with the request.
pub(crate) fn parse(request: v1::CreateChallengeRequest, origin: Origin, known: Known<'_>) -> Result<Command, Error> {
    let mut violations = Violations::default();
    let client = client(request.client, known, &mut violations);
    let mfa_token = mfa_token(request.mfa_token, &mut violations);
    if request.challenge_types.len() > 10 || request.challenge_types.iter().any(|kind| kind.len() > 64) {
        violations.add("challenge_type", "challenge_type must have at most 10 values of at most 64 characters".into());
    }
    violations.at_most("authenticator_id", &request.authenticator_id, 128);
    let oob_channel = oob_channel(&request.oob_channel, &mut violations);
    violations.none(Command {
        client,
        mfa_token,
        challenge_types: request
            .challenge_types
            .into_iter()
            .filter(|kind| !kind.is_empty())
            .map(|kind| kind.to_ascii_lowercase())
            .collect(),
        authenticator: given(request.authenticator_id).map(AuthenticatorId::new),
        oob_channel,
        origin,
    })
}

/// The channel by its name, whose letter case does not matter.
fn oob_channel(name: &str, violations: &mut Violations) -> Option<Channel> {
    let name = name.trim();
    let found = Channel::ALL.into_iter().find(|channel| name.eq_ignore_ascii_case(channel.oob_channel()));
    if found.is_none() && !name.is_empty() {
        violations.add("oob_channel", "oob_channel must be sms, voice, email or auth0".into());
    }
    found
}

/// What was chosen, as a message.
pub(crate) fn render(challenge: Challenge) -> v1::CreateChallengeResponse {
    let Challenge { authenticator, proof } = challenge;
    let challenge = match proof {
        RequiredProof::Otp => create_challenge_response::Challenge::Otp(v1::OtpChallenge {}),
        RequiredProof::Oob { oob_code, channel, lifetime } => {
            create_challenge_response::Challenge::Oob(v1::OobChallenge {
                oob_code: oob_code.surrender(),
                channel: channel_name(channel).into(),
                lifetime: prost_types::Duration::try_from(lifetime).ok(),
            })
        }
        RequiredProof::Push { oob_code, number, lifetime, interval } => {
            create_challenge_response::Challenge::Push(v1::PushChallenge {
                oob_code: oob_code.surrender(),
                number: number.map(Secret::surrender).unwrap_or_default(),
                lifetime: prost_types::Duration::try_from(lifetime).ok(),
                interval: prost_types::Duration::try_from(interval).ok(),
            })
        }
    };
    v1::CreateChallengeResponse { authenticator_id: authenticator.as_str().to_owned(), challenge: Some(challenge) }
}

/// A command, or everything that is wrong with the request.
pub(crate) fn parse_watch(
    request: v1::WatchChallengeRequest,
    origin: Origin,
    known: Known<'_>,
) -> Result<watch_challenge::Command, Error> {
    let mut violations = Violations::default();
    let client = client(request.client, known, &mut violations);
    let mfa_token = mfa_token(request.mfa_token, &mut violations);
    let oob_code = violations.required("oob_code", request.oob_code);
    violations.at_most("oob_code", &oob_code, MAX_OOB_CODE);
    violations.none(watch_challenge::Command { client, mfa_token, oob_code: Secret::new(oob_code), origin })
}

/// A command. What is wrong with it, its signature tells.
pub(crate) fn parse_answer(request: v1::AnswerChallengeRequest) -> answer_challenge::Command {
    answer_challenge::Command {
        transaction_token: Secret::new(request.transaction_token),
        response: Secret::new(request.challenge_response),
    }
}

/// A state as a message.
pub(crate) fn render_state(state: ChallengeState) -> v1::WatchChallengeResponse {
    let state = match state {
        ChallengeState::Pending => v1::ChallengeState::Pending,
        ChallengeState::Approved => v1::ChallengeState::Approved,
        ChallengeState::Rejected => v1::ChallengeState::Rejected,
        ChallengeState::Expired => v1::ChallengeState::Expired,
    };
    v1::WatchChallengeResponse { state: state.into() }
}
