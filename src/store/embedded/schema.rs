//! The files of the embedded store: the lock, the database, its tables and its settings.

use std::{
    fs::{DirBuilder, File, TryLockError},
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use rusqlite::{Connection, ErrorCode, OpenFlags, config::DbConfig};

use crate::{config::Durability, store::OpenError};

use super::migration;

/// The format this program writes, kept in `PRAGMA user_version`.
pub(super) const FORMAT_VERSION: i64 = 5;
/// The first of those that are brought to it, see [`super::migration`].
const FORMAT_OLDEST: i64 = 2;
/// Of development versions; nothing was released with it.
const FORMAT_BEFORE_RELEASE: i64 = 1;
/// `PRAGMA application_id` of a Hookgate store: `Hkgt`.
const APPLICATION_ID: i64 = 0x486b_6774;
const DATABASE: &str = "hookgate.db";
/// Of requests, see [`super::records`].
const RECORDS: &str = "records.db";
/// Of a new database. With the usual 4 KiB, checkpoints of bodies of some 1 KiB cost a third more.
pub(super) const PAGE_BYTES: u32 = 8192;
/// How long a connection waits for another one's lock.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);
const WRITER_CACHE_KIB: i64 = 32 * 1024;
const READER_CACHE_KIB: i64 = 4 * 1024;

/// Every table is appended to in the order of its key, because a row at a random place costs a page
/// write of its own. A tree costs one page a commit at least, so there are few; an index by a time grows
/// (nearly) at its end.
///
/// - `events`: `head` is all but the body, see [`super::head`].
/// - `commits`: a row a commit, by time, see [`super::commits`]. It finds an event by its uid, whose first
///   48 bits are when it was received; expiry walks it. `body_bytes`: of those of its events that are
///   still there. It goes with the last of them.
/// - `queues`: a row for each route that ever had a delivery for a target.
/// - `waiting` holds what is still to be delivered, by queue, in the order in which it falls due; nothing else
///   tells that a delivery is pending. `replayed_ms`: when it was last replayed. `turn`: its order, see
///   [`super::turns`]; what waits for its turn is due at the end of time.
/// - `ordered`: of each group in order the deliveries that are not settled for good; only ordered ones have a row.
/// - `deliveries` has a row from a delivery's first settlement on, with its newest attempt. `state`:
///   0 pending (a retry or a replay waits), 1 delivered, 2 to 6 the reasons of a dead letter, 7 filtered; `dead` is
///   there to count and to list dead letters. `settled_ms`: when that was settled. `attempts`: since the last replay;
///   `earlier`: before it. `turn`: of a dead letter that holds. A delivery's id tells its event, see
///   [`super::deliveries`]. An event without deliveries has one row here, delivered to target 0, so that
///   the rows alone tell which events are finished.
/// - `attempts`: those before the newest, by number, without their responses.
/// - `replays`: `record` is JSON, see [`crate::store::replays`].
/// - `secrets`: those that came in handshakes.
/// - `pauses`: the targets that an operator has paused.
/// - `ids`: a row a commit, the remembered ids of its events, 36 bytes each. `row`: the time at which the
///   last of them may be forgotten, in milliseconds, × 2²⁰, and a number.
const TABLES: &str = "
CREATE TABLE targets (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE events (seq INTEGER PRIMARY KEY, head BLOB NOT NULL, body BLOB NOT NULL) STRICT;
CREATE TABLE commits (
  max_ms INTEGER NOT NULL,
  first_seq INTEGER NOT NULL,
  last_seq INTEGER NOT NULL,
  min_ms INTEGER NOT NULL,
  body_bytes INTEGER NOT NULL,
  PRIMARY KEY (max_ms, first_seq)
) STRICT, WITHOUT ROWID;
CREATE TABLE deliveries (
  id INTEGER PRIMARY KEY,
  target INTEGER NOT NULL,
  state INTEGER NOT NULL,
  settled_ms INTEGER NOT NULL,
  attempts INTEGER NOT NULL,
  started_ms INTEGER,
  duration_ms INTEGER,
  status INTEGER,
  error TEXT,
  response_head BLOB,
  earlier INTEGER NOT NULL DEFAULT 0,
  replayed_ms INTEGER,
  turn BLOB
) STRICT;
CREATE TABLE ids (row INTEGER PRIMARY KEY, entries BLOB NOT NULL) STRICT;
";

/// Those that format 2 had otherwise, or not at all.
pub(super) const TABLES_SINCE_3: &str = "
CREATE TABLE queues (
  id INTEGER PRIMARY KEY,
  target INTEGER NOT NULL,
  route TEXT NOT NULL,
  UNIQUE (target, route)
) STRICT;
CREATE TABLE waiting (
  queue INTEGER NOT NULL,
  due_ms INTEGER NOT NULL,
  id INTEGER NOT NULL,
  attempts INTEGER NOT NULL,
  replayed_ms INTEGER,
  turn BLOB,
  PRIMARY KEY (queue, due_ms, id)
) STRICT, WITHOUT ROWID;
CREATE TABLE ordered (
  grp BLOB NOT NULL,
  id INTEGER NOT NULL,
  queue INTEGER NOT NULL,
  holds INTEGER NOT NULL,
  PRIMARY KEY (grp, id)
) STRICT, WITHOUT ROWID;
CREATE TABLE attempts (
  delivery INTEGER NOT NULL,
  number INTEGER NOT NULL,
  started_ms INTEGER NOT NULL,
  duration_ms INTEGER NOT NULL,
  status INTEGER,
  error TEXT,
  PRIMARY KEY (delivery, number)
) STRICT, WITHOUT ROWID;
CREATE TABLE replays (
  id BLOB PRIMARY KEY,
  revision INTEGER NOT NULL,
  created_ms INTEGER NOT NULL,
  ended_ms INTEGER,
  record TEXT NOT NULL
) STRICT, WITHOUT ROWID;
";

/// Those that format 3 had otherwise, or not at all.
pub(super) const TABLES_SINCE_4: &str = "
CREATE INDEX dead ON deliveries (id, target) WHERE state BETWEEN 2 AND 6;
CREATE TABLE secrets (
  route TEXT PRIMARY KEY,
  secret BLOB NOT NULL,
  received_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
";

/// Those that format 4 did not have.
pub(super) const TABLES_SINCE_5: &str = "
CREATE TABLE pauses (target TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;
";

/// A directory that this process alone uses, as long as this value lives.
#[derive(Debug)]
pub(super) struct Home {
    directory: PathBuf,
    _lock: File,
}

/// How long a lock that another holds is waited for. A process that was just started by whoever held the lock before has
/// it too, until it runs its own program; and a gateway that is being stopped may not be quite gone.
const LOCK_WAIT: Duration = Duration::from_secs(1);

/// Blocks for up to [`LOCK_WAIT`].
fn locked(file: &File) -> Result<(), TryLockError> {
    let began = Instant::now();
    loop {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) if began.elapsed() < LOCK_WAIT => {
                std::thread::sleep(LOCK_WAIT / 50);
            }
            answer => return answer,
        }
    }
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
        make_private(directory).map_err(unwritable)?;
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(directory.join("lock"))
            .map_err(unwritable)?;
        match locked(&file) {
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

    pub(super) fn records(&self) -> PathBuf {
        self.directory.join(RECORDS)
    }

    /// The connection that writes. Makes the tables in a new database.
    pub(super) fn writer(&self, durability: Durability) -> Result<Connection, OpenError> {
        let flags = OpenFlags::SQLITE_OPEN_CREATE;
        let mut connection = self.connect(flags, WRITER_CACHE_KIB)?;
        let synchronous = match durability {
            // The commits are synced beside the writer, see [`super::syncer`].
            Durability::Always | Durability::Everysec => "NORMAL",
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
                // Before the journal mode, which makes the first page.
                connection.pragma_update(None, "page_size", PAGE_BYTES)?;
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

/// Bodies are nobody else's to read. A directory that is there already keeps its mode.
fn make_private(directory: &Path) -> std::io::Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
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
        transaction.execute_batch(TABLES_SINCE_3)?;
        transaction.execute_batch(TABLES_SINCE_4)?;
        transaction.execute_batch(TABLES_SINCE_5)?;
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
    if version == FORMAT_BEFORE_RELEASE {
        return Ok(Err(format!(
            "has format {version}, which development versions of hookgate wrote before 0.1.0; let the program that wrote it deliver what waits there, then move it away"
        )));
    }
    if (FORMAT_OLDEST..FORMAT_VERSION).contains(&version) {
        let transaction = connection.transaction()?;
        if version == FORMAT_OLDEST {
            migration::from_format_2(&transaction)?;
        }
        if version < 4 {
            migration::from_format_3(&transaction)?;
        }
        migration::from_format_4(&transaction)?;
        transaction.pragma_update(None, "user_version", FORMAT_VERSION)?;
        transaction.commit()?;
        tracing::info!(
            from = version,
            to = FORMAT_VERSION,
            "the embedded store has a new format"
        );
        return Ok(Ok(()));
    }
    if version != FORMAT_VERSION {
        return Ok(Err(format!(
            "has format {version}, and this version of hookgate reads formats {FORMAT_OLDEST} to {FORMAT_VERSION}; run the version that wrote it, or a newer one"
        )));
    }
    Ok(Ok(()))
}
