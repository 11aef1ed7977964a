//! Facts about planning and managing a sale.

use miaosha_domain::claim::ClaimStatus;

use super::*;
use crate::fakes::{Fault, LASTS, Node, START, now, sale_id, user};

fn plan(stock: u32) -> SalePlan {
    let price = Money::parse("199.00", "USD".parse().unwrap()).unwrap();
    SalePlan::new(LocalizedText::plain("Console"), stock, Starts::In(Duration::from_secs(5)), price)
}

#[test]
fn a_plan_is_stored_with_its_defaults_and_announced() {
    let node = Node::new(1, 0);
    let row = now(plan_sale(&node.ports, plan(100))).unwrap().unwrap();
    let terms = row.sale.terms;
    assert_eq!(terms.starts_at, START + Duration::from_secs(5));
    assert_eq!(terms.ends_at, terms.starts_at + LASTS_DEFAULT);
    assert_eq!((terms.hold, terms.standby_grace), (HOLD_DEFAULT, HOLD_DEFAULT * 2));
    assert_eq!((row.book.stock, terms.standby_limit), (100, 100), "standby is as long as the stock is large");
    assert_eq!(now(node.ports.sales.lookup(row.sale.id)).unwrap(), Some(row));
    assert_eq!(node.journal.take(), ["told"]);
}

#[test]
fn a_plan_that_is_no_sale_is_not_stored() {
    let node = Node::new(1, 0);
    assert_eq!(now(plan_sale(&node.ports, plan(0))).unwrap(), Err(PlanError::Stock));
    let few = SalePlan { max_people: Some(199), ..plan(100) };
    assert_eq!(now(plan_sale(&node.ports, few)).unwrap(), Err(PlanError::MaxPeople));
    assert_eq!(node.journal.take(), Vec::<String>::new());
}

#[test]
fn added_stock_serves_standby_in_the_same_commit() {
    let node = Node::new(1, 2);
    node.decide(&[1, 2, 3]);
    let Managed::Done(book) = now(add_stock(&node.ports, sale_id(), 3)).unwrap() else { panic!("refused") };
    assert_eq!((book.stock, book.free()), (4, 1));
    assert_eq!(
        node.journal.take(),
        ["wrote 2 reserved, 3 reserved", "told 2 reserved, 3 reserved", "timer +10000"]
    );
}

#[test]
fn closing_rejects_standby_in_the_same_commit_and_repeating_it_changes_nothing() {
    let node = Node::new(1, 1);
    node.decide(&[1, 2]);
    let Managed::Done(book) = now(close_sale(&node.ports, sale_id())).unwrap() else { panic!("refused") };
    assert_eq!(node.journal.take(), ["wrote 2 rejected", "told 2 rejected"]);
    assert_eq!(now(close_sale(&node.ports, sale_id())).unwrap(), Managed::Done(book));
    assert_eq!(node.store.claim(user(1)).unwrap().status, ClaimStatus::Reserved);
}

#[test]
fn pausing_and_resuming_are_idempotent() {
    let node = Node::new(1, 1);
    let paused = now(pause_sale(&node.ports, sale_id())).unwrap();
    assert!(matches!(paused, Managed::Done(book) if book.paused));
    assert_eq!(now(pause_sale(&node.ports, sale_id())).unwrap(), paused);
    let resumed = now(resume_sale(&node.ports, sale_id())).unwrap();
    assert!(matches!(resumed, Managed::Done(book) if !book.paused));
    assert_eq!(now(resume_sale(&node.ports, sale_id())).unwrap(), resumed);
}

#[test]
fn an_ended_sale_is_neither_paused_nor_given_stock() {
    let node = Node::new(1, 1);
    node.clock.pass(LASTS);
    assert_eq!(now(pause_sale(&node.ports, sale_id())).unwrap(), Managed::Refused(SaleEnded));
    let refused = Managed::Refused(AddStockError::Ended(SaleEnded));
    assert_eq!(now(add_stock(&node.ports, sale_id(), 1)).unwrap(), refused);
    assert_eq!(node.journal.take(), Vec::<String>::new());
}

#[test]
fn there_is_nothing_to_manage_without_a_sale() {
    let node = Node::new(1, 1);
    let nowhere = SaleId::new(99).unwrap();
    assert_eq!(now(pause_sale(&node.ports, nowhere)).unwrap(), Managed::NoSuchSale);
}

#[test]
fn nothing_is_told_if_the_commit_fails() {
    let node = Node::new(1, 1);
    node.faults.next("sale commit", Fault::Retryable);
    assert!(now(add_stock(&node.ports, sale_id(), 1)).is_err());
    assert_eq!(node.journal.take(), Vec::<String>::new());
    assert_eq!(node.store.book().stock, 1);
}
