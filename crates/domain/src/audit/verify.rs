//! Reads a trail from its beginning and says where it breaks.

use super::{
    Event,
    chain::{AuditChain, AuditRow, NOTHING},
};
use crate::secret::Digest;

/// The end of a trail: write it down elsewhere, and a later trail can be asked whether it is still in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// The number of the newest row.
    pub id: i64,
    /// Its link.
    pub link: Digest,
}

/// The first row with which something is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("row {id}: {flaw}")]
pub struct Broken {
    /// Its number, or that of the row that is not there.
    pub id: i64,
    /// What is wrong.
    pub flaw: Flaw,
}

/// What is wrong with a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// The chain does not begin where it began, or a row from before it was changed.
    #[error("the chain does not begin here, or a row before it was changed or removed")]
    NoStart,
    /// It is not there, and later ones are.
    #[error("it was removed")]
    Missing,
    /// It does not fit its link.
    #[error("it was changed, moved or added, or what preceded it was removed")]
    Changed,
    /// The newest row is not the one that was written last.
    #[error("the trail was cut off before it")]
    CutOff,
}

/// Takes rows in the order of their numbers.
#[derive(Debug)]
pub struct Verifier {
    chain: AuditChain,
    /// Of the rows without links.
    covered: Digest,
    /// Of the last row that was taken.
    last: Option<(Head, Option<Digest>)>,
    linked: u64,
}

impl Verifier {
    /// One that has seen nothing yet.
    pub const fn new(chain: AuditChain) -> Self {
        Self { chain, covered: NOTHING, last: None, linked: 0 }
    }

    /// Takes the next row.
    ///
    /// # Errors
    ///
    /// What is wrong with it. Nothing that follows says anything then.
    pub fn take(&mut self, row: &AuditRow) -> Result<(), Broken> {
        let broken = |id, flaw| Err(Broken { id, flaw });
        let previous = match (&self.last, row.link) {
            (None, None) => {
                self.covered = self.chain.cover(&self.covered, &row.content());
                return Ok(());
            }
            (None, Some(_)) if row.event != Event::TrailStarted.as_str() => return broken(row.id, Flaw::NoStart),
            (None, Some(_)) => self.covered,
            (Some((last, _)), _) if last.id.checked_add(1) != Some(row.id) => {
                return broken(last.id.saturating_add(1), Flaw::Missing);
            }
            (Some((last, _)), _) => last.link,
        };
        match row.link {
            Some(link) if link == self.chain.link(&previous, &row.content()) => {
                self.last = Some((Head { id: row.id, link }, row.seal));
                self.linked += 1;
                Ok(())
            }
            _ if self.last.is_none() => broken(row.id, Flaw::NoStart),
            _ => broken(row.id, Flaw::Changed),
        }
    }

    /// The row that was taken last.
    pub fn head(&self) -> Option<Head> {
        self.last.map(|(head, _)| head)
    }

    /// Rows with links so far.
    pub const fn linked(&self) -> u64 {
        self.linked
    }

    /// There are no more rows.
    ///
    /// # Errors
    ///
    /// The end is missing.
    pub fn end(self) -> Result<Head, Broken> {
        let Some((head, seal)) = self.last else { return Err(Broken { id: 1, flaw: Flaw::NoStart }) };
        if seal == Some(self.chain.seal(head.id, &head.link)) {
            Ok(head)
        } else {
            Err(Broken { id: head.id.saturating_add(1), flaw: Flaw::CutOff })
        }
    }
}
