//! The demo's configuration.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use super::{certificates::Certificates, people};
use crate::config::{
    Config,
    directory::{ApiConfig, ClientAuthName, ClientConfig, GrantName, RealmConfig, RefreshConfig},
    limits::{CountBy, FactorName},
    messages::{MessagesConfig, OutboxConfig},
    secret::SecretText,
    telemetry::LogFormatName,
};

/// The realm.
pub const REALM: &str = "Username-Password-Authentication";
/// The API.
pub const AUDIENCE: &str = "https://api.example.com";
/// The confidential client.
pub const CONFIDENTIAL: &str = "demo-web";
/// The public native client.
pub const NATIVE: &str = "demo-native";
/// The public client in a browser.
pub const BROWSER: &str = "demo-browser";
/// Where that one's page comes from.
pub const BROWSER_ORIGIN: &str = "http://localhost:3000";
/// The confidential client's secret: signs that break whoever does not encode them.
pub const SECRET: &str = "demo/secret+100%/not-secret";

pub(super) const KEK_FILE: &str = "kek";
/// Where messages to people go.
pub(super) const OUTBOX_FILE: &str = "outbox.jsonl";
/// Where newcomers' telephones may be.
const COUNTRIES: [&str; 18] =
    ["US", "CA", "MX", "BR", "GB", "IE", "DE", "AT", "CH", "FR", "ES", "PT", "IT", "NL", "SE", "IN", "JP", "AU"];

/// What differs from demo to demo.
#[derive(Clone, Debug)]
pub struct Place {
    /// Its folder.
    pub dir: PathBuf,
    /// The port of HTTPS, which is in the issuer.
    pub https_port: u16,
    /// Where sessions live.
    pub redis: Option<String>,
}

/// The durable store of the demo in `dir`.
pub fn store_url(dir: &Path) -> String {
    format!("sqlite:{}", dir.join("countersign.db").display())
}

/// The configuration of the demo at `place`.
pub fn config(place: &Place) -> Config {
    let mut config = Config {
        demo: true,
        issuer: format!("https://localhost:{}/", place.https_port),
        app_name: "countersign demo".to_owned(),
        default_realm: REALM.to_owned(),
        clients: clients(),
        // One algorithm: with another, the key set would list keys that some clients cannot read.
        apis: vec![ApiConfig {
            audience: AUDIENCE.to_owned(),
            scopes: vec!["read:reports".to_owned(), "write:reports".to_owned()],
            allow_offline_access: true,
            ..ApiConfig::default()
        }],
        realms: vec![RealmConfig { name: REALM.to_owned() }],
        users: people::named(),
        ..Config::default()
    };
    let certificates = Certificates::in_dir(&place.dir);
    let outbox = "outbox".to_owned();
    config.messages = MessagesConfig {
        sms: vec![outbox.clone()],
        voice: vec![outbox.clone()],
        email: vec![outbox.clone()],
        push: vec![outbox.clone()],
        countries: COUNTRIES.map(str::to_owned).to_vec(),
        outbox: vec![OutboxConfig { name: outbox, path: place.dir.join(OUTBOX_FILE) }],
        ..MessagesConfig::default()
    };
    config.mfa.factors = FactorName::ALL.to_vec();
    config.https.enabled = true;
    config.https.cert_file = certificates.cert;
    config.https.key_file = certificates.key;
    config.storage.url = store_url(&place.dir);
    config.storage.session_url = SecretText::new(place.redis.clone().unwrap_or_default());
    config.keys.kek_file = place.dir.join(KEK_FILE);
    // Everybody is on loopback, so an address tells nobody apart.
    config.limits.count_by = CountBy::User;
    config.connections.max_per_address = config.connections.max;
    // Whoever tries what happens with 64 at once should see that, and not a full queue.
    config.passwords.queue = 64;
    config.passwords.max_wait = Duration::from_secs(5);
    config.shutdown.drain = Duration::ZERO;
    config.log.format = LogFormatName::Human;
    config
}

fn clients() -> Vec<ClientConfig> {
    let client = |id: &str, name: &str| ClientConfig {
        id: id.to_owned(),
        name: name.to_owned(),
        authentication: ClientAuthName::None,
        grant_types: GrantName::PEOPLE.to_vec(),
        // As at Auth0, so that what comes from there sees nothing new.
        refresh: RefreshConfig { overlap: Duration::ZERO, ..RefreshConfig::default() },
        ..ClientConfig::default()
    };
    vec![
        ClientConfig {
            authentication: ClientAuthName::Secret,
            secrets: vec![SecretText::new(SECRET)],
            trust_forwarded_for: true,
            introspects: vec![AUDIENCE.to_owned()],
            ..client(CONFIDENTIAL, "A server application")
        },
        client(NATIVE, "An app on a phone"),
        ClientConfig { origins: vec![BROWSER_ORIGIN.to_owned()], ..client(BROWSER, "A page in a browser") },
    ]
}
