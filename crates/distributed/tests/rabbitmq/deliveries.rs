//! What becomes of a batch between its publisher and its decision.

use std::time::Instant;

use lapin::BasicProperties;
use lapin::options::{BasicGetOptions, BasicNackOptions, BasicPublishOptions, QueueDeleteOptions};
use miaosha_app::ports::{Delivery, PortError, RequestQueue, TimerQueue};
use miaosha_distributed::rabbitmq::{Rabbit, RabbitQueue};
use miaosha_testkit::contract::{poll_once, run};

use crate::scene::{Site, batch, sale};

/// Two sales of different shards, in a site of two.
const SALES: [u64; 2] = [1, 2];

async fn next(queue: &RabbitQueue) -> Box<dyn Delivery> {
    queue.next().await.expect("not stopped")
}

fn people(delivery: &dyn Delivery) -> Vec<u64> {
    delivery.batch().asks.iter().map(|ask| ask.user.get()).collect()
}

/// Acknowledges until so many people have come; they, in order.
async fn take(queue: &RabbitQueue, count: usize) -> Vec<u64> {
    let mut taken = Vec::new();
    while taken.len() < count {
        let delivery = next(queue).await;
        taken.extend(people(delivery.as_ref()));
        delivery.ack().await.unwrap();
    }
    taken
}

#[test]
fn of_one_sale_the_order_is_kept_across_a_redelivery() {
    run(async {
        let site = Site::new();
        let rabbit = site.start().await;
        let queue = rabbit.queue();
        for person in 1..=20 {
            queue.publish(batch(1, [person])).await.unwrap();
        }
        let mut taken = Vec::new();
        while taken.len() < 20 {
            let first = next(&queue).await;
            let (held, was_redelivered) = (people(first.as_ref()), first.is_redelivered());
            drop(first);
            let again = next(&queue).await;
            assert!(!was_redelivered && again.is_redelivered());
            assert_eq!(people(again.as_ref()), held, "what is new does not join it");
            taken.extend(held);
            again.ack().await.unwrap();
        }
        assert_eq!(taken, (1..=20).collect::<Vec<_>>());
    });
}

#[test]
fn of_one_sale_a_single_batch_is_in_hand_and_other_sales_do_not_wait_for_it() {
    run(async {
        let site = Site::new();
        let rabbit = site.start().await;
        let queue = rabbit.queue();
        assert_eq!(queue.lanes(), 6);
        for sale in SALES {
            queue.publish(batch(sale, [1])).await.unwrap();
        }
        let (first, other) = (next(&queue).await, next(&queue).await);
        assert_ne!(first.batch().sale, other.batch().sale);
        for sale in SALES {
            queue.publish(batch(sale, [2])).await.unwrap();
        }
        assert!(poll_once(queue.next().as_mut()).await.is_none());
        let freed = first.batch().sale;
        first.ack().await.unwrap();
        let second = next(&queue).await;
        assert_eq!(*second.batch(), batch(freed.get(), [2]));
    });
}

#[test]
fn while_one_batch_is_decided_the_next_of_its_sale_waits_for_its_turn_and_no_more_come() {
    run(async {
        let site = Site::new();
        let rabbit = site.start().await;
        let queue = rabbit.queue();
        let publish = async |person| queue.publish(batch(1, [person])).await.unwrap();
        publish(1).await;
        let first = next(&queue).await;
        publish(2).await;
        assert!(poll_once(queue.next().as_mut()).await.is_none(), "the first has not had its turn");
        first.take_turn().await;
        let second = next(&queue).await;
        publish(3).await;
        let mut turn = second.take_turn();
        assert!(poll_once(turn.as_mut()).await.is_none(), "the first has its turn");
        assert!(poll_once(queue.next().as_mut()).await.is_none(), "the second has not had its turn");
        first.end_turn();
        turn.await;
        let third = next(&queue).await;
        let mut turn = third.take_turn();
        first.ack().await.unwrap();
        assert!(poll_once(turn.as_mut()).await.is_none(), "what is told and settled gives nobody a turn");
        second.ack().await.unwrap();
        turn.await;
        drop(third);
        let again = next(&queue).await;
        assert_eq!((people(again.as_ref()), again.is_redelivered()), (vec![3], true));
        again.take_turn().await;
        again.ack().await.unwrap();
    });
}

#[test]
fn what_nobody_can_read_is_put_aside_and_holds_nobody_up() {
    run(async {
        let site = Site::new();
        let rabbit = site.start().await;
        let queue = rabbit.queue();
        let (_connection, channel) = site.channel().await;
        for shard in 0..site.config.shards {
            let (exchange, key) = (site.name("requests").into(), shard.to_string().into());
            let options = BasicPublishOptions::default();
            let properties = BasicProperties::default().with_type("miaosha.batch.v9".into());
            channel.basic_publish(exchange, key, options, b"later", properties).await.unwrap();
        }
        queue.publish(batch(1, [1])).await.unwrap();
        let delivery = next(&queue).await;
        assert_eq!(*delivery.batch(), batch(1, [1]));
        delivery.ack().await.unwrap();

        let (kind, body, reason) = site.next_dead_letter(&channel).await;
        assert_eq!((kind.as_str(), body.as_slice()), ("miaosha.batch.v9", b"later".as_slice()));
        assert!(reason.unwrap().starts_with("undecodable"));
    });
}

#[test]
fn what_is_discarded_is_kept_for_a_human() {
    run(async {
        let site = Site::new();
        let rabbit = site.start().await;
        let queue = rabbit.queue();
        queue.publish(batch(1, [7])).await.unwrap();
        next(&queue).await.discard().await.unwrap();
        let (_connection, channel) = site.channel().await;
        let (kind, body, reason) = site.next_dead_letter(&channel).await;
        assert_eq!((kind.as_str(), body.len()), ("miaosha.batch.v1", 29));
        assert!(reason.unwrap().starts_with("discarded"));
    });
}

/// The broker's own limit: the consumer may be the one that dies of the message.
#[test]
fn what_comes_back_too_often_is_put_aside_by_the_broker() {
    run(async {
        let site = Site::new();
        let rabbit = site.start().await;
        rabbit.queue().publish(batch(1, [7])).await.unwrap();
        let (_connection, channel) = site.channel().await;
        let shard = site.shard_with_messages(&channel).await;
        let requeue = BasicNackOptions { requeue: true, ..BasicNackOptions::default() };
        let mut deliveries = 0;
        // A message that is given up is gone from the queue only once it is safe elsewhere, so it may be a while.
        while site.waiting(&channel, "dead-letters").await == 0 {
            let queue = site.name(&shard).into();
            if let Some(message) = channel.basic_get(queue, BasicGetOptions::default()).await.unwrap() {
                deliveries += 1;
                message.nack(requeue).await.unwrap();
            }
        }
        assert_eq!(deliveries, 101);
        let (kind, body, _) = site.next_dead_letter(&channel).await;
        assert_eq!((kind.as_str(), body.len()), ("miaosha.batch.v1", 29));
    });
}

#[test]
fn a_parked_batch_waits_and_comes_back_to_its_shard_and_remembers_that_it_may_have_been_decided() {
    run(async {
        let site = Site::new();
        let rabbit = site.start().await;
        let queue = rabbit.queue();
        for sale in SALES {
            queue.publish(batch(sale, [1, 2])).await.unwrap();
        }
        drop(next(&queue).await);
        // The one that came back, and the one that is new.
        let mut held = [next(&queue).await, next(&queue).await];
        held.sort_by_key(|delivery| delivery.batch().sale);
        let before = held.each_ref().map(|delivery| (delivery.batch().clone(), delivery.is_redelivered()));
        assert_eq!(before.iter().filter(|(_, is_redelivered)| *is_redelivered).count(), 1);
        let parked_at = Instant::now();
        for delivery in held {
            delivery.park().await.unwrap();
        }
        // Both at a time, so they are in different shards again.
        let mut back = [next(&queue).await, next(&queue).await];
        assert!(parked_at.elapsed() >= site.config.parked_for);
        back.sort_by_key(|delivery| delivery.batch().sale);
        let after = back.each_ref().map(|delivery| (delivery.batch().clone(), delivery.is_redelivered()));
        assert_eq!(after, before);
        for delivery in back {
            delivery.ack().await.unwrap();
        }
    });
}

#[test]
fn a_full_batch_is_split_into_its_people() {
    run(async {
        let site = Site::new();
        let rabbit = site.start().await;
        let queue = rabbit.queue();
        queue.publish(batch(1, 1..=1_024)).await.unwrap();
        drop(next(&queue).await);
        let whole = next(&queue).await;
        assert!(whole.is_redelivered());
        whole.split().await.unwrap();
        for person in 1..=1_024 {
            let part = next(&queue).await;
            assert_eq!((part.batch(), part.is_redelivered()), (&batch(1, [person]), true));
            part.ack().await.unwrap();
        }
    });
}

#[test]
fn a_batch_of_too_many_people_is_refused_for_good() {
    run(async {
        let site = Site::new();
        let rabbit = site.start().await;
        let refused = rabbit.queue().publish(batch(1, 1..=1_025)).await;
        assert!(matches!(refused, Err(PortError::Terminal { .. })));
    });
}

#[test]
fn a_message_without_a_queue_is_an_error_and_the_queue_is_declared_again() {
    run(async {
        let site = Site::new();
        let rabbit = site.start().await;
        let queue = rabbit.queue();
        let (_connection, channel) = site.channel().await;
        for shard in 0..site.config.shards {
            let name = site.name(&format!("requests.{shard}"));
            channel.queue_delete(name.into(), QueueDeleteOptions::default()).await.unwrap();
        }
        assert!(matches!(queue.publish(batch(1, [1])).await, Err(PortError::Retryable { .. })));
        while queue.publish(batch(1, [2])).await.is_err() {
            tokio::task::yield_now().await;
        }
        assert_eq!(*next(&queue).await.batch(), batch(1, [2]));
    });
}

#[test]
fn two_processes_share_the_batches_of_one_sale() {
    run(async {
        let mut site = Site::new();
        site.config.prefetch = 1;
        let [one, other] = [site.start().await, site.start().await];
        let queues = [one.queue(), other.queue()];
        for person in 1..=40 {
            queues[0].publish(batch(1, [person])).await.unwrap();
        }
        let mut decided = Vec::new();
        while decided.len() < 40 {
            // Each has one in hand at the same time.
            for delivery in [next(&queues[0]).await, next(&queues[1]).await] {
                assert!(!delivery.is_redelivered());
                decided.push(delivery.batch().asks[0].user.get());
                delivery.ack().await.unwrap();
            }
        }
        decided.sort_unstable();
        assert_eq!(decided, (1..=40).collect::<Vec<_>>());
    });
}

#[test]
fn a_process_that_drains_finishes_what_it_has_in_hand_and_leaves_the_rest_to_others() {
    run(async {
        let site = Site::new();
        let leaving = site.start().await;
        let queue = leaving.queue();
        queue.publish(batch(1, [1])).await.unwrap();
        let in_hand = next(&queue).await;
        for person in 2..=5 {
            queue.publish(batch(1, [person])).await.unwrap();
        }
        leaving.stop();
        assert!(queue.next().await.is_none());

        // While the one is still draining, the other gets the rest.
        let staying = site.start().await;
        let mut others = take(&staying.queue(), 4).await;
        others.sort_unstable();
        assert_eq!(others, [2, 3, 4, 5]);

        let mut closing = Box::pin(leaving.close());
        assert!(poll_once(closing.as_mut()).await.is_none());
        in_hand.ack().await.unwrap();
        closing.await;
        let (_connection, channel) = site.channel().await;
        staying.close().await;
        assert_eq!(site.waiting(&channel, "requests.0").await, 0);
        assert_eq!(site.waiting(&channel, "requests.1").await, 0);
    });
}

#[test]
fn what_a_dead_process_had_in_hand_comes_to_another_and_may_have_been_decided() {
    run(async {
        let site = Site::new();
        let dying = site.start().await;
        dying.queue().publish(batch(1, [1])).await.unwrap();
        let in_hand = next(&dying.queue()).await;
        drop(dying);
        let heir = site.start().await;
        let inherited = next(&heir.queue()).await;
        assert_eq!((inherited.batch(), inherited.is_redelivered()), (&batch(1, [1]), true));
        assert!(in_hand.ack().await.is_err());
        inherited.ack().await.unwrap();
    });
}

#[test]
fn a_process_that_only_publishes_is_given_nothing() {
    run(async {
        let site = Site::new();
        let publisher = site.start().await;
        publisher.queue().publish(batch(1, [1])).await.unwrap();
        publisher.timers().schedule(sale(1), batch(1, [1]).accepted_at).await.unwrap();
        let (_connection, channel) = site.channel().await;
        for queue in ["requests.0", "requests.1", "payments"] {
            assert_eq!(site.consumers(&channel, queue).await, 0);
        }
        let consumer: Rabbit = site.start().await;
        assert_eq!(*next(&consumer.queue()).await.batch(), batch(1, [1]));
        assert_eq!(consumer.timers().next().await, Some(sale(1)));
    });
}

#[test]
fn a_wake_up_goes_to_one_process_and_outlives_the_one_that_asked_for_it() {
    run(async {
        let site = Site::new();
        let asking = site.start().await;
        for raw in 1..=10 {
            asking.timers().schedule(sale(raw), batch(1, []).accepted_at).await.unwrap();
        }
        asking.close().await;
        let (one, other) = (site.start().await, site.start().await);
        let timers = [one.timers(), other.timers()];
        let mut woken = Vec::new();
        while woken.len() < 10 {
            let [first, second] = timers.each_ref().map(|timers| timers.next());
            let (sale, _) = futures_util::future::select(first, second).await.factor_first();
            woken.extend(sale);
        }
        woken.sort_unstable();
        assert_eq!(woken, (1..=10).map(sale).collect::<Vec<_>>());
    });
}
