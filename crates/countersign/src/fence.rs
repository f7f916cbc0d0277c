//! That a database is not an older copy of itself.
//!
//! A backup that is put back has forgotten what was used, revoked and removed since. The database cannot know that, so a file beside it
//! remembers how far it had come: which database it is, how often a server has marked it, and which file of the file system it was. A
//! server compares both before it serves. The mark is raised in the database first, then in the file: whenever that is interrupted, the
//! database is ahead, as it should be.

mod file;
mod judge;

use std::sync::Arc;

use countersign_domain::port::fence_store::FenceStore;

pub use self::{
    file::{FenceFile, Identity, Recorded, Refused},
    judge::{Suspicion, judge},
};

/// Marks a database for as long as a server has it.
pub struct Keeper {
    store: Arc<dyn FenceStore>,
    file: FenceFile,
}

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
            Ok(()) if found.mark == 0 => file.write(&found)?,
            Ok(()) => {}
            Err(why) => return Err(file.refusal(why).into()),
        }
        let keeper = Self { store, file };
        keeper.mark().await?;
        Ok(keeper)
    }

    /// Marks the database, then the file.
    ///
    /// # Errors
    ///
    /// Either could not be written.
    pub async fn mark(&self) -> anyhow::Result<()> {
        let lineage = self.store.mark().await?;
        self.file.write(&lineage)
    }
}

#[cfg(test)]
mod tests;
