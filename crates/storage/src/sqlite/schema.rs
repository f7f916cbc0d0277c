//! Opens connections, and brings the file to the version this program knows.

use std::{fs::OpenOptions, io, os::unix::fs::OpenOptionsExt as _, path::Path, time::Duration};

use countersign_domain::audit::chain::AuditChain;
use rusqlite::{Connection, OpenFlags, TransactionBehavior, config::DbConfig};

use super::audit;

/// Each file is applied once, in order, and never changed afterwards.
const MIGRATIONS: [&str; 19] = [
    include_str!("migrations/0001_initial.sql"),
    include_str!("migrations/0002_messages.sql"),
    include_str!("migrations/0003_notices.sql"),
    include_str!("migrations/0004_devices.sql"),
    include_str!("migrations/0005_outbox.sql"),
    include_str!("migrations/0006_refresh_tokens.sql"),
    include_str!("migrations/0007_audit_detail.sql"),
    include_str!("migrations/0008_audit_chain.sql"),
    include_str!("migrations/0009_key_states.sql"),
    include_str!("migrations/0010_remembered_devices.sql"),
    include_str!("migrations/0011_assertions.sql"),
    include_str!("migrations/0012_data_keys.sql"),
    include_str!("migrations/0013_grace.sql"),
    include_str!("migrations/0014_proofs.sql"),
    include_str!("migrations/0015_outbox_user.sql"),
    include_str!("migrations/0016_seals.sql"),
    include_str!("migrations/0017_sent.sql"),
    include_str!("migrations/0018_lineage.sql"),
    include_str!("migrations/0019_spared.sql"),
];

/// The version that links the rows of the audit trail.
const AUDIT_CHAIN: usize = 8;

/// Older engines may corrupt a file in WAL mode when two connections checkpoint at the same time.
const OLDEST_ENGINE: i32 = 3_051_003;

/// How long one process waits for another that writes.
pub(super) const BUSY: Duration = Duration::from_secs(5);

/// Why a file cannot be opened.
#[derive(Debug, thiserror::Error)]
pub(super) enum OpenError {
    #[error("SQLite {0} is too old: 3.51.3 is the first that does not corrupt a shared file")]
    OldEngine(&'static str),
    #[error("the file has schema version {found}, this program knows {known}: it was written by a newer one")]
    NewerFile { found: i64, known: usize },
    #[error("the file cannot be put in WAL mode; it is in mode {0}")]
    NoWal(String),
    #[error("the file cannot be created")]
    Create(#[source] io::Error),
    #[error("a thread cannot be started")]
    Thread(#[source] io::Error),
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
}

/// The connection that writes, with the schema in place.
pub(super) fn open_writer(path: &Path, chain: &AuditChain) -> Result<Connection, OpenError> {
    if rusqlite::version_number() < OLDEST_ENGINE {
        return Err(OpenError::OldEngine(rusqlite::version()));
    }
    // Made here, not by SQLite, for the mode; the files beside it inherit that.
    OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path).map_err(OpenError::Create)?;
    let mut connection =
        Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(BUSY)?;
    let mode: String = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
    if mode != "wal" {
        return Err(OpenError::NoWal(mode));
    }
    connection.execute_batch(
        "PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA temp_store = MEMORY;
         PRAGMA trusted_schema = OFF;",
    )?;
    // Kibibytes, taken as they are needed. Logins read with this connection: what fits is not fetched from the file again.
    connection.execute_batch("PRAGMA cache_size = -12288")?;
    // Rows of sealed and hashed secrets are overwritten, not just unlinked, when they go.
    connection.query_row("PRAGMA secure_delete = FAST", [], |_| Ok(()))?;
    // Longer than by default, because a page that many logins touch is copied into the file once for all of them.
    connection.query_row("PRAGMA wal_autocheckpoint = 4000", [], |_| Ok(()))?;
    connection.query_row("PRAGMA journal_size_limit = 16777216", [], |_| Ok(()))?;
    settle_plans(&connection)?;
    connection.set_prepared_statement_cache_capacity(96);
    migrate(&mut connection, chain)?;
    Ok(connection)
}

/// A connection that reads.
pub(super) fn open_reader(path: &Path) -> Result<Connection, OpenError> {
    let connection =
        Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(BUSY)?;
    // Pages, which is what SQLite allocates at once and keeps. Beyond that it would allocate each, and give them all back after every commit
    // of another connection, which cost a login a twentieth of its time.
    connection.execute_batch("PRAGMA temp_store = MEMORY; PRAGMA cache_size = 20; PRAGMA trusted_schema = OFF;")?;
    settle_plans(&connection)?;
    connection.set_prepared_statement_cache_capacity(16);
    Ok(connection)
}

/// Keeps the plan of a prepared statement. Otherwise each new value of a parameter that might make a partial index useful has the
/// statement compiled again, which takes longer than running it.
fn settle_plans(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map(|_| ())
}

fn migrate(connection: &mut Connection, chain: &AuditChain) -> Result<(), OpenError> {
    // The version is read under the lock: two processes may start together.
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let found: i64 = transaction.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let done = match usize::try_from(found) {
        Ok(done) if done <= MIGRATIONS.len() => done,
        _ => return Err(OpenError::NewerFile { found, known: MIGRATIONS.len() }),
    };
    for (version, sql) in MIGRATIONS.iter().enumerate().skip(done) {
        transaction.execute_batch(sql)?;
        if version + 1 == AUDIT_CHAIN {
            audit::begin(&transaction, chain)?;
        }
        transaction.execute_batch(&format!("PRAGMA user_version = {}", version + 1))?;
    }
    transaction.commit()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use countersign_domain::testing::toy_chain as chain;

    use super::*;

    #[test]
    fn the_engine_inside_is_one_that_does_not_corrupt() {
        assert!(rusqlite::version_number() >= OLDEST_ENGINE, "{}", rusqlite::version());
    }

    #[test]
    fn a_new_file_is_for_its_owner_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data.db");
        let _writer = open_writer(&path, &chain()).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let wal = folder.path().join("data.db-wal");
        assert_eq!(std::fs::metadata(wal).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_file_of_a_newer_program_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data.db");
        open_writer(&path, &chain()).unwrap().execute_batch("PRAGMA user_version = 99").unwrap();
        assert!(matches!(open_writer(&path, &chain()), Err(OpenError::NewerFile { found: 99, .. })));
    }

    #[test]
    fn settings_that_durability_rests_on_are_made() {
        let folder = tempfile::tempdir().unwrap();
        let writer = open_writer(&folder.path().join("data.db"), &chain()).unwrap();
        let get = |pragma: &str| writer.query_row(pragma, [], |row| row.get::<_, i64>(0)).unwrap();
        assert_eq!(get("PRAGMA synchronous"), 2);
        assert_eq!(get("PRAGMA foreign_keys"), 1);
        assert_eq!(get("PRAGMA user_version"), i64::try_from(MIGRATIONS.len()).unwrap());
        assert_eq!(get("PRAGMA busy_timeout"), 5000);
    }

    #[test]
    fn a_file_of_the_first_version_keeps_its_rows() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data.db");
        let old = Connection::open(&path).unwrap();
        old.execute_batch(MIGRATIONS[0]).unwrap();
        old.execute_batch(
            "INSERT INTO user VALUES ('auth0|ann', 'main', 'ann', 'ann@example.com', 1, NULL, NULL, NULL, NULL, 'hash', 0, 7, 1, 2, 3);
             INSERT INTO login_name VALUES ('main', 'ann', 'auth0|ann');
             INSERT INTO authenticator VALUES ('auth0|ann', 'totp|dev_1', 'otp', 'active', NULL, NULL, x'0102', 'Phone', 1, 100, 2, 4, 5, 6);
             INSERT INTO authenticator VALUES ('auth0|ann', 'totp|dev_2', 'otp', 'pending', 9, zeroblob(32), x'03', NULL, 0, NULL, 0, 4, NULL, NULL);
             INSERT INTO recovery_code VALUES ('auth0|ann', 'recovery-code|dev_3', zeroblob(32), 'active', NULL, 0, 4, NULL);
             INSERT INTO signing_key VALUES ('old', 'RS256', x'05', 10), ('new', 'RS256', x'06', 11), ('ec', 'ES256', x'07', 9);
             INSERT INTO consumed VALUES (8, 'mfa_transaction', x'04');
             PRAGMA user_version = 1;",
        )
        .unwrap();
        drop(old);

        let writer = open_writer(&path, &chain()).unwrap();
        let text = |sql: &str| writer.query_row(sql, [], |row| row.get::<_, String>(0)).unwrap();
        assert_eq!(
            text(
                "SELECT concat_ws(' ', id, email, password, epoch, updated_at, address_failures, '[' || notification_addresses || ']', told_at) FROM user"
            ),
            "auth0|ann ann@example.com hash 7 3 0 [] 5"
        );
        let authenticators = "SELECT group_concat(concat_ws(' ', id, kind, status, hex(state), name, last_step, failures, \
                              coalesce(pair, 'no pair'), coalesce(address, 'no address')), ', ' ORDER BY id) FROM authenticator";
        assert_eq!(
            text(authenticators),
            "totp|dev_1 otp active 0102 Phone 100 2 no pair no address, totp|dev_2 otp pending 03 0 no pair no address"
        );
        let keys = "SELECT group_concat(concat_ws(' ', id, state, hex(sealed), changed_at), ', ' ORDER BY id) FROM signing_key";
        assert_eq!(text(keys), "ec current 07 9, new current 06 11, old previous 05 10");
        for (table, rows) in [
            ("login_name", 1),
            ("recovery_code", 1),
            ("consumed", 1),
            ("challenge", 0),
            ("outbox", 0),
            ("repudiation", 0),
            ("proof", 0),
            ("sent", 0),
            ("lineage", 1),
        ] {
            let counted: i64 =
                writer.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap();
            assert_eq!(counted, rows, "{table}");
        }
        assert_eq!(text("PRAGMA integrity_check"), "ok");
    }
}
