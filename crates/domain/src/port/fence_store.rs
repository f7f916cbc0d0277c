//! What tells a database from an older copy of itself, and what is done to one that was put back.

use async_trait::async_trait;

use super::PortError;
use crate::{audit::AuditEvent, id::UserId, time::Timestamp};

/// Which database it is, and how far it has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lineage {
    /// Made at random, and anew by each fence.
    pub id: String,
    /// How often a server has marked it; 0 if none ever had it. It only rises.
    pub mark: u64,
}

/// What a fence does.
#[derive(Clone, Debug)]
pub struct Fence {
    /// The id that the lineage has from now on.
    pub lineage: String,
    /// When: not before anything that the store holds.
    pub now: Timestamp,
    /// What the clock says: later with each fence.
    pub clock: Timestamp,
    /// Time steps of authenticator apps up to this one count as used.
    pub last_step: u64,
    /// What becomes of factors.
    pub factors: Factors,
    /// The row of the audit trail.
    pub audit: AuditEvent,
}

/// What a fence makes of factors.
#[derive(Clone, Debug)]
pub enum Factors {
    /// Authenticators stay; recovery codes are void.
    Keep,
    /// Everybody's are removed.
    Reset,
    /// These people's are changed as said; others stay as they are.
    Of(Vec<PersonFence>),
}

/// What a fence does to one person.
#[derive(Clone, Debug)]
pub struct PersonFence {
    /// Whom.
    pub user: UserId,
    /// Factors are removed, with this row.
    pub reset: Option<AuditEvent>,
    /// The account is blocked, with this row.
    pub block: Option<AuditEvent>,
    /// Wrong codes that count against every factor that stays, and disable those that come to
    /// [`FAILURE_CEILING`](crate::authenticator::FAILURE_CEILING).
    pub failures: u32,
}

/// What was done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fenced {
    /// Accounts whose logins and tokens are void.
    pub accounts: u64,
    /// Families of refresh tokens, and remembered devices, that were revoked.
    pub families: u64,
    /// Apps of which no code is taken until the last step is over.
    pub apps: u64,
    /// Recovery codes that were voided.
    pub recovery_codes: u64,
    /// Authenticators that were removed; those nobody had confirmed are not counted.
    pub authenticators: u64,
    /// Messages that waited, and were dropped.
    pub messages: u64,
}

/// A durable store that may be put back from a backup.
#[async_trait]
pub trait FenceStore: Send + Sync {
    /// Its lineage.
    async fn lineage(&self) -> Result<Lineage, PortError>;

    /// Raises the mark by one, durably, and answers the lineage then.
    async fn mark(&self) -> Result<Lineage, PortError>;

    /// Brings what was committed from the log into the file; whether all of it is there, so that the file alone says this lineage.
    async fn settle(&self) -> Result<bool, PortError>;

    /// Makes void whatever may have been used or taken away in a later state of this store, in one step. No server runs on it.
    ///
    /// - Every account's epoch MUST leap over all that it may have had, also after another fence of the same backup: access tokens and logins
    ///   in flight of other epochs are void. Counts of what data keys have sealed leap too.
    /// - Families of refresh tokens, remembered devices, enrolments nobody has confirmed, links of notices, messages that wait, logins
    ///   in flight and challenges MUST be gone.
    /// - No time step up to `last_step` is taken from anybody, and no assertion of a client that can have been used by `now`.
    /// - Factors become what [`Factors`] says.
    async fn fence(&self, fence: Fence) -> Result<Fenced, PortError>;
}
