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

/// Who may have a place at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Company {
    /// Nobody.
    Alone,
    /// Others that share it.
    Shared,
}

/// Takes `path`, a file that is made if it is not there, for as long as the answer lives. `busy` says what is so if somebody has it.
///
/// # Errors
///
/// Somebody has it; it cannot be made.
pub fn at(path: &Path, company: Company, busy: &str) -> anyhow::Result<File> {
    let opened = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path);
    let file = opened.with_context(|| format!("cannot open {}", path.display()))?;
    let taken = match company {
        Company::Alone => file.try_lock(),
        Company::Shared => file.try_lock_shared(),
    };
    match taken {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => bail!("{busy} ({} is locked)", path.display()),
        Err(TryLockError::Error(error)) => Err(error).with_context(|| format!("cannot lock {}", path.display())),
    }
}

/// Takes the SQLite file at `url` for a server: alone where sessions live in it, shared with other servers where they do not.
///
/// # Errors
///
/// Another server, or a fence, has it; its folder cannot be written.
pub fn at_store(url: &str, company: Company) -> anyhow::Result<File> {
    let busy =
        "another server uses this database, or it is being fenced; several servers need Redis as storage.session_url";
    // Not the file itself: SQLite's own locks on it go when this process closes it anywhere.
    at(&beside(url, ".lock"), company, busy)
}

/// The SQLite file at `url`.
pub fn path_of(url: &str) -> &Path {
    let path = url.strip_prefix("sqlite:").unwrap_or(url);
    Path::new(path.strip_prefix("//").unwrap_or(path))
}

/// The file beside it that has its name with `suffix`.
pub fn beside(url: &str, suffix: &str) -> PathBuf {
    let mut path = path_of(url).to_owned().into_os_string();
    path.push(suffix);
    path.into()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_place_is_taken_once_and_free_again() {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", folder.path().join("a.db").display());
        let first = at_store(&url, Company::Alone).unwrap();
        for company in [Company::Alone, Company::Shared] {
            let error = at_store(&url, company).unwrap_err().to_string();
            assert!(error.starts_with("another server uses this database") && error.contains("a.db.lock"), "{error}");
        }
        drop(first);
        at_store(&url, Company::Alone).unwrap();
    }

    #[test]
    fn those_that_share_a_place_keep_out_whoever_wants_it_alone() {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", folder.path().join("a.db").display());
        let both = [(); 2].map(|()| at_store(&url, Company::Shared).unwrap());
        at_store(&url, Company::Alone).unwrap_err();
        drop(both);
        at_store(&url, Company::Alone).unwrap();
    }
}
