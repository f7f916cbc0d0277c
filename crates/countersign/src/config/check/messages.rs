//! Whether messages can leave: every factor has providers, every provider can be made.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::Context as _;
use countersign_delivery::{
    number_check::NumberCheck,
    provider::{
        Provider,
        apns::{Apns, ApnsSettings},
        fcm::{Fcm, FcmSettings},
        http::HttpSettings,
        outbox::OutboxFile,
        push::PushServices,
        smtp::{Smtp, SmtpCredentials, SmtpEncryption, SmtpSettings},
        twilio::{Twilio, TwilioSender, TwilioSettings},
        webhook::{Webhook, WebhookSettings},
    },
    templates::{TemplateSettings, Templates},
};
use countersign_domain::{message::Channel, phone, port::clock::Clock, secret::Secret};

use super::{one_secret, read_secret, within};
use crate::config::{
    Config,
    limits::FactorName,
    messages::{MessagesConfig, NumberCheckConfig, PushServicesConfig, SmtpConfig, SmtpEncryptionName, TwilioConfig},
    mistake::Mistakes,
    secret::SecretText,
};
use crate::system::SystemClock;

/// What a provider is made of.
#[derive(Clone)]
pub enum ProviderSettings {
    /// A file.
    Outbox(PathBuf),
    /// A mail server.
    Smtp(SmtpSettings),
    /// Twilio.
    Twilio(TwilioSettings),
    /// Firebase and Apple.
    PushServices(Box<PushServicesSettings>),
    /// A webhook.
    Webhook(WebhookSettings),
}

impl ProviderSettings {
    /// The provider.
    ///
    /// # Errors
    ///
    /// It cannot be made from these settings, or its file cannot be written.
    pub fn provider(&self, clock: &Arc<dyn Clock>) -> anyhow::Result<Arc<dyn Provider>> {
        let clock = Arc::clone(clock);
        Ok(match self {
            Self::Outbox(path) => {
                Arc::new(OutboxFile::open(path, clock).with_context(|| format!("cannot write {}", path.display()))?)
            }
            Self::Smtp(smtp) => Arc::new(Smtp::new(smtp)?),
            Self::Twilio(twilio) => Arc::new(Twilio::new(twilio, clock)?),
            Self::PushServices(push) => Arc::new(PushServices {
                fcm: push.fcm.as_ref().map(|fcm| Fcm::new(fcm, Arc::clone(&clock))).transpose()?,
                apns: push.apns.as_ref().map(|apns| Apns::new(apns, Arc::clone(&clock))).transpose()?,
            }),
            Self::Webhook(webhook) => Arc::new(Webhook::new(webhook, clock)?),
        })
    }

    /// Whether it can carry `channel`.
    fn carries(&self, channel: Channel) -> bool {
        match self {
            Self::Outbox(_) | Self::Webhook(_) => true,
            Self::Smtp(_) => channel == Channel::Email,
            Self::PushServices(_) => channel == Channel::Push,
            Self::Twilio(twilio) => match channel {
                Channel::Sms => true,
                Channel::Voice => twilio.caller.is_some(),
                Channel::Email | Channel::Push => false,
            },
        }
    }
}

/// What Firebase and Apple are reached with.
#[derive(Clone)]
pub struct PushServicesSettings {
    fcm: Option<FcmSettings>,
    apns: Option<ApnsSettings>,
}

/// How messages leave.
#[derive(Clone, Default)]
pub struct Delivery {
    /// The providers by name.
    pub providers: BTreeMap<String, ProviderSettings>,
    /// The names of those a channel uses, best first.
    pub routes: BTreeMap<Channel, Vec<String>>,
    /// Who is asked about numbers.
    pub number_check: Option<WebhookSettings>,
}

impl std::fmt::Debug for Delivery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Delivery").field("routes", &self.routes).finish_non_exhaustive()
    }
}

impl Config {
    /// Reads the providers, and checks that each factor that needs one has one.
    pub(super) fn check_messages(&self, mistakes: &mut Mistakes) -> Delivery {
        let messages = &self.messages;
        for (index, country) in messages.countries.iter().enumerate() {
            mistakes.add_if(
                !phone::has_numbers(country),
                format!("messages.countries[{index}]"),
                "must be two capital letters of ISO 3166-1, such as US, of a country with numbers of its own",
            );
        }
        let providers = self.providers(mistakes);
        let mut routes = BTreeMap::new();
        for (channel, names, factor) in [
            (Channel::Sms, &messages.sms, FactorName::Sms),
            (Channel::Voice, &messages.voice, FactorName::Voice),
            (Channel::Email, &messages.email, FactorName::Email),
            (Channel::Push, &messages.push, FactorName::Push),
        ] {
            let path = format!("messages.{}", channel.as_str());
            let enabled = self.mfa.factors.contains(&factor);
            mistakes.add_if(
                enabled && names.is_empty(),
                &path,
                format!("needs a provider, since mfa.factors has {}", channel.as_str()),
            );
            mistakes.add_if(
                enabled && matches!(channel, Channel::Sms | Channel::Voice) && messages.countries.is_empty(),
                "messages.countries",
                "needs a country, since mfa.factors has sms or voice",
            );
            let mut seen = BTreeSet::new();
            for (index, name) in names.iter().enumerate() {
                let path = format!("{path}[{index}]");
                mistakes.add_if(!seen.insert(name), &path, "is named twice");
                match providers.get(name) {
                    None => mistakes.add(&path, "is not the name of any of the providers"),
                    Some(provider) => mistakes.add_if(
                        !provider.carries(channel),
                        &path,
                        format!("is a provider that does not carry {}", channel.as_str()),
                    ),
                }
            }
            routes.insert(channel, names.clone());
        }
        // Without a name there is a mistake already.
        if !self.app_name.is_empty()
            && let Err(wrong) = Templates::load(self.template_settings())
        {
            for mistake in wrong.0 {
                match mistake.file.as_str() {
                    "app_name" => mistakes.add("app_name", mistake.what),
                    setting @ ("default_locale" | "sms_domain") => {
                        mistakes.add(format!("messages.{setting}"), mistake.what);
                    }
                    _ => mistakes.add("messages.templates_dir", mistake.to_string()),
                }
            }
        }
        let number_check = read_number_check(&messages.number_check, mistakes);
        Delivery { providers, routes, number_check }
    }

    /// What the words of messages are made of.
    pub fn template_settings(&self) -> TemplateSettings {
        let MessagesConfig { default_locale, templates_dir, sms_domain, .. } = &self.messages;
        TemplateSettings {
            app_name: self.app_name.clone(),
            default_locale: default_locale.clone(),
            sms_domain: (!sms_domain.is_empty()).then(|| sms_domain.clone()),
            folder: given(templates_dir),
        }
    }

    fn providers(&self, mistakes: &mut Mistakes) -> BTreeMap<String, ProviderSettings> {
        let messages = &self.messages;
        let mut providers = BTreeMap::new();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let mut add = |path: String, name: &str, settings: ProviderSettings, mistakes: &mut Mistakes| {
            mistakes.add_if(name.is_empty(), format!("{path}.name"), "is needed");
            // A file is made when the server starts, not when its settings are looked at.
            if !matches!(settings, ProviderSettings::Outbox(_))
                && let Err(error) = settings.provider(&clock)
            {
                mistakes.add(&path, format!("{error:#}"));
            }
            let taken = providers.insert(name.to_owned(), settings).is_some();
            mistakes.add_if(taken && !name.is_empty(), format!("{path}.name"), "is another provider's too");
        };
        for (index, outbox) in messages.outbox.iter().enumerate() {
            let path = format!("messages.outbox[{index}]");
            mistakes.add_if(outbox.path.as_os_str().is_empty(), format!("{path}.path"), "is needed");
            add(path, &outbox.name, ProviderSettings::Outbox(outbox.path.clone()), mistakes);
        }
        for (index, smtp) in messages.smtp.iter().enumerate() {
            let path = format!("messages.smtp[{index}]");
            let settings = self.smtp(&path, smtp, mistakes);
            add(path, &smtp.name, ProviderSettings::Smtp(settings), mistakes);
        }
        for (index, twilio) in messages.twilio.iter().enumerate() {
            let path = format!("messages.twilio[{index}]");
            let settings = read_twilio(&path, twilio, mistakes);
            add(path, &twilio.name, ProviderSettings::Twilio(settings), mistakes);
        }
        for (index, push) in messages.push_services.iter().enumerate() {
            let path = format!("messages.push_services[{index}]");
            let settings = read_push_services(&path, push, mistakes);
            add(path, &push.name, ProviderSettings::PushServices(Box::new(settings)), mistakes);
        }
        for (index, webhook) in messages.webhook.iter().enumerate() {
            let path = format!("messages.webhook[{index}]");
            let http = http(&path, &webhook.ca_file, webhook.timeout, mistakes);
            let settings = signed(&path, &webhook.url, &webhook.secrets, &webhook.secret_files, http, mistakes);
            add(path, &webhook.name, ProviderSettings::Webhook(settings), mistakes);
        }
        providers
    }

    fn smtp(&self, path: &str, smtp: &SmtpConfig, mistakes: &mut Mistakes) -> SmtpSettings {
        let password = secret(path, "password", &smtp.password, &smtp.password_file, mistakes);
        mistakes.add_if(
            smtp.user.is_empty() != password.is_none(),
            format!("{path}.user"),
            "and a password belong together",
        );
        SmtpSettings {
            host: smtp.host.clone(),
            port: smtp.port,
            encryption: match smtp.encryption {
                SmtpEncryptionName::StartTls => SmtpEncryption::StartTls,
                SmtpEncryptionName::Tls => SmtpEncryption::Tls,
                SmtpEncryptionName::None => SmtpEncryption::Plain,
            },
            root_ca_file: given(&smtp.ca_file),
            credentials: password.map(|password| SmtpCredentials { user: smtp.user.clone(), password }),
            from_name: if smtp.from_name.is_empty() { self.app_name.clone() } else { smtp.from_name.clone() },
            from_address: smtp.from.clone(),
            timeout: timeout(path, smtp.timeout, mistakes),
        }
    }
}

fn read_push_services(path: &str, push: &PushServicesConfig, mistakes: &mut Mistakes) -> PushServicesSettings {
    let http = http(path, &push.ca_file, push.timeout, mistakes);
    let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let mut key = |name: &str, file: &Path| {
        let read = (!file.as_os_str().is_empty()).then(|| read_secret(file));
        match read.transpose() {
            Ok(key) => key,
            Err(error) => {
                mistakes.add(format!("{path}.{name}"), error);
                None
            }
        }
    };
    let service_account = key("fcm_service_account_file", &push.fcm_service_account_file);
    let signing_key = key("apns_key_file", &push.apns_key_file);
    if push.fcm_service_account_file.as_os_str().is_empty() && push.apns_key_file.as_os_str().is_empty() {
        mistakes.add(path, "needs fcm_service_account_file or apns_key_file");
    }
    if signing_key.is_some() {
        for (name, value) in
            [("apns_key_id", &push.apns_key_id), ("apns_team_id", &push.apns_team_id), ("apns_topic", &push.apns_topic)]
        {
            mistakes.add_if(value.is_empty(), format!("{path}.{name}"), "is needed with apns_key_file");
        }
    }
    PushServicesSettings {
        fcm: service_account.map(|service_account| FcmSettings {
            service_account,
            base_url: text(&push.fcm_base_url),
            token_uri: text(&push.fcm_token_uri),
            http: http.clone(),
        }),
        apns: signing_key.map(|key| ApnsSettings {
            key,
            key_id: push.apns_key_id.clone(),
            team_id: push.apns_team_id.clone(),
            topic: push.apns_topic.clone(),
            base_url: text(&push.apns_base_url),
            http,
        }),
    }
}

fn read_twilio(path: &str, twilio: &TwilioConfig, mistakes: &mut Mistakes) -> TwilioSettings {
    mistakes.add_if(twilio.account_sid.is_empty(), format!("{path}.account_sid"), "is needed");
    mistakes.add_if(
        twilio.from.is_empty() == twilio.messaging_service.is_empty(),
        format!("{path}.from"),
        "or messaging_service is needed, and only one of them",
    );
    let secret = secret(path, "secret", &twilio.secret, &twilio.secret_file, mistakes);
    mistakes.add_if(secret.is_none(), format!("{path}.secret"), "or secret_file is needed");
    let sender = if twilio.messaging_service.is_empty() {
        TwilioSender::Number(twilio.from.clone())
    } else {
        TwilioSender::MessagingService(twilio.messaging_service.clone())
    };
    let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    TwilioSettings {
        base_url: twilio.base_url.clone(),
        api_key: text(&twilio.api_key),
        caller: text(&twilio.caller),
        http: http(path, &twilio.ca_file, twilio.timeout, mistakes),
        ..TwilioSettings::new(twilio.account_sid.clone(), secret.unwrap_or_else(|| Secret::new(String::new())), sender)
    }
}

/// Who is asked about numbers; `None`: nobody.
fn read_number_check(check: &NumberCheckConfig, mistakes: &mut Mistakes) -> Option<WebhookSettings> {
    let path = "messages.number_check";
    if check.url.is_empty() {
        let given = !check.secrets.is_empty() || !check.secret_files.is_empty();
        mistakes.add_if(given, format!("{path}.url"), "is needed");
        return None;
    }
    let range = Duration::from_millis(100)..=Duration::from_secs(3);
    within(&format!("{path}.timeout"), check.timeout, &range, mistakes);
    let http = HttpSettings { timeout: check.timeout, root_ca_file: given(&check.ca_file), ..HttpSettings::default() };
    let settings = signed(path, &check.url, &check.secrets, &check.secret_files, http, mistakes);
    if let Err(error) = NumberCheck::new(&settings, Arc::new(SystemClock)) {
        mistakes.add(path, error.to_string());
    }
    Some(settings)
}

/// An endpoint that knows our signature.
fn signed(
    path: &str,
    url: &str,
    secrets: &[SecretText],
    secret_files: &[PathBuf],
    http: HttpSettings,
    mistakes: &mut Mistakes,
) -> WebhookSettings {
    mistakes.add_if(
        !secrets.is_empty() && !secret_files.is_empty(),
        format!("{path}.secrets"),
        "are given here and in files; use one of them",
    );
    let mut secrets: Vec<_> = secrets.iter().map(|secret| secret.secret().clone()).collect();
    for (file, name) in secret_files.iter().enumerate() {
        match read_secret(name) {
            Ok(secret) => secrets.push(secret),
            Err(error) => mistakes.add(format!("{path}.secret_files[{file}]"), error),
        }
    }
    WebhookSettings { url: url.to_owned(), secrets, http }
}

fn http(path: &str, ca_file: &Path, limit: Duration, mistakes: &mut Mistakes) -> HttpSettings {
    HttpSettings { timeout: timeout(path, limit, mistakes), root_ca_file: given(ca_file), ..HttpSettings::default() }
}

fn timeout(path: &str, timeout: Duration, mistakes: &mut Mistakes) -> Duration {
    let range = Duration::from_secs(1)..=Duration::from_secs(10);
    within(&format!("{path}.timeout"), timeout, &range, mistakes);
    timeout
}

fn secret(path: &str, name: &str, value: &SecretText, file: &Path, mistakes: &mut Mistakes) -> Option<Secret<String>> {
    let (value_path, file_path) = (format!("{path}.{name}"), format!("{path}.{name}_file"));
    one_secret((&value_path, value), (&file_path, file), mistakes).ok().flatten()
}

fn given(path: &Path) -> Option<PathBuf> {
    (!path.as_os_str().is_empty()).then(|| path.to_owned())
}
