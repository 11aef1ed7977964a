//! Facts about settling.

use miaosha_domain::claim::ClaimStatus;

use super::*;
use crate::fakes::{Fault, HOLD, Node, now, sale_id, sale_row};
use crate::model::SaleRow;

#[test]
fn an_end_and_its_promotion_are_one_commit_and_told_after_it() {
    let node = Node::new(1, 1);
    node.decide(&[1, 2]);
    node.clock.pass(HOLD);
    assert_eq!(now(settle_sale(&node.ports, sale_id())).unwrap().changed, 2);
    assert_eq!(
        node.journal.take(),
        ["wrote 1 expired, 2 reserved", "told 1 expired, 2 reserved", "timer +20000"]
    );
}

#[test]
fn nothing_is_told_if_the_commit_fails() {
    let node = Node::new(1, 1);
    node.decide(&[1, 2]);
    node.clock.pass(HOLD);
    node.faults.next("sale commit", Fault::Retryable);
    assert!(now(settle_sale(&node.ports, sale_id())).is_err());
    assert_eq!(node.journal.take(), Vec::<String>::new());
    assert_eq!(node.claim(1).status, ClaimStatus::Reserved);
}

#[test]
fn a_doubled_wake_up_writes_nothing_and_tells_the_book_alone() {
    let node = Node::new(1, 0);
    node.decide(&[1]);
    node.clock.pass(HOLD);
    now(settle_sale(&node.ports, sale_id())).unwrap();
    node.journal.take();
    assert_eq!(now(settle_sale(&node.ports, sale_id())).unwrap().changed, 0);
    assert_eq!(node.journal.take(), ["told"]);
}

#[test]
fn a_large_settlement_is_many_commits_each_told() {
    let node = Node::new(1_200, 0);
    let everybody: Vec<u64> = (1..=1_200).collect();
    node.decide(&everybody);
    node.clock.pass(HOLD);
    assert_eq!(now(settle_sale(&node.ports, sale_id())).unwrap().changed, 1_200);
    let journal = node.journal.take();
    assert_eq!(journal.iter().filter(|entry| entry.starts_with("wrote")).count(), 3);
    assert_eq!(journal.iter().filter(|entry| entry.starts_with("told")).count(), 3);
}

#[test]
fn a_sale_that_cannot_be_settled_does_not_hold_up_the_others() {
    let node = Node::new(1, 0);
    node.decide(&[1]);
    let mut row = sale_row(1, 0);
    row.sale.id = SaleId::new(2).unwrap();
    let SaleRow { sale: later, .. } = row.clone();
    node.store.put(row);
    let delivery = crate::fakes::FakeDelivery::new(&node.journal, &[1]).of_sale(later.id);
    now(crate::decide_batch::decide_batch(&node.ports, Box::new(delivery))).unwrap();
    node.clock.pass(HOLD);
    node.faults.next("sale lock", Fault::Terminal);
    assert!(now(sweep(&node.ports, &mut GateTender::default())).is_err(), "the failure is reported");
    let second = now(node.ports.sales.lookup(later.id)).unwrap().unwrap();
    assert_eq!(
        (node.store.book().free(), second.book.free()),
        (0, 1),
        "the first failed, the second settled"
    );
}

#[test]
fn a_sweep_locks_no_sale_in_which_nothing_is_due() {
    let node = Node::new(2, 0);
    node.decide(&[1]);
    node.faults.next("sale lock", Fault::Terminal);
    assert_eq!(now(sweep(&node.ports, &mut GateTender::default())).unwrap(), 0);
    let told = node.journal.take();
    assert_eq!(told.iter().filter(|entry| *entry == "told").count(), 1, "{told:?}");
    node.clock.pass(HOLD);
    assert!(now(sweep(&node.ports, &mut GateTender::default())).is_err(), "the lock was still to fail");
    assert_eq!(now(sweep(&node.ports, &mut GateTender::default())).unwrap(), 1);
}
