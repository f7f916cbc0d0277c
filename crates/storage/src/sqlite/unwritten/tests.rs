//! What is written, and when. The table is what the test says it is.
#![allow(clippy::unwrap_used, clippy::unnecessary_wraps)]

use super::*;
use crate::contract::records::{challenge, digest, transaction};

/// A moment since which all there is has stood.
fn now() -> Instant {
    Instant::now()
}

/// One since which nothing has.
fn long_ago() -> Instant {
    Instant::now().checked_sub(RIPE).unwrap()
}

/// The row of challenge `n`, in the slot of the same number, with this many tries.
fn row(n: usize, tries: u32) -> Result<Option<ChallengeRecord>, PortError> {
    Ok(Some(ChallengeRecord { tries, ..challenge(n, n) }))
}

fn no_row() -> Result<Option<ChallengeRecord>, PortError> {
    Ok(None)
}

fn tries(before: Result<Option<ChallengeRecord>, PortError>) -> Option<u32> {
    before.unwrap().map(|record| record.tries)
}

#[test]
fn a_login_that_ends_before_it_is_written_leaves_nothing_to_write() {
    let unwritten = Unwritten::default();
    unwritten.add_transaction(transaction(1)).unwrap();
    unwritten.forget(Forgotten::Transaction(digest(1)));
    assert!(unwritten.transaction(&digest(1)).is_none());
    assert!(unwritten.batch(long_ago()).is_none());
    assert!(unwritten.rest());
}

#[test]
fn a_login_that_ends_while_it_is_written_is_deleted_later() {
    let unwritten = Unwritten::default();
    unwritten.add_transaction(transaction(1)).unwrap();
    let batch = unwritten.batch(long_ago()).unwrap();
    unwritten.forget(Forgotten::Transaction(digest(1)));
    unwritten.committed(&batch);
    assert!(unwritten.transaction(&digest(1)).is_none());
    assert!(unwritten.has_forgotten(Forgotten::Transaction(digest(1))), "its row is there");
    unwritten.finish();
    assert_eq!(unwritten.batch(long_ago()).unwrap().forgotten.len(), 1);
}

#[test]
fn a_failed_commit_loses_nothing() {
    let unwritten = Unwritten::default();
    unwritten.add_transaction(transaction(1)).unwrap();
    unwritten.add_challenge(challenge(2, 2)).unwrap();
    drop(unwritten.batch(long_ago()).unwrap());
    assert!(unwritten.transaction(&digest(1)).is_some());
    assert_eq!(tries(unwritten.challenge(&digest(2), no_row)), Some(5));
    let again = unwritten.batch(long_ago()).unwrap();
    unwritten.committed(&again);
    assert!(unwritten.transaction(&digest(1)).is_none());
    assert_eq!(tries(unwritten.challenge(&digest(2), no_row)), None);
    assert!(unwritten.rest());
}

#[test]
fn a_try_that_is_taken_while_the_challenge_is_written_counts() {
    let unwritten = Unwritten::default();
    unwritten.add_challenge(challenge(1, 1)).unwrap();
    assert_eq!(tries(unwritten.take_try(&digest(1), no_row)), Some(5));
    let batch = unwritten.batch(long_ago()).unwrap();
    assert_eq!(tries(unwritten.take_try(&digest(1), no_row)), Some(4));
    unwritten.committed(&batch);
    // The row says four.
    assert_eq!(tries(unwritten.challenge(&digest(1), || row(1, 4))), Some(3));
    assert_eq!(tries(unwritten.take_try(&digest(1), || row(1, 4))), Some(3));
    unwritten.hurry();
    unwritten.committed(&unwritten.batch(now()).unwrap());
    assert_eq!(tries(unwritten.challenge(&digest(1), || row(1, 2))), Some(2), "written down by now");
    assert!(unwritten.rest());
}

#[test]
fn a_try_that_is_written_while_the_table_is_looked_into_counts() {
    let unwritten = Unwritten::default();
    let looks = std::cell::Cell::new(0);
    let looking = || {
        looks.set(looks.get() + 1);
        if looks.get() > 1 {
            return row(1, 4);
        }
        // What was there before another try was taken, written down, and known to the table alone.
        let before = row(1, 5);
        assert_eq!(tries(unwritten.take_try(&digest(1), || row(1, 5))), Some(5));
        unwritten.hurry();
        unwritten.committed(&unwritten.batch(now()).unwrap());
        before
    };
    assert_eq!(tries(unwritten.take_try(&digest(1), looking)), Some(4));
    assert_eq!(looks.get(), 2);
}

#[test]
fn tries_are_written_when_they_have_stood_for_a_while_or_something_failed() {
    let unwritten = Unwritten::default();
    assert_eq!(tries(unwritten.take_try(&digest(1), || row(1, 5))), Some(5));
    assert!(unwritten.batch(long_ago()).is_none());
    unwritten.hurry();
    assert!(unwritten.batch(long_ago()).is_some());
}

#[test]
fn what_is_in_a_hurry_goes_with_the_next_commit_after_one_that_failed() {
    let unwritten = Unwritten::default();
    assert_eq!(tries(unwritten.take_try(&digest(1), || row(1, 5))), Some(5));
    unwritten.hurry();
    let failing = unwritten.batch(long_ago()).unwrap();
    unwritten.failed();
    let next = unwritten.batch(long_ago()).unwrap();
    unwritten.committed(&next);
    assert!(unwritten.rest());
    drop(failing);
}

#[test]
fn tries_of_a_code_that_was_right_are_not_written() {
    let unwritten = Unwritten::default();
    assert_eq!(tries(unwritten.take_try(&digest(1), || row(1, 5))), Some(5));
    unwritten.forget(Forgotten::Challenge(digest(1)));
    unwritten.hurry();
    assert!(unwritten.batch(now()).is_none());
}

#[test]
fn a_challenge_that_is_superseded_is_gone_though_its_row_is_there() {
    let unwritten = Unwritten::default();
    assert_eq!(tries(unwritten.take_try(&digest(1), || row(1, 5))), Some(5));
    unwritten.add_challenge(challenge(2, 1)).unwrap();
    assert_eq!(tries(unwritten.challenge(&digest(1), || row(1, 5))), None);
    assert_eq!(tries(unwritten.take_try(&digest(1), || row(1, 5))), None);
    // One that ends before it is written is written all the same: it takes the older row away.
    unwritten.forget(Forgotten::Challenge(digest(2)));
    assert_eq!(tries(unwritten.challenge(&digest(1), || row(1, 5))), None);
    let batch = unwritten.batch(long_ago()).unwrap();
    assert_eq!(tries(unwritten.challenge(&digest(1), || row(1, 5))), None);
    unwritten.committed(&batch);
    assert_eq!(tries(unwritten.challenge(&digest(1), no_row)), None);
}

#[test]
fn no_try_is_taken_of_nothing_or_of_a_challenge_without_tries() {
    let unwritten = Unwritten::default();
    assert_eq!(tries(unwritten.take_try(&digest(1), no_row)), None);
    assert_eq!(tries(unwritten.take_try(&digest(1), || row(1, 0))), Some(0));
    assert!(unwritten.rest());
}

#[test]
fn memory_does_not_run_out_where_nothing_can_be_written() {
    let unwritten = Unwritten::default();
    for n in 0..MOST_FRESH {
        unwritten.add_transaction(transaction(n)).unwrap();
    }
    assert!(matches!(unwritten.add_transaction(transaction(MOST_FRESH)), Err(PortError::Overloaded)));
    assert!(matches!(unwritten.add_challenge(challenge(1, 1)), Err(PortError::Overloaded)));
    assert!(matches!(unwritten.take_try(&digest(1), || row(1, 5)), Err(PortError::Overloaded)));
    assert!(unwritten.transaction(&digest(1)).is_some());
}
