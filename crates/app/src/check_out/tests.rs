//! Facts about checking out, and about writing the end of a payment. What stays open is in
//! [`crate::reconcile_payments`].

use super::*;
use crate::fakes::{Fault, HOLD, Node, now, sale_id, user};
use miaosha_domain::claim::ClaimStatus;

fn with_card(number: u64, card: &str) -> CheckOut {
    CheckOut {
        sale: sale_id(),
        user: user(number),
        seq: number,
        method: PaymentMethod::Sandbox { card: card.to_owned() },
        shipping: Shipping { name: "Ann".into(), phone: "1".into(), address: "Street 1".into() },
        lease: LEASE_DEFAULT,
    }
}

fn pay_for(node: &Node, number: u64) -> CheckedOut {
    now(check_out(&node.ports, with_card(number, "good"))).unwrap()
}

#[test]
fn the_payment_is_stored_before_the_provider_is_called_and_captured_after_the_unit_is_sold() {
    let node = Node::new(1, 0);
    node.decide(&[1]);
    let CheckedOut::Ordered(order) = pay_for(&node, 1) else { panic!("not ordered") };
    assert_eq!((order.user, order.totals.total.to_string()), (user(1), "199.00".to_owned()));
    assert_eq!(order.number, "7777777777");
    assert_eq!(
        node.journal.take(),
        [
            "wrote 1 paying, payment started",
            "told 1 paying",
            "provider authorise",
            "wrote 1 paid, payment capture_due",
            "told 1 paid",
            "provider capture",
            "wrote, payment captured",
        ]
    );
    assert_eq!(node.claim(1).payment, Some(order.payment));
}

#[test]
fn nothing_is_told_and_nobody_is_charged_if_the_payment_cannot_be_stored() {
    let node = Node::new(1, 0);
    node.decide(&[1]);
    node.faults.next("claim commit", Fault::Retryable);
    assert!(now(check_out(&node.ports, with_card(1, "good"))).is_err());
    assert_eq!(node.journal.take(), Vec::<String>::new());
    assert_eq!(node.claim(1).status, ClaimStatus::Reserved);
}

#[test]
fn a_card_that_can_never_pay_is_refused_before_anything_is_stored() {
    let node = Node::new(1, 0);
    node.decide(&[1]);
    assert_eq!(now(check_out(&node.ports, with_card(1, "invalid"))).unwrap(), CheckedOut::InvalidCard);
    assert_eq!(node.journal.take(), Vec::<String>::new());
}

#[test]
fn who_has_no_reservation_cannot_pay() {
    use CheckOutError::{AlreadyPaid, PaymentInProgress, ReservationOver};
    let node = Node::new(2, 1);
    node.decide(&[1, 2, 3]);
    assert_eq!(pay_for(&node, 99), CheckedOut::Refused(ReservationOver), "no claim");
    assert_eq!(pay_for(&node, 3), CheckedOut::Refused(ReservationOver), "standby");
    let stale = CheckOut { seq: 9, ..with_card(2, "good") };
    assert_eq!(now(check_out(&node.ports, stale)).unwrap(), CheckedOut::Refused(ReservationOver));
    node.provider.answer(ProviderState::Pending);
    assert_eq!(pay_for(&node, 1), CheckedOut::Paying);
    assert_eq!(pay_for(&node, 1), CheckedOut::Refused(PaymentInProgress));
    node.provider.answer(ProviderState::Authorised);
    assert!(matches!(pay_for(&node, 2), CheckedOut::Ordered(_)));
    assert_eq!(pay_for(&node, 2), CheckedOut::Refused(AlreadyPaid));
}

#[test]
fn nobody_pays_after_the_deadline_even_before_the_sweeper_came_by() {
    let node = Node::new(1, 0);
    node.decide(&[1]);
    node.clock.pass(HOLD);
    assert_eq!(pay_for(&node, 1), CheckedOut::Refused(CheckOutError::ReservationOver));
}

#[test]
fn a_decline_leaves_the_reservation_for_what_is_left_of_its_hold() {
    let node = Node::new(1, 0);
    node.decide(&[1]);
    let before = node.claim(1);
    node.provider.answer(ProviderState::Declined);
    assert_eq!(pay_for(&node, 1), CheckedOut::Declined);
    let after = node.claim(1);
    assert_eq!((after.status, after.hold_until), (ClaimStatus::Reserved, before.deadline));
    assert_eq!(node.store.payment().status, PaymentStatus::Declined);
    node.provider.answer(ProviderState::Authorised);
    assert!(matches!(pay_for(&node, 1), CheckedOut::Ordered(_)), "another card may pay");
}

#[test]
fn a_lost_answer_leaves_the_claim_paying() {
    let node = Node::new(1, 0);
    node.decide(&[1]);
    node.faults.next("authorise", Fault::AnswerLost);
    assert_eq!(pay_for(&node, 1), CheckedOut::Paying);
    assert_eq!(node.claim(1).status, ClaimStatus::Paying);
}

#[test]
fn a_success_that_cannot_be_written_leaves_the_claim_paying() {
    let node = Node::new(1, 0);
    node.decide(&[1]);
    node.faults.after(1, "claim commit", Fault::Retryable);
    assert_eq!(pay_for(&node, 1), CheckedOut::Paying);
    assert_eq!(node.claim(1).status, ClaimStatus::Paying);
    assert_eq!(node.store.payment().status, PaymentStatus::Started);
}

#[test]
fn a_capture_that_fails_is_left_to_be_repeated() {
    let node = Node::new(1, 0);
    node.decide(&[1]);
    node.faults.next("capture", Fault::Retryable);
    assert!(matches!(pay_for(&node, 1), CheckedOut::Ordered(_)), "the unit is sold all the same");
    assert_eq!(node.store.payment().status, PaymentStatus::CaptureDue);
}

#[test]
fn a_caller_whose_lease_is_over_does_not_call() {
    let node = Node::new(1, 0);
    node.decide(&[1]);
    let no_lease = CheckOut { lease: Duration::ZERO, ..with_card(1, "good") };
    assert_eq!(now(check_out(&node.ports, no_lease)).unwrap(), CheckedOut::Paying);
    assert!(!node.journal.take().contains(&"provider authorise".to_owned()));
}

#[test]
fn a_success_written_twice_is_one_order_and_keeps_the_money() {
    let node = Node::new(1, 0);
    node.decide(&[1]);
    node.provider.answer(ProviderState::Pending);
    assert_eq!(pay_for(&node, 1), CheckedOut::Paying);
    let payment = node.store.payment();
    let first = now(conclude_success(&node.ports, payment)).unwrap().unwrap();
    let again = now(conclude_success(&node.ports, payment)).unwrap();
    assert_eq!(again.map(|order| order.id), Some(first.id), "repeating it finds the order");
    assert_eq!(node.store.payment().status, PaymentStatus::CaptureDue);
    now(note_captured(&node.ports, payment)).unwrap();
    let late = now(conclude_success(&node.ports, payment)).unwrap();
    assert_eq!(late.map(|order| order.id), Some(first.id));
    assert_eq!(node.store.payment().status, PaymentStatus::Captured);
}

#[test]
fn a_failure_heard_after_the_unit_was_sold_changes_nothing() {
    let node = Node::new(1, 0);
    node.decide(&[1]);
    node.provider.answer(ProviderState::Pending);
    pay_for(&node, 1);
    let payment = node.store.payment();
    now(conclude_success(&node.ports, payment)).unwrap().unwrap();
    now(conclude_failure(&node.ports, payment, PaymentStatus::Voided)).unwrap();
    assert_eq!(node.store.payment().status, PaymentStatus::CaptureDue);
    assert_eq!(node.claim(1).status, ClaimStatus::Paid);
}

#[test]
fn a_failure_written_twice_changes_nothing_the_second_time() {
    let node = Node::new(1, 0);
    node.decide(&[1]);
    node.provider.answer(ProviderState::Declined);
    pay_for(&node, 1);
    let rev = node.claim(1).rev;
    now(conclude_failure(&node.ports, node.store.payment(), PaymentStatus::Declined)).unwrap();
    assert_eq!(node.claim(1).rev, rev);
}
