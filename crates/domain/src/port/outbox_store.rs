//! Messages that wait to be sent, durable.
//!
//! Rows are also written by the steps that cause them, in the same transaction: see [`NewEnrollment`], [`LoginCommit`].
//!
//! [`NewEnrollment`]: super::authenticator_store::NewEnrollment
//! [`LoginCommit`]: super::login_store::LoginCommit

use async_trait::async_trait;

use super::PortError;
use crate::{
    audit::AuditEvent,
    id::MessageId,
    message::{
        Channel, OutboxRow,
        day::{DayCharge, DayCharged},
    },
    time::Timestamp,
};

/// How the try ended after which a row waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It was not sent, or its provider will know it again.
    Unsent,
    /// It may have been sent, and would be sent once more.
    InDoubt,
}

/// Keeps what waits to be sent.
#[async_trait]
pub trait OutboxStore: Send + Sync {
    /// Adds rows whose cause is no durable step of its own. All of them or none.
    async fn insert(&self, rows: Vec<OutboxRow>) -> Result<(), PortError>;

    /// Adds a new row, writes `audit` to the trail and adds one to each count of `charges`, in one transaction: each by one conditional
    /// statement, and if one of them has reached its most, nothing. Of 64 parallel callers at a count of 10 exactly 10 MUST be charged, those that
    /// [begin an enrolment](super::authenticator_store::AuthenticatorStore::begin_enrollment) included, at all replicas together.
    async fn insert_charged(
        &self,
        row: OutboxRow,
        charges: Vec<DayCharge>,
        audit: AuditEvent,
    ) -> Result<DayCharged, PortError>;

    /// What charging would come to at this moment. It says nothing of the next, and changes nothing.
    async fn look_at_day(&self, charges: &[DayCharge]) -> Result<DayCharged, PortError>;

    /// Takes at most `limit` rows of `channel` that are due at `now` and have not expired, those due first first. Each is due again at
    /// `lease_until` and has one attempt more. Of any number of parallel callers exactly one MUST get a row.
    async fn claim(
        &self,
        channel: Channel,
        now: Timestamp,
        lease_until: Timestamp,
        limit: usize,
    ) -> Result<Vec<OutboxRow>, PortError>;

    /// Makes a row due at `due_at`, if it is there. It has one doubt more if its try `ended` in one.
    async fn postpone(&self, id: &MessageId, due_at: Timestamp, ended: Ended) -> Result<(), PortError>;

    /// Removes a row that was sent or given up, if it is there, and writes `audit`, which says so, to the trail. Both or neither: of any
    /// number of callers one writes a row.
    async fn remove(&self, id: &MessageId, audit: AuditEvent) -> Result<(), PortError>;

    /// When the oldest row of `channel` that somebody waits for and that has not expired at `now` was caused; `None` if there is none.
    async fn oldest(&self, channel: Channel, now: Timestamp) -> Result<Option<Timestamp>, PortError>;

    /// Sweeps rows that expired before `now` and that nobody is trying to send, and writes for each one to the trail that it was given
    /// up. Counts of days before yesterday go too: yesterday's may be added to by a replica whose clock is slow. The answer is how many went.
    async fn purge(&self, now: Timestamp) -> Result<u64, PortError>;
}

/// Told that rows were added, so that nobody has to look all the time.
pub trait Bell: Send + Sync {
    /// Rings. It never waits and never fails.
    fn ring(&self);

    /// Claims a row of `channel` that is about to be written, for whoever sends messages in this process: then it need not be claimed by a
    /// step of its own. `None` if nobody does, or as much as may be is in flight.
    fn claim(&self, channel: Channel, now: Timestamp) -> Option<Box<dyn Claim>>;
}

/// A claim on a row that is about to be written. Dropping it gives the place up.
pub trait Claim: Send {
    /// How long others leave the row alone.
    fn lease_until(&self) -> Timestamp;

    /// Has the row sent, which is [written as claimed](OutboxRow::claimed).
    fn hand_over(self: Box<Self>, row: OutboxRow);
}
