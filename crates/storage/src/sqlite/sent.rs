//! How many messages were sent on a day.

use countersign_domain::{
    message::day::{DayCharge, DayCharged},
    time::Timestamp,
};
use rusqlite::{Connection, params};

const CHARGE: &str = "INSERT INTO sent (day, counter, n) SELECT ?1, ?2, 1 WHERE ?3 > 0 \
                      ON CONFLICT DO UPDATE SET n = n + 1 WHERE n < ?3";

/// Adds one to each count. Whoever hears that one was at its most MUST take everything back.
pub(super) fn charge(connection: &Connection, charges: &[DayCharge]) -> rusqlite::Result<DayCharged> {
    let mut statement = connection.prepare_cached(CHARGE)?;
    for (charge, of) in charges.iter().enumerate() {
        if statement.execute(params![of.day, of.counter, of.most])? == 0 {
            return Ok(DayCharged::Reached { charge });
        }
    }
    Ok(DayCharged::All)
}

/// What [`charge`] would answer now.
pub(super) fn look(connection: &Connection, charges: &[DayCharge]) -> rusqlite::Result<DayCharged> {
    let mut statement =
        connection.prepare_cached("SELECT ?3 <= coalesce((SELECT n FROM sent WHERE day = ?1 AND counter = ?2), 0)")?;
    for (charge, of) in charges.iter().enumerate() {
        if statement.query_row(params![of.day, of.counter, of.most], |row| row.get(0))? {
            return Ok(DayCharged::Reached { charge });
        }
    }
    Ok(DayCharged::All)
}

/// Removes at most `limit` counts of days before yesterday. The answer is how many.
pub(super) fn sweep(connection: &Connection, now: Timestamp, limit: i64) -> rusqlite::Result<usize> {
    connection
        .prepare_cached(
            "DELETE FROM sent WHERE (day, counter) IN (SELECT day, counter FROM sent WHERE day < ?1 LIMIT ?2)",
        )?
        .execute(params![now.utc_day() - 1, limit])
}
