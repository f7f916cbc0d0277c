//! A gRPC call that does nothing (a health check, without request and answer to speak of), over HTTP/2 on loopback.
//!
//! The server is a process of its own with nothing of ours in it, so that the yardstick does not hold what it measures.

use std::net::Ipv4Addr;

use anyhow::Context as _;
use tokio::net::TcpListener;
use tonic::transport::{Channel, Server, server::TcpIncoming};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use crate::measure::{Measured, Row};

/// Serves health checks on `port`, until the process is ended.
///
/// # Errors
///
/// The port is taken.
pub async fn serve(port: u16) -> anyhow::Result<()> {
    let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.context("the port is taken")?;
    let (_reporter, health) = tonic_health::server::health_reporter();
    // As any server has it: small answers that wait for company and for the other end's acknowledgement are cheap, and 40 ms late.
    let incoming = TcpIncoming::from(socket).with_nodelay(Some(true));
    Server::builder().add_service(health).serve_with_incoming(incoming).await?;
    Ok(())
}

/// Measures `operations` health checks of the server behind `channel`.
///
/// # Errors
///
/// The server does not answer.
pub async fn health_checks(measured: Measured, channel: Channel, operations: usize) -> anyhow::Result<Row> {
    let client = HealthClient::new(channel);
    measured
        .closed_loop(vec![(); operations], move |()| {
            let mut client = client.clone();
            async move {
                client.check(HealthCheckRequest { service: String::new() }).await?;
                Ok(())
            }
        })
        .await
}
