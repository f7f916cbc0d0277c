//! Whether a database is the one that was served last.

use countersign_domain::port::fence_store::Lineage;

use super::file::{Identity, Recorded};

/// Why a database must not be served as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suspicion {
    /// It was served before, and nothing remembers it here.
    Unremembered,
    /// It is not the one that is remembered.
    Another,
    /// It has not come as far as is remembered.
    Older,
    /// It has come as far, but is another file.
    Moved,
    /// The log beside it is not its own.
    Mixed,
}

/// Judges what is found by what was recorded.
///
/// # Errors
///
/// It may be a backup.
pub fn judge(recorded: Option<&Recorded>, found: &Lineage, file: Identity) -> Result<(), Suspicion> {
    match recorded {
        None if found.mark == 0 => Ok(()),
        None => Err(Suspicion::Unremembered),
        Some(recorded) if recorded.lineage != found.id => Err(Suspicion::Another),
        Some(recorded) if recorded.mark > found.mark => Err(Suspicion::Older),
        Some(recorded) if !recorded.file.may_be(file) => Err(Suspicion::Moved),
        Some(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Identity = Identity { inode: 7, made_at: Some(70) };

    fn judged(recorded: Option<(&str, u64, Identity)>, mark: u64) -> Result<(), Suspicion> {
        let recorded =
            recorded.map(|(lineage, mark, file)| Recorded { lineage: lineage.to_owned(), mark, settled: None, file });
        judge(recorded.as_ref(), &Lineage { id: "a".to_owned(), mark }, HERE)
    }

    #[test]
    fn a_database_is_served_if_it_has_come_as_far_as_is_remembered() {
        assert_eq!(judged(Some(("a", 4, HERE)), 4), Ok(()));
        assert_eq!(judged(Some(("a", 4, HERE)), 5), Ok(()), "the file was not written any more");
        assert_eq!(judged(Some(("a", 4, HERE)), 3), Err(Suspicion::Older));
    }

    #[test]
    fn a_database_that_nobody_has_served_needs_no_memory() {
        assert_eq!(judged(None, 0), Ok(()));
        assert_eq!(judged(Some(("a", 0, HERE)), 0), Ok(()));
        assert_eq!(judged(None, 1), Err(Suspicion::Unremembered));
    }

    #[test]
    fn a_database_in_the_place_of_another_is_not_served() {
        assert_eq!(judged(Some(("b", 1, HERE)), 0), Err(Suspicion::Another), "a backup of a version without marks");
        assert_eq!(judged(Some(("b", 1, HERE)), 9), Err(Suspicion::Another));
        assert_eq!(judged(Some(("a", 4, Identity { inode: 8, ..HERE })), 4), Err(Suspicion::Moved));
        assert_eq!(judged(Some(("a", 4, Identity { inode: 8, ..HERE })), 3), Err(Suspicion::Older));
        let made_at = |made_at| judged(Some(("a", 4, Identity { made_at, ..HERE })), 4);
        assert_eq!(
            made_at(Some(71)),
            Err(Suspicion::Moved),
            "the number of a file that was removed was given to another"
        );
        assert_eq!(made_at(None), Ok(()), "the file system did not say");
    }
}
