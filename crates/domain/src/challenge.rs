//! The challenge behind an `oob_code`: a code that was sent, or a device that is asked, and whom it can let in.

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
    /// What an enrolment is charged for until the code comes back: the bucket of codes nobody typed in, of the number and its neighbours.
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
    /// The mark of what a device decided; `None` while nothing is. Nobody decides about a code. The store cannot make one: it is a keyed
    /// digest over challenge and decision.
    pub decision: Option<Digest>,
    /// When it ends. The store may sweep it an hour later, so that expired and unknown can be told apart for that long.
    pub expires_at: Timestamp,
}

/// What became of a challenge that a device answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Nothing yet.
    Pending,
    /// The device's owner agreed, or the device registered.
    Approved,
    /// The device's owner refused, or typed the number wrong too often.
    Rejected,
}

/// Tries at the number that is shown where the person logs in.
pub const NUMBER_TRIES: u32 = 3;

/// What the server remembers while a device is asked. It is sealed before a session store sees it. Everything in it is compared
/// when somebody asks what became of it.
#[derive(Serialize, Deserialize)]
pub struct Approval {
    /// Whose it is.
    pub user: UserId,
    /// The authenticator whose device is asked.
    pub authenticator: AuthenticatorId,
    /// The client that waits.
    pub client: ClientId,
    /// Hexadecimal digest of the bearer: of the `mfa_token`, or of the access token that an enrolment was begun with.
    pub bearer: String,
    /// What the device is asked for.
    pub asks: Asks,
    /// When it ends.
    pub expires_at: Timestamp,
}

/// What a device is asked for.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Asks {
    /// Its key: it is being enrolled.
    Registration,
    /// To sign its owner's answer.
    Login {
        /// What it signs, 256 random bits.
        nonce: Zeroizing<String>,
        /// Hexadecimal keyed digest of the number its owner must type, if they must.
        number: Option<Zeroizing<String>>,
    },
}
