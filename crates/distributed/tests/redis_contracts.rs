//! The contracts of the ports that Redis serves, on a real cluster.

#![expect(clippy::unwrap_used, reason = "a test panics where it fails")]

mod redis_scene;

use std::sync::Arc;

use miaosha_testkit::contract::bus::Bus;
use miaosha_testkit::contract::gate::Gate;
use miaosha_testkit::contract::people_cap::PeopleCap;
use miaosha_testkit::contract::turns::Turns;

async fn make_gate() -> Gate {
    let redis = redis_scene::connect().await;
    Gate { gate: redis.gate(), keep: Box::new(redis) }
}

async fn make_people_cap() -> PeopleCap {
    let redis = redis_scene::connect().await;
    PeopleCap { cap: redis.people_cap(), keep: Box::new(redis) }
}

async fn make_turns() -> Turns {
    let redis = redis_scene::connect().await;
    Turns { turns: redis.turns(), keep: Box::new(redis) }
}

async fn make_bus() -> Bus {
    let redis = redis_scene::connect().await;
    let bus = redis.bus();
    let shut_down = {
        let bus = Arc::clone(&bus);
        // The connection lives as long as this.
        move || {
            let _redis = &redis;
            bus.shut_down();
        }
    };
    Bus { bus, shut_down: Box::new(shut_down) }
}

miaosha_testkit::gate_contract!(make_gate);
miaosha_testkit::people_cap_contract!(make_people_cap);
miaosha_testkit::turns_contract!(make_turns);
miaosha_testkit::outcome_bus_contract!(make_bus);
