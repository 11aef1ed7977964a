use std::collections::{HashMap, HashSet};

use super::*;

fn topology() -> Topology {
    Topology::new(&RabbitConfig::new("amqp://127.0.0.1"))
}

fn argument<'a>(queue: &'a QueueDeclaration, name: &str) -> Option<&'a Argument> {
    queue.arguments.iter().find(|(given, _)| *given == name).map(|(_, value)| value)
}

fn text(queue: &QueueDeclaration, name: &str) -> Option<String> {
    argument(queue, name).map(|value| match value {
        Argument::Text(text) => text.clone(),
        Argument::Number(number) => panic!("{name} is the number {number}"),
    })
}

#[test]
fn every_queue_is_a_durable_quorum_queue_that_stays() {
    let options = QueueDeclareOptions::durable();
    assert!(options.durable && !options.exclusive && !options.auto_delete);
    for queue in topology().queues() {
        assert_eq!(text(&queue, "x-queue-type").as_deref(), Some("quorum"), "{}", queue.name);
    }
}

/// What quorum queues of both 3.10 and 4.x know. Not in it: `x-queue-mode`, `x-max-priority`, `x-expires` and all that
/// is of mirrored or classic queues.
#[test]
fn every_argument_is_one_that_old_and_new_brokers_know() {
    let known = HashSet::from([
        "x-queue-type",
        "x-message-ttl",
        "x-max-length",
        "x-delivery-limit",
        "x-overflow",
        "x-dead-letter-exchange",
        "x-dead-letter-routing-key",
        "x-dead-letter-strategy",
    ]);
    for queue in topology().queues() {
        for (name, _) in &queue.arguments {
            assert!(known.contains(name), "{name} of {}", queue.name);
        }
        let once: HashSet<_> = queue.arguments.iter().map(|(name, _)| name).collect();
        assert_eq!(once.len(), queue.arguments.len(), "an argument twice in {}", queue.name);
    }
}

#[test]
fn whatever_a_queue_gives_up_is_sent_on_at_least_once_to_a_queue_that_is_there() {
    let topology = topology();
    let queues = topology.queues();
    let bound: HashSet<(&str, &str)> = queues
        .iter()
        .flat_map(|queue| &queue.bindings)
        .map(|binding| (binding.exchange.as_str(), binding.key.as_str()))
        .collect();
    for queue in &queues {
        let limit = argument(queue, "x-delivery-limit");
        let comes_back_for_ever = limit == Some(&Argument::Number(DEAD_DELIVERIES_MAX));
        let gives_up =
            argument(queue, "x-message-ttl").is_some() || (limit.is_some() && !comes_back_for_ever);
        let Some(exchange) = text(queue, "x-dead-letter-exchange") else {
            assert!(!gives_up, "{} drops messages", queue.name);
            continue;
        };
        assert_eq!(text(queue, "x-dead-letter-strategy").as_deref(), Some("at-least-once"));
        assert_eq!(text(queue, "x-overflow").as_deref(), Some("reject-publish"));
        let own = queue.bindings.iter().map(|binding| binding.key.clone());
        let keys = text(queue, "x-dead-letter-routing-key").map_or_else(|| own.collect(), |key| vec![key]);
        for key in keys {
            assert!(
                bound.contains(&(exchange.as_str(), key.as_str())),
                "{} sends {key} to nowhere",
                queue.name
            );
        }
    }
}

#[test]
fn what_is_consumed_has_an_explicit_delivery_limit() {
    let topology = topology();
    let consumed = (0..topology.shards())
        .map(|shard| topology.requests_queue(shard))
        .chain([topology.payments_queue(), topology.dead_letter_queue()])
        .collect::<HashSet<_>>();
    for queue in topology.queues() {
        assert_eq!(
            argument(&queue, "x-delivery-limit").is_some(),
            consumed.contains(&queue.name),
            "{}",
            queue.name
        );
    }
}

#[test]
fn each_wait_has_a_queue_of_its_own_with_its_time_in_the_name() {
    let topology = topology();
    let queues: HashMap<_, _> =
        topology.queues().into_iter().map(|queue| (queue.name.clone(), queue)).collect();
    for wait in &topology.waits {
        let queue = &queues[&format!("miaosha.timers.wait.{}", wait.as_millis())];
        assert_eq!(argument(queue, "x-message-ttl"), Some(&Argument::Number(millis(*wait))));
    }
}

#[test]
fn every_exchange_that_is_bound_or_sent_to_is_declared() {
    let topology = topology();
    let declared = topology.exchanges();
    for queue in topology.queues() {
        let targets = queue.bindings.iter().map(|binding| binding.exchange.clone());
        for exchange in targets.chain(text(&queue, "x-dead-letter-exchange")) {
            assert!(declared.contains(&exchange), "{exchange}");
        }
    }
}

#[test]
fn sales_of_one_node_and_second_are_spread_over_all_shards() {
    let topology = topology();
    let mut sales = vec![0_u32; topology.shards()];
    for raw in 0..4_000_u64 {
        sales[topology.shard(SaleId::new((1_700_000_000_000 << 20) + raw).unwrap())] += 1;
    }
    assert!(sales.iter().all(|count| (800..1_200).contains(count)), "{sales:?}");
}

/// Processes of two versions must agree on it while the one replaces the other.
#[test]
fn the_shard_of_a_sale_never_changes() {
    let topology = topology();
    let shards = [1, 2, 3, 4, 5, u64::from(u32::MAX)].map(|raw| topology.shard(SaleId::new(raw).unwrap()));
    assert_eq!(shards, [1, 2, 0, 1, 3, 3]);
}
