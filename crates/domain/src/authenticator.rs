//! An enrolled second factor.

use serde::{Deserialize, Serialize};

use crate::{
    id::{AuthenticatorId, PairId, UserId},
    message::Channel,
    secret::{Digest, Sealed, Secret},
    time::Timestamp,
};

/// Consecutive failures that disable an authenticator (NIST SP 800-63B-4, section 3.2.2).
pub const FAILURE_CEILING: u32 = 100;

/// Authenticators a person may have, pending ones included; one more than that and association is refused.
pub const MAX_PER_USER: usize = 51;

/// The longest name of an authenticator, in characters.
pub const MAX_NAME_CHARS: usize = 64;

/// The kinds of enrolled authenticators, in the order in which the server prefers them: strongest first.
///
/// The recovery code is not among them: it is never chosen, listed last, and kept as [`RecoveryCode`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FactorKind {
    /// A device that signs its owner's answer (the Guardian protocol).
    Push,
    /// An authenticator app (RFC 6238).
    Otp,
    /// Codes by text message.
    Sms,
    /// Codes by telephone call.
    Voice,
    /// Codes by e-mail.
    Email,
}

impl FactorKind {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Push, Self::Otp, Self::Sms, Self::Voice, Self::Email];

    /// The prefix of authenticator ids of this kind.
    pub const fn id_prefix(self) -> &'static str {
        match self {
            Self::Otp => "totp",
            _ => self.as_str(),
        }
    }

    /// The name of the kind in columns, logs and throttle keys.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Push => "push",
            Self::Otp => "otp",
            Self::Sms => "sms",
            Self::Voice => "voice",
            Self::Email => "email",
        }
    }

    /// The kind with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }

    /// The channel its codes or notifications take; `None` if nothing is sent.
    pub const fn channel(self) -> Option<Channel> {
        match self {
            Self::Push => Some(Channel::Push),
            Self::Otp => None,
            Self::Sms => Some(Channel::Sms),
            Self::Voice => Some(Channel::Voice),
            Self::Email => Some(Channel::Email),
        }
    }

    /// Whether it makes two factors of a password. E-mail does not (NIST SP 800-63B-4, section 3.1.3.1).
    pub const fn is_strong(self) -> bool {
        !matches!(self, Self::Email)
    }

    /// Whether it depends on the telephone network, which NIST SP 800-63B-4, section 3.1.3.3 restricts.
    pub const fn is_restricted(self) -> bool {
        matches!(self, Self::Sms | Self::Voice)
    }

    /// The challenge type under which it is asked for: the `challenge_type` of the MFA API.
    pub const fn challenge_type(self) -> &'static str {
        match self {
            Self::Otp => "otp",
            Self::Push | Self::Sms | Self::Voice | Self::Email => "oob",
        }
    }
}

/// Where an authenticator stands.
///
/// ```text
/// associate ──▶ Pending ──confirm──▶ Active ──100 failures──▶ Disabled
///                  └── expires            └── delete              └── delete
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    /// Associated, not confirmed. It does not exist for login decisions.
    Pending {
        /// The last moment at which it can be confirmed.
        until: Timestamp,
        /// Digest of the bearer token it was begun with; only who has that token can confirm it.
        bearer: Digest,
    },
    /// Confirmed and usable.
    Active,
    /// Disabled by too many failures. It cannot be used, but its owner still counts as enrolled.
    Disabled,
}

/// One enrolled authenticator. What proves it is sealed in `state`; its factor's file in `factor/` can read it.
#[derive(Clone, Debug)]
pub struct Authenticator {
    /// `{kind}|dev_{16 alphanumerics}`.
    pub id: AuthenticatorId,
    /// The owner.
    pub user: UserId,
    /// What it is.
    pub kind: FactorKind,
    /// Where it stands.
    pub status: Status,
    /// What it shares with the one that was enrolled with it: they are confirmed, disabled and removed together.
    pub pair: Option<PairId>,
    /// The factor's own data: tagged, versioned and sealed to owner and id.
    pub state: Sealed,
    /// Keyed digest of the number or address its codes go to, or of its device's key, to find it by. A push authenticator whose
    /// device has not registered has none.
    pub address: Option<Digest>,
    /// The verified e-mail address it follows from, if nobody enrolled it. No store keeps such a one.
    pub implied: Option<Secret<String>>,
    /// The name its owner gave it.
    pub name: Option<String>,
    /// Whether its owner prefers it.
    pub preferred: bool,
    /// The last time step that was accepted; codes of this step and earlier ones are dead.
    pub last_step: Option<u64>,
    /// How many time steps its clock is ahead, negative if it is behind, as far as that was learned.
    pub drift: i8,
    /// Failures since the last success.
    pub failures: u32,
    /// When it was associated.
    pub created_at: Timestamp,
    /// When it was confirmed.
    pub confirmed_at: Option<Timestamp>,
    /// When it last completed a login.
    pub last_used_at: Option<Timestamp>,
}

impl Authenticator {
    /// Whether it can complete a login.
    pub fn is_active(&self) -> bool {
        self.status == Status::Active
    }

    /// The telephone it is one way to: text messages and calls to it bring the same codes, and failures of one count for the other.
    pub fn telephone(&self) -> Option<&PairId> {
        self.pair.as_ref().filter(|_| matches!(self.kind, FactorKind::Sms | FactorKind::Voice))
    }

    /// Digest of the bearer token it was begun with, while it is pending.
    pub fn bearer(&self) -> Option<Digest> {
        match self.status {
            Status::Pending { bearer, .. } => Some(bearer),
            Status::Active | Status::Disabled => None,
        }
    }

    /// Whether it waits for its first code at `now`.
    pub fn is_pending(&self, now: Timestamp) -> bool {
        matches!(self.status, Status::Pending { until, .. } if now < until)
    }
}

/// The one recovery code a person has. The code itself is only ever stored as a keyed digest.
#[derive(Clone, Debug)]
pub struct RecoveryCode {
    /// `recovery-code|dev_{16 alphanumerics}`.
    pub id: AuthenticatorId,
    /// Pending until the first confirmation of an authenticator.
    pub status: RecoveryStatus,
    /// Failures since the last success.
    pub failures: u32,
    /// When it was made.
    pub created_at: Timestamp,
}

/// Where a recovery code stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RecoveryStatus {
    /// Shown, but no authenticator has been confirmed yet.
    Pending,
    /// Usable once.
    Active,
    /// Disabled by too many failures.
    Disabled,
}
