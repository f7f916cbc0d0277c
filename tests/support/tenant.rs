//! The deployment the scenarios run against: its clients, APIs and realms.

use std::fmt::Write as _;

use crate::signer;

/// The issuer.
pub const ISSUER: &str = "https://id.test/";
/// The name in the authenticator app.
pub const APP_NAME: &str = "My Test Tenant";
/// The realm of clients that name none.
pub const REALM: &str = "Username-Password-Authentication";
/// Another realm.
pub const OTHER_REALM: &str = "employees";
/// An API, RS256.
pub const API: &str = "https://api.test/";
/// An API whose tokens are ES256; only where [`Tenant::with_es256_api`] was called.
pub const ES256_API: &str = "https://es256.test/";
/// An API whose tokens are those of RFC 9068; this and the next two only after [`Tenant::with_every_kind_of_token`].
pub const AT_API: &str = "https://at.test/";
/// One whose tokens are signed with Ed25519 besides.
pub const ED25519_API: &str = "https://ed25519.test/";
/// The same, under the older name.
pub const EDDSA_API: &str = "https://eddsa.test/";
/// The MFA API.
pub const MFA_API: &str = "https://id.test/mfa/";
/// All scopes of the MFA API.
pub const MFA_SCOPES: &str = "enroll read:authenticators remove:authenticators";
/// The origin of the browser client.
pub const ORIGIN: &str = "https://spa.test";

/// A client of the deployment.
#[derive(Clone, Copy, Debug)]
pub struct Client {
    /// Its id.
    pub id: &'static str,
    /// Its secret, if it has one.
    pub secret: Option<&'static str>,
}

/// A confidential client with every grant, whose people are always asked for a second factor. Its secret needs encoding.
pub const BACKEND: Client = Client { id: "backend", secret: Some("s3cr3t/with+what%needs&encoding=") };
/// A public client whose refresh tokens rotate without an overlap.
pub const NATIVE: Client = Client { id: "native", secret: None };
/// A public client that pages of [`ORIGIN`] use.
pub const BROWSER: Client = Client { id: "browser", secret: None };
/// A client whose people need not have a second factor, and whose refresh tokens expire after a week without use.
pub const LENIENT: Client = Client { id: "lenient", secret: None };
/// A confidential client whose refresh tokens neither rotate nor expire, and whose people need not have a second factor.
pub const KEEPER: Client = Client { id: "keeper", secret: Some("a third secret of 16 or more") };
/// A confidential client that is asked for a second factor with refresh tokens too, and revokes all of them at once.
pub const CAREFUL: Client = Client { id: "careful", secret: Some("a fourth secret of 16 or more") };
/// A client with the password grant alone.
pub const NARROW: Client = Client { id: "narrow", secret: None };
/// A client that cannot bring back codes that were sent.
pub const APP_ONLY: Client = Client { id: "app-only", secret: None };
/// A client that is told the factors and whose tokens do not say how the person authenticated.
pub const TOLD: Client = Client { id: "told", secret: None };
/// A confidential client whose `auth0-forwarded-for` is believed.
pub const FORWARDER: Client = Client { id: "forwarder", secret: Some("another secret of 16 or more") };

/// A client on which devices are remembered for a week.
pub const REMEMBERING: Client = Client { id: "remembering", secret: None };
/// Another one.
pub const ALSO_REMEMBERING: Client = Client { id: "also-remembering", secret: None };
/// A client that signs: it proves itself by assertions, calls the API as itself, and asserts logins of [`OTHER_REALM`].
pub const SIGNER: Client = Client { id: "signer", secret: None };

/// What can differ between worlds.
#[derive(Clone, Debug)]
pub struct Tenant {
    sections: Vec<(String, Vec<String>)>,
    es256: bool,
    profile: Option<&'static str>,
    more: String,
    dialects: bool,
    rotates: bool,
}

impl Default for Tenant {
    /// Nothing throttles logins but what a scenario is about, and hashes wait instead of being shed.
    fn default() -> Self {
        let section = |name: &str, lines: &[&str]| (name.to_owned(), lines.iter().map(|l| (*l).to_owned()).collect());
        Self {
            sections: vec![
                section("passwords", &["threads = 2", "queue = 10000", "max_wait = '60s'"]),
                section("limits.password_rate", &["capacity = 100000", "refill = '1ms'"]),
                section("connections", &["max = 4096", "max_per_address = 4096"]),
                section("shutdown", &["drain = '0s'", "in_flight = '10s'"]),
                section("log", &["format = 'json'", "level = 'debug'"]),
            ],
            es256: false,
            profile: None,
            more: String::new(),
            dialects: false,
            rotates: false,
        }
    }
}

impl Tenant {
    /// Sets `lines` in `section`, in place of what the section had.
    #[must_use]
    pub fn section(mut self, section: &str, lines: &[&str]) -> Self {
        self.sections.retain(|(name, _)| name != section);
        self.sections.push((section.to_owned(), lines.iter().map(|line| (*line).to_owned()).collect()));
        self
    }

    /// Has every factor, and messages that go to the world's outbox.
    #[must_use]
    pub fn with_messages(self) -> Self {
        self.section("mfa", &["factors = ['otp', 'sms', 'voice', 'email']"]).section(
            "messages",
            &["sms = ['outbox']", "voice = ['outbox']", "email = ['outbox']", "countries = ['US', 'DE', 'GB', 'JP']"],
        )
    }

    /// Has every factor, devices included.
    #[must_use]
    pub fn with_devices(self) -> Self {
        self.with_messages().section("mfa", &["factors = ['push', 'otp', 'sms', 'voice', 'email']"]).section(
            "messages",
            &[
                "sms = ['outbox']",
                "voice = ['outbox']",
                "email = ['outbox']",
                "push = ['outbox']",
                "countries = ['US', 'DE', 'GB', 'JP']",
            ],
        )
    }

    /// Adds what `toml` says: clients, APIs.
    #[must_use]
    pub fn and(mut self, toml: &str) -> Self {
        self.more.push_str(toml);
        self
    }

    /// Is one of `profile`, and asks all clients for refresh tokens that it allows.
    #[must_use]
    pub const fn profile(mut self, profile: &'static str) -> Self {
        self.profile = Some(profile);
        self
    }

    /// Adds an API whose access tokens are ES256.
    #[must_use]
    pub fn with_es256_api(mut self) -> Self {
        self.es256 = true;
        self
    }

    /// Adds APIs for each kind of access token there is: [`AT_API`], [`ED25519_API`] and [`EDDSA_API`].
    #[must_use]
    pub fn with_every_kind_of_token(mut self) -> Self {
        self.dialects = true;
        self.with_es256_api()
    }

    /// Has signing keys that go on by themselves, after a day.
    #[must_use]
    pub fn with_rotation(mut self) -> Self {
        self.rotates = true;
        self
    }

    /// What the section of keys says about it. Other scenarios are spared the making of keys that they do not use.
    pub fn rotation(&self) -> &'static str {
        if self.rotates { "rotation_age = '1day'\nnext_lead = '10m'\n" } else { "rotate = false\n" }
    }

    /// The configuration file, with `places` (listeners, stores, keys) as its beginning.
    pub fn toml(&self, places: &str) -> String {
        let profile = self.profile.map(|name| format!("profile = '{name}'\n")).unwrap_or_default();
        let mut toml = format!(
            "issuer = '{ISSUER}'\napp_name = '{APP_NAME}'\ndefault_realm = '{REALM}'\n{profile}{places}\n\
             [[realms]]\nname = '{REALM}'\n[[realms]]\nname = '{OTHER_REALM}'\n\
             [[apis]]\naudience = '{API}'\nscopes = ['read:things', 'write:things']\n\
             allow_offline_access = true\n"
        );
        if self.es256 {
            write!(toml, "[[apis]]\naudience = '{ES256_API}'\nscopes = ['read:things']\nalgorithm = 'ES256'\n")
                .unwrap();
        }
        if self.dialects {
            for (audience, algorithm) in [(AT_API, "RS256"), (ED25519_API, "Ed25519"), (EDDSA_API, "EdDSA")] {
                let api = "scopes = ['read:things']\ndialect = 'rfc9068'\nallow_offline_access = true";
                write!(toml, "[[apis]]\naudience = '{audience}'\nalgorithm = '{algorithm}'\n{api}\n").unwrap();
            }
        }
        let all = "['password', 'password-realm', 'mfa-otp', 'mfa-oob', 'mfa-recovery-code', 'refresh_token']";
        let others =
            if self.dialects { format!(", '{AT_API}', '{ED25519_API}', '{EDDSA_API}'") } else { String::new() };
        let introspects = format!("introspects = ['{API}'{others}]\n");
        for (client, grants, more) in [
            (BACKEND, all, introspects.as_str()),
            (NATIVE, all, "refresh = { overlap = '0s' }\n"),
            (BROWSER, all, "origins = ['https://spa.test']\n"),
            (LENIENT, all, "mfa_demand = 'if-enrolled'\nrefresh = { idle_lifetime = '7days' }\n"),
            (KEEPER, all, "mfa_demand = 'if-enrolled'\nrefresh = { rotate = false, expire = false }\n"),
            (CAREFUL, all, "refresh = { mfa = true, revoke_all = true }\n"),
            (NARROW, "['password']", ""),
            (APP_ONLY, "['password', 'mfa-otp', 'mfa-recovery-code']", ""),
            (TOLD, all, "publish_mfa_requirements = true\nauthentication_claims = false\n"),
            (REMEMBERING, all, "remember_devices_for = '7days'\n"),
            (ALSO_REMEMBERING, all, "remember_devices_for = '7days'\n"),
            (FORWARDER, all, "trust_forwarded_for = true\n"),
        ] {
            let proof = client
                .secret
                .map_or_else(|| "authentication = 'none'".to_owned(), |secret| format!("secrets = ['{secret}']"));
            // A profile says how long they live; what is said otherwise would be refused.
            let more = if self.profile.is_some() && more.contains("refresh") { "" } else { more };
            write!(toml, "[[clients]]\nid = '{}'\n{proof}\ngrant_types = {grants}\n{more}", client.id).unwrap();
        }
        toml.push_str(&self.more);
        write!(
            toml,
            "[[clients]]\nid = '{}'\nauthentication = 'private-key-jwt'\nkeys = ['{}']\nmfa_demand = 'if-enrolled'\n\
             grant_types = ['client_credentials', 'asserted-login', 'mfa-otp', 'refresh_token']\n\
             services = [{{ audience = '{API}', scopes = ['read:things'] }}]\nintrospects = ['{API}']\n\
             asserts = {{ realm = '{OTHER_REALM}', create_users = true }}\n",
            SIGNER.id,
            signer::key_set(),
        )
        .unwrap();
        for (section, lines) in &self.sections {
            write!(toml, "[{section}]\n{}\n", lines.join("\n")).unwrap();
        }
        toml
    }
}
