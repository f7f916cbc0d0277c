//! The audit trail of a file, as another program reads it.

use std::path::Path;

use countersign_domain::{audit::chain::AuditRow, secret::Digest, time::Timestamp};
use rusqlite::{Connection, OpenFlags};

/// All rows, oldest first.
pub fn rows(path: &Path) -> Vec<AuditRow> {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).expect("the file opens");
    connection.busy_timeout(std::time::Duration::from_secs(5)).expect("it can wait");
    let mut statement = connection
        .prepare(
            "SELECT id, at, event, user_id, client_id, authenticator, address, operator, detail, link, seal \
             FROM audit ORDER BY id",
        )
        .expect("there is a trail");
    let rows = statement.query_map([], |row| {
        let digest = |at| row.get::<_, Option<[u8; 32]>>(at).map(|bytes| bytes.map(Digest::new));
        Ok(AuditRow {
            id: row.get(0)?,
            at: Timestamp::from_millis(row.get(1)?),
            event: row.get(2)?,
            user: row.get(3)?,
            client: row.get(4)?,
            authenticator: row.get(5)?,
            address: row.get(6)?,
            operator: row.get(7)?,
            detail: row.get(8)?,
            link: digest(9)?,
            seal: digest(10)?,
        })
    });
    rows.and_then(Iterator::collect).expect("the trail can be read")
}
