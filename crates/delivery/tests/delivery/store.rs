//! An outbox in memory, a sealer without a key, and what they may do wrong.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use async_trait::async_trait;
use countersign_domain::{
    audit::AuditEvent,
    id::{MessageId, UserId},
    message::{
        Channel, Message, OutboxRow,
        day::{DayCharge, DayCharged},
    },
    port::{
        PortError,
        outbox_store::{Ended, OutboxStore},
        sealer::{DigestPurpose, Place, Sealer},
    },
    secret::{Digest, Sealed, Secret},
    time::Timestamp,
};
use tokio::sync::watch;

pub struct Outbox {
    rows: Mutex<BTreeMap<String, OutboxRow>>,
    audit: Mutex<Vec<AuditEvent>>,
    /// Turned on: claiming fails.
    pub unreadable: AtomicBool,
    /// Turned on: removing and postponing fail.
    pub unwritable: AtomicBool,
    /// Rings whenever something was done to it.
    changes: watch::Sender<u64>,
}

impl Outbox {
    pub fn with(messages: &[Message]) -> Self {
        let rows = messages.iter().map(|message| (message.id.to_string(), waiting(message))).collect();
        Self {
            rows: Mutex::new(rows),
            audit: Mutex::default(),
            unreadable: AtomicBool::new(false),
            unwritable: AtomicBool::new(false),
            changes: watch::Sender::new(0),
        }
    }

    pub fn row(&self, id: &str) -> Option<OutboxRow> {
        self.rows.lock().unwrap().get(id).cloned()
    }

    /// The audit trail so far: event, person and detail.
    pub fn trail(&self) -> Vec<(&'static str, Option<String>, Option<String>)> {
        let trail = self.audit.lock().unwrap();
        let text = |row: &AuditEvent| {
            let user = row.user.as_ref().map(ToString::to_string);
            (row.event.as_str(), user, row.detail.as_deref().map(str::to_owned))
        };
        trail.iter().map(text).collect()
    }

    pub fn len(&self) -> usize {
        self.rows.lock().unwrap().len()
    }

    /// Waits until `is_so`, looking whenever something was done.
    pub async fn until(&self, is_so: impl Fn(&Self) -> bool) {
        self.changes.subscribe().wait_for(|_| is_so(self)).await.unwrap();
    }

    /// Waits until something is done.
    pub async fn change(&self) {
        self.changes.subscribe().changed().await.unwrap();
    }

    fn changed(&self) {
        self.changes.send_modify(|changes| *changes += 1);
    }
}

/// The row of a message to Ann.
pub fn waiting(message: &Message) -> OutboxRow {
    message.seal(&UserId::new("auth0|ann"), &ToySealer).unwrap()
}

fn failure() -> PortError {
    PortError::Unavailable("outbox", "disk full".into())
}

#[async_trait]
impl OutboxStore for Outbox {
    async fn insert(&self, rows: Vec<OutboxRow>) -> Result<(), PortError> {
        self.rows.lock().unwrap().extend(rows.into_iter().map(|row| (row.id.to_string(), row)));
        self.changed();
        Ok(())
    }

    async fn insert_charged(
        &self,
        _row: OutboxRow,
        _charges: Vec<DayCharge>,
        _audit: AuditEvent,
    ) -> Result<DayCharged, PortError> {
        unreachable!("the worker causes no message")
    }

    async fn look_at_day(&self, _charges: &[DayCharge]) -> Result<DayCharged, PortError> {
        unreachable!("the worker causes no message")
    }

    async fn claim(
        &self,
        channel: Channel,
        now: Timestamp,
        lease_until: Timestamp,
        limit: usize,
    ) -> Result<Vec<OutboxRow>, PortError> {
        let claimed = if self.unreadable.load(Ordering::SeqCst) {
            Err(failure())
        } else {
            let mut rows = self.rows.lock().unwrap();
            let due = rows
                .values_mut()
                .filter(|row| row.channel == channel && row.due_at <= now && row.expires_at > now)
                .take(limit);
            Ok(due
                .map(|row| {
                    row.due_at = lease_until;
                    row.attempts += 1;
                    row.clone()
                })
                .collect())
        };
        self.changed();
        claimed
    }

    async fn postpone(&self, id: &MessageId, due_at: Timestamp, ended: Ended) -> Result<(), PortError> {
        let failed = self.unwritable.load(Ordering::SeqCst);
        if let Some(row) = self.rows.lock().unwrap().get_mut(id.as_str()).filter(|_| !failed) {
            row.due_at = due_at;
            row.doubts += u32::from(ended == Ended::InDoubt);
        }
        self.changed();
        if failed { Err(failure()) } else { Ok(()) }
    }

    async fn remove(&self, id: &MessageId, audit: AuditEvent) -> Result<(), PortError> {
        let failed = self.unwritable.load(Ordering::SeqCst);
        if !failed && self.rows.lock().unwrap().remove(id.as_str()).is_some() {
            self.audit.lock().unwrap().push(audit);
        }
        self.changed();
        if failed { Err(failure()) } else { Ok(()) }
    }

    async fn oldest(&self, _channel: Channel, _now: Timestamp) -> Result<Option<Timestamp>, PortError> {
        unreachable!("the worker does not ask")
    }

    async fn purge(&self, _now: Timestamp) -> Result<u64, PortError> {
        unreachable!("the worker does not sweep")
    }
}

/// Binds to the place and hides nothing.
pub struct ToySealer;

fn label(place: Place<'_>) -> String {
    format!("{}|{}|{}|", place.record, place.id, place.owner)
}

impl Sealer for ToySealer {
    fn seal(&self, place: Place<'_>, plaintext: &[u8]) -> Result<Sealed, PortError> {
        Ok(Sealed::new([label(place).as_bytes(), plaintext].concat()))
    }

    fn open(&self, place: Place<'_>, sealed: &Sealed) -> Result<Secret<Vec<u8>>, PortError> {
        let plain = sealed.as_bytes().strip_prefix(label(place).as_bytes());
        Ok(Secret::new(plain.ok_or_else(|| PortError::Corrupt("moved".into()))?.to_vec()))
    }

    fn keyed_digest(&self, _purpose: DigestPurpose, _parts: &[&[u8]]) -> Digest {
        unreachable!("messages have no digest")
    }

    fn token_digest(&self, _domain: &'static str, _value: &[u8]) -> Digest {
        unreachable!("messages have no digest")
    }
}
