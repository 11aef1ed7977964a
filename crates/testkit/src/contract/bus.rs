//! What `OutcomeBus` and `OutcomeSubscription` promise.

use std::pin::pin;
use std::sync::Arc;

use miaosha_app::model::{DatedBook, Outcomes};
use miaosha_app::ports::{BusEvent, OutcomeBus};
use miaosha_domain::sale::Book;

use super::poll_once;
use super::scene::{SALE, TERMS, user};

/// A bus without news, and how to shut it down.
pub struct Bus {
    /// The bus.
    pub bus: Arc<dyn OutcomeBus>,
    /// Shuts it down.
    pub shut_down: Box<dyn Fn() + Send>,
}

impl std::fmt::Debug for Bus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bus").finish_non_exhaustive()
    }
}

/// Runs the suite of `OutcomeBus` on the [`Bus`](contract::bus::Bus) that `$make` gives.
#[macro_export]
macro_rules! outcome_bus_contract {
    ($make:expr) => {
        $crate::contract_suite! { outcome_bus_contract, $make, bus, [
            every_follower_hears_the_news,
            news_from_before_is_not_heard,
            news_without_followers_is_fine,
            a_follower_that_lost_news_hears_of_a_gap,
            dropping_the_wait_loses_nothing,
            the_shutdown_is_heard,
        ] }
    };
}

fn news(version: u64) -> Arc<Outcomes> {
    let book = Book { version, ..Book::new(1, &TERMS) };
    let book = Some(DatedBook { book, as_of: TERMS.starts_at });
    Arc::new(Outcomes { sale: SALE, book, claims: Vec::new(), rejected: vec![user(version)] })
}

fn version(event: &BusEvent) -> Option<u64> {
    match event {
        BusEvent::News(outcomes) => {
            let version = outcomes.book.map(|dated| dated.book.version);
            assert_eq!(**outcomes, *news(version.unwrap()));
            version
        }
        BusEvent::Gap | BusEvent::Reading(_) | BusEvent::Closed => None,
    }
}

/// "Tells every node what a commit changed."
pub async fn every_follower_hears_the_news(bus: Bus) {
    let mut followers = [bus.bus.subscribe(), bus.bus.subscribe()];
    bus.bus.publish(news(1));
    for follower in &mut followers {
        assert_eq!(version(&follower.next().await), Some(1));
    }
}

/// "News from now on."
pub async fn news_from_before_is_not_heard(bus: Bus) {
    let mut early = bus.bus.subscribe();
    bus.bus.publish(news(1));
    assert_eq!(version(&early.next().await), Some(1));
    let mut late = bus.bus.subscribe();
    bus.bus.publish(news(2));
    assert_eq!(version(&late.next().await), Some(2));
}

/// "Never fails."
pub async fn news_without_followers_is_fine(bus: Bus) {
    bus.bus.publish(news(1));
    drop(bus.bus.subscribe());
    bus.bus.publish(news(2));
    (bus.shut_down)();
    bus.bus.publish(news(3));
}

/// "Never waits", and "some news was lost: look everything up".
pub async fn a_follower_that_lost_news_hears_of_a_gap(bus: Bus) {
    const MANY: u64 = 20_000;
    let mut follower = bus.bus.subscribe();
    for version in 1..=MANY {
        bus.bus.publish(news(version));
    }
    let (mut heard, mut has_gap) = (0, false);
    loop {
        let event = follower.next().await;
        has_gap |= matches!(event, BusEvent::Gap);
        heard += u64::from(matches!(event, BusEvent::News(_)));
        if version(&event) == Some(MANY) {
            break;
        }
    }
    assert!(has_gap || heard == MANY, "{} news were lost in silence", MANY - heard);
}

/// "Safe to drop while waiting."
pub async fn dropping_the_wait_loses_nothing(bus: Bus) {
    let mut follower = bus.bus.subscribe();
    for _ in 0..3 {
        assert!(poll_once(follower.next().as_mut()).await.is_none());
    }
    bus.bus.publish(news(1));
    assert_eq!(version(&follower.next().await), Some(1));
}

/// "The bus is shut down."
pub async fn the_shutdown_is_heard(bus: Bus) {
    let (mut follower, mut waiting_follower) = (bus.bus.subscribe(), bus.bus.subscribe());
    let mut waiting = pin!(waiting_follower.next());
    assert!(poll_once(waiting.as_mut()).await.is_none());
    (bus.shut_down)();
    assert!(matches!(waiting.await, BusEvent::Closed));
    for _ in 0..2 {
        assert!(matches!(follower.next().await, BusEvent::Closed));
    }
    assert!(matches!(bus.bus.subscribe().next().await, BusEvent::Closed));
}
