//! The links of notices: "this was not me" removes what was added, once.
//!
//! A link is written with the confirmation it tells of: see [`LoginCommit`](super::login_store::LoginCommit).

use async_trait::async_trait;

use super::PortError;
use crate::{
    audit::AuditEvent,
    id::{AuthenticatorId, UserId},
    message::OutboxRow,
    secret::Digest,
    time::Timestamp,
};

/// What the link of a notice stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repudiation {
    /// Whose authenticator was added.
    pub user: UserId,
    /// Which.
    pub authenticator: AuthenticatorId,
    /// From this moment on the link is of no use.
    pub expires_at: Timestamp,
}

/// A link to follow to its end.
#[derive(Clone, Debug)]
pub struct Redemption {
    /// Digest of its token.
    pub digest: Digest,
    /// When.
    pub now: Timestamp,
    /// What is to be sent if it was good.
    pub messages: Vec<OutboxRow>,
    /// The row of the audit trail.
    pub audit: AuditEvent,
}

/// Keeps the links of notices. Only digests of their tokens are kept; a link goes with its authenticator.
#[async_trait]
pub trait RepudiationStore: Send + Sync {
    /// The link with this digest, expired ones included until they are swept.
    async fn find(&self, digest: &Digest) -> Result<Option<Repudiation>, PortError>;

    /// Spends a link and removes its authenticator and what is paired with it, in one transaction. The link MUST be there and MUST
    /// NOT have expired at `now`; of any number of parallel callers exactly one MUST succeed. The user's epoch rises and management
    /// tokens issued before `now` are void. When no active or disabled authenticator is left, the recovery code goes too. False:
    /// nothing changed.
    async fn redeem(&self, redemption: Redemption) -> Result<bool, PortError>;
}
