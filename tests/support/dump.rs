//! Everything the stores hold, byte for byte.

use std::path::Path;

use rusqlite::{Connection, OpenFlags, types::ValueRef};

/// Every value of every table of the SQLite file at `path`, and its files as they lie on the disk. Reading those gives up the locks of a
/// server in this process, so no other process may open the file afterwards while that runs.
pub fn sqlite(path: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = tables(path);
    for suffix in ["", "-wal", "-shm"] {
        let file = format!("{}{suffix}", path.display());
        if let Ok(bytes) = std::fs::read(&file) {
            found.push((format!("file {file}"), bytes));
        }
    }
    found
}

/// Every value of every table of the SQLite file at `path`.
pub fn tables(path: &Path) -> Vec<(String, Vec<u8>)> {
    let connection = open(path);
    let mut found = Vec::new();
    for table in texts(&connection, "SELECT name FROM sqlite_schema WHERE type = 'table'") {
        let mut statement = connection.prepare(&format!("SELECT * FROM \"{table}\"")).expect("a table can be read");
        let columns = statement.column_count();
        let mut rows = statement.query([]).expect("a table can be read");
        while let Some(row) = rows.next().expect("a row can be read") {
            for column in 0..columns {
                let bytes = match row.get_ref(column).expect("the column is there") {
                    ValueRef::Null => continue,
                    ValueRef::Integer(number) => number.to_string().into_bytes(),
                    ValueRef::Real(number) => number.to_string().into_bytes(),
                    ValueRef::Text(bytes) | ValueRef::Blob(bytes) => bytes.to_vec(),
                };
                found.push((format!("table {table}, column {column}"), bytes));
            }
        }
    }
    found
}

/// How many rows `table` has.
pub fn rows(path: &Path, table: &str) -> i64 {
    open(path).query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).expect("the table is there")
}

/// The ids of the messages that wait in the outbox.
pub fn waiting(path: &Path) -> Vec<String> {
    texts(&open(path), "SELECT id FROM outbox")
}

/// How many messages wait after a first try that failed: no longer leased, and not due before the second.
pub fn put_off(path: &Path) -> i64 {
    let sql = "SELECT count(*) FROM outbox WHERE attempts = 1 AND due_at < created_at + 10000";
    open(path).query_row(sql, [], |row| row.get(0)).expect("the table is there")
}

/// Moves time on for the messages that wait: whoever claimed one has had their time. No server may be running.
pub fn make_due(path: &Path) {
    let connection = Connection::open(path).expect("the file opens");
    connection.execute("UPDATE outbox SET due_at = created_at", []).expect("the outbox can be changed");
}

/// Removes an account, as an operator may one day; what refers to it goes or stays as the tables say.
pub fn forget(path: &Path, user: &str) {
    let connection = Connection::open(path).expect("the file opens");
    connection.busy_timeout(std::time::Duration::from_secs(5)).expect("it can wait");
    connection.execute_batch("PRAGMA foreign_keys = ON").expect("keys can be checked");
    connection.execute("DELETE FROM user WHERE id = ?1", [user]).expect("the account can be removed");
}

/// Hides `table` from the server that runs: whoever reads it fails from now on.
pub fn hide(path: &Path, table: &str) {
    let connection = Connection::open(path).expect("the file opens");
    connection.busy_timeout(std::time::Duration::from_secs(5)).expect("it can wait");
    connection.execute_batch(&format!("ALTER TABLE {table} RENAME TO hidden")).expect("the table is there");
}

/// How many rows of the audit trail tell of `event` and `user`.
pub fn audited(path: &Path, event: &str, user: &str) -> i64 {
    let sql = "SELECT count(*) FROM audit WHERE event = ?1 AND user_id = ?2";
    open(path).query_row(sql, [event, user], |row| row.get(0)).expect("the trail can be read")
}

/// The most failures in a row that a factor in `table` of `user` has, for good.
pub fn failures(path: &Path, table: &str, user: &str) -> i64 {
    let sql = format!("SELECT coalesce(max(failures), 0) FROM {table} WHERE user_id = ?1");
    open(path).query_row(&sql, [user], |row| row.get(0)).expect("the table is there")
}

/// What the rows of the audit trail that tell of `event` and `user` give as the reason, the oldest first.
pub fn details(path: &Path, event: &str, user: &str) -> Vec<String> {
    let connection = open(path);
    let mut statement = connection
        .prepare("SELECT coalesce(detail, '') FROM audit WHERE event = ?1 AND user_id = ?2 ORDER BY rowid")
        .expect("the trail can be read");
    let rows = statement.query_map([event, user], |row| row.get(0)).expect("the trail can be read");
    rows.map(|row| row.expect("a row can be read")).collect()
}

/// Every key of the Redis at `url`, and every value.
pub async fn redis(url: &str) -> Vec<(String, Vec<u8>)> {
    let client = redis::Client::open(url).expect("the URL is one");
    let mut connection = client.get_multiplexed_async_connection().await.expect("Redis answers");
    let keys: Vec<Vec<u8>> = redis::cmd("KEYS").arg("*").query_async(&mut connection).await.expect("KEYS");
    let mut found = Vec::new();
    for key in keys {
        let name = String::from_utf8_lossy(&key).into_owned();
        let value: Vec<u8> = redis::cmd("DUMP").arg(&key).query_async(&mut connection).await.unwrap_or_default();
        let kind: String = redis::cmd("TYPE").arg(&key).query_async(&mut connection).await.expect("TYPE");
        let parts: Vec<Vec<u8>> = match kind.as_str() {
            "string" => {
                vec![redis::cmd("GET").arg(&key).query_async(&mut connection).await.expect("GET")]
            }
            "hash" => redis::cmd("HGETALL").arg(&key).query_async(&mut connection).await.expect("HGETALL"),
            "none" => Vec::new(),
            other => panic!("{name} is a {other}: teach this dump to read it"),
        };
        found.push((format!("key {name}"), key));
        found.push((format!("dump of {name}"), value));
        found.extend(parts.into_iter().map(|part| (format!("value of {name}"), part)));
    }
    found
}

fn open(path: &Path) -> Connection {
    Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).expect("the file opens")
}

fn texts(connection: &Connection, sql: &str) -> Vec<String> {
    let mut statement = connection.prepare(sql).expect("the statement is one");
    let rows = statement.query_map([], |row| row.get(0)).expect("the statement runs");
    rows.map(|row| row.expect("a row is text")).collect()
}

/// Makes a backup of the SQLite file at `path`, beside whoever uses it.
pub fn back_up(path: &Path, copy: &Path) {
    let connection = Connection::open(path).expect("the file opens");
    connection.busy_timeout(std::time::Duration::from_secs(5)).expect("it can wait");
    connection.execute("VACUUM INTO ?1", [copy.to_str().expect("the path is text")]).expect("it is copied");
}

/// Puts the backup `copy` in the place of the SQLite file at `path`, which nobody uses.
pub fn put_back(copy: &Path, path: &Path) {
    for suffix in ["-wal", "-shm"] {
        drop(std::fs::remove_file(format!("{}{suffix}", path.display())));
    }
    std::fs::copy(copy, path).expect("it is put back");
}
