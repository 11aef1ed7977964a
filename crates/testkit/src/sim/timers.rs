//! Simulated wake-ups for deadlines: lost, doubled, late.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Poll, Waker};

use async_trait::async_trait;
use miaosha_app::PortError;
use miaosha_app::ports::{PortResult, TimerQueue};
use miaosha_domain::ids::SaleId;
use miaosha_domain::time::Timestamp;

use super::coverage::Mark;
use super::sabotage::Sabotage;
use super::world::World;

/// Timers that survive every crash.
#[derive(Default)]
pub(super) struct Timers {
    pending: Vec<(Timestamp, SaleId)>,
    waker: Option<Waker>,
}

/// The timers as a process sees them.
pub(super) struct SimTimers {
    pub(super) world: Arc<World>,
}

#[async_trait]
impl TimerQueue for SimTimers {
    async fn schedule(&self, sale: SaleId, due: Timestamp) -> PortResult<()> {
        self.world.hop().await;
        {
            let mut state = self.world.state();
            if state.strikes(Mark::TimerFailed, 20) {
                return Err(PortError::retryable("setting a timer", "the broker did not answer"));
            }
            if state.sabotage == Some(Sabotage::LostTimer) || state.strikes(Mark::TimerLost, 8) {
                return Ok(());
            }
            let copies = if state.strikes(Mark::TimerDoubled, 8) { 2 } else { 1 };
            for _ in 0..copies {
                let due = due + state.draw_delay(Mark::TimerLate);
                state.timers.pending.push((due, sale));
            }
            if let Some(waker) = state.timers.waker.take() {
                waker.wake();
            }
        }
        self.world.hop().await;
        Ok(())
    }

    async fn next(&self) -> Option<SaleId> {
        poll_fn(|context| {
            let mut guard = self.world.state();
            let state = &mut *guard;
            let first = state.timers.pending.iter().enumerate().min_by_key(|(_, (due, _))| *due);
            let Some((at, (due, sale))) = first.map(|(at, timer)| (at, *timer)) else {
                state.timers.waker = Some(context.waker().clone());
                return Poll::Pending;
            };
            if due <= state.now {
                state.timers.pending.swap_remove(at);
                return Poll::Ready(Some(sale));
            }
            state.timers.waker = Some(context.waker().clone());
            state.wake_at(due, context.waker());
            Poll::Pending
        })
        .await
    }
}
