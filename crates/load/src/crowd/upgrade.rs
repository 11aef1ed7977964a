//! From HTTP to a WebSocket, as a client: the request, and what the answer means.

use super::end::Malformed;
use crate::http::Target;
use httparse::Status;

/// The example key of RFC 6455. A key is to show that the server understands the protocol, not who asks, so one for
/// all does, and its answer is known beforehand.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &[u8] = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
const HEADERS_MAX: usize = 64;

/// Why there is no WebSocket.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NoUpgrade {
    /// The site said no, with this HTTP status.
    Refused(u16),
    Malformed(Malformed),
}

/// The request for a WebSocket of the site's Socket.IO server.
pub(crate) fn upgrade_request(target: &Target) -> String {
    let head = target.head("GET", "/socket.io/?EIO=4&transport=websocket");
    format!(
        "{head}Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: {KEY}\r\n\r\n"
    )
}

/// How many of the bytes are the answer that opens the WebSocket; None if more are needed.
pub(super) fn parse_answer(bytes: &[u8]) -> Result<Option<usize>, NoUpgrade> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut answer = httparse::Response::new(&mut headers);
    let len = match answer.parse(bytes) {
        Ok(Status::Complete(len)) => len,
        Ok(Status::Partial) => return Ok(None),
        Err(_) => return Err(NoUpgrade::Malformed(Malformed("not an HTTP/1 head"))),
    };
    match answer.code {
        Some(101) => {}
        Some(status) => return Err(NoUpgrade::Refused(status)),
        None => return Err(NoUpgrade::Malformed(Malformed("no status"))),
    }
    let is_accept = |header: &&httparse::Header<'_>| {
        header.name.eq_ignore_ascii_case("sec-websocket-accept") && header.value == ACCEPT
    };
    if !answer.headers.iter().any(|header| is_accept(&header)) {
        return Err(NoUpgrade::Malformed(Malformed("the WebSocket's key is not answered")));
    }
    Ok(Some(len))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACCEPTED: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
        Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

    #[test]
    fn the_key_is_answered_as_the_known_codec_answers_it() {
        let request = upgrade_request(&"http://site.test".parse().unwrap());
        let key = request.split("Sec-WebSocket-Key: ").nth(1).unwrap().trim_end();
        let accept = tungstenite::handshake::derive_accept_key(key.as_bytes());
        assert_eq!(accept.as_bytes(), ACCEPT);
    }

    #[test]
    fn an_answer_ends_where_the_frames_begin_and_a_refusal_has_its_status() {
        let with_frame = [ACCEPTED.as_bytes(), &[0x81, 1, b'2']].concat();
        assert_eq!(parse_answer(&with_frame), Ok(Some(ACCEPTED.len())));
        assert_eq!(parse_answer(&ACCEPTED.as_bytes()[..40]), Ok(None));
        let refused = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n";
        assert_eq!(parse_answer(refused), Err(NoUpgrade::Refused(503)));
        let forged = ACCEPTED.replace("s3p", "xxx");
        assert!(matches!(parse_answer(forged.as_bytes()), Err(NoUpgrade::Malformed(_))));
    }
}
