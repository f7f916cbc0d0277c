//! Where sealed values are: the one list of them.

use countersign_domain::{
    data_key::{DataKeyId, SealedCount, SealedIn, SealedValue},
    secret::Sealed,
    time::Timestamp,
};
use rusqlite::{Connection, Row, params};

use super::rows;

/// A column of sealed values.
struct Column {
    holds: SealedIn,
    table: &'static str,
    name: &'static str,
    /// Where values are kept: how their records are found.
    key: Option<Key>,
    /// Which values count at `?1`.
    counts: &'static str,
}

/// How a record is found.
struct Key {
    id: &'static str,
    /// Whose it is.
    owner: &'static str,
    /// The order of the primary key, and what comes after the owner `?1` and the id `?2`.
    order: &'static str,
    after: &'static str,
}

static COLUMNS: [Column; 5] = [
    Column {
        holds: SealedIn::Authenticators,
        table: "authenticator",
        name: "state",
        key: Some(Key { id: "id", owner: "user_id", order: "user_id, id", after: "(user_id, id) > (?1, ?2)" }),
        counts: "TRUE",
    },
    Column {
        holds: SealedIn::SigningKeys,
        table: "signing_key",
        name: "sealed",
        key: Some(Key { id: "id", owner: "''", order: "id", after: "id > ?2" }),
        counts: "TRUE",
    },
    Column {
        holds: SealedIn::Messages,
        table: "outbox",
        name: "sealed",
        key: Some(Key { id: "id", owner: "channel", order: "id", after: "id > ?2" }),
        counts: "TRUE",
    },
    Column {
        holds: SealedIn::Transactions,
        table: "mfa_transaction",
        name: "sealed",
        key: None,
        counts: "expires_at > ?1",
    },
    Column { holds: SealedIn::Challenges, table: "challenge", name: "sealed", key: None, counts: "expires_at > ?1" },
];

/// How many values are sealed with which key. What is too short for one never opens, and is nothing that was sealed.
pub(super) fn count(connection: &Connection, now: Timestamp) -> rusqlite::Result<Vec<SealedCount>> {
    let mut counts = Vec::new();
    for Column { holds, table, name: column, counts: which, .. } in &COLUMNS {
        // The parameter is there for every table, so that all take the same ones.
        let mut statement = connection.prepare(&format!(
            "SELECT substr({column}, 3, 8), count(*) FROM {table} \
             WHERE length({column}) >= 10 AND {which} AND ?1 IS NOT NULL GROUP BY 1 ORDER BY 1"
        ))?;
        let found = statement.query_map([now.as_millis()], |row| {
            Ok(SealedCount { column: *holds, key: DataKeyId::new(row.get(0)?), values: rows::unsigned(row, 1)? })
        })?;
        counts.extend(found.collect::<rusqlite::Result<Vec<_>>>()?);
    }
    Ok(counts)
}

/// Values of a kept column that are not sealed with `key`, after `after`.
pub(super) fn list(
    connection: &Connection,
    wanted: SealedIn,
    key: DataKeyId,
    after: Option<&SealedValue>,
    limit: usize,
) -> rusqlite::Result<Vec<SealedValue>> {
    let Some((Column { table, name: column, .. }, Key { id, owner, order, after: comes })) = kept(wanted) else {
        return Ok(Vec::new());
    };
    let (after_owner, after_id) = after.map_or(("", ""), |value| (&value.owner, &value.id));
    connection
        .prepare_cached(&format!(
            "SELECT {id}, {owner}, {column} FROM {table} WHERE {comes} \
             AND length({column}) >= 10 AND substr({column}, 3, 8) <> ?3 ORDER BY {order} LIMIT ?4"
        ))?
        .query_map(params![after_owner, after_id, key.as_bytes(), rows::signed(limit as u64)], |row: &Row<'_>| {
            Ok(SealedValue { column: wanted, id: row.get(0)?, owner: row.get(1)?, sealed: Sealed::new(row.get(2)?) })
        })?
        .collect()
}

/// Puts `new` in the place of `value`, if that is there as it was read.
pub(super) fn replace(connection: &Connection, value: &SealedValue, new: &Sealed) -> rusqlite::Result<bool> {
    let Some((Column { table, name: column, .. }, Key { id, owner, .. })) = kept(value.column) else {
        return Ok(false);
    };
    connection
        .prepare_cached(&format!(
            "UPDATE {table} SET {column} = ?4 WHERE {id} = ?1 AND {owner} = ?2 AND {column} = ?3"
        ))?
        .execute(params![value.id, value.owner, value.sealed.as_bytes(), new.as_bytes()])
        .map(|changed| changed == 1)
}

fn kept(wanted: SealedIn) -> Option<(&'static Column, &'static Key)> {
    let column = COLUMNS.iter().find(|column| column.holds == wanted)?;
    Some((column, column.key.as_ref()?))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use countersign_domain::testing::toy_chain;

    use super::*;
    use crate::sqlite::schema;

    /// Columns of bytes that are digests, salts and names, and hold nothing that opens.
    const NOT_SEALED: [&str; 22] = [
        "audit.link",
        "audit.seal",
        "authenticator.address",
        "authenticator.bearer",
        "bucket.last",
        "bucket.subject",
        "challenge.decision",
        "challenge.digest",
        "challenge.slot",
        "consumed.id",
        "data_key.id",
        "data_key_seals.id",
        "data_key.wrapped",
        "mfa_transaction.digest",
        "proof.network",
        "recovery_code.bearer",
        "recovery_code.digest",
        "refresh_family.id",
        "refresh_family.salt",
        "repudiation.digest",
        "used_assertion.digest",
        "user.spared",
    ];

    fn strings(connection: &Connection, sql: &str) -> BTreeSet<String> {
        connection.prepare(sql).unwrap().query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
    }

    #[test]
    fn every_column_of_bytes_is_in_the_list_or_known_to_hold_nothing_sealed() {
        let folder = tempfile::tempdir().unwrap();
        let connection = schema::open_writer(&folder.path().join("data.db"), &toy_chain()).unwrap();
        let found = strings(
            &connection,
            "SELECT t.name || '.' || c.name FROM sqlite_schema AS t, pragma_table_info(t.name) AS c \
             WHERE t.type = 'table' AND c.type = 'BLOB'",
        );
        let listed = COLUMNS.iter().map(|column| format!("{}.{}", column.table, column.name));
        let others = NOT_SEALED.map(str::to_owned);
        assert_eq!(found, listed.chain(others).collect(), "is the new column sealed?");
        let holds: BTreeSet<_> = COLUMNS.iter().map(|column| column.holds).collect();
        assert_eq!(holds, SealedIn::ALL.into_iter().collect());
        for column in &COLUMNS {
            assert_eq!(column.key.is_some(), SealedIn::KEPT.contains(&column.holds), "{}", column.table);
        }
    }

    #[test]
    fn a_page_is_read_in_the_order_of_the_table() {
        let folder = tempfile::tempdir().unwrap();
        let connection = schema::open_writer(&folder.path().join("data.db"), &toy_chain()).unwrap();
        for (Column { table, .. }, Key { order, after, .. }) in SealedIn::KEPT.into_iter().filter_map(kept) {
            let sql = format!("EXPLAIN QUERY PLAN SELECT 1 FROM {table} WHERE {after} ORDER BY {order} LIMIT 1");
            let mut statement = connection.prepare(&sql).unwrap();
            let plan: Vec<String> =
                statement.query_map(["", ""], |row| row.get(3)).unwrap().collect::<Result<_, _>>().unwrap();
            assert!(plan.len() == 1 && plan[0].starts_with("SEARCH"), "{plan:?}");
        }
    }

    #[test]
    fn every_kept_column_is_guarded_against_dropped_keys() {
        let folder = tempfile::tempdir().unwrap();
        let connection = schema::open_writer(&folder.path().join("data.db"), &toy_chain()).unwrap();
        for Column { table, name: column, key, .. } in &COLUMNS {
            for name in [format!("{table}_sealed_in"), format!("{table}_sealed_anew")] {
                let sql = strings(&connection, &format!("SELECT sql FROM sqlite_schema WHERE name = '{name}'"));
                assert_eq!(sql.len(), usize::from(key.is_some()), "{name}");
                assert!(sql.iter().all(|sql| sql.contains(&format!("substr(NEW.{column}, 3, 8)"))), "{sql:?}");
            }
        }
    }
}
