//! Logins with two RS256 tokens beside health calls, exchanges of refresh tokens, introspection.

use std::time::{Duration, Instant};

use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use crate::{
    deployment::Server,
    load::over_grpc::GrpcClient,
    measure::{Begin, Latencies, Measured, Row, drive},
    people::Pending,
    plan::Plan,
};

/// How often somebody looks whether the server is well, while it signs.
const LOOKS: Duration = Duration::from_millis(10);

/// Second factors of `people`, answered with two RS256 tokens, and the health calls meanwhile, on a connection of their own.
///
/// # Errors
///
/// Something was refused.
pub async fn beside_health_calls(server: &Server, callers: usize, people: Vec<Pending>) -> anyhow::Result<[Row; 2]> {
    let client = GrpcClient::connect(&server.grpc).await?;
    let mut health = HealthClient::new(GrpcClient::connect(&server.grpc).await?.channel);
    let measured = |name, callers| Measured { name, pid: server.pid, callers };
    let logins = measured("second factor, two RS256", callers)
        .closed_loop(people, move |pending| client.clone().for_two_tokens(pending));
    tokio::pin!(logins);
    let begin = Begin::now(server.pid)?;
    let mut latencies = Latencies::new()?;
    let mut tick = tokio::time::interval(LOOKS);
    let logins = loop {
        tokio::select! {
            row = &mut logins => break row?,
            _ = tick.tick() => {}
        }
        // The logins go on on threads of their own while this one waits.
        let start = Instant::now();
        health.check(HealthCheckRequest { service: String::new() }).await?;
        latencies.record(start.elapsed());
    };
    let health = measured("health check beside them", 1).row(&begin.end(latencies.recorded(), latencies)?);
    Ok([logins, health])
}

/// Exchanges of the refresh tokens of `people` in turn, and introspections of their access tokens.
///
/// # Errors
///
/// Something was refused.
pub async fn of_sessions(
    plan: Plan,
    server: &Server,
    callers: usize,
    people: Vec<Pending>,
) -> anyhow::Result<[Row; 2]> {
    let client = GrpcClient::connect(&server.grpc).await?;
    let logging_in = client.clone();
    let log_in = move |pending| logging_in.clone().for_a_refresh_token(pending);
    let (sessions, _) = drive(people, callers, log_in).await?;
    let in_turn: Vec<_> = sessions.into_iter().cycle().take(plan.exchanges).collect();
    let measured = |name| Measured { name, pid: server.pid, callers };
    let asking = client.clone();
    let exchanges =
        measured("refresh, gRPC").closed_loop(in_turn.clone(), move |session| client.clone().refresh(session)).await?;
    let questions =
        measured("introspection, gRPC").closed_loop(in_turn, move |session| asking.clone().introspect(session)).await?;
    Ok([exchanges, questions])
}
