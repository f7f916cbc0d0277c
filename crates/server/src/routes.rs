//! All services behind one router, and the way to them without a socket.

use std::{
    convert::Infallible,
    sync::Arc,
    task::{Context, Poll},
};

use countersign_domain::app::App;
use countersign_proto::{
    FILE_DESCRIPTOR_SET,
    v1::{
        associate_service_server::AssociateServiceServer, challenge_service_server::ChallengeServiceServer,
        device_service_server::DeviceServiceServer, notice_service_server::NoticeServiceServer,
        token_service_server::TokenServiceServer,
    },
};
use tokio::sync::{Mutex, watch};
use tonic::{body::Body, service::Routes};
use tonic_health::{ServingStatus, server::HealthReporter};
use tower::Service;

use crate::{caller::Caller, service::Services, undecodable::Reasoned, work::Room};

/// The largest message that is read, in bytes.
pub(crate) const MAX_MESSAGE: usize = 256 * 1024;

/// Full names of the methods that are served, for logs and metrics.
pub const METHODS: [&str; 25] = [
    "countersign.v1.TokenService/IssueToken",
    "countersign.v1.TokenService/RevokeToken",
    "countersign.v1.TokenService/IntrospectToken",
    "countersign.v1.TokenService/GetUserInfo",
    "countersign.v1.TokenService/GetSigningKeys",
    "countersign.v1.TokenService/GetMetadata",
    "countersign.v1.ChallengeService/CreateChallenge",
    "countersign.v1.ChallengeService/WatchChallenge",
    "countersign.v1.ChallengeService/AnswerChallenge",
    "countersign.v1.AssociateService/AssociateAuthenticator",
    "countersign.v1.AssociateService/ListAuthenticators",
    "countersign.v1.AssociateService/GetAuthenticator",
    "countersign.v1.AssociateService/UpdateAuthenticator",
    "countersign.v1.AssociateService/DeleteAuthenticator",
    "countersign.v1.AssociateService/ListRememberedDevices",
    "countersign.v1.AssociateService/DeleteRememberedDevice",
    "countersign.v1.DeviceService/EnrollDevice",
    "countersign.v1.DeviceService/UpdateDevice",
    "countersign.v1.DeviceService/DeleteDevice",
    "countersign.v1.NoticeService/DescribeNotice",
    "countersign.v1.NoticeService/RepudiateAuthenticator",
    "grpc.health.v1.Health/Check",
    "grpc.health.v1.Health/Watch",
    "grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
];

/// Switches what `grpc.health.v1` says, and knows when the last call has ended.
#[derive(Clone)]
pub struct HealthHandle {
    reporter: HealthReporter,
    stopping: watch::Sender<bool>,
    /// Held while it is switched, so that nobody turns on what was stopped meanwhile.
    turn: Arc<Mutex<()>>,
    room: Room,
}

impl HealthHandle {
    /// From now on every service is not serving, for good, and streams of those who wait end: there are others to wait at.
    pub async fn stop(&self) {
        let _turn = self.turn.lock().await;
        self.stopping.send_replace(true);
        self.set(ServingStatus::NotServing).await;
    }

    /// From now on every service is serving, or none is, unless it was stopped. Streams go on: what they wait for may come back.
    pub async fn set_ready(&self, ready: bool) {
        let _turn = self.turn.lock().await;
        if !*self.stopping.borrow() {
            self.set(if ready { ServingStatus::Serving } else { ServingStatus::NotServing }).await;
        }
    }

    /// Until no call runs any more, whoever hung up on it. Each has ended [`crate::DEADLINE`] after it began, so this takes no longer;
    /// meanwhile nobody is let in.
    pub async fn calls_ended(&self) {
        self.room.emptied().await;
    }

    async fn set(&self, status: ServingStatus) {
        for service in [
            "",
            "countersign.v1.TokenService",
            "countersign.v1.ChallengeService",
            "countersign.v1.AssociateService",
            "countersign.v1.DeviceService",
            "countersign.v1.NoticeService",
        ] {
            self.reporter.set_service_status(service, status).await;
        }
    }
}

/// All services: ours, health and reflection.
///
/// # Errors
///
/// The descriptors cannot be read, which a build that compiled them does not do.
pub async fn routes(app: Arc<App>) -> Result<(Routes, HealthHandle), tonic_reflection::server::Error> {
    let (reporter, health) = tonic_health::server::health_reporter();
    let (stopping, stop_seen) = watch::channel(false);
    let room = Room::new();
    let handle = HealthHandle { reporter, stopping, turn: Arc::default(), room: room.clone() };
    handle.set_ready(true).await;
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let routes = Routes::default()
        .add_service(health)
        .add_service(reflection().build_v1()?)
        .add_service(reflection().build_v1alpha()?);
    Ok((with_services(routes, Services::new(app, room, stop_seen)), handle))
}

fn with_services(routes: Routes, services: Services) -> Routes {
    routes
        .add_service(Reasoned(TokenServiceServer::new(services.clone()).max_decoding_message_size(MAX_MESSAGE)))
        .add_service(Reasoned(ChallengeServiceServer::new(services.clone()).max_decoding_message_size(MAX_MESSAGE)))
        .add_service(Reasoned(AssociateServiceServer::new(services.clone()).max_decoding_message_size(MAX_MESSAGE)))
        .add_service(Reasoned(DeviceServiceServer::new(services.clone()).max_decoding_message_size(MAX_MESSAGE)))
        .add_service(Reasoned(NoticeServiceServer::new(services).max_decoding_message_size(MAX_MESSAGE)))
        .prepare()
}

/// The services without a socket, for the gateway of the same process. Cheap to clone.
#[derive(Clone, Debug)]
pub struct InProcess(Routes);

impl InProcess {
    /// A way to `routes`, whose calls come from [`Caller::InProcessGateway`].
    pub const fn new(routes: Routes) -> Self {
        Self(routes)
    }
}

impl Service<http::Request<Body>> for InProcess {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = <Routes as Service<http::Request<Body>>>::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Service::<http::Request<Body>>::poll_ready(&mut self.0, context)
    }

    fn call(&mut self, mut request: http::Request<Body>) -> Self::Future {
        request.extensions_mut().insert(Caller::InProcessGateway);
        self.0.call(request)
    }
}
