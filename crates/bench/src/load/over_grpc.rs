//! Over gRPC, on one connection that all callers share.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, bail};
use aws_lc_rs::{rand::SystemRandom, signature::EcdsaKeyPair};
use countersign_proto::v1::{
    AnswerChallengeRequest, AssociateAuthenticatorRequest, ClientAuthentication, CreateChallengeRequest,
    IssueTokenRequest, ListAuthenticatorsRequest, OobGrant, OtpEnrollment, OtpGrant, PasswordGrant,
    WatchChallengeRequest, WatchChallengeResponse, associate_authenticator_request::Enrollment,
    associate_service_client::AssociateServiceClient, challenge_service_client::ChallengeServiceClient,
    client_authentication::Credential, create_challenge_response::Challenge, issue_token_request::Grant,
    issue_token_response::Outcome, token_service_client::TokenServiceClient,
};
use data_encoding::BASE64URL_NOPAD;
use serde_json::json;
use tonic::{
    Request, Streaming,
    transport::{Channel, Endpoint},
};

use crate::{
    deployment::{AUDIENCE, CLIENT, CLIENT_SECRET, SCOPE},
    messages::{Mailbox, Push},
    people::{DEVICE, PASSWORD, Pending, Person, now},
};

/// A code that has arrived.
pub struct Sent {
    mfa_token: String,
    oob_code: String,
    binding_code: String,
}

/// A device that was asked.
pub struct Question {
    key: Arc<EcdsaKeyPair>,
    mfa_token: String,
    oob_code: String,
    number: String,
    push: Push,
}

/// Where answers go.
const ANSWERS: &str = "https://id.bench.example/appliance-mfa/api/resolve-transaction";

/// A client of the services.
#[derive(Clone)]
pub struct GrpcClient {
    /// The token service.
    pub tokens: TokenServiceClient<Channel>,
    challenges: ChallengeServiceClient<Channel>,
    associate: AssociateServiceClient<Channel>,
    /// The connection.
    pub channel: Channel,
}

impl GrpcClient {
    /// Connects to `url`.
    ///
    /// # Errors
    ///
    /// The server does not answer.
    pub async fn connect(url: &str) -> anyhow::Result<Self> {
        let channel = Endpoint::from_shared(url.to_owned())?.tcp_nodelay(true).connect().await?;
        Ok(Self {
            tokens: TokenServiceClient::new(channel.clone()),
            challenges: ChallengeServiceClient::new(channel.clone()),
            associate: AssociateServiceClient::new(channel.clone()),
            channel,
        })
    }

    /// Proves the password; the answer is the pending login.
    ///
    /// # Errors
    ///
    /// It was refused, or no second factor was asked for.
    pub async fn password(mut self, person: Person) -> anyhow::Result<Pending> {
        let grant = PasswordGrant {
            username: person.username.clone(),
            password: PASSWORD.to_owned(),
            realm: String::new(),
            realm_required: false,
        };
        match self.issue(Grant::Password(grant)).await? {
            Outcome::MfaRequired(required) => Ok(Pending { person, mfa_token: required.mfa_token }),
            Outcome::Tokens(_) => bail!("no second factor was asked for"),
        }
    }

    /// Proves the second factor.
    ///
    /// # Errors
    ///
    /// It was refused, or the tokens are not those that are meant to be measured.
    pub async fn second_factor(mut self, pending: Pending) -> anyhow::Result<()> {
        let otp = pending.person.code(now())?;
        match self.issue(Grant::Otp(OtpGrant { mfa_token: pending.mfa_token, otp })).await? {
            Outcome::Tokens(tokens) => {
                anyhow::ensure!(!tokens.access_token.is_empty(), "no access token");
                anyhow::ensure!(tokens.id_token.is_empty(), "an ID token, which is not meant to be measured");
                Ok(())
            }
            Outcome::MfaRequired(_) => bail!("a second factor was asked for again"),
        }
    }

    /// Has a code sent, and waits until it has arrived.
    ///
    /// # Errors
    ///
    /// It was refused, or does not arrive.
    pub async fn send_code(mut self, pending: Pending, mailbox: Mailbox) -> anyhow::Result<Sent> {
        let phone = pending.person.phone.clone().context("has no telephone")?;
        let delivery = mailbox.expect(&phone);
        let request = CreateChallengeRequest {
            client: Some(client()),
            mfa_token: pending.mfa_token.clone(),
            ..CreateChallengeRequest::default()
        };
        let answer = self.challenges.create_challenge(request).await?.into_inner();
        let Some(Challenge::Oob(challenge)) = answer.challenge else { bail!("no code was sent") };
        let arrived = tokio::time::timeout(Duration::from_secs(10), delivery).await.context("no code came")??;
        let binding_code = arrived.code.context("a message without a code")?;
        Ok(Sent { mfa_token: pending.mfa_token, oob_code: challenge.oob_code, binding_code })
    }

    /// Proves a code that arrived.
    ///
    /// # Errors
    ///
    /// It was refused.
    pub async fn prove_code(mut self, sent: Sent) -> anyhow::Result<()> {
        let Sent { mfa_token, oob_code, binding_code } = sent;
        match self.issue(Grant::Oob(OobGrant { mfa_token, oob_code, binding_code })).await? {
            Outcome::Tokens(tokens) => {
                anyhow::ensure!(!tokens.access_token.is_empty(), "no access token");
                Ok(())
            }
            Outcome::MfaRequired(_) => bail!("a second factor was asked for again"),
        }
    }

    /// Has a device asked, and waits until it is told.
    ///
    /// # Errors
    ///
    /// It was refused, or nothing arrives.
    pub async fn ask(mut self, pending: Pending, mailbox: Mailbox) -> anyhow::Result<Question> {
        let key = pending.person.device.clone().context("has no device")?;
        let delivery = mailbox.expect(&pending.person.username);
        let request = CreateChallengeRequest {
            client: Some(client()),
            mfa_token: pending.mfa_token.clone(),
            ..CreateChallengeRequest::default()
        };
        let answer = self.challenges.create_challenge(request).await?.into_inner();
        let Some(Challenge::Push(challenge)) = answer.challenge else { bail!("no device was asked") };
        let arrived = tokio::time::timeout(Duration::from_secs(10), delivery).await.context("nothing came")??;
        let push = arrived.push.context("a message that asks nothing")?;
        Ok(Question { key, mfa_token: pending.mfa_token, oob_code: challenge.oob_code, number: challenge.number, push })
    }

    /// Waits for the answer to `question`.
    ///
    /// # Errors
    ///
    /// It was refused.
    pub async fn watch(mut self, question: &Question) -> anyhow::Result<Streaming<WatchChallengeResponse>> {
        let request = WatchChallengeRequest {
            client: Some(client()),
            mfa_token: question.mfa_token.clone(),
            oob_code: question.oob_code.clone(),
        };
        Ok(self.challenges.watch_challenge(request).await?.into_inner())
    }

    /// The device's answer to `question`: its owner agrees.
    ///
    /// # Errors
    ///
    /// It was refused.
    pub async fn answer(mut self, question: &Question) -> anyhow::Result<()> {
        let now = now().as_secs();
        let claims = json!({
            "iss": DEVICE, "sub": question.push.challenge, "aud": ANSWERS, "iat": now, "exp": now + 30,
            "auth0_guardian_method": "push", "auth0_guardian_accepted": true, "binding_code": question.number,
        });
        let input = format!(
            "{}.{}",
            BASE64URL_NOPAD.encode(br#"{"alg":"ES256","typ":"JWT"}"#),
            BASE64URL_NOPAD.encode(claims.to_string().as_bytes())
        );
        let signature = question.key.sign(&SystemRandom::new(), input.as_bytes()).context("it does not sign")?;
        let request = AnswerChallengeRequest {
            transaction_token: question.push.transaction_token.clone(),
            challenge_response: format!("{input}.{}", BASE64URL_NOPAD.encode(signature.as_ref())),
        };
        self.challenges.answer_challenge(request).await?;
        Ok(())
    }

    /// Both.
    ///
    /// # Errors
    ///
    /// As each.
    pub async fn login(self, person: Person) -> anyhow::Result<()> {
        let pending = self.clone().password(person).await?;
        self.second_factor(pending).await
    }

    /// Begins an enrolment.
    ///
    /// # Errors
    ///
    /// It was refused.
    pub async fn associate(mut self, pending: Pending) -> anyhow::Result<()> {
        let enrollment = Some(Enrollment::Otp(OtpEnrollment::default()));
        let message = AssociateAuthenticatorRequest { enrollment, ..AssociateAuthenticatorRequest::default() };
        let answer = self.associate.associate_authenticator(bearing(message, &pending)?).await?.into_inner();
        anyhow::ensure!(answer.enrollment.is_some(), "nothing to enrol with");
        Ok(())
    }

    /// Lists authenticators.
    ///
    /// # Errors
    ///
    /// It was refused.
    pub async fn list(mut self, pending: Pending) -> anyhow::Result<()> {
        let message = ListAuthenticatorsRequest::default();
        let answer = self.associate.list_authenticators(bearing(message, &pending)?).await?.into_inner();
        anyhow::ensure!(!answer.authenticators.is_empty(), "no authenticator");
        Ok(())
    }

    async fn issue(&mut self, grant: Grant) -> anyhow::Result<Outcome> {
        let request = IssueTokenRequest {
            client: Some(client()),
            grant: Some(grant),
            audience: AUDIENCE.to_owned(),
            scopes: vec![SCOPE.to_owned()],
            ..IssueTokenRequest::default()
        };
        self.tokens.issue_token(request).await?.into_inner().outcome.context("an answer without an outcome")
    }
}

/// The client, authenticated by its secret.
pub fn client() -> ClientAuthentication {
    ClientAuthentication {
        client_id: CLIENT.to_owned(),
        credential: Some(Credential::ClientSecret(CLIENT_SECRET.to_owned())),
    }
}

fn bearing<T>(message: T, pending: &Pending) -> anyhow::Result<Request<T>> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("authorization", format!("Bearer {}", pending.mfa_token).parse()?);
    Ok(request)
}
