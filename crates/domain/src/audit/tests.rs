//! Each finding of the audit, shown by corrupting a sound snapshot in one place.

use std::collections::BTreeSet;

use crate::audit::{ClaimEvent, Invariant, OrderFact, Snapshot, audit, count};
use crate::claim::{Claim, ClaimStatus};
use crate::ids::PaymentId;
use crate::payment::PaymentStatus;
use crate::world::{HOLD, World, user};

const EXPIRED: u64 = 1;
const PAID: u64 = 2;
const REFUNDED: u64 = 3;
const LEFT: u64 = 4;
const PROMOTED: u64 = 5;
const STANDING: u64 = 6;
const LAST: u64 = 7;

/// A sale of three units with somebody in most states: one expired and its unit went to the head of standby.
fn sound() -> Snapshot {
    let mut world = World::new(3, 4);
    world.decide(&[EXPIRED, PAID, REFUNDED, LEFT, PROMOTED, STANDING, LAST]);
    world.pay(PAID);
    world.pay(REFUNDED);
    world.refund(REFUNDED);
    world.give_up(LEFT, None).unwrap();
    world.pass(HOLD);
    world.settle();
    assert_eq!(world.status(PROMOTED), Some(ClaimStatus::Reserved));
    world.snapshot()
}

/// The invariants that the audit finds broken once `corrupt` has been at a sound snapshot.
fn broken_by(corrupt: impl FnOnce(&mut Snapshot)) -> BTreeSet<Invariant> {
    let mut snapshot = sound();
    assert!(audit(&snapshot).is_empty());
    corrupt(&mut snapshot);
    audit(&snapshot).into_iter().map(|finding| finding.invariant).collect()
}

fn claim(snapshot: &mut Snapshot, number: u64) -> &mut Claim {
    snapshot.claims.iter_mut().find(|claim| claim.user == user(number)).unwrap()
}

fn only(invariant: Invariant) -> BTreeSet<Invariant> {
    BTreeSet::from([invariant])
}

/// Writes one more change of a claim with its event, as no rule would.
fn force(snapshot: &mut Snapshot, number: u64, to: ClaimStatus) {
    let id = snapshot.events.len() as u64 + 1;
    let (sale, at) = (snapshot.sale, snapshot.terms.starts_at);
    let row = claim(snapshot, number);
    let from = Some(row.status);
    row.status = to;
    row.rev += 1;
    let event = ClaimEvent { id, sale, user: row.user, rev: row.rev, from, to, quantity: row.quantity, at };
    snapshot.events.push(event);
}

#[test]
fn a_miscounted_unit_breaks_i1() {
    assert_eq!(
        broken_by(|snapshot| snapshot.book.taken -= 1),
        BTreeSet::from([Invariant::I1, Invariant::I5])
    );
    assert_eq!(broken_by(|snapshot| snapshot.book.taken += 1), only(Invariant::I1));
}

#[test]
fn more_units_taken_than_there_are_breaks_i1() {
    assert_eq!(broken_by(|snapshot| snapshot.book.stock = 2), only(Invariant::I1));
}

#[test]
fn a_refunded_unit_that_vanished_breaks_i1() {
    assert_eq!(broken_by(|snapshot| claim(snapshot, REFUNDED).restocked = true), only(Invariant::I1));
}

#[test]
fn a_second_claim_of_a_person_breaks_i2() {
    let broken = broken_by(|snapshot| {
        let twin = *claim(snapshot, LEFT);
        snapshot.claims.push(twin);
    });
    assert!(broken.contains(&Invariant::I2), "{broken:?}");
}

#[test]
fn a_seq_given_twice_or_lost_breaks_i2() {
    assert_eq!(broken_by(|snapshot| claim(snapshot, EXPIRED).seq = 2), only(Invariant::I2));
    assert_eq!(broken_by(|snapshot| snapshot.book.next_seq += 1), only(Invariant::I2));
}

#[test]
fn a_change_without_its_event_breaks_i4() {
    let drop_last_event_of = |number| {
        move |snapshot: &mut Snapshot| {
            let at = snapshot.events.iter().rposition(|event| event.user == user(number)).unwrap();
            snapshot.events.remove(at);
        }
    };
    assert_eq!(broken_by(drop_last_event_of(EXPIRED)), only(Invariant::I4));
    assert_eq!(broken_by(drop_last_event_of(PAID)), only(Invariant::I4));
}

#[test]
fn a_row_that_went_back_in_time_breaks_i4() {
    assert_eq!(broken_by(|snapshot| claim(snapshot, PAID).rev -= 1), only(Invariant::I4));
}

#[test]
fn an_event_without_a_claim_breaks_i4() {
    let broken = broken_by(|snapshot| {
        let stranger = ClaimEvent { user: user(99), ..snapshot.events[0] };
        snapshot.events.push(stranger);
    });
    assert_eq!(broken, only(Invariant::I4));
}

#[test]
fn a_free_unit_while_somebody_stands_by_breaks_i5() {
    assert_eq!(broken_by(|snapshot| snapshot.book.stock += 1), only(Invariant::I5));
}

#[test]
fn miscounted_standby_breaks_i5() {
    assert_eq!(broken_by(|snapshot| snapshot.book.standing += 1), only(Invariant::I5));
}

#[test]
fn a_promotion_out_of_order_breaks_i5() {
    let broken = broken_by(|snapshot| {
        let (early, late) = (claim(snapshot, PROMOTED).seq, claim(snapshot, STANDING).seq);
        claim(snapshot, PROMOTED).seq = late;
        claim(snapshot, STANDING).seq = early;
    });
    assert_eq!(broken, only(Invariant::I5));
}

#[test]
fn a_newcomer_served_before_standby_breaks_i5() {
    let broken = broken_by(|snapshot| {
        let made_standing = snapshot.events.iter().position(|event| event.user == user(STANDING)).unwrap();
        let event = snapshot.events.remove(made_standing);
        snapshot.events.insert(0, event);
    });
    assert_eq!(broken, only(Invariant::I5));
}

#[test]
fn a_claim_that_ends_twice_breaks_i6() {
    assert_eq!(broken_by(|snapshot| force(snapshot, LEFT, ClaimStatus::Expired)), only(Invariant::I6));
}

#[test]
fn an_expired_claim_that_is_paid_breaks_i6() {
    let broken = broken_by(|snapshot| {
        force(snapshot, EXPIRED, ClaimStatus::Paid);
        let id = PaymentId::new(77).unwrap();
        claim(snapshot, EXPIRED).payment = Some(id);
        let payment = crate::payment::Payment { id, user: user(EXPIRED), ..snapshot.payments[0] };
        snapshot.payments.push(payment);
        snapshot.orders.push(OrderFact { user: user(EXPIRED), payment: id });
        snapshot.book.taken += 1;
        snapshot.book.stock += 1;
    });
    assert_eq!(broken, only(Invariant::I6));
}

#[test]
fn a_paid_claim_without_its_order_or_its_money_breaks_i9() {
    let without_order = |snapshot: &mut Snapshot| snapshot.orders.retain(|order| order.user != user(PAID));
    assert_eq!(broken_by(without_order), only(Invariant::I9));
    let without_money = |snapshot: &mut Snapshot| snapshot.payments[0].status = PaymentStatus::Voided;
    assert_eq!(broken_by(without_money), only(Invariant::I9));
    let of_another = |snapshot: &mut Snapshot| snapshot.orders[0].payment = PaymentId::new(77).unwrap();
    assert_eq!(broken_by(of_another), only(Invariant::I9));
}

#[test]
fn a_unit_with_two_payers_or_two_orders_breaks_i9() {
    let broken = broken_by(|snapshot| {
        let second = crate::payment::Payment { id: PaymentId::new(77).unwrap(), ..snapshot.payments[0] };
        snapshot.payments.push(second);
    });
    assert_eq!(broken, only(Invariant::I9));
    assert_eq!(broken_by(|snapshot| snapshot.orders.push(snapshot.orders[0])), only(Invariant::I9));
}

#[test]
fn money_kept_without_a_unit_breaks_i9() {
    for number in [EXPIRED, LEFT, STANDING, PROMOTED, 99] {
        let broken = broken_by(|snapshot| {
            let id = PaymentId::new(77).unwrap();
            let kept = crate::payment::Payment { id, user: user(number), ..snapshot.payments[0] };
            snapshot.payments.push(kept);
        });
        assert_eq!(broken, only(Invariant::I9), "kept of {number}");
    }
}

#[test]
fn money_kept_after_a_refund_breaks_i9() {
    let kept = |snapshot: &mut Snapshot| snapshot.payments[1].status = PaymentStatus::Captured;
    assert_eq!(broken_by(kept), only(Invariant::I9));
}

#[test]
fn an_audit_reports_a_bounded_number_of_findings() {
    let mut snapshot = sound();
    snapshot.orders = vec![snapshot.orders[0]; super::BROKEN_MAX * 2];
    assert_eq!(audit(&snapshot).len(), super::BROKEN_MAX);
}

#[test]
fn counts_are_by_state() {
    let counts = count(&sound());
    assert_eq!((counts.reserved, counts.paying, counts.paid, counts.refunded), (1, 0, 1, 1));
    assert_eq!((counts.standby, counts.rejected, counts.orders, counts.refunds), (2, 0, 2, 1));
}

#[test]
fn a_book_that_promises_too_much_is_reported_and_promises_nothing_more() {
    let mut snapshot = sound();
    snapshot.book.stock = 1;
    assert!(!audit(&snapshot).is_empty());
    assert_eq!(snapshot.book.free(), 0, "whoever shows or uses the broken book does not fall over it");
}
