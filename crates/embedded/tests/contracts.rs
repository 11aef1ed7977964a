//! Every port's contract, on the adapters for one machine.

#![expect(clippy::unused_async, reason = "other adapters have to connect first")]
#![expect(clippy::unwrap_used, reason = "a test panics where it fails")]

use std::sync::Arc;

use miaosha_app::ports::{Clock, PaymentMethod, Random};
use miaosha_embedded::{Embedded, InProcessBus, InProcessQueue, InProcessTimers, OsRandom, SystemClock};
use miaosha_testkit::contract::Stores;
use miaosha_testkit::contract::bus::Bus;
use miaosha_testkit::contract::provider::Provider;
use miaosha_testkit::contract::queue::Queue;
use miaosha_testkit::contract::timers::Timers;

async fn make_stores() -> Stores {
    let directory = tempfile::tempdir().unwrap();
    let embedded = Embedded::open(directory.path()).unwrap();
    Stores {
        sales: Arc::clone(&embedded.sales),
        claims: Arc::clone(&embedded.claims),
        orders: Arc::clone(&embedded.orders),
        payments: Arc::clone(&embedded.payments),
        users: Arc::clone(&embedded.users),
        idempotency: Arc::clone(&embedded.idempotency),
        clock: Arc::clone(&embedded.clock),
        keep: Box::new((embedded, directory)),
    }
}

async fn make_queue() -> Queue {
    let queue = Arc::new(InProcessQueue::new(InProcessQueue::WAITING_MAX));
    Queue { queue: Arc::clone(&queue) as _, shut_down: Box::new(move || queue.shut_down()) }
}

async fn make_timers() -> Timers {
    let clock = Arc::new(SystemClock);
    let timers = Arc::new(InProcessTimers::new(Arc::clone(&clock) as _));
    Timers { timers: Arc::clone(&timers) as _, clock, shut_down: Box::new(move || timers.shut_down()) }
}

async fn make_bus() -> Bus {
    let bus = Arc::new(InProcessBus::new(InProcessBus::BEHIND_MAX));
    Bus { bus: Arc::clone(&bus) as _, shut_down: Box::new(move || bus.shut_down()) }
}

async fn make_provider() -> Provider {
    let directory = tempfile::tempdir().unwrap();
    let embedded = Embedded::open(directory.path()).unwrap();
    let card = |number: &str| PaymentMethod::Sandbox { card: number.to_owned() };
    Provider {
        provider: Arc::clone(&embedded.provider),
        pays: card("4242424242424242"),
        declined: card("4000000000000002"),
        pending: card("4000000000000259"),
        loses_answer: card("4000000000000341"),
        invalid: card("4242424242424241"),
        keep: Box::new((embedded, directory)),
    }
}

async fn make_clock() -> Arc<dyn Clock> {
    Arc::new(SystemClock)
}

async fn make_random() -> Arc<dyn Random> {
    Arc::new(OsRandom)
}

miaosha_testkit::sale_store_contract!(make_stores);
miaosha_testkit::sale_tx_contract!(make_stores);
miaosha_testkit::claim_store_contract!(make_stores);
miaosha_testkit::claim_tx_contract!(make_stores);
miaosha_testkit::order_store_contract!(make_stores);
miaosha_testkit::payment_store_contract!(make_stores);
miaosha_testkit::user_store_contract!(make_stores);
miaosha_testkit::idempotency_store_contract!(make_stores);
miaosha_testkit::request_queue_contract!(make_queue);
miaosha_testkit::timer_queue_contract!(make_timers);
miaosha_testkit::outcome_bus_contract!(make_bus);
miaosha_testkit::payment_provider_contract!(make_provider);
miaosha_testkit::clock_contract!(make_clock);
miaosha_testkit::random_contract!(make_random);
