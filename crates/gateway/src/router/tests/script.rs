//! gRPC services that answer what they are told to and remember what they were asked.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{Router, body::Body, extract::ConnectInfo};
use countersign_proto::v1::{
    associate_service_server::{AssociateService, AssociateServiceServer},
    challenge_service_server::{ChallengeService, ChallengeServiceServer},
    device_service_server::{DeviceService, DeviceServiceServer},
    notice_service_server::{NoticeService, NoticeServiceServer},
    token_service_server::{TokenService, TokenServiceServer},
    *,
};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::Value;
use tonic::{Code, Response, Status, metadata::MetadataMap};
use tonic_types::{ErrorDetails, StatusExt as _};
use tower::ServiceExt as _;

use super::super::router;
use crate::{ClientOrigins, GatewayConfig};

/// What the services answer; whatever is not set is a failure.
#[derive(Default)]
pub(super) struct Script {
    pub(super) refusal: Option<Status>,
    pub(super) issue: Option<issue_token_response::Outcome>,
    pub(super) pages: Vec<Vec<Authenticator>>,
    pub(super) user: GetUserInfoResponse,
    pub(super) active: Option<ActiveToken>,
    pub(super) asked: Asked,
}

/// What the services were asked.
#[derive(Default)]
pub(super) struct Asked {
    pub(super) metadata: MetadataMap,
    pub(super) issue: Option<IssueTokenRequest>,
    pub(super) revocation: Option<RevokeTokenRequest>,
    pub(super) introspection: Option<IntrospectTokenRequest>,
    pub(super) challenge: Option<CreateChallengeRequest>,
    pub(super) associate: Option<AssociateAuthenticatorRequest>,
    pub(super) update: Option<UpdateAuthenticatorRequest>,
    pub(super) repudiation: Option<EndUserContext>,
    pub(super) answer: Option<AnswerChallengeRequest>,
    pub(super) device: Option<EnrollDeviceRequest>,
    pub(super) id: String,
    pub(super) calls: usize,
}

#[derive(Clone, Default)]
pub(super) struct Services(pub(super) Arc<Mutex<Script>>);

type Answer<T> = Result<Response<T>, Status>;

impl Services {
    fn answer<Q, A>(&self, request: tonic::Request<Q>, answer: impl FnOnce(&mut Script, Q) -> A) -> Answer<A> {
        let mut script = self.0.lock().unwrap();
        let (metadata, _, message) = request.into_parts();
        script.asked.metadata = metadata;
        script.asked.calls += 1;
        let answer = answer(&mut script, message);
        script.refusal.clone().map_or(Ok(Response::new(answer)), Err)
    }
}

#[tonic::async_trait]
impl TokenService for Services {
    async fn issue_token(&self, request: tonic::Request<IssueTokenRequest>) -> Answer<IssueTokenResponse> {
        self.answer(request, |script, message| {
            script.asked.issue = Some(message);
            IssueTokenResponse { outcome: script.issue.clone() }
        })
    }

    async fn revoke_token(&self, request: tonic::Request<RevokeTokenRequest>) -> Answer<RevokeTokenResponse> {
        self.answer(request, |script, message| {
            script.asked.revocation = Some(message);
            RevokeTokenResponse {}
        })
    }

    async fn introspect_token(
        &self,
        request: tonic::Request<IntrospectTokenRequest>,
    ) -> Answer<IntrospectTokenResponse> {
        self.answer(request, |script, message| {
            script.asked.introspection = Some(message);
            IntrospectTokenResponse { active: script.active.clone() }
        })
    }

    async fn get_user_info(&self, request: tonic::Request<GetUserInfoRequest>) -> Answer<GetUserInfoResponse> {
        self.answer(request, |script, _| script.user.clone())
    }

    async fn get_signing_keys(&self, request: tonic::Request<GetSigningKeysRequest>) -> Answer<GetSigningKeysResponse> {
        self.answer(request, |_, _| {
            let rsa = RsaPublicKey { modulus: "AQ".into(), exponent: "AQAB".into(), certificate: vec![48, 0] };
            let ec = EcPublicKey { curve: "P-256".into(), x: "AQ".into(), y: "Ag".into() };
            let key = |id: &str, algorithm: &str, key| SigningKey {
                key_id: id.into(),
                algorithm: algorithm.into(),
                key: Some(key),
            };
            let keys = vec![key("1", "RS256", signing_key::Key::Rsa(rsa)), key("2", "ES256", signing_key::Key::Ec(ec))];
            GetSigningKeysResponse { keys }
        })
    }

    async fn get_metadata(&self, request: tonic::Request<GetMetadataRequest>) -> Answer<GetMetadataResponse> {
        self.answer(request, |_, _| GetMetadataResponse {
            issuer: "https://id.example/".into(),
            scopes_supported: vec!["openid".into()],
            id_token_signing_algorithms: vec!["RS256".into()],
            claims_supported: vec!["sub".into()],
            acr_values_supported: vec!["urn:one".into()],
        })
    }
}

#[tonic::async_trait]
impl ChallengeService for Services {
    async fn create_challenge(
        &self,
        request: tonic::Request<CreateChallengeRequest>,
    ) -> Answer<CreateChallengeResponse> {
        self.answer(request, |script, message| {
            let sent = message.challenge_types == ["oob"];
            let asked = message.oob_channel == "auth0";
            script.asked.challenge = Some(message);
            if asked {
                let challenge = PushChallenge {
                    oob_code: "o".into(),
                    number: "012345".into(),
                    lifetime: Some(prost_types::Duration { seconds: 300, nanos: 0 }),
                    interval: Some(prost_types::Duration { seconds: 5, nanos: 0 }),
                };
                let challenge = create_challenge_response::Challenge::Push(challenge);
                return CreateChallengeResponse { authenticator_id: "push|dev_3".into(), challenge: Some(challenge) };
            }
            if sent {
                let challenge = OobChallenge {
                    oob_code: "o".into(),
                    channel: OobChannel::Sms.into(),
                    lifetime: Some(prost_types::Duration { seconds: 300, nanos: 0 }),
                };
                let challenge = create_challenge_response::Challenge::Oob(challenge);
                return CreateChallengeResponse { authenticator_id: "sms|dev_2".into(), challenge: Some(challenge) };
            }
            let challenge = create_challenge_response::Challenge::Otp(OtpChallenge {});
            CreateChallengeResponse { authenticator_id: "totp|dev_1".into(), challenge: Some(challenge) }
        })
    }

    type WatchChallengeStream = tonic::codegen::tokio_stream::Empty<Result<WatchChallengeResponse, Status>>;

    async fn watch_challenge(
        &self,
        _request: tonic::Request<WatchChallengeRequest>,
    ) -> Answer<Self::WatchChallengeStream> {
        Err(Status::unimplemented("nobody watches over HTTP"))
    }

    async fn answer_challenge(
        &self,
        request: tonic::Request<AnswerChallengeRequest>,
    ) -> Answer<AnswerChallengeResponse> {
        self.answer(request, |script, message| {
            script.asked.answer = Some(message);
            AnswerChallengeResponse {}
        })
    }
}

#[tonic::async_trait]
impl DeviceService for Services {
    async fn enroll_device(&self, request: tonic::Request<EnrollDeviceRequest>) -> Answer<EnrollDeviceResponse> {
        self.answer(request, |script, message| {
            script.asked.device = Some(message);
            EnrollDeviceResponse {
                device_id: "dev_1".into(),
                url: "https://id.example/appliance-mfa".into(),
                issuer: "My App".into(),
                user_id: "auth0|1".into(),
                token: "csdev_1".into(),
                totp: Some(DeviceTotp { secret: "ABC".into(), algorithm: "SHA1".into(), digits: 6, period: 30 }),
            }
        })
    }

    async fn update_device(&self, request: tonic::Request<UpdateDeviceRequest>) -> Answer<UpdateDeviceResponse> {
        self.answer(request, |script, message| {
            script.asked.id.clone_from(&message.device_id);
            UpdateDeviceResponse {
                device_id: message.device_id,
                identifier: "phone".into(),
                name: message.name,
                push_credentials: Some(PushCredentials { service: PushService::Fcm.into(), token: "t".into() }),
            }
        })
    }

    async fn delete_device(&self, request: tonic::Request<DeleteDeviceRequest>) -> Answer<DeleteDeviceResponse> {
        self.answer(request, |script, message| {
            script.asked.id = message.device_id;
            DeleteDeviceResponse {}
        })
    }
}

#[tonic::async_trait]
impl AssociateService for Services {
    async fn associate_authenticator(
        &self,
        request: tonic::Request<AssociateAuthenticatorRequest>,
    ) -> Answer<AssociateAuthenticatorResponse> {
        self.answer(request, |script, message| {
            let channel = match &message.enrollment {
                Some(associate_authenticator_request::Enrollment::Oob(oob)) => oob.channels().next(),
                _ => None,
            };
            let sent = channel.is_some();
            script.asked.associate = Some(message);
            if channel == Some(OobChannel::Push) {
                let details = PushEnrollmentDetails {
                    oob_code: "o".into(),
                    barcode_uri: "otpauth://totp/A:b?enrollment_tx_id=t&base_url=u".into(),
                    barcode_svg: "<svg/>".into(),
                };
                return AssociateAuthenticatorResponse {
                    authenticator: Some(oob("push|dev_3", OobChannel::Push)),
                    enrollment: Some(associate_authenticator_response::Enrollment::Push(details)),
                    recovery_codes: vec!["MZCRK3YX5V3AKNNYY6JEBQCL".into()],
                };
            }
            if sent {
                let details =
                    OobEnrollmentDetails { oob_code: "o".into(), channel: OobChannel::Sms.into(), restricted: true };
                return AssociateAuthenticatorResponse {
                    authenticator: Some(oob("sms|dev_2", OobChannel::Sms)),
                    enrollment: Some(associate_authenticator_response::Enrollment::Oob(details)),
                    recovery_codes: vec!["MZCRK3YX5V3AKNNYY6JEBQCL".into()],
                };
            }
            let details = OtpEnrollmentDetails {
                secret: "HJ6XM2DNERXDAVCUONGWKRTCMNTU6VDF".into(),
                barcode_uri: "otpauth://totp/A:b?secret=HJ6X".into(),
                barcode_svg: "<svg/>".into(),
            };
            AssociateAuthenticatorResponse {
                authenticator: Some(totp("totp|dev_1")),
                enrollment: Some(associate_authenticator_response::Enrollment::Otp(details)),
                recovery_codes: vec!["MZCRK3YX5V3AKNNYY6JEBQCL".into()],
            }
        })
    }

    async fn list_authenticators(
        &self,
        request: tonic::Request<ListAuthenticatorsRequest>,
    ) -> Answer<ListAuthenticatorsResponse> {
        self.answer(request, |script, message| {
            let page: usize = message.page_token.parse().unwrap_or(0);
            let more = page + 1 < script.pages.len();
            ListAuthenticatorsResponse {
                authenticators: script.pages.get(page).cloned().unwrap_or_default(),
                next_page_token: if more { (page + 1).to_string() } else { String::new() },
            }
        })
    }

    async fn get_authenticator(
        &self,
        request: tonic::Request<GetAuthenticatorRequest>,
    ) -> Answer<GetAuthenticatorResponse> {
        self.answer(request, |script, message| {
            script.asked.id.clone_from(&message.authenticator_id);
            GetAuthenticatorResponse { authenticator: Some(totp(&message.authenticator_id)) }
        })
    }

    async fn update_authenticator(
        &self,
        request: tonic::Request<UpdateAuthenticatorRequest>,
    ) -> Answer<UpdateAuthenticatorResponse> {
        self.answer(request, |script, message| {
            let authenticator = Some(totp(&message.authenticator_id));
            script.asked.update = Some(message);
            UpdateAuthenticatorResponse { authenticator }
        })
    }

    async fn delete_authenticator(
        &self,
        request: tonic::Request<DeleteAuthenticatorRequest>,
    ) -> Answer<DeleteAuthenticatorResponse> {
        self.answer(request, |script, message| {
            script.asked.id = message.authenticator_id;
            DeleteAuthenticatorResponse {}
        })
    }

    async fn list_remembered_devices(
        &self,
        request: tonic::Request<ListRememberedDevicesRequest>,
    ) -> Answer<ListRememberedDevicesResponse> {
        self.answer(request, |_, _| {
            let at = |seconds| Some(prost_types::Timestamp { seconds, nanos: 0 });
            let device = RememberedDevice {
                device_id: "d".into(),
                client_id: "web".into(),
                create_time: at(1),
                use_time: at(2),
                expire_time: at(3),
            };
            ListRememberedDevicesResponse { devices: vec![device], next_page_token: String::new() }
        })
    }

    async fn delete_remembered_device(
        &self,
        request: tonic::Request<DeleteRememberedDeviceRequest>,
    ) -> Answer<DeleteRememberedDeviceResponse> {
        self.answer(request, |script, message| {
            script.asked.id = message.device_id;
            DeleteRememberedDeviceResponse {}
        })
    }
}

#[tonic::async_trait]
impl NoticeService for Services {
    async fn describe_notice(&self, request: tonic::Request<DescribeNoticeRequest>) -> Answer<DescribeNoticeResponse> {
        self.answer(request, |script, message| {
            script.asked.id = message.token;
            DescribeNoticeResponse {
                app_name: "My <App>".into(),
                authenticator: "XXXXXXXX9167".into(),
                add_time: Some(prost_types::Timestamp { seconds: 1_686_778_586, nanos: 399_000_000 }),
                expire_time: Some(prost_types::Timestamp { seconds: 1_686_778_600, nanos: 0 }),
            }
        })
    }

    async fn repudiate_authenticator(
        &self,
        request: tonic::Request<RepudiateAuthenticatorRequest>,
    ) -> Answer<RepudiateAuthenticatorResponse> {
        self.answer(request, |script, message| {
            script.asked.id = message.token;
            script.asked.repudiation = message.end_user;
            RepudiateAuthenticatorResponse {}
        })
    }
}

/// An active authenticator app.
pub(super) fn totp(id: &str) -> Authenticator {
    Authenticator {
        authenticator_id: id.into(),
        factor: Some(authenticator::Factor::Otp(OtpFactor { algorithm: OtpAlgorithm::Sha1.into(), digits: 6 })),
        state: AuthenticatorState::Active.into(),
        name: "Phone".into(),
        preferred: false,
        create_time: Some(prost_types::Timestamp { seconds: 1_686_778_586, nanos: 399_000_000 }),
        last_use_time: Some(prost_types::Timestamp { seconds: 1_686_778_600, nanos: 0 }),
    }
}

/// An active authenticator whose codes are sent.
pub(super) fn oob(id: &str, channel: OobChannel) -> Authenticator {
    Authenticator {
        factor: Some(authenticator::Factor::Oob(OobFactor { channel: channel.into() })),
        name: "XXXXXXXX0123".into(),
        ..totp(id)
    }
}

/// A pending recovery code.
pub(super) fn recovery_code(id: &str) -> Authenticator {
    Authenticator {
        factor: Some(authenticator::Factor::RecoveryCode(RecoveryCodeFactor {})),
        state: AuthenticatorState::Pending.into(),
        name: String::new(),
        last_use_time: None,
        ..totp(id)
    }
}

pub(super) fn tokens() -> issue_token_response::Outcome {
    issue_token_response::Outcome::Tokens(TokenSet {
        access_token: "at".into(),
        lifetime: Some(prost_types::Duration { seconds: 86_400, nanos: 0 }),
        scopes: vec!["openid".into(), "email".into()],
        scopes_changed: true,
        id_token: "it".into(),
        recovery_code: String::new(),
        refresh_token: String::new(),
        device_token: String::new(),
        enroll_by_time: None,
    })
}

/// An access token that says all it can.
pub(super) fn active_token() -> ActiveToken {
    let at = |seconds| Some(prost_types::Timestamp { seconds, nanos: 0 });
    ActiveToken {
        is_refresh_token: false,
        issuer: "https://id.example/".into(),
        subject: "auth0|1".into(),
        audiences: vec!["https://a/".into(), "https://id.example/userinfo".into()],
        client_id: "web".into(),
        scopes: vec!["openid".into(), "read".into()],
        expire_time: at(20),
        issue_time: at(10),
        token_id: "j".into(),
        auth_time: at(5),
        methods: vec!["pwd".into(), "otp".into(), "mfa".into()],
        acr: "high".into(),
    }
}

/// A refusal as the server makes it.
pub(super) fn refused(reason: ErrorReason) -> Status {
    let metadata = [("limit", "10"), ("remaining", "0"), ("grant_type", "password"), ("audience", "https://a/")];
    let metadata: HashMap<_, _> = metadata.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    let mut details = ErrorDetails::with_error_info(reason.as_str_name(), "countersign", metadata);
    details.set_retry_info(Some(Duration::from_millis(6_500)));
    Status::with_error_details(Code::Unknown, "secret cause", details)
}

/// A gateway before scripted services.
#[derive(Default)]
pub(super) struct Rig {
    pub(super) services: Services,
}

/// An answer, read to its end.
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) extensions: http::Extensions,
    pub(super) body: String,
}

impl Reply {
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("JSON, not {:?}", self.body))
    }

    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// `403 invalid_grant: Invalid otp_code.`
    pub(super) fn error(&self) -> String {
        let body = self.json();
        let member = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
        format!("{} {}: {}", self.status.as_u16(), member("error"), member("error_description"))
    }
}

impl Rig {
    pub(super) fn issuing(outcome: issue_token_response::Outcome) -> Self {
        let rig = Self::default();
        rig.services.0.lock().unwrap().issue = Some(outcome);
        rig
    }

    pub(super) fn refusing(reason: ErrorReason) -> Self {
        let rig = Self::default();
        rig.services.0.lock().unwrap().refusal = Some(refused(reason));
        rig
    }

    pub(super) fn asked(&self) -> Asked {
        std::mem::take(&mut self.services.0.lock().unwrap().asked)
    }

    pub(super) fn router(&self) -> Router {
        let routes = tonic::service::Routes::new(TokenServiceServer::new(self.services.clone()))
            .add_service(ChallengeServiceServer::new(self.services.clone()))
            .add_service(AssociateServiceServer::new(self.services.clone()))
            .add_service(DeviceServiceServer::new(self.services.clone()))
            .add_service(NoticeServiceServer::new(self.services.clone()));
        router(routes, config())
    }

    pub(super) async fn send(&self, request: http::request::Builder, body: impl Into<Body>) -> Reply {
        let peer: SocketAddr = "10.0.0.1:1234".parse().unwrap();
        let request = request.extension(ConnectInfo(peer)).body(body.into()).unwrap();
        let (parts, body) = self.router().oneshot(request).await.unwrap().into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Reply {
            status: parts.status,
            headers: parts.headers,
            extensions: parts.extensions,
            body: String::from_utf8(body.to_vec()).unwrap(),
        }
    }

    /// A form to `/oauth/token`, from the client "web".
    pub(super) async fn token(&self, form: &str) -> Reply {
        let body = format!("client_id=web&client_secret=s&{form}");
        self.send(Request::post("/oauth/token").header("content-type", "application/x-www-form-urlencoded"), body).await
    }
}

pub(super) fn config() -> GatewayConfig {
    GatewayConfig {
        origins: vec![
            ClientOrigins { client_id: "spa".into(), origins: vec!["https://app.example".into()] },
            ClientOrigins { client_id: "web".into(), origins: vec!["https://web.example".into()] },
        ],
        trusted_proxies: Arc::new(|address| address.to_string().starts_with("10.")),
        ..GatewayConfig::new("https://id.example/", Arc::new(|| "made".to_owned()), Arc::new(|| 1_000))
    }
}
