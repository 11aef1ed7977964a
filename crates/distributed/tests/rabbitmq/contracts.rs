//! The ports' contracts.

use std::sync::Arc;

use miaosha_distributed::rabbitmq::Rabbit;
use miaosha_embedded::SystemClock;
use miaosha_testkit::contract::queue::Queue;
use miaosha_testkit::contract::timers::Timers;

use crate::scene::Site;

async fn make_queue() -> Queue {
    let site = Site::new();
    let rabbit = site.start().await;
    Queue { queue: rabbit.queue(), shut_down: stop(rabbit, site) }
}

async fn make_timers() -> Timers {
    let site = Site::new();
    let rabbit = site.start().await;
    Timers { timers: rabbit.timers(), clock: Arc::new(SystemClock), shut_down: stop(rabbit, site) }
}

/// Keeps the site for as long as the fact needs it.
fn stop(rabbit: Rabbit, site: Site) -> Box<dyn Fn() + Send> {
    Box::new(move || {
        let _kept = &site;
        rabbit.stop();
    })
}

miaosha_testkit::request_queue_contract!(make_queue);
miaosha_testkit::timer_queue_contract!(make_timers);
