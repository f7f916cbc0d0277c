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
    if charges.is_empty() {
        return Ok(DayCharged::All);
    }
    // One statement for all; there are few numbers of them.
    let sql = format!(
        "WITH charge (place, day, counter, most) AS (VALUES {}) SELECT min(place) FROM charge \
         WHERE most <= coalesce((SELECT n FROM sent AS s WHERE s.day = charge.day AND s.counter = charge.counter), 0)",
        vec!["(?, ?, ?, ?)"; charges.len()].join(", ")
    );
    let mut statement = connection.prepare_cached(&sql)?;
    for ((place, charge), first) in (0_u32..).zip(charges).zip((1..).step_by(4)) {
        statement.raw_bind_parameter(first, place)?;
        statement.raw_bind_parameter(first + 1, charge.day)?;
        statement.raw_bind_parameter(first + 2, &*charge.counter)?;
        statement.raw_bind_parameter(first + 3, charge.most)?;
    }
    let mut rows = statement.raw_query();
    let reached = rows.next()?.map(|row| row.get::<_, Option<u32>>(0)).transpose()?.flatten();
    Ok(reached.map_or(DayCharged::All, |place| DayCharged::Reached { charge: place as usize }))
}

/// Removes at most `limit` counts of days before yesterday. The answer is how many.
pub(super) fn sweep(connection: &Connection, now: Timestamp, limit: i64) -> rusqlite::Result<usize> {
    connection
        .prepare_cached(
            "DELETE FROM sent WHERE (day, counter) IN (SELECT day, counter FROM sent WHERE day < ?1 LIMIT ?2)",
        )?
        .execute(params![now.utc_day() - 1, limit])
}
