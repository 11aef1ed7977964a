//! What travels: the bytes of a batch of buy requests and of a wake-up.
//!
//! Fixed-width and big-endian, ids as 64-bit numbers. The AMQP property `type` names the format and its version, so a
//! consumer never guesses; what it cannot read is put aside, so consumers are upgraded before publishers. Where messages
//! go is in `topology`.

use miaosha_app::model::RequestBatch;
use miaosha_domain::decide::Ask;
use miaosha_domain::ids::{MalformedId, SaleId, UserId};
use miaosha_domain::time::Timestamp;
use thiserror::Error;

/// The format of a batch: sale (8 bytes), accepted at (8, milliseconds since the epoch), flags (1), then for each person
/// the user (8) and the quantity (4). 1,024 people are 12,305 bytes.
pub(super) const BATCH: &str = "miaosha.batch.v1";
/// The format of a wake-up: sale (8 bytes), due (8, milliseconds since the epoch).
pub(super) const WAKE_UP: &str = "miaosha.wake-up.v1";
/// The most people in one message. It bounds what a consumer takes into memory, and the work of one transaction.
pub const BATCH_LEN_MAX: usize = 1_024;

const HEAD_LEN: usize = 17;
const ASK_LEN: usize = 12;
const MAYBE_DECIDED: u8 = 1;
const ALONE: u8 = 2;

/// A message that this version cannot read.
#[derive(Debug, Error)]
pub(super) enum Undecodable {
    #[error("its type is {0:?}")]
    Type(Option<String>),
    #[error("its length of {0} bytes fits no batch or wake-up")]
    Length(usize),
    #[error("unknown flags {0:#04x}")]
    Flags(u8),
    #[error("an id is out of range")]
    Id(#[from] MalformedId),
}

/// A batch with what was noted on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SentBatch {
    pub(super) batch: RequestBatch,
    pub(super) notes: Notes,
}

/// What a batch that is sent on carries with it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Notes {
    /// Whether it may have been decided before: the broker knows only of its own redeliveries.
    pub(super) is_maybe_decided: bool,
    /// Whether it is to be decided alone: it is a part of a batch that failed, perhaps because of it.
    pub(super) is_alone: bool,
}

impl Notes {
    fn flags(self) -> u8 {
        let flag = |is_set, flag| if is_set { flag } else { 0 };
        flag(self.is_maybe_decided, MAYBE_DECIDED) | flag(self.is_alone, ALONE)
    }

    /// `None` if there is a flag that this version does not know.
    fn of(flags: u8) -> Option<Self> {
        let is_set = |flag| flags & flag != 0;
        let notes = Self { is_maybe_decided: is_set(MAYBE_DECIDED), is_alone: is_set(ALONE) };
        (notes.flags() == flags).then_some(notes)
    }
}

/// A wake-up for `sale`, not before `due`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct WakeUp {
    pub(super) sale: SaleId,
    pub(super) due: Timestamp,
}

pub(super) fn encode_batch(batch: &RequestBatch, notes: Notes) -> Vec<u8> {
    let mut body = Vec::with_capacity(HEAD_LEN + ASK_LEN * batch.asks.len());
    body.extend(batch.sale.get().to_be_bytes());
    body.extend(batch.accepted_at.as_millis().to_be_bytes());
    body.push(notes.flags());
    for ask in &batch.asks {
        body.extend(ask.user.get().to_be_bytes());
        body.extend(ask.quantity.to_be_bytes());
    }
    body
}

/// Reads what [`encode_batch`] wrote, and nothing else.
pub(super) fn decode_batch(kind: Option<&str>, body: &[u8]) -> Result<SentBatch, Undecodable> {
    require_kind(kind, BATCH)?;
    let malformed = || Undecodable::Length(body.len());
    let (sale, rest) = body.split_first_chunk().ok_or_else(malformed)?;
    let (accepted_at, rest) = rest.split_first_chunk().ok_or_else(malformed)?;
    let (flags, rest) = rest.split_first().ok_or_else(malformed)?;
    let (asks, []) = rest.as_chunks::<ASK_LEN>() else {
        return Err(malformed());
    };
    if asks.len() > BATCH_LEN_MAX {
        return Err(malformed());
    }
    let notes = Notes::of(*flags).ok_or(Undecodable::Flags(*flags))?;
    let batch = RequestBatch {
        sale: SaleId::new(u64::from_be_bytes(*sale))?,
        asks: asks.iter().map(decode_ask).collect::<Result<_, _>>()?,
        accepted_at: Timestamp::from_millis(i64::from_be_bytes(*accepted_at)),
    };
    Ok(SentBatch { batch, notes })
}

fn decode_ask(bytes: &[u8; ASK_LEN]) -> Result<Ask, MalformedId> {
    let [user @ .., q0, q1, q2, q3] = *bytes;
    Ok(Ask { user: UserId::new(u64::from_be_bytes(user))?, quantity: u32::from_be_bytes([q0, q1, q2, q3]) })
}

pub(super) fn encode_wake_up(wake_up: WakeUp) -> Vec<u8> {
    [wake_up.sale.get().to_be_bytes(), wake_up.due.as_millis().to_be_bytes()].concat()
}

/// Reads what [`encode_wake_up`] wrote, and nothing else.
pub(super) fn decode_wake_up(kind: Option<&str>, body: &[u8]) -> Result<WakeUp, Undecodable> {
    require_kind(kind, WAKE_UP)?;
    let ([sale, due], []) = body.as_chunks::<8>() else {
        return Err(Undecodable::Length(body.len()));
    };
    let sale = SaleId::new(u64::from_be_bytes(*sale))?;
    Ok(WakeUp { sale, due: Timestamp::from_millis(i64::from_be_bytes(*due)) })
}

fn require_kind(kind: Option<&str>, expected: &str) -> Result<(), Undecodable> {
    if kind == Some(expected) { Ok(()) } else { Err(Undecodable::Type(kind.map(str::to_owned))) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_batch() -> impl Strategy<Value = RequestBatch> {
        let id = 1..=i64::MAX as u64;
        let asks = prop::collection::vec((id.clone(), any::<u32>()), 0..40);
        (id, asks, any::<i64>()).prop_map(|(sale, asks, ms)| {
            let ask = |(user, quantity)| Ask { user: UserId::new(user).unwrap(), quantity };
            let accepted_at = Timestamp::from_millis(ms);
            RequestBatch {
                sale: SaleId::new(sale).unwrap(),
                asks: asks.into_iter().map(ask).collect(),
                accepted_at,
            }
        })
    }

    proptest! {
        #[test]
        fn a_batch_is_read_as_it_was_written(batch in any_batch(), is_maybe_decided: bool, is_alone: bool) {
            let notes = Notes { is_maybe_decided, is_alone };
            let body = encode_batch(&batch, notes);
            let read = decode_batch(Some(BATCH), &body).unwrap();
            prop_assert_eq!(read, SentBatch { batch, notes });
        }

        #[test]
        fn whatever_is_read_is_written_the_same(body in prop::collection::vec(any::<u8>(), 0..80)) {
            if let Ok(read) = decode_batch(Some(BATCH), &body) {
                prop_assert_eq!(encode_batch(&read.batch, read.notes), body.clone());
            }
            if let Ok(read) = decode_wake_up(Some(WAKE_UP), &body) {
                prop_assert_eq!(encode_wake_up(read), body);
            }
        }

        #[test]
        fn a_wake_up_is_read_as_it_was_written(sale in 1..=i64::MAX as u64, due: i64) {
            let sale = SaleId::new(sale).unwrap();
            let wake_up = WakeUp { sale, due: Timestamp::from_millis(due) };
            prop_assert_eq!(decode_wake_up(Some(WAKE_UP), &encode_wake_up(wake_up)).unwrap(), wake_up);
        }
    }

    #[test]
    fn the_format_of_version_1_stays_as_it_is() {
        let ask = Ask { user: UserId::new(258).unwrap(), quantity: 3 };
        let sale = SaleId::new(1).unwrap();
        let batch = RequestBatch { sale, asks: vec![ask], accepted_at: Timestamp::from_millis(2) };
        let written = [0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2, 1, 0, 0, 0, 0, 0, 0, 1, 2, 0, 0, 0, 3];
        assert_eq!(encode_batch(&batch, Notes { is_maybe_decided: true, is_alone: false }), written);
    }

    #[test]
    fn a_message_of_another_type_or_too_many_people_is_not_read() {
        let ask = Ask { user: UserId::new(1).unwrap(), quantity: 1 };
        let batch = |people| RequestBatch {
            sale: SaleId::new(1).unwrap(),
            asks: vec![ask; people],
            accepted_at: Timestamp::from_millis(0),
        };
        let none = Notes::default();
        let body = encode_batch(&batch(BATCH_LEN_MAX), none);
        assert_eq!(body.len(), 12_305);
        assert!(decode_batch(Some(BATCH), &body).is_ok());
        assert!(decode_batch(Some(WAKE_UP), &body).is_err());
        assert!(decode_batch(None, &body).is_err());
        assert!(decode_batch(Some(BATCH), &encode_batch(&batch(BATCH_LEN_MAX + 1), none)).is_err());
    }
}
