//! Short-lived state that is known here and not written yet.
//!
//! Most attempts are given back a moment after they were reserved, because the code was right. Writing each would be most of what a
//! login writes. So buckets change here, under one lock, and only what still stands after half a second is written, along with
//! whatever commits next. A failure that is counted for good takes its bucket along at once. Tries of a code are counted in the same way, and
//! new pending logins and challenges wait for the next commit: see [`Fresh`].

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use countersign_domain::{
    challenge::ChallengeRecord,
    port::{
        PortError,
        session_store::{AttemptId, Bucket, BucketKey, Reservation},
    },
    secret::Digest,
    time::Timestamp,
    transaction::TransactionRecord,
};
use rusqlite::Connection;

use super::{
    challenges,
    fresh::{Fresh, FreshBatch},
    sessions::{delete_bucket, delete_transaction, save_bucket},
    stored::Stored,
};
use crate::bucket::Level;

/// How long a change may stay unwritten, if nothing fails.
pub(super) const RIPE: Duration = Duration::from_millis(500);

/// How long passes between two looks for what is ripe: each goes through all there is, and rows that are written together share pages.
const LOOK: Duration = Duration::from_millis(200);

/// With so many settled rows, some are deleted: the first by their keys, which lie on few pages, since keys begin with a time.
const WORTH_DELETING: usize = 4096;

/// How long fewer of them are left.
const LEFT: Duration = Duration::from_secs(30);

/// As many as one transaction deletes: nobody's commit waits for all of them.
const DELETED_AT_ONCE: usize = 128;

/// Most changes. When the disk takes nothing any more, attempts are refused before memory runs out.
const MOST: usize = 100_000;

/// Most of what is fresh. All of it goes with the next commit, and nobody's commit is to wait for more.
const MOST_FRESH: usize = 10_000;

/// What the table says of a bucket.
type Kept = Result<Option<Level>, PortError>;

/// The changes that wait to be written.
#[derive(Default)]
pub(super) struct Unwritten {
    changes: Mutex<Changes>,
    watched: AtomicBool,
}

#[derive(Default)]
struct Changes {
    buckets: HashMap<BucketKey, Change>,
    /// When buckets and tries were last looked through.
    looked: Option<Instant>,
    fresh: Fresh,
    /// How often the table took over something of challenges. As long as it takes nothing, what it says lacks nothing but what is here.
    handed_over: u64,
    /// Whether a transaction may be under way that writes what is fresh.
    writing: bool,
    forgotten: BTreeSet<Forgotten>,
    /// When the deletion of all that is forgotten begins.
    delete_from: Option<Instant>,
    stored: Stored,
}

/// What was settled, and has a row until that is deleted. After a crash it may have it still: then only the used mark,
/// which was committed, tells that it is spent.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Forgotten {
    /// A transaction.
    Transaction(Digest),
    /// A challenge.
    Challenge(Digest),
}

struct Change {
    /// `None`: it is full, and its row is to go.
    level: Option<(Bucket, Level)>,
    /// Whether the table may have a row of it.
    in_table: bool,
    since: Instant,
}

/// Changes that are being written.
pub(super) struct Batch {
    buckets: Vec<(BucketKey, Option<(Bucket, Level)>)>,
    fresh: FreshBatch,
    forgotten: Vec<Forgotten>,
}

impl Unwritten {
    /// Charges every bucket, or none. `kept` reads a bucket's row.
    pub(super) fn reserve(
        &self,
        buckets: &[Bucket],
        attempt: AttemptId,
        now: Timestamp,
        kept: impl Fn(&BucketKey) -> Kept,
    ) -> Result<Reservation, PortError> {
        let mut changes = self.lock_for_more()?;
        let mut charged = Vec::with_capacity(buckets.len());
        for (place, bucket) in buckets.iter().enumerate() {
            let (level, in_table) = changes.level(&bucket.key, &kept)?;
            match level.unwrap_or_else(|| Level::full(bucket, now)).charged(bucket, attempt, now) {
                Ok(level) => charged.push((bucket, level, in_table)),
                Err(retry_after) => return Ok(Reservation::Denied { bucket: place, retry_after }),
            }
        }
        for (bucket, level, in_table) in charged {
            changes.set(&bucket.key, Some((bucket.clone(), level)), in_table);
        }
        Ok(Reservation::Granted)
    }

    /// The level of a bucket; `None` if it is full.
    pub(super) fn level(&self, key: &BucketKey, kept: impl Fn(&BucketKey) -> Kept) -> Kept {
        self.lock().level(key, &kept).map(|(level, _)| level)
    }

    /// Gives an attempt back.
    pub(super) fn refund(
        &self,
        bucket: &Bucket,
        attempt: AttemptId,
        now: Timestamp,
        kept: impl Fn(&BucketKey) -> Kept,
    ) -> Result<(), PortError> {
        let mut changes = self.lock();
        if let (Some(level), in_table) = changes.level(&bucket.key, &kept)? {
            let level = level.refunded(bucket, attempt, now).map(|level| (bucket.clone(), level));
            changes.set(&bucket.key, level, in_table);
        }
        Ok(())
    }

    /// Fills a bucket.
    pub(super) fn reset(&self, key: &BucketKey, kept: impl Fn(&BucketKey) -> Kept) -> Result<(), PortError> {
        let mut changes = self.lock();
        let (_, in_table) = changes.level(key, &kept)?;
        changes.set(key, None, in_table);
        Ok(())
    }

    /// Keeps a pending login until the next commit.
    pub(super) fn add_transaction(&self, record: TransactionRecord) -> Result<(), PortError> {
        self.lock_for_fresh()?.fresh.add_transaction(record);
        Ok(())
    }

    /// A pending login that is not written yet.
    pub(super) fn transaction(&self, digest: &Digest) -> Option<TransactionRecord> {
        self.lock().fresh.transaction(digest)
    }

    /// Keeps a challenge until the next commit.
    pub(super) fn add_challenge(&self, record: ChallengeRecord) -> Result<(), PortError> {
        self.lock_for_fresh()?.fresh.add_challenge(record);
        Ok(())
    }

    /// The challenge with this digest. `row` reads what the table says.
    pub(super) fn challenge(
        &self,
        digest: &Digest,
        row: impl FnOnce() -> Result<Option<ChallengeRecord>, PortError>,
    ) -> Result<Option<ChallengeRecord>, PortError> {
        let whole = self.lock().fresh.whole(digest);
        // Not under the lock: who only looks holds up nobody.
        let record = if whole.is_some() { whole } else { row()? };
        Ok(record.and_then(|record| self.lock().fresh.now(record)))
    }

    /// Takes one try of a challenge; the record is as it was before.
    pub(super) fn take_try(
        &self,
        digest: &Digest,
        row: impl Fn() -> Result<Option<ChallengeRecord>, PortError>,
    ) -> Result<Option<ChallengeRecord>, PortError> {
        let (is_whole, handed_over) = {
            let changes = self.lock();
            (changes.fresh.is_whole(digest), changes.handed_over)
        };
        // Not under the lock: nobody waits for a look into the table. It is looked into again if that has changed meanwhile, so that no
        // other try is overlooked.
        let read = if is_whole { None } else { row()? };
        let mut changes = self.lock_for_fresh()?;
        let still_so = changes.handed_over == handed_over;
        changes.fresh.take_try(digest, || if still_so { Ok(read) } else { row() })
    }

    /// Whether there are pending logins or challenges that no commit has written.
    pub(super) fn is_fresh(&self) -> bool {
        self.lock().fresh.len() > 0
    }

    /// Forgets a transaction or a challenge.
    pub(super) fn forget(&self, forgotten: Forgotten) {
        let mut changes = self.lock();
        match &forgotten {
            // It has no row, and will have none.
            Forgotten::Transaction(digest) if changes.fresh.drop_transaction(digest) && !changes.writing => return,
            Forgotten::Transaction(_) => {}
            Forgotten::Challenge(digest) => changes.fresh.drop_tries(digest),
        }
        changes.forgotten.insert(forgotten);
        changes.delete_from.get_or_insert_with(|| Instant::now() + LEFT);
    }

    /// Whether a transaction or a challenge is forgotten, though its row may still be there.
    pub(super) fn has_forgotten(&self, forgotten: Forgotten) -> bool {
        self.lock().forgotten.contains(&forgotten)
    }

    /// Has everything written with the next commit.
    pub(super) fn hurry(&self) {
        let Some(ripe) = Instant::now().checked_sub(RIPE) else { return };
        let mut changes = self.lock();
        for change in changes.buckets.values_mut() {
            change.since = ripe;
        }
        changes.fresh.hurry(ripe);
        changes.looked = None;
    }

    /// The table of buckets is about to be read: see [`Stored`].
    pub(super) fn begin_to_learn(&self) {
        self.lock().stored.begin();
    }

    /// What was in it.
    pub(super) fn learn(&self, keys: Option<HashSet<u64>>) {
        self.lock().stored.end(keys);
    }

    /// Has everything written, and everything that is forgotten deleted: the end is near.
    pub(super) fn finish(&self) {
        self.hurry();
        let mut changes = self.lock();
        if !changes.forgotten.is_empty() {
            changes.delete_from = Some(Instant::now());
        }
    }

    /// Whether the writer must be told that there is something to write some time. It looks by itself from then on, until
    /// [`Self::rest`].
    pub(super) fn begins_to_wait(&self) -> bool {
        !self.watched.load(Ordering::Relaxed) && !self.lock().is_empty() && !self.watched.swap(true, Ordering::AcqRel)
    }

    /// Whether the writer need not look any more until it is told.
    pub(super) fn rest(&self) -> bool {
        // Under the lock: what comes later finds that nobody looks, and tells.
        let changes = self.lock();
        let empty = changes.is_empty();
        if empty {
            self.watched.store(false, Ordering::Release);
        }
        empty
    }

    /// What is to be written now: what is fresh, what is forgotten, and what has stood since `ripe`.
    pub(super) fn batch(&self, ripe: Instant) -> Option<Batch> {
        let mut guard = self.lock();
        let changes = &mut *guard;
        let now = Instant::now();
        let looks = changes.looked.is_none_or(|last| now.saturating_duration_since(last) >= LOOK);
        let mut buckets = Vec::new();
        if looks {
            changes.looked = Some(now);
            for (key, change) in changes.buckets.iter_mut().filter(|(_, change)| change.since <= ripe) {
                change.in_table = true;
                changes.stored.add(key);
                buckets.push((key.clone(), change.level.clone()));
            }
        }
        let fresh = changes.fresh.batch(looks.then_some(ripe));
        changes.writing = fresh.is_some();
        let deletes = changes.forgotten.len() >= WORTH_DELETING || changes.delete_from.is_some_and(|from| from <= now);
        let at_once = if deletes { DELETED_AT_ONCE } else { 0 };
        let forgotten: Vec<_> = changes.forgotten.iter().take(at_once).copied().collect();
        let empty = buckets.is_empty() && fresh.is_none() && forgotten.is_empty();
        (!empty).then(|| Batch { buckets, fresh: fresh.unwrap_or_default(), forgotten })
    }

    /// What was to be written was not. What is in a hurry goes with the next commit.
    pub(super) fn failed(&self) {
        self.lock().looked = None;
    }

    /// Drops what was committed, unless it has changed again.
    pub(super) fn committed(&self, batch: &Batch) {
        let mut changes = self.lock();
        for (key, written) in &batch.buckets {
            if changes.buckets.get(key).is_some_and(|change| change.level == *written) {
                changes.buckets.remove(key);
            }
        }
        changes.fresh.committed(&batch.fresh);
        if batch.concerns_challenges() {
            changes.handed_over += 1;
        }
        changes.writing = false;
        for forgotten in &batch.forgotten {
            changes.forgotten.remove(forgotten);
        }
        if changes.forgotten.is_empty() {
            changes.delete_from = None;
        } else if (1..DELETED_AT_ONCE).contains(&batch.forgotten.len()) {
            // Those were all there were: what is there now came since.
            changes.delete_from = Some(Instant::now() + LEFT);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Changes> {
        // Every change is made whole before the lock is given back.
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The same for those who bring more.
    fn lock_for_more(&self) -> Result<MutexGuard<'_, Changes>, PortError> {
        let changes = self.lock();
        if changes.buckets.len() >= MOST { Err(PortError::Overloaded) } else { Ok(changes) }
    }

    /// The same for pending logins, challenges and tries.
    fn lock_for_fresh(&self) -> Result<MutexGuard<'_, Changes>, PortError> {
        let changes = self.lock();
        if changes.fresh.len() >= MOST_FRESH { Err(PortError::Overloaded) } else { Ok(changes) }
    }
}

impl Changes {
    fn is_empty(&self) -> bool {
        self.buckets.is_empty() && self.fresh.len() == 0 && self.forgotten.is_empty()
    }

    /// The level, and whether the table may have a row. The row is read under the lock, so that nobody else's charge is overlooked.
    fn level(&self, key: &BucketKey, kept: &impl Fn(&BucketKey) -> Kept) -> Result<(Option<Level>, bool), PortError> {
        match self.buckets.get(key) {
            Some(change) => Ok((change.level.as_ref().map(|(_, level)| *level), change.in_table)),
            None if self.stored.may_have(key) => kept(key).map(|level| (level, level.is_some())),
            None => Ok((None, false)),
        }
    }

    fn set(&mut self, key: &BucketKey, level: Option<(Bucket, Level)>, in_table: bool) {
        if level.is_none() && !in_table {
            self.buckets.remove(key);
        } else if let Some(change) = self.buckets.get_mut(key) {
            change.level = level;
        } else {
            self.buckets.insert(key.clone(), Change { level, in_table, since: Instant::now() });
        }
    }
}

impl Batch {
    fn concerns_challenges(&self) -> bool {
        self.fresh.has_challenges() || self.forgotten.iter().any(|gone| matches!(gone, Forgotten::Challenge(_)))
    }

    /// Writes it, in the transaction that is open.
    pub(super) fn write(&self, connection: &Connection) -> rusqlite::Result<()> {
        for (key, level) in &self.buckets {
            match level {
                Some((bucket, level)) => save_bucket(connection, bucket, *level)?,
                None => delete_bucket(connection, key)?,
            }
        }
        self.fresh.write(connection)?;
        self.forgotten.iter().try_for_each(|forgotten| match forgotten {
            Forgotten::Transaction(digest) => delete_transaction(connection, digest),
            Forgotten::Challenge(digest) => challenges::delete(connection, digest),
        })
    }
}

#[cfg(all(test, feature = "testing"))]
mod tests;
