//! Redis forgets, stands still, fails over, or is gone: calls fail soon, nothing is heard wrongly, and everything is
//! normal soon after its return.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use super::nodes::{Nodes, until};
use miaosha_app::model::Outcomes;
use miaosha_app::ports::{Admission, BusEvent, Gate, OutcomeBus, OutcomeSubscription, PeopleCap, PortResult};
use miaosha_distributed::redis::{OpenError, Redis, RedisConfig};
use miaosha_domain::gate::GateLimit;
use miaosha_domain::ids::{SaleId, UserId};
use miaosha_embedded::OsRandom;
use miaosha_testkit::contract::scene::{SALE, sale_id, user};
use tokio::time::{Instant, timeout};

/// Everything is normal this long after a return.
const RECOVERED_WITHIN: Duration = Duration::from_secs(5);
/// A call that fails at once takes less than this, also on a busy machine.
const AT_ONCE: Duration = Duration::from_millis(100);
/// What a request's path allows, and what a busy machine adds.
const REQUEST_MAX: Duration = Duration::from_millis(600);
const LIMIT: GateLimit = GateLimit { people_max: 1, claims: 0, version: 1 };

async fn connect(nodes: &Nodes) -> Redis {
    Redis::connect(&RedisConfig::new(nodes.addresses()), &OsRandom).await.unwrap()
}

async fn admit(redis: &Redis, sale: SaleId) -> PortResult<Admission> {
    redis.gate().admit(sale, &[user(1), user(2)]).await
}

/// Whether it let the first of the two through, as its limit says.
fn is_sorted(admission: &Admission) -> bool {
    matches!(admission, Admission::Sorted(passages) if passages.iter().map(|passage| passage.passes()).eq([true, false]))
}

/// Opens the gate of [`SALE`] and sees that it works.
async fn use_gate(redis: &Redis) {
    redis.gate().open(SALE, LIMIT).await.unwrap();
    assert!(is_sorted(&admit(redis, SALE).await.unwrap()));
}

async fn until_gate_answers(redis: &Redis) -> Duration {
    until("the gate answers", async || admit(redis, SALE).await.is_ok()).await
}

fn news(number: u64) -> Arc<Outcomes> {
    Arc::new(Outcomes::of_rejected(SALE, vec![user(number)]))
}

fn people(event: &BusEvent) -> Vec<UserId> {
    match event {
        BusEvent::News(outcomes) => outcomes.rejected.clone(),
        BusEvent::Gap | BusEvent::Reading(_) | BusEvent::Closed => Vec::new(),
    }
}

/// Waits for news of this person; whether a gap was heard on the way.
async fn hear(follower: &mut Box<dyn OutcomeSubscription>, number: u64) -> bool {
    let mut has_gap = false;
    loop {
        let event = timeout(Duration::from_secs(20), follower.next()).await.expect("nothing is heard");
        has_gap |= matches!(event, BusEvent::Gap);
        if people(&event) == [user(number)] {
            return has_gap;
        }
    }
}

/// Publishes until the other process hears something; it was told of a gap before.
async fn until_heard_after_a_gap(
    teller: &Redis,
    follower: &mut Box<dyn OutcomeSubscription>,
    numbers: std::ops::RangeFrom<u64>,
) -> Duration {
    let began = Instant::now();
    let mut has_gap = false;
    for number in numbers {
        teller.bus().publish(news(number));
        while let Ok(event) = timeout(Duration::from_millis(50), follower.next()).await {
            has_gap |= matches!(event, BusEvent::Gap);
            if has_gap && !people(&event).is_empty() {
                return began.elapsed();
            }
        }
        assert!(began.elapsed() < Duration::from_secs(30), "waited in vain for a gap and news after it");
    }
    unreachable!("there are many numbers")
}

#[tokio::test]
async fn one_process_hears_what_another_publishes_and_no_gap() {
    let nodes = Nodes::cluster(0).await;
    let (ann, ben) = (connect(&nodes).await, connect(&nodes).await);
    let (mut of_ann, mut of_ben) = (ann.bus().subscribe(), ben.bus().subscribe());
    for number in 1..=100 {
        ann.bus().publish(news(number));
    }
    for number in 1..=100 {
        assert!(!hear(&mut of_ben, number).await);
        assert!(!hear(&mut of_ann, number).await);
    }
    // Had Ann's news come back to her, it would be heard before this.
    ben.bus().publish(news(101));
    assert_eq!(people(&of_ann.next().await), [user(101)]);
}

#[tokio::test]
async fn without_redis_calls_fail_at_once_and_afterwards_all_is_normal() {
    let mut nodes = Nodes::cluster(0).await;
    let (ann, ben) = (connect(&nodes).await, connect(&nodes).await);
    let (mut of_ann, mut of_ben) = (ann.bus().subscribe(), ben.bus().subscribe());
    use_gate(&ann).await;
    for number in nodes.numbers() {
        nodes.kill(number);
    }
    until("the outage is noticed", async || admit(&ann, SALE).await.is_err()).await;
    for sale in 1..200 {
        let asked = Instant::now();
        assert!(!admit(&ann, sale_id(sale)).await.unwrap_err().is_terminal());
        assert!(ann.people_cap().lease(sale_id(sale), 1, 1, 1).await.is_err());
        assert!(asked.elapsed() < AT_ONCE, "{:?}", asked.elapsed());
    }
    ann.bus().publish(news(1));
    hear(&mut of_ann, 1).await;
    for number in nodes.numbers() {
        nodes.start(number);
    }
    nodes.until_ready().await;
    let took = until_gate_answers(&ann).await;
    assert!(took < RECOVERED_WITHIN, "{took:?}");
    assert_eq!(admit(&ann, SALE).await.unwrap(), Admission::Unknown);
    use_gate(&ann).await;
    let took = until_heard_after_a_gap(&ann, &mut of_ben, 2..).await;
    assert!(took < RECOVERED_WITHIN, "{took:?}");
    ben.bus().publish(news(1_000_000));
    hear(&mut of_ann, 1_000_000).await;
}

#[tokio::test]
async fn a_process_that_starts_without_redis_uses_it_when_it_comes() {
    let mut nodes = Nodes::cluster(0).await;
    for number in nodes.numbers() {
        nodes.kill(number);
    }
    let ann = connect(&nodes).await;
    let mut of_ann = ann.bus().subscribe();
    assert!(admit(&ann, SALE).await.is_err());
    for number in nodes.numbers() {
        nodes.start(number);
    }
    nodes.until_ready().await;
    until_gate_answers(&ann).await;
    use_gate(&ann).await;
    let ben = connect(&nodes).await;
    until_heard_after_a_gap(&ben, &mut of_ann, 1..).await;
}

#[tokio::test]
async fn a_replica_takes_over_from_a_master_that_is_killed() {
    let mut nodes = Nodes::cluster(1).await;
    let (ann, ben) = (connect(&nodes).await, connect(&nodes).await);
    let mut of_ben = ben.bus().subscribe();
    use_gate(&ann).await;
    let master = nodes.master_of(&format!("{{sale:{SALE}}}"));
    let others: Vec<SaleId> = (1..100)
        .map(sale_id)
        .filter(|sale| nodes.master_of(&format!("{{sale:{sale}}}")) != master)
        .take(10)
        .collect();
    nodes.kill(master);
    until_gate_answers(&ann).await;
    // The replica had the gate and the functions.
    until("the gate is as it was", async || {
        admit(&ann, SALE).await.is_ok_and(|admission| is_sorted(&admission))
    })
    .await;
    for sale in others {
        until("the others answer", async || admit(&ann, sale).await.is_ok()).await;
    }
    until_heard_after_a_gap(&ann, &mut of_ben, 1..).await;
}

#[tokio::test]
async fn a_replica_takes_over_from_a_master_that_stands_still() {
    let nodes = Nodes::cluster(1).await;
    let (ann, ben) = (connect(&nodes).await, connect(&nodes).await);
    let mut of_ben = ben.bus().subscribe();
    use_gate(&ann).await;
    let master = nodes.master_of(&format!("{{sale:{SALE}}}"));
    let mut sales = (1..100).map(sale_id);
    let other = sales.find(|sale| nodes.master_of(&format!("{{sale:{sale}}}")) != master).unwrap();
    nodes.signal(master, "-STOP");
    let was_refused = async |sale| ann.gate().was_refused(sale, user(2)).await.is_ok();
    assert!(!was_refused(SALE).await);
    assert!(was_refused(other).await, "the other masters answer");
    let took = until("both answer", async || was_refused(SALE).await && was_refused(other).await).await;
    assert!(took < 2 * RECOVERED_WITHIN, "{took:?}");
    let took = until_heard_after_a_gap(&ann, &mut of_ben, 1..).await;
    assert!(took < 2 * RECOVERED_WITHIN, "{took:?}");
    // It comes back as a replica, and nobody is misled by it.
    nodes.signal(master, "-CONT");
    nodes.until("it follows", || nodes.says(master, &["info", "replication"]).contains("role:slave")).await;
    nodes.until_ready().await;
    until("both answer", async || was_refused(SALE).await && was_refused(other).await).await;
    assert!(is_sorted(&admit(&ann, SALE).await.unwrap()));
}

#[tokio::test]
async fn while_one_node_is_away_the_others_serve_their_sales_and_their_news() {
    let mut nodes = Nodes::cluster(0).await;
    for number in nodes.numbers() {
        nodes.says(number, &["config", "set", "cluster-require-full-coverage", "no"]);
    }
    let (ann, ben) = (connect(&nodes).await, connect(&nodes).await);
    let mut of_ben = ben.bus().subscribe();
    let sales: Vec<SaleId> = (1..=40).map(sale_id).collect();
    let (of_lost, of_others): (Vec<_>, Vec<_>) =
        sales.iter().partition(|sale| nodes.master_of(&format!("{{sale:{sale}}}")) == 0);
    assert!(!of_lost.is_empty() && !of_others.is_empty());
    nodes.kill(0);
    until("the outage is noticed", async || admit(&ann, of_lost[0]).await.is_err()).await;
    for sale in of_others {
        until("the others answer", async || admit(&ann, sale).await.is_ok()).await;
    }
    assert!(admit(&ann, of_lost[0]).await.is_err());
    let mut has_gap = false;
    until("news of some sales is heard, after a gap", async || {
        for sale in &sales {
            ann.bus().publish(Arc::new(Outcomes { sale: *sale, ..(*news(1)).clone() }));
        }
        while let Ok(event) = timeout(Duration::from_millis(50), of_ben.next()).await {
            has_gap |= matches!(event, BusEvent::Gap);
            if has_gap && people(&event) == [user(1)] {
                return true;
            }
        }
        false
    })
    .await;
    nodes.start(0);
    nodes.until_ready().await;
    let mut unheard: HashSet<SaleId> = sales.iter().copied().collect();
    until("news of all sales is heard", async || {
        for sale in &unheard {
            ann.bus().publish(Arc::new(Outcomes { sale: *sale, ..(*news(2)).clone() }));
        }
        while let Ok(event) = timeout(Duration::from_millis(50), of_ben.next()).await {
            if let BusEvent::News(outcomes) = event
                && outcomes.rejected == [user(2)]
            {
                unheard.remove(&outcomes.sale);
            }
        }
        unheard.is_empty()
    })
    .await;
}

#[tokio::test]
async fn a_flushed_redis_knows_no_sale_and_gets_the_functions_again() {
    let nodes = Nodes::cluster(0).await;
    let ann = connect(&nodes).await;
    use_gate(&ann).await;
    for number in nodes.numbers() {
        nodes.says(number, &["flushall"]);
        nodes.says(number, &["function", "flush"]);
    }
    assert_eq!(admit(&ann, SALE).await.unwrap(), Admission::Unknown);
    use_gate(&ann).await;
    for number in nodes.numbers() {
        nodes.says(number, &["function", "flush"]);
    }
    assert_eq!(ann.people_cap().lease(SALE, 1, 5, 10).await.unwrap(), 5);
}

#[tokio::test]
async fn cut_connections_are_made_anew() {
    let nodes = Nodes::cluster(0).await;
    let (ann, ben) = (connect(&nodes).await, connect(&nodes).await);
    let mut of_ben = ben.bus().subscribe();
    use_gate(&ann).await;
    for _ in 0..3 {
        for number in nodes.numbers() {
            nodes.says(number, &["client", "kill", "type", "normal"]);
            nodes.says(number, &["client", "kill", "type", "pubsub"]);
        }
        let took = until_gate_answers(&ann).await;
        assert!(took < RECOVERED_WITHIN, "{took:?}");
        let took = until_heard_after_a_gap(&ann, &mut of_ben, 1..).await;
        assert!(took < RECOVERED_WITHIN, "{took:?}");
    }
}

#[tokio::test]
async fn a_node_that_stands_still_holds_up_nobody_for_long() {
    let nodes = Nodes::cluster(0).await;
    let (ann, ben) = (connect(&nodes).await, connect(&nodes).await);
    let mut of_ben = ben.bus().subscribe();
    use_gate(&ann).await;
    let master = nodes.master_of(&format!("{{sale:{SALE}}}"));
    nodes.signal(master, "-STOP");
    let asked = Instant::now();
    assert!(ann.gate().was_refused(SALE, user(2)).await.is_err());
    assert!(asked.elapsed() < REQUEST_MAX, "{:?}", asked.elapsed());
    let asked = Instant::now();
    for _ in 0..20 {
        assert!(ann.gate().was_refused(SALE, user(2)).await.is_err());
    }
    assert!(asked.elapsed() < REQUEST_MAX, "{:?}", asked.elapsed());
    nodes.signal(master, "-CONT");
    nodes.until_ready().await;
    let took = until_gate_answers(&ann).await;
    assert!(took < RECOVERED_WITHIN, "{took:?}");
    assert!(ann.gate().was_refused(SALE, user(2)).await.unwrap());
    // Nothing was cut, so this is about the news going on, with a gap or without.
    ann.bus().publish(news(1));
    let (mut number, heard) = (1, Instant::now());
    loop {
        if let Ok(event) = timeout(Duration::from_millis(50), of_ben.next()).await
            && !people(&event).is_empty()
        {
            break;
        }
        number += 1;
        ann.bus().publish(news(number));
        assert!(heard.elapsed() < RECOVERED_WITHIN, "nothing is heard");
    }
}

#[tokio::test]
async fn a_single_node_is_enough_for_development() {
    let mut nodes = Nodes::single().await;
    let (ann, ben) = (connect(&nodes).await, connect(&nodes).await);
    let mut of_ben = ben.bus().subscribe();
    use_gate(&ann).await;
    assert_eq!(ann.people_cap().lease(SALE, 1, 5, 10).await.unwrap(), 5);
    ann.bus().publish(news(1));
    assert!(!hear(&mut of_ben, 1).await);
    nodes.kill(0);
    until("the outage is noticed", async || admit(&ann, SALE).await.is_err()).await;
    nodes.start(0);
    let took = until_gate_answers(&ann).await;
    assert!(took < RECOVERED_WITHIN, "{took:?}");
    use_gate(&ann).await;
    until_heard_after_a_gap(&ann, &mut of_ben, 2..).await;
}

#[tokio::test]
async fn nodes_that_are_no_cluster_are_refused() {
    let (one, other) = (Nodes::single().await, Nodes::single().await);
    let nodes = [one.addresses(), other.addresses()].concat();
    let refused = Redis::connect(&RedisConfig::new(nodes), &OsRandom).await;
    assert!(matches!(refused, Err(OpenError::NotACluster)));
}

#[tokio::test]
async fn what_is_closed_answers_nothing_and_ends_its_followers() {
    let nodes = Nodes::single().await;
    let ann = connect(&nodes).await;
    let mut of_ann = ann.bus().subscribe();
    use_gate(&ann).await;
    for _ in 0..2 {
        ann.close().await;
        assert!(admit(&ann, SALE).await.is_err());
        assert!(matches!(of_ann.next().await, BusEvent::Closed));
    }
}
