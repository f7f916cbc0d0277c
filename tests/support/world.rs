//! A server, its stores and its time.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use countersign_crypto::keyring::KeyRing;
use countersign_domain::{app::App, testing::ManualClock, time::Timestamp};
use countersign_storage::testing_redis::{RedisServer, RedisServerOptions};
use serde_json::Value;
use tempfile::TempDir;

use crate::{
    api::{Api, Transport},
    dump,
    grpc::Grpc,
    http::Http,
    metrics::Metrics,
    openapi::OpenApi,
    process,
    server::Server,
    tenant::Tenant,
};

/// Where sessions live. The durable store is SQLite always.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Store {
    /// In the durable store.
    Sqlite,
    /// In a Redis of this world's own.
    Redis,
}

/// When worlds begin: some moment that is the first of a time step.
const BEGINNING: Timestamp = Timestamp::from_millis(1_800_000_000_000);

/// The file that messages are written to.
const OUTBOX: &str = "outbox.jsonl";

/// A key-encryption key, of 32 bytes.
const KEK: &str = "a2V5IGVuY3J5cHRpb24ga2V5IG9mIDMyIGJ5dGVzISE=";

/// A server, its stores and its time.
pub struct World {
    folder: PathBuf,
    clock: Arc<ManualClock>,
    redis: Option<RedisServer>,
    tenant: Tenant,
    server: Option<Server>,
    http: Http,
    // Last, so that it goes after everything that has files in it.
    _folder: Option<TempDir>,
}

impl World {
    /// Starts one.
    pub async fn start(store: Store, tenant: Tenant) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let path = folder.path().to_owned();
        Self::start_in(path, Some(folder), store, tenant).await
    }

    /// Starts one whose files are in `folder`, which the caller keeps.
    pub async fn start_at(folder: &Path, store: Store, tenant: Tenant) -> Self {
        Self::start_in(folder.to_owned(), None, store, tenant).await
    }

    async fn start_in(folder: PathBuf, kept: Option<TempDir>, store: Store, tenant: Tenant) -> Self {
        let redis = match store {
            Store::Sqlite => None,
            Store::Redis => Some(RedisServer::start(RedisServerOptions::default())),
        };
        let clock = Arc::new(ManualClock::new(BEGINNING));
        let server = Server::start(&tenant.toml(&places(&folder, redis.as_ref(), &tenant)), clock.clone()).await;
        let http = Http::new(format!("http://{}", server.http())).await;
        Self { folder, clock, redis, tenant, server: Some(server), http, _folder: kept }
    }

    /// Stops the server and starts it again, on the same stores and at the same time.
    pub async fn restart(&mut self) {
        self.stop().await;
        self.try_start_again().await.unwrap_or_else(|error| panic!("the server does not start: {error}"));
    }

    /// Stops the server.
    pub async fn stop(&mut self) {
        if let Some(server) = self.server.take() {
            server.stop().await;
        }
    }

    /// Starts the server that was stopped, unless it does not start: then why.
    pub async fn try_start_again(&mut self) -> Result<(), String> {
        let server = Server::try_start(&self.config(), self.clock.clone()).await?;
        self.http = Http::new(format!("http://{}", server.http())).await;
        self.server = Some(server);
        Ok(())
    }

    /// The same with another configuration.
    pub async fn restart_as(&mut self, tenant: Tenant) {
        self.tenant = tenant;
        self.restart().await;
    }

    /// Another server on the same stores, by the same clock.
    pub async fn another_server(&self) -> Server {
        Server::start(&self.config(), self.clock.clone()).await
    }

    /// The server.
    pub fn server(&self) -> &Server {
        self.server.as_ref().expect("the server runs")
    }

    /// The configuration file.
    pub fn config(&self) -> String {
        self.tenant.toml(&places(&self.folder, self.redis.as_ref(), &self.tenant))
    }

    /// The use cases, as the operator's commands reach them.
    pub fn app(&self) -> &Arc<App> {
        self.server().app()
    }

    /// The signing keys. They are looked after by themselves; who moved the clock may have it done at once.
    pub fn keys(&self) -> &Arc<KeyRing> {
        self.server().keys()
    }

    /// Runs the program beside the server, on its stores, by a clock that begins where the world's is and goes on by itself.
    pub async fn command(&self, arguments: &[&str]) -> process::Ended {
        let file = self.folder.join("countersign.toml");
        let config = self.tenant.toml(&places(&self.folder, self.redis.as_ref(), &self.tenant));
        std::fs::write(&file, config).expect("the folder can be written");
        let file = file.to_str().expect("the path is text");
        process::run_at(self.now(), &self.folder, &[arguments, &["--config", file]].concat()).await
    }

    /// The API over `transport`.
    pub fn api(&self, transport: Transport) -> Api {
        Api::new(transport, self.http.clone(), Grpc::new(self.server().grpc()))
    }

    /// The HTTP client.
    pub fn http(&self) -> &Http {
        &self.http
    }

    /// The `OpenAPI` document.
    pub fn document(&self) -> &OpenApi {
        self.http.document()
    }

    /// The metrics now.
    pub async fn metrics(&self) -> Metrics {
        Metrics::read(self.server().ops()).await
    }

    /// The Redis of this world.
    pub fn redis(&mut self) -> &mut RedisServer {
        self.redis.as_mut().expect("this world has a Redis")
    }

    /// The address of Redis, if this world has one.
    pub fn redis_url(&self) -> Option<String> {
        self.redis.as_ref().map(RedisServer::url)
    }

    /// The SQLite file.
    pub fn database(&self) -> PathBuf {
        self.folder.join("countersign.db")
    }

    /// The messages with codes in the outbox.
    pub fn outbox(&self) -> Vec<Value> {
        self.all_messages().into_iter().filter(|message| message.get("code").is_some()).collect()
    }

    /// Every notice there is to be by now: none waits to be sent any more.
    pub async fn notices(&self) -> Vec<Value> {
        let mut ticks = tokio::time::interval(Duration::from_millis(5));
        loop {
            ticks.tick().await;
            if dump::rows(&self.database(), "outbox") == 0 {
                let notice = |message: &Value| message.get("code").is_none() && message.get("push").is_none();
                return self.all_messages().into_iter().filter(notice).collect();
            }
        }
    }

    /// Everything that was sent.
    pub fn all_messages(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.folder.join(OUTBOX)).unwrap_or_default();
        // A line that is being written has no end yet.
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        whole.lines().map(|line| serde_json::from_str(line).expect("each line is JSON")).collect()
    }

    /// The messages with codes in the outbox, as soon as there are `count`.
    pub async fn messages(&self, count: usize) -> Vec<Value> {
        let mut ticks = tokio::time::interval(Duration::from_millis(5));
        loop {
            ticks.tick().await;
            let messages = self.outbox();
            if messages.len() >= count {
                return messages;
            }
        }
    }

    /// The notifications, as soon as there are `count`.
    pub async fn pushes(&self, count: usize) -> Vec<Value> {
        let mut ticks = tokio::time::interval(Duration::from_millis(5));
        loop {
            ticks.tick().await;
            let pushes: Vec<_> = self.all_messages().into_iter().filter(|m| m.get("push").is_some()).collect();
            if pushes.len() >= count {
                return pushes;
            }
        }
    }

    /// The ids of all messages, sent or waiting.
    pub fn message_ids(&self) -> BTreeSet<String> {
        // What waits first: in between it can only be sent.
        let waiting = dump::waiting(&self.database());
        let sent =
            self.all_messages().into_iter().map(|message| message["id"].as_str().expect("it has an id").to_owned());
        waiting.into_iter().chain(sent).collect()
    }

    /// The code in the newest of `count` messages, as soon as there are so many.
    pub async fn code(&self, count: usize) -> String {
        let messages = self.messages(count).await;
        messages[count - 1]["code"].as_str().expect("the message has a code").to_owned()
    }

    /// The time.
    pub fn now(&self) -> Timestamp {
        use countersign_domain::port::clock::Clock as _;
        self.clock.now()
    }

    /// Moves time forward.
    pub fn advance(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    /// Moves time forward by milliseconds.
    pub fn advance_millis(&self, millis: u64) {
        self.clock.advance(Duration::from_millis(millis));
    }

    /// Moves time to `now`.
    pub fn set_time(&self, now: Timestamp) {
        self.clock.set(now);
    }
}

fn places(folder: &Path, redis: Option<&RedisServer>, tenant: &Tenant) -> String {
    let rotation = tenant.rotation();
    let database = folder.join("countersign.db");
    let sessions = redis.map(|redis| format!("session_url = '{}'\n", redis.url())).unwrap_or_default();
    format!(
        "[grpc]\nlisten = '127.0.0.1:0'\n[http]\nlisten = '127.0.0.1:0'\n[https]\nenabled = false\n\
         [[messages.outbox]]\nname = 'outbox'\npath = '{}'\n\
         [ops]\nlisten = '127.0.0.1:0'\n[storage]\nurl = 'sqlite:{}'\n{sessions}[keys]\nkek = '{KEK}'\nrsa_bits = 2048\n{rotation}",
        folder.join(OUTBOX).display(),
        database.display()
    )
}
