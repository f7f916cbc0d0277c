//! Short-lived state that is known here and not written yet.
//!
//! Most attempts are given back a moment after they were reserved, because the code was right. Writing each would be most of what a
//! login writes. So buckets change here, under one lock, and only what still stands after half a second is written, along with
//! whatever commits next. A failure that is counted for good takes its bucket along at once.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use countersign_domain::{
    port::{
        PortError,
        session_store::{AttemptId, Bucket, BucketKey, Reservation},
    },
    secret::Digest,
    time::Timestamp,
};
use rusqlite::Connection;

use super::{
    challenges,
    sessions::{delete_bucket, delete_transaction, save_bucket},
    stored::Stored,
};
use crate::bucket::Level;

/// How long a change may stay unwritten, if nothing fails.
pub(super) const RIPE: Duration = Duration::from_millis(500);

/// With so many settled rows, some are deleted: the first by their keys, which lie on few pages, since keys begin with a time.
const WORTH_DELETING: usize = 4096;

/// How long fewer of them are left.
const LEFT: Duration = Duration::from_secs(30);

/// As many as one transaction deletes: nobody's commit waits for all of them.
const DELETED_AT_ONCE: usize = 128;

/// Most changes. When the disk takes nothing any more, attempts are refused before memory runs out.
const MOST: usize = 100_000;

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
    forgotten: BTreeSet<Forgotten>,
    /// When the deletion of all that is forgotten begins.
    delete_from: Option<Instant>,
    stored: Stored,
}

/// What was settled, and has a row until that is deleted. After a crash it may have it still: then only its used mark, which was
/// committed, tells that it is spent.
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
        let mut changes = self.lock();
        if changes.buckets.len() >= MOST {
            return Err(PortError::Overloaded);
        }
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

    /// Forgets a transaction or a challenge.
    pub(super) fn forget(&self, forgotten: Forgotten) {
        let mut changes = self.lock();
        changes.forgotten.insert(forgotten);
        changes.delete_from.get_or_insert_with(|| Instant::now() + LEFT);
    }

    /// Whether a transaction or a challenge is forgotten, though its row may still be there.
    pub(super) fn has_forgotten(&self, forgotten: Forgotten) -> bool {
        self.lock().forgotten.contains(&forgotten)
    }

    /// Has everything written with the next commit.
    pub(super) fn hurry(&self) {
        let now = Instant::now();
        for change in self.lock().buckets.values_mut() {
            change.since = now.checked_sub(RIPE).unwrap_or(change.since);
        }
    }

    /// The table of buckets is about to be read: see [`Stored`].
    pub(super) fn begin_to_learn(&self) {
        self.lock().stored.begin();
    }

    /// What was in it.
    pub(super) fn learn(&self, subjects: Option<HashSet<u64>>) {
        self.lock().stored.end(subjects);
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

    /// What is to be written now: what is forgotten, and buckets that are `ripe` since then.
    pub(super) fn batch(&self, ripe: Instant) -> Option<Batch> {
        let mut guard = self.lock();
        let changes = &mut *guard;
        let buckets: Vec<_> = changes
            .buckets
            .iter_mut()
            .filter(|(_, change)| change.since <= ripe)
            .map(|(key, change)| {
                change.in_table = true;
                changes.stored.add(key);
                (key.clone(), change.level.clone())
            })
            .collect();
        let deletes =
            changes.forgotten.len() >= WORTH_DELETING || changes.delete_from.is_some_and(|from| from <= Instant::now());
        let at_once = if deletes { DELETED_AT_ONCE } else { 0 };
        let forgotten: Vec<_> = changes.forgotten.iter().take(at_once).copied().collect();
        (!buckets.is_empty() || !forgotten.is_empty()).then_some(Batch { buckets, forgotten })
    }

    /// Drops what was committed, unless it has changed again.
    pub(super) fn committed(&self, batch: &Batch) {
        let mut changes = self.lock();
        for (key, written) in &batch.buckets {
            if changes.buckets.get(key).is_some_and(|change| change.level == *written) {
                changes.buckets.remove(key);
            }
        }
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
}

impl Changes {
    fn is_empty(&self) -> bool {
        self.buckets.is_empty() && self.forgotten.is_empty()
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
    /// Writes it, in the transaction that is open.
    pub(super) fn write(&self, connection: &Connection) -> rusqlite::Result<()> {
        for (key, level) in &self.buckets {
            match level {
                Some((bucket, level)) => save_bucket(connection, bucket, *level)?,
                None => delete_bucket(connection, key)?,
            }
        }
        self.forgotten.iter().try_for_each(|forgotten| match forgotten {
            Forgotten::Transaction(digest) => delete_transaction(connection, digest),
            Forgotten::Challenge(digest) => challenges::delete(connection, digest),
        })
    }
}
