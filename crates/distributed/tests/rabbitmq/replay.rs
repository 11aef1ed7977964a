//! What was put aside is sent on where it belongs.

use lapin::options::{BasicPublishOptions, ConfirmSelectOptions, QueueDeleteOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Confirmation};
use miaosha_app::ports::{PortError, RequestQueue, TimerQueue};
use miaosha_distributed::rabbitmq::{Rabbit, Replayed};
use miaosha_testkit::contract::run;

use crate::scene::{Site, batch, sale};

/// Two sales of different shards, in a site of two.
const SALES: [u64; 2] = [1, 2];

/// Puts a message into the dead-letter queue.
async fn put_aside(site: &Site, channel: &Channel, properties: BasicProperties, body: &[u8]) {
    channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
    let (exchange, options) = (site.name("dead-letters").into(), BasicPublishOptions::default());
    let published = channel.basic_publish(exchange, "dead".into(), options, body, properties).await.unwrap();
    assert_eq!(published.await.unwrap(), Confirmation::Ack(None));
}

/// A wake-up as it travels.
fn wake_up(raw: u64, due_ms: i64) -> (BasicProperties, Vec<u8>) {
    let properties = BasicProperties::default().with_type("miaosha.wake-up.v1".into());
    (properties, [raw.to_be_bytes(), due_ms.to_be_bytes()].concat())
}

/// A batch of this person in the sale `raw`, put aside as one that cannot be decided.
async fn discard(rabbit: &Rabbit, raw: u64, person: u64) {
    rabbit.queue().publish(batch(raw, [person])).await.unwrap();
    rabbit.queue().next().await.unwrap().discard().await.unwrap();
}

#[test]
fn dead_letters_go_back_where_they_belong_and_what_nobody_can_read_stays() {
    run(async {
        let site = Site::new();
        let rabbit = site.start().await;
        for raw in SALES {
            discard(&rabbit, raw, 7).await;
        }
        let (_connection, channel) = site.channel().await;
        for (properties, body) in [wake_up(3, 0), wake_up(4, i64::MAX)] {
            put_aside(&site, &channel, properties, &body).await;
        }
        let mut headers = FieldTable::default();
        headers.insert("x-reason".into(), AMQPValue::LongString("from the future".into()));
        let unknown = BasicProperties::default().with_type("miaosha.batch.v9".into()).with_headers(headers);
        put_aside(&site, &channel, unknown, b"later").await;

        let replayed = rabbit.replay_dead_letters().await.unwrap();
        assert_eq!(replayed, Replayed { batches: 2, wake_ups: 2, undecodable: 1 });
        let mut back = [rabbit.queue().next().await.unwrap(), rabbit.queue().next().await.unwrap()];
        back.sort_by_key(|delivery| delivery.batch().sale);
        for (delivery, raw) in back.into_iter().zip(SALES) {
            assert_eq!((delivery.batch(), delivery.is_redelivered()), (&batch(raw, [7]), true));
            delivery.ack().await.unwrap();
        }
        assert_eq!(rabbit.timers().next().await, Some(sale(3)));
        assert_eq!(site.waiting(&channel, "timers.wait.60000").await, 1);

        let replayed = rabbit.replay_dead_letters().await.unwrap();
        assert_eq!(replayed, Replayed { batches: 0, wake_ups: 0, undecodable: 1 });
        let (kind, body, reason) = site.next_dead_letter(&channel).await;
        assert_eq!((kind.as_str(), body.as_slice()), ("miaosha.batch.v9", b"later".as_slice()));
        assert_eq!(reason.as_deref(), Some("from the future"));
        assert_eq!(rabbit.replay_dead_letters().await.unwrap(), Replayed::default());
    });
}

#[test]
fn a_dead_letter_that_cannot_be_sent_on_stays_until_it_can() {
    run(async {
        let site = Site::new();
        let rabbit = site.start().await;
        discard(&rabbit, 1, 7).await;
        let (_connection, channel) = site.channel().await;
        for shard in 0..site.config.shards {
            let name = site.name(&format!("requests.{shard}"));
            channel.queue_delete(name.into(), QueueDeleteOptions::default()).await.unwrap();
        }
        let refused = rabbit.replay_dead_letters().await;
        assert!(matches!(refused, Err(PortError::Retryable { .. })), "{refused:?}");

        // The queues are declared again. The broker gives the letter back a moment after a call has failed.
        let replayed = loop {
            while site.waiting(&channel, "dead-letters").await == 0 {}
            match rabbit.replay_dead_letters().await {
                Ok(replayed) => break replayed,
                Err(error) => assert!(!error.is_terminal(), "{error}"),
            }
        };
        assert_eq!(replayed, Replayed { batches: 1, wake_ups: 0, undecodable: 0 });
        assert_eq!(*rabbit.queue().next().await.unwrap().batch(), batch(1, [7]));
    });
}
