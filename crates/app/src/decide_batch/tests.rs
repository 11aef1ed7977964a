//! Facts about deciding a delivery.

use futures_util::FutureExt as _;
use miaosha_domain::ids::SaleId;

use super::*;
use crate::fakes::{FakeDelivery, Fault, Node, now, sale_id, user};
use crate::manage_sale::{close_sale, pause_sale};

/// Decides a delivery of these people to its end.
fn deliver(node: &Node, people: &[u64]) {
    now(decide_batch(&node.ports, Box::new(FakeDelivery::new(&node.journal, people)))).unwrap();
}

#[test]
fn people_are_told_after_the_commit_and_the_batch_is_acknowledged_last() {
    let node = Node::new(2, 1);
    deliver(&node, &[1, 2, 3, 4]);
    assert_eq!(
        node.journal.take(),
        [
            "wrote 1 reserved, 2 reserved, 3 standby",
            "told 1 reserved, 2 reserved, 3 standby, 4 rejected",
            "timer +10000",
            "acked",
        ]
    );
}

#[test]
fn the_gate_is_asked_before_the_turn_and_people_are_told_after_it() {
    let node = Node::new(2, 0);
    node.gate.refuse(&[2]);
    let delivery = FakeDelivery::new(&node.journal, &[1, 2]).noting_turns();
    now(decide_batch(&node.ports, Box::new(delivery))).unwrap();
    let expected = [
        "told 2 rejected",
        "turn",
        "wrote 1 reserved",
        "turn over",
        "told 1 reserved",
        "timer +10000",
        "acked",
    ];
    assert_eq!(node.journal.take(), expected);
}

#[test]
fn a_redelivered_batch_only_tells_again() {
    let node = Node::new(1, 1);
    deliver(&node, &[1, 2]);
    node.journal.take();
    let book = node.store.book();
    deliver(&node, &[1, 2]);
    assert_eq!(node.journal.take(), ["told 1 reserved, 2 standby", "timer +10000", "acked"]);
    assert_eq!(node.store.book(), book);
}

#[test]
fn a_commit_whose_answer_was_lost_is_found_and_not_repeated() {
    let node = Node::new(1, 1);
    node.faults.next("sale commit", Fault::AnswerLost);
    let mut deciding =
        Box::pin(decide_batch(&node.ports, Box::new(FakeDelivery::new(&node.journal, &[1, 2]))));
    assert!(deciding.as_mut().now_or_never().is_none(), "it waits before it tries again");
    assert_eq!(node.journal.take(), ["wrote 1 reserved, 2 standby"], "nothing is told on a doubtful commit");
    node.clock.pass(RETRY_AFTER_MIN);
    now(deciding).unwrap();
    assert_eq!(node.journal.take(), ["told 1 reserved, 2 standby", "timer +10000", "acked"]);
    assert_eq!(node.store.book().taken, 1);
}

#[test]
fn a_failure_that_may_pass_is_retried_in_place_however_long_it_lasts() {
    let node = Node::new(1, 0);
    for _ in 0..20 {
        node.faults.next("sale lock", Fault::Retryable);
    }
    let mut deciding = Box::pin(decide_batch(&node.ports, Box::new(FakeDelivery::new(&node.journal, &[1]))));
    for _ in 0..20 {
        assert!(deciding.as_mut().now_or_never().is_none());
        assert_eq!(node.journal.take(), Vec::<String>::new(), "it is neither given back nor acknowledged");
        node.clock.pass(RETRY_AFTER_MAX);
    }
    now(deciding).unwrap();
    assert_eq!(node.claim(1).rev, 1);
}

#[test]
fn a_batch_that_fails_for_good_is_split_and_a_single_request_is_put_aside() {
    let node = Node::new(1, 0);
    node.faults.next("sale commit", Fault::Terminal);
    deliver(&node, &[1, 2]);
    assert_eq!(node.journal.take(), ["split"]);
    node.faults.next("sale commit", Fault::Terminal);
    deliver(&node, &[1]);
    assert_eq!(node.journal.take(), ["discarded"]);
    deliver(&node, &[1]);
    assert_eq!(node.claim(1).rev, 1, "the others of a split batch are decided");
}

#[test]
fn a_batch_of_a_paused_sale_is_parked_and_nothing_is_told() {
    let node = Node::new(1, 0);
    now(pause_sale(&node.ports, sale_id())).unwrap();
    node.journal.take();
    deliver(&node, &[1]);
    assert_eq!(node.journal.take(), ["parked"]);
    assert_eq!(node.store.claim(user(1)), None);
}

#[test]
fn a_batch_decided_after_a_close_is_rejected_even_with_a_unit_free() {
    let node = Node::new(1, 1);
    now(close_sale(&node.ports, sale_id())).unwrap();
    node.journal.take();
    deliver(&node, &[1]);
    assert_eq!(node.journal.take(), ["told 1 rejected", "acked"]);
}

#[test]
fn a_batch_of_no_sale_is_put_aside() {
    let node = Node::new(1, 0);
    let delivery = FakeDelivery::new(&node.journal, &[1]).of_sale(SaleId::new(99).unwrap());
    now(decide_batch(&node.ports, Box::new(delivery))).unwrap();
    assert_eq!(node.journal.take(), ["discarded"]);
}

#[test]
fn whom_the_gate_refuses_is_told_at_once_and_meets_no_transaction() {
    let node = Node::new(2, 0);
    node.gate.refuse(&[2, 3]);
    deliver(&node, &[1, 2, 3]);
    let expected =
        ["told 2 rejected, 3 rejected", "wrote 1 reserved", "told 1 reserved", "timer +10000", "acked"];
    assert_eq!(node.journal.take(), expected);
    node.gate.refuse(&[4]);
    deliver(&node, &[4]);
    assert_eq!(node.journal.take(), ["told 4 rejected", "acked"]);
}

#[test]
fn who_is_new_by_the_gate_but_has_a_claim_keeps_it_and_the_others_are_decided() {
    let node = Node::new(3, 1);
    deliver(&node, &[2]);
    node.journal.take();
    node.gate.know_nobody();
    deliver(&node, &[1, 2, 3]);
    let expected =
        ["wrote 1 reserved, 3 reserved", "told 1 reserved, 2 reserved, 3 reserved", "timer +10000", "acked"];
    assert_eq!(node.journal.take(), expected);
    assert_eq!((node.claim(2).rev, node.store.book().taken), (1, 3));
}

#[test]
fn claims_are_read_unless_all_are_new_by_the_gate_and_all_get_something() {
    let reads = |gate_knows: bool, people: &[u64]| {
        let node = Node::new(1, 1);
        if !gate_knows {
            node.gate.know_nobody();
        }
        // Reading fails for good, so that who reads does not decide.
        for _ in 0..2 {
            node.faults.next("claims of a sale", Fault::Terminal);
        }
        deliver(&node, people);
        node.journal.take() == ["split"]
    };
    assert!(!reads(false, &[1, 2]));
    assert!(reads(true, &[1, 2]));
    assert!(reads(false, &[1, 2, 3]), "the third would be rejected, and may have a claim");
}

#[test]
fn a_redelivered_batch_skips_the_gate() {
    let node = Node::new(1, 0);
    node.gate.refuse(&[1]);
    let delivery = FakeDelivery::new(&node.journal, &[1]).again();
    now(decide_batch(&node.ports, Box::new(delivery))).unwrap();
    assert_eq!(node.claim(1).rev, 1);
}

#[test]
fn a_batch_is_decided_without_a_gate_that_is_gone() {
    let node = Node::new(1, 0);
    node.gate.refuse(&[1]);
    node.faults.next("gate", Fault::Retryable);
    deliver(&node, &[1]);
    assert_eq!(node.claim(1).rev, 1);
}

#[test]
fn a_gate_that_does_not_know_the_sale_is_loaded_first() {
    let node = Node::new(3, 0);
    node.decide(&[1, 2]);
    node.gate.forget();
    node.gate.refuse(&[3]);
    deliver(&node, &[3]);
    let mut journal = node.journal.take();
    journal.retain(|entry| entry != "claims read");
    assert_eq!(journal, ["gate topped up with 2", "gate opened at version 2", "told 3 rejected", "acked"]);
}
