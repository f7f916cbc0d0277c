//! The MFA transaction: what a login is between its first and its second factor.

use serde::{Deserialize, Serialize};

use crate::{
    factor_set::FactorSet,
    id::{Audience, ClientId, FamilyId, Scope, UserId},
    policy::Reasons,
    secret::{Digest, Sealed},
    time::Timestamp,
};

/// What the server remembers behind an `mfa_token`. It is sealed before a session store sees it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MfaTransaction {
    /// Who is logging in.
    pub user: UserId,
    /// The client the `mfa_token` was issued to; no other may use it.
    pub client: ClientId,
    /// The audience that was resolved for the original request.
    pub audience: Audience,
    /// The scopes that were granted to the original request.
    pub scopes: Vec<Scope>,
    /// Whether the answer must name the scopes.
    pub scopes_changed: bool,
    /// The `gty` of the original grant.
    pub grant: OriginalGrant,
    /// The user's epoch when the first factor was proven. If it has moved since, the transaction is void.
    pub epoch: u64,
    /// When the first factor was proven.
    pub authenticated_at: Timestamp,
    /// When the transaction ends; never extended.
    pub expires_at: Timestamp,
    /// The factors that may complete it, or be enrolled in it. The recovery code always may.
    #[serde(default = "everything")]
    pub allowed: FactorSet,
    /// Why it is asked for.
    #[serde(default)]
    pub reasons: Reasons,
}

/// What a transaction allows that was begun by a version which did not ask.
const fn everything() -> FactorSet {
    FactorSet::ALL
}

/// The grant that proved the first factor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OriginalGrant {
    /// `password` or `password-realm`.
    Password,
    /// The client said that the person has logged in with it.
    Asserted {
        /// How, by RFC 8176's names.
        methods: Vec<String>,
    },
    /// `refresh_token`: what is completed is its exchange.
    Refresh {
        /// The family of the token that was presented.
        family: FamilyId,
        /// The token's generation.
        generation: u32,
        /// How the person had authenticated when the exchange began. What the family says when it ends is what counts.
        methods: Vec<String>,
    },
}

impl OriginalGrant {
    /// What `gty` says of it.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Password => "password",
            Self::Asserted { .. } => "asserted-login",
            Self::Refresh { .. } => "refresh_token",
        }
    }

    /// What `gty` says of the login behind a token whose `gty` is `grant`.
    pub(crate) fn of_login(grant: Option<&str>) -> &'static str {
        let asserted = Self::Asserted { methods: Vec::new() }.name();
        if grant == Some(asserted) { asserted } else { Self::Password.name() }
    }
}

/// How a session store keeps a transaction.
#[derive(Clone, Debug)]
pub struct TransactionRecord {
    /// Digest of the `mfa_token`, the key.
    pub digest: Digest,
    /// The sealed [`MfaTransaction`].
    pub sealed: Sealed,
    /// When it ends. The store may sweep it an hour later, so that expired and unknown can be told apart for that long.
    pub expires_at: Timestamp,
    /// Set when the person's attempts ran out while this transaction was used: it can no longer complete.
    pub exhausted: bool,
}
