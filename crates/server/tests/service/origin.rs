//! Whose word about the person's address counts. Password throttles show which address was taken.

use std::net::SocketAddr;

use countersign_proto::v1::{EndUserContext, IssueTokenRequest, token_service_client::TokenServiceClient};
use countersign_server::{Caller, PeerAddress};
use tonic::Request;

use crate::rig::{Rig, password};

const TOLD: &str = "198.51.100.7";

fn telling(address: &str) -> Request<IssueTokenRequest> {
    let end_user = Some(EndUserContext { address: address.into(), ..EndUserContext::default() });
    let mut request = Request::new(IssueTokenRequest { end_user, ..password() });
    request.extensions_mut().insert(PeerAddress(SocketAddr::from(([192, 0, 2, 1], 4711))));
    request
}

fn counted(rig: &Rig) -> String {
    let buckets = rig.ports.buckets();
    buckets.first().cloned().unwrap_or_default()
}

#[tokio::test]
async fn the_gateway_of_the_process_is_believed() {
    let rig = Rig::new().await;
    rig.refused(telling(TOLD)).await;
    assert_eq!(counted(&rig), format!("password:{TOLD}"));
}

#[tokio::test]
async fn a_gateway_that_proved_its_name_is_believed() {
    let rig = Rig::new().await;
    let mut request = telling(TOLD);
    request.extensions_mut().insert(Caller::InProcessGateway);
    assert!(TokenServiceClient::new(rig.routes.clone()).issue_token(request).await.is_err());
    assert_eq!(counted(&rig), format!("password:{TOLD}"));
}

#[tokio::test]
async fn anybody_else_is_where_their_connection_comes_from() {
    let rig = Rig::new().await;
    let mut request = telling(TOLD);
    for header in ["x-forwarded-for", "x-auth0-forwarded-for", "x-real-ip"] {
        request.metadata_mut().insert(header, TOLD.parse().unwrap());
    }
    assert!(TokenServiceClient::new(rig.routes.clone()).issue_token(request).await.is_err());
    assert_eq!(counted(&rig), "password:192.0.2.1");
}

#[tokio::test]
async fn an_address_that_is_none_counts_for_nothing() {
    let rig = Rig::new().await;
    rig.refused(telling("nonsense")).await;
    assert_eq!(counted(&rig), "password:");
}
