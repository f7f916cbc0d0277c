//! Messages to people: what is said, where it goes, and how it waits to be sent.

pub mod day;
pub mod ending;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::{
    error::{Error, Reason},
    id::{MessageId, UserId},
    opaque::{ALPHANUMERIC, random_text},
    port::{
        PortError,
        entropy::Entropy,
        sealer::{Place, Sealer, record},
    },
    secret::{Sealed, Secret},
    time::Timestamp,
};

/// The way a message takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Channel {
    /// A text message.
    Sms,
    /// A call that speaks.
    Voice,
    /// An e-mail.
    Email,
    /// A notification to an app.
    Push,
}

impl Channel {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Sms, Self::Voice, Self::Email, Self::Push];

    /// The name in configuration and columns.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sms => "sms",
            Self::Voice => "voice",
            Self::Email => "email",
            Self::Push => "push",
        }
    }

    /// The `oob_channel` of the MFA API.
    pub const fn oob_channel(self) -> &'static str {
        match self {
            Self::Push => "auth0",
            _ => self.as_str(),
        }
    }
}

/// One message to one person.
#[derive(Clone, Debug)]
pub struct Message {
    /// Its name, and the idempotency key of every try at sending it.
    pub id: MessageId,
    /// The way it takes.
    pub channel: Channel,
    /// A number in E.164, an e-mail address, or the token an app has from its push service.
    pub to: Secret<String>,
    /// What it says.
    pub content: Content,
    /// The languages its reader asked for, as in `Accept-Language` (RFC 9110, section 12.5.4); `None` if nobody asked.
    pub languages: Option<String>,
    /// When it was caused.
    pub created_at: Timestamp,
    /// After this moment nobody needs it any more.
    pub expires_at: Timestamp,
}

/// What a message says.
#[derive(Clone, Debug)]
pub enum Content {
    /// A code to type in.
    Code {
        /// What it is for.
        purpose: Purpose,
        /// Six digits.
        code: Secret<String>,
    },
    /// Something happened to the account.
    Notice(Notice),
    /// A login waits for an answer.
    Push(Push),
}

/// A login that an app is asked about: the notification of the Guardian protocol, and our number matching.
#[derive(Clone, Debug)]
pub struct Push {
    /// What the app signs; `c`.
    pub challenge: Secret<String>,
    /// The bearer of the answer; `txtkn`.
    pub transaction_token: Secret<String>,
    /// What is no secret.
    pub context: PushContext,
}

/// What an app may show of a login.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PushContext {
    /// Who brings it to the app.
    pub service: PushService,
    /// Base URL of the device API; `sh`.
    pub base_url: String,
    /// The enrolment the app knows, `dev_{16 alphanumerics}`; `dai`.
    pub device: String,
    /// When the login was begun; `d`.
    pub requested_at: Timestamp,
    /// The client's name, for the app to show.
    pub client_name: String,
    /// The browser or app the person logs in with, as its `User-Agent` says; part of `s`.
    pub user_agent: Option<String>,
    /// The address the person logs in from; part of `l`.
    pub address: Option<String>,
    /// Whether the app must ask for the number that the login shows.
    pub number_matching: bool,
}

/// Brings notifications to apps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum PushService {
    /// Firebase Cloud Messaging; devices still call it `GCM`.
    #[serde(rename = "GCM")]
    Fcm,
    /// Apple Push Notification service.
    #[serde(rename = "APNS")]
    Apns,
}

/// What a code is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Purpose {
    /// To confirm a new authenticator.
    Enroll,
    /// To log in.
    Verify,
}

impl Purpose {
    /// The name in the audit trail.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Enroll => "enroll",
            Self::Verify => "verify",
        }
    }
}

/// What happened (NIST SP 800-63B-4, section 4.6).
#[derive(Clone, Debug)]
pub struct Notice {
    /// What.
    pub event: NoticeEvent,
    /// Which authenticator, as its owner knows it: its name or masked address.
    pub authenticator: Option<String>,
    /// Where "this was not me" is said; it holds a token.
    pub repudiate: Option<Secret<String>>,
}

/// Events that people are told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NoticeEvent {
    /// An authenticator was confirmed.
    FactorAdded,
    /// An authenticator was removed.
    FactorRemoved,
    /// A recovery code was made.
    RecoveryCodeCreated,
    /// The recovery code was used; it has a successor.
    RecoveryCodeUsed,
    /// The password was right, and the second factor wrong three times.
    SecondFactorFailed,
    /// The password was right, and the login was refused on a device.
    LoginRefused,
    /// The password was right, and a device was asked so often without an answer that it is not asked any more.
    DeviceSuspended,
    /// A device is remembered from now on.
    DeviceRemembered,
    /// What a device was remembered by was used a second time; the device is forgotten.
    RememberedDeviceReused,
}

impl NoticeEvent {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::FactorAdded,
        Self::FactorRemoved,
        Self::RecoveryCodeCreated,
        Self::RecoveryCodeUsed,
        Self::SecondFactorFailed,
        Self::LoginRefused,
        Self::DeviceSuspended,
        Self::DeviceRemembered,
        Self::RememberedDeviceReused,
    ];

    /// The name in templates and webhooks.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::FactorAdded => "factor-added",
            Self::FactorRemoved => "factor-removed",
            Self::RecoveryCodeCreated => "recovery-code-created",
            Self::RecoveryCodeUsed => "recovery-code-used",
            Self::SecondFactorFailed => "second-factor-failed",
            Self::LoginRefused => "login-refused",
            Self::DeviceSuspended => "device-suspended",
            Self::DeviceRemembered => "device-remembered",
            Self::RememberedDeviceReused => "remembered-device-reused",
        }
    }
}

/// Whether somebody sits and waits for a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Urgency {
    /// A code, or a login to approve. Soon it is of no use, and a channel on which it waits is no good.
    Awaited,
    /// A notice: good for days, and to be sent however long the channel is down.
    Patient,
}

impl Content {
    /// Whether somebody waits for it.
    pub const fn urgency(&self) -> Urgency {
        match self {
            Self::Code { .. } | Self::Push(_) => Urgency::Awaited,
            Self::Notice(_) => Urgency::Patient,
        }
    }

    /// What it is for, in a word of a closed vocabulary.
    pub const fn purpose(&self) -> &'static str {
        match self {
            Self::Code { purpose, .. } => purpose.as_str(),
            Self::Notice(notice) => notice.event.as_str(),
            Self::Push(_) => Purpose::Verify.as_str(),
        }
    }
}

/// A message that waits to be sent. A store sees no more of it than this.
#[derive(Clone, Debug)]
pub struct OutboxRow {
    /// The message's id, the key.
    pub id: MessageId,
    /// Whose it is, for the audit trail; `None`: it was written by a version that did not say so.
    pub user: Option<UserId>,
    /// The way it takes.
    pub channel: Channel,
    /// Whether somebody waits for it.
    pub urgency: Urgency,
    /// The sealed message.
    pub sealed: Sealed,
    /// Tries that were begun.
    pub attempts: u32,
    /// Tries after which it may have been sent, by a provider that would send it once more.
    pub doubts: u32,
    /// When it was caused.
    pub created_at: Timestamp,
    /// When it may be tried next.
    pub due_at: Timestamp,
    /// After this moment it is not sent any more.
    pub expires_at: Timestamp,
}

impl OutboxRow {
    /// The row while it is tried for the first time: others leave it alone until `lease_until`.
    #[must_use]
    pub fn claimed(self, lease_until: Timestamp) -> Self {
        Self { attempts: 1, due_at: lease_until, ..self }
    }
}

/// The sealed form. `v` tells later versions apart.
#[derive(Serialize, Deserialize)]
struct Stored {
    v: u8,
    to: Zeroizing<String>,
    content: StoredContent,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    languages: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum StoredContent {
    Code {
        purpose: Purpose,
        code: Zeroizing<String>,
    },
    Notice {
        event: NoticeEvent,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        authenticator: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        repudiate: Option<Zeroizing<String>>,
    },
    Push {
        challenge: Zeroizing<String>,
        transaction_token: Zeroizing<String>,
        context: PushContext,
    },
}

impl Message {
    /// A new random id.
    ///
    /// # Errors
    ///
    /// There is no randomness.
    pub fn new_id(entropy: &dyn Entropy) -> Result<MessageId, PortError> {
        Ok(MessageId::new(format!("msg_{}", random_text(ALPHANUMERIC, 24, entropy)?)))
    }

    /// Seals it into a row that is due at once. It is `user`'s.
    ///
    /// # Errors
    ///
    /// The sealer failed.
    pub fn seal(&self, user: &UserId, sealer: &dyn Sealer) -> Result<OutboxRow, Error> {
        let plain = |secret: &Secret<String>| Zeroizing::new(secret.expose().clone());
        let stored = Stored {
            v: 1,
            to: plain(&self.to),
            content: match &self.content {
                Content::Code { purpose, code } => StoredContent::Code { purpose: *purpose, code: plain(code) },
                Content::Notice(notice) => StoredContent::Notice {
                    event: notice.event,
                    authenticator: notice.authenticator.clone(),
                    repudiate: notice.repudiate.as_ref().map(plain),
                },
                Content::Push(push) => StoredContent::Push {
                    challenge: plain(&push.challenge),
                    transaction_token: plain(&push.transaction_token),
                    context: push.context.clone(),
                },
            },
            languages: self.languages.clone(),
        };
        let bytes = Zeroizing::new(serde_json::to_vec(&stored).map_err(damaged)?);
        Ok(OutboxRow {
            id: self.id.clone(),
            user: Some(user.clone()),
            channel: self.channel,
            urgency: self.content.urgency(),
            sealed: sealer.seal(place(&self.id, self.channel), &bytes)?,
            attempts: 0,
            doubts: 0,
            created_at: self.created_at,
            due_at: self.created_at,
            expires_at: self.expires_at,
        })
    }

    /// Opens a row.
    ///
    /// # Errors
    ///
    /// It was changed, moved, or sealed with a key that is gone.
    pub fn open(row: &OutboxRow, sealer: &dyn Sealer) -> Result<Self, Error> {
        let bytes = sealer.open(place(&row.id, row.channel), &row.sealed)?;
        let stored: Stored = serde_json::from_slice(bytes.expose()).map_err(damaged)?;
        if stored.v != 1 {
            return Err(Error::new(Reason::Internal).because("unknown version of a message"));
        }
        let secret = |text: Zeroizing<String>| Secret::new((*text).clone());
        Ok(Self {
            id: row.id.clone(),
            channel: row.channel,
            to: secret(stored.to),
            content: match stored.content {
                StoredContent::Code { purpose, code } => Content::Code { purpose, code: secret(code) },
                StoredContent::Notice { event, authenticator, repudiate } => {
                    Content::Notice(Notice { event, authenticator, repudiate: repudiate.map(secret) })
                }
                StoredContent::Push { challenge, transaction_token, context } => Content::Push(Push {
                    challenge: secret(challenge),
                    transaction_token: secret(transaction_token),
                    context,
                }),
            },
            languages: stored.languages,
            created_at: row.created_at,
            expires_at: row.expires_at,
        })
    }
}

/// The channel is bound in: a code that was meant for a mailbox is not sent to a phone.
fn place(id: &MessageId, channel: Channel) -> Place<'_> {
    Place { record: record::MESSAGE, id: id.as_str(), owner: channel.as_str() }
}

fn damaged(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    PortError::Corrupt(Box::new(error)).into()
}
