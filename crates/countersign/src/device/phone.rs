//! What a phone remembers, in one file.

use std::{io::ErrorKind, path::Path, time::Duration};

use anyhow::Context as _;
use countersign_crypto::entropy::SystemEntropy;
use countersign_domain::{port::entropy::Entropy as _, secret::Secret, time::Timestamp};
use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{base_url::BaseUrl, code::Totp};
use crate::{cli::exit::Failure, demo::write_private};

/// The shape of the file that this program writes and reads.
const VERSION: u8 = 1;
/// How long a login waits for an answer.
pub const PATIENCE: Duration = Duration::from_secs(300);

/// A phone. Its secrets are written by [`Phone::save`] and shown nowhere else.
#[derive(Debug, Serialize, Deserialize)]
pub struct Phone {
    version: u8,
    /// What it calls itself; the same in all accounts.
    pub identifier: String,
    /// Whose notifications are its own.
    #[serde(with = "kept")]
    pub push_token: Secret<String>,
    /// Where it is enrolled.
    pub accounts: Vec<Account>,
    /// Enrolments without an answer. Tried again with the same key, they are the same enrolment.
    #[serde(default)]
    pub pending: Vec<Pending>,
    /// Logins that need no answer any more.
    #[serde(default)]
    answered: Vec<Answered>,
}

/// One enrolment.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Account {
    /// The server's name for it, `dev_…`.
    pub id: String,
    /// Where its device API is.
    pub url: BaseUrl,
    /// Who runs it.
    pub issuer: String,
    /// Whose it is.
    pub user_id: String,
    /// What the device is called.
    pub name: String,
    /// Whether the person types the number that a login shows.
    pub number_matching: bool,
    /// The bearer of requests about the enrolment itself.
    #[serde(with = "kept")]
    pub token: Secret<String>,
    /// The private key, PKCS #8 in base64.
    #[serde(with = "kept")]
    pub key: Secret<String>,
    /// What codes are made with, if it came along.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub totp: Option<Totp>,
}

/// An enrolment that was begun.
#[derive(Debug, Serialize, Deserialize)]
pub struct Pending {
    /// With which ticket.
    #[serde(with = "kept")]
    pub ticket: Secret<String>,
    /// With which key.
    #[serde(with = "kept")]
    pub key: Secret<String>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Answered {
    id: String,
    at: Timestamp,
}

impl Phone {
    /// A new phone.
    ///
    /// # Errors
    ///
    /// There is no randomness.
    pub fn new() -> anyhow::Result<Self> {
        let (mut identifier, mut token) = ([0; 16], Zeroizing::new([0; 32]));
        let entropy = SystemEntropy::new();
        entropy.fill(&mut identifier)?;
        entropy.fill(token.as_mut_slice())?;
        Ok(Self {
            version: VERSION,
            identifier: HEXLOWER.encode(&identifier),
            push_token: Secret::new(HEXLOWER.encode(token.as_slice())),
            accounts: Vec::new(),
            pending: Vec::new(),
            answered: Vec::new(),
        })
    }

    /// The phone of the file at `path`.
    ///
    /// # Errors
    ///
    /// There is no such file, or it is not one of [`Phone::save`].
    pub fn load(path: &Path) -> Result<Self, Failure> {
        Self::find(path)?.ok_or_else(|| {
            Failure::Data(format!("There is no phone in {}; `countersign device enrol` makes one", path.display()))
        })
    }

    /// The phone of the file at `path`, if there is one.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or is not one of [`Phone::save`].
    pub fn find(path: &Path) -> Result<Option<Self>, Failure> {
        let content = match std::fs::read(path) {
            Ok(content) => Zeroizing::new(content),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Failure::Data(format!("{} cannot be read: {error}", path.display()))),
        };
        // What is wrong with it is told by place alone: the text of an error could quote a secret.
        let phone: Self = serde_json::from_slice(&content).map_err(|error| {
            let (line, column) = (error.line(), error.column());
            Failure::Data(format!("{} is no phone: line {line}, column {column}", path.display()))
        })?;
        if phone.version == VERSION {
            Ok(Some(phone))
        } else {
            Err(Failure::Data(format!("{} is of another version of this program", path.display())))
        }
    }

    /// Writes it to `path`, whole or not at all, for its owner alone.
    ///
    /// # Errors
    ///
    /// It cannot be written.
    pub fn save(&self, path: &Path) -> anyhow::Result<()> {
        let mut content = Zeroizing::new(serde_json::to_vec_pretty(self).context("a phone has a JSON form")?);
        content.push(b'\n');
        write_private(path, &content)
    }

    /// Adds `account`, in the place of an earlier answer to the same enrolment.
    pub fn keep(&mut self, account: Account) {
        self.forget(&account);
        self.accounts.push(account);
    }

    /// Drops `account`.
    pub fn forget(&mut self, account: &Account) {
        self.accounts.retain(|other| (&other.id, &other.url) != (&account.id, &account.url));
    }

    /// The account that `id` or the beginning of it names; without, the only one.
    ///
    /// # Errors
    ///
    /// There is none, or there are several.
    pub fn account(&self, id: Option<&str>) -> Result<&Account, Failure> {
        let start = id.unwrap_or_default();
        let mut named = self.accounts.iter().filter(|account| {
            account.id.starts_with(start) || account.id.strip_prefix("dev_").is_some_and(|id| id.starts_with(start))
        });
        match (named.next(), named.next()) {
            (Some(account), None) => Ok(account),
            (Some(_), Some(_)) => Err(Failure::Data("Several accounts fit; name one by its id".to_owned())),
            (None, _) => Err(Failure::Data("This phone has no such account".to_owned())),
        }
    }

    /// Whether the login of message `id` needs no answer any more.
    pub fn has_answered(&self, id: &str) -> bool {
        self.answered.iter().any(|answered| answered.id == id)
    }

    /// Remembers that the login of message `id`, of the time `at`, needs no answer any more, and forgets those too old to wait.
    pub fn answered(&mut self, id: &str, at: Timestamp, now: Timestamp) {
        self.answered.retain(|answered| now.since(answered.at) <= PATIENCE);
        self.answered.push(Answered { id: id.to_owned(), at });
    }
}

/// How secrets stand in the file: as they are.
pub(super) mod kept {
    use countersign_domain::secret::Secret;
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(secret: &Secret<String>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(secret.expose())
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Secret<String>, D::Error> {
        String::deserialize(deserializer).map(Secret::new)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn account(id: &str) -> Account {
        Account {
            id: id.to_owned(),
            url: BaseUrl::parse("https://localhost:8443/appliance-mfa").unwrap(),
            issuer: "https://localhost:8443/".to_owned(),
            user_id: "auth0|1".to_owned(),
            name: "a phone".to_owned(),
            number_matching: true,
            token: Secret::new("tok-secret".to_owned()),
            key: Secret::new("key-secret".to_owned()),
            totp: None,
        }
    }

    #[test]
    fn a_phone_is_kept_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("phone.json");
        assert!(Phone::find(&path).unwrap().is_none());
        let mut phone = Phone::new().unwrap();
        phone.keep(account("dev_1"));
        phone.keep(account("dev_1"));
        phone.save(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let read = Phone::load(&path).unwrap();
        assert_eq!((read.identifier, read.accounts.len()), (phone.identifier, 1));
        assert_eq!(read.push_token.expose(), phone.push_token.expose());
    }

    #[test]
    fn a_phone_prints_no_secret() {
        let mut phone = Phone::new().unwrap();
        phone.keep(account("dev_1"));
        phone
            .pending
            .push(Pending { ticket: Secret::new("tick-secret".into()), key: Secret::new("pen-secret".into()) });
        let printed = format!("{phone:?}");
        assert!(!printed.contains("-secret") && !printed.contains(phone.push_token.expose()), "{printed}");
    }

    #[test]
    fn a_file_of_something_else_is_not_quoted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("phone.json");
        for (content, why) in [
            (r#"{"version":1,"push_token":{"hunter2":1}}"#, "no phone: line 1"),
            ("", "no phone: line 1"),
            (r#"{"version":2,"identifier":"hunter2","push_token":"hunter2","accounts":[]}"#, "another version"),
        ] {
            std::fs::write(&path, content).unwrap();
            let error = Phone::load(&path).unwrap_err().to_string();
            assert!(error.contains(why) && !error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn an_account_is_named_by_the_beginning_of_its_id() {
        let mut phone = Phone::new().unwrap();
        assert!(phone.account(None).is_err());
        phone.keep(account("dev_abc"));
        assert!(phone.account(None).is_ok());
        phone.keep(account("dev_abd"));
        assert!(
            phone.account(None).is_err() && phone.account(Some("ab")).is_err() && phone.account(Some("x")).is_err()
        );
        assert_eq!(phone.account(Some("abd")).unwrap().id, "dev_abd");
        assert_eq!(phone.account(Some("dev_abc")).unwrap().id, "dev_abc");
    }

    #[test]
    fn answers_are_remembered_for_as_long_as_logins_wait() {
        let mut phone = Phone::new().unwrap();
        let at = |seconds: i64| Timestamp::from_millis(seconds * 1000);
        phone.answered("msg_1", at(0), at(10));
        phone.answered("msg_2", at(100), at(300));
        assert!(phone.has_answered("msg_1") && phone.has_answered("msg_2"));
        phone.answered("msg_3", at(301), at(301));
        assert!(!phone.has_answered("msg_1") && phone.has_answered("msg_2"));
    }
}
