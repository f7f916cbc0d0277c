//! Fields of `ChallengeService` and `AssociateService`.

use countersign_proto::v1::{
    AssociateAuthenticatorRequest, CreateChallengeRequest, DeleteAuthenticatorRequest, GetAuthenticatorRequest,
    ListAuthenticatorsRequest, OtpEnrollment, UpdateAuthenticatorRequest, associate_authenticator_request::Enrollment,
};
use tonic::{Code, Request, Response, Status};

use crate::rig::{Refused, Rig, bearing, client, long};

/// The reason and the wrong fields.
#[track_caller]
fn refusal<T>(answer: Result<Response<T>, Status>) -> (String, Vec<String>) {
    let refused = Refused::from(answer.map(drop).unwrap_err());
    let fields = refused.fields().into_iter().map(str::to_owned).collect();
    (refused.reason, fields)
}

#[track_caller]
fn malformed<T>(answer: Result<Response<T>, Status>, fields: &[&str]) {
    assert_eq!(refusal(answer), ("REQUEST_MALFORMED".into(), fields.iter().map(|field| (*field).to_owned()).collect()));
}

fn challenge() -> CreateChallengeRequest {
    CreateChallengeRequest { client: Some(client()), mfa_token: "t".into(), ..CreateChallengeRequest::default() }
}

fn enrollment(otp: OtpEnrollment) -> AssociateAuthenticatorRequest {
    AssociateAuthenticatorRequest { enrollment: Some(Enrollment::Otp(otp)), ..AssociateAuthenticatorRequest::default() }
}

#[tokio::test]
async fn a_challenge_names_every_wrong_field() {
    let mut service = Rig::new().await.challenge();
    malformed(service.create_challenge(CreateChallengeRequest::default()).await, &["client_id", "mfa_token"]);
    for (request, field) in [
        (CreateChallengeRequest { mfa_token: long(8193), ..challenge() }, "mfa_token"),
        (CreateChallengeRequest { challenge_types: vec!["otp".into(); 11], ..challenge() }, "challenge_type"),
        (CreateChallengeRequest { challenge_types: vec!["o".repeat(65)], ..challenge() }, "challenge_type"),
        (CreateChallengeRequest { authenticator_id: long(129), ..challenge() }, "authenticator_id"),
        (CreateChallengeRequest { oob_channel: long(65), ..challenge() }, "oob_channel"),
    ] {
        malformed(service.create_challenge(request).await, &[field]);
    }
    let longest = CreateChallengeRequest { challenge_types: vec!["o".repeat(64); 10], ..challenge() };
    assert_eq!(refusal(service.create_challenge(longest).await).0, "MFA_TOKEN_INVALID");
}

#[tokio::test]
async fn an_enrolment_names_every_wrong_field() {
    let mut service = Rig::new().await.associate();
    for (request, fields) in [
        (AssociateAuthenticatorRequest::default(), &["authenticator_types"][..]),
        (enrollment(OtpEnrollment { algorithm: 99, digits: 7 }), &["algorithm", "digits"]),
        (AssociateAuthenticatorRequest { name: long(65), ..enrollment(OtpEnrollment::default()) }, &["name"]),
        (AssociateAuthenticatorRequest { name: "a\nb".into(), ..enrollment(OtpEnrollment::default()) }, &["name"]),
    ] {
        malformed(service.associate_authenticator(bearing("Bearer t", request)).await, fields);
    }
    for digits in [0, 6, 8] {
        let request =
            AssociateAuthenticatorRequest { name: long(64), ..enrollment(OtpEnrollment { algorithm: 3, digits }) };
        let (reason, _) = refusal(service.associate_authenticator(bearing("Bearer t", request)).await);
        assert_eq!(reason, "ACCESS_TOKEN_INVALID", "{digits}");
    }
}

#[tokio::test]
async fn a_page_has_at_most_100_entries() {
    let mut service = Rig::new().await.associate();
    let page = |page_size, page_token: String| bearing("Bearer t", ListAuthenticatorsRequest { page_size, page_token });
    malformed(service.list_authenticators(page(101, long(129))).await, &["page_size", "page_token"]);
    for size in [0, 1, 100] {
        let (reason, _) = refusal(service.list_authenticators(page(size, String::new())).await);
        assert_eq!(reason, "ACCESS_TOKEN_INVALID");
    }
}

#[tokio::test]
async fn an_authenticator_must_be_named_and_a_change_must_change_something() {
    let mut service = Rig::new().await.associate();
    let bearer = "Bearer t";
    let missing = &["authenticator_id"];
    malformed(service.get_authenticator(bearing(bearer, GetAuthenticatorRequest::default())).await, missing);
    malformed(service.delete_authenticator(bearing(bearer, DeleteAuthenticatorRequest::default())).await, missing);
    let update = |authenticator_id: &str, name: Option<String>| {
        let authenticator_id = authenticator_id.to_owned();
        bearing(bearer, UpdateAuthenticatorRequest { authenticator_id, name, preferred: None })
    };
    malformed(service.update_authenticator(update("", None)).await, &["authenticator_id", "name"]);
    malformed(service.update_authenticator(update("totp|dev_x", Some(long(65)))).await, &["name"]);
    malformed(service.update_authenticator(update("totp|dev_x", Some("\u{7}".into()))).await, &["name"]);
    // Empty is a change: it removes the name.
    let (reason, _) = refusal(service.update_authenticator(update("totp|dev_x", Some(String::new()))).await);
    assert_eq!(reason, "ACCESS_TOKEN_INVALID");
}

#[tokio::test]
async fn no_bearer_is_a_bearer_that_is_none_of_ours() {
    let mut service = Rig::new().await.associate();
    let without = Request::new(enrollment(OtpEnrollment::default()));
    for request in [without, bearing("Basic abc", enrollment(OtpEnrollment::default()))] {
        let refused = Refused::from(service.associate_authenticator(request).await.map(drop).unwrap_err());
        assert_eq!((refused.code, refused.reason.as_str()), (Code::PermissionDenied, "MFA_TOKEN_INVALID"));
    }
    let listed = service.list_authenticators(ListAuthenticatorsRequest::default()).await;
    assert_eq!(refusal(listed).0, "MFA_TOKEN_INVALID");
}
