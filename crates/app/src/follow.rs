//! Keeps a node's board true, and tells those who tell people.
//!
//! News over the bus is the fast path. Each second the events of the last ten seconds are read as well, and the books of
//! the sales that may still change by themselves, so that lost news is made good; after a longer gap every claim of every
//! sale is read again. A quiet second costs two statements, however many sales there are.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{self, Either};
use miaosha_domain::claim::Claim;
use miaosha_domain::ids::SaleId;
use miaosha_domain::time::Timestamp;
use tracing::warn;

use crate::board::{Board, BoardSale, News};
use crate::model::Outcomes;
use crate::ports::{BusEvent, Freshness, OutcomeSubscription, PortResult, Ports, UnsettledSale};

/// How often events are read, at least.
pub const CATCH_UP_EVERY: Duration = Duration::from_secs(1);
/// How far back events are read. A transaction lasts at most half of it, so none becomes visible too late.
pub const CATCH_UP_SPAN: Duration = Duration::from_secs(10);

const EVENT_IDS_MAX: u32 = 200_000;
const EVENTS_PAGE: usize = 1_000;
const CLAIMS_PAGE: u32 = 1_000;
const SALES_PAGE: u32 = 200;
/// How often the newest sales are read, for what no other reading shows when its news was lost: a sale that came and went
/// between two seconds, and what somebody does to one that is over (closes it, puts a refunded unit back).
const SALES_EVERY: Duration = Duration::from_secs(10);

/// Hears what is new on the board. Called in order; must not block.
pub trait Listener: Send + Sync {
    /// Something changed.
    fn hear(&self, news: &News);
}

/// Keeps one board true.
pub struct Follower {
    ports: Ports,
    board: Arc<Board>,
    listener: Arc<dyn Listener>,
    subscription: Box<dyn OutcomeSubscription>,
    seen: HashSet<u64>,
    /// By sale, the `seq` up to which every claim ever made was read at least once.
    read_to: HashMap<SaleId, u64>,
    /// The sales that might still change by themselves when that was read last.
    unsettled: HashSet<SaleId>,
    sales_read_at: Option<Timestamp>,
    caught_up_at: Option<Timestamp>,
}

impl Follower {
    /// Subscribes. Nothing is read yet; [`Follower::catch_up`] does.
    pub fn new(ports: Ports, board: Arc<Board>, listener: Arc<dyn Listener>) -> Self {
        let subscription = ports.bus.subscribe();
        Self {
            ports,
            board,
            listener,
            subscription,
            seen: HashSet::new(),
            read_to: HashMap::new(),
            unsettled: HashSet::new(),
            sales_read_at: None,
            caught_up_at: None,
        }
    }

    /// Follows until the bus is closed. Drop it to stop.
    pub async fn run(mut self) {
        let clock = self.ports.clock.clone();
        let mut catch_up_at = clock.now();
        loop {
            let now = clock.now();
            if now >= catch_up_at {
                if let Err(error) = self.catch_up().await {
                    warn!(%error, "cannot read what changed; trying again in a second");
                }
                catch_up_at = clock.now() + CATCH_UP_EVERY;
            }
            self.tick();
            let now = clock.now();
            let turn = self.board.next_turn(now).unwrap_or(catch_up_at).min(catch_up_at);
            let wake = clock.sleep(turn.saturating_since(now));
            let event = match future::select(self.subscription.next(), wake).await {
                Either::Left((event, _)) => event,
                Either::Right(_) => continue,
            };
            match event {
                BusEvent::News(outcomes) => self.hear(&outcomes).await,
                BusEvent::Gap => self.caught_up_at = None,
                BusEvent::Closed => return,
            }
            if self.caught_up_at.is_none() {
                catch_up_at = clock.now();
            }
        }
    }

    /// Reads what changed since the last time; everything, the first time and after a gap.
    ///
    /// # Errors
    /// Nothing is lost: the next call reads it again.
    pub async fn catch_up(&mut self) -> PortResult<()> {
        let began = self.ports.clock.now();
        let ids = self.ports.claims.list_event_ids(CATCH_UP_SPAN, EVENT_IDS_MAX).await?;
        // Judged only now: a list that was slow to come may reach back less far than the last one was taken.
        let listed = self.ports.clock.now();
        let has_gap = self.caught_up_at.is_none_or(|at| listed.saturating_since(at) > CATCH_UP_SPAN / 2);
        // Before every sale is read: one that settles in between is then read again.
        let unsettled = self.ports.sales.list_unsettled().await?;
        if has_gap {
            self.read_to.clear();
            self.read_sales().await?;
            for sale in self.board.list() {
                self.read_new_claims(&sale).await?;
            }
        } else {
            self.read_changed_sales(&unsettled).await?;
            let unseen: Vec<u64> = ids.iter().copied().filter(|id| !self.seen.contains(id)).collect();
            for page in unseen.chunks(EVENTS_PAGE) {
                let claims = self.ports.claims.list_by_events(page).await?;
                self.tell_claims(&claims);
            }
        }
        for sale in self.board.list() {
            if sale.claims_lacking() > 0 {
                self.read_new_claims(&sale).await?;
            }
        }
        self.seen = ids.into_iter().collect();
        self.unsettled = unsettled.into_iter().map(|sale| sale.id).collect();
        self.confirm_settled(began);
        self.caught_up_at = Some(began);
        self.board.note_claims(began);
        Ok(())
    }

    /// Tells what the passing of time changed.
    fn tick(&self) {
        for news in self.board.tick(self.ports.clock.now()) {
            self.listener.hear(&news);
        }
    }

    async fn hear(&mut self, outcomes: &Outcomes) {
        if self.board.lookup(outcomes.sale).is_none()
            && let Err(error) = self.read_sale(outcomes.sale).await
        {
            warn!(sale = %outcomes.sale, %error, "cannot read a sale that has news");
            self.caught_up_at = None;
            return;
        }
        if let Some(news) = self.board.apply(outcomes, self.ports.clock.now()) {
            self.listener.hear(&news);
        }
    }

    async fn read_sale(&mut self, id: SaleId) -> PortResult<()> {
        if let Some(row) = self.ports.sales.lookup(id).await? {
            self.board.put(row, self.ports.clock.now());
        }
        Ok(())
    }

    async fn read_sales(&mut self) -> PortResult<()> {
        let began = self.ports.clock.now();
        let mut before = None;
        while let Some(last) = self.read_page(before).await? {
            before = Some(last);
        }
        self.sales_read_at = Some(began);
        Ok(())
    }

    /// Reads a page of sales, newest first; the last of it.
    async fn read_page(&mut self, before: Option<SaleId>) -> PortResult<Option<SaleId>> {
        let rows = self.ports.sales.list(before, SALES_PAGE, Freshness::Fresh).await?;
        let last = rows.last().map(|row| row.sale.id);
        for row in rows {
            self.board.put(row, self.ports.clock.now());
        }
        Ok(last)
    }

    /// Takes in the books of unsettled sales, and reads the rows of those that are new, and once more of those that have
    /// settled since they were heard of.
    async fn read_changed_sales(&mut self, unsettled: &[UnsettledSale]) -> PortResult<()> {
        let now = self.ports.clock.now();
        let unknown = unsettled.iter().filter(|sale| !self.board.hear(sale.id, sale.book, now));
        let mut to_read: Vec<SaleId> = unknown.map(|sale| sale.id).collect();
        let listed: HashSet<SaleId> = unsettled.iter().map(|sale| sale.id).collect();
        let has_settled = |sale: &Arc<BoardSale>| {
            let id = sale.sale.id;
            !listed.contains(&id) && (self.unsettled.contains(&id) || sale.book().may_change())
        };
        to_read.extend(self.board.list().iter().filter(|sale| has_settled(sale)).map(|sale| sale.sale.id));
        for id in to_read {
            self.read_sale(id).await?;
        }
        if self.sales_read_at.is_none_or(|at| now.saturating_since(at) >= SALES_EVERY) {
            self.read_page(None).await?;
            self.sales_read_at = Some(now);
        }
        Ok(())
    }

    /// Of the sales that were not among the unsettled ones the board has the row that they settled with. They have ended:
    /// nobody has come since who is not in it, for a late decision would have made them unsettled again.
    fn confirm_settled(&self, as_of: Timestamp) {
        for sale in self.board.list() {
            if !self.unsettled.contains(&sale.sale.id) {
                sale.confirm(as_of);
            }
        }
    }

    /// The claims made since this was called last. They are committed in the order of `seq`, so none is skipped.
    async fn read_new_claims(&mut self, sale: &Arc<BoardSale>) -> PortResult<()> {
        loop {
            let after = self.read_to.get(&sale.sale.id).copied().unwrap_or(0);
            let claims = self.ports.claims.list(sale.sale.id, after, CLAIMS_PAGE).await?;
            let Some(last) = claims.last() else { return Ok(()) };
            self.read_to.insert(sale.sale.id, last.seq);
            self.tell_claims(&claims);
        }
    }

    /// Tells claims that were read from rows, of any sales.
    fn tell_claims(&self, claims: &[Claim]) {
        for same_sale in claims.chunk_by(|a, b| a.sale == b.sale) {
            let Some(sale) = self.board.lookup(same_sale[0].sale) else { continue };
            let news = sale.learn(same_sale);
            if !news.is_empty() {
                let (state, standby) = (None, None);
                self.listener.hear(&News { sale, state, standby, claims: news, rejected: Vec::new() });
            }
        }
    }
}

#[cfg(test)]
mod tests;
