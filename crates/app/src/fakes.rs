//! Ports in memory, for the tests of the use cases: a journal of what happened in which order, a clock that only tests
//! move, faults on demand, and room for something to happen meanwhile.
//!
//! Nothing here ever waits for another, so a test polls a use case to its end at once ([`now`]).

mod gate;
mod queue;
mod store;

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use miaosha_domain::claim::{Claim, ClaimStatus};
use miaosha_domain::ids::{PaymentId, ProductId, SaleId, UserId};
use miaosha_domain::money::Money;
use miaosha_domain::payment::ProviderState;
use miaosha_domain::question::LocalizedText;
use miaosha_domain::sale::{Book, Product, Sale, Terms};
use miaosha_domain::time::Timestamp;
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::model::{DatedBook, SaleRow};
use crate::ports::{
    Clock, Ids, InvalidCard, PaymentMethod, PaymentProvider, PortError, PortResult, Ports, Random,
};

pub(crate) use gate::FakeGate;
pub(crate) use queue::{FakeDelivery, FakeQueue};
pub(crate) use store::FakeStore;

pub(crate) const START: Timestamp = Timestamp::from_millis(1_800_000_000_000);
pub(crate) const LASTS: Duration = Duration::from_mins(1);
pub(crate) const HOLD: Duration = Duration::from_secs(10);

/// The end of a future that waits for nothing.
pub(crate) fn now<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().expect("it waits for nothing")
}

pub(crate) fn sale_id() -> SaleId {
    SaleId::new(1).unwrap()
}

pub(crate) fn user(number: u64) -> UserId {
    UserId::new(number).unwrap()
}

/// A sale that opens at [`START`].
pub(crate) fn sale(standby_limit: u32) -> Sale {
    Sale {
        id: sale_id(),
        product: Product {
            id: ProductId::new(1).unwrap(),
            title: LocalizedText::plain("Console"),
            description: LocalizedText::plain(""),
            image: None,
        },
        price: Money::parse("199.00", "USD".parse().unwrap()).unwrap(),
        list_price: None,
        question: None,
        max_people: None,
        time_zone: "UTC".to_owned(),
        terms: Terms {
            starts_at: START,
            ends_at: START + LASTS,
            hold: HOLD,
            standby_limit,
            standby_grace: HOLD * 2,
        },
    }
}

pub(crate) fn sale_row(stock: u32, standby_limit: u32) -> SaleRow {
    let sale = sale(standby_limit);
    SaleRow { book: Book::new(stock, &sale.terms), sale }
}

/// A book that was the newest until the very moment at which it is heard of.
pub(crate) fn just_read(book: Book) -> DatedBook {
    DatedBook { book, as_of: Timestamp::from_millis(i64::MAX) }
}

/// A claim of that person, made with that person's number as `seq`.
pub(crate) fn claim(number: u64, status: ClaimStatus, rev: u64) -> Claim {
    Claim {
        sale: sale_id(),
        user: user(number),
        status,
        rev,
        seq: number,
        quantity: 1,
        deadline: Some(START + HOLD),
        hold_until: Some(START + HOLD),
        payment: None,
        restocked: false,
    }
}

/// What happened, in order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Journal(Arc<Mutex<Vec<String>>>);

impl Journal {
    pub(crate) fn note(&self, entry: impl Into<String>) {
        self.0.lock().push(entry.into());
    }

    /// Everything noted since the last call.
    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock())
    }
}

/// A clock that only [`FakeClock::pass`] moves.
#[derive(Debug)]
pub(crate) struct FakeClock(watch::Sender<Timestamp>);

impl FakeClock {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self(watch::Sender::new(START)))
    }

    pub(crate) fn pass(&self, span: Duration) {
        self.0.send_modify(|now| *now = *now + span);
    }

    pub(crate) fn set_back(&self, span: Duration) {
        self.0.send_modify(|now| *now = *now - span);
    }
}

#[async_trait]
impl Clock for FakeClock {
    fn now(&self) -> Timestamp {
        *self.0.borrow()
    }

    async fn sleep(&self, span: Duration) {
        let due = self.now() + span;
        let _ = self.0.subscribe().wait_for(|now| *now >= due).await;
    }
}

#[derive(Debug)]
struct FixedRandom;

impl Random for FixedRandom {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(7);
    }
}

/// What a call is to do wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Fails without effect; may succeed later.
    Retryable,
    /// Takes effect, and fails all the same.
    AnswerLost,
    /// Fails for good, without effect.
    Terminal,
}

/// Calls that are to go wrong, by name, once each.
#[derive(Clone, Default)]
pub(crate) struct Faults(Arc<Mutex<Vec<Planned>>>);

/// The call, how many of it go well before, and what is wrong then.
type Planned = (&'static str, usize, Fault);

impl Faults {
    pub(crate) fn next(&self, call: &'static str, fault: Fault) {
        self.after(0, call, fault);
    }

    /// The call after so many good ones.
    pub(crate) fn after(&self, good: usize, call: &'static str, fault: Fault) {
        self.0.lock().push((call, good, fault));
    }

    /// Runs `effect` as the fault planned for this call allows.
    fn around<T>(&self, call: &'static str, effect: impl FnOnce() -> PortResult<T>) -> PortResult<T> {
        let planned = {
            let mut faults = self.0.lock();
            let at = faults.iter().position(|(name, good, _)| *name == call && *good == 0);
            for (_, good, _) in faults.iter_mut().filter(|(name, ..)| *name == call) {
                *good = good.saturating_sub(1);
            }
            at.map(|at| faults.remove(at).2)
        };
        match planned {
            None => effect(),
            Some(Fault::Retryable) => Err(PortError::retryable(call, "planned")),
            Some(Fault::Terminal) => Err(PortError::terminal(call, "planned")),
            Some(Fault::AnswerLost) => {
                effect()?;
                Err(PortError::retryable(call, "planned"))
            }
        }
    }
}

/// A provider that knows what tests tell it.
#[derive(Default)]
pub(crate) struct FakeProvider {
    journal: Journal,
    faults: Faults,
    answer: Mutex<Option<ProviderState>>,
    states: Mutex<HashMap<PaymentId, ProviderState>>,
    meanwhile: Mutex<Vec<(&'static str, BoxFuture<'static, ()>)>>,
}

impl FakeProvider {
    /// What the next payments are answered; `Authorised` if nothing was said.
    pub(crate) fn answer(&self, state: ProviderState) {
        *self.answer.lock() = Some(state);
    }

    pub(crate) fn set(&self, payment: PaymentId, state: ProviderState) {
        self.states.lock().insert(payment, state);
    }

    pub(crate) fn state(&self, payment: PaymentId) -> ProviderState {
        self.states.lock().get(&payment).copied().unwrap_or(ProviderState::Unknown)
    }

    /// Lets something happen at a point: `after query` or `before void`.
    pub(crate) fn meanwhile(&self, point: &'static str, event: BoxFuture<'static, ()>) {
        self.meanwhile.lock().push((point, event));
    }

    async fn let_happen(&self, point: &'static str) {
        let event = {
            let mut meanwhile = self.meanwhile.lock();
            let at = meanwhile.iter().position(|(planned, _)| *planned == point);
            at.map(|at| meanwhile.remove(at).1)
        };
        if let Some(event) = event {
            event.await;
        }
    }

    fn step(
        &self,
        call: &'static str,
        payment: PaymentId,
        next: impl FnOnce(ProviderState) -> ProviderState,
    ) -> PortResult<ProviderState> {
        self.journal.note(format!("provider {call}"));
        self.faults.around(call, || {
            let state = next(self.state(payment));
            self.set(payment, state);
            Ok(state)
        })
    }
}

#[async_trait]
impl PaymentProvider for FakeProvider {
    fn check(&self, method: &PaymentMethod) -> Result<(), InvalidCard> {
        let PaymentMethod::Sandbox { card } = method;
        if card == "invalid" { Err(InvalidCard) } else { Ok(()) }
    }

    async fn authorise(&self, id: PaymentId, _: Money, _: &PaymentMethod) -> PortResult<ProviderState> {
        let answer = self.answer.lock().unwrap_or(ProviderState::Authorised);
        self.step("authorise", id, |state| if state == ProviderState::Unknown { answer } else { state })
    }

    async fn capture(&self, id: PaymentId) -> PortResult<ProviderState> {
        self.step("capture", id, |state| match state {
            ProviderState::Authorised => ProviderState::Captured,
            other => other,
        })
    }

    async fn void(&self, id: PaymentId) -> PortResult<ProviderState> {
        self.let_happen("before void").await;
        self.step("void", id, |state| match state {
            ProviderState::Captured | ProviderState::Declined | ProviderState::Refunded => state,
            _ => ProviderState::Voided,
        })
    }

    async fn refund(&self, id: PaymentId) -> PortResult<ProviderState> {
        self.step("refund", id, |state| match state {
            ProviderState::Captured => ProviderState::Refunded,
            other => other,
        })
    }

    async fn query(&self, id: PaymentId) -> PortResult<ProviderState> {
        let answer = self.step("query", id, |state| state);
        self.let_happen("after query").await;
        answer
    }
}

/// A node on fakes.
pub(crate) struct Node {
    pub(crate) ports: Ports,
    pub(crate) clock: Arc<FakeClock>,
    pub(crate) store: Arc<FakeStore>,
    pub(crate) provider: Arc<FakeProvider>,
    pub(crate) queue: Arc<FakeQueue>,
    pub(crate) bus: Arc<queue::FakeBus>,
    pub(crate) gate: Arc<FakeGate>,
    pub(crate) journal: Journal,
    pub(crate) faults: Faults,
}

impl Node {
    /// A node that knows one sale, which has just opened.
    pub(crate) fn new(stock: u32, standby_limit: u32) -> Self {
        let (journal, faults, clock) = (Journal::default(), Faults::default(), FakeClock::new());
        let store = Arc::new(FakeStore::new(journal.clone(), faults.clone(), clock.clone()));
        store.put(sale_row(stock, standby_limit));
        let provider = Arc::new(FakeProvider {
            journal: journal.clone(),
            faults: faults.clone(),
            ..FakeProvider::default()
        });
        let queue = Arc::new(FakeQueue::new(faults.clone()));
        let bus = Arc::new(queue::FakeBus::new(journal.clone()));
        let gate = Arc::new(FakeGate::new(journal.clone(), faults.clone()));
        let ports = Ports {
            clock: clock.clone(),
            random: Arc::new(FixedRandom),
            ids: Arc::new(Ids::new(clock.clone(), 1)),
            sales: store.clone(),
            claims: store.clone(),
            orders: store.clone(),
            payments: store.clone(),
            users: store.clone(),
            provider: provider.clone(),
            queue: queue.clone(),
            timers: Arc::new(queue::FakeTimers::new(journal.clone())),
            bus: bus.clone(),
            gate: gate.clone(),
        };
        Self { ports, clock, store, provider, queue, bus, gate, journal, faults }
    }

    /// Gives these people units, or standby, as their requests would; says nothing in the journal.
    pub(crate) fn decide(&self, people: &[u64]) {
        let delivery = FakeDelivery::new(&self.journal, people);
        now(crate::decide_batch::decide_batch(&self.ports, Box::new(delivery))).unwrap();
        self.journal.take();
    }

    pub(crate) fn claim(&self, number: u64) -> Claim {
        self.store.claim(user(number)).expect("there is a claim")
    }
}
