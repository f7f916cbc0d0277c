//! The file beside the database.

use std::{
    fmt,
    fs::{self, File, Metadata, OpenOptions},
    io::{ErrorKind, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
    time::UNIX_EPOCH,
};

use anyhow::Context as _;
use countersign_domain::port::fence_store::Lineage;
use countersign_storage::sqlite::lineage_without_log;
use serde::{Deserialize, Serialize};

use super::Suspicion;
use crate::alone;

/// Files that were written by this process.
static STAGED: AtomicU64 = AtomicU64::new(0);

/// What it says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recorded {
    /// The id of the lineage.
    pub lineage: String,
    /// The mark.
    pub mark: u64,
    /// The mark that the database has had without its log. None: not known.
    #[serde(default)]
    pub settled: Option<u64>,
    /// Which file the database is.
    pub file: Identity,
}

/// Which file of its file system something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// Its number. That of a file that was removed may be given to another.
    pub inode: u64,
    /// When it was made, in milliseconds, where the file system says so.
    pub made_at: Option<u64>,
}

impl Identity {
    /// Whether it may be `other`.
    pub fn may_be(self, other: Self) -> bool {
        self.inode == other.inode && self.made_at.zip(other.made_at).is_none_or(|(one, another)| one == another)
    }

    fn of(found: &Metadata) -> Self {
        let made_at = found.created().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
        Self { inode: found.ino(), made_at: made_at.and_then(|at| u64::try_from(at.as_millis()).ok()) }
    }
}

/// Where it is, and which file the database was when it was opened: what takes its place under a running server is another one.
#[derive(Debug)]
pub struct FenceFile {
    path: PathBuf,
    database: Identity,
}

impl FenceFile {
    /// The one of the database at `url`, which is there.
    ///
    /// # Errors
    ///
    /// It is not.
    pub fn of(url: &str) -> anyhow::Result<Self> {
        let database = alone::path_of(url);
        let found = fs::metadata(database).with_context(|| format!("cannot look at {}", database.display()))?;
        Ok(Self { path: alone::beside(url, ".fence"), database: Identity::of(&found) })
    }

    /// Which file the database is.
    pub const fn database(&self) -> Identity {
        self.database
    }

    /// What it says. None: there is none.
    ///
    /// # Errors
    ///
    /// It cannot be read, or says something else.
    pub fn read(&self) -> anyhow::Result<Option<Recorded>> {
        let text = match fs::read(&self.path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            read => read.with_context(|| format!("cannot read {}", self.path.display()))?,
        };
        let damaged = || {
            format!(
                "{} is damaged; if nothing was put back, remove it and use `countersign fence --moved`",
                self.path.display()
            )
        };
        serde_json::from_slice(&text).with_context(damaged)
    }

    /// Refuses a log that lies beside another database than its own: SQLite would lay it over that. Nobody in this process may have the
    /// database open. A damaged file tells nothing of that; who serves refuses it, and who fences writes it anew.
    ///
    /// # Errors
    ///
    /// The log belongs elsewhere.
    pub fn require_own_log(&self, url: &str) -> Result<(), Refused> {
        let Ok(Some(Recorded { lineage, settled: Some(settled), .. })) = self.read() else { return Ok(()) };
        match lineage_without_log(alone::path_of(url)) {
            Some(alone) if alone.id != lineage || alone.mark < settled => Err(self.refusal(Suspicion::Mixed)),
            _ => Ok(()),
        }
    }

    /// Has it say what `lineage` is, and how much of it is settled: whole or not at all, and durably.
    ///
    /// # Errors
    ///
    /// It cannot be written.
    pub fn write(&self, lineage: &Lineage, settled: Option<u64>) -> anyhow::Result<()> {
        let Lineage { id, mark } = lineage.clone();
        let text = serde_json::to_vec(&Recorded { lineage: id, mark, settled, file: self.database })?;
        // Servers that share a database write at the same time.
        let number = STAGED.fetch_add(1, Ordering::Relaxed);
        let staged = PathBuf::from(format!("{}.{}-{number}", self.path.display(), std::process::id()));
        let write = || {
            let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&staged)?;
            file.write_all(&text)?;
            file.sync_all()?;
            fs::rename(&staged, &self.path)?;
            let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
            File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
        };
        write().with_context(|| format!("cannot write {}", self.path.display()))
    }

    /// What is said to whoever wants to serve.
    pub fn refusal(&self, why: Suspicion) -> Refused {
        Refused { why, file: self.path.clone() }
    }
}

/// A database that is not served.
#[derive(Clone, Debug)]
pub struct Refused {
    /// Why.
    pub why: Suspicion,
    file: PathBuf,
}

impl Refused {
    /// What was seen.
    pub fn seen(&self) -> String {
        let file = self.file.display();
        match self.why {
            Suspicion::Unremembered => format!("it was served before, but there is no {file}"),
            Suspicion::Another => format!("{file} is about another database"),
            Suspicion::Older => format!("it is older than {file}"),
            Suspicion::Moved => format!("it is not the same file as when {file} was written"),
            Suspicion::Mixed => {
                "the -wal beside it belongs to another state of it; remove that and the -shm first".to_owned()
            }
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "this database may be a backup that was put back: {}. Served as it is, codes, tokens and authenticators that were used or \
             removed since the backup would work again. If it is one, run `countersign fence` (docs/operations.md, \"After a \
             restore\"); if it is what was served last and was only moved, `countersign fence --moved`",
            self.seen()
        )
    }
}

impl std::error::Error for Refused {}
