//! A whole server: listeners, stores, and how it stops.
//!
//! Stopping goes in steps: not ready; a while for load balancers to notice; no new connections, and those there are told to
//! finish; whatever is still connected is cut off; at last the calls that were left by their callers end.

mod keys;
mod mark;
mod purge;
pub mod readiness;

use std::{collections::BTreeSet, net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Context as _;
use countersign_crypto::keyring::KeyRing;
use countersign_domain::{
    app::App,
    authenticator::FactorKind,
    phone::Phone,
    port::{clock::Clock, entropy::Entropy},
};
use countersign_server::DEADLINE;
use countersign_telemetry::{Metrics, Telemetry, metrics::label::Listener as Label};
use tokio::{net::TcpListener, sync::watch, task::JoinSet};

use crate::{
    config::{Config, check::Checked},
    listener::{Connections, Listener},
    ops, system,
    tls::{Files, Side},
    wire::{self, Around, Wired},
};

/// The most connections of the ops listener.
const OPS_CONNECTIONS: usize = 64;
/// How long what works beside requests (keys, sweeps) may take longer than those to notice that it is to end.
const BESIDE: Duration = Duration::from_secs(1);
/// How long requests to the ops listener may take at the end.
const OPS_IN_FLIGHT: Duration = Duration::from_secs(1);
/// How long calls of the system may take at the very end.
pub const RUNTIME_ENDS_WITHIN: Duration = Duration::from_secs(1);
/// How long a process may take to stop beyond `shutdown.drain` and `shutdown.in_flight`, at most.
pub const ENDS_WITHIN: Duration =
    BESIDE.saturating_add(OPS_IN_FLIGHT).saturating_add(Telemetry::ENDS_WITHIN).saturating_add(RUNTIME_ENDS_WITHIN);

/// What a server may be given from outside.
#[derive(Default)]
pub struct StartOptions {
    /// The clock; the system's if none.
    pub clock: Option<Arc<dyn Clock>>,
    /// Randomness; the system's if none.
    pub entropy: Option<Arc<dyn Entropy>>,
    /// The metrics; new ones if none.
    pub metrics: Option<Metrics>,
    /// Sockets that are bound already, instead of those the configuration names.
    pub sockets: Sockets,
}

/// Bound sockets.
#[derive(Debug, Default)]
pub struct Sockets {
    /// For gRPC.
    pub grpc: Option<TcpListener>,
    /// For HTTP.
    pub http: Option<TcpListener>,
    /// For HTTPS.
    pub https: Option<TcpListener>,
    /// For health and metrics.
    pub ops: Option<TcpListener>,
}

/// A server that runs. Dropping it ends it at once; [`stop`](Self::stop) ends it well.
pub struct Running {
    /// Where gRPC is, if it is served.
    pub grpc_addr: Option<SocketAddr>,
    /// Where HTTP is, if it is served.
    pub http_addr: Option<SocketAddr>,
    /// Where HTTPS is, if it is served.
    pub https_addr: Option<SocketAddr>,
    /// Where health and metrics are.
    pub ops_addr: SocketAddr,
    /// The application.
    pub app: Arc<App>,
    /// The signing keys. They are looked after; who moves the clock may want it done at once.
    pub keys: Arc<KeyRing>,
    /// The TLS sides of its listeners. They are looked after; who replaces their files may want it noticed at once.
    pub sides: Sides,
    /// What it counts.
    pub metrics: Metrics,
    health: countersign_server::HealthHandle,
    draining: watch::Sender<bool>,
    stopping: watch::Sender<bool>,
    ops_stopping: watch::Sender<bool>,
    tasks: JoinSet<()>,
    ops_task: JoinSet<()>,
    drain: Duration,
    in_flight: Duration,
}

/// The TLS sides of the listeners that have one.
#[derive(Clone)]
pub struct Sides {
    /// Of gRPC.
    pub grpc: Option<Side>,
    /// Of HTTPS.
    pub https: Option<Side>,
}

impl Sides {
    fn of(config: &Checked) -> anyhow::Result<Self> {
        let side = |files: Option<Files>, gateways| files.map(|files| Side::new(files, gateways)).transpose();
        Ok(Self {
            grpc: side(config.grpc.files(), config.gateways())?,
            https: side(config.https.files(), BTreeSet::new())?,
        })
    }
}

/// Starts a server and returns once it accepts.
///
/// # Errors
///
/// Mistakes in the configuration ([`Mistakes`](crate::config::mistake::Mistakes) is in the chain); an address is taken; a store
/// cannot be opened.
pub async fn start(config: Config, options: StartOptions) -> anyhow::Result<Running> {
    start_checked(config.check()?, options).await
}

/// Starts a server whose configuration was checked.
///
/// # Errors
///
/// An address is taken; a store cannot be opened.
pub async fn start_checked(config: Checked, options: StartOptions) -> anyhow::Result<Running> {
    for warning in config.warnings() {
        tracing::warn!("{warning}");
    }
    let StartOptions { clock, entropy, metrics, sockets } = options;
    // Sockets first: who finds the port taken should not have touched the stores.
    let grpc = bound(config.grpc.enabled, sockets.grpc, config.grpc.listen).await?;
    let http = bound(config.http.enabled, sockets.http, config.http.listen).await?;
    let https = bound(config.https.enabled, sockets.https, config.https.listen).await?;
    let ops = bound(true, sockets.ops, config.ops.listen).await?.context("the ops listener is always there")?;
    let sides = Sides::of(&config)?;
    let metrics = metrics.unwrap_or_default();
    let around = Around { clock, entropy, metrics: metrics.clone() };
    let Wired { app, worker, keys, data_keys, fence } =
        wire::wire(&config, wire::Sessions::AsConfigured, around).await?;
    wire::declare_users(&app, &config).await?;

    let (draining, drain_seen) = watch::channel(false);
    let (stopping, stop_seen) = watch::channel(false);
    let (ops_stopping, ops_stop_seen) = watch::channel(false);
    let connections = Connections::new(config.connections.max, config.connections.max_per_address);
    let apis = wire::apis::apis(&app, &config, &metrics).await?;
    let in_flight = config.shutdown.in_flight;
    let mut running = Running {
        grpc_addr: grpc.as_ref().map(TcpListener::local_addr).transpose()?,
        http_addr: http.as_ref().map(TcpListener::local_addr).transpose()?,
        https_addr: https.as_ref().map(TcpListener::local_addr).transpose()?,
        ops_addr: ops.local_addr()?,
        app: Arc::clone(&app),
        keys: Arc::clone(&keys),
        sides: sides.clone(),
        metrics: metrics.clone(),
        health: apis.health,
        draining,
        stopping,
        ops_stopping,
        tasks: JoinSet::new(),
        ops_task: JoinSet::new(),
        drain: config.shutdown.drain,
        in_flight,
    };
    let mut serve = |socket, label, tls, router| {
        let metrics = (metrics.clone(), label);
        let (connections, stopping) = (connections.clone(), stop_seen.clone());
        running.tasks.spawn(Listener { socket, tls, router, connections, metrics, stopping }.run(in_flight));
    };
    if let Some(socket) = grpc {
        serve(socket, Label::Grpc, sides.grpc.clone(), apis.grpc);
    }
    if let Some(socket) = http {
        serve(socket, Label::Http, None, apis.http.clone());
    }
    if let Some(socket) = https {
        serve(socket, Label::Https, sides.https.clone(), apis.http);
    }
    for side in [sides.grpc, sides.https].into_iter().flatten() {
        running.tasks.spawn(side.follow(stop_seen.clone()));
    }
    running.tasks.spawn(worker.run(stop_seen.clone(), in_flight));
    running.tasks.spawn(readiness::follow(Arc::clone(&app), running.health.clone(), stop_seen.clone()));
    if app.registry.factors.iter().any(|kind| matches!(kind, FactorKind::Sms | FactorKind::Voice)) {
        // Not by the first person who enrols a telephone.
        tokio::task::spawn_blocking(Phone::prepare);
    }
    running.tasks.spawn(keys::reread(data_keys, Arc::clone(&keys), metrics.clone(), stop_seen.clone()));
    running.tasks.spawn(keys::rotate(keys, stop_seen.clone()));
    if let Some(keeper) = fence {
        running.tasks.spawn(mark::run(keeper, running.draining.clone(), stop_seen.clone()));
    }
    running.tasks.spawn(purge::run(Arc::clone(&app), stop_seen));
    running.ops_task.spawn(
        Listener {
            socket: ops,
            tls: None,
            router: ops::router(ops::Ops { app, metrics: metrics.clone(), draining: drain_seen }),
            connections: Connections::new(OPS_CONNECTIONS, OPS_CONNECTIONS),
            metrics: (metrics, Label::Ops),
            stopping: ops_stop_seen,
        }
        .run(OPS_IN_FLIGHT),
    );
    Ok(running)
}

async fn bound(enabled: bool, given: Option<TcpListener>, listen: SocketAddr) -> anyhow::Result<Option<TcpListener>> {
    match given {
        _ if !enabled => Ok(None),
        Some(socket) => Ok(Some(socket)),
        None => bind(listen).await.map(Some),
    }
}

/// Binds a socket.
///
/// # Errors
///
/// The address is taken, or is not this machine's.
pub async fn bind(listen: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(listen).await.with_context(|| format!("cannot listen on {listen}"))
}

impl Running {
    /// Stops: says "not ready", waits as configured, lets requests end, closes.
    pub async fn stop(mut self) {
        self.draining.send_replace(true);
        self.health.stop().await;
        system::pause(self.drain).await;
        self.stopping.send_replace(true);
        let ended = async {
            while self.tasks.join_next().await.is_some() {}
            // Those whose callers hung up: what came of them is to be written down.
            self.health.calls_ended().await;
        };
        if tokio::time::timeout(self.in_flight.max(DEADLINE) + BESIDE, ended).await.is_err() {
            tracing::warn!(tasks = self.tasks.len(), "tasks were cut off");
        }
        self.ops_stopping.send_replace(true);
        while self.ops_task.join_next().await.is_some() {}
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::config::{layers, listeners::ShutdownConfig};

    /// The number of seconds behind `key` in a file of `deploy`.
    fn seconds(file: &str, key: &str) -> u64 {
        let text = deployed(file);
        text.lines().find_map(|line| line.trim().strip_prefix(key)).unwrap().trim().parse().unwrap()
    }

    fn deployed(file: &str) -> String {
        std::fs::read_to_string(format!("{}/../../deploy/{file}", env!("CARGO_MANIFEST_DIR"))).unwrap()
    }

    #[test]
    fn nobody_kills_a_server_that_stops_in_its_time() {
        let (config, mistakes) = layers::parse(&deployed("countersign.toml"), &layers::Variables::new());
        assert!(mistakes.as_slice().is_empty(), "{mistakes}");
        let ShutdownConfig { drain, in_flight } = config.shutdown;
        let most = (drain + in_flight + ENDS_WITHIN).as_secs();
        for (file, key) in [
            ("kubernetes/statefulset.yaml", "terminationGracePeriodSeconds:"),
            ("systemd/countersign.service", "TimeoutStopSec="),
        ] {
            assert!(seconds(file, key) > most, "{file}: it may take {most} s");
        }
        assert!(most < 25, "{most} s");
    }
}
