//! Facts about ends, promotions and restocking. Random histories are in [`crate::world`].

use std::time::Duration;

use crate::claim::ClaimStatus;
use crate::settle::{CHANGES_MAX, ENDS_MAX, GiveUpError, Standing};
use crate::world::{GRACE, HOLD, LASTS, LEASE, World, user};

/// A sale with this many reserved, and this many standing by after them.
fn full_sale(reserved: u32, standing: u32) -> World {
    let mut world = World::new(reserved, standing);
    let everybody: Vec<u64> = (1..=u64::from(reserved + standing)).collect();
    world.decide(&everybody);
    assert_eq!((world.book.free(), world.book.standing), (0, standing));
    world
}

#[test]
fn an_expired_reservation_goes_to_the_head_of_standby_with_a_new_deadline() {
    let mut world = full_sale(1, 2);
    world.pass(HOLD);
    world.settle();
    assert_eq!(world.status(1), Some(ClaimStatus::Expired));
    assert_eq!(world.status(2), Some(ClaimStatus::Reserved));
    assert_eq!(world.status(3), Some(ClaimStatus::Standby));
    assert_eq!(world.claims[&user(2)].deadline, Some(world.now + HOLD));
    assert_eq!(world.book.serving_seq, 2);
}

#[test]
fn a_reservation_ends_at_its_deadline_and_not_before() {
    let mut world = full_sale(1, 0);
    world.pass(HOLD.checked_sub(Duration::from_millis(1)).unwrap());
    assert!(world.settle_once().changes.is_empty());
    world.pass(Duration::from_millis(1));
    assert_eq!(world.settle_once().changes.len(), 1);
    assert_eq!(world.book.free(), 1);
}

#[test]
fn a_doubled_wake_up_changes_nothing() {
    let mut world = full_sale(2, 1);
    world.pass(HOLD);
    world.settle();
    let book = world.book;
    let again = world.settle_once();
    assert!(again.changes.is_empty() && !again.more);
    assert_eq!(world.book, book);
}

#[test]
fn a_claim_that_pays_is_not_ended_by_its_deadline() {
    let mut world = full_sale(1, 1);
    world.pass(HOLD.checked_sub(Duration::from_millis(1)).unwrap());
    world.begin(1).unwrap();
    world.pass(LEASE * 2);
    world.settle();
    assert_eq!(world.status(1), Some(ClaimStatus::Paying));
    assert_eq!(world.status(2), Some(ClaimStatus::Standby));
}

#[test]
fn giving_up_a_reservation_serves_standby_in_the_same_commit() {
    let mut world = full_sale(1, 2);
    world.give_up(1, None).unwrap();
    assert_eq!(world.status(1), Some(ClaimStatus::Released));
    assert_eq!(world.status(2), Some(ClaimStatus::Reserved));
}

#[test]
fn leaving_standby_keeps_the_order_of_the_others() {
    let mut world = full_sale(1, 3);
    world.give_up(2, None).unwrap();
    assert_eq!(world.status(2), Some(ClaimStatus::Left));
    world.give_up(1, None).unwrap();
    assert_eq!(world.status(3), Some(ClaimStatus::Reserved));
}

#[test]
fn giving_up_is_refused_while_paying_when_over_and_at_another_rev() {
    let mut world = full_sale(1, 1);
    assert_eq!(world.give_up(1, Some(2)), Err(GiveUpError::Changed));
    world.begin(1).unwrap();
    assert_eq!(world.give_up(1, Some(2)), Err(GiveUpError::PaymentInProgress));
    let (&payment, _) = world.payments.first_key_value().unwrap();
    world.fail(payment);
    world.pass(HOLD);
    assert_eq!(world.give_up(1, None), Err(GiveUpError::Over), "its hold ran out: it expires");
    world.settle();
    assert_eq!(world.give_up(1, None), Err(GiveUpError::Over));
    world.give_up(2, Some(2)).unwrap();
    assert_eq!(world.give_up(2, None), Err(GiveUpError::Over));
}

#[test]
fn all_paid_is_set_with_a_new_version_and_cleared_by_a_unit_that_comes_back() {
    let mut world = full_sale(1, 1);
    world.pay(1);
    let version = world.book.version;
    world.settle();
    assert!(world.book.all_paid && world.book.version > version);
    assert_eq!(world.status(2), Some(ClaimStatus::Standby), "standby keeps its place");
    world.refund(1);
    world.settle();
    assert!(world.book.all_paid, "a refund alone brings no unit back");
    assert!(world.restock(1));
    assert!(!world.book.all_paid);
    assert_eq!(world.status(2), Some(ClaimStatus::Reserved));
}

#[test]
fn added_stock_clears_all_paid() {
    let mut world = full_sale(1, 0);
    world.pay(1);
    world.settle();
    assert!(world.book.all_paid);
    world.add_stock(1).unwrap();
    assert!(!world.book.all_paid && !world.book.sold_out());
}

#[test]
fn a_unit_is_restocked_once_and_only_after_a_refund() {
    let mut world = full_sale(1, 0);
    assert!(!world.restock(1));
    world.pay(1);
    assert!(!world.restock(1));
    world.refund(1);
    assert_eq!(world.book.free(), 0, "the unit stays out until it is restocked");
    assert!(world.restock(1));
    assert_eq!(world.book.free(), 1);
    assert!(!world.restock(1));
    assert_eq!(world.book.free(), 1);
}

#[test]
fn a_unit_restocked_after_standby_is_over_becomes_free() {
    let mut world = full_sale(1, 1);
    world.pay(1);
    world.refund(1);
    world.now = world.terms.standby_ends_at();
    assert!(world.restock(1));
    assert_eq!(world.book.free(), 1);
    assert_eq!(world.status(2), Some(ClaimStatus::Rejected));
}

#[test]
fn after_the_end_promotion_goes_on_until_nobody_reserves_or_pays() {
    let mut world = full_sale(1, 2);
    world.now = world.terms.ends_at;
    world.settle();
    assert_eq!(world.status(2), Some(ClaimStatus::Reserved), "the hold ran out; the next is served");
    assert!(!world.book.standby_over);
    world.pay(2);
    world.settle();
    assert!(world.book.standby_over);
    assert_eq!(world.status(3), Some(ClaimStatus::Rejected));
}

#[test]
fn standby_is_over_at_the_end_of_the_grace_and_nobody_is_promoted_then() {
    let mut world = full_sale(1, 1);
    world.pass((LASTS + GRACE).checked_sub(Duration::from_millis(1)).unwrap());
    let mut in_time = world.clone();
    in_time.settle();
    assert_eq!(in_time.status(2), Some(ClaimStatus::Reserved));
    world.pass(Duration::from_millis(1));
    world.settle();
    assert!(world.book.standby_over);
    assert_eq!(world.status(1), Some(ClaimStatus::Expired));
    assert_eq!(world.status(2), Some(ClaimStatus::Rejected));
}

#[test]
fn a_close_rejects_standby_at_once_and_lets_reservations_run_out_their_hold() {
    let mut world = full_sale(1, 1);
    world.close();
    assert_eq!(world.status(2), Some(ClaimStatus::Rejected));
    assert_eq!(world.status(1), Some(ClaimStatus::Reserved));
    world.pay(1);
    assert_eq!(world.status(1), Some(ClaimStatus::Paid));
}

#[test]
fn no_transaction_changes_more_claims_than_it_may_however_many_are_due() {
    let mut world = full_sale(2_000, 2_000);
    world.pass(HOLD);
    let first = world.settle_once();
    assert!(first.more);
    assert_eq!(first.changes.len(), CHANGES_MAX, "each end with its promotion");
    world.settle();
    assert_eq!(world.with_status(ClaimStatus::Expired).len(), 2_000);
    assert_eq!(world.with_status(ClaimStatus::Reserved).len(), 2_000);
}

#[test]
fn a_large_standby_is_rejected_in_transactions_of_a_bounded_size() {
    let mut world = full_sale(1, 2_500);
    let settled = world.close();
    assert!(settled.more);
    assert_eq!(settled.changes.len(), CHANGES_MAX);
    world.settle();
    assert_eq!(world.with_status(ClaimStatus::Rejected).len(), 2_500);
}

#[test]
fn ends_and_rejections_together_are_bounded_too() {
    let mut world = full_sale(600, 1_200);
    world.now = world.terms.standby_ends_at();
    let first = world.settle_once();
    assert!(first.more);
    assert_eq!(first.changes.len(), CHANGES_MAX);
    world.settle();
    assert_eq!(world.with_status(ClaimStatus::Expired).len(), 600);
    assert_eq!(world.with_status(ClaimStatus::Rejected).len(), 1_200);
}

#[test]
fn a_large_addition_serves_a_large_standby_bit_by_bit_and_in_order() {
    let mut world = full_sale(1, 10_000);
    let added = world.add_stock(10_000).unwrap();
    assert!(added.more);
    assert_eq!(world.book.free(), 0);
    let transactions = world.settle();
    assert!(transactions >= 10_000 / CHANGES_MAX);
    assert_eq!((world.book.stock, world.book.incoming, world.book.standing), (10_001, 0, 0));
    let promoted: Vec<u64> = world.with_status(ClaimStatus::Reserved).iter().map(|claim| claim.seq).collect();
    assert!(promoted.iter().copied().eq(1..=10_001));
}

#[test]
fn stock_added_while_few_stand_by_is_up_for_sale_at_once() {
    let mut world = full_sale(1, 3);
    let added = world.add_stock(10_000).unwrap();
    assert!(!added.more);
    assert_eq!((world.book.incoming, world.book.free()), (0, 9_997));
    let mut crowded = full_sale(1, u32::try_from(ENDS_MAX).unwrap() + 1);
    let added = crowded.add_stock(10_000).unwrap();
    assert!(added.more && crowded.book.incoming > 0, "more stand by than one transaction may promote");
}

#[test]
fn a_book_that_counts_people_who_are_not_there_does_not_settle_for_ever() {
    let mut world = full_sale(1, 1);
    world.close();
    let mut book = world.book;
    book.standing = 1;
    let settled = super::settle(&world.terms, &mut book, world.standing(), world.now);
    assert!(settled.changes.is_empty() && !settled.more, "nothing was done, so nothing more can be");
}

#[test]
fn a_claim_sold_between_being_read_as_due_and_being_counted_is_no_panic() {
    let mut world = full_sale(1, 0);
    world.pass(HOLD);
    let standing = Standing { holding: 0, ..world.standing() };
    let settled = super::settle(&world.terms, &mut world.book, standing, world.now);
    assert_eq!(settled.changes.len(), 1, "its commit meets a changed row, and writes nothing");
}

#[test]
fn while_units_wait_to_be_put_up_nothing_is_over() {
    let mut world = full_sale(1, 2);
    world.pay(1);
    world.now = world.terms.ends_at;
    let mut book = world.book;
    book.incoming = 1;
    let leaver = world.claims[&user(3)];
    super::give_up(&world.terms, &mut book, leaver, world.standing(), None, world.now).unwrap();
    assert!(!book.all_paid && !book.standby_over);
    super::settle(&world.terms, &mut book, world.standing(), world.now);
    assert_eq!((book.incoming, book.serving_seq), (0, 2));
}

#[test]
fn there_is_work_only_while_settling_would_change_something() {
    let mut world = full_sale(1, 2);
    assert!(!world.has_work(), "everybody holds or waits");
    world.pass(HOLD);
    assert!(world.has_work(), "a reservation has run out");
    world.settle();
    assert!(!world.has_work());
    world.add_stock(1).unwrap();
    world.settle();
    assert!(!world.has_work(), "the unit went to standby");
    world.pass(LASTS);
    assert!(world.has_work(), "the sale has ended");
    world.settle();
    world.pass(HOLD + GRACE);
    world.settle();
    assert!(!world.has_work(), "all is over");
    world.book.standing = 1;
    assert!(world.has_work(), "somebody stands by for nothing");
}
