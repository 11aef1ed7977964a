//! The simulated queue of buy requests: durable, at least once, and in no order that one could rely on.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Poll, Waker};

use async_trait::async_trait;
use miaosha_app::PortError;
use miaosha_app::model::RequestBatch;
use miaosha_app::ports::{Delivery, PortResult, RequestQueue};
use miaosha_domain::time::Timestamp;

use super::coverage::Mark;
use super::sabotage::Sabotage;
use super::world::{State, World};

/// Batches that survive every crash.
#[derive(Default)]
pub(super) struct Queue {
    messages: Vec<Message>,
    last_delivery: u64,
    wakers: Vec<Waker>,
}

struct Message {
    batch: Arc<RequestBatch>,
    place: Place,
    is_redelivered: bool,
}

enum Place {
    /// May be delivered from this moment on.
    Waiting { from: Timestamp },
    /// In the hands of a consumer.
    Out { delivery: u64 },
}

impl Queue {
    /// Whether every batch was settled.
    pub(super) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    fn put(&mut self, batch: Arc<RequestBatch>, from: Timestamp) {
        let place = Place::Waiting { from };
        self.messages.push(Message { batch, place, is_redelivered: false });
        self.wake();
    }

    fn wake(&mut self) {
        self.wakers.drain(..).for_each(Waker::wake);
    }

    fn find_out(&self, delivery: u64) -> Option<usize> {
        let is_it = |place: &Place| matches!(place, Place::Out { delivery: other } if *other == delivery);
        self.messages.iter().position(|message| is_it(&message.place))
    }

    /// Lets a batch that is out come again.
    fn put_back(&mut self, delivery: u64, from: Timestamp) -> bool {
        let Some(at) = self.find_out(delivery) else { return false };
        self.messages[at].place = Place::Waiting { from };
        self.messages[at].is_redelivered = true;
        self.wake();
        true
    }
}

/// The queue as a process sees it.
pub(super) struct SimQueue {
    pub(super) world: Arc<World>,
}

#[async_trait]
impl RequestQueue for SimQueue {
    async fn publish(&self, batch: RequestBatch) -> PortResult<()> {
        let batch = Arc::new(batch);
        let lost = (Mark::PublishLost, Mark::ConfirmLost);
        let published = self.world.call("publishing a batch", lost, |state| {
            state.hear_durable(&batch);
            if state.sabotage == Some(Sabotage::LostRequest) && state.dice.one_in(4) {
                return;
            }
            let copies = if state.strikes(Mark::PublishDoubled, 10) { 2 } else { 1 };
            for _ in 0..copies {
                let from = state.now + state.draw_delay(Mark::CallSlow);
                state.queue.put(batch.clone(), from);
            }
        });
        published.await
    }

    fn lanes(&self) -> usize {
        1
    }

    async fn next(&self) -> Option<Box<dyn Delivery>> {
        let taken = poll_fn(|context| {
            let mut guard = self.world.state();
            let state = &mut *guard;
            let ready: Vec<usize> = (state.queue.messages.iter().enumerate())
                .filter(|(_, message)| matches!(message.place, Place::Waiting { from } if from <= state.now))
                .map(|(at, _)| at)
                .collect();
            if ready.is_empty() {
                state.queue.wakers.push(context.waker().clone());
                let waits = state.queue.messages.iter().filter_map(|message| match message.place {
                    Place::Waiting { from } => Some(from),
                    Place::Out { .. } => None,
                });
                if let Some(from) = waits.min() {
                    state.wake_at(from, context.waker());
                }
                return Poll::Pending;
            }
            let pick = if state.plan.has(Mark::BatchesReordered) { state.dice.index(ready.len()) } else { 0 };
            if pick > 0 {
                state.mark(Mark::BatchesReordered);
            }
            state.queue.last_delivery += 1;
            let delivery = state.queue.last_delivery;
            let message = &mut state.queue.messages[ready[pick]];
            message.place = Place::Out { delivery };
            Poll::Ready(SimDelivery {
                world: self.world.clone(),
                delivery,
                batch: message.batch.clone(),
                is_redelivered: message.is_redelivered,
                handed_out_at: state.step,
            })
        });
        Some(Box::new(taken.await))
    }
}

struct SimDelivery {
    world: Arc<World>,
    delivery: u64,
    batch: Arc<RequestBatch>,
    is_redelivered: bool,
    handed_out_at: u64,
}

impl SimDelivery {
    /// Settles the delivery by `settle`, which finds the message in the queue; or fails to, and then it comes again.
    async fn settle(
        &self,
        what: &'static str,
        settle: impl FnOnce(&mut State, usize) + Send,
    ) -> PortResult<()> {
        self.world.hop().await;
        {
            let mut state = self.world.state();
            if state.strikes(Mark::AckFailed, 30) {
                return Err(PortError::retryable(what, "the channel is closed"));
            }
            if let Some(at) = state.queue.find_out(self.delivery) {
                settle(&mut state, at);
            }
        }
        self.world.hop().await;
        Ok(())
    }
}

#[async_trait]
impl Delivery for SimDelivery {
    fn batch(&self) -> &RequestBatch {
        &self.batch
    }

    fn is_redelivered(&self) -> bool {
        self.is_redelivered
    }

    async fn take_turn(&self) {}

    fn end_turn(&self) {}

    async fn ack(self: Box<Self>) -> PortResult<()> {
        let settled = self.settle("acknowledging", |state, at| {
            state.hear_ack(&self.batch, self.handed_out_at);
            if state.strikes(Mark::AckLost, 15) {
                let from = state.now + state.draw_span(1, 3_000);
                state.queue.put_back(self.delivery, from);
            } else {
                state.queue.messages.remove(at);
            }
        });
        settled.await
    }

    async fn park(self: Box<Self>) -> PortResult<()> {
        let settled = self.settle("parking", |state, _| {
            state.mark(Mark::Parked);
            let from = state.now + state.draw_span(500, 3_000);
            state.queue.put_back(self.delivery, from);
        });
        settled.await
    }

    async fn split(self: Box<Self>) -> PortResult<()> {
        let settled = self.settle("splitting", |state, at| {
            state.mark(Mark::Split);
            for ask in &self.batch.asks {
                let single = RequestBatch { asks: vec![*ask], ..(*self.batch).clone() };
                state.queue.put(Arc::new(single), state.now);
            }
            state.queue.messages.remove(at);
        });
        settled.await
    }

    async fn discard(self: Box<Self>) -> PortResult<()> {
        let settled = self.settle("putting a batch aside", |state, at| {
            state.mark(Mark::Discarded);
            state.hear_discard(&self.batch);
            state.queue.messages.remove(at);
        });
        settled.await
    }
}

impl Drop for SimDelivery {
    fn drop(&mut self) {
        let mut state = self.world.state();
        let from = state.now;
        if state.queue.put_back(self.delivery, from) {
            state.mark(Mark::Redelivered);
        }
    }
}
