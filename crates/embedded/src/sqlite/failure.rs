//! What a failure of the database means to a use case.

use miaosha_app::ports::PortError;
use rusqlite::ErrorCode;

/// Why work on the database thread came to nothing.
#[derive(Debug)]
pub(crate) enum Failure {
    /// `SQLite` said no, or a row does not read as what it should be.
    Database(rusqlite::Error),
    /// A row is not at the `rev` that the change was made from.
    Changed,
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Database(error)
    }
}

impl Failure {
    /// The port's error, for somebody who tried `what`.
    pub(crate) fn into_port_error(self, what: &'static str) -> PortError {
        match self {
            Self::Changed => PortError::retryable(what, "the claim has changed since it was read"),
            Self::Database(error) if may_pass(&error) => PortError::retryable(what, error),
            Self::Database(error) => PortError::terminal(what, error),
        }
    }
}

/// A full disk is emptied and a cable plugged in again; corruption, a broken constraint and a bug stay.
fn may_pass(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(
            ErrorCode::DatabaseBusy
                | ErrorCode::DatabaseLocked
                | ErrorCode::DiskFull
                | ErrorCode::SystemIoFailure
                | ErrorCode::CannotOpen
                | ErrorCode::OutOfMemory
                | ErrorCode::OperationInterrupted
                | ErrorCode::FileLockingProtocolFailed
        )
    )
}

#[cfg(test)]
mod tests {
    use rusqlite::ffi;

    use super::*;

    fn judged(code: i32) -> PortError {
        Failure::from(rusqlite::Error::SqliteFailure(ffi::Error::new(code), None)).into_port_error("test")
    }

    #[test]
    fn what_may_pass_is_retryable_and_what_stays_is_terminal() {
        for code in [ffi::SQLITE_FULL, ffi::SQLITE_IOERR_FSYNC, ffi::SQLITE_BUSY, ffi::SQLITE_NOMEM] {
            assert!(!judged(code).is_terminal(), "{code}");
        }
        for code in [ffi::SQLITE_CORRUPT, ffi::SQLITE_NOTADB, ffi::SQLITE_CONSTRAINT_CHECK] {
            assert!(judged(code).is_terminal(), "{code}");
        }
    }
}
