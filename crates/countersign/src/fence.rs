//! That a database is not an older copy of itself.
//!
//! A backup that is put back has forgotten what was used, revoked and removed since. The database cannot know that, so a file beside it
//! remembers how far it had come: which database it is, how often a server has marked it, and which file of the file system it was. A
//! server compares both before it serves. The mark is raised in the database first, then in the file: whenever that is interrupted, the
//! database is ahead, as it should be.

mod file;
mod judge;

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use countersign_domain::port::fence_store::{FenceStore, Lineage};

pub use self::{
    file::{FenceFile, Identity, Recorded, Refused},
    judge::{Suspicion, judge},
};
use crate::alone;

/// Refuses a database beside which lies the log of another state of it. Nobody in this process may have it open.
///
/// # Errors
///
/// [`Refused`]; the database cannot be looked at.
pub fn require_own_log(url: &str) -> anyhow::Result<()> {
    if alone::path_of(url).is_file() {
        FenceFile::of(url)?.require_own_log(url)?;
    }
    Ok(())
}

/// Marks a database for as long as a server has it.
pub struct Keeper {
    store: Arc<dyn FenceStore>,
    file: FenceFile,
    /// What was marked last, and what of that is settled. None: it is not there any more.
    last: Mutex<Option<(Lineage, Option<u64>)>>,
}

/// Another database, or an older copy, has taken the place of the one that is served.
#[derive(Clone, Copy, Debug)]
pub struct PutBack;

impl fmt::Display for PutBack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "a backup was put back under this server: it is not what was marked a minute ago; stop every server, and see \
             docs/operations.md, \"After a restore\"",
        )
    }
}

impl std::error::Error for PutBack {}

impl Keeper {
    /// Judges the database at `url`, whose store is `store`, and marks it.
    ///
    /// # Errors
    ///
    /// [`Refused`]: it must not be served as it is. The store failed, or the file cannot be read or written.
    pub async fn begin(url: &str, store: Arc<dyn FenceStore>) -> anyhow::Result<Self> {
        let file = FenceFile::of(url)?;
        // In this order: another server may mark the database meanwhile, and the database is never behind what the file said before.
        let look = async || anyhow::Ok((file.read()?, store.lineage().await?));
        let (recorded, found) = match look().await? {
            // Another server has made the file in between.
            (None, found) if found.mark > 0 => look().await?,
            seen => seen,
        };
        match judge(recorded.as_ref(), &found, file.database()) {
            // First the file, this once: a mark without a file is what a copy looks like.
            Ok(()) if found.mark == 0 => file.write(&found, None)?,
            Ok(()) => {}
            Err(why) => return Err(file.refusal(why).into()),
        }
        let keeper =
            Self { store, file, last: Mutex::new(Some((found, recorded.and_then(|recorded| recorded.settled)))) };
        keeper.mark().await?;
        Ok(keeper)
    }

    /// Marks the database, then the file.
    ///
    /// # Errors
    ///
    /// [`PutBack`], from then on: both stay as they are, so that nobody serves the database again. Either could not be written.
    pub async fn mark(&self) -> anyhow::Result<()> {
        let found = self.store.lineage().await?;
        let goes_on = |(last, _): &mut (Lineage, _)| last.id == found.id && last.mark <= found.mark;
        if self.last().take_if(|last| !goes_on(last)).is_some() {
            return Err(PutBack.into());
        }
        let settled = self.last().as_ref().map(|(_, settled)| *settled).ok_or(PutBack)?;
        let marked = self.store.mark().await?;
        let settled = if self.store.settle().await? { Some(marked.mark) } else { settled };
        *self.last() = Some((marked.clone(), settled));
        self.file.write(&marked, settled)
    }

    fn last(&self) -> MutexGuard<'_, Option<(Lineage, Option<u64>)>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
