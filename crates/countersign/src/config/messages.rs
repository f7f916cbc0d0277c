//! Messages to people: who brings them, in which words, and where to.

use std::{path::PathBuf, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::secret::SecretText;

/// Messages to people. Providers are declared below, each with a name; a channel lists the names of those it uses, best first.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MessagesConfig {
    /// Providers of text messages.
    pub sms: Vec<String>,
    /// Providers of calls.
    pub voice: Vec<String>,
    /// Providers of e-mail.
    pub email: Vec<String>,
    /// Providers of notifications to devices.
    pub push: Vec<String>,
    /// The countries whose numbers messages are sent to, ISO 3166-1 alpha-2, such as `US`. A number of any other country is refused.
    pub countries: Vec<String>,
    /// The language of who asked for none that there are words in: `en`, `de`, `es`, `fr`, `ja`, `pt`, or one of `templates_dir`.
    pub default_locale: String,
    /// A folder whose files replace the shipped words, or add languages; see docs/messages.md. Empty: none.
    #[schemars(with = "String")]
    pub templates_dir: PathBuf,
    /// The domain that codes in text messages are bound to, so that phones fill them in there and nowhere else. Empty: no such line.
    pub sms_domain: String,
    /// Files that messages are appended to instead of being sent, for tests and demonstrations. Who can read such a file can log in.
    pub outbox: Vec<OutboxConfig>,
    /// Mail servers.
    pub smtp: Vec<SmtpConfig>,
    /// Twilio, and whoever speaks its REST API.
    pub twilio: Vec<TwilioConfig>,
    /// Firebase and Apple together: each device is reached by its own.
    pub push_services: Vec<PushServicesConfig>,
    /// Endpoints of your own, for any channel; see docs/messages.md.
    pub webhook: Vec<WebhookConfig>,
    /// Who is asked whether something speaks against sending to a number; see docs/messages.md.
    pub number_check: NumberCheckConfig,
}

impl Default for MessagesConfig {
    fn default() -> Self {
        Self {
            sms: Vec::new(),
            voice: Vec::new(),
            email: Vec::new(),
            push: Vec::new(),
            countries: Vec::new(),
            default_locale: "en".to_owned(),
            templates_dir: PathBuf::new(),
            sms_domain: String::new(),
            outbox: Vec::new(),
            smtp: Vec::new(),
            twilio: Vec::new(),
            push_services: Vec::new(),
            webhook: Vec::new(),
            number_check: NumberCheckConfig::default(),
        }
    }
}

/// A file that messages are appended to.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct OutboxConfig {
    /// Its name.
    pub name: String,
    /// The file, made for its owner alone: one JSON object a line.
    #[schemars(with = "String")]
    pub path: PathBuf,
}

/// A mail server.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SmtpConfig {
    /// Its name.
    pub name: String,
    /// Its host, which its certificate must name.
    pub host: String,
    /// Its port: usually 587 with STARTTLS, 465 with TLS.
    pub port: u16,
    /// How the connection is protected.
    pub encryption: SmtpEncryptionName,
    /// The user that logs in there. Empty: nobody logs in.
    pub user: String,
    /// The password.
    pub password: SecretText,
    /// A file with the password, instead of `password`.
    #[schemars(with = "String")]
    pub password_file: PathBuf,
    /// The address that messages are from.
    pub from: String,
    /// The name beside it. Empty: `app_name`.
    pub from_name: String,
    /// Authorities besides those of the system that sign its certificate, a PEM file. Empty: none.
    #[schemars(with = "String")]
    pub ca_file: PathBuf,
    /// The longest one try may take. 1s to 10s: two providers of a channel must have their turn within one try of a message.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub timeout: Duration,
}

impl Default for SmtpConfig {
    fn default() -> Self {
        Self {
            name: String::new(),
            host: "localhost".to_owned(),
            port: 587,
            encryption: SmtpEncryptionName::StartTls,
            user: String::new(),
            password: SecretText::default(),
            password_file: PathBuf::new(),
            from: String::new(),
            from_name: String::new(),
            ca_file: PathBuf::new(),
            timeout: TIMEOUT,
        }
    }
}

/// How the connection to a mail server is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SmtpEncryptionName {
    /// STARTTLS (RFC 3207); a server that does not offer it gets no message.
    StartTls,
    /// TLS from the first byte (RFC 8314, section 3.3).
    Tls,
    /// None; on this machine only.
    None,
}

/// Twilio, or whoever speaks its REST API.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TwilioConfig {
    /// Its name.
    pub name: String,
    /// Where the API is.
    pub base_url: String,
    /// The account, `AC…`.
    pub account_sid: String,
    /// The API key, `SK…`. Empty: the account itself.
    pub api_key: String,
    /// The secret of the API key, or the account's token.
    pub secret: SecretText,
    /// A file with that, instead of `secret`.
    #[schemars(with = "String")]
    pub secret_file: PathBuf,
    /// The number or name that text messages are from.
    pub from: String,
    /// The messaging service that chooses one, `MG…`, instead of `from`.
    pub messaging_service: String,
    /// The number that calls are from. Empty: no calls.
    pub caller: String,
    /// Authorities besides those of the system that sign its certificate, a PEM file. Empty: none.
    #[schemars(with = "String")]
    pub ca_file: PathBuf,
    /// The longest one try may take. 1s to 10s: two providers of a channel must have their turn within one try of a message.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub timeout: Duration,
}

impl Default for TwilioConfig {
    fn default() -> Self {
        Self {
            name: String::new(),
            base_url: "https://api.twilio.com".to_owned(),
            account_sid: String::new(),
            api_key: String::new(),
            secret: SecretText::default(),
            secret_file: PathBuf::new(),
            from: String::new(),
            messaging_service: String::new(),
            caller: String::new(),
            ca_file: PathBuf::new(),
            timeout: TIMEOUT,
        }
    }
}

/// Firebase Cloud Messaging and the Apple Push Notification service; one of them may be left out.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PushServicesConfig {
    /// Their name.
    pub name: String,
    /// The key file of a Firebase service account, JSON; it names the project. Empty: no Android devices.
    #[schemars(with = "String")]
    pub fcm_service_account_file: PathBuf,
    /// Where Firebase is. Empty: <https://fcm.googleapis.com>.
    pub fcm_base_url: String,
    /// Where access tokens for Firebase come from. Empty: what the key file says.
    pub fcm_token_uri: String,
    /// Apple's signing key, the `.p8` file. Empty: no iOS devices.
    #[schemars(with = "String")]
    pub apns_key_file: PathBuf,
    /// The id of that key, ten characters.
    pub apns_key_id: String,
    /// The id of the developer team, ten characters.
    pub apns_team_id: String,
    /// The bundle id of the app.
    pub apns_topic: String,
    /// Where Apple is, such as <https://api.sandbox.push.apple.com>. Empty: <https://api.push.apple.com>.
    pub apns_base_url: String,
    /// Authorities besides those of the system that sign their certificates, a PEM file. Empty: none.
    #[schemars(with = "String")]
    pub ca_file: PathBuf,
    /// The longest one try may take. 1s to 10s: two providers of a channel must have their turn within one try of a message.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub timeout: Duration,
}

impl Default for PushServicesConfig {
    fn default() -> Self {
        Self {
            name: String::new(),
            fcm_service_account_file: PathBuf::new(),
            fcm_base_url: String::new(),
            fcm_token_uri: String::new(),
            apns_key_file: PathBuf::new(),
            apns_key_id: String::new(),
            apns_team_id: String::new(),
            apns_topic: String::new(),
            apns_base_url: String::new(),
            ca_file: PathBuf::new(),
            timeout: TIMEOUT,
        }
    }
}

/// An endpoint of your own.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct WebhookConfig {
    /// Its name.
    pub name: String,
    /// Where messages are posted.
    pub url: String,
    /// What requests are signed with, 32 bytes or more each. With several, each signs, so that they can be changed without a gap.
    pub secrets: Vec<SecretText>,
    /// Files with a secret each, instead of `secrets`.
    #[schemars(with = "Vec<String>")]
    pub secret_files: Vec<PathBuf>,
    /// Authorities besides those of the system that sign its certificate, a PEM file. Empty: none.
    #[schemars(with = "String")]
    pub ca_file: PathBuf,
    /// The longest one try may take. 1s to 10s: two providers of a channel must have their turn within one try of a message.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub timeout: Duration,
}

impl Default for WebhookConfig {
    fn default() -> Self {
        Self {
            name: String::new(),
            url: String::new(),
            secrets: Vec::new(),
            secret_files: Vec::new(),
            ca_file: PathBuf::new(),
            timeout: TIMEOUT,
        }
    }
}

/// An endpoint of your own that is asked before each text message and call.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct NumberCheckConfig {
    /// Where it is. Empty: nobody is asked.
    pub url: String,
    /// What requests are signed with, 32 bytes or more each. With several, each signs, so that they can be changed without a gap.
    pub secrets: Vec<SecretText>,
    /// Files with a secret each, instead of `secrets`.
    #[schemars(with = "Vec<String>")]
    pub secret_files: Vec<PathBuf>,
    /// Authorities besides those of the system that sign its certificate, a PEM file. Empty: none.
    #[schemars(with = "String")]
    pub ca_file: PathBuf,
    /// How long a person waits for it. 100ms to 3s. Then the message is sent, and the audit trail says that the number was not checked.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub timeout: Duration,
}

impl Default for NumberCheckConfig {
    fn default() -> Self {
        Self {
            url: String::new(),
            secrets: Vec::new(),
            secret_files: Vec::new(),
            ca_file: PathBuf::new(),
            timeout: Duration::from_secs(1),
        }
    }
}

const TIMEOUT: Duration = Duration::from_secs(10);
