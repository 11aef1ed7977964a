//! Facts about tending a gate.

use super::*;
use crate::fakes::{FakeClock, HOLD, Node, now, sale_id};
use crate::manage_sale::pause_sale;
use crate::settle_sale::sweep;

/// Sweeps and repairs, and gives what became of the gate.
fn swept(node: &Node, tender: &mut GateTender) -> Vec<String> {
    now(sweep(&node.ports, tender)).unwrap();
    now(tender.repair_during(future::ready(())));
    node.journal.take().into_iter().filter(|entry| entry.starts_with("gate")).collect()
}

fn pass_a_second(clock: &FakeClock) {
    clock.pass(Duration::from_secs(1));
}

#[test]
fn a_gate_that_forgot_the_sale_is_loaded() {
    let (node, mut tender) = (Node::new(3, 0), GateTender::default());
    node.decide(&[1, 2]);
    node.gate.forget();
    assert_eq!(swept(&node, &mut tender), ["gate topped up with 2", "gate opened at version 2"]);
    assert_eq!(swept(&node, &mut tender), Vec::<String>::new());
}

#[test]
fn a_gate_that_lacks_claims_twice_is_topped_up_and_not_opened_anew() {
    let (node, mut tender) = (Node::new(3, 0), GateTender::default());
    node.decide(&[1, 2]);
    node.gate.lose_claims(1);
    assert_eq!(swept(&node, &mut tender), Vec::<String>::new(), "somebody may be about to tell it");
    assert_eq!(swept(&node, &mut tender), ["gate topped up with 2"]);
    assert_eq!(swept(&node, &mut tender), Vec::<String>::new());
}

#[test]
fn a_gate_that_stays_full_for_no_reason_is_loaded_anew() {
    let (node, mut tender) = (Node::new(3, 0), GateTender::default());
    node.decide(&[1]);
    node.gate.be_full();
    for _ in 0..2 {
        assert_eq!(swept(&node, &mut tender), Vec::<String>::new());
        pass_a_second(&node.clock);
    }
    assert_eq!(swept(&node, &mut tender), ["gate topped up with 1", "gate opened anew at version 2"]);
}

#[test]
fn a_gate_is_left_full_of_those_whose_requests_are_parked() {
    let (node, mut tender) = (Node::new(3, 0), GateTender::default());
    node.decide(&[1]);
    now(pause_sale(&node.ports, sale_id())).unwrap();
    node.gate.be_full();
    for _ in 0..5 {
        assert_eq!(swept(&node, &mut tender), Vec::<String>::new());
        pass_a_second(&node.clock);
    }
}

#[test]
fn a_gate_that_is_long_to_load_holds_up_no_sweep() {
    let (node, mut tender) = (Node::new(3, 0), GateTender::default());
    node.decide(&[1, 2]);
    node.gate.forget();
    now(sweep(&node.ports, &mut tender)).unwrap();
    node.clock.pass(HOLD);
    assert_eq!(now(sweep(&node.ports, &mut tender)).unwrap(), 2, "the deadlines that passed meanwhile");
}

#[test]
fn a_gate_is_left_full_while_there_is_nothing_to_get() {
    let (node, mut tender) = (Node::new(1, 0), GateTender::default());
    node.decide(&[1]);
    node.gate.be_full();
    for _ in 0..5 {
        assert_eq!(swept(&node, &mut tender), Vec::<String>::new());
        pass_a_second(&node.clock);
    }
}
