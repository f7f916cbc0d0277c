//! Password verifiers.

use async_trait::async_trait;

use super::PortError;
use crate::{presence::Presence, secret::Secret, user::PasswordHash};

/// What a check found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PasswordVerdict {
    /// The password is right.
    Right,
    /// It is wrong, or there was nothing to compare with.
    Wrong,
}

/// Hashes and checks passwords on a bounded pool of threads of its own.
#[async_trait]
pub trait PasswordHasher: Send + Sync {
    /// Checks `password` against `stored`. With `None` it MUST do the same work against a dummy and answer
    /// [`PasswordVerdict::Wrong`], so that nobody learns from the time whether an account exists.
    ///
    /// If who asks leaves while it waits for its turn, it MUST NOT be checked any more; what has begun is finished, since its verdict
    /// counts whoever hears it.
    ///
    /// # Errors
    ///
    /// [`PortError::Abandoned`] if they left before it was begun.
    /// [`PortError::Overloaded`] if the pool's queue is full or the wait is too long; never a cheaper hash.
    /// [`PortError::Corrupt`] if `stored` cannot be read.
    async fn verify(
        &self,
        stored: Option<PasswordHash>,
        password: Secret<String>,
        asked_by: &Presence,
    ) -> Result<PasswordVerdict, PortError>;

    /// Makes the verifier of a new password.
    ///
    /// # Errors
    ///
    /// [`PortError::Overloaded`] as above.
    async fn hash(&self, password: Secret<String>) -> Result<PasswordHash, PortError>;

    /// Takes in an argon2id PHC string made elsewhere, and returns the form that is stored.
    ///
    /// # Errors
    ///
    /// [`PortError::Corrupt`] if it is not an argon2id PHC string, or is weaker than 12 MiB and 3 passes, 19 MiB and 2, or
    /// 46 MiB and 1 (OWASP ASVS 5.0, 11.4.2).
    fn import(&self, phc: &Secret<String>) -> Result<PasswordHash, PortError>;
}
