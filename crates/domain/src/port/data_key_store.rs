//! Where data keys live, and what is sealed with them.

use async_trait::async_trait;

use super::PortError;
use crate::{
    audit::AuditEvent,
    data_key::{DataKeyId, SealedCount, SealedIn, SealedValue, StoredDataKey},
    secret::Sealed,
    time::Timestamp,
};

/// What became of a wish to drop a data key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DataKeyDropped {
    /// It is dropped.
    Dropped,
    /// There is no such key, or it was dropped before.
    Unknown,
    /// None that took over from it has sealed for long enough.
    Seals,
    /// These are sealed with it. Nothing was changed.
    InUse(Vec<SealedCount>),
}

/// Keeps data keys, and has what is sealed changed to another key. Several processes share them.
///
/// A value under a dropped key MUST NOT get in any more, by any method of any port of the durable store: whoever was held up with
/// one for however long fails.
#[async_trait]
pub trait DataKeyStore: Send + Sync {
    /// All keys, those that sealed first first.
    async fn list_data_keys(&self) -> Result<Vec<StoredDataKey>, PortError>;

    /// Adds `key`, and `first` unless it is there, with the row of the trail, in one step; false, and nothing is changed, if there is a
    /// key that does not seal yet at the time `key` was made, however many ask at once.
    async fn insert_data_key(
        &self,
        key: StoredDataKey,
        first: StoredDataKey,
        audit: AuditEvent,
    ) -> Result<bool, PortError>;

    /// Takes `seals` of those that `key` is good for, in one conditional statement that survives a loss of power before it is answered. The
    /// answer is how many are taken with these. `None`, and nothing is taken, if it would be more than `limit`, however many ask at once.
    async fn take_seals(&self, key: DataKeyId, seals: u64, limit: u64) -> Result<Option<u64>, PortError>;

    /// How many seals of each key are taken. Keys that nobody has taken any of are left out.
    async fn list_seals(&self) -> Result<Vec<(DataKeyId, u64)>, PortError>;

    /// How many values are sealed with which key, column by column. Logins and challenges that have ended at `now` do not count.
    async fn count_sealed(&self, now: Timestamp) -> Result<Vec<SealedCount>, PortError>;

    /// At most `limit` values of a kept column, in a fixed order, that are not sealed with `key` and come after `after`.
    async fn list_sealed(
        &self,
        column: SealedIn,
        key: DataKeyId,
        after: Option<&SealedValue>,
        limit: usize,
    ) -> Result<Vec<SealedValue>, PortError>;

    /// Puts the new form of each value in the place of the one that was read, unless that has changed or gone; how many it was.
    async fn replace_sealed(&self, values: Vec<(SealedValue, Sealed)>) -> Result<usize, PortError>;

    /// Drops and forgets a key, with the row of the trail, in one step: only if one that seals after it has done so since `sealed_since`,
    /// and no value is sealed with it. Logins and challenges that have ended at `now` do not count.
    async fn drop_data_key(
        &self,
        key: DataKeyId,
        sealed_since: Timestamp,
        now: Timestamp,
        audit: AuditEvent,
    ) -> Result<DataKeyDropped, PortError>;
}
