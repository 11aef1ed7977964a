//! Facts about finishing what a checkout left open.

use std::sync::Arc;

use futures_util::FutureExt as _;
use miaosha_domain::audit::audit;
use miaosha_domain::claim::ClaimStatus;

use super::*;
use crate::check_out::{CheckOut, CheckedOut, LEASE_DEFAULT, check_out};
use crate::fakes::{FakeClock, Fault, HOLD, Node, now, sale_id, user};
use crate::model::Shipping;
use crate::ports::PaymentMethod;
use crate::settle_sale::settle_sale;

/// A node on which person 1 is paying, and the provider has said `answer` (`Unknown`: was never reached).
fn paying(answer: ProviderState) -> Node {
    let node = Node::new(1, 1);
    node.decide(&[1, 2]);
    match answer {
        ProviderState::Unknown => node.faults.next("authorise", Fault::Retryable),
        state => {
            node.provider.answer(state);
            node.faults.next("authorise", Fault::AnswerLost);
        }
    }
    let request = CheckOut {
        sale: sale_id(),
        user: user(1),
        seq: 1,
        method: PaymentMethod::Sandbox { card: "good".to_owned() },
        shipping: Shipping { name: "Ann".into(), phone: "1".into(), address: "Street 1".into() },
        lease: LEASE_DEFAULT,
    };
    assert_eq!(now(check_out(&node.ports, request)).unwrap(), CheckedOut::Paying);
    node.journal.take();
    node
}

/// Reconciles, and audits what came of it.
fn reconcile_all(node: &Node) {
    now(reconcile_payments(&node.ports)).unwrap();
    let snapshot = now(node.ports.sales.snapshot(sale_id())).unwrap().unwrap();
    assert_eq!(audit(&snapshot), []);
}

fn state(node: &Node) -> (ClaimStatus, PaymentStatus, ProviderState) {
    let payment = node.store.payment();
    (node.claim(1).status, payment.status, node.provider.state(payment.id))
}

#[test]
fn the_provider_is_first_asked_after_five_seconds() {
    let node = paying(ProviderState::Authorised);
    node.clock.pass(ASK_AFTER.checked_sub(Duration::from_millis(1)).unwrap());
    reconcile_all(&node);
    assert_eq!(node.journal.take(), Vec::<String>::new());
    node.clock.pass(Duration::from_millis(1));
    reconcile_all(&node);
    assert_eq!(
        node.journal.take(),
        [
            "provider query",
            "wrote 1 paid, payment capture_due",
            "told 1 paid",
            "provider capture",
            "wrote, payment captured",
        ]
    );
    reconcile_all(&node);
    assert_eq!(node.journal.take(), Vec::<String>::new(), "a final payment needs nothing");
}

#[test]
fn a_lost_decline_gives_the_reservation_back() {
    let node = paying(ProviderState::Declined);
    node.clock.pass(ASK_AFTER);
    reconcile_all(&node);
    assert_eq!(state(&node), (ClaimStatus::Reserved, PaymentStatus::Declined, ProviderState::Declined));
}

#[test]
fn a_pending_payment_waits_for_its_lease() {
    let node = paying(ProviderState::Pending);
    node.clock.pass(ASK_AFTER);
    reconcile_all(&node);
    assert_eq!(state(&node), (ClaimStatus::Paying, PaymentStatus::Started, ProviderState::Pending));
    node.provider.set(node.store.payment().id, ProviderState::Authorised);
    reconcile_all(&node);
    assert_eq!(state(&node), (ClaimStatus::Paid, PaymentStatus::Captured, ProviderState::Captured));
}

#[test]
fn a_node_whose_clock_is_fast_ends_no_lease_early() {
    let node = paying(ProviderState::Pending);
    node.clock.pass(ASK_AFTER);
    let fast = FakeClock::new();
    fast.pass(ASK_AFTER + LEASE_DEFAULT * 2);
    now(reconcile_payments(&Ports { clock: fast, ..node.ports.clone() })).unwrap();
    assert_eq!(state(&node), (ClaimStatus::Paying, PaymentStatus::Started, ProviderState::Pending));
}

#[test]
fn at_the_lease_end_the_payment_is_voided_first_and_only_then_the_reservation_comes_back() {
    for left_open in [ProviderState::Unknown, ProviderState::Pending] {
        let node = paying(left_open);
        node.clock.pass(LEASE_DEFAULT);
        reconcile_all(&node);
        let journal = node.journal.take();
        let at = |entry: &str| journal.iter().position(|noted| noted.contains(entry));
        assert!(at("provider query") < at("provider void"), "{journal:?}");
        assert!(at("provider void").is_some() && at("provider void") < at("1 reserved"), "{journal:?}");
        assert_eq!(state(&node), (ClaimStatus::Reserved, PaymentStatus::Voided, ProviderState::Voided));
        assert!(node.claim(1).is_due(node.ports.clock.now()), "its deadline has passed");
        now(settle_sale(&node.ports, sale_id())).unwrap();
        assert_eq!(node.claim(1).status, ClaimStatus::Expired);
        assert_eq!(node.claim(2).status, ClaimStatus::Reserved, "and the unit goes to the next");
    }
}

#[test]
fn a_void_without_an_answer_keeps_the_claim_paying() {
    let node = paying(ProviderState::Unknown);
    node.clock.pass(LEASE_DEFAULT);
    node.faults.next("void", Fault::AnswerLost);
    reconcile_all(&node);
    assert_eq!(node.claim(1).status, ClaimStatus::Paying);
    reconcile_all(&node);
    assert_eq!(state(&node), (ClaimStatus::Reserved, PaymentStatus::Voided, ProviderState::Voided));
}

#[test]
fn a_success_found_at_the_lease_end_still_sells_the_unit() {
    let node = paying(ProviderState::Authorised);
    node.clock.pass(LEASE_DEFAULT);
    reconcile_all(&node);
    assert_eq!(state(&node), (ClaimStatus::Paid, PaymentStatus::Captured, ProviderState::Captured));
}

#[test]
fn money_that_was_captured_without_our_knowledge_sells_the_unit() {
    let node = paying(ProviderState::Captured);
    node.clock.pass(ASK_AFTER);
    reconcile_all(&node);
    assert_eq!(state(&node), (ClaimStatus::Paid, PaymentStatus::Captured, ProviderState::Captured));
}

/// The checkout hears `Authorised` and writes it, at a point in the middle of a reconciliation.
fn late_success(node: &Node) -> futures_util::future::BoxFuture<'static, ()> {
    let (ports, provider, payment) = (node.ports.clone(), Arc::clone(&node.provider), node.store.payment());
    async move {
        let method = PaymentMethod::Sandbox { card: "good".to_owned() };
        provider.answer(ProviderState::Authorised);
        if ports.provider.authorise(payment.id, payment.amount, &method).await.unwrap()
            == ProviderState::Authorised
        {
            conclude_success(&ports, payment).await.unwrap();
        }
    }
    .boxed()
}

#[test]
fn a_unit_sold_while_its_lease_is_being_ended_keeps_its_money() {
    let node = paying(ProviderState::Unknown);
    node.clock.pass(LEASE_DEFAULT);
    node.provider.meanwhile("after query", late_success(&node));
    reconcile_all(&node);
    assert_eq!(state(&node), (ClaimStatus::Paid, PaymentStatus::Captured, ProviderState::Captured));
}

#[test]
fn a_success_after_the_lease_was_given_up_goes_back() {
    let node = paying(ProviderState::Unknown);
    node.clock.pass(LEASE_DEFAULT);
    node.provider.meanwhile("before void", late_success(&node));
    reconcile_all(&node);
    assert_eq!(state(&node), (ClaimStatus::Reserved, PaymentStatus::Voided, ProviderState::Voided));
}

#[test]
fn a_success_after_the_claim_went_back_is_voided_and_never_paid() {
    let node = paying(ProviderState::Pending);
    node.clock.pass(LEASE_DEFAULT);
    reconcile_all(&node);
    now(settle_sale(&node.ports, sale_id())).unwrap();
    assert_eq!(now(conclude_success(&node.ports, node.store.payment())).unwrap(), None);
    reconcile_all(&node);
    assert_eq!(state(&node), (ClaimStatus::Expired, PaymentStatus::Voided, ProviderState::Voided));
}

#[test]
fn a_payment_that_fails_does_not_hold_up_the_others() {
    let node = Node::new(2, 0);
    node.decide(&[1, 2]);
    for number in [1, 2] {
        node.faults.next("authorise", Fault::AnswerLost);
        let request = CheckOut {
            sale: sale_id(),
            user: user(number),
            seq: number,
            method: PaymentMethod::Sandbox { card: "good".to_owned() },
            shipping: Shipping { name: "Ann".into(), phone: "1".into(), address: "Street 1".into() },
            lease: LEASE_DEFAULT,
        };
        now(check_out(&node.ports, request)).unwrap();
    }
    node.clock.pass(HOLD / 2);
    node.faults.next("query", Fault::Terminal);
    reconcile_all(&node);
    assert_eq!((node.claim(1).status, node.claim(2).status), (ClaimStatus::Paying, ClaimStatus::Paid));
}
