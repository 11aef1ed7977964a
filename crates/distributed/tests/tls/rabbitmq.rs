//! RabbitMQ over TLS.

use std::error::Error as _;
use std::sync::Arc;

use miaosha_app::model::RequestBatch;
use miaosha_app::ports::RequestQueue as _;
use miaosha_distributed::Trust;
use miaosha_distributed::rabbitmq::{Rabbit, RabbitConfig};
use miaosha_domain::decide::Ask;
use miaosha_domain::ids::{SaleId, UserId};
use miaosha_domain::time::Timestamp;
use miaosha_embedded::SystemClock;
use miaosha_testkit::contract::queue::{self, Queue};
use miaosha_testkit::contract::run;
use miaosha_testkit::contract::timers::{self, Timers};
use miaosha_testkit::services::{Addresses, Authority, RabbitMq};

use crate::{assert_says, known, misnamed, trust};

fn config(uri: &str, trust: Trust) -> RabbitConfig {
    RabbitConfig { trust, ..RabbitConfig::new(uri) }
}

async fn connect(config: &RabbitConfig) -> Rabbit {
    Rabbit::connect(config, Arc::new(SystemClock)).await.unwrap()
}

async fn refusal(config: &RabbitConfig) -> String {
    let refused = Rabbit::connect(config, Arc::new(SystemClock)).await.expect_err("it is to be refused");
    assert!(refused.is_terminal(), "{refused:?}");
    refused.source().expect("there is a reason").to_string()
}

#[test]
fn a_broker_with_tls_is_used_if_its_certificate_is_right_and_refused_if_not() {
    let (authority, other) = (Authority::new().unwrap(), Authority::new().unwrap());
    let broker = RabbitMq::start_with_tls(&authority).unwrap();
    let uri = broker.uri();
    run(async {
        let rabbit = connect(&config(&uri, trust(&authority))).await;
        let queue = Queue { queue: rabbit.queue(), shut_down: Box::new(|| {}) };
        queue::a_batch_is_delivered_whole_and_for_the_first_time(queue).await;
        let timers =
            Timers { timers: rabbit.timers(), clock: Arc::new(SystemClock), shut_down: Box::new(|| {}) };
        timers::a_wake_up_that_is_due_comes_at_once(timers).await;
        rabbit.close().await;

        for trust in [trust(&other), Trust::default()] {
            let untrusted = refusal(&config(&uri, trust)).await;
            assert_says(&untrusted, &["RabbitMQ at 127.0.0.1:", "engines.tls_ca_file", "tls_untrusted"]);
        }

        let wrong_name = refusal(&config(&misnamed(&uri), trust(&authority))).await;
        assert_says(&wrong_name, &["RabbitMQ at localhost:", "tls_wrong_name"]);
    });
}

fn any_batch() -> RequestBatch {
    let ask = Ask { user: UserId::new(1).unwrap(), quantity: 1 };
    RequestBatch { sale: SaleId::new(1).unwrap(), asks: vec![ask], accepted_at: Timestamp::from_millis(0) }
}

#[test]
fn a_broker_that_wants_to_know_its_clients_is_shown_a_certificate() {
    let authority = Authority::new().unwrap();
    let broker = RabbitMq::start_with_tls_for_known_clients(&authority).unwrap();
    let uri = broker.uri();
    run(async {
        let rabbit = connect(&config(&uri, known(&authority))).await;
        let queue = Queue { queue: rabbit.queue(), shut_down: Box::new(|| {}) };
        queue::a_batch_is_delivered_whole_and_for_the_first_time(queue).await;
        rabbit.close().await;

        // With TLS 1.3 a client hears of it only after it has connected, and may be cut off before it does.
        match Rabbit::connect(&config(&uri, trust(&authority)), Arc::new(SystemClock)).await {
            Err(refused) => assert_says(
                &refused.source().expect("there is a reason").to_string(),
                &["RabbitMQ at 127.0.0.1:", "engines.tls_cert_file", "tls_certificate_wanted"],
            ),
            Ok(unknown) => assert!(unknown.queue().publish(any_batch()).await.is_err(), "it is not let in"),
        }
    });
}

#[test]
fn a_broker_that_does_not_speak_tls_is_refused() {
    let uri = Addresses::of_this_run().rabbitmq.replacen("amqp:", "amqps:", 1);
    run(async {
        let plain = refusal(&config(&uri, Trust::default())).await;
        assert_says(&plain, &["RabbitMQ at 127.0.0.1:", "the port that TLS is on", "tls_not_spoken"]);
    });
}
