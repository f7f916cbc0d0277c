//! Health, reflection, and what is served at all.

use countersign_server::{InProcess, METHODS};
use tokio_stream::StreamExt as _;
use tonic::Code;
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};
use tonic_reflection::pb::{
    v1::{
        ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
        server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
    },
    v1alpha,
};

use crate::rig::Rig;

const SERVICES: [&str; 5] = [
    "countersign.v1.AssociateService",
    "countersign.v1.ChallengeService",
    "countersign.v1.DeviceService",
    "countersign.v1.NoticeService",
    "countersign.v1.TokenService",
];

async fn status(channel: &InProcess, service: &str) -> Result<ServingStatus, Code> {
    let answer = HealthClient::new(channel.clone()).check(HealthCheckRequest { service: service.into() }).await;
    answer.map(|answer| answer.into_inner().status()).map_err(|status| status.code())
}

#[tokio::test]
async fn health_follows_its_handle() {
    let rig = Rig::new().await;
    let channel = rig.in_process();
    let everything = || std::iter::once("").chain(SERVICES);
    for service in everything() {
        assert_eq!(status(&channel, service).await, Ok(ServingStatus::Serving), "{service}");
    }
    rig.health.set_ready(false).await;
    for service in everything() {
        assert_eq!(status(&channel, service).await, Ok(ServingStatus::NotServing), "{service}");
    }
    rig.health.set_ready(true).await;
    assert_eq!(status(&channel, "").await, Ok(ServingStatus::Serving));
    rig.health.stop().await;
    rig.health.set_ready(true).await;
    assert_eq!(status(&channel, "").await, Ok(ServingStatus::NotServing), "who stops does not begin again");
    assert_eq!(status(&channel, "countersign.v1.Nothing").await, Err(Code::NotFound));
}

#[tokio::test]
async fn a_watcher_is_told_when_health_changes() {
    let rig = Rig::new().await;
    let mut client = HealthClient::new(rig.in_process());
    let mut changes = client.watch(HealthCheckRequest { service: String::new() }).await.unwrap().into_inner();
    assert_eq!(changes.message().await.unwrap().unwrap().status(), ServingStatus::Serving);
    rig.health.stop().await;
    assert_eq!(changes.message().await.unwrap().unwrap().status(), ServingStatus::NotServing);
}

fn names<T>(services: Vec<T>, name: impl Fn(T) -> String) -> Vec<String> {
    let mut names: Vec<_> = services.into_iter().map(name).collect();
    names.sort_unstable();
    names
}

async fn reflect(channel: InProcess, asked: MessageRequest) -> MessageResponse {
    let request = ServerReflectionRequest { host: String::new(), message_request: Some(asked) };
    let answers = ServerReflectionClient::new(channel).server_reflection_info(tokio_stream::once(request)).await;
    answers.unwrap().into_inner().next().await.unwrap().unwrap().message_response.unwrap()
}

#[tokio::test]
async fn reflection_lists_every_service_in_both_versions() {
    let channel = Rig::new().await.in_process();
    let MessageResponse::ListServicesResponse(list) =
        reflect(channel.clone(), MessageRequest::ListServices(String::new())).await
    else {
        panic!("not a list")
    };
    let mut expected = SERVICES.to_vec();
    expected.extend(["grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection"]);
    assert_eq!(names(list.service, |service| service.name), expected);

    let request = v1alpha::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(v1alpha::server_reflection_request::MessageRequest::ListServices(String::new())),
    };
    let mut client = v1alpha::server_reflection_client::ServerReflectionClient::new(channel);
    let answers = client.server_reflection_info(tokio_stream::once(request)).await;
    let answer = answers.unwrap().into_inner().next().await.unwrap().unwrap().message_response;
    let Some(v1alpha::server_reflection_response::MessageResponse::ListServicesResponse(list)) = answer else {
        panic!("not a list")
    };
    let found = names(list.service, |service| service.name);
    assert!(SERVICES.iter().all(|service| found.iter().any(|name| name == service)), "{found:?}");
}

#[tokio::test]
async fn reflection_describes_what_it_lists() {
    let channel = Rig::new().await.in_process();
    for symbol in SERVICES.into_iter().chain(["grpc.health.v1.Health", "google.protobuf.Timestamp"]) {
        let answer = reflect(channel.clone(), MessageRequest::FileContainingSymbol(symbol.into())).await;
        assert!(matches!(answer, MessageResponse::FileDescriptorResponse(_)), "{symbol}");
    }
}

#[tokio::test]
async fn every_listed_method_is_served_and_others_are_not() {
    use tower::ServiceExt as _;

    let rig = Rig::new().await;
    let call = async |path: String| {
        let request = http::Request::post(path)
            .header("content-type", "application/grpc")
            .body(tonic::body::Body::empty())
            .unwrap();
        let answer = rig.in_process().oneshot(request).await.unwrap();
        tonic::Status::from_header_map(answer.headers()).map(|status| status.code())
    };
    for method in METHODS {
        assert_ne!(call(format!("/{method}")).await, Some(Code::Unimplemented), "{method}");
    }
    assert_eq!(call("/countersign.v1.TokenService/Nothing".into()).await, Some(Code::Unimplemented));
    assert_eq!(call("/countersign.v1.Nothing/IssueToken".into()).await, Some(Code::Unimplemented));
}

#[test]
fn every_method_of_the_contract_is_listed() {
    let pool = prost_reflect::DescriptorPool::decode(countersign_proto::FILE_DESCRIPTOR_SET).unwrap();
    let services = pool.services().filter(|service| service.full_name().starts_with("countersign.v1."));
    let methods: Vec<_> = services
        .flat_map(|service| {
            service.methods().map(|method| format!("{}/{}", service.full_name(), method.name())).collect::<Vec<_>>()
        })
        .collect();
    assert!(methods.len() > 20, "{methods:?}");
    for method in methods {
        assert!(METHODS.contains(&method.as_str()), "{method} would be logged and counted as another");
    }
}
