//! Pending logins and challenges that no commit has written yet.
//!
//! They go with whatever commits next, which for most is the row of the audit trail that is written before anybody is answered. A commit
//! of their own would cost as much as that one.

use std::{collections::HashMap, time::Instant};

use countersign_domain::{challenge::ChallengeRecord, port::PortError, secret::Digest, transaction::TransactionRecord};
use rusqlite::Connection;

use super::{challenges, sessions::insert_transaction};

/// A challenge as the table has it.
type Row = Result<Option<ChallengeRecord>, PortError>;

/// What is not written. Whoever has it holds the lock around all changes.
#[derive(Default)]
pub(super) struct Fresh {
    transactions: HashMap<Digest, TransactionRecord>,
    challenges: HashMap<Digest, Known>,
    /// Which challenge has a slot, of those that are not written: rows of others that have it do not count any more.
    slots: HashMap<Digest, Digest>,
}

/// What is known of a challenge beyond its row.
struct Known {
    /// All of it, as long as the table has no row.
    whole: Option<ChallengeRecord>,
    /// Tries that are left.
    tries: u32,
    since: Instant,
}

/// What is being written.
#[derive(Default)]
pub(super) struct FreshBatch {
    transactions: Vec<TransactionRecord>,
    challenges: Vec<ChallengeRecord>,
    tries: Vec<(Digest, u32)>,
}

impl Fresh {
    /// How much there is.
    pub(super) fn len(&self) -> usize {
        self.transactions.len() + self.challenges.len()
    }

    /// Adds a pending login. One with this digest stays as it is.
    pub(super) fn add_transaction(&mut self, record: TransactionRecord) {
        self.transactions.entry(record.digest).or_insert(record);
    }

    /// The pending login, if it is not written.
    pub(super) fn transaction(&self, digest: &Digest) -> Option<TransactionRecord> {
        self.transactions.get(digest).cloned()
    }

    /// Drops a pending login; whether it was here.
    pub(super) fn drop_transaction(&mut self, digest: &Digest) -> bool {
        self.transactions.remove(digest).is_some()
    }

    /// Adds a challenge. What had its slot is superseded.
    pub(super) fn add_challenge(&mut self, record: ChallengeRecord) {
        if let Some(superseded) = self.slots.insert(record.slot, record.digest) {
            self.challenges.remove(&superseded);
        }
        let (digest, tries) = (record.digest, record.tries);
        self.challenges.insert(digest, Known { whole: Some(record), tries, since: Instant::now() });
    }

    /// Whether this challenge has no row yet.
    pub(super) fn is_whole(&self, digest: &Digest) -> bool {
        self.challenges.get(digest).is_some_and(|known| known.whole.is_some())
    }

    /// A challenge that has no row yet.
    pub(super) fn whole(&self, digest: &Digest) -> Option<ChallengeRecord> {
        let known = self.challenges.get(digest)?;
        known.whole.clone().map(|whole| ChallengeRecord { tries: known.tries, ..whole })
    }

    /// The challenge as it is now, of what was [whole](Self::whole) or is in its row. `None`: it is superseded.
    pub(super) fn now(&self, record: ChallengeRecord) -> Option<ChallengeRecord> {
        if self.slots.get(&record.slot).is_some_and(|holder| *holder != record.digest) {
            return None;
        }
        let tries = self.challenges.get(&record.digest).map_or(record.tries, |known| known.tries);
        Some(ChallengeRecord { tries, ..record })
    }

    /// Takes one try; the record is as it was before. `row` is what the table says now.
    pub(super) fn take_try(&mut self, digest: &Digest, row: impl FnOnce() -> Row) -> Row {
        let record = match self.whole(digest) {
            Some(whole) => Some(whole),
            None => row()?,
        };
        let before = record.and_then(|record| self.now(record));
        if let Some(before) = before.as_ref().filter(|before| before.tries > 0) {
            let tries = before.tries - 1;
            let new = || Known { whole: None, tries, since: Instant::now() };
            self.challenges.entry(*digest).or_insert_with(new).tries = tries;
        }
        Ok(before)
    }

    /// Drops what is known of a challenge that was settled. One that has no row yet is written all the same, and deleted later: it takes
    /// the row away that had its slot.
    pub(super) fn drop_tries(&mut self, digest: &Digest) {
        if self.challenges.get(digest).is_some_and(|known| known.whole.is_none()) {
            self.challenges.remove(digest);
        }
    }

    /// Has every count of tries written with the next commit.
    pub(super) fn hurry(&mut self, ripe: Instant) {
        for known in self.challenges.values_mut() {
            known.since = ripe;
        }
    }

    /// What is to be written now: all that has no row, and counts that have stood since `ripe`, if that is asked.
    pub(super) fn batch(&self, ripe: Option<Instant>) -> Option<FreshBatch> {
        let mut batch =
            FreshBatch { transactions: self.transactions.values().cloned().collect(), ..FreshBatch::default() };
        for (digest, known) in &self.challenges {
            match &known.whole {
                Some(whole) => batch.challenges.push(ChallengeRecord { tries: known.tries, ..whole.clone() }),
                None if ripe.is_some_and(|ripe| known.since <= ripe) => batch.tries.push((*digest, known.tries)),
                None => {}
            }
        }
        let empty = batch.transactions.is_empty() && batch.challenges.is_empty() && batch.tries.is_empty();
        (!empty).then_some(batch)
    }

    /// Drops what was committed, unless it has changed again.
    pub(super) fn committed(&mut self, batch: &FreshBatch) {
        for written in &batch.transactions {
            self.transactions.remove(&written.digest);
        }
        for written in &batch.challenges {
            self.has_row(&written.digest, written.tries);
            if self.slots.get(&written.slot) == Some(&written.digest) {
                self.slots.remove(&written.slot);
            }
        }
        for (digest, tries) in &batch.tries {
            self.has_row(digest, *tries);
        }
    }

    fn has_row(&mut self, digest: &Digest, tries: u32) {
        if let Some(known) = self.challenges.get_mut(digest) {
            known.whole = None;
            if known.tries == tries {
                self.challenges.remove(digest);
            }
        }
    }
}

impl FreshBatch {
    /// Whether anything of challenges is in it.
    pub(super) const fn has_challenges(&self) -> bool {
        !self.challenges.is_empty() || !self.tries.is_empty()
    }

    /// Writes it, in the transaction that is open.
    pub(super) fn write(&self, connection: &Connection) -> rusqlite::Result<()> {
        self.transactions.iter().try_for_each(|record| insert_transaction(connection, record))?;
        self.challenges.iter().try_for_each(|record| challenges::insert(connection, record))?;
        self.tries.iter().try_for_each(|(digest, tries)| challenges::set_tries(connection, digest, *tries))
    }
}
