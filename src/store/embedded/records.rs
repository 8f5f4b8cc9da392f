//! Records of requests: in a database of their own, so that no commit of events waits for them. It is never synced;
//! what a power cut makes of it is thrown away, since nothing was promised.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use rusqlite::{Connection, Error, ErrorCode, OptionalExtension as _, params};

use crate::store::records::{
    RECORD_BODIES_BYTES_MAX, RECORDS_MAX, Record, RecordPage, RecordQuery,
};

use super::failure::Failure;

/// `PRAGMA user_version`. One of another format is begun anew.
const FORMAT: i64 = 1;

/// `record` is JSON, see [`crate::store::records`]. The bodies apart, so that they may go first, and lists need not
/// pass by them.
const TABLES: &str = "
CREATE TABLE records (
  row INTEGER PRIMARY KEY,
  request_id TEXT NOT NULL UNIQUE,
  route TEXT,
  reason TEXT,
  record TEXT NOT NULL
) STRICT;
CREATE TABLE bodies (
  row INTEGER PRIMARY KEY,
  request_id TEXT NOT NULL UNIQUE,
  size INTEGER NOT NULL,
  bytes BLOB NOT NULL
) STRICT;
";

/// Those that are the `?1` newest, and no others, are left.
const FORGET_RECORDS: &str = "
DELETE FROM records WHERE request_id <=
  (SELECT request_id FROM records ORDER BY request_id DESC LIMIT 1 OFFSET ?1)";

/// Bodies of what is forgotten, and those with which they would exceed `?1` bytes.
const FORGET_BODIES: &str = "
DELETE FROM bodies WHERE request_id < (SELECT min(request_id) FROM records) OR request_id IN
  (SELECT request_id FROM
    (SELECT request_id, sum(size) OVER (ORDER BY request_id DESC) AS together FROM bodies)
   WHERE together > ?1)";

const LIST: &str = "
SELECT request_id, record FROM records
WHERE (?1 IS NULL OR request_id < ?1) AND (?2 IS NULL OR request_id >= ?2)
  AND (?3 IS NULL OR route = ?3) AND (?4 IS NULL OR reason = ?4) AND (NOT ?5 OR reason IS NOT NULL)
ORDER BY request_id DESC LIMIT ?6";

#[derive(Debug)]
pub(super) struct Records {
    path: PathBuf,
    connection: Connection,
}

impl Records {
    /// In memory, if the file cannot be used: that must not keep a gateway from its events.
    pub(super) fn open(path: PathBuf) -> Result<Self, Error> {
        let connection = connect(&path)
            .or_else(|error| {
                tracing::warn!(%error, path = %path.display(), "the records of requests are begun anew");
                remove(&path).map_err(|_| error).and_then(|()| connect(&path))
            })
            .or_else(|error| {
                tracing::warn!(%error, path = %path.display(), "records of requests are kept in memory only");
                prepared(Connection::open_in_memory()?)
            })?;
        Ok(Self { path, connection })
    }

    pub(super) fn keep(&mut self, records: &[Record]) -> Result<(), Failure> {
        self.or_anew(|connection| keep(connection, records))
    }

    /// Those whose ids are less than `end`, and their bodies.
    pub(super) fn forget(&mut self, end: &str) -> Result<(), Failure> {
        self.or_anew(|connection| forget(connection, end))
    }

    pub(super) fn find(&mut self, request_id: &str) -> Result<Option<Record>, Failure> {
        self.or_anew(|connection| find(connection, request_id))
    }

    /// Of those whose ids are less than `end`.
    pub(super) fn list(
        &mut self,
        query: &RecordQuery,
        end: Option<&str>,
    ) -> Result<RecordPage, Failure> {
        self.or_anew(|connection| list(connection, query, end))
    }

    /// Begins anew where the file is damaged.
    fn or_anew<T>(
        &mut self,
        ask: impl Fn(&mut Connection) -> Result<T, Error>,
    ) -> Result<T, Failure> {
        match ask(&mut self.connection) {
            Err(error) if is_damaged(&error) => {
                // Closed first: a removed file must not be written to any more.
                self.connection = Connection::open_in_memory()?;
                *self = Self::open(std::mem::take(&mut self.path))?;
                Ok(ask(&mut self.connection)?)
            }
            answer => Ok(answer?),
        }
    }
}

fn is_damaged(error: &Error) -> bool {
    let code = error.sqlite_error_code();
    matches!(
        code,
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
    )
}

fn connect(path: &Path) -> Result<Connection, Error> {
    let connection = Connection::open(path)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "OFF")?;
    // What a power cut may have left. The file is small.
    let check: String = connection.pragma_query_value(None, "quick_check", |row| row.get(0))?;
    if check != "ok" {
        return Err(damaged());
    }
    prepared(connection)
}

fn damaged() -> Error {
    let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT);
    Error::SqliteFailure(code, None)
}

/// With its tables.
fn prepared(mut connection: Connection) -> Result<Connection, Error> {
    let format: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    match format {
        FORMAT => {}
        0 => {
            let transaction = connection.transaction()?;
            transaction.execute_batch(TABLES)?;
            transaction.pragma_update(None, "user_version", FORMAT)?;
            transaction.commit()?;
        }
        _ => return Err(damaged()),
    }
    Ok(connection)
}

fn remove(path: &Path) -> io::Result<()> {
    for suffix in ["", "-wal", "-shm"] {
        let mut path = path.as_os_str().to_owned();
        path.push(suffix);
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

fn keep(connection: &mut Connection, records: &[Record]) -> Result<(), Error> {
    let transaction = connection.transaction()?;
    for record in records {
        let (id, json) = (&record.request_id, record.to_json());
        transaction
            .prepare_cached(
                "INSERT INTO records (request_id, route, reason, record) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT DO NOTHING",
            )?
            .execute(params![id, record.route.as_deref(), record.reason(), json])?;
        if let Some(bytes) = record.body_bytes() {
            transaction
                .prepare_cached(
                    "INSERT INTO bodies (request_id, size, bytes) VALUES (?1, ?2, ?3)
                     ON CONFLICT DO NOTHING",
                )?
                .execute(params![id, number(bytes.len()), &bytes[..]])?;
        }
    }
    transaction
        .prepare_cached(FORGET_RECORDS)?
        .execute([number(RECORDS_MAX)])?;
    transaction
        .prepare_cached(FORGET_BODIES)?
        .execute([number(RECORD_BODIES_BYTES_MAX)])?;
    transaction.commit()
}

fn forget(connection: &mut Connection, end: &str) -> Result<(), Error> {
    let transaction = connection.transaction()?;
    for table in ["records", "bodies"] {
        transaction
            .prepare_cached(&format!("DELETE FROM {table} WHERE request_id < ?1"))?
            .execute([end])?;
    }
    transaction.commit()
}

fn find(connection: &Connection, request_id: &str) -> Result<Option<Record>, Error> {
    let mut statement = connection.prepare_cached(
        "SELECT record, bytes FROM records LEFT JOIN bodies USING (request_id) WHERE request_id = ?1",
    )?;
    let found = statement.query_row([request_id], |row| {
        let (json, bytes): (String, Option<Vec<u8>>) = (row.get(0)?, row.get(1)?);
        Ok(Record::from_json(
            request_id,
            json.as_bytes(),
            bytes.map(Bytes::from),
        ))
    });
    Ok(found.optional()?.flatten())
}

fn list(
    connection: &Connection,
    query: &RecordQuery,
    end: Option<&str>,
) -> Result<RecordPage, Error> {
    let filter = &query.filter;
    let mut statement = connection.prepare_cached(LIST)?;
    let mut rows = statement.query(params![
        end,
        query.first_id(),
        filter.route.as_deref(),
        filter.reason,
        filter.rejected,
        // One more tells whether a page follows.
        number(query.limit.saturating_add(1))
    ])?;
    let (mut page, mut last, mut read) = (RecordPage::default(), None, 0);
    while let Some(row) = rows.next()? {
        if read == query.limit {
            page.next = last;
            break;
        }
        let (id, json): (String, String) = (row.get(0)?, row.get(1)?);
        page.records
            .extend(Record::from_json(&id, json.as_bytes(), None));
        last = Some(id);
        read += 1;
    }
    Ok(page)
}

fn number(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
