//! Which buckets have rows.
//!
//! Most have none: a bucket that is full has no row. Knowing that spares every login a look into the table.

use std::{
    collections::HashSet,
    hash::{DefaultHasher, Hash as _, Hasher as _},
};

use countersign_domain::port::session_store::BucketKey;

/// The keys of all rows in the table, and perhaps of a few that are gone. Eight bytes of each do: who shares them with somebody else is
/// looked up once in vain.
#[derive(Default)]
pub(super) struct Stored {
    keys: HashSet<u64>,
    /// What was written since the table began to be read anew.
    since: Option<HashSet<u64>>,
}

impl Stored {
    /// Whether the table may have a row of this bucket.
    pub(super) fn may_have(&self, key: &BucketKey) -> bool {
        self.keys.contains(&short(key.subject.as_bytes(), &key.counter))
    }

    /// A row of this bucket is about to be written.
    pub(super) fn add(&mut self, key: &BucketKey) {
        let key = short(key.subject.as_bytes(), &key.counter);
        self.keys.insert(key);
        if let Some(since) = &mut self.since {
            since.insert(key);
        }
    }

    /// The table is about to be read.
    pub(super) fn begin(&mut self) {
        self.since = Some(HashSet::new());
    }

    /// These were in the table at some moment after [`Self::begin`]. `None`: it could not be read, and all stay known.
    pub(super) fn end(&mut self, read: Option<HashSet<u64>>) {
        if let (Some(since), Some(mut read)) = (self.since.take(), read) {
            read.extend(since);
            self.keys = read;
        }
    }
}

/// What is kept of a key.
pub(super) fn short(subject: &[u8; 32], counter: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    (subject, counter).hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use countersign_domain::secret::Digest;

    use super::*;

    fn key(subject: u8) -> BucketKey {
        BucketKey { subject: Digest::new([subject; 32]), counter: "otp".into() }
    }

    #[test]
    fn what_is_written_while_the_table_is_read_stays_known() {
        let mut stored = Stored::default();
        stored.add(&key(1));
        stored.begin();
        stored.add(&key(2));
        stored.end(Some(HashSet::from([short(&[3; 32], "otp")])));
        assert_eq!([1, 2, 3].map(|subject| stored.may_have(&key(subject))), [false, true, true]);
    }

    #[test]
    fn counters_of_one_subject_are_told_apart() {
        let mut stored = Stored::default();
        stored.add(&key(1));
        assert!(!stored.may_have(&BucketKey { counter: "oob".into(), ..key(1) }));
    }

    #[test]
    fn if_the_table_cannot_be_read_nothing_is_unlearnt() {
        let mut stored = Stored::default();
        stored.add(&key(1));
        stored.begin();
        stored.end(None);
        assert!(stored.may_have(&key(1)));
    }
}
