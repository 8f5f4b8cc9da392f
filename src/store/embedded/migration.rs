//! Bringing a database of an older format to the one this program writes.

use rusqlite::{Connection, Transaction};

use super::{
    head,
    schema::{TABLES_SINCE_3, TABLES_SINCE_4, TABLES_SINCE_5},
};

/// Format 2 had a queue a target, no order, no replays, and only failed attempts, by their number modulo 32.
const DELIVERIES: &str = "
ALTER TABLE deliveries ADD COLUMN earlier INTEGER NOT NULL DEFAULT 0;
ALTER TABLE deliveries ADD COLUMN replayed_ms INTEGER;
ALTER TABLE deliveries ADD COLUMN turn BLOB;
";

/// A slot holds the newest failed attempt of its numbers; the newest of all is in `deliveries` now.
const ATTEMPTS: &str = "
INSERT INTO attempts (delivery, number, started_ms, duration_ms, status, error)
SELECT delivery, number, started_ms, duration_ms, status, error FROM (
  SELECT a.*, d.attempts,
    d.attempts - (d.state = 1) - (d.attempts - (d.state = 1) - a.slot + 32) % 32 AS number
  FROM attempts_2 AS a JOIN deliveries AS d ON d.id = a.delivery
) WHERE number < attempts AND started_ms IS NOT NULL;
";

/// Reads the route of each from its event; what cannot be read gets a queue of its own.
const READ_WAITING: &str = "
SELECT w.target, w.due_ms, w.id, w.attempts, e.head FROM waiting_2 AS w
LEFT JOIN events AS e ON e.seq = w.id >> 20 ORDER BY w.target, w.due_ms, w.id";

pub(super) fn from_format_2(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    transaction.execute_batch(
        "ALTER TABLE waiting RENAME TO waiting_2; ALTER TABLE attempts RENAME TO attempts_2;",
    )?;
    transaction.execute_batch(TABLES_SINCE_3)?;
    transaction.execute_batch(DELIVERIES)?;
    transaction.execute_batch(ATTEMPTS)?;
    move_waiting(transaction)?;
    transaction.execute_batch("DROP TABLE waiting_2; DROP TABLE attempts_2;")
}

/// Format 3 had no secrets and no filtered deliveries, which its index would have had among the dead letters.
pub(super) fn from_format_3(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    transaction.execute_batch("DROP INDEX dead")?;
    transaction.execute_batch(TABLES_SINCE_4)
}

/// Format 4 had no operators' pauses, nor events that know their request.
pub(super) fn from_format_4(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    transaction.execute_batch(TABLES_SINCE_5)
}

fn move_waiting(connection: &Connection) -> rusqlite::Result<()> {
    let mut queue = connection.prepare(
        "INSERT INTO queues (target, route) VALUES (?1, ?2)
         ON CONFLICT (target, route) DO UPDATE SET route = route RETURNING id",
    )?;
    let mut insert = connection
        .prepare("INSERT INTO waiting (queue, due_ms, id, attempts) VALUES (?1, ?2, ?3, ?4)")?;
    let mut statement = connection.prepare(READ_WAITING)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let target: i64 = row.get(0)?;
        let head = row.get_ref(4)?.as_blob_or_null()?;
        let route = head.and_then(head::route).unwrap_or_default();
        let queue: i64 = queue.query_row((target, route), |row| row.get(0))?;
        let [due_ms, id, attempts]: [i64; 3] = [row.get(1)?, row.get(2)?, row.get(3)?];
        insert.execute((queue, due_ms, id, attempts))?;
    }
    Ok(())
}
