//! The audit trail of a file, as another program reads it.

use std::path::Path;

use countersign_domain::{audit::chain::AuditRow, secret::Digest, time::Timestamp};
use rusqlite::{Connection, OpenFlags};

use crate::world::World;

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

/// Writes down what was added to the trail since it was last asked, without what became of messages: that is written when they leave.
pub struct Trail<'a> {
    world: &'a World,
    seen: i64,
}

impl<'a> Trail<'a> {
    /// From now on.
    pub fn of(world: &'a World) -> Self {
        let mut trail = Self { world, seen: 0 };
        trail.new_rows();
        trail
    }

    /// The rows that are new.
    pub fn new_rows(&mut self) -> Vec<AuditRow> {
        let rows: Vec<AuditRow> = rows(&self.world.database()).into_iter().filter(|row| row.id > self.seen).collect();
        self.seen = rows.last().map_or(self.seen, |row| row.id);
        rows.into_iter().filter(|row| !is_of_message(row)).collect()
    }

    /// Exactly these events happened, in this order.
    #[track_caller]
    pub fn says(&mut self, step: &str, expected: &[&str]) -> Vec<AuditRow> {
        let rows = self.new_rows();
        let events: Vec<&str> = rows.iter().map(|row| row.event.as_str()).collect();
        assert_eq!(events, expected, "{step}");
        rows
    }

    /// Exactly this happened, for this reason.
    #[track_caller]
    pub fn says_why(&mut self, event: &str, why: &str) -> AuditRow {
        let mut rows = self.says(why, &[event]);
        assert_eq!(rows[0].detail.as_deref(), Some(why));
        rows.remove(0)
    }
}

/// Whether `row` says what became of a message.
pub fn is_of_message(row: &AuditRow) -> bool {
    row.event.starts_with("message_")
}

/// What became of messages, as soon as none waits: event, person, detail.
pub async fn of_messages(world: &World) -> Vec<(String, String, String)> {
    world.notices().await;
    let rows = rows(&world.database()).into_iter().filter(is_of_message);
    rows.map(|row| (row.event, row.user, row.detail.unwrap_or_default())).collect()
}
