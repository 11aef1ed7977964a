//! What is said over sockets, as JSON texts.

use miaosha_app::board::{Board, BoardSale, StandbyTick};
use miaosha_app::look_up_claim::ClaimView;
use miaosha_domain::ids::SaleId;
use miaosha_domain::sale::SaleState;
use miaosha_domain::time::Timestamp;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::tokens::Keyring;
use crate::wire::{ClaimBody, Moment};

/// Sales named in a `clock`, at the most: those that have not ended, the newest first.
const CLOCK_SALES_MAX: usize = 100;

/// The room of those who watch a sale.
pub(super) fn room(sale: SaleId) -> String {
    format!("sale:{sale}")
}

/// The event `clock`, with the sales that [`starts`] names.
pub(super) fn clock(starts: &RawValue, now: Timestamp) -> String {
    #[derive(Serialize)]
    struct Clock<'a> {
        now: Moment,
        sales: &'a RawValue,
    }
    json(&Clock { now: Moment(now), sales: starts })
}

/// When the sales start that have not ended.
pub(super) fn starts(board: &Board, now: Timestamp) -> Box<RawValue> {
    #[derive(Serialize)]
    struct Start {
        id: SaleId,
        starts_at: Moment,
    }
    let coming = board.list().into_iter().filter(|sale| sale.state(now) != SaleState::Ended);
    let start = |sale: &BoardSale| Start { id: sale.sale.id, starts_at: Moment(sale.sale.terms.starts_at) };
    let starts: Vec<Start> = coming.take(CLOCK_SALES_MAX).map(|sale| start(&sale)).collect();
    RawValue::from_string(json(&starts)).expect("what was written as JSON is JSON")
}

/// The event `sale`.
pub(super) fn sale(sale: &BoardSale, state: SaleState) -> String {
    #[derive(Serialize)]
    struct Turn {
        sale: SaleId,
        state: &'static str,
        starts_at: Moment,
        ends_at: Moment,
    }
    let terms = &sale.sale.terms;
    json(&Turn {
        sale: sale.sale.id,
        state: state.name(),
        starts_at: Moment(terms.starts_at),
        ends_at: Moment(terms.ends_at),
    })
}

/// The event `standby`.
pub(super) fn standby(sale: SaleId, tick: &StandbyTick) -> String {
    json(&Standby::new(sale, tick))
}

#[derive(Serialize)]
struct Standby {
    sale: SaleId,
    serving_seq: u64,
    standing: u32,
    all_paid: bool,
}

impl Standby {
    fn new(sale: SaleId, tick: &StandbyTick) -> Self {
        let StandbyTick { serving_seq, standing, all_paid } = *tick;
        Self { sale, serving_seq, standing, all_paid }
    }
}

/// The event `claim`, and the acknowledgement of `lookup`.
pub(super) fn claim(view: &ClaimView, keyring: &Keyring, now: Timestamp) -> String {
    json(&ClaimBody::new(view, keyring, now))
}

/// The acknowledgement of `watch`; `claim` is for those who are signed in.
pub(super) fn watched(sale: &BoardSale, claim: Option<&str>, now: Timestamp) -> String {
    #[derive(Serialize)]
    struct Watched<'a> {
        sale: SaleId,
        state: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        claim: Option<&'a RawValue>,
        standby: Standby,
    }
    json(&Watched {
        sale: sale.sale.id,
        state: sale.state(now).name(),
        claim: claim.and_then(|text| serde_json::from_str(text).ok()),
        standby: Standby::new(sale.sale.id, &sale.standby()),
    })
}

/// The acknowledgement of what cannot be answered.
pub(super) fn problem(code: &str) -> String {
    #[derive(Serialize)]
    struct Problem<'a> {
        code: &'a str,
    }
    json(&Problem { code })
}

/// Why a socket was refused.
pub(super) fn refusal(message: &str) -> String {
    #[derive(Serialize)]
    struct Refusal<'a> {
        message: &'a str,
    }
    json(&Refusal { message })
}

fn json(words: &impl Serialize) -> String {
    serde_json::to_string(words).expect("numbers, texts and lists of them always have a JSON form")
}
