//! Randomness.

use super::PortError;

/// A cryptographically secure source of random bytes.
pub trait Entropy: Send + Sync {
    /// Fills `buffer`.
    ///
    /// # Errors
    ///
    /// [`PortError::Unavailable`] if the system's generator fails; then nothing may be issued.
    fn fill(&self, buffer: &mut [u8]) -> Result<(), PortError>;
}
