//! Why a connection is no more, in the words in which it is counted.

use super::upgrade::NoUpgrade;
use std::borrow::Cow;
use std::io;

/// Why a connection is no more.
pub(super) enum End {
    /// The HTTP status that was answered instead of a WebSocket.
    Refused(u16),
    /// A word or two.
    Broken(Cow<'static, str>),
}

/// What came is not what a Socket.IO server sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed(pub(super) &'static str);

impl From<&io::Error> for End {
    fn from(error: &io::Error) -> Self {
        Self::Broken(error.kind().to_string().into())
    }
}

impl From<Malformed> for End {
    fn from(malformed: Malformed) -> Self {
        Self::Broken(format!("malformed: {}", malformed.0).into())
    }
}

impl From<NoUpgrade> for End {
    fn from(no: NoUpgrade) -> Self {
        match no {
            NoUpgrade::Refused(status) => Self::Refused(status),
            NoUpgrade::Malformed(malformed) => malformed.into(),
        }
    }
}
