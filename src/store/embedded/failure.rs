//! What an error of SQLite means to a caller.

use rusqlite::{Error, ErrorCode, ffi};

use crate::store::StoreError;

/// Why a batch, or a read, did not happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// No room on the disk. It may be there again later.
    Full(String),
    /// Writing or syncing failed. A later sync may report success although data was lost, so nothing
    /// that this process says about durability can be believed from here on.
    Fatal(String),
    Other(String),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let message = error.to_string();
        match error.sqlite_error() {
            Some(e) if e.code == ErrorCode::DiskFull => Self::Full(message),
            Some(e) if e.code == ErrorCode::SystemIoFailure && !only_read(e.extended_code) => {
                Self::Fatal(message)
            }
            _ => Self::Other(message),
        }
    }
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Full(message) => Self::Full(message),
            Failure::Fatal(message) => Self::Failed(message),
            Failure::Other(message) => Self::Unavailable(message),
        }
    }
}

/// A failed read loses nothing that was promised.
fn only_read(extended_code: i32) -> bool {
    [
        ffi::SQLITE_IOERR_READ,
        ffi::SQLITE_IOERR_SHORT_READ,
        ffi::SQLITE_IOERR_NOMEM,
    ]
    .contains(&extended_code)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classify(extended_code: i32) -> StoreError {
        Failure::from(Error::SqliteFailure(ffi::Error::new(extended_code), None)).into()
    }

    #[test]
    fn a_failed_sync_or_write_is_fatal_and_a_full_disk_is_not() {
        for code in [
            ffi::SQLITE_IOERR,
            ffi::SQLITE_IOERR_FSYNC,
            ffi::SQLITE_IOERR_WRITE,
            ffi::SQLITE_IOERR_DIR_FSYNC,
        ] {
            assert!(matches!(classify(code), StoreError::Failed(_)), "{code}");
        }
        assert!(matches!(classify(ffi::SQLITE_FULL), StoreError::Full(_)));
        for code in [
            ffi::SQLITE_IOERR_READ,
            ffi::SQLITE_BUSY,
            ffi::SQLITE_CORRUPT,
        ] {
            assert!(
                matches!(classify(code), StoreError::Unavailable(_)),
                "{code}"
            );
        }
    }
}
