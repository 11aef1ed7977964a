//! Whether a buy request may be handed in: a pure function over what the node has in memory.

use std::borrow::Cow;
use std::sync::Arc;

use miaosha_app::board::{Board, BoardSale};
use miaosha_app::request_buy::{WindowRefusal, answers_rightly, check_window};
use miaosha_domain::ids::{SaleId, UserId};
use miaosha_domain::time::Timestamp;
use serde::Deserialize;

use crate::extract::{bearer, is_json};
use crate::plain_json;
use crate::problem::ProblemCode;
use crate::tokens::Keyring;

/// A buy call whose body has arrived and is not too large.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BuyCall<'a> {
    /// The sale's id, as written in the path.
    pub(crate) sale: &'a str,
    /// The first header of this name.
    pub(crate) content_type: Option<&'a [u8]>,
    /// The first header of this name.
    pub(crate) authorization: Option<&'a [u8]>,
    /// At most [`super::BUY_BODY_LEN_MAX`] bytes.
    pub(crate) body: &'a [u8],
}

/// A request that may be handed in.
#[derive(Debug)]
pub(super) struct Passed {
    pub(super) sale: Arc<BoardSale>,
    pub(super) user: UserId,
}

/// Judges a request at `now`. The order of the checks is a promise to clients: type, sale, token, window, shape, answer.
pub(super) fn judge(
    call: &BuyCall<'_>,
    board: &Board,
    keyring: &Keyring,
    now: Timestamp,
) -> Result<Passed, ProblemCode> {
    if !call.content_type.is_some_and(is_json) {
        return Err(ProblemCode::UnsupportedMediaType);
    }
    let sale = call.sale.parse::<SaleId>().ok().and_then(|id| board.lookup(id));
    let sale = sale.ok_or(ProblemCode::NoSuchSale)?;
    let token = call.authorization.and_then(bearer).ok_or(ProblemCode::Unauthenticated)?;
    let session = keyring.verify_session(token, now).map_err(|_| ProblemCode::Unauthenticated)?;
    check_window(&sale, now).map_err(|refusal| match refusal {
        WindowRefusal::NotOpen => ProblemCode::NotOpen,
        WindowRefusal::Ended => ProblemCode::Ended,
        WindowRefusal::Paused => ProblemCode::Paused,
    })?;
    let body = read(call.body).ok_or(ProblemCode::InvalidBody)?;
    if sale.sale.question.is_some() && body.answer.is_none() {
        return Err(ProblemCode::InvalidBody);
    }
    if !answers_rightly(&sale, body.answer.as_deref()) {
        return Err(ProblemCode::WrongAnswer);
    }
    Ok(Passed { sale, user: session.user })
}

/// What is read of a body. Fields that this sale does not ask for may be there, and are ignored.
#[derive(Debug, PartialEq, Eq, Deserialize)]
struct Body<'a> {
    /// Required if the sale has a question.
    #[serde(borrow, default)]
    answer: Option<Cow<'a, str>>,
}

fn read(body: &[u8]) -> Option<Body<'_>> {
    read_plain(body).or_else(|| parse(body))
}

/// The body as most programs write it.
fn read_plain(body: &[u8]) -> Option<Body<'_>> {
    if body == b"{}" {
        return Some(Body { answer: None });
    }
    let (answer, rest) = plain_json::text(body.strip_prefix(br#"{"answer":""#)?)?;
    (rest == b"}").then_some(Body { answer: Some(Cow::Borrowed(answer)) })
}

/// Any body.
fn parse(body: &[u8]) -> Option<Body<'_>> {
    // serde would take an array for an object, by position.
    if body.trim_ascii_start().first() != Some(&b'{') {
        return None;
    }
    serde_json::from_slice(body).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_our_own_clients_send_is_plain() {
        for answer in ["", "Sony", "蘋果"] {
            let body = serde_json::json!({ "answer": answer }).to_string();
            assert_eq!(read_plain(body.as_bytes()), Some(Body { answer: Some(answer.into()) }));
        }
        assert_eq!(read_plain(b"{}"), Some(Body { answer: None }));
    }

    proptest! {
        #[test]
        fn what_is_plain_is_read_as_the_parser_reads_it(
            front in prop_oneof![4 => Just(r#"{"answer":""#), 1 => prop::sample::select(&[" {", "{", ""][..])],
            answer in r#"[a-z"\\é\n\x00 {}:,]{0,8}"#,
            back in prop_oneof![4 => Just(r#""}"#), 1 => prop::sample::select(&[r#""} "#, r#"","x":""}"#, "}"][..])],
        ) {
            let body = format!("{front}{answer}{back}");
            if let Some(read) = read_plain(body.as_bytes()) {
                prop_assert_eq!(parse(body.as_bytes()), Some(read));
            }
        }
    }
}
