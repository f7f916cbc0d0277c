//! `demo.json`: where everything is, for programs. Its shape is documented in `docs/demo.md` and only grows.

use std::path::Path;

use anyhow::Context as _;
use serde::Serialize;

use super::{
    people,
    settings::{AUDIENCE, BROWSER, BROWSER_ORIGIN, CONFIDENTIAL, NATIVE, REALM, SECRET},
    write_private,
};
use crate::serve::Running;

/// What `demo.json` says.
#[derive(Clone, Debug, Serialize)]
pub struct Description {
    /// The issuer, as tokens say it: `https_url` with a slash.
    pub issuer: String,
    /// Base of the HTTP API over TLS, without a slash at its end.
    pub https_url: String,
    /// Base of the HTTP API without TLS, without a slash at its end.
    pub http_url: String,
    /// Host and port of gRPC, without TLS.
    pub grpc_addr: String,
    /// Host and port of health and metrics.
    pub ops_addr: String,
    /// The authority to trust, a PEM file.
    pub ca_file: String,
    /// The realm.
    pub realm: String,
    /// The API.
    pub audience: String,
    /// The clients.
    pub clients: Vec<DemoClient>,
    /// The users.
    pub users: Vec<DemoUser>,
    /// Where messages to people go, a JSON-lines file.
    pub outbox: String,
}

/// A client.
#[derive(Clone, Debug, Serialize)]
pub struct DemoClient {
    /// `confidential`, `native` or `browser`.
    pub kind: &'static str,
    /// Its `client_id`.
    pub id: &'static str,
    /// Its secret, or null.
    pub secret: Option<&'static str>,
    /// Origins whose pages may call.
    pub origins: Vec<&'static str>,
}

/// A user.
#[derive(Clone, Debug, Serialize)]
pub struct DemoUser {
    /// Their username.
    pub username: String,
    /// Their password.
    pub password: &'static str,
    /// Their address.
    pub email: String,
}

impl Description {
    pub(super) fn new(running: &Running, ca: &Path, outbox: &Path, numbered: u32) -> anyhow::Result<Self> {
        let https = running.https_addr.context("the demo serves HTTPS")?;
        let http = running.http_addr.context("the demo serves HTTP")?;
        let https_url = format!("https://localhost:{}", https.port());
        Ok(Self {
            issuer: format!("{https_url}/"),
            https_url,
            http_url: format!("http://localhost:{}", http.port()),
            grpc_addr: running.grpc_addr.context("the demo serves gRPC")?.to_string(),
            ops_addr: running.ops_addr.to_string(),
            ca_file: ca.display().to_string(),
            realm: REALM.to_owned(),
            audience: AUDIENCE.to_owned(),
            clients: clients(),
            users: people::everybody(numbered)
                .into_iter()
                .map(|person| DemoUser { username: person.username, password: person.password, email: person.email })
                .collect(),
            outbox: outbox.display().to_string(),
        })
    }

    pub(super) fn write(&self, path: &Path) -> anyhow::Result<()> {
        let mut text = serde_json::to_vec_pretty(self)?;
        text.push(b'\n');
        write_private(path, &text)
    }
}

/// The port of HTTPS that a written description says.
pub(super) fn https_port(said: &[u8]) -> anyhow::Result<u16> {
    let said: serde_json::Value = serde_json::from_slice(said)?;
    let url = said.get("https_url").and_then(serde_json::Value::as_str).context("it has no https_url")?;
    let (_, port) = url.rsplit_once(':').context("its https_url has no port")?;
    port.parse().context("the port of its https_url is no number")
}

fn clients() -> Vec<DemoClient> {
    vec![
        DemoClient { kind: "confidential", id: CONFIDENTIAL, secret: Some(SECRET), origins: Vec::new() },
        DemoClient { kind: "native", id: NATIVE, secret: None, origins: Vec::new() },
        DemoClient { kind: "browser", id: BROWSER, secret: None, origins: vec![BROWSER_ORIGIN] },
    ]
}
