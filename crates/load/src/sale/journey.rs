//! One person's way through a sale, as a client of the contract goes it: what came decides what is next.
//!
//! Pure: no clock of its own, no I/O; `sale/office.rs` does what is decided here, for everyone.

use crate::buy::{is_worth_repeating, pause};
use serde::Deserialize;
use std::time::{Duration, Instant};

/// A person who was told `queued` and then nothing looks up after this.
const GAP: Duration = Duration::from_secs(5);
/// A person of whom the site knows nothing so long after `queued` asks again.
const ASK_AGAIN: Duration = Duration::from_secs(10);

/// A claim as the site tells it; what else it says is not needed here.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Claim {
    pub(super) status: String,
    pub(super) rev: u64,
    pub(super) checkout_token: Option<String>,
}

/// What a person does next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Next {
    Nothing,
    /// The buy call, at once or after a pause.
    Buy(Duration),
    LookUp(Duration),
    /// Checks out; the token comes with the claim that led to this.
    Pay(Duration),
}

/// The answer to a call of the person, or none.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reply<'a> {
    /// HTTP status and the word of the body; None without an answer.
    pub(super) answer: Option<(u16, &'a str)>,
    pub(super) retry_after: Option<Duration>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Waiting,
    Asking,
    Accepted(Instant),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Payment {
    NotWanted,
    Wanted,
    UnderWay,
    Over,
}

/// How far one person is.
#[derive(Debug)]
pub(super) struct Journey {
    person: usize,
    stage: Stage,
    payment: Payment,
    tries: u32,
    /// Whether an earlier request may have been accepted, answered or not.
    is_perhaps_accepted: bool,
    rev: u64,
    /// What the person was told first: a claim's status, or the word of a refusal.
    pub(super) outcome: Option<&'static str>,
    /// The status known last.
    pub(super) status: &'static str,
}

impl Journey {
    /// `pays` says what the person does with a reservation: pay at once, or let it expire.
    pub(super) fn new(person: usize, pays: bool) -> Self {
        Self {
            person,
            stage: Stage::Waiting,
            payment: if pays { Payment::Wanted } else { Payment::NotWanted },
            tries: 0,
            is_perhaps_accepted: false,
            rev: 0,
            outcome: None,
            status: "none",
        }
    }

    /// Whether the person has an outcome and no payment under way.
    pub(super) fn is_settled(&self) -> bool {
        self.outcome.is_some() && self.payment != Payment::UnderWay
    }

    pub(super) fn opened(&mut self) -> Next {
        if self.stage != Stage::Waiting || self.outcome.is_some() {
            return Next::Nothing;
        }
        self.stage = Stage::Asking;
        Next::Buy(Duration::ZERO)
    }

    /// The reply to the buy call.
    pub(super) fn asked(&mut self, now: Instant, reply: Reply<'_>) -> Next {
        self.tries += 1;
        let was_perhaps_accepted = self.is_perhaps_accepted;
        if !matches!(reply.answer, Some((403 | 422, _))) {
            self.is_perhaps_accepted = true;
        }
        // The outcome may have been pushed before the answer came.
        if self.outcome.is_some() {
            return Next::Nothing;
        }
        match reply.answer {
            Some((202, _) | (200, "queued")) => {
                self.stage = Stage::Accepted(now);
                Next::LookUp(pause(1, Some(GAP), self.person))
            }
            Some((200, "sold_out")) if !was_perhaps_accepted => self.told("sold_out"),
            // A claim there is, or there may be one.
            Some((200, _)) => Next::LookUp(Duration::ZERO),
            Some((403, "paused")) => {
                self.stage = Stage::Waiting;
                Next::Nothing
            }
            // No answer, or a site whose clock is behind this one.
            None | Some((403, "not_open")) => Next::Buy(pause(self.tries, None, self.person)),
            Some((status, _)) if is_worth_repeating(status) => {
                Next::Buy(pause(self.tries, reply.retry_after, self.person))
            }
            Some((_, word)) => self.told(known(word)),
        }
    }

    /// A claim that was pushed or found.
    pub(super) fn heard(&mut self, claim: &Claim) -> Next {
        let status = known(&claim.status);
        if claim.rev < self.rev || matches!(status, "none" | "queued") {
            return Next::Nothing;
        }
        self.rev = claim.rev;
        self.status = status;
        if self.outcome.is_none() {
            self.outcome = Some(status);
        }
        match (status, self.payment) {
            ("reserved", Payment::Wanted) if claim.checkout_token.is_some() => {
                self.payment = Payment::UnderWay;
                Next::Pay(Duration::ZERO)
            }
            ("reserved" | "paying" | "standby", _) => Next::Nothing,
            _ => {
                self.payment = Payment::Over;
                Next::Nothing
            }
        }
    }

    /// The result of a look-up; None if it failed. `is_over` says that the sale is sold out or has ended.
    pub(super) fn looked_up(&mut self, now: Instant, found: Option<&Claim>, is_over: bool) -> Next {
        let Some(claim) = found else { return Next::LookUp(pause(self.tries + 4, None, self.person)) };
        let next = self.heard(claim);
        if next != Next::Nothing || self.is_settled() {
            return next;
        }
        let is_unknown = claim.status == "none" && self.outcome.is_none();
        match self.stage {
            Stage::Accepted(_) if is_unknown && is_over => self.told("rejected"),
            Stage::Asking if is_unknown && is_over => self.told("sold_out"),
            Stage::Accepted(at) if is_unknown && now.saturating_duration_since(at) >= ASK_AGAIN => {
                self.stage = Stage::Asking;
                Next::Buy(Duration::ZERO)
            }
            Stage::Asking if is_unknown => Next::Buy(pause(self.tries, None, self.person)),
            _ => Next::LookUp(pause(1, Some(GAP), self.person)),
        }
    }

    /// Whether there is anything to look up: who has not asked yet has nothing, whatever becomes of its socket.
    pub(super) fn wants_look_up(&self) -> bool {
        !self.is_settled() && self.stage != Stage::Waiting
    }

    /// The reply to the check-out. The look-up finds the end of what is under way if no push tells it.
    pub(super) fn paid(&mut self, tries: u32, reply: Reply<'_>) -> Next {
        if self.payment != Payment::UnderWay {
            return Next::Nothing;
        }
        match reply.answer {
            Some((201, _) | (409, "already_paid")) => {
                (self.payment, self.status) = (Payment::Over, "paid");
                Next::Nothing
            }
            Some((202, _) | (409, "payment_in_progress")) => Next::LookUp(pause(1, Some(GAP), self.person)),
            Some((status, _)) if !is_worth_repeating(status) => {
                self.payment = Payment::Over;
                Next::Nothing
            }
            _ => Next::Pay(pause(tries, reply.retry_after, self.person)),
        }
    }

    fn told(&mut self, word: &'static str) -> Next {
        (self.outcome, self.status) = (Some(word), word);
        Next::Nothing
    }
}

/// The words of the contract that can end a journey.
fn known(word: &str) -> &'static str {
    const WORDS: [&str; 18] = [
        "none",
        "queued",
        "reserved",
        "standby",
        "rejected",
        "paying",
        "paid",
        "expired",
        "released",
        "left",
        "refunded",
        "sold_out",
        "ended",
        "unauthenticated",
        "no_such_sale",
        "wrong_answer",
        "invalid_body",
        "misdirected",
    ];
    WORDS.into_iter().find(|known| *known == word).unwrap_or("other")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(status: u16, word: &str) -> Reply<'_> {
        Reply { answer: Some((status, word)), retry_after: None }
    }

    fn claim(status: &str, rev: u64) -> Claim {
        let checkout_token = (status == "reserved").then(|| "t".to_owned());
        Claim { status: status.to_owned(), rev, checkout_token }
    }

    fn accepted(pays: bool) -> (Journey, Instant) {
        let (mut journey, now) = (Journey::new(3, pays), Instant::now());
        assert_eq!(journey.opened(), Next::Buy(Duration::ZERO));
        assert!(matches!(journey.asked(now, reply(202, "queued")), Next::LookUp(gap) if gap >= GAP));
        (journey, now)
    }

    #[test]
    fn a_winner_pays_once_however_often_the_claim_is_told() {
        let (mut journey, _) = accepted(true);
        assert_eq!(journey.heard(&claim("reserved", 1)), Next::Pay(Duration::ZERO));
        assert_eq!(journey.heard(&claim("reserved", 1)), Next::Nothing);
        assert!(!journey.is_settled());
        assert_eq!(journey.paid(1, reply(201, "paid")), Next::Nothing);
        assert!(journey.is_settled());
        assert_eq!((journey.outcome, journey.status), (Some("reserved"), "paid"));
    }

    #[test]
    fn who_lets_it_expire_is_settled_at_once_and_keeps_the_first_outcome() {
        let (mut journey, _) = accepted(false);
        assert_eq!(journey.heard(&claim("reserved", 1)), Next::Nothing);
        assert!(journey.is_settled());
        journey.heard(&claim("expired", 2));
        journey.heard(&claim("reserved", 1));
        assert_eq!((journey.outcome, journey.status), (Some("reserved"), "expired"));
    }

    #[test]
    fn who_stands_by_pays_when_promoted() {
        let (mut journey, _) = accepted(true);
        assert_eq!(journey.heard(&claim("standby", 1)), Next::Nothing);
        assert!(journey.is_settled());
        assert_eq!(journey.heard(&claim("reserved", 2)), Next::Pay(Duration::ZERO));
        assert_eq!(journey.outcome, Some("standby"));
    }

    #[test]
    fn who_has_not_asked_has_nothing_to_look_up() {
        let (mut journey, now) = (Journey::new(0, false), Instant::now());
        assert!(!journey.wants_look_up());
        journey.opened();
        assert!(journey.wants_look_up());
        journey.asked(now, reply(200, "sold_out"));
        assert!(!journey.wants_look_up());
    }

    #[test]
    fn an_outcome_that_comes_before_the_answer_is_kept() {
        let (mut journey, now) = (Journey::new(0, false), Instant::now());
        journey.opened();
        journey.heard(&claim("rejected", 0));
        assert_eq!(journey.asked(now, reply(202, "queued")), Next::Nothing);
        assert_eq!(journey.outcome, Some("rejected"));
    }

    #[test]
    fn sold_out_is_believed_only_by_who_cannot_have_a_claim() {
        let (mut journey, now) = (Journey::new(0, false), Instant::now());
        journey.opened();
        journey.asked(now, reply(200, "sold_out"));
        assert_eq!(journey.outcome, Some("sold_out"));
        let mut journey = Journey::new(0, false);
        journey.opened();
        let lost = Reply { answer: None, retry_after: None };
        assert!(matches!(journey.asked(now, lost), Next::Buy(pause) if !pause.is_zero()));
        assert_eq!(journey.asked(now, reply(200, "sold_out")), Next::LookUp(Duration::ZERO));
        journey.looked_up(now, Some(&claim("standby", 1)), true);
        assert_eq!(journey.outcome, Some("standby"));
    }

    #[test]
    fn who_hears_nothing_looks_up_and_asks_again_after_ten_seconds() {
        let (mut journey, now) = accepted(false);
        let none = claim("none", 0);
        assert!(matches!(journey.looked_up(now + GAP, Some(&none), false), Next::LookUp(_)));
        assert!(matches!(journey.looked_up(now + GAP, None, false), Next::LookUp(_)));
        assert_eq!(journey.looked_up(now + ASK_AGAIN, Some(&none), false), Next::Buy(Duration::ZERO));
        let (mut journey, now) = accepted(false);
        journey.looked_up(now + GAP, Some(&none), true);
        assert_eq!(journey.outcome, Some("rejected"));
    }

    #[test]
    fn a_pause_of_the_sale_sends_everyone_back_to_waiting() {
        let (mut journey, now) = (Journey::new(0, false), Instant::now());
        journey.opened();
        assert_eq!(journey.asked(now, reply(403, "paused")), Next::Nothing);
        assert_eq!(journey.opened(), Next::Buy(Duration::ZERO));
        journey.asked(now, reply(403, "ended"));
        assert_eq!(journey.outcome, Some("ended"));
    }

    #[test]
    fn an_overloaded_site_is_asked_again_not_sooner_than_it_said() {
        let (mut journey, now) = (Journey::new(0, true), Instant::now());
        journey.opened();
        let wait = Some(Duration::from_secs(2));
        let overloaded = Reply { answer: Some((503, "overloaded")), retry_after: wait };
        assert!(matches!(journey.asked(now, overloaded), Next::Buy(pause) if Some(pause) >= wait));
        journey.heard(&claim("reserved", 1));
        assert!(matches!(journey.paid(1, overloaded), Next::Pay(pause) if Some(pause) >= wait));
        assert_eq!(journey.paid(2, reply(402, "payment_declined")), Next::Nothing);
        assert!(journey.is_settled());
    }
}
