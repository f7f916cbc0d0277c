//! What is measured: a server in a process of its own, its folder, and a Redis.

use std::{
    fs::{self, File},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use data_encoding::HEXLOWER;
use tokio::process::{Child, Command};

use crate::process;

/// The realm of everybody.
pub const REALM: &str = "people";
/// The API of all tokens; its access tokens are ES256.
pub const AUDIENCE: &str = "https://api.bench.example/";
/// An API whose access tokens are RS256, as ID tokens are.
pub const RS256_AUDIENCE: &str = "https://rs256.bench.example/";
/// The scope of both. It is asked for by name, so that `openid` is not granted and no ID token is made.
pub const SCOPE: &str = "read:things";
/// The client.
pub const CLIENT: &str = "bench";
/// Its secret.
pub const CLIENT_SECRET: &str = "a secret of a benchmark";

/// How long a process may take to answer or to end.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a deployment has besides the embedded store.
#[derive(Clone, Copy, Debug)]
pub enum Extra<'a> {
    /// Nothing.
    Nothing,
    /// Sessions in the Redis at this URL.
    Redis(&'a str),
    /// Text messages and notifications, which go to a webhook here. No budget ends while it is measured.
    Webhook(SocketAddr),
}

fn text_messages(address: SocketAddr) -> String {
    let budgets = ["phone", "destination", "prefix", "country", "deployment", "unproven", "push", "push_unanswered"];
    let budgets: String =
        budgets.map(|name| format!("[limits.sends.{name}]\ncapacity = 1000000\nrefill = '1ms'\n")).concat();
    format!(
        "[mfa]\nfactors = ['otp', 'sms', 'push']\n{budgets}[messages]\nsms = ['hook']\npush = ['hook']\ncountries = ['US']\n\
         [[messages.webhook]]\nname = 'hook'\nurl = 'http://{address}/'\nsecrets = ['{CLIENT_SECRET}, and it is longer']\n"
    )
}

/// A server's configuration file and where it will be.
#[derive(Clone, Debug)]
pub struct Deployment {
    /// The file.
    pub config: PathBuf,
    grpc: SocketAddr,
    http: SocketAddr,
    ops: SocketAddr,
}

impl Deployment {
    /// Writes `dir/{name}.toml`. All deployments of a folder share its durable store and its key.
    ///
    /// # Errors
    ///
    /// The folder cannot be written; there is no free port.
    pub fn write(dir: &Path, name: &str, extra: Extra<'_>) -> anyhow::Result<Self> {
        let key = dir.join("kek");
        if !key.exists() {
            let mut bytes = [0; 32];
            aws_lc_rs::rand::fill(&mut bytes).context("no randomness")?;
            fs::write(&key, HEXLOWER.encode(&bytes))?;
        }
        let (grpc, http, ops) = (free_port()?, free_port()?, free_port()?);
        let (session, messages) = match extra {
            Extra::Nothing => (String::new(), String::new()),
            Extra::Redis(url) => (format!("session_url = '{url}'"), String::new()),
            Extra::Webhook(address) => (String::new(), text_messages(address)),
        };
        let (store, key) = (dir.join("countersign.db"), key.display().to_string());
        let config = dir.join(format!("{name}.toml"));
        let text = format!(
            "issuer = 'https://id.bench.example/'\ndefault_realm = '{REALM}'\n\
             [grpc]\nlisten = '{grpc}'\n[http]\nlisten = '{http}'\n[ops]\nlisten = '{ops}'\n\
             [storage]\nurl = 'sqlite:{store}'\n{session}\n[keys]\nkek_file = '{key}'\n\
             [passwords]\nqueue = 64\nmax_wait = '10s'\n[limits]\nmfa_token_lifetime = '1h'\n[shutdown]\ndrain = '0s'\n\
             [[realms]]\nname = '{REALM}'\n\
             [[apis]]\naudience = '{AUDIENCE}'\nscopes = ['{SCOPE}']\nalgorithm = 'ES256'\nallow_offline_access = true\n\
             [[apis]]\naudience = '{RS256_AUDIENCE}'\nscopes = ['{SCOPE}']\n\
             [[clients]]\nid = '{CLIENT}'\nsecrets = ['{CLIENT_SECRET}']\nintrospects = ['{AUDIENCE}']\n\
             grant_types = ['password', 'mfa-otp', 'mfa-oob', 'refresh_token']\n\
             {messages}",
            store = store.display()
        );
        fs::write(&config, text).context("cannot write the configuration")?;
        Ok(Self { config, grpc, http, ops })
    }

    /// Starts the server, and waits until it is ready and at rest. The time until it was ready is the answer too.
    ///
    /// # Errors
    ///
    /// The binary is not there; the server ends or does not get ready. Its log is `{name}.log` beside the configuration.
    pub async fn start(&self, binary: &Path) -> anyhow::Result<(Server, Duration)> {
        let log_path = self.config.with_extension("log");
        let log = File::options().create(true).append(true).open(&log_path)?;
        let start = Instant::now();
        let mut process = Command::new(binary)
            .args(["serve", "--config"])
            .arg(&self.config)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {}", binary.display()))?;
        let http = reqwest::Client::builder().no_proxy().build()?;
        let ready = format!("http://{}/readyz", self.ops);
        let mut tick = tokio::time::interval(Duration::from_millis(1));
        loop {
            tick.tick().await;
            if http.get(&ready).send().await.is_ok_and(|answer| answer.status().is_success()) {
                break;
            }
            if let Some(status) = process.try_wait()? {
                bail!("the server ended with {status}; {} says why", log_path.display());
            }
            if start.elapsed() > PATIENCE {
                bail!("the server does not get ready; {} may say why", log_path.display());
            }
        }
        let took = start.elapsed();
        let pid = process.id().context("the server has ended")?;
        process::at_rest(pid).await?;
        Ok((
            Server { process, pid, grpc: format!("http://{}", self.grpc), http: format!("http://{}", self.http) },
            took,
        ))
    }
}

/// A server that runs. Dropping it ends it at once.
pub struct Server {
    process: Child,
    /// Its process.
    pub pid: u32,
    /// Where gRPC is.
    pub grpc: String,
    /// Where HTTP is.
    pub http: String,
}

impl Server {
    /// Asks it to end, and waits until it has.
    ///
    /// # Errors
    ///
    /// It does not end.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        Command::new("kill").arg(self.pid.to_string()).status().await.context("cannot signal the server")?;
        tokio::time::timeout(PATIENCE, self.process.wait()).await.context("the server does not end")??;
        Ok(())
    }
}

/// A Redis of the benchmark's own, without persistence. Dropping it ends it.
pub struct Redis {
    _process: Child,
    /// Its URL.
    pub url: String,
}

impl Redis {
    /// Starts one; `None` if `redis-server` is not installed.
    ///
    /// # Errors
    ///
    /// It does not answer.
    pub async fn start(dir: &Path) -> anyhow::Result<Option<Self>> {
        let port = free_port()?.port().to_string();
        let spawned = Command::new("redis-server")
            .args(["--port", &port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
            .args(["--maxmemory-policy", "noeviction", "--dir"])
            .arg(dir)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn();
        let process = match spawned {
            Ok(process) => process,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).context("cannot start redis-server"),
        };
        let url = format!("redis://127.0.0.1:{port}");
        let client = redis::Client::open(url.as_str())?;
        let start = Instant::now();
        let mut tick = tokio::time::interval(Duration::from_millis(5));
        while client.get_multiplexed_async_connection().await.is_err() {
            anyhow::ensure!(start.elapsed() < PATIENCE, "redis-server does not answer");
            tick.tick().await;
        }
        Ok(Some(Self { _process: process, url }))
    }
}

/// A loopback address with a port nobody has now.
///
/// # Errors
///
/// There is none.
pub fn free_port() -> anyhow::Result<SocketAddr> {
    let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port")?;
    Ok(socket.local_addr()?)
}
