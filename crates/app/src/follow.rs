//! Keeps a node's board true, and tells those who tell people.
//!
//! News over the bus is the fast path. Within each second the events of the last ten seconds are read as well, and the books
//! of the sales that may still change by themselves, so that lost news is made good; when the database was away, the
//! events since. Every claim is read only at the start, and when so much was missed that its events are too many. A quiet
//! reading costs two statements, however many sales there are.
//!
//! Where processes share a subscription ([`OutcomeSubscription::share`]), one of them reads for all: what it found comes to
//! the others as news, and that it has read as a [`Reading`]. They read for themselves only where something is missing.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{self, Either};
use miaosha_domain::claim::Claim;
use miaosha_domain::ids::SaleId;
use miaosha_domain::sale::Book;
use miaosha_domain::time::Timestamp;
use tracing::warn;

use crate::board::{Board, BoardSale, News};
use crate::claim_pages::ClaimPages;
use crate::model::Outcomes;
use crate::ports::{BusEvent, Change, Freshness, OutcomeSubscription, PortResult, Ports, Reading};

/// How often events are read, from the beginning of one reading to that of the next. So much less than a second that the
/// next is done before what this one told is older than [`CLAIMS_CURRENT`]: in between, look-ups would read rows.
///
/// [`CLAIMS_CURRENT`]: crate::board::CLAIMS_CURRENT
pub const CATCH_UP_EVERY: Duration = Duration::from_millis(750);
/// At least so long nothing is read in between, also where the database is slow.
const CATCH_UP_PAUSE: Duration = Duration::from_millis(250);
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// So long after the last reading that another process shared this one reads for itself, but once after each gap. Longer than
/// [`CLAIMS_CURRENT`]: where the machine is too busy for one reader to keep up, many would be worse.
///
/// [`CLAIMS_CURRENT`]: crate::board::CLAIMS_CURRENT
const READER_PATIENCE: Duration = Duration::from_secs(10);
/// How far back events are read, at least: a transaction lasts at most half of it, so none becomes visible too late.
pub const CATCH_UP_SPAN: Duration = Duration::from_secs(10);
/// How often events are read further back, by [`LATE_SPAN`]: a commit that the database was very slow to make, long after
/// its client gave it up, shows no earlier.
const LATE_EVERY: Duration = Duration::from_secs(10);
const LATE_SPAN: Duration = Duration::from_mins(2);
/// So long after its planned end a node forgets who has what in a sale, once nothing in it can change by itself.
pub const PEOPLE_KEPT: Duration = Duration::from_mins(10);

const EVENT_IDS_MAX: u32 = 200_000;
/// Events that are looked at in one go. Many: on a machine that is busy with a large sale the reader waits longer for its turn on
/// a processor, after each answer, than the database needs for ten thousand.
const EVENTS_PAGE: usize = 10_000;
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
    /// Events that were read, by id.
    seen: Vec<u64>,
    /// By sale, how far every claim ever made was read at least once.
    read_to: HashMap<SaleId, ClaimPages>,
    /// The sales that might still change by themselves when that was read last.
    unsettled: HashSet<SaleId>,
    sales_read_at: Option<Timestamp>,
    late_read_at: Option<Timestamp>,
    caught_up_at: Option<Timestamp>,
    /// When a reading of another process was heard last; `None` before the first, and once this one reads for others.
    reader_heard_at: Option<Timestamp>,
    /// Whether news was lost whose events no catch-up since can be relied on to have read.
    is_behind: bool,
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
            seen: Vec::new(),
            read_to: HashMap::new(),
            unsettled: HashSet::new(),
            sales_read_at: None,
            late_read_at: None,
            caught_up_at: None,
            reader_heard_at: None,
            is_behind: false,
        }
    }

    /// Follows until the bus is closed. Drop it to stop.
    pub async fn run(mut self) {
        let clock = self.ports.clock.clone();
        let mut catch_up_at = clock.now();
        let mut planned_at = catch_up_at;
        loop {
            let now = clock.now();
            // Also when the clock was set back.
            if now >= catch_up_at || now < planned_at {
                catch_up_at = match self.catch_up().await {
                    Ok(()) if self.is_behind => clock.now() + CATCH_UP_PAUSE,
                    Ok(()) => self.next_reading_at(now),
                    Err(error) => {
                        warn!(%error, "cannot read what changed; trying again in a second");
                        clock.now() + RETRY_AFTER
                    }
                };
            }
            self.tick();
            let now = clock.now();
            planned_at = now;
            let turn = self.board.next_turn(now).unwrap_or(catch_up_at).min(catch_up_at);
            let wake = clock.sleep(turn.saturating_since(now));
            let event = match future::select(self.subscription.next(), wake).await {
                Either::Left((event, _)) => event,
                Either::Right(_) => continue,
            };
            let is_heard = match event {
                BusEvent::News(outcomes) => self.hear(&outcomes).await,
                // What was lost is among the events.
                BusEvent::Gap => false,
                BusEvent::Reading(reading) => {
                    if self.take_in(&reading).await {
                        self.reader_heard_at = Some(clock.now());
                        catch_up_at = clock.now() + READER_PATIENCE;
                    }
                    true
                }
                BusEvent::Closed => return,
            };
            if !is_heard {
                self.is_behind = true;
                catch_up_at = clock.now();
            }
        }
    }

    /// Reads what changed since the last time; everything, the first time.
    ///
    /// # Errors
    /// Nothing is lost: the next call reads it again.
    pub async fn catch_up(&mut self) -> PortResult<()> {
        let was_behind = std::mem::take(&mut self.is_behind);
        let caught_up = self.read(was_behind).await;
        self.is_behind |= was_behind && caught_up.is_err();
        caught_up
    }

    async fn read(&mut self, was_behind: bool) -> PortResult<()> {
        let began = self.ports.clock.now();
        let events = self.list_events(began, was_behind).await?;
        let is_unseen = |id: &u64| self.seen.binary_search(id).is_err();
        let unseen: Vec<u64> = events.ids.iter().copied().filter(is_unseen).collect();
        // Before every sale is read: one that settles in between is then read again.
        let unsettled = self.ports.sales.list_unsettled().await?;
        let unsettled: Vec<_> = unsettled.into_iter().map(|sale| (sale.id, sale.book)).collect();
        if events.are_complete {
            self.read_changed_sales(&unsettled, began).await?;
            self.read_events(&unseen).await?;
        } else {
            self.read_to.clear();
            self.read_sales().await?;
        }
        self.conclude(&unsettled, began, events.are_complete).await?;
        let is_complete = events.are_complete;
        if events.reach_far_back {
            self.seen = events.ids;
            self.late_read_at = Some(began);
        } else if !unseen.is_empty() {
            self.seen.extend(unseen);
            self.seen.sort_unstable();
        }
        let reading = BusEvent::Reading(Arc::new(Reading { as_of: began, unsettled }));
        if self.subscription.share(if is_complete { reading } else { BusEvent::Gap }) {
            self.reader_heard_at = None;
        }
        Ok(())
    }

    /// When this process reads next, after a reading that began at `began`: where another one read for it a moment ago, that one
    /// may only have been silent, or a third takes its place.
    fn next_reading_at(&self, began: Timestamp) -> Timestamp {
        let soon = (began + CATCH_UP_EVERY).max(self.ports.clock.now() + CATCH_UP_PAUSE);
        let heard_at = self.reader_heard_at.filter(|at| *at <= began);
        heard_at.map_or(soon, |at| soon.max(at + READER_PATIENCE))
    }

    /// Takes in what another process has read. False if this one has to read for itself.
    async fn take_in(&mut self, reading: &Reading) -> bool {
        let Some(caught_up_at) = self.caught_up_at.filter(|_| !self.is_behind) else { return false };
        if reading.as_of < caught_up_at {
            // Read here since. Or a clock was set back.
            return caught_up_at.saturating_since(reading.as_of) <= READER_PATIENCE;
        }
        let taken = async {
            self.read_changed_sales(&reading.unsettled, reading.as_of).await?;
            self.conclude(&reading.unsettled, reading.as_of, true).await
        };
        taken.await.inspect_err(|error| warn!(%error, "cannot read what another process found")).is_ok()
    }

    /// Ends a reading of this process or another one, after which the board is current.
    async fn conclude(
        &mut self,
        unsettled: &[(SaleId, Book)],
        began: Timestamp,
        is_complete: bool,
    ) -> PortResult<()> {
        let listed: HashSet<SaleId> = unsettled.iter().map(|(id, _)| *id).collect();
        self.forget_over(&listed, began);
        for sale in self.board.list() {
            if sale.claims_lacking() > 0 || (!is_complete && sale.keeps_people()) {
                self.read_new_claims(&sale).await?;
            }
        }
        self.unsettled = listed;
        self.confirm_settled(began);
        self.caught_up_at = Some(began);
        self.board.note_claims(began);
        Ok(())
    }

    /// The events since the last catch-up; after a gap those, too, that another process may have found late and told in it.
    async fn list_events(&mut self, now: Timestamp, was_behind: bool) -> PortResult<Events> {
        let missed = self.caught_up_at.map_or(Duration::ZERO, |at| now.saturating_since(at));
        let reach_far_back = was_behind || is_due(self.late_read_at, now, LATE_EVERY);
        let least = if reach_far_back { LATE_SPAN } else { CATCH_UP_SPAN };
        let span = least + missed.saturating_sub(CATCH_UP_EVERY);
        let ids = self.ports.claims.list_event_ids(span, EVENT_IDS_MAX).await?;
        // Judged only now: a list that was slow to come reaches back less far. After a clock was set back nobody knows.
        let listed = self.ports.clock.now();
        let reaches_back = self
            .caught_up_at
            .is_some_and(|at| listed >= at && listed.saturating_since(at) + CATCH_UP_SPAN / 2 <= span);
        let are_complete = reaches_back && ids.len() < EVENT_IDS_MAX as usize;
        Ok(Events { ids, are_complete, reach_far_back })
    }

    /// Tells the claims that events are about, where their news was lost or is still on its way: most have been heard of.
    async fn read_events(&mut self, ids: &[u64]) -> PortResult<()> {
        for page in ids.chunks(EVENTS_PAGE) {
            let changes = self.ports.claims.list_changes(page).await?;
            self.hear_waiting().await;
            let is_known = |change: &&Change| {
                self.board.lookup(change.sale).is_some_and(|sale| sale.knows(change.user, change.rev))
            };
            let untold: Vec<u64> =
                changes.iter().filter(|change| !is_known(change)).map(|change| change.event).collect();
            if untold.is_empty() {
                continue;
            }
            let claims = self.ports.claims.list_by_events(&untold).await?;
            for claim in &claims {
                if self.board.lookup(claim.sale).is_none() {
                    self.read_sale(claim.sale).await?;
                }
            }
            self.tell_claims(&claims);
        }
        Ok(())
    }

    /// Tells what the passing of time changed.
    fn tick(&self) {
        for news in self.board.tick(self.ports.clock.now()) {
            self.listener.hear(&news);
        }
    }

    /// Takes in the news that came during a catch-up, so that it is not read from rows.
    async fn hear_waiting(&mut self) {
        while let Some(event) = self.subscription.next().now_or_never() {
            match event {
                BusEvent::News(outcomes) => self.is_behind |= !self.hear(&outcomes).await,
                BusEvent::Gap => self.is_behind = true,
                // This one's own is newer.
                BusEvent::Reading(_) => self.reader_heard_at = Some(self.ports.clock.now()),
                // Will be said again.
                BusEvent::Closed => return,
            }
        }
    }

    /// Takes in news and tells it. False if it has to be made good.
    async fn hear(&mut self, outcomes: &Outcomes) -> bool {
        if self.board.lookup(outcomes.sale).is_none()
            && let Err(error) = self.read_sale(outcomes.sale).await
        {
            warn!(sale = %outcomes.sale, %error, "cannot read a sale that has news");
            return false;
        }
        if let Some(news) = self.board.apply(outcomes, self.ports.clock.now()) {
            self.listener.hear(&news);
        }
        true
    }

    async fn read_sale(&mut self, id: SaleId) -> PortResult<()> {
        let as_of = self.ports.clock.now();
        if let Some(row) = self.ports.sales.lookup(id).await? {
            self.board.put(row, as_of);
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
        let as_of = self.ports.clock.now();
        let rows = self.ports.sales.list(before, SALES_PAGE, Freshness::Fresh).await?;
        let last = rows.last().map(|row| row.sale.id);
        for row in rows {
            self.board.put(row, as_of);
        }
        Ok(last)
    }

    /// Takes in the books of unsettled sales, which were read after `as_of`. Reads the rows of those that are new, and once
    /// more of those that have settled since they were heard of.
    async fn read_changed_sales(&mut self, unsettled: &[(SaleId, Book)], as_of: Timestamp) -> PortResult<()> {
        let now = self.ports.clock.now();
        let listed: HashSet<SaleId> = unsettled.iter().map(|(id, _)| *id).collect();
        let unknown = unsettled.iter().filter(|(id, book)| !self.board.put_book(*id, *book, as_of));
        let mut to_read: Vec<SaleId> = unknown.map(|(id, _)| *id).collect();
        let has_settled = |sale: &Arc<BoardSale>| {
            let id = sale.sale.id;
            !listed.contains(&id) && (self.unsettled.contains(&id) || sale.book().may_change())
        };
        to_read.extend(self.board.list().iter().filter(|sale| has_settled(sale)).map(|sale| sale.sale.id));
        for id in to_read {
            self.read_sale(id).await?;
        }
        if is_due(self.sales_read_at, now, SALES_EVERY) {
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

    /// Forgets who has what in the sales that are long over: who asks for it is answered from the row.
    fn forget_over(&mut self, unsettled: &HashSet<SaleId>, now: Timestamp) {
        for sale in self.board.list() {
            let id = sale.sale.id;
            let is_over = !unsettled.contains(&id) && sale.sale.terms.ends_at + PEOPLE_KEPT <= now;
            sale.keep_people(!is_over);
            if is_over {
                self.read_to.remove(&id);
            }
        }
    }

    /// The claims made since this was called last.
    async fn read_new_claims(&mut self, sale: &Arc<BoardSale>) -> PortResult<()> {
        let id = sale.sale.id;
        while let Some(claims) =
            self.read_to.entry(id).or_insert_with(|| ClaimPages::of(id)).next(&self.ports).await?
        {
            self.tell_claims(&claims);
        }
        Ok(())
    }

    /// Tells claims that were read from rows, of any sales, here and to those who share the subscription.
    fn tell_claims(&self, claims: &[Claim]) {
        for same_sale in claims.chunk_by(|a, b| a.sale == b.sale) {
            let Some(sale) = self.board.lookup(same_sale[0].sale) else { continue };
            let news = sale.learn(same_sale);
            if !news.is_empty() {
                let found = Outcomes::of_claims(sale.sale.id, news.clone());
                self.subscription.share(BusEvent::News(Arc::new(found)));
                let (state, standby) = (None, None);
                self.listener.hear(&News { sale, state, standby, claims: news, rejected: Vec::new() });
            }
        }
    }
}

/// Whether what is done once in `every` is to be done again.
fn is_due(done_at: Option<Timestamp>, now: Timestamp, every: Duration) -> bool {
    done_at.is_none_or(|at| now.is_past(at, every))
}

/// What was found of events.
struct Events {
    ids: Vec<u64>,
    /// Whether these are all since the last catch-up.
    are_complete: bool,
    /// Whether they go back by [`LATE_SPAN`].
    reach_far_back: bool,
}

#[cfg(test)]
mod tests;
