//! What `RequestQueue` and `Delivery` promise.
//!
//! A queue may answer a publisher when the batch is stored, or only when it is decided; the facts hold for both.

use std::pin::pin;
use std::sync::Arc;

use futures_util::future::{Either, join, join_all, select};
use miaosha_app::model::RequestBatch;
use miaosha_app::ports::{Delivery, RequestQueue};
use miaosha_domain::decide::Ask;
use miaosha_domain::time::Timestamp;

use super::poll_once;
use super::scene::{SALE, sale_id, user};

/// An empty queue, and how to shut it down.
pub struct Queue {
    /// The queue.
    pub queue: Arc<dyn RequestQueue>,
    /// Shuts it down.
    pub shut_down: Box<dyn Fn() + Send>,
}

impl std::fmt::Debug for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Queue").finish_non_exhaustive()
    }
}

/// Runs the suite of `RequestQueue` on the [`Queue`](contract::queue::Queue) that `$make` gives.
#[macro_export]
macro_rules! request_queue_contract {
    ($make:expr) => {
        $crate::contract_suite! { request_queue_contract, $make, queue, [
            a_batch_is_delivered_whole_and_for_the_first_time,
            a_publisher_is_answered_once_its_batch_is_acknowledged,
            batches_of_one_sale_come_in_the_order_of_their_calls,
            a_waiting_consumer_gets_what_is_published_later,
            an_acknowledged_batch_does_not_come_again,
            a_dropped_delivery_comes_again_and_says_so,
            a_batch_survives_its_publisher,
            a_parked_batch_comes_again_or_its_publisher_is_told,
            a_split_batch_comes_as_one_batch_for_each_person,
            one_part_of_a_split_batch_comes_again_alone,
            a_discarded_batch_does_not_come_again,
            a_consumer_that_gives_up_waiting_takes_nothing,
            after_the_shutdown_nothing_is_delivered_or_taken,
            the_shutdown_ends_the_wait,
        ] }
    };
}

fn batch(people: &[u64]) -> RequestBatch {
    let ask = |raw: &u64| Ask { user: user(*raw), quantity: 1 };
    let accepted_at = Timestamp::from_millis(1_700_000_000_000);
    RequestBatch { sale: SALE, asks: people.iter().map(ask).collect(), accepted_at }
}

async fn next(queue: &Queue) -> Box<dyn Delivery> {
    queue.queue.next().await.expect("the queue is not shut down")
}

/// Acknowledges until so many people have come, in however many deliveries; they, in order.
async fn take(queue: &Queue, count: usize) -> Vec<u64> {
    let mut people = Vec::new();
    while people.len() < count {
        let delivery = next(queue).await;
        people.extend(delivery.batch().asks.iter().map(|ask| ask.user.get()));
        delivery.ack().await.unwrap();
    }
    people
}

/// "What is to be decided", and not "an earlier delivery".
pub async fn a_batch_is_delivered_whole_and_for_the_first_time(queue: Queue) {
    let sent = RequestBatch { sale: sale_id(9), ..batch(&[3, 1, 3, 2]) };
    let consume = async {
        let delivery = next(&queue).await;
        assert_eq!(*delivery.batch(), sent);
        assert!(!delivery.is_redelivered());
        delivery.ack().await.unwrap();
    };
    let (published, ()) = join(queue.queue.publish(sent.clone()), consume).await;
    published.unwrap();
}

/// "`Ok` means that it … will be decided, at least once": by then at the latest it is told.
pub async fn a_publisher_is_answered_once_its_batch_is_acknowledged(queue: Queue) {
    let publishers = join_all((1..9).map(|raw| queue.queue.publish(batch(&[raw]))));
    let (published, taken) = join(publishers, take(&queue, 8)).await;
    assert!(published.iter().all(Result::is_ok));
    assert_eq!(taken.len(), 8);
}

/// "Batches of one caller and one sale are delivered in the order of their calls", "batches of one sale may come as
/// one, in order".
pub async fn batches_of_one_sale_come_in_the_order_of_their_calls(queue: Queue) {
    let publishers = join_all((1..50).map(|raw| queue.queue.publish(batch(&[raw]))));
    let (_, taken) = join(publishers, take(&queue, 49)).await;
    assert_eq!(taken, (1..50).collect::<Vec<_>>());
}

/// "Waits for the next delivery."
pub async fn a_waiting_consumer_gets_what_is_published_later(queue: Queue) {
    let mut waiting = pin!(queue.queue.next());
    assert!(poll_once(waiting.as_mut()).await.is_none());
    let consume = async { waiting.await.unwrap().ack().await };
    let (published, acknowledged) = join(queue.queue.publish(batch(&[1])), consume).await;
    published.and(acknowledged).unwrap();
}

/// "Done: it does not come again."
pub async fn an_acknowledged_batch_does_not_come_again(queue: Queue) {
    for raw in 1..=2 {
        let (_, taken) = join(queue.queue.publish(batch(&[raw])), take(&queue, 1)).await;
        assert_eq!(taken, [raw]);
    }
    assert!(poll_once(queue.queue.next().as_mut()).await.is_none());
}

/// "A delivery that is dropped before it is settled comes again", and then "may have been decided".
pub async fn a_dropped_delivery_comes_again_and_says_so(queue: Queue) {
    let consume = async {
        drop(next(&queue).await);
        for _ in 0..2 {
            let again = next(&queue).await;
            assert_eq!(*again.batch(), batch(&[1, 2]));
            assert!(again.is_redelivered());
            drop(again);
        }
        next(&queue).await.ack().await.unwrap();
    };
    let (published, ()) = join(queue.queue.publish(batch(&[1, 2])), consume).await;
    published.unwrap();
}

/// A publisher that goes away once it has called takes nothing back: "it may still be decided".
pub async fn a_batch_survives_its_publisher(queue: Queue) {
    {
        let mut publishing = queue.queue.publish(batch(&[1]));
        let consume = next(&queue);
        match select(publishing.as_mut(), pin!(consume)).await {
            Either::Left((published, consume)) => {
                published.unwrap();
                drop(consume.await);
            }
            Either::Right((delivery, _)) => drop(delivery),
        }
    }
    let again = next(&queue).await;
    assert_eq!(*again.batch(), batch(&[1]));
    again.ack().await.unwrap();
}

/// "The batch comes again later, or its publisher is told (by an error) that it was not taken."
pub async fn a_parked_batch_comes_again_or_its_publisher_is_told(queue: Queue) {
    let consume = async { next(&queue).await.park().await.unwrap() };
    let (published, ()) = join(queue.queue.publish(batch(&[1])), consume).await;
    if published.is_ok() {
        let again = next(&queue).await;
        assert_eq!(*again.batch(), batch(&[1]));
        again.ack().await.unwrap();
    }
}

/// "Replaces the batch by one batch per person", "each of them comes alone".
pub async fn a_split_batch_comes_as_one_batch_for_each_person(queue: Queue) {
    let consume = async {
        next(&queue).await.split().await.unwrap();
        let mut people = Vec::new();
        for _ in 0..3 {
            let part = next(&queue).await;
            assert_eq!((part.batch().sale, part.batch().asks.len()), (SALE, 1));
            assert_eq!(part.batch().accepted_at, batch(&[]).accepted_at);
            people.push(part.batch().asks[0].user.get());
            part.ack().await.unwrap();
        }
        people.sort_unstable();
        assert_eq!(people, [1, 2, 3]);
        assert!(poll_once(queue.queue.next().as_mut()).await.is_none());
    };
    let (published, ()) = join(queue.queue.publish(batch(&[1, 2, 3])), consume).await;
    published.unwrap();
}

/// "Durable before this one is settled": the parts are batches like any other.
pub async fn one_part_of_a_split_batch_comes_again_alone(queue: Queue) {
    let consume = async {
        next(&queue).await.split().await.unwrap();
        let first = next(&queue).await;
        let alone = first.batch().clone();
        drop(first);
        let mut seen = Vec::new();
        for _ in 0..2 {
            let part = next(&queue).await;
            seen.push((part.batch().clone(), part.is_redelivered()));
            part.ack().await.unwrap();
        }
        assert!(seen.contains(&(alone, true)));
        assert_eq!(seen.iter().filter(|(_, is_redelivered)| *is_redelivered).count(), 1);
    };
    let (published, ()) = join(queue.queue.publish(batch(&[1, 2])), consume).await;
    published.unwrap();
}

/// "Puts the batch aside for a human."
pub async fn a_discarded_batch_does_not_come_again(queue: Queue) {
    let discard = async { next(&queue).await.discard().await };
    let (_, discarded) = join(queue.queue.publish(batch(&[1])), discard).await;
    discarded.unwrap();
    let (published, taken) = join(queue.queue.publish(batch(&[2])), take(&queue, 1)).await;
    published.unwrap();
    assert_eq!(taken, [2]);
    assert!(poll_once(queue.queue.next().as_mut()).await.is_none());
}

/// Waiting can be given up without losing what comes.
pub async fn a_consumer_that_gives_up_waiting_takes_nothing(queue: Queue) {
    for _ in 0..3 {
        assert!(poll_once(queue.queue.next().as_mut()).await.is_none());
    }
    let consume = async {
        let delivery = next(&queue).await;
        assert_eq!(*delivery.batch(), batch(&[1]));
        delivery.ack().await.unwrap();
    };
    let (published, ()) = join(queue.queue.publish(batch(&[1])), consume).await;
    published.unwrap();
}

/// "`None` once the queue is shut down."
pub async fn after_the_shutdown_nothing_is_delivered_or_taken(queue: Queue) {
    (queue.shut_down)();
    assert!(queue.queue.next().await.is_none());
    assert!(queue.queue.publish(batch(&[1])).await.is_err());
}

/// "`None` once the queue is shut down", also for who waits.
pub async fn the_shutdown_ends_the_wait(queue: Queue) {
    let mut waiting = pin!(queue.queue.next());
    assert!(poll_once(waiting.as_mut()).await.is_none());
    (queue.shut_down)();
    assert!(waiting.await.is_none());
}
