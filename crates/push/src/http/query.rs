//! The query string of an Engine.IO request.

use crate::command::Refusal;
use crate::engine::session_id::SessionId;

/// What a client asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Query {
    pub(super) transport: Transport,
    /// The session that the request belongs to; none if it asks for a new one.
    pub(super) session: Option<SessionName>,
    is_protocol_supported: bool,
}

/// The name of a session as a client wrote it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SessionName {
    Possible(SessionId),
    Impossible,
}

impl SessionName {
    /// The session's name, if it can be one.
    pub(super) fn require(self) -> Result<SessionId, Refusal> {
        match self {
            Self::Possible(session) => Ok(session),
            Self::Impossible => Err(Refusal::UnknownSession),
        }
    }
}

/// How a client wants to be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transport {
    Polling,
    WebSocket,
}

impl Query {
    /// Reads the query. Names that are not the protocol's are ignored, and of a name that occurs twice the first
    /// counts. None of the protocol's values needs percent-encoding, so none is decoded.
    pub(super) fn parse(text: &str) -> Result<Self, Refusal> {
        let value_of = |name: &str| {
            text.split('&')
                .find_map(|pair| pair.split_once('=').filter(|(found, _)| *found == name))
                .map(|(_, value)| value)
        };
        let transport = match value_of("transport") {
            Some("polling") => Transport::Polling,
            Some("websocket") => Transport::WebSocket,
            _ => return Err(Refusal::UnknownTransport),
        };
        let session = value_of("sid")
            .filter(|sid| !sid.is_empty())
            .map(|sid| SessionId::parse(sid).map_or(SessionName::Impossible, SessionName::Possible));
        Ok(Self { transport, session, is_protocol_supported: value_of("EIO") == Some("4") })
    }

    /// Refuses any revision of the protocol but the fourth.
    pub(super) fn require_protocol(&self) -> Result<(), Refusal> {
        if self.is_protocol_supported { Ok(()) } else { Err(Refusal::UnsupportedProtocolVersion) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_the_pairs_does_not_matter() {
        let query = Query::parse("t=abc&transport=websocket&EIO=4").unwrap();
        assert_eq!((query.transport, query.session), (Transport::WebSocket, None));
        assert_eq!(query.require_protocol(), Ok(()));
    }

    #[test]
    fn an_unknown_transport_is_refused_before_anything_else() {
        for text in ["", "EIO=4", "EIO=4&transport=abc", "transport"] {
            assert_eq!(Query::parse(text), Err(Refusal::UnknownTransport), "{text:?}");
        }
    }

    #[test]
    fn only_the_fourth_revision_is_served() {
        for text in ["transport=polling", "EIO=3&transport=polling", "EIO=abc&transport=polling"] {
            let query = Query::parse(text).unwrap();
            assert_eq!(query.require_protocol(), Err(Refusal::UnsupportedProtocolVersion), "{text:?}");
        }
    }

    #[test]
    fn a_name_that_cannot_be_a_session_is_kept_apart_from_none() {
        assert_eq!(Query::parse("transport=polling&sid=x").unwrap().session, Some(SessionName::Impossible));
        assert_eq!(Query::parse("transport=polling&sid=").unwrap().session, None);
    }
}
