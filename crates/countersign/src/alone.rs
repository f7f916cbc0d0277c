//! That a process is the only one of its kind at a place.
//!
//! The system lets go of such a lock when the process ends, however it ends. Others may use the place meanwhile: the commands that
//! work beside a running server do not ask.

use std::{
    fs::{File, OpenOptions, TryLockError},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};

/// Takes `path`, a file that is made if it is not there, for as long as the answer lives. `busy` says what is so if somebody has it.
///
/// # Errors
///
/// Somebody has it; it cannot be made.
pub fn at(path: &Path, busy: &str) -> anyhow::Result<File> {
    let opened = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path);
    let file = opened.with_context(|| format!("cannot open {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => bail!("{busy} ({} is locked)", path.display()),
        Err(TryLockError::Error(error)) => Err(error).with_context(|| format!("cannot lock {}", path.display())),
    }
}

/// Takes the SQLite file at `url` for a server whose sessions live in it.
///
/// # Errors
///
/// Another server has it; its folder cannot be written.
pub fn at_store(url: &str) -> anyhow::Result<File> {
    let path = url.strip_prefix("sqlite:").unwrap_or(url);
    // Not the file itself: SQLite's own locks on it go when this process closes it anywhere.
    let mut lock = PathBuf::from(path.strip_prefix("//").unwrap_or(path)).into_os_string();
    lock.push(".lock");
    let busy = "another server uses this database; several need Redis as storage.session_url";
    at(Path::new(&lock), busy)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_place_is_taken_once_and_free_again() {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", folder.path().join("a.db").display());
        let first = at_store(&url).unwrap();
        let error = at_store(&url).unwrap_err().to_string();
        assert!(error.starts_with("another server uses this database") && error.contains("a.db.lock"), "{error}");
        drop(first);
        at_store(&url).unwrap();
    }
}
