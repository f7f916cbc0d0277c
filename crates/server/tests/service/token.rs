//! Fields of `IssueToken`, and bearers of `GetUserInfo`.

use countersign_proto::v1::{
    ClientAuthentication, GetMetadataRequest, GetSigningKeysRequest, GetUserInfoRequest, IssueTokenRequest, OtpGrant,
    PasswordGrant, RecoveryCodeGrant, client_authentication::Credential, issue_token_request::Grant,
};
use tonic::{Code, Request};

use crate::rig::{Refused, Rig, bearing, client, long, offering, password};

fn of_password(change: impl FnOnce(&mut PasswordGrant)) -> IssueTokenRequest {
    let mut grant = PasswordGrant { username: "jo".into(), password: "pw".into(), ..PasswordGrant::default() };
    change(&mut grant);
    offering(Grant::Password(grant))
}

fn of_otp(mfa_token: impl Into<String>, otp: impl Into<String>) -> IssueTokenRequest {
    offering(Grant::Otp(OtpGrant { mfa_token: mfa_token.into(), otp: otp.into() }))
}

fn of_recovery_code(mfa_token: impl Into<String>, code: impl Into<String>) -> IssueTokenRequest {
    offering(Grant::RecoveryCode(RecoveryCodeGrant { mfa_token: mfa_token.into(), recovery_code: code.into() }))
}

fn of_client(client_id: &str, secret: Option<&str>) -> IssueTokenRequest {
    let credential = secret.map(|secret| Credential::ClientSecret(secret.into()));
    IssueTokenRequest { client: Some(ClientAuthentication { client_id: client_id.into(), credential }), ..password() }
}

#[tokio::test]
async fn every_missing_parameter_is_named_at_once() {
    let rig = Rig::new().await;
    let nothing = PasswordGrant { realm_required: true, ..PasswordGrant::default() };
    for (request, missing) in [
        (IssueTokenRequest::default(), &["client_id", "grant_type"][..]),
        (IssueTokenRequest { client: Some(client()), ..IssueTokenRequest::default() }, &["grant_type"]),
        (
            IssueTokenRequest { client: None, ..offering(Grant::Password(nothing)) },
            &["client_id", "username", "password", "realm"],
        ),
        (of_otp("", ""), &["mfa_token", "otp"]),
        (of_recovery_code("", ""), &["mfa_token", "recovery_code"]),
    ] {
        let refused = rig.refused(request).await;
        assert_eq!((refused.code, refused.reason.as_str()), (Code::InvalidArgument, "REQUEST_MALFORMED"));
        assert_eq!(refused.fields(), missing);
        let texts: Vec<_> = missing.iter().map(|field| format!("Missing required parameter: {field}")).collect();
        assert_eq!(refused.descriptions(), texts);
    }
}

#[tokio::test]
async fn what_is_as_long_as_allowed_is_judged_and_one_more_is_malformed() {
    let rig = Rig::new().await;
    let scopes = |count: usize, length| IssueTokenRequest { scopes: vec!["s".repeat(length); count], ..password() };
    let audience = |length| IssueTokenRequest { audience: long(length), ..password() };
    for (field, longest, too_long) in [
        ("client_id", of_client(&long(128), None), of_client(&long(129), None)),
        ("client_secret", of_client("web", Some(&long(512))), of_client("web", Some(&long(513)))),
        ("username", of_password(|grant| grant.username = long(320)), of_password(|grant| grant.username = long(321))),
        // Bytes, not characters.
        ("password", of_password(|grant| grant.password = long(512)), of_password(|grant| grant.password = long(513))),
        ("realm", of_password(|grant| grant.realm = long(128)), of_password(|grant| grant.realm = long(129))),
        ("audience", audience(512), audience(513)),
        ("scope", scopes(100, 128), scopes(101, 1)),
        ("scope", scopes(1, 128), scopes(1, 129)),
        ("mfa_token", of_otp(long(8192), "123456"), of_otp(long(8193), "123456")),
        ("otp", of_otp("t", long(64)), of_otp("t", long(65))),
        ("recovery_code", of_recovery_code("t", long(256)), of_recovery_code("t", long(257))),
    ] {
        assert_ne!(rig.refused(longest).await.reason, "REQUEST_MALFORMED", "{field}");
        let refused = rig.refused(too_long).await;
        assert_eq!((refused.reason.as_str(), refused.fields()), ("REQUEST_MALFORMED", vec![field]));
        assert!(refused.text.len() < 4096, "{field}: a refusal must not repeat what was sent");
    }
}

#[tokio::test]
async fn a_code_of_any_form_is_left_to_the_use_case() {
    let rig = Rig::new().await;
    for code in ["1", "12345678901", "abcdef", " 123456"] {
        assert_eq!(rig.refused(of_otp("t", code)).await.reason, "MFA_TOKEN_INVALID", "{code}");
    }
}

#[tokio::test]
async fn a_name_that_nobody_can_have_is_answered_like_one_that_nobody_has() {
    let rig = Rig::new().await;
    let mut answers = Vec::new();
    for name in ["jo", "   ", "a\0b"] {
        let refused = rig.refused(of_password(|grant| grant.username = name.into())).await;
        answers.push((refused.code, refused.reason));
    }
    assert_eq!(answers, vec![(Code::PermissionDenied, "CREDENTIALS_REJECTED".to_owned()); 3]);
}

#[tokio::test]
async fn an_unknown_client_is_not_authenticated() {
    let refused = Rig::new().await.refused(of_client("nobody", Some("secret-canary"))).await;
    assert_eq!((refused.code, refused.reason.as_str()), (Code::Unauthenticated, "CLIENT_UNAUTHENTICATED"));
    assert!(!refused.text.contains("canary"));
}

#[tokio::test]
async fn user_info_wants_a_bearer() {
    let rig = Rig::new().await;
    let mut requests = vec![Request::new(GetUserInfoRequest {})];
    let values = ["Bearer", "Bearer ", "Basic abc", "abc", "Bearer forged", "bEARER forged"];
    requests.extend(values.map(|value| bearing(value, GetUserInfoRequest {})));
    for request in requests {
        let refused = Refused::from(rig.token().get_user_info(request).await.map(drop).unwrap_err());
        assert_eq!((refused.code, refused.reason.as_str()), (Code::Unauthenticated, "ACCESS_TOKEN_INVALID"));
    }
}

#[tokio::test]
async fn keys_and_metadata_are_open_to_everybody() {
    let mut token = Rig::new().await.token();
    assert!(token.get_signing_keys(GetSigningKeysRequest {}).await.is_ok());
    let metadata = token.get_metadata(GetMetadataRequest {}).await.map(tonic::Response::into_inner);
    assert_eq!(metadata.map(|metadata| metadata.issuer).ok().as_deref(), Some("https://issuer.test/"));
}
