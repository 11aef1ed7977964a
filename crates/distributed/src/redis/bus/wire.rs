//! What goes over a channel: a line, `outcomes.v1 <origin> <number>`, and [`news`] after it, or nothing in a heartbeat.

use std::str;

use miaosha_app::model::Outcomes;

use crate::news::{self, Unreadable};

const FORMAT: &str = "outcomes.v1";

/// Who sent a message, and how many news it had sent (or failed to send) on this channel by then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    /// Random, one for each process.
    pub(crate) origin: u64,
    /// Counts news from 1; a heartbeat repeats the last number.
    pub(crate) number: u64,
}

/// News as it is sent.
pub(crate) fn encode(header: Header, outcomes: &Outcomes) -> Vec<u8> {
    let mut bytes = encode_heartbeat(header);
    news::encode(&mut bytes, outcomes);
    bytes
}

/// A sign of life.
pub(crate) fn encode_heartbeat(header: Header) -> Vec<u8> {
    format!("{FORMAT} {} {}\n", header.origin, header.number).into_bytes()
}

/// The header, and what follows it.
pub(crate) fn decode_header(bytes: &[u8]) -> Result<(Header, &[u8]), Unreadable> {
    let end = bytes.iter().position(|byte| *byte == b'\n').ok_or(Unreadable)?;
    let line = str::from_utf8(&bytes[..end]).map_err(|_| Unreadable)?;
    let mut words = line.split(' ');
    let (format, origin, number) = (words.next(), words.next(), words.next());
    if format != Some(FORMAT) || words.next().is_some() {
        return Err(Unreadable);
    }
    let parse = |word: Option<&str>| word.and_then(|word| word.parse().ok()).ok_or(Unreadable);
    Ok((Header { origin: parse(origin)?, number: parse(number)? }, &bytes[end + 1..]))
}

/// The news after a header; `None` in a heartbeat.
pub(crate) fn decode_body(bytes: &[u8]) -> Result<Option<Outcomes>, Unreadable> {
    if bytes.is_empty() { Ok(None) } else { news::decode(bytes).map(Some) }
}

#[cfg(test)]
mod tests {
    use miaosha_domain::ids::SaleId;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn news_is_read_as_it_was_sent(origin: u64, number: u64) {
            let sent = Outcomes::of_rejected(SaleId::new(7).unwrap(), Vec::new());
            let bytes = encode(Header { origin, number }, &sent);
            let (header, body) = decode_header(&bytes).unwrap();
            prop_assert_eq!(header, Header { origin, number });
            prop_assert_eq!(decode_body(body).unwrap(), Some(sent));
        }

        #[test]
        fn bytes_from_anywhere_are_refused_and_nothing_worse(bytes: Vec<u8>) {
            if let Ok((_, body)) = decode_header(&bytes) {
                let _ = decode_body(body);
            }
        }
    }

    #[test]
    fn a_heartbeat_has_no_news() {
        let bytes = encode_heartbeat(Header { origin: 3, number: 4 });
        let (header, body) = decode_header(&bytes).unwrap();
        assert_eq!(header, Header { origin: 3, number: 4 });
        assert_eq!(decode_body(body).unwrap(), None);
    }

    #[test]
    fn another_version_is_not_guessed_at() {
        for bad in ["outcomes.v2 1 1\n{}", "outcomes.v1 1\n{}", "outcomes.v1 1 1 1\n", "outcomes.v1 1 1", ""]
        {
            assert!(decode_header(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
