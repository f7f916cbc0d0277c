//! The challenge behind an `oob_code`: a code that was sent, and whom it can let in.

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::{
    id::{AuthenticatorId, ClientId, UserId},
    secret::{Digest, Sealed},
    time::Timestamp,
};

/// Tries at one code. The person's own limit counts on across codes.
pub const TRIES: u32 = 5;

/// What the server remembers behind an `oob_code`. It is sealed before a session store sees it. Everything in it is compared when
/// the code comes back.
#[derive(Serialize, Deserialize)]
pub struct Challenge {
    /// Whose it is.
    pub user: UserId,
    /// The authenticator whose code was sent.
    pub authenticator: AuthenticatorId,
    /// The client that asked.
    pub client: ClientId,
    /// Hexadecimal digest of the bearer: of the `mfa_token`, or of the access token that an enrolment was begun with.
    pub bearer: String,
    /// Hexadecimal keyed digest of the code.
    pub code: Zeroizing<String>,
    /// What the person is charged for until the code comes back: the destination's bucket of codes nobody typed in.
    pub unproven: Option<String>,
    /// When it ends.
    pub expires_at: Timestamp,
}

/// How a session store keeps a challenge.
#[derive(Clone, Debug)]
pub struct ChallengeRecord {
    /// Digest of the `oob_code`, the key.
    pub digest: Digest,
    /// Names the authenticator; there is one challenge for each.
    pub slot: Digest,
    /// The sealed [`Challenge`].
    pub sealed: Sealed,
    /// Tries that are left.
    pub tries: u32,
    /// When it ends. The store may sweep it an hour later, so that expired and unknown can be told apart for that long.
    pub expires_at: Timestamp,
}
