//! What a failure of Redis means to a use case.

use miaosha_app::ports::PortError;
use redis::{ErrorKind, RedisError, ServerErrorKind};
use thiserror::Error;

/// Why a call to Redis came to nothing.
#[derive(Debug, Error)]
pub(crate) enum Failure {
    /// There is no connection, or calls of this kind just failed; Redis was not asked.
    #[error("Redis is away")]
    Away,
    /// No answer in time. The call may still take effect.
    #[error("Redis did not answer in time")]
    Late,
    /// Redis or the way to it said no.
    #[error(transparent)]
    Redis(#[from] RedisError),
}

impl Failure {
    /// The port's error, for somebody who tried `what`.
    pub(crate) fn into_port_error(self, what: &'static str) -> PortError {
        match self {
            Self::Redis(error) if error.code() == Some("OOM") => PortError::Overloaded { what },
            Self::Redis(error) if is_for_good(&error) => PortError::terminal(what, error),
            failure => PortError::retryable(what, failure),
        }
    }

    /// Whether Redis itself answered, so that there is nothing wrong with the way to it.
    pub(crate) fn is_answer(&self) -> bool {
        matches!(self, Self::Redis(error) if is_for_good(error) || error.code() == Some("OOM"))
    }

    /// Whether the node has not (or no longer) the functions of this program.
    pub(crate) fn lacks_functions(&self) -> bool {
        matches!(self, Self::Redis(error) if error.to_string().contains("Function not found"))
    }
}

/// The same call would be answered the same way again: a bug or a wrong setting, not an outage.
fn is_for_good(error: &RedisError) -> bool {
    matches!(
        error.kind(),
        ErrorKind::UnexpectedReturnType
            | ErrorKind::Server(
                ServerErrorKind::ResponseError | ServerErrorKind::CrossSlot | ServerErrorKind::NoPerm
            )
    ) || error.code() == Some("WRONGTYPE")
}
