//! Everything in one process on loopback, to try things out: `countersign demo`.
//!
//! The folder keeps what a second start needs: the key-encryption key, the certificates and the database. `demo.json` in it tells
//! programs where everything is; `docs/demo.md` describes it.

pub mod certificates;
pub mod description;
pub mod people;
pub mod settings;
pub mod welcome;

use std::{
    fs::{self, File, OpenOptions},
    io::{ErrorKind, Write as _},
    net::{Ipv4Addr, SocketAddr},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use countersign_crypto::entropy::SystemEntropy;
use countersign_domain::port::entropy::Entropy;
use countersign_telemetry::Metrics;
use data_encoding::BASE64;
use tokio::net::TcpListener;

use self::{certificates::Certificates, description::Description, settings::Place};
use crate::{
    alone::{self, Company},
    serve::{self, Running, Sockets, StartOptions},
};

/// Tells programs where everything is.
const DESCRIPTION_FILE: &str = "demo.json";

/// What a demo may be told.
#[derive(Clone, Debug)]
pub struct DemoOptions {
    /// The folder.
    pub dir: PathBuf,
    /// Numbered users there are to be, besides those with names.
    pub users: u32,
    /// Where sessions live; the folder's database if none.
    pub redis: Option<String>,
    /// Port of HTTPS; 0 for any.
    pub https_port: u16,
    /// Port of HTTP; 0 for any.
    pub http_port: u16,
    /// Port of gRPC; 0 for any.
    pub grpc_port: u16,
    /// Port of health and metrics; 0 for any.
    pub ops_port: u16,
}

impl Default for DemoOptions {
    fn default() -> Self {
        Self {
            dir: PathBuf::from("countersign-demo"),
            users: 10,
            redis: None,
            https_port: 8443,
            http_port: 8080,
            grpc_port: 50_051,
            ops_port: 9090,
        }
    }
}

/// Takes the folder and the database in it for one demo, for as long as the answer lives, and removes what the last one said of where it is.
///
/// # Errors
///
/// Another demo runs in it; it cannot be written.
pub fn take(dir: &Path) -> anyhow::Result<[File; 2]> {
    let dir = folder(dir)?;
    let busy = format!("another demo runs in {}", dir.display());
    let folder = alone::at(&dir.join("demo.lock"), Company::Alone, &busy)?;
    let store = alone::at_store(&settings::store_url(&dir), Company::Alone)?;
    match fs::remove_file(dir.join(DESCRIPTION_FILE)) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {DESCRIPTION_FILE} of an earlier start"))
        }
        _ => Ok([folder, store]),
    }
}

/// Starts a demo and writes its description.
///
/// # Errors
///
/// The folder cannot be written; a port is taken; Redis does not answer.
pub async fn start(options: &DemoOptions, metrics: Metrics) -> anyhow::Result<(Running, Description)> {
    start_on(bind(options).await?, options, metrics).await
}

/// Takes the ports of a demo.
///
/// # Errors
///
/// One of them is taken; it says by which option another can be chosen.
pub async fn bind(options: &DemoOptions) -> anyhow::Result<Sockets> {
    Ok(Sockets {
        grpc: Some(listen(options.grpc_port, "--grpc-port").await?),
        http: Some(listen(options.http_port, "--http-port").await?),
        https: Some(listen(options.https_port, "--https-port").await?),
        ops: Some(listen(options.ops_port, "--ops-port").await?),
    })
}

/// Starts a demo on ports that were taken for it, and writes its description.
///
/// # Errors
///
/// The folder cannot be written; Redis does not answer.
pub async fn start_on(
    sockets: Sockets,
    options: &DemoOptions,
    metrics: Metrics,
) -> anyhow::Result<(Running, Description)> {
    let dir = folder(&options.dir)?;
    keep_key(&dir)?;
    let certificates = Certificates::keep(&dir)?;
    let https_port = sockets.https.as_ref().context("bound above")?.local_addr()?.port();
    let config = settings::config(&Place { dir: dir.clone(), https_port, redis: options.redis.clone() });
    let running =
        serve::start(config, StartOptions { metrics: Some(metrics), sockets, ..StartOptions::default() }).await?;
    people::add_numbered(&running.app, options.users).await?;
    let outbox = dir.join(settings::OUTBOX_FILE);
    let description = Description::new(&running, &certificates.ca, &outbox, options.users)?;
    description.write(&dir.join(DESCRIPTION_FILE))?;
    Ok((running, description))
}

/// The port of HTTPS of the demo in `dir`, as it said when it started last; the one that demos have by themselves if it has yet to say.
///
/// # Errors
///
/// What it said cannot be read.
pub fn https_port(dir: &Path) -> anyhow::Result<u16> {
    let path = dir.join(DESCRIPTION_FILE);
    match fs::read(&path) {
        Ok(said) => description::https_port(&said).with_context(|| format!("{} is damaged", path.display())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(DemoOptions::default().https_port),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

/// Makes the folder, for its owner alone, and answers its full path.
fn folder(dir: &Path) -> anyhow::Result<PathBuf> {
    use std::os::unix::fs::DirBuilderExt as _;
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .and_then(|()| dir.canonicalize())
        .with_context(|| format!("cannot make {}", dir.display()))
}

async fn listen(port: u16, option: &str) -> anyhow::Result<TcpListener> {
    let socket = serve::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await;
    socket.with_context(|| format!("{option} names a port that cannot be had (0: any that is free)"))
}

/// Makes a key-encryption key if there is none.
fn keep_key(dir: &Path) -> anyhow::Result<()> {
    let path = dir.join(settings::KEK_FILE);
    if path.exists() {
        return Ok(());
    }
    let mut key = zeroize::Zeroizing::new([0; 32]);
    SystemEntropy::new().fill(key.as_mut_slice())?;
    write_private(&path, zeroize::Zeroizing::new(BASE64.encode(key.as_slice())).as_bytes())
}

/// Writes a file that its owner alone may read, whole or not at all.
pub(crate) fn write_private(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    let staged = path.with_extension("new");
    let write = || {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&staged)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&staged, path)
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests;
