//! The authenticators.

use async_trait::async_trait;

use super::PortError;
use crate::{
    audit::AuditEvent,
    authenticator::{Authenticator, RecoveryCode},
    id::{AuthenticatorId, UserId},
    message::{OutboxRow, day::DayCharge},
    secret::{Digest, Sealed},
    time::Timestamp,
};

/// An enrolment to begin.
#[derive(Clone, Debug)]
pub struct NewEnrollment {
    /// The pending authenticator.
    pub authenticator: Authenticator,
    /// The one that is enrolled with it; it has the same `pair`, status and times.
    pub companion: Option<Authenticator>,
    /// A pending recovery code, with its digest. It is stored unless the person has a confirmed one, or one that was begun with the
    /// same bearer: a code shown to one login must not become another's.
    pub recovery_code: (RecoveryCode, Digest),
    /// The user's epoch the decision was made at.
    pub epoch: u64,
    /// Whether the person must not be enrolled (the bearer proved the first factor only).
    pub only_if_unenrolled: bool,
    /// The most authenticators the person may have, these included. Pending ones begun with other bearers do not count.
    pub limit: usize,
    /// What is to be sent if it begins.
    pub messages: Vec<OutboxRow>,
    /// What they are charged to, as at [`insert_charged`](super::outbox_store::OutboxStore::insert_charged).
    pub charges: Vec<DayCharge>,
    /// The row of the audit trail.
    pub audit: AuditEvent,
}

/// What became of an enrolment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EnrollmentBegun {
    /// The authenticator is pending.
    Begun {
        /// Whether the recovery code was stored too, so that it may be shown.
        with_recovery_code: bool,
    },
    /// The person has an active or disabled authenticator.
    AlreadyEnrolled,
    /// The person has as many as allowed.
    LimitReached,
    /// A count of the day was at its most. Nothing was changed.
    DayIsOver {
        /// Its place in the list.
        charge: usize,
    },
    /// The account is gone, blocked, or its epoch has moved.
    AccountChanged,
}

/// A change of what its owner may change.
#[derive(Clone, Debug, Default)]
pub struct AuthenticatorChange {
    /// The new name; `Some(None)` removes it.
    pub name: Option<Option<String>>,
    /// Whether it is preferred; making one preferred MUST make all others of the person not preferred.
    pub preferred: Option<bool>,
}

/// What a device says of itself.
#[derive(Clone, Debug)]
pub struct DeviceRecord {
    /// The owner.
    pub user: UserId,
    /// Its push authenticator.
    pub authenticator: AuthenticatorId,
    /// The sealed state.
    pub state: Sealed,
    /// The one that was read, in whose place it comes.
    pub before: Sealed,
    /// Keyed digest of its key: the authenticator's `address`.
    pub key: Digest,
    /// Its name; `None` leaves the authenticator's.
    pub name: Option<String>,
    /// Whether it registers; if not, it is registered and changes.
    pub registers: bool,
    /// The row of the audit trail.
    pub audit: AuditEvent,
}

/// The token that goes on after a removal it asked for.
#[derive(Clone, Copy, Debug)]
pub struct Spared {
    /// Tells it, in that epoch alone.
    pub digest: Digest,
    /// The epoch that the removal begins.
    pub epoch: u64,
}

/// Keeps authenticators. Logging in with them is the [`LoginStore`](super::login_store::LoginStore)'s.
#[async_trait]
pub trait AuthenticatorStore: Send + Sync {
    /// Adds a pending authenticator, in one transaction: first the person's expired pending ones go (at `now`), and with the
    /// last of all their authenticators their pending recovery code; then the conditions of `enrollment` are checked; then
    /// its messages are charged to their day, all or nothing; then the rows are written.
    async fn begin_enrollment(&self, enrollment: NewEnrollment, now: Timestamp) -> Result<EnrollmentBegun, PortError>;

    /// Changes one active authenticator of `user`. False: the person has no such active authenticator; nothing changed.
    async fn update(
        &self,
        user: &UserId,
        authenticator: &AuthenticatorId,
        change: AuthenticatorChange,
        audit: AuditEvent,
    ) -> Result<bool, PortError>;

    /// Keeps what a device says of itself, in one conditional statement. One that registers needs a push authenticator that is
    /// pending at `now` and has no key; one that changes needs an active one with the same key. False: there is no such
    /// authenticator, or it has another state than the one that was read; nothing changed.
    async fn keep_device(&self, device: DeviceRecord, now: Timestamp) -> Result<bool, PortError>;

    /// Removes one authenticator of `user` and what is paired with it, whatever their status. Unless they were pending, the
    /// user's epoch rises, `spares` is kept and `messages` are added to the outbox. When no active or disabled one is left, the recovery code
    /// goes too. False: the person has no such authenticator, or their epoch would not rise to the one that `spares` names; nothing changed.
    async fn delete(
        &self,
        user: &UserId,
        authenticator: &AuthenticatorId,
        spares: Option<Spared>,
        messages: Vec<OutboxRow>,
        audit: AuditEvent,
    ) -> Result<bool, PortError>;
}
