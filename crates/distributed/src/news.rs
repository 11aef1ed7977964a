//! News as a JSON text.
//!
//! Ids are strings. A claim is an array without field names, about 90 bytes; 1,024 of them make 90 KB. Whoever changes
//! what the JSON holds, other than by adding fields to the object, changes the version that is sent with it.

use miaosha_app::model::{DatedBook, Outcomes};
use miaosha_domain::claim::{Claim, ClaimStatus};
use miaosha_domain::ids::{PaymentId, SaleId, UserId};
use miaosha_domain::sale::Book;
use miaosha_domain::time::Timestamp;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The bytes are not a message of a known version.
#[derive(Debug, Error)]
#[error("not a message of a known version")]
pub(crate) struct Unreadable;

/// Adds news to a message.
pub(crate) fn encode(bytes: &mut Vec<u8>, outcomes: &Outcomes) {
    let body = Body {
        sale: outcomes.sale,
        book: outcomes.book.map(|dated| (WireBook::from(&dated.book), dated.as_of)),
        claims: outcomes.claims.iter().map(WireClaim::from).collect(),
        rejected: outcomes.rejected.clone(),
    };
    serde_json::to_writer(bytes, &body)
        .expect("no map has keys that are not strings, and memory does not fail");
}

/// The news that was encoded.
pub(crate) fn decode(bytes: &[u8]) -> Result<Outcomes, Unreadable> {
    let body: Body = serde_json::from_slice(bytes).map_err(|_| Unreadable)?;
    let claims = body.claims.into_iter().map(|claim| claim.into_claim(body.sale));
    let claims = claims.collect::<Result<_, _>>()?;
    let book = body.book.map(|(book, as_of)| DatedBook { book: book.into(), as_of });
    Ok(Outcomes { sale: body.sale, book, claims, rejected: body.rejected })
}

#[derive(Serialize, Deserialize)]
struct Body {
    sale: SaleId,
    book: Option<(WireBook, Timestamp)>,
    claims: Vec<WireClaim>,
    rejected: Vec<UserId>,
}

/// In the order of the fields of [`Claim`], without the sale.
#[derive(Serialize, Deserialize)]
struct WireClaim(
    UserId,
    String,
    u64,
    u64,
    u32,
    Option<Timestamp>,
    Option<Timestamp>,
    Option<PaymentId>,
    bool,
);

impl From<&Claim> for WireClaim {
    fn from(claim: &Claim) -> Self {
        Self(
            claim.user,
            claim.status.name().to_owned(),
            claim.rev,
            claim.seq,
            claim.quantity,
            claim.deadline,
            claim.hold_until,
            claim.payment,
            claim.restocked,
        )
    }
}

impl WireClaim {
    fn into_claim(self, sale: SaleId) -> Result<Claim, Unreadable> {
        let Self(user, status, rev, seq, quantity, deadline, hold_until, payment, restocked) = self;
        let status = ClaimStatus::lookup(&status).ok_or(Unreadable)?;
        Ok(Claim { sale, user, status, rev, seq, quantity, deadline, hold_until, payment, restocked })
    }
}

/// The book, field by field, so that a new field of it cannot be forgotten here.
#[derive(Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "it mirrors the book")]
pub(crate) struct WireBook {
    stock: u32,
    incoming: u32,
    taken: u32,
    standing: u32,
    standby_open: bool,
    standby_over: bool,
    all_paid: bool,
    paused: bool,
    closed: bool,
    next_seq: u64,
    serving_seq: u64,
    version: u64,
}

macro_rules! same_fields {
    ($value:ident: $from:ident => $to:ident { $($field:ident),* $(,)? }) => {{
        let $from { $($field),* } = $value;
        $to { $($field),* }
    }};
}

impl From<&Book> for WireBook {
    fn from(book: &Book) -> Self {
        let book = *book;
        same_fields!(book: Book => WireBook {
            stock, incoming, taken, standing, standby_open, standby_over, all_paid, paused, closed, next_seq,
            serving_seq, version,
        })
    }
}

impl From<WireBook> for Book {
    fn from(book: WireBook) -> Self {
        same_fields!(book: WireBook => Book {
            stock, incoming, taken, standing, standby_open, standby_over, all_paid, paused, closed, next_seq,
            serving_seq, version,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn id<T>(new: fn(u64) -> Result<T, miaosha_domain::ids::MalformedId>, raw: u64) -> T {
        new(raw.clamp(1, i64::MAX as u64)).map_err(|error| error.to_string()).unwrap()
    }

    prop_compose! {
        fn claims()(
            raw: u64, status in 0..ClaimStatus::ALL.len(), rev: u64, seq: u64, quantity: u32,
            deadline: Option<i64>, hold_until: Option<i64>, payment: Option<u64>, restocked: bool,
        ) -> Claim {
            Claim {
                sale: id(SaleId::new, 7),
                user: id(UserId::new, raw),
                status: ClaimStatus::ALL[status],
                rev, seq, quantity,
                deadline: deadline.map(Timestamp::from_millis),
                hold_until: hold_until.map(Timestamp::from_millis),
                payment: payment.map(|raw| id(PaymentId::new, raw)),
                restocked,
            }
        }
    }

    prop_compose! {
        fn books()(
            numbers: [u32; 4],
            flags: [bool; 5],
            counts: [u64; 3],
            as_of in 0..=i64::MAX,
        ) -> DatedBook {
            let [stock, incoming, taken, standing] = numbers;
            let [standby_open, standby_over, all_paid, paused, closed] = flags;
            let [next_seq, serving_seq, version] = counts;
            let book = Book {
                stock, incoming, taken, standing, standby_open, standby_over, all_paid, paused, closed, next_seq,
                serving_seq, version,
            };
            DatedBook { book, as_of: Timestamp::from_millis(as_of) }
        }
    }

    proptest! {
        #[test]
        fn news_is_read_as_it_was_sent(
            book in proptest::option::of(books()),
            claims in proptest::collection::vec(claims(), 0..4),
            rejected in proptest::collection::vec(1..=i64::MAX as u64, 0..4),
        ) {
            let rejected = rejected.into_iter().map(|raw| id(UserId::new, raw)).collect();
            let sent = Outcomes { sale: id(SaleId::new, 7), book, claims, rejected };
            let mut bytes = Vec::new();
            encode(&mut bytes, &sent);
            prop_assert_eq!(decode(&bytes).unwrap(), sent);
        }

        #[test]
        fn bytes_from_anywhere_are_refused_and_nothing_worse(bytes: Vec<u8>) {
            let _ = decode(&bytes);
        }
    }

    #[test]
    fn an_unknown_status_is_not_guessed_at() {
        assert!(
            decode(br#"{"sale":"1","book":null,"claims":[["1","promised",1,1,1,null,null,null,false]],"rejected":[]}"#)
                .is_err()
        );
    }

    #[test]
    fn a_large_batch_stays_small() {
        let id_like_a_real_one = 250_000_000_000_000_000;
        let claim = |n: u64| Claim {
            sale: id(SaleId::new, id_like_a_real_one),
            user: id(UserId::new, id_like_a_real_one + n),
            status: ClaimStatus::Reserved,
            rev: 1,
            seq: n,
            quantity: 1,
            deadline: Some(Timestamp::from_millis(1_800_000_000_000)),
            hold_until: Some(Timestamp::from_millis(1_800_000_000_000)),
            payment: None,
            restocked: false,
        };
        let claims = (1..=1_024).map(claim).collect();
        let outcomes = Outcomes::of_claims(id(SaleId::new, 7), claims);
        let mut bytes = Vec::new();
        encode(&mut bytes, &outcomes);
        assert!(bytes.len() < 100_000, "{} bytes", bytes.len());
    }
}
