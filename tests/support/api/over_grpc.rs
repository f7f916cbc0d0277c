//! The calls as gRPC.

use countersign_proto::v1::{
    AssociateAuthenticatorRequest, Authenticator, AuthenticatorState, CreateChallengeRequest,
    DeleteAuthenticatorRequest, GetAuthenticatorRequest, GetUserInfoRequest, IssueTokenRequest,
    ListAuthenticatorsRequest, OtpEnrollment, OtpGrant, PasswordGrant, RecoveryCodeGrant, TokenSet,
    UpdateAuthenticatorRequest, associate_authenticator_request::Enrollment,
    associate_authenticator_response::Enrollment as Details, authenticator::Factor, issue_token_request::Grant,
    issue_token_response::Outcome as Issued,
};

use super::{Association, Entry, Outcome, Tokens, Wish};
use crate::{
    grpc::{Grpc, bearing, proof},
    refusal::Refusal,
    tenant::Client,
};

fn refused(status: tonic::Status) -> Refusal {
    Refusal::Grpc(Box::new(status))
}

fn some(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}

fn tokens(set: TokenSet) -> Tokens {
    let lifetime = set.lifetime.expect("the lifetime is always set");
    Tokens {
        access_token: set.access_token,
        id_token: some(set.id_token),
        expires_in: u64::try_from(lifetime.seconds).expect("a lifetime is positive"),
        scope: set.scopes_changed.then(|| set.scopes.join(" ")),
        recovery_code: some(set.recovery_code),
    }
}

fn entry(authenticator: Authenticator) -> Entry {
    let kind = match authenticator.factor.as_ref().expect("the factor is always set") {
        Factor::Otp(_) => "otp",
        Factor::RecoveryCode(_) => "recovery-code",
    };
    Entry {
        active: authenticator.state() == AuthenticatorState::Active,
        kind: kind.to_owned(),
        id: authenticator.authenticator_id,
        name: some(authenticator.name),
    }
}

async fn issue(grpc: &Grpc, client: Client, grant: Grant, wish: Wish<'_>) -> Result<Outcome, Refusal> {
    let request = IssueTokenRequest {
        client: proof(client),
        grant: Some(grant),
        audience: wish.audience.unwrap_or_default().to_owned(),
        scopes: wish.scope.map(|scope| scope.split(' ').map(str::to_owned).collect()).unwrap_or_default(),
        end_user: None,
    };
    let answer = grpc.token.clone().issue_token(request).await.map_err(refused)?;
    Ok(match answer.into_inner().outcome.expect("an outcome is always set") {
        Issued::Tokens(set) => Outcome::Tokens(tokens(set)),
        Issued::MfaRequired(required) => Outcome::MfaRequired(required.mfa_token),
    })
}

pub(super) async fn login(
    grpc: &Grpc,
    client: Client,
    username: &str,
    password: &str,
    wish: Wish<'_>,
) -> Result<Outcome, Refusal> {
    let grant = Grant::Password(PasswordGrant {
        username: username.to_owned(),
        password: password.to_owned(),
        realm: wish.realm.unwrap_or_default().to_owned(),
        realm_required: wish.realm.is_some(),
    });
    issue(grpc, client, grant, wish).await
}

pub(super) async fn otp(grpc: &Grpc, client: Client, token: &str, code: &str) -> Result<Tokens, Refusal> {
    let grant = Grant::Otp(OtpGrant { mfa_token: token.to_owned(), otp: code.to_owned() });
    issue(grpc, client, grant, Wish::default()).await.map(Outcome::tokens)
}

pub(super) async fn recovery(grpc: &Grpc, client: Client, token: &str, code: &str) -> Result<Tokens, Refusal> {
    let grant = RecoveryCodeGrant { mfa_token: token.to_owned(), recovery_code: code.to_owned() };
    issue(grpc, client, Grant::RecoveryCode(grant), Wish::default()).await.map(Outcome::tokens)
}

pub(super) async fn challenge(
    grpc: &Grpc,
    client: Client,
    token: &str,
    types: &str,
    authenticator: Option<&str>,
) -> Result<String, Refusal> {
    let request = CreateChallengeRequest {
        client: proof(client),
        mfa_token: token.to_owned(),
        challenge_types: types.split_whitespace().map(str::to_owned).collect(),
        authenticator_id: authenticator.unwrap_or_default().to_owned(),
        oob_channel: String::new(),
        end_user: None,
    };
    let answer = grpc.challenge.clone().create_challenge(request).await.map_err(refused)?;
    Ok(answer.into_inner().authenticator_id)
}

pub(super) async fn associate(grpc: &Grpc, bearer: &str) -> Result<Association, Refusal> {
    let request = AssociateAuthenticatorRequest {
        enrollment: Some(Enrollment::Otp(OtpEnrollment::default())),
        name: String::new(),
        end_user: None,
    };
    let answer = grpc.associate.clone().associate_authenticator(bearing(bearer, request)).await.map_err(refused)?;
    let answer = answer.into_inner();
    let Details::Otp(otp) = answer.enrollment.expect("details are always set");
    assert!(otp.barcode_svg.contains("<svg"), "the QR code is an SVG document");
    Ok(Association { secret: otp.secret, barcode_uri: otp.barcode_uri, recovery_codes: answer.recovery_codes })
}

pub(super) async fn list(grpc: &Grpc, bearer: &str) -> Result<Vec<Entry>, Refusal> {
    let request = bearing(bearer, ListAuthenticatorsRequest::default());
    let answer = grpc.associate.clone().list_authenticators(request).await.map_err(refused)?;
    Ok(answer.into_inner().authenticators.into_iter().map(entry).collect())
}

pub(super) async fn find(grpc: &Grpc, bearer: &str, id: &str) -> Result<Entry, Refusal> {
    let request = bearing(bearer, GetAuthenticatorRequest { authenticator_id: id.to_owned() });
    let answer = grpc.associate.clone().get_authenticator(request).await.map_err(refused)?;
    Ok(entry(answer.into_inner().authenticator.expect("always set")))
}

pub(super) async fn update(
    grpc: &Grpc,
    bearer: &str,
    id: &str,
    name: Option<&str>,
    preferred: Option<bool>,
) -> Result<Entry, Refusal> {
    let change =
        UpdateAuthenticatorRequest { authenticator_id: id.to_owned(), name: name.map(str::to_owned), preferred };
    let answer = grpc.associate.clone().update_authenticator(bearing(bearer, change)).await.map_err(refused)?;
    Ok(entry(answer.into_inner().authenticator.expect("always set")))
}

pub(super) async fn delete(grpc: &Grpc, bearer: &str, id: &str) -> Result<(), Refusal> {
    let request = bearing(bearer, DeleteAuthenticatorRequest { authenticator_id: id.to_owned() });
    grpc.associate.clone().delete_authenticator(request).await.map(|_empty| ()).map_err(refused)
}

pub(super) async fn subject(grpc: &Grpc, access_token: &str) -> Result<String, Refusal> {
    let request = bearing(access_token, GetUserInfoRequest {});
    let answer = grpc.token.clone().get_user_info(request).await.map_err(refused)?;
    Ok(answer.into_inner().subject)
}
