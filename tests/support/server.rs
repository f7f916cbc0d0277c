//! A whole server in this process.

use std::{net::SocketAddr, sync::Arc};

use countersign::{
    config::layers,
    serve::{Running, Sides, StartOptions, start},
};
use countersign_crypto::keyring::KeyRing;
use countersign_domain::{app::App, port::clock::Clock};

/// A server that runs.
pub struct Server {
    running: Running,
}

impl Server {
    /// Starts one with the configuration `toml`.
    pub async fn start(toml: &str, clock: Arc<dyn Clock>) -> Self {
        Self::try_start(toml, clock).await.unwrap_or_else(|error| panic!("the server does not start: {error}"))
    }

    /// The same, unless it does not start: then why.
    pub async fn try_start(toml: &str, clock: Arc<dyn Clock>) -> Result<Self, String> {
        let (config, mistakes) = layers::parse(toml, &layers::Variables::new());
        assert!(mistakes.as_slice().is_empty(), "{mistakes}");
        let options = StartOptions { clock: Some(clock), ..StartOptions::default() };
        let running = start(config, options).await.map_err(|error| format!("{error:#}"))?;
        Ok(Self { running })
    }

    /// The use cases, as the operator's commands reach them.
    pub fn app(&self) -> &Arc<App> {
        &self.running.app
    }

    /// The signing keys.
    pub fn keys(&self) -> &Arc<KeyRing> {
        &self.running.keys
    }

    /// The TLS sides of its listeners.
    pub fn sides(&self) -> &Sides {
        &self.running.sides
    }

    /// Where gRPC is.
    pub fn grpc(&self) -> SocketAddr {
        self.running.grpc_addr.expect("gRPC is on")
    }

    /// Where HTTP is.
    pub fn http(&self) -> SocketAddr {
        self.running.http_addr.expect("HTTP is on")
    }

    /// Where health and metrics are.
    pub fn ops(&self) -> SocketAddr {
        self.running.ops_addr
    }

    /// Stops it well.
    pub async fn stop(self) {
        self.running.stop().await;
    }
}
