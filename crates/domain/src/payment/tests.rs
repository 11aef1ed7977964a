//! Facts about payments.

use std::time::Duration;

use proptest::prelude::*;

use crate::claim::ClaimStatus;
use crate::payment::{CheckOutError, NextStep, Payment, PaymentStatus, ProviderState, next_step};
use crate::world::{HOLD, LEASE, World, user};

const JUST: Duration = Duration::from_millis(1);

fn reserved() -> World {
    let mut world = World::new(1, 1);
    world.decide(&[1]);
    world
}

#[test]
fn a_payment_begins_before_the_deadline_only() {
    let mut world = reserved();
    world.pass(HOLD.checked_sub(JUST).unwrap());
    let mut late = world.clone();
    assert!(world.begin(1).is_ok());
    late.pass(JUST);
    assert_eq!(late.begin(1), Err(CheckOutError::ReservationOver), "also before the sweeper came by");
}

#[test]
fn a_paying_claim_is_held_until_the_later_of_deadline_and_lease_end() {
    let mut early = reserved();
    early.begin(1).unwrap();
    let claim = early.claims[&user(1)];
    assert_eq!(claim.hold_until, claim.deadline);

    let mut late = reserved();
    late.pass(HOLD.checked_sub(JUST).unwrap());
    late.begin(1).unwrap();
    let claim = late.claims[&user(1)];
    assert_eq!(claim.hold_until, Some(late.now + LEASE));
    assert_eq!(claim.deadline, Some(late.now + JUST), "the deadline itself never moves");
}

#[test]
fn a_second_checkout_is_refused_while_one_is_under_way_and_after_it_paid() {
    let mut world = reserved();
    let id = world.begin(1).unwrap();
    assert_eq!(world.begin(1), Err(CheckOutError::PaymentInProgress));
    assert!(world.succeed(id));
    assert_eq!(world.begin(1), Err(CheckOutError::AlreadyPaid));
    world.refund(1);
    assert_eq!(world.begin(1), Err(CheckOutError::AlreadyPaid));
}

#[test]
fn nobody_pays_from_standby_or_after_an_end() {
    let mut world = World::new(1, 1);
    world.decide(&[1, 2]);
    assert_eq!(world.begin(2), Err(CheckOutError::ReservationOver));
    world.give_up(1, None).unwrap();
    assert_eq!(world.begin(1), Err(CheckOutError::ReservationOver));
}

#[test]
fn a_decline_gives_the_reservation_back_for_what_is_left_of_its_hold() {
    let mut world = reserved();
    let declined = world.begin(1).unwrap();
    assert!(world.fail(declined));
    let claim = world.claims[&user(1)];
    assert_eq!((claim.status, claim.payment), (ClaimStatus::Reserved, None));
    assert_eq!(claim.hold_until, claim.deadline);
    world.pay(1);
    assert_eq!(world.status(1), Some(ClaimStatus::Paid));
}

#[test]
fn a_lease_that_ends_after_the_deadline_leaves_a_reservation_that_expires() {
    let mut world = reserved();
    world.pass(HOLD.checked_sub(JUST).unwrap());
    let id = world.begin(1).unwrap();
    world.pass(LEASE);
    assert!(world.fail(id));
    let claim = world.claims[&user(1)];
    assert_eq!(claim.hold_until, claim.deadline, "even one that has passed");
    assert_eq!(claim.status, ClaimStatus::Reserved, "no payment ends a claim that holds a unit");
    world.settle();
    assert_eq!(world.status(1), Some(ClaimStatus::Expired));
    assert_eq!(world.book.free(), 1);
}

#[test]
fn an_older_payment_changes_nothing_of_a_claim_that_pays_under_another() {
    let mut world = reserved();
    let first = world.begin(1).unwrap();
    world.fail(first);
    let second = world.begin(1).unwrap();
    let claim = world.claims[&user(1)];
    assert_eq!(super::succeed(claim, first), None);
    assert_eq!(super::fail(claim, first), None);
    assert!(world.succeed(second));
}

#[test]
fn an_expired_claim_is_never_paid() {
    let mut world = reserved();
    let id = world.begin(1).unwrap();
    world.fail(id);
    world.pass(HOLD);
    world.settle();
    assert_eq!(super::succeed(world.claims[&user(1)], id), None);
}

#[test]
fn only_a_paid_claim_is_refunded_and_once() {
    let mut world = reserved();
    assert!(!world.refund(1));
    world.pay(1);
    assert!(world.refund(1));
    assert!(!world.refund(1));
}

fn payment(status: PaymentStatus) -> Payment {
    let mut world = reserved();
    let id = world.begin(1).unwrap();
    Payment { status, ..world.payments[&id] }
}

const PROVIDER_STATES: [ProviderState; 7] = [
    ProviderState::Unknown,
    ProviderState::Pending,
    ProviderState::Authorised,
    ProviderState::Captured,
    ProviderState::Declined,
    ProviderState::Voided,
    ProviderState::Refunded,
];

#[test]
fn what_the_provider_does_not_know_waits_for_the_lease_and_is_then_voided() {
    let started = payment(PaymentStatus::Started);
    for provider in [ProviderState::Unknown, ProviderState::Pending] {
        let before = started.lease_until - JUST;
        assert_eq!(next_step(&started, provider, before), NextStep::Wait);
        assert_eq!(next_step(&started, provider, started.lease_until), NextStep::Void);
    }
}

#[test]
fn what_the_provider_knows_is_written_whenever_it_is_heard() {
    let started = payment(PaymentStatus::Started);
    for now in [started.started_at, started.lease_until + LEASE] {
        let step = |provider| next_step(&started, provider, now);
        assert_eq!(step(ProviderState::Authorised), NextStep::Succeed);
        assert_eq!(step(ProviderState::Captured), NextStep::Succeed);
        assert_eq!(step(ProviderState::Declined), NextStep::Fail);
        assert_eq!(step(ProviderState::Voided), NextStep::NoteVoided);
    }
}

#[test]
fn a_sold_unit_is_captured_and_never_voided() {
    let due = payment(PaymentStatus::CaptureDue);
    for provider in PROVIDER_STATES {
        let expected = match provider {
            ProviderState::Captured => NextStep::NoteCaptured,
            _ => NextStep::Capture,
        };
        assert_eq!(next_step(&due, provider, due.lease_until), expected);
    }
}

#[test]
fn a_final_payment_needs_nothing() {
    for status in PaymentStatus::ALL.into_iter().filter(|status| status.is_final()) {
        for provider in PROVIDER_STATES {
            assert_eq!(next_step(&payment(status), provider, payment(status).lease_until), NextStep::Wait);
        }
    }
}

#[test]
fn payment_statuses_are_read_back_by_name() {
    for status in PaymentStatus::ALL {
        assert_eq!(PaymentStatus::lookup(status.name()), Some(status));
    }
    assert_eq!(PaymentStatus::lookup("paid"), None);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

    /// I9: whatever the provider holds, money that is not wanted goes back in a few steps, and none is left with it.
    #[test]
    fn money_that_is_due_back_goes_back(
        status in prop::sample::select(vec![PaymentStatus::VoidDue, PaymentStatus::RefundDue]),
        provider in prop::sample::select(PROVIDER_STATES.to_vec()),
        passed_ms in 0_u64..20_000,
    ) {
        let payment = payment(status);
        let now = payment.started_at + Duration::from_millis(passed_ms);
        let mut provider = provider;
        let mut steps = 0;
        loop {
            match next_step(&payment, provider, now) {
                NextStep::Void => provider = ProviderState::Voided,
                NextStep::Refund => provider = ProviderState::Refunded,
                NextStep::NoteVoided => break,
                step => prop_assert!(false, "{step:?} for money that is due back"),
            }
            steps += 1;
            prop_assert!(steps <= 2);
        }
        let is_gone = matches!(
            provider,
            ProviderState::Voided | ProviderState::Refunded | ProviderState::Declined
        );
        prop_assert!(is_gone, "{provider:?}");
    }
}
