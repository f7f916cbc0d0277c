//! Everything in one SQLite file: the durable store, and the session store where no other is configured.

mod audit;
mod authenticators;
mod burn;
mod challenges;
mod data_keys;
mod failures;
mod fence;
mod fresh;
mod keys;
mod logins;
mod outbox;
mod proofs;
mod queue;
mod readers;
mod refresh;
mod repudiations;
mod rows;
mod schema;
mod sealed;
mod sent;
mod sessions;
mod stored;
mod transaction;
mod unwritten;
mod users;
mod writer;
mod written;

use std::{
    path::Path,
    sync::{Arc, Mutex},
};

use countersign_domain::{audit::chain::AuditChain, port::PortError};

pub use self::fence::lineage_without_log;
use self::{readers::Readers, schema::OpenError, unwritten::Unwritten, writer::Writer, written::Written};

/// What errors call this store.
const DURABLE_STORE: &str = "durable store";

/// Connections that read, besides the one that writes.
const OTHER_READERS: usize = 3;

/// How a file is opened.
#[derive(Clone, Copy, Debug)]
pub struct SqliteOptions {
    /// Most calls that wait for the writer; one more is refused as overload.
    pub waiting: usize,
    /// Most pages the file may have, for tests of a full disk. `None`: as many as the disk holds.
    pub max_pages: Option<u32>,
}

impl Default for SqliteOptions {
    fn default() -> Self {
        Self { waiting: 1024, max_pages: None }
    }
}

/// Keeps everything in one file.
///
/// One thread writes and groups commits; callers read by themselves. Other processes may open the same file: every one-time thing is
/// judged by one statement in a transaction that holds SQLite's own write lock. Buckets and tries are another matter: two stores on one
/// file count each for itself what both have not written yet, so only one of them may serve logins.
///
/// Dropping it writes what was accepted, and ends the thread.
pub struct SqliteStore {
    writer: Writer,
    readers: Readers,
    unwritten: Arc<Unwritten>,
    written: Written,
}

impl SqliteStore {
    /// Opens or makes the file at `path`, readable for its owner only, and brings its schema up to date.
    ///
    /// `chain` links the rows of the audit trail. This waits for the disk; call it at start.
    ///
    /// # Errors
    ///
    /// [`PortError::Unavailable`] if the engine is too old, or the file cannot be made, opened, put in WAL mode or migrated.
    pub fn open(path: &Path, chain: &AuditChain, options: SqliteOptions) -> Result<Self, PortError> {
        Self::start(path, chain, options).map_err(|error| PortError::Unavailable(DURABLE_STORE, Box::new(error)))
    }

    fn start(path: &Path, chain: &AuditChain, options: SqliteOptions) -> Result<Self, OpenError> {
        let connection = schema::open_writer(path, chain)?;
        if let Some(pages) = options.max_pages {
            limit_pages(&connection, pages)?;
        }
        let others = (0..OTHER_READERS).map(|_| schema::open_reader(path)).collect::<Result<_, _>>()?;
        let unwritten = Arc::new(Unwritten::default());
        unwritten.begin_to_learn();
        unwritten.learn(Some(sessions::stored_keys(&connection)?));
        let connection = Arc::new(Mutex::new(connection));
        let readers = Readers::new(Arc::clone(&connection), others);
        let writer = Writer::start(connection, chain.clone(), Arc::clone(&unwritten), options.waiting);
        let writer = writer.map_err(OpenError::Thread)?;
        Ok(Self { writer, readers, unwritten, written: Written::default() })
    }

    /// Transactions committed since the file was opened. Under load there are fewer than calls.
    pub fn commits(&self) -> u64 {
        self.writer.commits()
    }

    /// Sets the most pages the file may have, for tests of a full disk.
    ///
    /// # Errors
    ///
    /// [`PortError::Unavailable`] as everywhere.
    #[cfg(feature = "testing")]
    pub async fn limit_pages(&self, pages: u32) -> Result<(), PortError> {
        self.writer
            .submit(writer::Durability::Session, move |connection| {
                limit_pages(connection, pages).map(writer::Step::Keep)
            })
            .await
    }
}

fn limit_pages(connection: &rusqlite::Connection, pages: u32) -> rusqlite::Result<()> {
    connection.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(()))
}

/// A row that does not parse is damage; anything else is the store not being there.
fn port_error(error: rusqlite::Error) -> PortError {
    use rusqlite::{Error, ErrorCode};
    match &error {
        Error::FromSqlConversionFailure(..) | Error::IntegralValueOutOfRange(..) | Error::InvalidColumnType(..) => {
            PortError::Corrupt(Box::new(error))
        }
        Error::SqliteFailure(failure, _)
            if matches!(failure.code, ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) =>
        {
            PortError::Corrupt(Box::new(error))
        }
        _ => PortError::Unavailable(DURABLE_STORE, Box::new(error)),
    }
}
