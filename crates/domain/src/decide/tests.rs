//! Facts about deciding a batch. Random histories are in [`crate::world`].

use std::collections::HashMap;

use crate::claim::ClaimStatus;
use crate::decide::{Answer, Ask, Decision, decide};
use crate::sale::{pause, resume};
use crate::world::{LASTS, World, user};

fn statuses(answers: &[Answer]) -> Vec<&'static str> {
    let name = |answer: &Answer| match answer {
        Answer::Claimed(claim) => claim.status.name(),
        Answer::Rejected(_) => "none",
    };
    answers.iter().map(name).collect()
}

fn decided(world: &mut World, users: &[u64]) -> Vec<&'static str> {
    statuses(&world.decide(users).expect("the sale is not paused"))
}

#[test]
fn units_go_first_come_first_served_then_standby_then_nothing() {
    let mut world = World::new(2, 1);
    assert_eq!(decided(&mut world, &[7, 3, 5, 1]), ["reserved", "reserved", "standby", "none"]);
    let seqs: Vec<u64> = [7, 3, 5].map(|number| world.claims[&user(number)].seq).into();
    assert_eq!(seqs, [1, 2, 3], "the seq is the order of the batch");
    assert_eq!(world.book.next_seq, 4, "a rejection takes no seq and leaves no row");
    assert_eq!(world.status(1), None);
}

#[test]
fn a_person_twice_in_a_batch_has_one_claim_and_the_same_answer_twice() {
    let mut world = World::new(2, 2);
    let answers = world.decide(&[1, 1, 2, 1]).unwrap();
    assert_eq!(answers[0], answers[1]);
    assert_eq!(answers[0], answers[3]);
    assert_eq!((world.book.taken, world.claims.len()), (2, 2));
}

#[test]
fn a_second_request_keeps_the_first_outcome_whatever_became_of_it() {
    let mut world = World::new(1, 1);
    world.decide(&[1, 2]);
    world.give_up(1, None).unwrap();
    world.give_up(2, None).unwrap();
    assert_eq!(decided(&mut world, &[1, 2]), ["released", "released"]);
    assert_eq!(decided(&mut world, &[3]), ["reserved"], "the unit is there for somebody else");
}

#[test]
fn a_rejected_newcomer_is_decided_anew_once_units_are_back() {
    let mut world = World::new(1, 0);
    assert_eq!(decided(&mut world, &[1, 2]), ["reserved", "none"]);
    world.give_up(1, None).unwrap();
    assert_eq!(decided(&mut world, &[2]), ["reserved"]);
}

#[test]
fn a_reservation_is_held_for_the_hold_and_standby_has_no_deadline() {
    let mut world = World::new(1, 1);
    world.decide(&[1, 2]);
    let reserved = world.claims[&user(1)];
    assert_eq!(reserved.deadline, Some(world.now + world.terms.hold));
    assert_eq!(reserved.hold_until, reserved.deadline);
    let standby = world.claims[&user(2)];
    assert_eq!((standby.deadline, standby.hold_until), (None, None));
}

#[test]
fn standby_closes_when_it_first_fills_and_stays_closed_while_somebody_stands_by() {
    let mut world = World::new(1, 2);
    assert_eq!(decided(&mut world, &[1, 2, 3, 4]), ["reserved", "standby", "standby", "none"]);
    world.give_up(2, None).unwrap();
    assert_eq!(world.book.standing, 1);
    assert_eq!(decided(&mut world, &[4]), ["none"], "a place in standby that was left is not given again");
    world.give_up(3, None).unwrap();
    assert_eq!(decided(&mut world, &[4]), ["none"], "nobody stands by, but no unit is free either");
    world.give_up(1, None).unwrap();
    assert_eq!(decided(&mut world, &[4, 5, 6, 7]), ["reserved", "standby", "standby", "none"]);
}

#[test]
fn while_every_unit_is_paid_newcomers_are_refused_standby() {
    let mut world = World::new(1, 5);
    world.decide(&[1, 2]);
    world.pay(1);
    assert_eq!(
        decided(&mut world, &[3]),
        ["standby"],
        "payments do not touch the sale: nothing is known yet"
    );
    world.settle();
    assert!(world.book.all_paid && world.book.sold_out());
    assert_eq!(decided(&mut world, &[4]), ["none"]);
    assert_eq!(world.with_status(ClaimStatus::Standby).len(), 2, "who stands by keeps the place");
}

#[test]
fn what_is_decided_after_close_is_rejected_even_with_a_unit_free() {
    let mut world = World::new(2, 2);
    world.decide(&[1]);
    world.close();
    assert_eq!(world.book.free(), 1);
    assert_eq!(decided(&mut world, &[2, 1]), ["none", "reserved"], "who has a claim keeps it");
}

#[test]
fn what_was_accepted_in_time_is_decided_after_the_end() {
    let mut world = World::new(1, 1);
    world.pass(LASTS);
    assert_eq!(decided(&mut world, &[1, 2]), ["reserved", "standby"]);
}

#[test]
fn after_standby_is_over_there_is_a_unit_or_nothing() {
    let mut world = World::new(1, 5);
    world.pass(LASTS);
    world.settle();
    assert!(world.book.standby_over);
    assert_eq!(decided(&mut world, &[1, 2]), ["reserved", "none"]);
}

#[test]
fn after_the_grace_there_is_no_standby_even_before_a_sweep() {
    let mut world = World::new(1, 5);
    world.decide(&[1]);
    world.now = world.terms.standby_ends_at();
    assert_eq!(decided(&mut world, &[2]), ["none"]);
}

#[test]
fn a_paused_sale_parks_its_batches_and_decides_them_once_resumed() {
    let mut world = World::new(1, 1);
    pause(&world.terms, &mut world.book, world.now).unwrap();
    assert_eq!(world.decide(&[1]), None);
    assert!(world.claims.is_empty());
    resume(&world.terms, &mut world.book, world.now).unwrap();
    assert_eq!(decided(&mut world, &[1]), ["reserved"]);
}

#[test]
fn what_was_parked_is_decided_once_the_paused_sale_has_ended() {
    let mut world = World::new(1, 0);
    pause(&world.terms, &mut world.book, world.now).unwrap();
    let mut closed = world.clone();
    world.pass(LASTS);
    assert_eq!(decided(&mut world, &[1, 2]), ["reserved", "none"], "it cannot be resumed any more");
    closed.close();
    assert_eq!(decided(&mut closed, &[1]), ["none"]);
}

#[test]
fn no_newcomer_gets_a_unit_while_somebody_stands_by() {
    let mut world = World::new(1, 2);
    world.decide(&[1, 2]);
    let mut book = world.book;
    book.stock += 1;
    assert!(book.free() > 0 && book.standing > 0, "as no commit leaves it");
    let ask = Ask { user: user(3), quantity: 1 };
    let decision = decide(world.sale, &world.terms, &mut book, &[ask], &HashMap::new(), world.now);
    let Decision::Decided { answers, .. } = decision else { panic!("parked") };
    assert_eq!(statuses(&answers), ["standby"]);
}
