//! Whether a configuration makes sense, and the secrets that it keeps elsewhere.

mod directory;
pub mod messages;

use std::{
    collections::BTreeMap,
    ops::{Deref, RangeInclusive},
    path::Path,
    sync::Arc,
    time::Duration,
};

use countersign_crypto::{client_keys::ClientKeys, master_key::MasterKey, password::HashParams};
use countersign_domain::{
    client::MAX_SECRET_CHARS,
    id::ClientId,
    password_rule::{LONGEST_REQUIRED, SHORTEST},
    secret::Secret,
    signing_key::KEY_SET_CACHED,
};
use url::{Host, Url};

use self::messages::Delivery;
use super::{Config, mistake::Mistakes, secret::SecretText};
use crate::tls::{self, Files};

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(86_400);

/// Lifetimes of tokens that are accepted.
const TOKEN_LIFETIME: RangeInclusive<Duration> = MINUTE..=Duration::from_secs(30 * 86_400);

/// A configuration that makes sense, with its secrets read.
#[derive(Clone, Debug)]
pub struct Checked {
    config: Config,
    /// The key-encryption key, as text.
    pub kek: Secret<String>,
    /// Where Redis is, if sessions live there.
    pub session_url: Option<Secret<String>>,
    /// The secrets of each client that has any.
    pub client_secrets: BTreeMap<ClientId, Vec<Secret<String>>>,
    /// The public keys of each client that has any.
    pub client_keys: BTreeMap<ClientId, Arc<ClientKeys>>,
    /// How messages leave.
    pub delivery: Delivery,
}

impl Deref for Checked {
    type Target = Config;

    fn deref(&self) -> &Config {
        &self.config
    }
}

impl Config {
    /// Checks everything, reads the files it names, and fills in what follows from other settings.
    ///
    /// # Errors
    ///
    /// All mistakes.
    pub fn check(mut self) -> Result<Checked, Mistakes> {
        let mut mistakes = Mistakes::new();
        self.check_issuer(&mut mistakes);
        self.check_listeners(&mut mistakes);
        self.check_passwords(&mut mistakes);
        self.check_limits(&mut mistakes);
        self.check_profile(&mut mistakes);
        self.check_directory(&mut mistakes);
        mistakes.add_if(
            // A colon in front: what other programs call a database that is in no file.
            self.storage
                .url
                .strip_prefix("sqlite:")
                .is_none_or(|path| path.trim_start_matches('/').is_empty() || path.starts_with(':')),
            "storage.url",
            "must be sqlite: and the path of a file",
        );
        mistakes.add_if(
            self.otlp.enabled && !Url::parse(&self.otlp.endpoint).is_ok_and(|url| url.scheme() == "http"),
            "otlp.endpoint",
            "must be an http URL, such as http://localhost:4317",
        );
        self.check_keys(&mut mistakes);
        let kek = self.read_kek(&mut mistakes);
        let session_url = self.read_session_url(&mut mistakes);
        let client_secrets = self.read_client_secrets(&mut mistakes);
        let client_keys = self.read_client_keys(&mut mistakes);
        let delivery = self.check_messages(&mut mistakes);
        mistakes.or(Checked { config: self, kek, session_url, client_secrets, client_keys, delivery })
    }

    fn check_issuer(&mut self, mistakes: &mut Mistakes) {
        let wrong = match Url::parse(&self.issuer) {
            Err(_) if self.issuer.is_empty() => {
                Some("is needed: the URL of this deployment, such as https://login.example.com/")
            }
            Err(_) => Some("must be a URL, such as https://login.example.com/"),
            Ok(url) if url.scheme() == "http" && !is_loopback(&url) => {
                Some("must be https; http is allowed on loopback only")
            }
            Ok(url) if !matches!(url.scheme(), "https" | "http") => Some("must be an https URL"),
            Ok(url) if url.query().is_some() || url.fragment().is_some() => Some("must have no query and no fragment"),
            Ok(url) if !url.username().is_empty() || url.password().is_some() => {
                Some("must have no user and no password")
            }
            Ok(_) if !self.issuer.ends_with('/') => Some("must end in a slash"),
            Ok(url) if url.path() != "/" => Some("must have no path: what it serves has fixed places"),
            Ok(url) if url.as_str() != self.issuer => Some("must be in canonical form: small letters, no default port"),
            Ok(url) => {
                if self.app_name.is_empty() {
                    url.domain().unwrap_or("countersign").clone_into(&mut self.app_name);
                }
                None
            }
        };
        if let Some(what) = wrong {
            mistakes.add("issuer", what);
        }
        mistakes.add_if(
            self.app_name.chars().count() > 64 || self.app_name.chars().any(|c| c.is_control() || c == ':'),
            "app_name",
            "must be at most 64 characters without colons and control characters",
        );
    }

    fn check_listeners(&self, mistakes: &mut Mistakes) {
        let served = self.grpc.enabled || self.http.enabled || self.https.enabled;
        mistakes.add_if(!served, "grpc.enabled", "nothing is served: enable grpc, http or https");
        let mut ports = BTreeMap::new();
        for (path, enabled, listen) in [
            ("grpc.listen", self.grpc.enabled, self.grpc.listen),
            ("http.listen", self.http.enabled, self.http.listen),
            ("https.listen", self.https.enabled, self.https.listen),
            ("ops.listen", true, self.ops.listen),
        ] {
            if enabled
                && listen.port() != 0
                && let Some(other) = ports.insert(listen, path)
            {
                mistakes.add(path, format!("is the address of {other} too"));
            }
        }
        let tls = &self.grpc.tls;
        if let Some(files) = self.grpc.files() {
            check_tls("grpc.tls", &files, mistakes);
        }
        if let Some(files) = self.https.files() {
            check_tls("https", &files, mistakes);
        }
        let authorities = !tls.client_ca_file.as_os_str().is_empty();
        mistakes.add_if(authorities && !tls.enabled, "grpc.tls.client_ca_file", "needs grpc.tls.enabled");
        mistakes.add_if(!authorities && !tls.gateways.is_empty(), "grpc.tls.gateways", "need grpc.tls.client_ca_file");
        mistakes.add_if(self.connections.max == 0, "connections.max", "must be at least 1");
        mistakes.add_if(self.connections.max_per_address == 0, "connections.max_per_address", "must be at least 1");
        within("shutdown.drain", self.shutdown.drain, &(Duration::ZERO..=Duration::from_secs(300)), mistakes);
        within("shutdown.in_flight", self.shutdown.in_flight, &(Duration::ZERO..=Duration::from_secs(300)), mistakes);
    }

    fn check_passwords(&self, mistakes: &mut Mistakes) {
        let passwords = &self.passwords;
        mistakes.add_if(passwords.threads > 256, "passwords.threads", "must be at most 256");
        mistakes.add_if(passwords.queue > 65_536, "passwords.queue", "must be at most 65536");
        mistakes.add_if(
            !(SHORTEST..=LONGEST_REQUIRED).contains(&passwords.min_length),
            "passwords.min_length",
            format!("must be {SHORTEST} to {LONGEST_REQUIRED}"),
        );
        within("passwords.max_wait", passwords.max_wait, &(Duration::from_millis(1)..=MINUTE), mistakes);
        match HashParams::new(passwords.memory_kib, passwords.passes, passwords.lanes) {
            Err(error) => mistakes.add("passwords.memory_kib", error.to_string()),
            Ok(params) => mistakes.add_if(
                !params.is_strong_enough(),
                "passwords.memory_kib",
                "with passwords.passes must be at least 12288 and 3, 19456 and 2, or 47104 and 1 (OWASP ASVS 5.0, 11.4.2)",
            ),
        }
    }

    fn check_keys(&self, mistakes: &mut Mistakes) {
        let keys = &self.keys;
        mistakes.add_if(!matches!(keys.rsa_bits, 2048 | 3072), "keys.rsa_bits", "must be 2048 or 3072");
        within("keys.rotation_age", keys.rotation_age, &(DAY..=DAY * 3650), mistakes);
        // Twice what anybody may keep the key set for.
        within("keys.next_lead", keys.next_lead, &(KEY_SET_CACHED * 2..=DAY * 30), mistakes);
        mistakes.add_if(keys.next_lead > keys.rotation_age, "keys.next_lead", "must be at most keys.rotation_age");
    }

    fn check_limits(&self, mistakes: &mut Mistakes) {
        let limits = &self.limits;
        within("limits.mfa_token_lifetime", limits.mfa_token_lifetime, &(MINUTE..=MINUTE * 60), mistakes);
        within("limits.userinfo_token_lifetime", limits.userinfo_token_lifetime, &TOKEN_LIFETIME, mistakes);
        within("limits.oob_code_lifetime", limits.oob_code_lifetime, &(MINUTE * 2..=MINUTE * 10), mistakes);
        within("limits.management_max_age", limits.management_max_age, &(MINUTE..=MINUTE * 60), mistakes);
        for (name, limit, most) in [
            ("factor_failures", limits.factor_failures.limit(), 100),
            ("password_failures", limits.password_failures.limit(), 100),
            ("password_rate", limits.password_rate.limit(), 1_000_000),
            ("userinfo_rate", limits.userinfo_rate.limit(), 1_000_000),
            ("sends.phone", limits.sends.phone.limit(), 1_000_000),
            ("sends.email", limits.sends.email.limit(), 1_000_000),
            ("sends.push", limits.sends.push.limit(), 1_000_000),
            ("sends.push_unanswered", limits.sends.push_unanswered.limit(), 1_000_000),
            ("sends.destination", limits.sends.destination.limit(), 1_000_000),
            ("sends.prefix", limits.sends.prefix.limit(), 1_000_000),
            ("sends.country", limits.sends.country.limit(), 1_000_000),
            ("sends.deployment", limits.sends.deployment.limit(), 1_000_000),
            ("sends.unproven", limits.sends.unproven.limit(), 1_000_000),
        ] {
            mistakes.add_if(
                !(1..=most).contains(&limit.capacity),
                format!("limits.{name}.capacity"),
                format!("must be 1 to {most}"),
            );
            within(&format!("limits.{name}.refill"), limit.refill, &(Duration::from_millis(1)..=DAY * 365), mistakes);
        }
        mistakes.add_if(limits.otp_window.behind > 2, "limits.otp_window.behind", "must be 0 to 2");
        mistakes.add_if(limits.otp_window.ahead > 2, "limits.otp_window.ahead", "must be 0 to 2");
    }

    fn read_kek(&self, mistakes: &mut Mistakes) -> Secret<String> {
        let kek = one_secret(("keys.kek", &self.keys.kek), ("keys.kek_file", &self.keys.kek_file), mistakes);
        match &kek {
            Ok(None) => mistakes.add(
                "keys.kek",
                "is needed, or keys.kek_file: there is no start without a key-encryption key (openssl rand -base64 32)",
            ),
            Ok(Some(text)) => {
                if let Err(error) = MasterKey::parse(text.expose()) {
                    let path = if self.keys.kek.is_empty() { "keys.kek_file" } else { "keys.kek" };
                    mistakes.add(path, error.to_string());
                }
            }
            Err(()) => {}
        }
        kek.ok().flatten().unwrap_or_else(|| Secret::new(String::new()))
    }

    fn read_session_url(&self, mistakes: &mut Mistakes) -> Option<Secret<String>> {
        let storage = &self.storage;
        let url = one_secret(
            ("storage.session_url", &storage.session_url),
            ("storage.session_url_file", &storage.session_url_file),
            mistakes,
        )
        .ok()
        .flatten();
        if let Some(url) = &url {
            let good = Url::parse(url.expose())
                .is_ok_and(|url| matches!(url.scheme(), "redis" | "rediss") && url.host().is_some());
            mistakes.add_if(!good, "storage.session_url", "must be redis:// or rediss:// and a host");
        }
        let ca = &storage.redis_ca_file;
        if !ca.as_os_str().is_empty()
            && let Err(error) = tls::certificates(ca)
        {
            mistakes.add("storage.redis_ca_file", format!("{error:#}"));
        }
        url
    }

    fn read_client_keys(&self, mistakes: &mut Mistakes) -> BTreeMap<ClientId, Arc<ClientKeys>> {
        let mut all = BTreeMap::new();
        for (index, client) in self.clients.iter().enumerate() {
            let mut texts: Vec<(String, String)> = Vec::new();
            for (number, text) in client.keys.iter().enumerate() {
                texts.push((format!("clients[{index}].keys[{number}]"), text.clone()));
            }
            for (number, path) in client.key_files.iter().enumerate() {
                let place = format!("clients[{index}].key_files[{number}]");
                match std::fs::read_to_string(path) {
                    Ok(text) => texts.push((place, text)),
                    Err(error) => mistakes.add(place, format!("cannot read the file: {error}")),
                }
            }
            for (place, text) in &texts {
                if let Err(error) = ClientKeys::parse([text.as_str()]) {
                    mistakes.add(place.as_str(), error.to_string());
                }
            }
            if let (false, Ok(keys)) =
                (texts.is_empty(), ClientKeys::parse(texts.iter().map(|(_, text)| text.as_str())))
            {
                all.insert(ClientId::new(client.id.as_str()), Arc::new(keys));
            }
        }
        all
    }

    fn read_client_secrets(&self, mistakes: &mut Mistakes) -> BTreeMap<ClientId, Vec<Secret<String>>> {
        let mut all = BTreeMap::new();
        for (index, client) in self.clients.iter().enumerate() {
            let mut secrets: Vec<_> = client.secrets.iter().map(|secret| secret.secret().clone()).collect();
            mistakes.add_if(
                !client.secrets.is_empty() && !client.secret_files.is_empty(),
                format!("clients[{index}].secrets"),
                "are given here and in files; use one of them",
            );
            for (file, path) in client.secret_files.iter().enumerate() {
                match read_secret(path) {
                    Ok(secret) => secrets.push(secret),
                    Err(error) => mistakes.add(format!("clients[{index}].secret_files[{file}]"), error),
                }
            }
            for (number, secret) in secrets.iter().enumerate() {
                mistakes.add_if(
                    !(16..=MAX_SECRET_CHARS).contains(&secret.expose().chars().count()),
                    format!("clients[{index}].secrets[{number}]"),
                    format!("must have 16 to {MAX_SECRET_CHARS} characters"),
                );
            }
            if !secrets.is_empty() {
                all.insert(ClientId::new(client.id.as_str()), secrets);
            }
        }
        all
    }
}

/// The secret that is given by value or by file. `Err`: a mistake is noted.
fn one_secret(
    value: (&str, &SecretText),
    file: (&str, &Path),
    mistakes: &mut Mistakes,
) -> Result<Option<Secret<String>>, ()> {
    let by_file = !file.1.as_os_str().is_empty();
    if !value.1.is_empty() && by_file {
        mistakes.add(value.0, format!("is given here and in {}; use one of them", file.0));
        return Err(());
    }
    if by_file {
        return read_secret(file.1).map(Some).map_err(|error| mistakes.add(file.0, error));
    }
    Ok((!value.1.is_empty()).then(|| value.1.secret().clone()))
}

/// The text of a file, without the line end. What is wrong does not name the file: somebody may have put the secret there itself.
fn read_secret(path: &Path) -> Result<Secret<String>, String> {
    let text =
        std::fs::read_to_string(path).map(Secret::new).map_err(|error| format!("cannot read the file: {error}"))?;
    let secret = text.expose().trim_end_matches(['\r', '\n']);
    if secret.is_empty() {
        return Err("the file is empty".to_owned());
    }
    Ok(Secret::new(secret.to_owned()))
}

fn check_tls(path: &str, files: &Files, mistakes: &mut Mistakes) {
    let missing = |file: &Path| file.as_os_str().is_empty();
    if missing(&files.cert) || missing(&files.key) {
        mistakes.add_if(missing(&files.cert), format!("{path}.cert_file"), "is needed");
        mistakes.add_if(missing(&files.key), format!("{path}.key_file"), "is needed");
    } else if let Err(error) = files.load() {
        mistakes.add(format!("{path}.cert_file"), format!("{error:#}"));
    }
}

fn within(path: &str, value: Duration, range: &RangeInclusive<Duration>, mistakes: &mut Mistakes) {
    mistakes.add_if(
        !range.contains(&value),
        path,
        format!("must be {} to {}", shown(*range.start()), shown(*range.end())),
    );
}

pub(super) fn shown(duration: Duration) -> String {
    let (secs, millis) = (duration.as_secs(), duration.subsec_millis());
    match secs {
        0 => format!("{millis}ms"),
        _ if secs % 86_400 == 0 => format!("{}days", secs / 86_400),
        _ if secs % 3600 == 0 => format!("{}h", secs / 3600),
        _ if secs % 60 == 0 => format!("{}m", secs / 60),
        _ => format!("{secs}s"),
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}
