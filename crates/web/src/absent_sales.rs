//! Sale ids that are not on the board: how often the database is asked about them.
//!
//! A node hears of a new sale at once by news, and within a second by reading; only in between does it look an id up. So
//! it remembers for a second which ids do not exist, and asks no more than [`ASKED_MAX`] times a second, whatever ids a
//! flood makes up. Sales that are known never come here.

use std::collections::HashMap;
use std::time::Duration;

use miaosha_domain::ids::SaleId;
use miaosha_domain::time::Timestamp;
use parking_lot::Mutex;

/// Look-ups within [`REMEMBERED`], at the most; so no more ids are remembered, either.
pub(crate) const ASKED_MAX: usize = 20;
/// For how long an id that does not exist is not asked about again.
const REMEMBERED: Duration = Duration::from_secs(1);

/// What was asked within the last second.
#[derive(Debug, Default)]
pub(crate) struct AbsentSales(Mutex<Asked>);

#[derive(Debug, Default)]
struct Asked {
    /// When the database was asked, about any id.
    at: Vec<Timestamp>,
    /// Ids that were not there, and when the question began.
    absent: HashMap<SaleId, Timestamp>,
}

/// Whether the database may be asked about an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asking {
    /// It may, and this is counted as once.
    Allowed,
    /// There was no such sale at most a second ago.
    Absent,
    /// It was asked too often within a second.
    Refused,
}

impl AbsentSales {
    /// Whether the database may be asked about this id at `now`.
    pub(crate) fn ask(&self, id: SaleId, now: Timestamp) -> Asking {
        let mut asked = self.0.lock();
        let is_recent = |at: &Timestamp| !now.is_past(*at, REMEMBERED);
        asked.at.retain(is_recent);
        asked.absent.retain(|_, at| is_recent(at));
        let asking = if asked.absent.contains_key(&id) {
            Asking::Absent
        } else if asked.at.len() >= ASKED_MAX {
            Asking::Refused
        } else {
            asked.at.push(now);
            Asking::Allowed
        };
        let outcome = if asking == Asking::Allowed { "miss" } else { "hit" };
        metrics::counter!("miaosha_cache_total", "cache" => "absent_sales", "outcome" => outcome)
            .increment(1);
        asking
    }

    /// Notes that a question which began at `asked_at` found no such sale.
    pub(crate) fn note(&self, id: SaleId, asked_at: Timestamp) {
        self.0.lock().absent.insert(id, asked_at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: Timestamp = Timestamp::from_millis(1_800_000_000_000);

    fn id(raw: u64) -> SaleId {
        SaleId::new(raw).unwrap()
    }

    #[test]
    fn an_absent_id_is_asked_about_once_a_second() {
        let absent = AbsentSales::default();
        assert_eq!(absent.ask(id(1), NOON), Asking::Allowed);
        assert_eq!(absent.ask(id(1), NOON), Asking::Allowed, "nobody knows yet");
        absent.note(id(1), NOON);
        assert_eq!(absent.ask(id(1), NOON + Duration::from_millis(999)), Asking::Absent);
        assert_eq!(absent.ask(id(1), NOON + REMEMBERED), Asking::Allowed);
        absent.note(id(1), NOON + REMEMBERED);
        assert_eq!(absent.ask(id(1), NOON), Asking::Allowed, "the clock was set back");
    }

    #[test]
    fn made_up_ids_are_asked_about_so_many_times_a_second_and_as_many_are_kept() {
        let absent = AbsentSales::default();
        for second in 0..3 {
            let now = NOON + REMEMBERED * second;
            let asked = (1..=1_000).filter(|raw| {
                let may_ask = absent.ask(id(u64::from(second) * 1_000 + raw), now) == Asking::Allowed;
                if may_ask {
                    absent.note(id(u64::from(second) * 1_000 + raw), now);
                }
                may_ask
            });
            assert_eq!(asked.count(), ASKED_MAX);
            assert_eq!(absent.0.lock().absent.len(), ASKED_MAX);
        }
    }

    #[test]
    fn a_question_that_failed_says_nothing_of_the_id() {
        let absent = AbsentSales::default();
        for _ in 0..ASKED_MAX {
            assert_eq!(absent.ask(id(1), NOON), Asking::Allowed);
        }
        assert_eq!(absent.ask(id(1), NOON), Asking::Refused, "it is not said to be absent");
    }
}
