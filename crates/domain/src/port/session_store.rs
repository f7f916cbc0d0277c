//! Short-lived state: MFA transactions and throttles. Losing it may make a person start again; it can never let one in.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;

use super::PortError;
use crate::{challenge::ChallengeRecord, secret::Digest, time::Timestamp, transaction::TransactionRecord};

/// A token bucket: it holds `capacity` attempts and regains one every `refill`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// What it counts.
    pub key: BucketKey,
    /// The most it holds; at least 1.
    pub capacity: u32,
    /// How long until one attempt comes back; at least 1 ms.
    pub refill: Duration,
    /// Whether whoever takes its last attempt locks it: the next comes back a whole `refill` after that one, not after the first.
    pub locks: bool,
}

/// The name of a bucket. All buckets of one subject share `subject`, so that one step can judge several.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BucketKey {
    /// Keyed digest of the person, or of the login name where nobody has it.
    pub subject: Digest,
    /// What is counted for them: `otp`, `recovery-code`, `password:{digest of the address}`. At most 128 bytes of ASCII without blanks.
    pub counter: Arc<str>,
}

/// Names one attempt, so that a repeated call does not charge twice. Made by the server, 128 random bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AttemptId(pub [u8; 16]);

/// What a reservation found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reservation {
    /// Every bucket was charged.
    Granted,
    /// This bucket was empty; none was charged.
    Denied {
        /// Its place in the list.
        bucket: usize,
        /// When its next attempt comes back.
        retry_after: Duration,
    },
}

/// What follows a success, best effort.
#[derive(Clone, Debug, Default)]
pub struct Settlement {
    /// The transaction to forget.
    pub transaction: Option<Digest>,
    /// The challenge to forget.
    pub challenge: Option<Digest>,
    /// Give the attempt back to each bucket if `AttemptId` charged it last or earlier; never above capacity.
    pub refund: Vec<(Bucket, AttemptId)>,
    /// Fill this bucket: forget it.
    pub reset: Option<BucketKey>,
}

/// Keeps short-lived state.
///
/// The clock judges, a store's own expiry only sweeps: `now` is the domain's clock. An adapter on a shared server MAY use that
/// server's clock for buckets instead, so that the clocks of replicas do not matter.
#[async_trait]
pub trait SessionStore: Send + Sync {
    /// Keeps a new transaction. An existing one with the same digest MUST NOT be replaced.
    async fn insert_transaction(&self, record: TransactionRecord) -> Result<(), PortError>;

    /// The transaction with this digest, expired ones included until they are swept.
    async fn find_transaction(&self, digest: &Digest) -> Result<Option<TransactionRecord>, PortError>;

    /// Marks the transaction as exhausted, if it is there.
    async fn exhaust_transaction(&self, digest: &Digest) -> Result<(), PortError>;

    /// Keeps a new challenge. In the same step the earlier challenge of the same slot MUST go: only the newest code counts.
    async fn insert_challenge(&self, record: ChallengeRecord) -> Result<(), PortError>;

    /// Takes one try at the challenge with this digest, expired ones included until they are swept. The answer is the record as it
    /// was before: with `tries` 0 none was left. 64 parallel calls on a challenge with 5 tries MUST see 5, 4, 3, 2, 1 once each and 0 else.
    async fn take_try(&self, digest: &Digest) -> Result<Option<ChallengeRecord>, PortError>;

    /// The challenge with this digest, expired ones included until they are swept.
    async fn find_challenge(&self, digest: &Digest) -> Result<Option<ChallengeRecord>, PortError>;

    /// Puts a mark on a challenge that has none, in one conditional step. The answer is the mark that stands afterwards, which is not
    /// `mark` if another was first; `None`: there is no such challenge. Of 64 parallel calls the first MUST win and all others MUST see
    /// its mark. A mark is never 32 zeroes.
    async fn decide(&self, digest: &Digest, mark: Digest) -> Result<Option<Digest>, PortError>;

    /// Takes one attempt from every bucket, or from none if one of them is empty; the first empty one is named. All buckets
    /// MUST have the same subject. The same attempt id on the same buckets is charged once.
    ///
    /// 300 parallel calls on a bucket of 10 MUST be granted exactly 10 times.
    async fn reserve(&self, buckets: &[Bucket], attempt: AttemptId, now: Timestamp) -> Result<Reservation, PortError>;

    /// When the bucket's next attempt comes back; zero if it has one. Charges nothing.
    async fn wait_of(&self, bucket: &Bucket, now: Timestamp) -> Result<Duration, PortError>;

    /// Follows up on a success. A settlement without a transaction is done when this returns. One with a transaction may be under way, and this
    /// adapter finds the transaction gone all the same, unless its store is away, hangs or has no room for more calls; what may happen
    /// twice then is judged by the durable mark. Failures are logged, not returned.
    async fn settle(&self, settlement: Settlement, now: Timestamp);

    /// Sweeps what expired before `now`. Stores that expire by themselves do nothing.
    async fn purge(&self, now: Timestamp) -> Result<u64, PortError>;

    /// Asks the store whether it can serve.
    async fn ping(&self) -> Result<(), PortError>;
}
