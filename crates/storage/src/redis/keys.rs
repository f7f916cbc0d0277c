//! The names of keys, and nothing else makes one.
//!
//! `cs1` is the version of the layout. The part in braces is what Redis Cluster hashes: all keys of one subject lie together.
//!
//! A challenge is the exception: it is found by its own digest, and replaced by its slot's, in one script over both keys and over that of
//! the earlier challenge, which only the slot knows. On a cluster the three would have to lie together: the digest's key would need the
//! slot's tag, so whoever brings an `oob_code` back would have to bring something to know the slot by.

use countersign_domain::{port::session_store::BucketKey, secret::Digest};
use data_encoding::HEXLOWER;

/// The pattern all keys match, for access lists.
#[cfg(test)]
pub(super) const PATTERN: &str = "cs1:*";

/// Holds the time in ms from which on this server has kept buckets.
pub(super) const KEPT_FROM: &str = "cs1:kept_from";

/// Is written to find out whether this server takes what is written.
pub(super) const PROBE: &str = "cs1:probe";

pub(super) fn transaction(digest: &Digest) -> String {
    named(digest, "t", "")
}

pub(super) fn challenge(digest: &Digest) -> String {
    named(digest, "c", "")
}

/// Holds the name of the challenge that is in the slot.
pub(super) fn slot(slot: &Digest) -> String {
    named(slot, "s", "")
}

pub(super) fn bucket(key: &BucketKey) -> String {
    named(&key.subject, "b:", &key.counter)
}

fn named(digest: &Digest, kind: &str, rest: &str) -> String {
    let mut key = String::with_capacity(72 + kind.len() + rest.len());
    key.push_str("cs1:{");
    HEXLOWER.encode_append(digest.as_bytes(), &mut key);
    key.push_str("}:");
    key.push_str(kind);
    key.push_str(rest);
    key
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn keys_of_one_subject_share_a_hash_tag() {
        let subject = Digest::new([0xa5; 32]);
        let tag = "a5".repeat(32);
        assert_eq!(transaction(&subject), format!("cs1:{{{tag}}}:t"));
        assert_eq!(challenge(&subject), format!("cs1:{{{tag}}}:c"));
        assert_eq!(slot(&subject), format!("cs1:{{{tag}}}:s"));
        assert_eq!(
            bucket(&BucketKey { subject, counter: Arc::from("password:::1") }),
            format!("cs1:{{{tag}}}:b:password:::1")
        );
    }
}
