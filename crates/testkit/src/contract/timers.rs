//! What `TimerQueue` promises.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use miaosha_app::ports::{Clock, TimerQueue};

use super::poll_once;
use super::scene::{SALE, sale_id};

/// Timers without a wake-up, by a clock that moves, and how to shut them down.
pub struct Timers {
    /// The timers.
    pub timers: Arc<dyn TimerQueue>,
    /// Their clock.
    pub clock: Arc<dyn Clock>,
    /// Shuts them down.
    pub shut_down: Box<dyn Fn() + Send>,
}

impl std::fmt::Debug for Timers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Timers").finish_non_exhaustive()
    }
}

/// Runs the suite of `TimerQueue` on the [`Timers`](contract::timers::Timers) that `$make` gives.
#[macro_export]
macro_rules! timer_queue_contract {
    ($make:expr) => {
        $crate::contract_suite! { timer_queue_contract, $make, timers, [
            a_wake_up_comes_and_not_before_it_is_due,
            a_wake_up_that_is_due_comes_at_once,
            every_sale_gets_its_wake_up,
            a_waiter_hears_of_what_is_scheduled_later,
            the_shutdown_ends_the_wait_for_wake_ups,
        ] }
    };
}

const SOON: Duration = Duration::from_millis(20);

/// "Asks for a wake-up for `sale`, not before `due`."
pub async fn a_wake_up_comes_and_not_before_it_is_due(timers: Timers) {
    let due = timers.clock.now() + SOON;
    timers.timers.schedule(SALE, due).await.unwrap();
    assert_eq!(timers.timers.next().await, Some(SALE));
    assert!(timers.clock.now() >= due);
}

/// A moment that has passed is due.
pub async fn a_wake_up_that_is_due_comes_at_once(timers: Timers) {
    timers.timers.schedule(SALE, timers.clock.now() - Duration::from_hours(1)).await.unwrap();
    assert_eq!(timers.timers.next().await, Some(SALE));
}

/// Wake-ups of several sales do not take each other's place.
pub async fn every_sale_gets_its_wake_up(timers: Timers) {
    let due = timers.clock.now() + SOON;
    let mut asleep: Vec<_> = (1..6).map(sale_id).collect();
    for sale in &asleep {
        timers.timers.schedule(*sale, due).await.unwrap();
    }
    while !asleep.is_empty() {
        let woken = timers.timers.next().await.unwrap();
        asleep.retain(|sale| *sale != woken);
    }
}

/// "Waits for the next wake-up", also for one scheduled meanwhile that is due before the others.
pub async fn a_waiter_hears_of_what_is_scheduled_later(timers: Timers) {
    let mut waiting = pin!(timers.timers.next());
    assert!(poll_once(waiting.as_mut()).await.is_none());
    timers.timers.schedule(sale_id(1), timers.clock.now() + Duration::from_hours(1)).await.unwrap();
    assert!(poll_once(waiting.as_mut()).await.is_none());
    timers.timers.schedule(sale_id(2), timers.clock.now() + SOON).await.unwrap();
    assert_eq!(waiting.await, Some(sale_id(2)));
}

/// "`None` once shut down."
pub async fn the_shutdown_ends_the_wait_for_wake_ups(timers: Timers) {
    timers.timers.schedule(SALE, timers.clock.now() + Duration::from_hours(1)).await.unwrap();
    let mut waiting = pin!(timers.timers.next());
    assert!(poll_once(waiting.as_mut()).await.is_none());
    (timers.shut_down)();
    assert_eq!(waiting.await, None);
    assert_eq!(timers.timers.next().await, None);
}
