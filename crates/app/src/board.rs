//! The board: what a node knows of every sale, in memory, so that a buy request is judged without any I/O.
//!
//! It is fed by [`crate::follow`] and never decides who gets a unit. Everything on it is a fact of a committed row, or
//! a note about a request that this node accepted a moment ago.

mod people;
mod places;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use miaosha_domain::claim::Claim;
use miaosha_domain::ids::{SaleId, UserId};
use miaosha_domain::sale::{Book, Sale, SaleState};
use miaosha_domain::time::Timestamp;
use parking_lot::{Mutex, RwLock};

use crate::model::{DatedBook, Outcomes, SaleRow};

use people::People;
pub(crate) use people::{Asking, Confirm, Fate};
pub use people::{PersonalState, QUEUED_REMEMBERED};
pub use places::COUNTED_AGAIN_AFTER;
use places::Places;

/// After this long without news, a sale does not count as sold out: better ask the database once too often.
pub const SOLD_OUT_TRUSTED: Duration = Duration::from_secs(5);

/// A look-up may be this much behind.
pub const CLAIMS_CURRENT: Duration = Duration::from_secs(1);

/// Every sale that this node knows.
#[derive(Debug, Default)]
pub struct Board {
    sales: RwLock<HashMap<SaleId, Arc<BoardSale>>>,
    claims_as_of: RwLock<Option<Timestamp>>,
}

/// What changed on the board, for those who tell people.
#[derive(Debug, Clone)]
pub struct News {
    /// The sale concerned.
    pub sale: Arc<BoardSale>,
    /// Its state, if it changed.
    pub state: Option<SaleState>,
    /// How standby moves, if it moved and a second has passed.
    pub standby: Option<StandbyTick>,
    /// Claims that are newer than what was known.
    pub claims: Vec<Claim>,
    /// People rejected without a row.
    pub rejected: Vec<UserId>,
}

/// How standby moves: shared by all who watch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StandbyTick {
    /// The `seq` promoted last.
    pub serving_seq: u64,
    /// How many stand by.
    pub standing: u32,
    /// Whether every unit is paid, so that only a refund can bring one back.
    pub all_paid: bool,
}

impl Board {
    /// An empty board.
    pub fn new() -> Self {
        Self::default()
    }

    /// The sale, if this node knows it.
    pub fn lookup(&self, id: SaleId) -> Option<Arc<BoardSale>> {
        self.sales.read().get(&id).cloned()
    }

    /// Every sale known, newest first.
    pub fn list(&self) -> Vec<Arc<BoardSale>> {
        let mut sales: Vec<_> = self.sales.read().values().cloned().collect();
        sales.sort_unstable_by_key(|sale| std::cmp::Reverse(sale.sale.id));
        sales
    }

    /// Notes that every claim on the board is at least as new as its row was at this moment.
    pub(crate) fn note_claims(&self, as_of: Timestamp) {
        *self.claims_as_of.write() = Some(as_of);
    }

    /// Whether every claim on the board is at least as new as its row was [`CLAIMS_CURRENT`] ago.
    pub fn has_current_claims(&self, now: Timestamp) -> bool {
        let as_of = *self.claims_as_of.read();
        as_of.is_some_and(|as_of| is_within(CLAIMS_CURRENT, as_of, now))
    }

    /// The claim of this person, as it was at most [`CLAIMS_CURRENT`] ago; `None` if this node knows of none, or cannot
    /// tell how old its knowledge is.
    pub fn current_claim(&self, sale: &BoardSale, user: UserId, now: Timestamp) -> Option<Claim> {
        if self.has_current_claims(now) { sale.people.claim(user) } else { None }
    }

    /// Takes in a row that was read from the database after `as_of`, by this process's clock.
    pub fn put(&self, row: SaleRow, as_of: Timestamp) -> Arc<BoardSale> {
        if let Some(known) = self.lookup(row.sale.id) {
            known.hear(DatedBook { book: row.book, as_of }, as_of);
            return known;
        }
        let mut sales = self.sales.write();
        let sale = sales.entry(row.sale.id).or_insert_with(|| Arc::new(BoardSale::new(row, as_of)));
        sale.clone()
    }

    /// The same for the book of a row. False if the sale is not known: read its row.
    pub(crate) fn put_book(&self, id: SaleId, book: Book, as_of: Timestamp) -> bool {
        let known = self.lookup(id);
        known.inspect(|sale| sale.hear(DatedBook { book, as_of }, as_of)).is_some()
    }

    /// Takes in news, and returns what of it is new. `None` if the sale is not known: read its row first.
    pub fn apply(&self, outcomes: &Outcomes, now: Timestamp) -> Option<News> {
        Some(self.lookup(outcomes.sale)?.apply(outcomes, now))
    }

    /// What the passing of time changed: sales that open or end, and standby ticks that are due.
    pub fn tick(&self, now: Timestamp) -> Vec<News> {
        self.list().into_iter().filter_map(|sale| sale.tick(now)).collect()
    }

    /// The next moment at which a sale changes its state by itself.
    pub fn next_turn(&self, now: Timestamp) -> Option<Timestamp> {
        let sales = self.sales.read();
        let turns = sales.values().flat_map(|sale| [sale.sale.terms.starts_at, sale.sale.terms.ends_at]);
        turns.filter(|turn| *turn > now).min()
    }
}

/// One sale on the board.
#[derive(Debug)]
pub struct BoardSale {
    /// What was planned. It never changes.
    pub sale: Sale,
    heard: RwLock<Heard>,
    told: Mutex<Told>,
    pub(crate) people: People,
    /// Whether `people` is to have everybody with a claim; not any more when the sale is long over.
    keeps_people: AtomicBool,
    /// How many people this node may have under way, of those that the people cap allows.
    people_share: AtomicU64,
    places: Places,
}

/// The newest book heard of, and the last moment, never one to come, at which it was known to be the newest.
#[derive(Debug)]
struct Heard {
    book: Book,
    as_of: Timestamp,
}

/// What those who watch were told last.
#[derive(Debug)]
struct Told {
    state: SaleState,
    standby: StandbyTick,
    standby_at: Timestamp,
}

const STANDBY_TICK_EVERY: Duration = Duration::from_secs(1);

impl BoardSale {
    fn new(row: SaleRow, as_of: Timestamp) -> Self {
        let state = row.book.state(&row.sale.terms, as_of);
        let told = Told { state, standby: standby_tick(&row.book), standby_at: as_of };
        let people = People::new();
        Self {
            sale: row.sale,
            heard: RwLock::new(Heard { book: row.book, as_of }),
            told: Mutex::new(told),
            people,
            keeps_people: AtomicBool::new(true),
            people_share: AtomicU64::new(u64::MAX),
            places: Places::default(),
        }
    }

    /// The newest book heard of.
    pub fn book(&self) -> Book {
        self.heard.read().book
    }

    /// What a visitor is shown.
    pub fn state(&self, now: Timestamp) -> SaleState {
        self.book().state(&self.sale.terms, now)
    }

    /// How standby moves.
    pub fn standby(&self) -> StandbyTick {
        standby_tick(&self.book())
    }

    /// Whether a newcomer may be refused from memory: the sale was sold out a moment ago, and every claim ever made in
    /// it is known here, so that nobody who has one is told otherwise.
    pub fn refuses_newcomers(&self, now: Timestamp) -> bool {
        let heard = self.heard.read();
        let is_recent = is_within(SOLD_OUT_TRUSTED, heard.as_of, now);
        is_recent && heard.book.sold_out() && self.people.claims_known() + 1 >= heard.book.next_seq
    }

    /// Whether this person had no claim a moment ago: every claim ever made is known here, as of at most
    /// [`CLAIMS_CURRENT`] ago, and none is this person's. Nobody has one before the opening, however old the news is: a crowd
    /// that waits for it costs the database nothing, also where a node is too busy to follow.
    pub fn had_no_claim(&self, user: UserId, now: Timestamp) -> bool {
        let heard = self.heard.read();
        let is_coming = now < self.sale.terms.starts_at && heard.book.next_seq == 1;
        let is_current = is_coming || is_within(CLAIMS_CURRENT, heard.as_of, now);
        let is_complete = self.people.claims_known() + 1 >= heard.book.next_seq;
        is_current && is_complete && self.people.claim(user).is_none()
    }

    /// How many claims this node lacks; none of a sale whose people it does not keep.
    pub fn claims_lacking(&self) -> u64 {
        if !self.keeps_people() {
            return 0;
        }
        (self.book().next_seq - 1).saturating_sub(self.people.claims_known())
    }

    /// Whether this node is to know everybody who has a claim.
    pub(crate) fn keeps_people(&self) -> bool {
        self.keeps_people.load(Ordering::Relaxed)
    }

    /// Decides that, and forgets everybody if not.
    pub(crate) fn keep_people(&self, keep: bool) {
        if self.keeps_people.swap(keep, Ordering::Relaxed) && !keep {
            self.people.forget_all();
        }
    }

    /// Who is known here to stand by, in no order.
    pub fn standing_users(&self) -> Vec<UserId> {
        self.people.standing(|claim| claim.user)
    }

    /// The place in standby of the person with this `seq`, from 1, by the claims known here; it may be a quarter of a
    /// second older than they are. `None` if not everybody ahead is known.
    pub fn place(&self, seq: u64, now: Timestamp) -> Option<u64> {
        self.places.place(seq, now, || {
            // Before the claims, so that none below it is missed.
            let (next_seq, known) = (self.book().next_seq, self.people.claims_known());
            let next_seq = if known + 1 >= next_seq { next_seq } else { 0 };
            (self.people.standing_seqs(), next_seq)
        })
    }

    /// Units of the claims known here, by the name of their status, and `free` ones. Empty where claims are not kept.
    pub fn units_by_status(&self) -> Vec<(&'static str, u64)> {
        if !self.keeps_people() {
            return Vec::new();
        }
        let mut units = self.people.units_by_status();
        units.push(("free", u64::from(self.book().free())));
        units
    }

    /// How many people may be under way at once on this node.
    pub(crate) fn people_share(&self) -> Option<u64> {
        self.people_max().map(|people_max| people_max.min(self.people_share.load(Ordering::Relaxed)))
    }

    /// Sets this node's share of the people cap; until then it is the whole.
    pub(crate) fn set_people_share(&self, people: u64) {
        self.people_share.store(people, Ordering::Relaxed);
    }

    /// How many people may be under way at once on all nodes. The cap bounds a flood and never keeps a unit from being
    /// sold, so it grows with the stock.
    pub(crate) fn people_max(&self) -> Option<u64> {
        let book = self.book();
        let places =
            u64::from(book.stock) + u64::from(book.incoming) + u64::from(self.sale.terms.standby_limit);
        self.sale.max_people.map(|people_max| people_max.max(places))
    }

    /// What this node knows of a person.
    pub fn personal_state(&self, user: UserId, now: Timestamp) -> PersonalState {
        self.people.state(user, now)
    }

    /// Whether this node has heard of that revision of a person's claim, or of a later one.
    pub(crate) fn knows(&self, user: UserId, rev: u64) -> bool {
        self.people.knows(user, rev)
    }

    /// Takes in claims as they were read from the database, and returns those that are news.
    pub fn learn(&self, claims: &[Claim]) -> Vec<Claim> {
        claims.iter().filter(|claim| self.people.learn(**claim)).copied().collect()
    }

    fn apply(self: Arc<Self>, outcomes: &Outcomes, now: Timestamp) -> News {
        let claims = self.learn(&outcomes.claims);
        let rejected: Vec<_> =
            outcomes.rejected.iter().filter(|user| self.people.reject(**user)).copied().collect();
        if let Some(book) = outcomes.book {
            self.hear(book, now);
        }
        let (state, standby) = self.take_untold(now);
        News { sale: self, state, standby, claims, rejected }
    }

    fn tick(self: Arc<Self>, now: Timestamp) -> Option<News> {
        let (state, standby) = self.take_untold(now);
        let has_news = state.is_some() || standby.is_some();
        has_news.then(|| News { sale: self, state, standby, claims: Vec::new(), rejected: Vec::new() })
    }

    /// Notes that its book was still the newest at this moment.
    pub(crate) fn confirm(&self, as_of: Timestamp) {
        let mut heard = self.heard.write();
        heard.as_of = heard.as_of.max(as_of);
    }

    fn hear(&self, news: DatedBook, now: Timestamp) {
        let (book, mut as_of) = (news.book, news.as_of.min(now));
        let was_sold_out = {
            let mut heard = self.heard.write();
            if book.version < heard.book.version {
                return;
            }
            if book.version == heard.book.version {
                // Of a clock that was set back, the later moment is yet to come.
                as_of = as_of.max(heard.as_of.min(now));
            }
            let was_sold_out = heard.book.sold_out();
            *heard = Heard { book, as_of };
            was_sold_out
        };
        if was_sold_out && !book.sold_out() {
            self.people.forget_queued();
        }
    }

    /// What those who watch have not been told yet; from now on they have.
    fn take_untold(&self, now: Timestamp) -> (Option<SaleState>, Option<StandbyTick>) {
        let book = self.book();
        let mut told = self.told.lock();
        let state = book.state(&self.sale.terms, now);
        let state_news = (state != told.state).then_some(state);
        told.state = state;
        let standby = standby_tick(&book);
        let standby_is_due = now.is_past(told.standby_at, STANDBY_TICK_EVERY);
        let standby_news = (standby_is_due && standby != told.standby).then_some(standby);
        if standby_news.is_some() {
            told.standby = standby;
            told.standby_at = now;
        }
        (state_news, standby_news)
    }
}

/// Whether the two are no further apart than `span`, on either side: a clock that was set back makes nothing newer.
fn is_within(span: Duration, at: Timestamp, now: Timestamp) -> bool {
    now.saturating_since(at).max(at.saturating_since(now)) <= span
}

fn standby_tick(book: &Book) -> StandbyTick {
    StandbyTick { serving_seq: book.serving_seq, standing: book.standing, all_paid: book.all_paid }
}

#[cfg(test)]
mod tests;
