//! The broker stops, dies, stalls, is cut off, is not there yet: every call is answered within a second, nothing that
//! was confirmed is lost, and work goes on by itself within seconds of the return.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::io::Read as _;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use futures_util::future::join;
use miaosha_app::ports::{Clock as _, PortError, RequestQueue, TimerQueue};
use miaosha_distributed::rabbitmq::Rabbit;
use miaosha_embedded::SystemClock;
use miaosha_testkit::contract::run;
use miaosha_testkit::fault_proxy::FaultProxy;
use miaosha_testkit::services::{RabbitMq, Service as _};

use crate::scene::{Site, batch, sale};

/// A caller is answered within this, whatever happens.
const ANSWER_MAX: Duration = Duration::from_secs(1);
/// All is normal this long after a return.
const NORMAL_AFTER_MAX: Duration = Duration::from_secs(5);

/// What a publisher under load and a consumer saw.
#[derive(Default)]
struct Load {
    confirmed: RefCell<BTreeSet<u64>>,
    failures: Cell<u32>,
    longest: Cell<Duration>,
    decided: RefCell<BTreeSet<u64>>,
    is_over: Cell<bool>,
}

impl Load {
    /// Publishes one batch after the other until it is over.
    async fn publish(&self, rabbit: &Rabbit) {
        for person in 1.. {
            if self.is_over.get() {
                return;
            }
            let asked_at = Instant::now();
            match rabbit.queue().publish(batch(person % 7 + 1, [person])).await {
                Ok(()) => _ = self.confirmed.borrow_mut().insert(person),
                Err(error) => {
                    assert!(matches!(error, PortError::Retryable { .. }), "{error}");
                    self.failures.set(self.failures.get() + 1);
                }
            }
            self.longest.set(self.longest.get().max(asked_at.elapsed()));
            // A pace: at once refused, it would else do nothing but be refused.
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Decides until it is over and everything confirmed has come.
    async fn decide(&self, rabbit: &Rabbit) {
        while !self.is_over.get() || !self.confirmed.borrow().is_subset(&self.decided.borrow()) {
            let Some(delivery) = rabbit.queue().next().await else { return };
            self.decided.borrow_mut().extend(delivery.batch().asks.iter().map(|ask| ask.user.get()));
            // One that fails comes again, and is decided again.
            drop(delivery.ack().await);
        }
    }

    async fn until_failing(&self) {
        let before = self.failures.get();
        while self.failures.get() < before + 3 {
            tokio::task::yield_now().await;
        }
    }

    /// Waits until more is confirmed, and returns how long it took.
    async fn until_confirming(&self) -> Duration {
        let (since, before) = (Instant::now(), self.confirmed.borrow().len());
        while self.confirmed.borrow().len() < before + 3 {
            tokio::task::yield_now().await;
        }
        since.elapsed()
    }

    /// Lets `faults` happen under load, and checks that nothing was lost and nobody waited.
    async fn during(&self, rabbit: &Rabbit, faults: impl Future<Output = ()>) {
        let faults = async {
            self.until_confirming().await;
            faults.await;
            self.is_over.set(true);
            // The last one wakes the consumer, so that it sees the end.
            while rabbit.queue().publish(batch(1, [u64::from(u32::MAX)])).await.is_err() {}
        };
        join(join(self.publish(rabbit), self.decide(rabbit)), faults).await;
        assert!(self.longest.get() < ANSWER_MAX, "a caller waited {:?}", self.longest.get());
        assert!(self.confirmed.borrow().is_subset(&self.decided.borrow()));
    }
}

async fn aside(work: impl FnOnce() + Send + 'static) {
    tokio::task::spawn_blocking(work).await.unwrap();
}

fn with_limits(mut site: Site) -> Site {
    site.config.publish_limit = Duration::from_millis(900);
    site.config.settle_limit = Duration::from_secs(2);
    site.config.heartbeat = Duration::from_secs(1);
    site
}

/// A site whose processes reach the broker through a proxy.
fn behind_a_proxy() -> (Site, FaultProxy) {
    let mut site = with_limits(Site::new());
    let mut uri: lapin::uri::AMQPUri = site.config.uri.parse().unwrap();
    let broker = format!("{}:{}", uri.authority.host, uri.authority.port).parse().unwrap();
    let proxy = FaultProxy::start(broker).unwrap();
    uri.authority.port = proxy.address().port();
    site.config.uri = format!(
        "amqp://{}:{}@{}/%2f",
        uri.authority.userinfo.username,
        uri.authority.userinfo.password,
        proxy.address()
    );
    (site, proxy)
}

#[test]
fn a_broker_that_stops_or_dies_under_load_loses_nothing_that_was_confirmed() {
    let broker = std::sync::Arc::new(RabbitMq::start().unwrap());
    // Without it the broker would dead-letter at most once, and say so only in its log.
    assert!(broker.feature_flags().unwrap().iter().any(|flag| flag == "stream_queue"));
    run(async {
        let site = with_limits(Site::on(&broker.uri()));
        let rabbit = site.start().await;
        let deadline = SystemClock.now() + Duration::from_secs(4);
        rabbit.timers().schedule(sale(9), deadline).await.unwrap();
        let load = Load::default();
        let faults = async {
            for in_order in [true, false] {
                let ending = broker.clone();
                aside(move || if in_order { assert!(ending.stop().is_some()) } else { ending.kill() }).await;
                load.until_failing().await;
                let starting = broker.clone();
                aside(move || starting.start_again().unwrap()).await;
                let took = load.until_confirming().await;
                assert!(took < NORMAL_AFTER_MAX, "nothing was confirmed for {took:?} after the return");
            }
        };
        load.during(&rabbit, faults).await;
        assert_eq!(rabbit.timers().next().await, Some(sale(9)));
        assert!(SystemClock.now() >= deadline);
        rabbit.close().await;
    });
}

#[test]
fn a_network_that_stalls_keeps_nobody_waiting() {
    run(async {
        let (site, proxy) = behind_a_proxy();
        let rabbit = site.start().await;
        let load = Load::default();
        let faults = async {
            proxy.stall().unwrap();
            // The first waits for its confirm; those after it are told at once.
            load.until_failing().await;
            proxy.heal().unwrap();
            let took = load.until_confirming().await;
            assert!(took < NORMAL_AFTER_MAX, "nothing was confirmed for {took:?} after the return");
        };
        load.during(&rabbit, faults).await;
    });
}

/// Longer than the heartbeat: the connections are given up, and the new ones stall as well.
#[test]
fn a_network_that_is_silent_for_long_is_given_up_and_found_again() {
    run(async {
        let (site, proxy) = behind_a_proxy();
        let rabbit = site.start().await;
        let load = Load::default();
        let faults = async {
            let accepted = proxy.accepted();
            proxy.stall().unwrap();
            while proxy.accepted() < accepted + 2 {
                tokio::task::yield_now().await;
            }
            proxy.heal().unwrap();
            let took = load.until_confirming().await;
            assert!(took < NORMAL_AFTER_MAX, "nothing was confirmed for {took:?} after the return");
        };
        load.during(&rabbit, faults).await;
    });
}

#[test]
fn a_network_that_is_cut_is_found_again() {
    run(async {
        let (site, proxy) = behind_a_proxy();
        let rabbit = site.start().await;
        let load = Load::default();
        let faults = async {
            for _ in 0..3 {
                proxy.cut();
                load.until_failing().await;
                proxy.heal().unwrap();
                let took = load.until_confirming().await;
                assert!(took < NORMAL_AFTER_MAX, "nothing was confirmed for {took:?} after the return");
            }
        };
        load.during(&rabbit, faults).await;
    });
}

#[test]
fn a_process_may_start_before_the_broker() {
    run(async {
        let (site, proxy) = behind_a_proxy();
        proxy.cut();
        let rabbit = site.start().await;
        let asked_at = Instant::now();
        let refused = rabbit.queue().publish(batch(1, [1])).await;
        assert!(matches!(refused, Err(PortError::Retryable { .. })));
        assert!(rabbit.timers().schedule(sale(1), SystemClock.now()).await.is_err());
        assert!(asked_at.elapsed() < ANSWER_MAX);
        proxy.heal().unwrap();
        while rabbit.queue().publish(batch(1, [2])).await.is_err() {
            tokio::task::yield_now().await;
        }
        let delivery = rabbit.queue().next().await.unwrap();
        assert_eq!(*delivery.batch(), batch(1, [2]));
        delivery.ack().await.unwrap();
    });
}

#[test]
fn a_delivery_whose_connection_is_gone_cannot_be_settled_and_comes_again() {
    run(async {
        let (site, proxy) = behind_a_proxy();
        let rabbit = site.start().await;
        let queue = rabbit.queue();
        queue.publish(batch(1, [1])).await.unwrap();
        let lost = queue.next().await.unwrap();
        let accepted = proxy.accepted();
        proxy.cut();
        proxy.heal().unwrap();
        let (_connection, channel) = site.channel().await;
        while proxy.accepted() < accepted + 2 || site.consumers(&channel, "requests.1").await != 1 {
            tokio::task::yield_now().await;
        }
        assert!(matches!(lost.ack().await, Err(PortError::Retryable { .. })));
        let again = queue.next().await.unwrap();
        assert_eq!((again.batch(), again.is_redelivered()), (&batch(1, [1]), true));
        again.ack().await.unwrap();
    });
}

/// Each connection that is given up would otherwise stay, with a thread, for as long as the silence lasts.
#[test]
fn a_peer_that_never_answers_is_hung_up_on() {
    run(async {
        let mut site = with_limits(Site::new());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        site.config.uri = format!("amqp://guest:guest@{}/%2f", listener.local_addr().unwrap());
        let peer = tokio::task::spawn_blocking(move || {
            let (mut first, _) = listener.accept().unwrap();
            // All it ever says, and then the end.
            let mut said = Vec::new();
            first.read_to_end(&mut said).unwrap();
            let _second = listener.accept().unwrap();
            said
        });
        let rabbit = site.start().await;
        assert_eq!(peer.await.unwrap(), b"AMQP\x00\x00\x09\x01");
        assert!(rabbit.queue().publish(batch(1, [1])).await.is_err());
    });
}
