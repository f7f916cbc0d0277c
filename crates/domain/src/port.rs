//! What the domain needs from the world, one trait a file.
//!
//! A port call is one atomic step: it happened whole or not at all, and there is nothing to begin or to forget.

pub mod assertion_keys;
pub mod audit_store;
pub mod authenticator_store;
pub mod clock;
pub mod data_key_store;
pub mod device_verifier;
pub mod entropy;
pub mod fence_store;
pub mod key_store;
pub mod login_store;
pub mod outbox_store;
pub mod password_hasher;
pub mod refresh_store;
pub mod repudiation_store;
pub mod sealer;
pub mod sender;
pub mod session_store;
pub mod signer;
pub mod user_store;

/// Why a port could not do its work. No driver's type leaves an adapter; the chain below is for the log.
#[derive(Debug, thiserror::Error)]
pub enum PortError {
    /// The thing behind the port does not answer, or refuses: no connection, time-out, disk full. Nothing may be assumed
    /// about whether the step happened; callers fail closed.
    #[error("the {0} is not available")]
    Unavailable(&'static str, #[source] Box<dyn std::error::Error + Send + Sync>),
    /// It answered that it did not do it: the disk is full, a statement was refused. The step did not happen.
    #[error("the {0} is not available")]
    Undone(&'static str, #[source] Box<dyn std::error::Error + Send + Sync>),
    /// Too much is waiting already; the step did not happen.
    #[error("too many callers are waiting")]
    Overloaded,
    /// Who asked for it left before it was begun; the step did not happen, and nobody will hear of it.
    #[error("nobody waits for it any more")]
    Abandoned,
    /// What came back cannot be what was stored: a seal that does not open, a row that does not parse.
    #[error("stored data is damaged")]
    Corrupt(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl PortError {
    /// Whether it is certain that the step did not happen, so that what was paid for it can be given back.
    pub const fn did_not_happen(&self) -> bool {
        matches!(self, Self::Undone(..) | Self::Overloaded | Self::Abandoned)
    }
}
