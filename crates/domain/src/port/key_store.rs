//! Where signing keys live.

use async_trait::async_trait;

use super::{PortError, signer::Algorithm};
use crate::{audit::AuditEvent, id::KeyId, secret::Sealed, signing_key::KeyState, time::Timestamp};

/// A signing key as it is stored.
#[derive(Clone, Debug)]
pub struct StoredKey {
    /// Its `kid`.
    pub id: KeyId,
    /// Its algorithm.
    pub algorithm: Algorithm,
    /// Where it stands.
    pub state: KeyState,
    /// The private key, PKCS #8, sealed. Empty once it is retired.
    pub sealed: Sealed,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it came into its state.
    pub changed_at: Timestamp,
}

/// Keeps signing keys. Several processes share them: every change is one step that names what it expects to find, and leaves its row of
/// the audit trail.
#[async_trait]
pub trait KeyStore: Send + Sync {
    /// All keys, the newest first.
    async fn list_keys(&self) -> Result<Vec<StoredKey>, PortError>;

    /// Adds `key` unless its algorithm has one in the same state already, in one step; false if it had. MUST keep at most one
    /// current and one next key of each algorithm, however many ask at once.
    async fn insert_key(&self, key: StoredKey, audit: AuditEvent) -> Result<bool, PortError>;

    /// Makes the next key `next` the current one and the current key `current` a previous one, in one step; false, and nothing is
    /// changed, if either is not in that state any more.
    async fn promote_key(
        &self,
        next: &KeyId,
        current: &KeyId,
        now: Timestamp,
        audit: AuditEvent,
    ) -> Result<bool, PortError>;

    /// Makes the next key `next` the current one where its algorithm has none, in one step; false, and nothing is changed, if it is no
    /// next key any more or there is a current one.
    async fn begin_key(&self, next: &KeyId, now: Timestamp, audit: AuditEvent) -> Result<bool, PortError>;

    /// Makes the current key `current` a previous one, and nothing takes over, in one step; false if it is in another state.
    async fn end_key(&self, current: &KeyId, now: Timestamp, audit: AuditEvent) -> Result<bool, PortError>;

    /// Retires the key if it is in the state `from`, and forgets its private key, in one step; false if it is in another state.
    async fn retire_key(
        &self,
        id: &KeyId,
        from: KeyState,
        now: Timestamp,
        audit: AuditEvent,
    ) -> Result<bool, PortError>;

    /// Makes the next key `next` the current one, retires the current key `current` and forgets its private key, raises the epoch of
    /// every account and voids their management tokens issued before `now`, all in one step. The answer is how many accounts there
    /// are; `None`, and nothing is changed, if either key is not in that state any more.
    async fn replace_key(
        &self,
        next: &KeyId,
        current: &KeyId,
        now: Timestamp,
        audit: Vec<AuditEvent>,
    ) -> Result<Option<u64>, PortError>;
}
