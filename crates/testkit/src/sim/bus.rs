//! The simulated bus: each follower loses, doubles and reorders news in its own way.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Duration;

use async_trait::async_trait;
use miaosha_app::model::Outcomes;
use miaosha_app::ports::{BusEvent, OutcomeBus, OutcomeSubscription};
use miaosha_domain::time::Timestamp;

use super::coverage::Mark;
use super::sabotage::Sabotage;
use super::world::{State, World};

/// The longest that news is on its way.
const NEWS_LATE_MAX: Duration = Duration::from_secs(5);

/// Who follows.
#[derive(Default)]
pub(super) struct Bus {
    followers: Vec<Follower>,
    subscribed: u64,
}

struct Follower {
    id: u64,
    process: usize,
    on_the_way: VecDeque<OnTheWay>,
    waker: Option<Waker>,
}

struct OnTheWay {
    arrives_at: Timestamp,
    event: BusEvent,
}

/// The bus as a process sees it.
pub(super) struct SimBus {
    pub(super) world: Arc<World>,
    pub(super) process: usize,
}

impl OutcomeBus for SimBus {
    fn publish(&self, outcomes: Arc<Outcomes>) {
        let mut state = self.world.state();
        state.hear_outcomes(&outcomes, self.process);
        for at in 0..state.bus.followers.len() {
            send(&mut state, at, &outcomes);
        }
    }

    fn subscribe(&self) -> Box<dyn OutcomeSubscription> {
        let bus = &mut self.world.state().bus;
        bus.subscribed += 1;
        bus.followers.push(Follower {
            id: bus.subscribed,
            process: self.process,
            on_the_way: VecDeque::new(),
            waker: None,
        });
        Box::new(SimSubscription { world: self.world.clone(), id: bus.subscribed })
    }
}

fn send(state: &mut State, follower: usize, outcomes: &Arc<Outcomes>) {
    let process = state.bus.followers[follower].process;
    let is_cut_off = state.processes.is_cut_off(process, state.now);
    if is_cut_off || state.sabotage == Some(Sabotage::Silence) || state.strikes(Mark::NewsLost, 6) {
        return;
    }
    let copies = if state.strikes(Mark::NewsDoubled, 10) { 2 } else { 1 };
    for _ in 0..copies {
        let late = state.draw_slow(Mark::NewsReordered, 8, NEWS_LATE_MAX).unwrap_or_default();
        let arrives_at = state.now + late;
        let event = BusEvent::News(outcomes.clone());
        state.bus.followers[follower].on_the_way.push_back(OnTheWay { arrives_at, event });
    }
    if state.strikes(Mark::NewsGap, 100) {
        let arrives_at = state.now;
        let on_the_way = &mut state.bus.followers[follower].on_the_way;
        on_the_way.clear();
        on_the_way.push_back(OnTheWay { arrives_at, event: BusEvent::Gap });
    }
    if let Some(waker) = state.bus.followers[follower].waker.take() {
        waker.wake();
    }
}

struct SimSubscription {
    world: Arc<World>,
    id: u64,
}

#[async_trait]
impl OutcomeSubscription for SimSubscription {
    async fn next(&mut self) -> BusEvent {
        poll_fn(|context| {
            let mut guard = self.world.state();
            let state = &mut *guard;
            let Some(follower) = state.bus.followers.iter_mut().find(|follower| follower.id == self.id)
            else {
                return Poll::Ready(BusEvent::Closed);
            };
            let arrived = follower.on_the_way.iter().position(|news| news.arrives_at <= state.now);
            if let Some(news) = arrived.and_then(|at| follower.on_the_way.remove(at)) {
                let process = follower.process;
                state.hear_contact(process);
                return Poll::Ready(news.event);
            }
            follower.waker = Some(context.waker().clone());
            if let Some(at) = follower.on_the_way.iter().map(|news| news.arrives_at).min() {
                state.wake_at(at, context.waker());
            }
            Poll::Pending
        })
        .await
    }
}

impl Drop for SimSubscription {
    fn drop(&mut self) {
        self.world.state().bus.followers.retain(|follower| follower.id != self.id);
    }
}
