//! The publisher's part: judge a buy request from memory, and hand what passes to the queue in micro-batches.
//!
//! No I/O for a refused request. An accepted one waits for the confirm of its batch, which all of its batch share.

use std::collections::HashMap;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use miaosha_domain::claim::Claim;
use miaosha_domain::decide::Ask;
use miaosha_domain::ids::{SaleId, UserId};
use miaosha_domain::sale::SaleState;
use miaosha_domain::time::Timestamp;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tracing::warn;

use crate::board::{Asking, BoardSale, Confirm, Fate};
use crate::model::RequestBatch;
use crate::ports::{Clock, PortResult, RequestQueue};

/// Why a request is refused before it is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WindowRefusal {
    /// The sale has not started.
    NotOpen,
    /// The sale has ended.
    Ended,
    /// The sale is paused.
    Paused,
}

/// Judges the window of a sale at `now`: once, and here only.
///
/// # Errors
/// [`WindowRefusal`].
pub fn check_window(sale: &BoardSale, now: Timestamp) -> Result<(), WindowRefusal> {
    match sale.state(now) {
        SaleState::Ended => Err(WindowRefusal::Ended),
        SaleState::Paused => Err(WindowRefusal::Paused),
        SaleState::Scheduled => Err(WindowRefusal::NotOpen),
        SaleState::SoldOut | SaleState::Open => Ok(()),
    }
}

/// Whether the answer to the sale's question is right; any answer is, if there is no question.
pub fn answers_rightly(sale: &BoardSale, answer: Option<&str>) -> bool {
    sale.sale.question.as_ref().is_none_or(|question| answer.is_some_and(|text| question.is_right(text)))
}

/// How much a desk takes at once.
#[derive(Debug, Clone, Copy)]
pub struct DeskLimits {
    /// How long the first request of a batch waits for company.
    pub batch_window: Duration,
    /// The most people in a batch.
    pub batch_len_max: usize,
    /// The most batches of one sale that are handed to the queue and not confirmed. What comes meanwhile joins the next
    /// one: a sale whose confirms are slow makes larger batches, and keeps no other sale waiting.
    pub in_flight_max: usize,
    /// The most people waiting to be handed over.
    pub waiting_max: usize,
}

impl Default for DeskLimits {
    fn default() -> Self {
        Self {
            batch_window: Duration::from_millis(2),
            batch_len_max: 1_024,
            in_flight_max: 4,
            waiting_max: 200_000,
        }
    }
}

/// What a request comes to.
#[derive(Debug)]
pub enum Asked {
    /// The person has this claim already.
    Claimed(Claim),
    /// Nothing is left.
    SoldOut,
    /// Too many at once, or the people cap is reached; asking again later is safe.
    Overloaded,
    /// An earlier request of this person was accepted a moment ago.
    Queued,
    /// In a batch: wait for it.
    Waiting(Waiting),
}

/// A request in a batch that is not confirmed yet.
#[derive(Debug)]
pub struct Waiting(Confirm);

impl Waiting {
    /// Waits for the batch. True: accepted, and it survives any crash. False: perhaps; asking again is safe.
    /// Safe to drop; the batch goes on.
    pub async fn accepted(mut self) -> bool {
        let fate = self.0.wait_for(|fate| *fate != Fate::Open).await;
        fate.is_ok_and(|fate| matches!(*fate, Fate::Confirmed { .. }))
    }
}

/// Collects requests and hands them to the queue.
pub struct RequestDesk {
    clock: Arc<dyn Clock>,
    queue: Arc<dyn RequestQueue>,
    limits: DeskLimits,
    open: Mutex<OpenBatches>,
    arrivals: Notify,
}

#[derive(Default)]
struct OpenBatches {
    by_sale: HashMap<SaleId, OpenBatch>,
    waiting: usize,
    is_closed: bool,
}

struct OpenBatch {
    sale: Arc<BoardSale>,
    asks: Vec<Ask>,
    accepted_at: Timestamp,
    fate: watch::Sender<Fate>,
}

impl RequestDesk {
    /// A desk; [`RequestDesk::run`] must run for its batches to go out.
    pub fn new(clock: Arc<dyn Clock>, queue: Arc<dyn RequestQueue>, limits: DeskLimits) -> Self {
        Self { clock, queue, limits, open: Mutex::default(), arrivals: Notify::new() }
    }

    /// Takes the request of `user`, whose window and answer were judged at `now`. In memory; never waits.
    ///
    /// Of one person at most one request is under way at a time: repetitions share its fate.
    pub fn ask(&self, sale: &Arc<BoardSale>, user: UserId, quantity: u32, now: Timestamp) -> Asked {
        if let Some(claim) = sale.people.claim(user) {
            return Asked::Claimed(claim);
        }
        if sale.refuses_newcomers(now) {
            return Asked::SoldOut;
        }
        let mut open = self.open.lock();
        if open.is_closed || open.waiting >= self.limits.waiting_max {
            return Asked::Overloaded;
        }
        let batch = open.by_sale.entry(sale.sale.id).or_insert_with(|| OpenBatch {
            sale: sale.clone(),
            asks: Vec::new(),
            accepted_at: now,
            fate: watch::Sender::new(Fate::Open),
        });
        let asked = sale.people.ask(user, || batch.fate.subscribe(), sale.people_share(), now);
        let asked = match asked {
            Asking::Claimed(claim) => Asked::Claimed(claim),
            Asking::Queued => Asked::Queued,
            Asking::Waiting(confirm) => Asked::Waiting(Waiting(confirm)),
            Asking::Full => Asked::Overloaded,
            Asking::Joined => {
                batch.asks.push(Ask { user, quantity });
                let confirm = batch.fate.subscribe();
                open.waiting += 1;
                Asked::Waiting(Waiting(confirm))
            }
        };
        drop(open);
        self.arrivals.notify_one();
        asked
    }

    /// Hands batches over until `shutdown`, then hands over what is left and returns. Requests after that are
    /// refused as `Overloaded`.
    pub async fn run(&self, shutdown: impl Future<Output = ()>) {
        let mut shutdown = pin!(shutdown);
        let mut window = pin!(self.window());
        let mut in_flight = InFlight::default();
        loop {
            tokio::select! {
                biased;
                () = &mut shutdown => break,
                Some(sale) = in_flight.batches.next() => {
                    if in_flight.count_out(sale) == self.limits.in_flight_max {
                        self.hand_over(self.take(|open| open == sale), &mut in_flight);
                    }
                }
                () = &mut window => {
                    window.set(self.window());
                    let has_room = |sale| in_flight.of(sale) < self.limits.in_flight_max;
                    self.hand_over(self.take(has_room), &mut in_flight);
                }
            }
        }
        self.open.lock().is_closed = true;
        self.hand_over(self.take(|_| true), &mut in_flight);
        while in_flight.batches.next().await.is_some() {}
    }

    /// Waits for an arrival, and then for its company.
    async fn window(&self) {
        self.arrivals.notified().await;
        self.clock.sleep(self.limits.batch_window).await;
    }

    /// Takes the open batches of these sales.
    fn take(&self, of: impl Fn(SaleId) -> bool) -> Vec<OpenBatch> {
        let mut open = self.open.lock();
        let taken: Vec<OpenBatch> = open
            .by_sale
            .extract_if(|sale, batch| batch.asks.is_empty() || of(*sale))
            .map(|(_, batch)| batch)
            .filter(|batch| !batch.asks.is_empty())
            .collect();
        open.waiting -= taken.iter().map(|batch| batch.asks.len()).sum::<usize>();
        taken
    }

    fn hand_over<'a>(&'a self, batches: Vec<OpenBatch>, in_flight: &mut InFlight<'a>) {
        for batch in batches {
            let sale = batch.sale.sale.id;
            *in_flight.by_sale.entry(sale).or_default() += 1;
            in_flight.batches.push(self.publish(batch).map(move |()| sale).boxed());
        }
    }

    /// Hands one batch over and tells those who wait.
    async fn publish(&self, batch: OpenBatch) {
        let published = self.publish_pieces(&batch).await;
        let now = self.clock.now();
        let OpenBatch { sale, asks, fate, .. } = batch;
        let known = match published {
            Ok(()) => Fate::Confirmed { at: now },
            Err(error) => {
                warn!(sale = %sale.sale.id, people = asks.len(), %error, "requests were not accepted");
                Fate::Failed
            }
        };
        sale.people.conclude(asks.iter().map(|ask| ask.user), &fate, known, now);
    }

    async fn publish_pieces(&self, batch: &OpenBatch) -> PortResult<()> {
        for piece in batch.asks.chunks(self.limits.batch_len_max) {
            let (sale, accepted_at) = (batch.sale.sale.id, batch.accepted_at);
            self.queue.publish(RequestBatch { sale, asks: piece.to_vec(), accepted_at }).await?;
        }
        Ok(())
    }
}

/// Batches handed over and not confirmed.
#[derive(Default)]
struct InFlight<'a> {
    batches: FuturesUnordered<BoxFuture<'a, SaleId>>,
    by_sale: HashMap<SaleId, usize>,
}

impl InFlight<'_> {
    fn of(&self, sale: SaleId) -> usize {
        self.by_sale.get(&sale).copied().unwrap_or(0)
    }

    /// One batch of the sale is not in flight any more; how many there were.
    fn count_out(&mut self, sale: SaleId) -> usize {
        let were = self.of(sale);
        if were > 1 {
            self.by_sale.insert(sale, were - 1);
        } else {
            self.by_sale.remove(&sale);
        }
        were
    }
}

#[cfg(test)]
mod tests;
