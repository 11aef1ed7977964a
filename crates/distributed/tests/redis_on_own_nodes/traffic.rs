//! What Redis sees of this program, keys and messages, and what the program makes of messages that it did not expect.

use std::sync::Arc;
use std::time::Duration;

use super::nodes::Nodes;
use miaosha_app::model::Outcomes;
use miaosha_app::ports::{BusEvent, Gate, GateUpdate, OutcomeBus, OutcomeSubscription, PeopleCap};
use miaosha_distributed::redis::{Redis, RedisConfig};
use miaosha_domain::claim::{Claim, ClaimStatus};
use miaosha_domain::gate::GateLimit;
use miaosha_embedded::OsRandom;
use miaosha_testkit::contract::scene::{SALE, sale_id, user};
use tokio::time::{sleep, timeout};

const LIMIT: GateLimit = GateLimit { people_max: 3, claims: 0, version: 1 };
const DAY_S: i64 = 24 * 60 * 60;
const LEASE_S: i64 = 10;

async fn connect(nodes: &Nodes) -> Redis {
    let config = RedisConfig { key_prefix: "site-7:".to_owned(), ..RedisConfig::new(nodes.addresses()) };
    Redis::connect(&config, &OsRandom).await.unwrap()
}

async fn next(follower: &mut Box<dyn OutcomeSubscription>) -> BusEvent {
    timeout(Duration::from_secs(20), follower.next()).await.expect("nothing is heard")
}

fn news(number: u64) -> Arc<Outcomes> {
    Arc::new(Outcomes::of_rejected(SALE, vec![user(number)]))
}

/// Says something on every channel, in the name of nobody that there is.
fn say(nodes: &Nodes, message: &str) {
    for channel in 0..8 {
        let heard = nodes.says(0, &["spublish", &format!("site-7:outcomes:{channel}"), message]);
        assert_eq!(heard.trim(), "1", "one process listens");
    }
}

#[tokio::test]
async fn every_key_carries_the_prefix_and_the_tag_of_its_sale_and_is_forgotten_some_day() {
    let nodes = Nodes::single().await;
    let redis = connect(&nodes).await;
    let gate = redis.gate();
    let claim = |seq| Claim {
        sale: SALE,
        user: user(seq),
        status: ClaimStatus::Reserved,
        rev: 1,
        seq,
        quantity: 1,
        deadline: None,
        hold_until: None,
        payment: None,
        restocked: false,
    };
    gate.top_up(SALE, &[claim(1)]).await.unwrap();
    gate.top_up(sale_id(1), &[claim(1)]).await.unwrap();
    gate.open(SALE, LIMIT).await.unwrap();
    gate.admit(SALE, &[user(2), user(3), user(4)]).await.unwrap();
    let claims = [claim(2)];
    gate.update(SALE, GateUpdate { limit: LIMIT, claims: &claims, rejected: &[] }).await.unwrap();
    redis.people_cap().lease(SALE, 1, 1, 1).await.unwrap();
    let keys = nodes.says(0, &["keys", "*"]);
    assert_eq!(keys.lines().count(), 6, "four of a gate, one of another, and leases: {keys}");
    for key in keys.lines() {
        let is_of_a_sale =
            ["site-7:{sale:7001}:v1:", "site-7:{sale:1}:v1:"].iter().any(|tag| key.starts_with(tag));
        assert!(is_of_a_sale, "{key}");
        let left_s: i64 = nodes.says(0, &["ttl", key]).trim().parse().unwrap();
        let kept_s = if key.ends_with(":leases") { LEASE_S } else { DAY_S };
        assert!((kept_s - 5..=kept_s).contains(&left_s), "{key} is kept for {left_s} s");
    }
}

#[tokio::test]
async fn a_message_that_cannot_be_read_is_a_gap() {
    let nodes = Nodes::single().await;
    let redis = connect(&nodes).await;
    for message in ["outcomes.v2 1 1\n{}", "outcomes.v1 1 0\n{\"sale\":1}", "hello"] {
        let mut follower = redis.bus().subscribe();
        say(&nodes, message);
        assert!(matches!(next(&mut follower).await, BusEvent::Gap), "{message}");
    }
}

#[tokio::test]
async fn a_hole_in_the_numbers_of_a_process_is_a_gap_and_a_repetition_is_none() {
    let nodes = Nodes::single().await;
    let redis = connect(&nodes).await;
    let mut follower = redis.bus().subscribe();
    let body = r#"{"sale":"7001","book":null,"claims":[],"rejected":["5"]}"#;
    for number in [1, 2, 2, 1, 3] {
        say(&nodes, &format!("outcomes.v1 1 {number}\n{body}"));
    }
    say(&nodes, "outcomes.v1 1 3\n");
    say(&nodes, "outcomes.v1 2 0\n");
    for _ in 0..5 * 8 {
        let BusEvent::News(outcomes) = next(&mut follower).await else { panic!("there is no hole") };
        assert_eq!(*outcomes, *news(5));
    }
    say(&nodes, "outcomes.v1 1 4\n");
    assert!(matches!(next(&mut follower).await, BusEvent::Gap), "the last news was lost");
}

#[tokio::test]
async fn what_does_not_fit_the_way_to_others_is_a_gap_for_them() {
    const MANY: u64 = 50_000;
    let nodes = Nodes::single().await;
    let (ann, ben) = (connect(&nodes).await, connect(&nodes).await);
    let mut of_ben = ben.bus().subscribe();
    for number in 1..=MANY {
        ann.bus().publish(news(number));
    }
    let mut heard = 0;
    while let BusEvent::News(_) = next(&mut of_ben).await {
        heard += 1;
    }
    assert!(heard < MANY, "nobody waited");
    // Afterwards all goes on.
    ann.bus().publish(news(MANY + 1));
    loop {
        if let BusEvent::News(outcomes) = next(&mut of_ben).await
            && *outcomes == *news(MANY + 1)
        {
            break;
        }
    }
}

#[tokio::test]
async fn however_many_processes_listen_few_say_that_a_channel_delivers() {
    const PROCESSES: usize = 8;
    const CHANNELS: usize = 8;
    const SECONDS: usize = 6;
    let nodes = Nodes::single().await;
    let mut processes = Vec::new();
    for _ in 0..PROCESSES {
        processes.push(connect(&nodes).await);
    }
    let mut followers: Vec<_> = processes.iter().map(|process| process.bus().subscribe()).collect();
    nodes.says(0, &["config", "resetstat"]);
    sleep(Duration::from_secs(SECONDS as u64)).await;
    let stats = nodes.says(0, &["info", "commandstats"]);
    let said = stats.lines().find_map(|line| line.strip_prefix("cmdstat_spublish:calls=")?.split(',').next());
    let said: usize = said.expect("something was said").parse().unwrap();
    // One speaker says something at least every two seconds and at most each second; on some channels two have all but
    // the same patience. If everybody spoke it would be eight times as much.
    let (at_least, at_most) = (CHANNELS * (SECONDS / 2 - 1), CHANNELS * SECONDS * 2);
    assert!((at_least..=at_most).contains(&said), "{said} messages");
    // The silence of most was no gap, and all still hear.
    processes[0].bus().publish(news(1));
    for follower in &mut followers {
        assert!(matches!(next(follower).await, BusEvent::News(_)));
    }
}
