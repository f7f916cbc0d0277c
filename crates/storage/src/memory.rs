//! Everything in memory, behind one lock. For tests only: nothing survives the process.

mod audit;
mod authenticators;
mod burn;
mod data_keys;
mod keys;
mod logins;
mod outbox;
mod refresh;
mod repudiations;
mod sessions;
mod users;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

use countersign_domain::{
    account::Account,
    audit::AuditEvent,
    authenticator::{Authenticator, RecoveryCode, Status},
    challenge::ChallengeRecord,
    data_key::{DataKeyId, StoredDataKey},
    id::{AuthenticatorId, FamilyId, MessageId, RealmName, UserId},
    message::OutboxRow,
    port::{
        key_store::StoredKey, refresh_store::RefreshFamily, repudiation_store::Repudiation, session_store::BucketKey,
    },
    secret::Digest,
    time::Timestamp,
    transaction::TransactionRecord,
    user::User,
};

use crate::bucket::Level;

/// Keeps everything in memory. For tests only.
#[derive(Default)]
pub struct MemoryStore(Mutex<State>);

#[derive(Default)]
struct State {
    users: BTreeMap<UserId, Entry>,
    names: HashMap<(RealmName, String), UserId>,
    consumed: HashMap<Mark, Timestamp>,
    keys: Vec<StoredKey>,
    data_keys: Vec<StoredDataKey>,
    seals: BTreeMap<DataKeyId, u64>,
    audit: Vec<AuditEvent>,
    transactions: HashMap<Digest, TransactionRecord>,
    challenges: HashMap<Digest, ChallengeRecord>,
    outbox: BTreeMap<MessageId, OutboxRow>,
    /// How many messages were sent, by day and counter.
    sent: BTreeMap<(i64, String), u32>,
    families: HashMap<FamilyId, RefreshFamily>,
    /// Links of notices. One whose authenticator is gone is none.
    repudiations: HashMap<Digest, Repudiation>,
    /// With when each is full again.
    buckets: HashMap<BucketKey, (Level, Timestamp)>,
}

/// What was used up, and must not be again.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Mark {
    Transaction(Digest),
    Challenge(Digest),
    Assertion(Digest),
}

/// An account, with what a snapshot of it does not show.
struct Entry {
    user: User,
    authenticators: BTreeMap<AuthenticatorId, Authenticator>,
    recovery_code: Option<(RecoveryCode, Digest)>,
    /// Codes that wait for a confirmation, by the bearer they were begun with.
    pending_codes: HashMap<Digest, (RecoveryCode, Digest)>,
    used_codes: HashSet<Digest>,
    /// The second factors that are remembered, by network and strength: the epoch, and when.
    proofs: BTreeMap<(Option<Digest>, u8), (u64, Timestamp)>,
}

impl MemoryStore {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The audit trail so far, oldest first.
    pub fn audit_trail(&self) -> Vec<AuditEvent> {
        self.lock().audit.clone()
    }
}

impl State {
    /// The account, if it is not blocked and has this epoch still.
    fn standing(&mut self, user: &UserId, epoch: u64) -> Option<&mut Entry> {
        self.users.get_mut(user).filter(|entry| !entry.user.blocked && entry.user.epoch == epoch)
    }
}

impl Entry {
    fn account(&self) -> Account {
        Account {
            user: self.user.clone(),
            authenticators: self.authenticators.values().cloned().collect(),
            recovery_code: self
                .recovery_code
                .as_ref()
                .or_else(|| self.pending_codes.values().max_by_key(|(code, _)| code.created_at))
                .map(|(code, _)| code.clone()),
        }
    }

    fn is_enrolled(&self) -> bool {
        self.authenticators.values().any(|a| !matches!(a.status, Status::Pending { .. }))
    }
}
