//! Families of refresh tokens: what one login may be continued with (RFC 6749, section 1.5; RFC 9700, section 4.14).
//!
//! No token is stored. A family is opened and its token exchanged in the commit point: see
//! [`LoginCommit`](super::login_store::LoginCommit).

use async_trait::async_trait;

use super::PortError;
use crate::{
    audit::AuditEvent,
    id::{Audience, ClientId, FamilyId, Scope, UserId},
    message::OutboxRow,
    time::Timestamp,
};

/// The most families of one kind of one person with one client. Who opens another loses the oldest.
pub const MAX_FAMILIES: usize = 200;

/// What the tokens of a family are for. Each kind has a key and a prefix of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FamilyKind {
    /// To go on with a login.
    Refresh,
    /// To be recognised as a device, where the second factor is skipped. It has neither audience nor scopes nor methods.
    Device,
}

impl FamilyKind {
    /// The name in the column, stable.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Refresh => "refresh",
            Self::Device => "device",
        }
    }

    /// The kind with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Refresh, Self::Device].into_iter().find(|kind| kind.as_str() == name)
    }
}

/// The refresh tokens of one login. One of them is good at a time: that of the current generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefreshFamily {
    /// What its tokens are for.
    pub kind: FamilyKind,
    /// Its key.
    pub id: FamilyId,
    /// The person.
    pub user: UserId,
    /// The client the tokens were issued to; no other may use them.
    pub client: ClientId,
    /// The API that access tokens are for.
    pub audience: Audience,
    /// The scopes that were granted. They never grow.
    pub scopes: Vec<Scope>,
    /// The person's epoch at the login. If it has moved since, the family is void.
    pub epoch: u64,
    /// When the first factor was proven.
    pub authenticated_at: Timestamp,
    /// How the person authenticated, by RFC 8176's names: at the login, and with exchanges since. They never grow fewer.
    pub methods: Vec<String>,
    /// Goes into each token, so that no two families have tokens alike. Not secret.
    pub salt: [u8; 16],
    /// How often the token was rotated.
    pub generation: u32,
    /// When it last was, or the family was opened.
    pub rotated_at: Timestamp,
    /// When a token was last exchanged, or the family was opened.
    pub used_at: Timestamp,
    /// When it was opened.
    pub created_at: Timestamp,
    /// From this moment on its tokens are of no use; never, if `None`.
    pub expires_at: Option<Timestamp>,
    /// When it may be swept: once all access tokens of it have expired too. Who introspects them finds it until then.
    pub sweep_at: Option<Timestamp>,
}

/// What a login does to a family.
#[derive(Clone, Debug, Default)]
pub enum RefreshStep {
    /// Nothing.
    #[default]
    Nothing,
    /// Opens it. Of the others of the person with that client the oldest go, so that [`MAX_FAMILIES`] remain.
    Open(Box<RefreshFamily>),
    /// Exchanges a token. The family MUST be there and at `generation`, or the commit is lost.
    Exchange {
        /// The family.
        family: FamilyId,
        /// The generation it is at.
        generation: u32,
        /// Whether it moves to the next.
        rotates: bool,
        /// What was proven with it. Of these methods the family MUST have those it has not, in this order, after those it has: what another
        /// exchange has added meanwhile stays.
        adds: Vec<String>,
    },
}

/// What ends with a family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RevocationReach {
    /// It alone.
    Family,
    /// All of the same person, client and audience.
    Grant,
}

/// Keeps families.
#[async_trait]
pub trait RefreshStore: Send + Sync {
    /// The family with this id.
    async fn find_family(&self, id: &FamilyId) -> Result<Option<RefreshFamily>, PortError>;

    /// The families of `kind` that `user` has.
    async fn list_families(&self, user: &UserId, kind: FamilyKind) -> Result<Vec<RefreshFamily>, PortError>;

    /// Ends a family, and perhaps others with it; in the same step writes the audit row and what is to be sent, if it was there. False:
    /// it was not, and nothing was written.
    async fn revoke_family(
        &self,
        id: &FamilyId,
        reach: RevocationReach,
        audit: AuditEvent,
        messages: Vec<OutboxRow>,
    ) -> Result<bool, PortError>;
}
