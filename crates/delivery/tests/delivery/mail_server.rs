//! A mail server that nobody here wrote, run by `smtp_server.py`.

use std::{path::PathBuf, process::Stdio};

use countersign_delivery::provider::smtp::{SmtpCredentials, SmtpEncryption, SmtpSettings};
use countersign_domain::secret::Secret;
use data_encoding::BASE64;
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines},
    process::{Child, ChildStdout, Command},
};

use super::authority::Authority;

pub struct MailServer {
    authority: Authority,
    encryption: SmtpEncryption,
    port: u16,
    lines: Lines<BufReader<ChildStdout>>,
    _process: Child,
}

impl MailServer {
    pub async fn start(encryption: SmtpEncryption) -> Self {
        let interpreter = std::env::var_os("COUNTERSIGN_TEST_PYTHON").map(PathBuf::from).expect(
            "COUNTERSIGN_TEST_PYTHON is not set: run the tests with scripts/test, which installs the mail server",
        );
        let authority = Authority::new();
        let mode = match encryption {
            SmtpEncryption::StartTls => "starttls",
            SmtpEncryption::Tls => "tls",
            SmtpEncryption::Plain => "plain",
        };
        let mut process = Command::new(interpreter)
            .arg(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/delivery/smtp_server.py"))
            .arg(mode)
            .args([authority.certificate(), authority.key()])
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("PYTHONWARNINGS", "ignore")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the interpreter starts");
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let port = lines.next_line().await.unwrap().expect("the mail server starts").parse().unwrap();
        Self { authority, encryption, port, lines, _process: process }
    }

    /// What a sender needs to use it.
    pub fn settings(&self) -> SmtpSettings {
        let credentials = SmtpCredentials { user: "countersign".into(), password: Secret::new("correct horse".into()) };
        SmtpSettings {
            host: "localhost".into(),
            port: self.port,
            encryption: self.encryption,
            root_ca_file: Some(self.authority.root()),
            credentials: (self.encryption != SmtpEncryption::Plain).then_some(credentials),
            from_name: "Countersign Ünit".into(),
            from_address: "login@example.com".into(),
            ..SmtpSettings::default()
        }
    }

    /// The next message it took.
    pub async fn taken(&mut self) -> Taken {
        let line = self.lines.next_line().await.unwrap().expect("the mail server runs");
        Taken(serde_json::from_str(&line).unwrap())
    }
}

/// A message as the server saw it.
pub struct Taken(pub Value);

impl Taken {
    pub fn source(&self) -> String {
        String::from_utf8(BASE64.decode(self.0["data"].as_str().unwrap().as_bytes()).unwrap()).unwrap()
    }
}
