//! E-mail by SMTP.

mod mail;

use std::{
    path::PathBuf,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use countersign_domain::{message::Message, port::sender::SendError, secret::Secret};
use lettre::{
    Address,
    message::Mailbox,
    transport::smtp::{
        authentication::{Credentials, Mechanism},
        client::{AsyncSmtpConnection, Certificate, TlsParameters},
        commands::{Data, Mail, Rcpt},
        extension::{ClientId, Extension, MailBodyParameter, MailParameter},
    },
};

use super::{
    Provider, Rendered,
    settings::{self, SettingsError},
};

/// Connections that wait for the next message.
const IDLE: usize = 8;
/// How long a connection that is given up may take to say goodbye.
const GOODBYE: Duration = Duration::from_secs(1);

/// How the connection to the mail server is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SmtpEncryption {
    /// STARTTLS (RFC 3207), usually at port 587. A server that does not offer it gets no message.
    StartTls,
    /// TLS from the first byte (RFC 8314, section 3.3), usually at port 465.
    Tls,
    /// None. Only for a server on this machine.
    Plain,
}

/// Who logs in at the mail server.
#[derive(Clone)]
pub struct SmtpCredentials {
    /// The user.
    pub user: String,
    /// The password.
    pub password: Secret<String>,
}

/// Where and how e-mails are handed over.
#[derive(Clone)]
pub struct SmtpSettings {
    /// Name or address of the mail server; its certificate must name it.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the connection is protected.
    pub encryption: SmtpEncryption,
    /// PEM file with root certificates to trust besides those of the system.
    pub root_ca_file: Option<PathBuf>,
    /// Who logs in; `None` if the server asks nobody.
    pub credentials: Option<SmtpCredentials>,
    /// The name that readers see as the sender.
    pub from_name: String,
    /// The sender's address; its domain is also what the server is greeted with, and the right half of Message-IDs.
    pub from_address: String,
    /// Limit of one try, from connecting to the last answer. 10 s by default.
    pub timeout: Duration,
}

impl Default for SmtpSettings {
    /// STARTTLS at `localhost:587`, without a sender.
    fn default() -> Self {
        Self {
            host: "localhost".into(),
            port: 587,
            encryption: SmtpEncryption::StartTls,
            root_ca_file: None,
            credentials: None,
            from_name: String::new(),
            from_address: String::new(),
            timeout: Duration::from_secs(10),
        }
    }
}

/// Hands e-mails to a mail server, over connections that are used again.
///
/// SMTP knows no idempotency key; each try has the same Message-ID, by which mailboxes may drop a second copy.
pub struct Smtp {
    host: String,
    port: u16,
    encryption: Encryption,
    credentials: Option<Credentials>,
    hello: ClientId,
    from: Mailbox,
    timeout: Duration,
    idle: Mutex<Vec<AsyncSmtpConnection>>,
}

enum Encryption {
    StartTls(TlsParameters),
    Tls(TlsParameters),
    Plain,
}

/// What went wrong. The server's words are left out: they may repeat the address.
#[derive(Debug, thiserror::Error)]
enum SmtpError {
    #[error("the mail server answered {code} to {step}")]
    Answer { step: &'static str, code: u16 },
    #[error("the mail server gave no valid answer to {step}")]
    Garbled { step: &'static str },
    #[error("{step} failed")]
    Broken {
        step: &'static str,
        #[source]
        source: lettre::transport::smtp::Error,
    },
    #[error("the mail server took too long")]
    Slow,
    #[error("the mail server cannot take the address or the text")]
    Unfit,
}

impl Smtp {
    /// Prepares the sender. Nothing is connected yet.
    ///
    /// # Errors
    ///
    /// The settings cannot be used.
    pub fn new(settings: &SmtpSettings) -> Result<Self, SettingsError> {
        let tls = || tls(settings);
        let encryption = match settings.encryption {
            SmtpEncryption::StartTls => Encryption::StartTls(tls()?),
            SmtpEncryption::Tls => Encryption::Tls(tls()?),
            SmtpEncryption::Plain if settings::is_near(&settings.host) => Encryption::Plain,
            SmtpEncryption::Plain => return Err(SettingsError::Plain),
        };
        let address: Address = settings.from_address.parse().map_err(|_| SettingsError::From)?;
        let credentials = settings.credentials.as_ref();
        let name = Some(settings.from_name.clone()).filter(|name| !name.is_empty());
        Ok(Self {
            host: settings.host.clone(),
            port: settings.port,
            encryption,
            credentials: credentials.map(|one| Credentials::new(one.user.clone(), one.password.expose().clone())),
            hello: ClientId::Domain(address.domain().to_owned()),
            from: Mailbox::new(name, address),
            timeout: settings.timeout,
            idle: Mutex::default(),
        })
    }

    /// One connection, ready for a message: an idle one that still answers, or a new one.
    async fn connection(&self) -> Result<AsyncSmtpConnection, SendError> {
        while let Some(mut connection) = self.take_idle() {
            if connection.test_connected().await {
                return Ok(connection);
            }
        }
        let tls = match &self.encryption {
            Encryption::Tls(tls) => Some(tls.clone()),
            Encryption::StartTls(_) | Encryption::Plain => None,
        };
        let server = (self.host.as_str(), self.port);
        let connecting = AsyncSmtpConnection::connect_tokio1(server, Some(self.timeout), &self.hello, tls, None);
        let mut connection = connecting.await.map_err(|error| unavailable(at("connect", error)))?;
        if let Encryption::StartTls(tls) = &self.encryption {
            let upgraded = connection.starttls(tls.clone(), &self.hello).await;
            upgraded.map_err(|error| unavailable(at("STARTTLS", error)))?;
        }
        if let Some(credentials) = &self.credentials {
            let known = connection.auth(&[Mechanism::Plain, Mechanism::Login], credentials).await;
            known.map_err(|error| unavailable(at("AUTH", error)))?;
        }
        Ok(connection)
    }

    /// Sets `handed` as soon as the server may have the whole message.
    async fn deliver(&self, mail: &lettre::Message, handed: &AtomicBool) -> Result<(), SendError> {
        let mut connection = self.connection().await?;
        let result = transact(&mut connection, mail, handed).await;
        if result.is_ok() {
            self.park(connection);
        } else {
            // Not part of the try: its outcome is known.
            tokio::spawn(async move { tokio::time::timeout(GOODBYE, connection.abort()).await });
        }
        result
    }

    fn take_idle(&self) -> Option<AsyncSmtpConnection> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    fn park(&self, connection: AsyncSmtpConnection) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE {
            idle.push(connection);
        }
    }
}

#[async_trait]
impl Provider for Smtp {
    async fn send(&self, message: &Message, words: &Rendered) -> Result<(), SendError> {
        let mail = mail::compose(&self.from, message, words).map_err(|error| SendError::Refused(error.into()))?;
        let handed = AtomicBool::new(false);
        match tokio::time::timeout(self.timeout, self.deliver(&mail, &handed)).await {
            Ok(result) => result,
            Err(_elapsed) if handed.load(Ordering::Acquire) => Err(SendError::Unknown(SmtpError::Slow.into())),
            Err(_elapsed) => Err(unavailable(SmtpError::Slow)),
        }
    }
}

fn tls(settings: &SmtpSettings) -> Result<TlsParameters, SettingsError> {
    let refused = |error: lettre::transport::smtp::Error| SettingsError::Tls(error.into());
    let mut builder = TlsParameters::builder(settings.host.clone());
    for root in settings::roots(settings.root_ca_file.as_deref())? {
        builder = builder.add_root_certificate(Certificate::from_der(root.to_vec()).map_err(refused)?);
    }
    builder.build().map_err(refused)
}

/// MAIL, RCPT, DATA, and the message (RFC 5321, section 3.3).
async fn transact(
    connection: &mut AsyncSmtpConnection,
    mail: &lettre::Message,
    handed: &AtomicBool,
) -> Result<(), SendError> {
    let (envelope, bytes) = (mail.envelope(), mail.formatted());
    let international =
        envelope.from().into_iter().chain(envelope.to()).any(|one| !AsRef::<str>::as_ref(one).is_ascii());
    let mut parameters = Vec::new();
    for (needed, extension, parameter) in [
        (international, Extension::SmtpUtfEight, MailParameter::SmtpUtfEight),
        (!bytes.is_ascii(), Extension::EightBitMime, MailParameter::Body(MailBodyParameter::EightBitMime)),
    ] {
        if needed && !connection.server_info().supports_feature(extension) {
            return Err(SendError::Refused(SmtpError::Unfit.into()));
        }
        parameters.extend(needed.then_some(parameter));
    }
    // The sender is ours: if the server does not want it, the message is not at fault.
    let opened = connection.command(Mail::new(envelope.from().cloned(), parameters)).await;
    opened.map_err(|error| unavailable(at("MAIL", error)))?;
    for to in envelope.to() {
        let accepted = connection.command(Rcpt::new(to.clone(), Vec::new())).await;
        accepted.map_err(to_recipient)?;
    }
    connection.command(Data).await.map_err(|error| before_content("DATA", error))?;
    handed.store(true, Ordering::Release);
    connection.message(&bytes).await.map_err(after_content)?;
    Ok(())
}

/// A code for now is about the mailbox (RFC 5321, section 4.2.3), unless the server closes or wants other credentials.
fn to_recipient(error: lettre::transport::smtp::Error) -> SendError {
    const SESSION: [u16; 3] = [421, 432, 454];
    let ours = error.status().is_none_or(|code| SESSION.contains(&code.into()));
    if error.is_transient() && !ours {
        SendError::Deferred { retry_after: None, source: at("RCPT", error).into() }
    } else {
        before_content("RCPT", error)
    }
}

/// The server's code says whether the recipient or the session is refused; no answer means that nothing was sent.
fn before_content(step: &'static str, error: lettre::transport::smtp::Error) -> SendError {
    // Of the session, not of the recipient (RFC 4954, section 6; RFC 5321, section 4.2.3).
    const SESSION: [u16; 8] = [500, 502, 503, 530, 534, 535, 538, 521];
    let ours = error.status().is_some_and(|code| SESSION.contains(&code.into()));
    if error.is_permanent() && !ours {
        SendError::Refused(at(step, error).into())
    } else {
        unavailable(at(step, error))
    }
}

/// A code is certain. Anything else leaves open whether the server took the message.
fn after_content(error: lettre::transport::smtp::Error) -> SendError {
    const STEP: &str = "the message";
    if error.is_permanent() {
        SendError::Refused(at(STEP, error).into())
    } else if error.is_transient() {
        unavailable(at(STEP, error))
    } else {
        SendError::Unknown(at(STEP, error).into())
    }
}

fn unavailable(error: SmtpError) -> SendError {
    SendError::Unavailable { retry_after: None, source: error.into() }
}

fn at(step: &'static str, error: lettre::transport::smtp::Error) -> SmtpError {
    if let Some(code) = error.status() {
        SmtpError::Answer { step, code: code.into() }
    } else if error.is_response() {
        SmtpError::Garbled { step }
    } else {
        SmtpError::Broken { step, source: error }
    }
}
