//! What the reader of a machine says to the others: messages, each behind its length in four bytes. The first one names the
//! site. The others begin with a letter: `N` and [`news`], `R` and a reading as JSON, `G` for a gap, or `A` for "I am here".
//! Whoever changes this, or the JSON other than by adding fields, changes the version in the name of the socket.

use std::sync::Arc;

use miaosha_app::ports::{BusEvent, Reading};
use miaosha_domain::ids::SaleId;
use miaosha_domain::time::Timestamp;
use serde::{Deserialize, Serialize};
use tokio_util::codec::LengthDelimitedCodec;

use crate::news::{self, WireBook};

pub(super) use crate::news::Unreadable;

/// A batch of news is 100 KB at the most; a reading has 300 bytes for each sale that is not settled.
const LEN_MAX: usize = 16 * 1024 * 1024;

/// Takes messages apart.
pub(super) fn codec() -> LengthDelimitedCodec {
    LengthDelimitedCodec::builder().max_frame_length(LEN_MAX).new_codec()
}

/// A message with this content.
pub(super) fn message(content: &[u8]) -> Vec<u8> {
    let mut message = Vec::new();
    append(&mut message, |message| message.extend_from_slice(content));
    message
}

/// Adds an event to what is said.
pub(super) fn encode(said: &mut Vec<u8>, event: &BusEvent) {
    append(said, |said| match event {
        BusEvent::News(outcomes) => {
            said.push(b'N');
            news::encode(said, outcomes);
        }
        BusEvent::Reading(reading) => {
            said.push(b'R');
            let sales = reading.unsettled.iter().map(|(id, book)| (*id, WireBook::from(book))).collect();
            serde_json::to_writer(said, &WireReading { as_of: reading.as_of, sales })
                .expect("no map has keys that are not strings, and memory does not fail");
        }
        BusEvent::Gap | BusEvent::Closed => said.push(b'G'),
    });
}

/// Adds that there is nothing to say.
pub(super) fn encode_sign_of_life(said: &mut Vec<u8>) {
    append(said, |said| said.push(b'A'));
}

/// The event of a message; `None` for a sign of life.
pub(super) fn decode(message: &[u8]) -> Result<Option<BusEvent>, Unreadable> {
    match message {
        [b'A'] => Ok(None),
        [b'G'] => Ok(Some(BusEvent::Gap)),
        [b'N', news @ ..] => Ok(Some(BusEvent::News(Arc::new(news::decode(news)?)))),
        [b'R', json @ ..] => {
            let WireReading { as_of, sales } = serde_json::from_slice(json).map_err(|_| Unreadable)?;
            let unsettled = sales.into_iter().map(|(id, book)| (id, book.into())).collect();
            Ok(Some(BusEvent::Reading(Arc::new(Reading { as_of, unsettled }))))
        }
        _ => Err(Unreadable),
    }
}

#[derive(Serialize, Deserialize)]
struct WireReading {
    as_of: Timestamp,
    sales: Vec<(SaleId, WireBook)>,
}

fn append(said: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let start = said.len();
    said.extend_from_slice(&[0; 4]);
    write(said);
    let len = u32::try_from(said.len() - start - 4).expect("a message is far below 4 GB");
    said[start..start + 4].copy_from_slice(&len.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use miaosha_app::model::Outcomes;
    use miaosha_domain::sale::Book;
    use miaosha_testkit::contract::scene::TERMS;
    use proptest::prelude::*;
    use tokio_util::bytes::BytesMut;
    use tokio_util::codec::Decoder as _;

    use super::*;

    #[test]
    fn events_are_heard_as_they_were_said() {
        let sale = SaleId::new(7).unwrap();
        let reading = Reading {
            as_of: Timestamp::from_millis(8),
            unsettled: vec![(sale, Book { version: 9, ..Book::new(1, &TERMS) })],
        };
        let said_events = [
            BusEvent::News(Arc::new(Outcomes::of_rejected(sale, Vec::new()))),
            BusEvent::Gap,
            BusEvent::Reading(Arc::new(reading)),
        ];
        let mut said = Vec::new();
        for event in &said_events {
            encode(&mut said, event);
        }
        encode_sign_of_life(&mut said);
        let (mut said, mut codec) = (BytesMut::from(&said[..]), codec());
        for event in said_events {
            let message = codec.decode(&mut said).unwrap().unwrap();
            assert_eq!(format!("{:?}", decode(&message).unwrap().unwrap()), format!("{event:?}"));
        }
        let message = codec.decode(&mut said).unwrap().unwrap();
        assert!(said.is_empty() && decode(&message).unwrap().is_none());
    }

    proptest! {
        #[test]
        fn bytes_from_anywhere_are_refused_and_nothing_worse(bytes: Vec<u8>) {
            let _ = decode(&bytes);
        }
    }
}
