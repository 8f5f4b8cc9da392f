//! The files of the embedded store: the lock, the database, its tables and its settings.

use std::{
    fs::{File, TryLockError},
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::{Connection, ErrorCode, OpenFlags, config::DbConfig};

use crate::{config::Durability, store::OpenError};

/// The format this program writes, kept in `PRAGMA user_version`.
pub(super) const FORMAT_VERSION: i64 = 1;
/// `PRAGMA application_id` of a Hookgate store: `Hkgt`.
const APPLICATION_ID: i64 = 0x486b_6774;
const DATABASE: &str = "hookgate.db";
/// How long a connection waits for another one's lock.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);
const WRITER_CACHE_KIB: i64 = 32 * 1024;
const READER_CACHE_KIB: i64 = 4 * 1024;

/// Every table is appended to in the order of its key, because a row at a random place costs a page
/// write of its own. The only indexes grow (nearly) at their ends too:
///
/// - `events_by_time` finds an event by its uid, whose first 48 bits are `received_ms`, and, holding all
///   that expiry asks for, spares it the wide rows. Its order differs from that of `seq` only by the
///   moment that two events spend on their way here, or by a step of the clock.
/// - `pending` holds nothing but what is still to be delivered, in the order in which it falls due.
/// - `dead` is there to count dead letters at start.
///
/// A delivery's id is its event's `seq` × 1,024 plus its place in the event, so neither table needs an
/// index to find the other. `state`: 0 pending, 1 delivered, from 2 on the reasons of a dead letter.
/// `due_ms`: while pending, when it falls due; afterwards, when it was settled.
/// `attempts` keeps the newest 32 failed attempts of a delivery; the last attempt of any kind stands
/// in the delivery. `ids` has one row a commit: the remembered ids of its events, 36 bytes each.
const TABLES: &str = "
CREATE TABLE targets (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE events (
  seq INTEGER PRIMARY KEY,
  received_ms INTEGER NOT NULL,
  body_bytes INTEGER NOT NULL,
  uid BLOB NOT NULL,
  key BLOB NOT NULL,
  window_ms INTEGER NOT NULL,
  route TEXT NOT NULL,
  id TEXT NOT NULL,
  type TEXT,
  content_type TEXT,
  headers TEXT NOT NULL,
  digest BLOB NOT NULL,
  body BLOB NOT NULL
) STRICT;
CREATE INDEX events_by_time ON events (received_ms, seq, body_bytes);
CREATE TABLE deliveries (
  id INTEGER PRIMARY KEY,
  target INTEGER NOT NULL,
  state INTEGER NOT NULL,
  due_ms INTEGER NOT NULL,
  attempts INTEGER NOT NULL,
  started_ms INTEGER,
  duration_ms INTEGER,
  status INTEGER,
  error TEXT,
  response_head BLOB
) STRICT;
CREATE INDEX pending ON deliveries (target, due_ms) WHERE state = 0;
CREATE INDEX dead ON deliveries (target) WHERE state >= 2;
CREATE TABLE attempts (
  delivery INTEGER NOT NULL,
  slot INTEGER NOT NULL,
  started_ms INTEGER,
  duration_ms INTEGER,
  status INTEGER,
  error TEXT,
  response_head BLOB,
  PRIMARY KEY (delivery, slot)
) STRICT, WITHOUT ROWID;
CREATE TABLE ids (commit_no INTEGER PRIMARY KEY, ends_ms INTEGER NOT NULL, entries BLOB NOT NULL) STRICT;
CREATE INDEX ids_by_end ON ids (ends_ms);
";

/// A directory that this process alone uses, as long as this value lives.
#[derive(Debug)]
pub(super) struct Home {
    directory: PathBuf,
    _lock: File,
}

impl Home {
    /// Makes the directory where it is missing, and locks it.
    pub(super) fn lock(directory: &Path) -> Result<Self, OpenError> {
        let unwritable = |error: std::io::Error| {
            OpenError(format!(
                "cannot write to the store directory {}: {error}; make it writable or name another in `store.url`",
                directory.display()
            ))
        };
        std::fs::create_dir_all(directory).map_err(unwritable)?;
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(directory.join("lock"))
            .map_err(unwritable)?;
        match file.try_lock() {
            Ok(()) => Ok(Self {
                directory: directory.to_owned(),
                _lock: file,
            }),
            Err(TryLockError::WouldBlock) => Err(OpenError(format!(
                "the store directory {} is in use by another process; stop it, or name another directory in `store.url`",
                directory.display()
            ))),
            Err(TryLockError::Error(error)) => Err(unwritable(error)),
        }
    }

    pub(super) fn wal(&self) -> PathBuf {
        self.directory.join(format!("{DATABASE}-wal"))
    }

    /// The connection that writes. Makes the tables in a new database.
    pub(super) fn writer(&self, durability: Durability) -> Result<Connection, OpenError> {
        let flags = OpenFlags::SQLITE_OPEN_CREATE;
        let mut connection = self.connect(flags, WRITER_CACHE_KIB)?;
        let synchronous = match durability {
            Durability::Always => "FULL",
            Durability::Everysec => "NORMAL",
            Durability::Memory => "OFF",
        };
        connection
            .pragma_update(None, "synchronous", synchronous)
            .and_then(|()| check_or_create(&mut connection))
            .map_err(|error| self.unreadable(&error))?
            .map_err(|fault| OpenError(format!("{}: {fault}", self.database().display())))?;
        self.sync_directory()?;
        Ok(connection)
    }

    /// Another connection, to read or to checkpoint with.
    pub(super) fn side(&self) -> Result<Connection, OpenError> {
        self.connect(OpenFlags::empty(), READER_CACHE_KIB)
    }

    pub(super) fn unreadable(&self, error: &rusqlite::Error) -> OpenError {
        let path = self.database();
        let path = path.display();
        OpenError(match error.sqlite_error_code() {
            Some(ErrorCode::NotADatabase) => format!(
                "{path} is not a database; move it away, or name another directory in `store.url`"
            ),
            Some(ErrorCode::DatabaseCorrupt) => {
                format!("{path} is damaged ({error}); restore it from a backup, or move it away")
            }
            _ => format!("cannot open {path}: {error}"),
        })
    }

    fn connect(&self, flags: OpenFlags, cache_kib: i64) -> Result<Connection, OpenError> {
        let flags = flags | OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        Connection::open_with_flags(self.database(), flags)
            .and_then(|connection| {
                connection.busy_timeout(BUSY_TIMEOUT)?;
                connection.pragma_update(None, "journal_mode", "WAL")?;
                connection.pragma_update(None, "wal_autocheckpoint", 0)?;
                connection.pragma_update(None, "cache_size", -cache_kib)?;
                // The writer moves the log when it ends, unless a sync has failed.
                connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
                connection.set_prepared_statement_cache_capacity(64);
                Ok(connection)
            })
            .map_err(|error| self.unreadable(&error))
    }

    fn database(&self) -> PathBuf {
        self.directory.join(DATABASE)
    }

    /// So that a power cut cannot take the new files' names away.
    fn sync_directory(&self) -> Result<(), OpenError> {
        File::open(&self.directory)
            .and_then(|directory| directory.sync_all())
            .map_err(|error| {
                OpenError(format!("cannot sync {}: {error}", self.directory.display()))
            })
    }
}

/// The inner error says what is wrong with a database that can be read.
fn check_or_create(connection: &mut Connection) -> rusqlite::Result<Result<(), String>> {
    let pragma = |connection: &Connection, name: &str| -> rusqlite::Result<i64> {
        connection.pragma_query_value(None, name, |row| row.get(0))
    };
    let (application, version) = (
        pragma(connection, "application_id")?,
        pragma(connection, "user_version")?,
    );
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if tables == 0 && application == 0 {
        let transaction = connection.transaction()?;
        transaction.execute_batch(TABLES)?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", FORMAT_VERSION)?;
        transaction.commit()?;
        return Ok(Ok(()));
    }
    if application != APPLICATION_ID {
        return Ok(Err(
            "is a database of another program; name another directory in `store.url`".to_owned(),
        ));
    }
    if version != FORMAT_VERSION {
        return Ok(Err(format!(
            "has format {version}, and this version of hookgate reads format {FORMAT_VERSION}; run the version that wrote it, or a newer one"
        )));
    }
    Ok(Ok(()))
}
