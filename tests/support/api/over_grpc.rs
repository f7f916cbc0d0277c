//! The calls as gRPC.

use countersign_domain::time::Timestamp;
use countersign_proto::v1::{
    AnswerChallengeRequest, AssociateAuthenticatorRequest, Authenticator, AuthenticatorState, ClientCredentialsGrant,
    CreateChallengeRequest, DeleteAuthenticatorRequest, DeleteDeviceRequest, DeleteRememberedDeviceRequest,
    GetAuthenticatorRequest, GetUserInfoRequest, IntrospectTokenRequest, IssueTokenRequest, ListAuthenticatorsRequest,
    ListRememberedDevicesRequest, OobChannel, OobEnrollment, OobGrant, OtpAlgorithm, OtpEnrollment, OtpGrant,
    PasswordGrant, PushCredentials, PushService, RecoveryCodeGrant, RefreshTokenGrant, RevokeTokenRequest,
    SignedLoginGrant, TokenSet, UpdateAuthenticatorRequest, UpdateDeviceRequest,
    associate_authenticator_request::Enrollment, associate_authenticator_response::Enrollment as Details,
    authenticator::Factor, create_challenge_response::Challenge, issue_token_request::Grant,
    issue_token_response::Outcome as Issued,
};

use super::{Asked, Association, Barcode, Entry, Introspected, Outcome, Sent, To, Tokens, Wish};
use crate::{
    device::{Device, Registration},
    grpc::{Grpc, bearing},
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
        refresh_token: some(set.refresh_token),
        device_token: some(set.device_token),
        enroll_by: set
            .enroll_by_time
            .map(|at| Timestamp::from_millis(at.seconds * 1000 + i64::from(at.nanos) / 1_000_000).to_rfc3339()),
    }
}

fn entry(authenticator: Authenticator) -> Entry {
    let kind = match authenticator.factor.as_ref().expect("the factor is always set") {
        Factor::Otp(_) => "otp",
        Factor::Oob(_) => "oob",
        Factor::RecoveryCode(_) => "recovery-code",
    };
    let channel = match &authenticator.factor {
        Some(Factor::Oob(oob)) => Some(channel_name(oob.channel()).to_owned()),
        _ => None,
    };
    Entry {
        active: authenticator.state() == AuthenticatorState::Active,
        kind: kind.to_owned(),
        channel,
        id: authenticator.authenticator_id,
        name: some(authenticator.name),
    }
}

fn channel_name(channel: OobChannel) -> &'static str {
    match channel {
        OobChannel::Sms => "sms",
        OobChannel::Voice => "voice",
        OobChannel::Email => "email",
        OobChannel::Push => "auth0",
        OobChannel::Unspecified => panic!("the channel is always set"),
    }
}

fn channel_of(name: &str) -> OobChannel {
    match name {
        "sms" => OobChannel::Sms,
        "voice" => OobChannel::Voice,
        "email" => OobChannel::Email,
        "auth0" => OobChannel::Push,
        _ => OobChannel::Unspecified,
    }
}

pub(super) async fn refresh(grpc: &Grpc, client: Client, token: &str, wish: Wish<'_>) -> Result<Outcome, Refusal> {
    let grant = RefreshTokenGrant { refresh_token: token.into() };
    issue(grpc, client, Grant::RefreshToken(grant), wish).await
}

pub(super) async fn service(grpc: &Grpc, client: Client, wish: Wish<'_>) -> Result<Tokens, Refusal> {
    issue(grpc, client, Grant::ClientCredentials(ClientCredentialsGrant {}), wish).await.map(Outcome::tokens)
}

pub(super) async fn signed_login(grpc: &Grpc, client: Client, jwt: &str, wish: Wish<'_>) -> Result<Outcome, Refusal> {
    issue(grpc, client, Grant::SignedLogin(SignedLoginGrant { assertion: jwt.into() }), wish).await
}

pub(super) async fn revoke(grpc: &Grpc, client: Client, token: &str) -> Result<(), Refusal> {
    let request = RevokeTokenRequest { client: grpc.proof(client), token: token.into(), end_user: None };
    grpc.token.clone().revoke_token(request).await.map(drop).map_err(refused)
}

pub(super) async fn introspect(grpc: &Grpc, client: Client, token: &str) -> Result<Option<Introspected>, Refusal> {
    let request = IntrospectTokenRequest { client: grpc.proof(client), token: token.into(), end_user: None };
    let answer = grpc.token.clone().introspect_token(request).await.map_err(refused)?.into_inner();
    Ok(answer.active.map(|token| Introspected {
        is_access_token: !token.is_refresh_token,
        subject: token.subject,
        client: token.client_id,
        audiences: token.audiences,
        scope: token.scopes.join(" "),
        expires_at: token.expire_time.map(|time| time.seconds),
        authenticated_at: token.auth_time.map(|time| time.seconds),
        methods: token.methods,
    }))
}

pub(super) async fn oob(
    grpc: &Grpc,
    client: Client,
    token: &str,
    oob_code: &str,
    code: &str,
) -> Result<Tokens, Refusal> {
    let grant = OobGrant { mfa_token: token.into(), oob_code: oob_code.into(), binding_code: code.into() };
    issue(grpc, client, Grant::Oob(grant), Wish::default()).await.map(Outcome::tokens)
}

pub(super) async fn send_code(
    grpc: &Grpc,
    client: Client,
    token: &str,
    authenticator: Option<&str>,
    channel: Option<&str>,
) -> Result<Sent, Refusal> {
    let request = CreateChallengeRequest {
        client: grpc.proof(client),
        mfa_token: token.to_owned(),
        challenge_types: vec!["oob".to_owned()],
        authenticator_id: authenticator.unwrap_or_default().to_owned(),
        oob_channel: channel.unwrap_or_default().to_owned(),
        end_user: None,
    };
    let answer = grpc.challenge.clone().create_challenge(request).await.map_err(refused)?.into_inner();
    let Some(Challenge::Oob(oob)) = answer.challenge else { panic!("no code was sent") };
    assert_eq!(oob.lifetime.map(|lifetime| lifetime.seconds), Some(300));
    Ok(Sent {
        oob_code: oob.oob_code,
        authenticator: Some(answer.authenticator_id),
        recovery_codes: Vec::new(),
        restricted: false,
    })
}

pub(super) async fn associate_oob(grpc: &Grpc, bearer: &str, to: To<'_>) -> Result<Sent, Refusal> {
    let (channel, phone_number, email) = match to {
        To::Phone(channel, number) => (channel, number.to_owned(), String::new()),
        To::Email(address) => ("email", String::new(), address.unwrap_or_default().to_owned()),
    };
    let channels = vec![channel_of(channel).into()];
    let request = AssociateAuthenticatorRequest {
        enrollment: Some(Enrollment::Oob(OobEnrollment { channels, phone_number, email })),
        name: String::new(),
        end_user: None,
    };
    let answer = grpc.associate.clone().associate_authenticator(bearing(bearer, request)).await.map_err(refused)?;
    let answer = answer.into_inner();
    let Some(Details::Oob(oob)) = answer.enrollment else { panic!("no code was sent") };
    assert_eq!(channel_name(oob.channel()), channel);
    let (recovery_codes, restricted) = (answer.recovery_codes, oob.restricted);
    Ok(Sent { oob_code: oob.oob_code, authenticator: None, recovery_codes, restricted })
}

pub(super) async fn associate_push(grpc: &Grpc, bearer: &str) -> Result<Barcode, Refusal> {
    let oob = OobEnrollment { channels: vec![OobChannel::Push.into()], ..OobEnrollment::default() };
    let request =
        AssociateAuthenticatorRequest { enrollment: Some(Enrollment::Oob(oob)), name: String::new(), end_user: None };
    let answer = grpc.associate.clone().associate_authenticator(bearing(bearer, request)).await.map_err(refused)?;
    let answer = answer.into_inner();
    let Some(Details::Push(push)) = answer.enrollment else { panic!("no device is enrolled") };
    assert!(push.barcode_svg.starts_with("<svg"));
    Ok(Barcode { oob_code: push.oob_code, uri: push.barcode_uri, recovery_codes: answer.recovery_codes })
}

pub(super) async fn ask(
    grpc: &Grpc,
    client: Client,
    token: &str,
    authenticator: Option<&str>,
) -> Result<Asked, Refusal> {
    let request = CreateChallengeRequest {
        client: grpc.proof(client),
        mfa_token: token.to_owned(),
        authenticator_id: authenticator.unwrap_or_default().to_owned(),
        oob_channel: "auth0".to_owned(),
        challenge_types: vec!["oob".to_owned()],
        end_user: None,
    };
    let answer = grpc.challenge.clone().create_challenge(request).await.map_err(refused)?.into_inner();
    let Some(Challenge::Push(push)) = answer.challenge else { panic!("no device is asked") };
    let seconds = [push.lifetime, push.interval].map(|span| span.map(|span| span.seconds));
    assert_eq!(seconds, [Some(300), Some(5)]);
    let interval = seconds[1].expect("it is said").try_into().expect("it is not negative");
    Ok(Asked { oob_code: push.oob_code, number: some(push.number), authenticator: answer.authenticator_id, interval })
}

pub(super) async fn enroll_device(grpc: &Grpc, ticket: &str, device: &Device) -> Result<Registration, Refusal> {
    let answer = grpc.device.clone().enroll_device(device.request(ticket)).await.map_err(refused)?.into_inner();
    Ok(Registration {
        id: answer.device_id,
        url: answer.url,
        issuer: answer.issuer,
        user: answer.user_id,
        token: answer.token,
        totp_secret: answer.totp.map(|totp| totp.secret),
    })
}

pub(super) async fn resolve(grpc: &Grpc, transaction_token: &str, response: &str) -> Result<(), Refusal> {
    let request = AnswerChallengeRequest {
        transaction_token: transaction_token.to_owned(),
        challenge_response: response.to_owned(),
    };
    grpc.challenge.clone().answer_challenge(request).await.map(drop).map_err(refused)
}

pub(super) async fn update_device(grpc: &Grpc, id: &str, bearer: &str, name: &str, token: &str) -> Result<(), Refusal> {
    let request = UpdateDeviceRequest {
        device_id: id.to_owned(),
        name: name.to_owned(),
        push_credentials: Some(PushCredentials { service: PushService::Apns.into(), token: token.to_owned() }),
        identifier: String::new(),
    };
    let wanted = request.push_credentials.clone();
    let kept = grpc.device.clone().update_device(bearing(bearer, request)).await.map_err(refused)?.into_inner();
    assert_eq!((kept.device_id.as_str(), kept.name.as_str()), (id, name));
    assert!(kept.push_credentials == wanted, "it is reached elsewhere");
    assert!(!kept.identifier.is_empty());
    Ok(())
}

pub(super) async fn delete_device(grpc: &Grpc, id: &str, bearer: &str) -> Result<(), Refusal> {
    let request = DeleteDeviceRequest { device_id: id.to_owned() };
    grpc.device.clone().delete_device(bearing(bearer, request)).await.map(drop).map_err(refused)
}

fn words(text: Option<&str>) -> Vec<String> {
    text.map(|text| text.split(' ').map(str::to_owned).collect()).unwrap_or_default()
}

pub(super) async fn otp_remembering(grpc: &Grpc, client: Client, token: &str, code: &str) -> Result<Tokens, Refusal> {
    let request = IssueTokenRequest {
        client: grpc.proof(client),
        grant: Some(Grant::Otp(OtpGrant { mfa_token: token.to_owned(), otp: code.to_owned() })),
        remember_device: true,
        ..IssueTokenRequest::default()
    };
    match grpc.token.clone().issue_token(request).await.map_err(refused)?.into_inner().outcome {
        Some(Issued::Tokens(set)) => Ok(tokens(set)),
        _ => panic!("no tokens"),
    }
}

pub(super) async fn remembered(grpc: &Grpc, bearer: &str) -> Result<Vec<String>, Refusal> {
    let request = bearing(bearer, ListRememberedDevicesRequest::default());
    let answer = grpc.associate.clone().list_remembered_devices(request).await.map_err(refused)?;
    Ok(answer.into_inner().devices.into_iter().map(|device| device.device_id).collect())
}

pub(super) async fn forget(grpc: &Grpc, bearer: &str, id: &str) -> Result<(), Refusal> {
    let request = bearing(bearer, DeleteRememberedDeviceRequest { device_id: id.to_owned(), end_user: None });
    grpc.associate.clone().delete_remembered_device(request).await.map(drop).map_err(refused)
}

async fn issue(grpc: &Grpc, client: Client, grant: Grant, wish: Wish<'_>) -> Result<Outcome, Refusal> {
    let request = IssueTokenRequest {
        client: grpc.proof(client),
        grant: Some(grant),
        audience: wish.audience.unwrap_or_default().to_owned(),
        scopes: words(wish.scope),
        acr_values: words(wish.acr_values),
        max_age: wish.max_age.map(|age| prost_types::Duration { seconds: i64::try_from(age).expect("few"), nanos: 0 }),
        device_token: wish.device_token.unwrap_or_default().to_owned(),
        ..IssueTokenRequest::default()
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
        client: grpc.proof(client),
        mfa_token: token.to_owned(),
        challenge_types: types.split_whitespace().map(str::to_owned).collect(),
        authenticator_id: authenticator.unwrap_or_default().to_owned(),
        oob_channel: String::new(),
        end_user: None,
    };
    let answer = grpc.challenge.clone().create_challenge(request).await.map_err(refused)?;
    Ok(answer.into_inner().authenticator_id)
}

pub(super) async fn narrowed(
    grpc: &Grpc,
    client: Client,
    token: &str,
    types: &str,
    authenticator: Option<&str>,
    channel: &str,
) -> Result<String, Refusal> {
    let request = CreateChallengeRequest {
        client: grpc.proof(client),
        mfa_token: token.to_owned(),
        challenge_types: words(Some(types)),
        authenticator_id: authenticator.unwrap_or_default().to_owned(),
        oob_channel: channel.to_owned(),
        end_user: None,
    };
    let answer = grpc.challenge.clone().create_challenge(request).await.map_err(refused)?;
    Ok(answer.into_inner().authenticator_id)
}

pub(super) async fn associate(grpc: &Grpc, bearer: &str, app: Option<(&str, u8)>) -> Result<Association, Refusal> {
    let otp = app.map_or_else(OtpEnrollment::default, |(algorithm, digits)| {
        let name = format!("OTP_ALGORITHM_{algorithm}");
        let algorithm = OtpAlgorithm::from_str_name(&name).expect("the contract has it");
        OtpEnrollment { algorithm: algorithm.into(), digits: digits.into() }
    });
    let request =
        AssociateAuthenticatorRequest { enrollment: Some(Enrollment::Otp(otp)), name: String::new(), end_user: None };
    let answer = grpc.associate.clone().associate_authenticator(bearing(bearer, request)).await.map_err(refused)?;
    let answer = answer.into_inner();
    let Some(Details::Otp(otp)) = answer.enrollment else { panic!("not the details of an app") };
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
    let request = bearing(bearer, DeleteAuthenticatorRequest { authenticator_id: id.to_owned(), end_user: None });
    grpc.associate.clone().delete_authenticator(request).await.map(|_empty| ()).map_err(refused)
}

pub(super) async fn subject(grpc: &Grpc, access_token: &str) -> Result<String, Refusal> {
    let request = bearing(access_token, GetUserInfoRequest {});
    let answer = grpc.token.clone().get_user_info(request).await.map_err(refused)?;
    Ok(answer.into_inner().subject)
}
