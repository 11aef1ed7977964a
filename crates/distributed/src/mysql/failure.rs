//! What a failure of the database means to a use case.

use miaosha_app::ports::{Cause, PortError};

/// Why work on the database came to nothing.
#[derive(Debug)]
pub(super) enum Failure {
    /// The server said no, or could not be reached.
    Database(sqlx::Error),
    /// A row is not at the `rev` that the change was made from, or there although it was to be made.
    Changed,
    /// No answer within the time that the work may take.
    Late,
    /// The transaction was over before: it took too long, or a step had failed.
    Over,
    /// A row does not read as what it should be.
    Malformed(Cause),
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error)
    }
}

/// A row with this key is there.
const DUPLICATE: u16 = 1062;
/// Two transactions waited for each other, and the server ended this one.
const DEADLOCK: u16 = 1213;

/// What the server says of the data of a statement: done again, it would say it again.
///
/// Every other error is the server's own, or that of whoever runs it (a right that was taken away, a table that is not
/// there yet, a disk that is full, a proxy with numbers of its own), and passes when it is mended. Nothing that was
/// accepted may be given up for it.
const OF_THE_DATA: &[u16] = &[
    // A value that does not fit its column, is missing, or is no such value.
    1048, 1264, 1265, 1292, 1364, 1366, 1406, 1690,
    // A constraint: a key that is there, a row that is not, a check (MySQL, MariaDB).
    1062, 1451, 1452, 3819, 4025, // A statement longer than the server takes.
    1153,
];

impl Failure {
    /// The port's error, for somebody who tried `what`.
    pub(super) fn into_port_error(self, what: &'static str) -> PortError {
        match self {
            Self::Changed => PortError::retryable(what, "the claim is not as it was read or taken to be"),
            Self::Late => PortError::retryable(what, "the database did not answer in time"),
            Self::Over => {
                PortError::retryable(what, "the transaction was over: it took too long, or a step had failed")
            }
            Self::Malformed(cause) => PortError::terminal(what, cause),
            Self::Database(sqlx::Error::PoolClosed) => PortError::terminal(what, "the database is closed"),
            Self::Database(error) if may_pass(&error) => PortError::retryable(what, error),
            Self::Database(error) => PortError::terminal(what, error),
        }
    }

    /// Whether a unique key said that a row is there.
    pub(super) fn is_duplicate(&self) -> bool {
        self.number() == Some(DUPLICATE)
    }

    /// Whether the primary key said so. MySQL puts the table before the key's name.
    pub(super) fn is_duplicate_of_primary_key(&self) -> bool {
        self.is_duplicate() && matches!(self, Self::Database(error) if error.to_string().contains("PRIMARY'"))
    }

    /// Whether the server has rolled back by itself, so that the same work may be done again at once.
    pub(super) fn is_deadlock(&self) -> bool {
        self.number() == Some(DEADLOCK)
    }

    /// Whether the connection is of no more use.
    pub(super) fn is_of_connection(&self) -> bool {
        match self {
            Self::Database(error) => {
                error.as_database_error().is_none() || is_end_of_connection(self.number())
            }
            Self::Changed | Self::Malformed(_) => false,
            Self::Late | Self::Over => true,
        }
    }

    fn number(&self) -> Option<u16> {
        match self {
            Self::Database(error) => number(error),
            _ => None,
        }
    }
}

/// The server stops, the connection was killed, or the server is no longer the primary.
fn is_end_of_connection(number: Option<u16>) -> bool {
    matches!(number, Some(1053 | 1077..=1080 | 1152 | 1158..=1161 | 1184 | 1290 | 1836 | 1927 | 4031))
}

/// Whether nobody was there, or nobody who had room: what a new attempt may find otherwise.
pub(super) fn is_absence(error: &sqlx::Error) -> bool {
    const TOO_MANY: [u16; 3] = [1040, 1203, 1226];
    match error {
        sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut | sqlx::Error::WorkerCrashed => true,
        sqlx::Error::Database(_) => {
            let number = number(error);
            is_end_of_connection(number) || number.is_some_and(|number| TOO_MANY.contains(&number))
        }
        _ => false,
    }
}

/// The server's number of an error, if it is the server's.
pub(super) fn number(error: &sqlx::Error) -> Option<u16> {
    let error = error.as_database_error()?;
    error.try_downcast_ref::<sqlx::mysql::MySqlDatabaseError>().map(sqlx::mysql::MySqlDatabaseError::number)
}

fn may_pass(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Database(_) => number(error).is_none_or(|number| !OF_THE_DATA.contains(&number)),
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::WorkerCrashed => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_passes_and_a_closed_store_does_not() {
        let judged = |error: sqlx::Error| Failure::from(error).into_port_error("test");
        let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        assert!(!judged(sqlx::Error::Io(refused)).is_terminal());
        assert!(!judged(sqlx::Error::PoolTimedOut).is_terminal());
        assert!(judged(sqlx::Error::PoolClosed).is_terminal());
        assert!(judged(sqlx::Error::ColumnNotFound("x".to_owned())).is_terminal());
    }

    #[test]
    fn what_was_late_or_changed_may_be_done_again() {
        for failure in [Failure::Late, Failure::Changed, Failure::Over] {
            assert!(!failure.into_port_error("test").is_terminal());
        }
        assert!(Failure::Malformed("a bad row".into()).into_port_error("test").is_terminal());
    }
}
