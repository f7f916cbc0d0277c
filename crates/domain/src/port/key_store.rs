//! Where signing keys live.

use async_trait::async_trait;

use super::{PortError, signer::Algorithm};
use crate::{id::KeyId, secret::Sealed, time::Timestamp};

/// A signing key as it is stored.
#[derive(Clone, Debug)]
pub struct StoredKey {
    /// Its `kid`.
    pub id: KeyId,
    /// Its algorithm.
    pub algorithm: Algorithm,
    /// The private key, PKCS #8, sealed.
    pub sealed: Sealed,
    /// When it was made. The newest of an algorithm is the current one.
    pub created_at: Timestamp,
}

/// Keeps signing keys.
#[async_trait]
pub trait KeyStore: Send + Sync {
    /// All keys, the newest first.
    async fn list_keys(&self) -> Result<Vec<StoredKey>, PortError>;

    /// Adds `key` if its algorithm has none yet, in one step; false if it had. Replicas that start together end up with one.
    async fn insert_first_key(&self, key: StoredKey) -> Result<bool, PortError>;
}
