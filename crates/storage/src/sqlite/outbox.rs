//! Messages that wait to be sent.

use async_trait::async_trait;
use countersign_domain::{
    audit::AuditEvent,
    id::{MessageId, UserId},
    message::{
        Channel, OutboxRow, Urgency,
        day::{DayCharge, DayCharged},
        ending::{End, Tried},
    },
    port::{
        PortError,
        outbox_store::{Ended, OutboxStore},
    },
    secret::Sealed,
    time::Timestamp,
};
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::{
    SqliteStore, rows, sent,
    transaction::Transaction,
    writer::{Durability, Step},
};

/// Rows that one job sweeps: sweeping must not keep logins waiting.
const SWEPT_AT_ONCE: usize = 1000;

const DUE: &str = "SELECT 1 FROM outbox WHERE channel = ?1 AND due_at <= ?2 AND expires_at >= ?2 LIMIT 1";

/// The columns that [`message`] reads, in its order.
macro_rules! columns {
    () => {
        "id, channel, sealed, attempts, created_at, due_at, expires_at, awaited, doubts, user_id"
    };
}

const CLAIM: &str = concat!(
    "UPDATE outbox SET due_at = ?3, attempts = attempts + 1 WHERE id IN \
     (SELECT id FROM outbox WHERE channel = ?1 AND due_at <= ?2 AND expires_at >= ?2 ORDER BY due_at LIMIT ?4) RETURNING ",
    columns!()
);

/// A row that is due later and expires before is being tried: whoever tries it says how it ended.
const SWEEP: &str = concat!(
    "DELETE FROM outbox WHERE id IN (SELECT id FROM outbox WHERE expires_at < ?1 AND due_at <= ?1 LIMIT ?2) RETURNING ",
    columns!()
);

const OLDEST: &str =
    "SELECT created_at FROM outbox WHERE channel = ?1 AND awaited = 1 AND expires_at >= ?2 ORDER BY created_at LIMIT 1";

#[async_trait]
impl OutboxStore for SqliteStore {
    #[tracing::instrument(level = "debug", skip_all, name = "store.outbox.insert")]
    async fn insert(&self, rows: Vec<OutboxRow>) -> Result<(), PortError> {
        if rows.is_empty() {
            return Ok(());
        }
        self.writer.submit(Durability::Full, move |connection| insert_messages(connection, &rows).map(Step::Keep)).await
    }

    #[tracing::instrument(level = "debug", skip_all, name = "store.outbox.insert_charged")]
    async fn insert_charged(
        &self,
        row: OutboxRow,
        charges: Vec<DayCharge>,
        audit: AuditEvent,
    ) -> Result<DayCharged, PortError> {
        self.writer
            .submit(Durability::Full, move |connection| {
                // First, so that a refusal by the first of them has nothing to take back.
                let charged = sent::charge(connection, &charges)?;
                if charged != DayCharged::All {
                    return Ok(Step::Undo(charged));
                }
                insert_messages(connection, std::slice::from_ref(&row))?;
                rows::insert_audit(connection, &audit)?;
                Ok(Step::Keep(charged))
            })
            .await
    }

    #[tracing::instrument(level = "debug", skip_all, name = "store.outbox.look_at_day")]
    async fn look_at_day(&self, charges: &[DayCharge]) -> Result<DayCharged, PortError> {
        self.readers.read_statement(|connection| sent::look(connection, charges))
    }

    #[tracing::instrument(level = "debug", skip_all, name = "store.outbox.claim")]
    async fn claim(
        &self,
        channel: Channel,
        now: Timestamp,
        lease_until: Timestamp,
        limit: usize,
    ) -> Result<Vec<OutboxRow>, PortError> {
        // Mostly nothing is due; who only looks does not trouble the writer.
        let due = self.readers.read_statement(|connection| {
            connection.prepare_cached(DUE)?.exists(params![channel.as_str(), now.as_millis()])
        })?;
        if !due {
            return Ok(Vec::new());
        }
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        // A claim that a loss of power undoes is of no use to anyone: its worker is gone too. The row is tried again, sooner and with
        // one attempt less on it, under the same idempotency key.
        self.writer
            .submit(Durability::Session, move |connection| {
                claim(connection, channel, now, lease_until, limit).map(Step::Keep)
            })
            .await
    }

    #[tracing::instrument(level = "debug", skip_all, name = "store.outbox.postpone")]
    async fn postpone(&self, id: &MessageId, due_at: Timestamp, ended: Ended) -> Result<(), PortError> {
        let id = id.clone();
        // If it is lost, the row is tried when its lease ends, and the doubt is that of a crash.
        self.writer
            .submit(Durability::Session, move |connection| {
                connection
                    .prepare_cached("UPDATE outbox SET due_at = ?2, doubts = doubts + ?3 WHERE id = ?1")?
                    .execute(params![id.as_str(), due_at.as_millis(), ended == Ended::InDoubt])?;
                Ok(Step::Keep(()))
            })
            .await
    }

    #[tracing::instrument(level = "debug", skip_all, name = "store.outbox.remove")]
    async fn remove(&self, id: &MessageId, audit: AuditEvent) -> Result<(), PortError> {
        let id = id.clone();
        // In full: a row that came back would be sent twice, and not every provider knows the idempotency key.
        self.writer
            .submit(Durability::Full, move |connection| {
                let gone = connection.prepare_cached("DELETE FROM outbox WHERE id = ?1")?.execute([id.as_str()])?;
                if gone > 0 {
                    rows::insert_audit(connection, &audit)?;
                }
                Ok(Step::Keep(()))
            })
            .await
    }

    #[tracing::instrument(level = "debug", skip_all, name = "store.outbox.oldest")]
    async fn oldest(&self, channel: Channel, now: Timestamp) -> Result<Option<Timestamp>, PortError> {
        self.readers.read_statement(|connection| {
            connection
                .prepare_cached(OLDEST)?
                .query_row(params![channel.as_str(), now.as_millis()], |row| rows::time(row, 0))
                .optional()
        })
    }

    #[tracing::instrument(level = "debug", skip_all, name = "store.outbox.purge")]
    async fn purge(&self, now: Timestamp) -> Result<u64, PortError> {
        let mut total = 0;
        loop {
            // What comes back is swept the next time.
            let swept = self
                .writer
                .submit(Durability::Session, move |connection| sweep(connection, now).map(Step::Keep))
                .await?;
            total += u64::try_from(swept).unwrap_or(0);
            if swept < SWEPT_AT_ONCE {
                return Ok(total);
            }
        }
    }
}

/// Adds rows, in the transaction of what caused them. The id names the message: one that is there already stays as it is.
pub(super) fn insert_messages(connection: &Connection, rows: &[OutboxRow]) -> rusqlite::Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let mut insert = connection.prepare_cached(
        "INSERT INTO outbox (id, channel, sealed, attempts, created_at, due_at, expires_at, awaited, doubts, user_id) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) ON CONFLICT DO NOTHING",
    )?;
    for row in rows {
        insert.execute(params![
            row.id.as_str(),
            row.channel.as_str(),
            row.sealed.as_bytes(),
            row.attempts,
            row.created_at.as_millis(),
            row.due_at.as_millis(),
            row.expires_at.as_millis(),
            row.urgency == Urgency::Awaited,
            row.doubts,
            row.user.as_ref().map(UserId::as_str),
        ])?;
    }
    Ok(())
}

fn claim(
    connection: &Connection,
    channel: Channel,
    now: Timestamp,
    lease_until: Timestamp,
    limit: i64,
) -> rusqlite::Result<Vec<OutboxRow>> {
    let mut rows = connection
        .prepare_cached(CLAIM)?
        .query_map(params![channel.as_str(), now.as_millis(), lease_until.as_millis(), limit], message)?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    // Statements return rows in whatever order they changed them.
    rows.sort_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
    Ok(rows)
}

/// One step of the sweep: each message that went has a row of the trail.
fn sweep(transaction: &Transaction<'_>, now: Timestamp) -> rusqlite::Result<usize> {
    let swept = transaction
        .prepare_cached(SWEEP)?
        .query_map(params![now.as_millis(), rows::signed(SWEPT_AT_ONCE as u64)], message)?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    for row in &swept {
        rows::insert_audit(transaction, &row.ended(End::Expired, &Tried::default(), now))?;
    }
    Ok(swept.len() + sent::sweep(transaction, now, rows::signed(SWEPT_AT_ONCE as u64))?)
}

fn message(row: &Row<'_>) -> rusqlite::Result<OutboxRow> {
    let channel = row.get_ref(1)?.as_str()?;
    Ok(OutboxRow {
        id: MessageId::new(row.get::<_, String>(0)?),
        user: row.get::<_, Option<String>>(9)?.map(UserId::new),
        channel: Channel::ALL
            .into_iter()
            .find(|known| known.as_str() == channel)
            .ok_or_else(|| rows::damaged(1, "unknown channel of a message"))?,
        urgency: if row.get(7)? { Urgency::Awaited } else { Urgency::Patient },
        sealed: Sealed::new(row.get(2)?),
        attempts: row.get(3)?,
        doubts: row.get(8)?,
        created_at: rows::time(row, 4)?,
        due_at: rows::time(row, 5)?,
        expires_at: rows::time(row, 6)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqlite::schema;

    #[test]
    fn claiming_and_asking_for_the_oldest_read_indexes_only() {
        let folder = tempfile::tempdir().unwrap();
        let connection =
            schema::open_writer(&folder.path().join("data.db"), &countersign_domain::testing::toy_chain()).unwrap();
        for (sql, index) in [(DUE, "outbox_due"), (CLAIM, "outbox_due"), (OLDEST, "outbox_oldest")] {
            let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
            let nulls = vec![rusqlite::types::Null; statement.parameter_count()];
            let plan: Vec<String> = statement
                .query_map(rusqlite::params_from_iter(nulls), |row| row.get(3))
                .unwrap()
                .collect::<Result<_, _>>()
                .unwrap();
            let plan = plan.join("; ");
            assert!(plan.contains(&format!("USING COVERING INDEX {index}")), "{plan}");
            assert!(!plan.contains("TEMP B-TREE"), "{plan}");
        }
    }
}
