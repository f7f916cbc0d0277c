//! The commit point: where it is decided, once, that tokens may be issued.

use async_trait::async_trait;

use super::{PortError, refresh_store::RefreshStep};
use crate::{
    audit::AuditEvent,
    authenticator::RecoveryCode,
    id::{AuthenticatorId, PairId, UserId},
    message::OutboxRow,
    policy::Strength,
    secret::Digest,
    time::Timestamp,
    user::User,
};

/// A login that is ready to be decided. Everything in it happens together or not at all.
#[derive(Clone, Debug)]
pub struct LoginCommit {
    /// The person.
    pub user: UserId,
    /// The epoch the proofs were checked at. The account MUST exist, not be blocked, and have this epoch still.
    pub epoch: u64,
    /// The MFA transaction to consume; `None` for a login without a second factor, and for confirming an enrolment with an
    /// access token.
    pub transaction: Option<ConsumedTransaction>,
    /// The factor to burn.
    pub burn: Burn,
    /// What becomes of the refresh tokens.
    pub refresh: RefreshStep,
    /// What becomes of the device it is on, under the same conditions.
    pub device: RefreshStep,
    /// Whether the person is told hereby that they must enrol: their grace period begins `now`. They MUST NOT have been told before.
    pub begins_grace: bool,
    /// What the clock of the authenticator that `burn` names was found to be off, in time steps, if that changed.
    pub drift: Option<i8>,
    /// The second factor that is proven hereby, if it is to be remembered. At most [`MAX_PROOFS`] of a person are kept, the latest.
    pub proof: Option<NewProof>,
    /// When; `last_used_at` of what was burnt.
    pub now: Timestamp,
    /// What is to be sent if it is decided.
    pub messages: Vec<OutboxRow>,
    /// The link of its notices, of the authenticator that `burn` confirms.
    pub repudiation: Option<NewRepudiation>,
    /// The row of the audit trail.
    pub audit: AuditEvent,
}

impl LoginCommit {
    /// A step of `user` that `audit` tells of: at its time, in the epoch the account was read at, with nothing to send.
    pub fn new(user: &User, transaction: Option<ConsumedTransaction>, burn: Burn, audit: AuditEvent) -> Self {
        Self {
            user: user.id.clone(),
            epoch: user.epoch,
            transaction,
            burn,
            refresh: RefreshStep::Nothing,
            device: RefreshStep::Nothing,
            begins_grace: false,
            drift: None,
            proof: None,
            now: audit.at,
            messages: Vec::new(),
            repudiation: None,
            audit,
        }
    }
}

/// The most networks of a person that are remembered.
pub const MAX_PROOFS: u32 = 20;

/// A second factor to remember, with the epoch of its login.
#[derive(Clone, Copy, Debug)]
pub struct NewProof {
    /// Keyed digest of person and network. `None`: the address is not known.
    pub network: Option<Digest>,
    /// How strong it was.
    pub strength: Strength,
}

/// What is asked of the second factors that are remembered.
#[derive(Clone, Copy, Debug)]
pub struct ProofQuery {
    /// The epoch the account was read at: what was proven before it rose to this MUST count for nothing.
    pub epoch: u64,
    /// The network that is asked about. `None` is none, and was never seen.
    pub network: Option<Digest>,
    /// The least strength.
    pub strength: Strength,
}

/// When a person last completed a second factor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LastProven {
    /// From the network that was asked about.
    pub network: Option<Timestamp>,
    /// From anywhere.
    pub anywhere: Option<Timestamp>,
}

/// A link that says "this was not me". Its store is the [`RepudiationStore`](super::repudiation_store::RepudiationStore).
#[derive(Clone, Debug)]
pub struct NewRepudiation {
    /// Digest of its token.
    pub digest: Digest,
    /// The authenticator it removes.
    pub authenticator: AuthenticatorId,
    /// From this moment on it is of no use.
    pub expires_at: Timestamp,
}

/// The mark that makes a second use of an MFA transaction impossible, whatever happens to the session store.
#[derive(Clone, Copy, Debug)]
pub struct ConsumedTransaction {
    /// Digest of the `mfa_token`.
    pub digest: Digest,
    /// When the mark may be swept: after the transaction could not be used any more anyway. MUST be the same each time the same
    /// transaction is presented.
    pub sweep_at: Timestamp,
}

/// What a login uses up.
#[derive(Clone, Debug)]
pub enum Burn {
    /// Nothing: the password was enough.
    Nothing,
    /// A proof by an active authenticator. Its failures are reset.
    Use {
        /// The authenticator.
        authenticator: AuthenticatorId,
        /// The one-time thing.
        spent: Spent,
        /// The telephone whose failures are reset along: its codes come from one place, whichever way it got them.
        telephone: Option<PairId>,
    },
    /// A code that was sent to the verified address of the person, who MUST have that address still. The failures of the address are
    /// reset. Nobody enrols an address, so there is a login, whose mark spends the challenge: see [`Spent::OfLogin`].
    UseAddress,
    /// The active recovery code: it MUST be unused; its successor becomes active. Failures start anew with the successor.
    RecoveryCode {
        /// Digest of what was presented.
        presented: Digest,
        /// The successor.
        successor: RecoveryCode,
        /// The successor's digest.
        successor_digest: Digest,
    },
    /// The first proof by a pending authenticator: it MUST still be pending at `now`. It becomes active, and with it what is paired
    /// with it and the pending recovery code that was begun with the same bearer; other pending codes go. Who was never told to enrol
    /// counts as told from now on: who has had a factor is past the grace period that others are given for their first.
    Confirm {
        /// The pending authenticator.
        authenticator: AuthenticatorId,
        /// The one-time thing.
        spent: Spent,
        /// Whether the person must not be enrolled yet (the transaction proved the first factor only).
        only_if_unenrolled: bool,
    },
}

impl Burn {
    /// The one-time thing that was proven, but for recovery codes, which have rows of their own.
    pub const fn spent(&self) -> Option<&Spent> {
        match self {
            Self::Use { spent, .. } | Self::Confirm { spent, .. } => Some(spent),
            Self::UseAddress => Some(&Spent::OfLogin),
            Self::Nothing | Self::RecoveryCode { .. } => None,
        }
    }
}

/// A one-time thing.
#[derive(Clone, Copy, Debug)]
pub enum Spent {
    /// A time step of an authenticator app: `last_step` MUST rise to it or the commit is lost.
    Step(u64),
    /// A challenge: the commit is lost if it was consumed before.
    Challenge(ConsumedChallenge),
    /// A challenge that was opened with the login of this commit, and can be answered with that login alone: the login's own mark spends
    /// both. The commit MUST have a [`LoginCommit::transaction`], or it is lost.
    OfLogin,
}

impl Spent {
    /// A challenge. If `login` is there, the challenge MUST have been opened with it, and that have been compared.
    pub(crate) fn challenge(digest: Digest, expires_at: Timestamp, login: Option<&ConsumedTransaction>) -> Self {
        match login {
            Some(_) => Self::OfLogin,
            None => Self::Challenge(ConsumedChallenge { digest, sweep_at: sweep_at(expires_at) }),
        }
    }
}

/// The mark that makes a second use of a challenge impossible, whatever happens to the session store.
#[derive(Clone, Copy, Debug)]
pub struct ConsumedChallenge {
    /// Digest of the `oob_code`.
    pub digest: Digest,
    /// When the mark may be swept; as with [`ConsumedTransaction::sweep_at`].
    pub sweep_at: Timestamp,
}

/// The mark that makes a second use of a client's assertion impossible.
#[derive(Clone, Copy, Debug)]
pub struct UsedAssertion {
    /// Digest of the client and the assertion's `jti`.
    pub digest: Digest,
    /// When the mark may be swept. Other than with [`ConsumedTransaction::sweep_at`] it may differ for the same digest.
    pub sweep_at: Timestamp,
    /// The first moment at which it can have been used.
    pub usable_from: Timestamp,
}

/// When the mark of what was used may be swept: an hour after it could last be presented.
pub(crate) fn sweep_at(expires_at: Timestamp) -> Timestamp {
    expires_at.plus(std::time::Duration::from_secs(3600))
}

/// What the commit point decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommitOutcome {
    /// Tokens may be issued.
    Committed,
    /// The transaction was used before. Nothing was changed.
    TransactionSpent,
    /// The factor was used before, or is gone. Nothing was changed.
    ProofSpent,
    /// The account is gone, blocked, or its epoch has moved. Nothing was changed.
    AccountChanged,
    /// The refresh token was exchanged or revoked before. Nothing was changed.
    RefreshSpent,
    /// The person was told to enrol before, so that their grace period is another. Nothing was changed.
    ToldBefore,
}

/// What a wrong code counts against.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FailureTarget {
    /// These authenticators, all that were compared, and what is paired with them.
    Authenticators(Vec<AuthenticatorId>),
    /// The person's verified address.
    Address,
    /// The person's active recovery code.
    RecoveryCode,
}

/// A wrong code.
#[derive(Clone, Debug)]
pub struct Failure {
    /// What it counts against.
    pub target: FailureTarget,
    /// Failures in a row that disable.
    pub ceiling: u32,
    /// At how many failures in a row of one target `messages` are added to the outbox: exactly then, once.
    pub notify_at: u32,
    /// What is sent then.
    pub messages: Vec<OutboxRow>,
    /// The pending login it was presented with. One that is completed wins nobody anything any more, and what is presented with it is not
    /// counted.
    pub login: Option<ConsumedTransaction>,
    /// The row of the audit trail.
    pub audit: AuditEvent,
}

/// Why a step of a login was refused that was completed before, in the audit trail.
pub const COMPLETED: &str = "login completed before";

/// What became of a [`Failure`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted {
    /// It counts.
    Yes,
    /// Its login was completed before. Nothing was changed; the row of the audit trail says so.
    LoginSpent,
}

impl Failure {
    /// A wrong code that nobody is told of.
    pub const fn new(target: FailureTarget, ceiling: u32, audit: AuditEvent) -> Self {
        Self { target, ceiling, notify_at: 0, messages: Vec::new(), login: None, audit }
    }
}

/// Decides logins.
#[async_trait]
pub trait LoginStore: Send + Sync {
    /// Decides one login, in one durable transaction. Tokens MUST NOT be issued on anything but
    /// [`CommitOutcome::Committed`]; an error means the outcome is unknown, and counts as a refusal.
    async fn commit(&self, login: LoginCommit) -> Result<CommitOutcome, PortError>;

    /// Whether this login is completed: its mark is there. Reads only.
    async fn is_completed(&self, login: &ConsumedTransaction) -> Result<bool, PortError>;

    /// When `user` last completed a second factor that is remembered.
    async fn last_proven(&self, user: &UserId, query: ProofQuery) -> Result<LastProven, PortError>;

    /// Adds a failure to each target and disables those that reach the ceiling, which raises the user's epoch; writes the audit row. Where
    /// the [login](Failure::login) is completed, it writes the row alone. An address is never disabled here: who reads it compares with
    /// the ceiling; its reaching the ceiling raises the epoch too.
    async fn count_failure(&self, user: &UserId, failure: Failure) -> Result<Counted, PortError>;

    /// Writes a row of the audit trail about something that changes nothing else here, with what is to be sent of it. Both or neither.
    async fn record(&self, audit: AuditEvent, messages: Vec<OutboxRow>) -> Result<(), PortError>;

    /// Writes a row of the audit trail about something that changed nothing durable. It need not survive a loss of power in the next
    /// moment, and SHOULD NOT wait for the disk.
    async fn note(&self, audit: AuditEvent) -> Result<(), PortError>;

    /// Marks an assertion of a client as used, in one conditional statement. True: it was not. Of 64 parallel callers with the same
    /// digest exactly one MUST be told so, at all replicas together. Where a backup was put back, what can have been used before
    /// [the fence](crate::port::fence_store) MUST be refused: its mark may be gone.
    async fn redeem_assertion(&self, assertion: UsedAssertion) -> Result<bool, PortError>;

    /// Sweeps consumed marks, marks of assertions, links of notices, families of refresh tokens and expired pending enrolments that no longer matter at `now`. The answer is how many rows went.
    async fn purge(&self, now: Timestamp) -> Result<u64, PortError>;
}
