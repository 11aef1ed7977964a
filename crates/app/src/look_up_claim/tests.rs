//! Facts about look-ups.

use std::time::Duration;

use super::*;
use crate::board::Board;
use crate::fakes::{Fault, HOLD, Node, claim, just_read, now, sale_id, sale_row, user};
use crate::model::Outcomes;

/// A node on which person 1 has a unit and person 2 stands by, and a board that knows of neither yet.
fn node_and_board() -> (Node, Board) {
    let board = Board::new();
    let node = Node::new(1, 2);
    board.put(sale_row(1, 2), node.ports.clock.now());
    node.decide(&[1, 2, 3]);
    node.clock.pass(Duration::from_secs(2));
    (node, board)
}

fn look_up(node: &Node, board: &Board, number: u64) -> ClaimView {
    now(look_up_claim(&node.ports, &board.lookup(sale_id()).unwrap(), user(number))).unwrap()
}

#[test]
fn a_look_up_reads_the_row_and_counts_the_place() {
    let (node, board) = node_and_board();
    let view = look_up(&node, &board, 1);
    assert_eq!((view.standing.name(), view.standing.rev(), view.position), ("reserved", 1, None));
    assert_eq!(look_up(&node, &board, 3).position, Some(2));
    assert_eq!(look_up(&node, &board, 9).standing, PersonalStanding::None);
}

#[test]
fn a_look_up_does_not_take_the_news_from_those_who_are_told() {
    let (node, board) = node_and_board();
    look_up(&node, &board, 1);
    let outcomes = Outcomes::of_book(sale_id(), just_read(node.store.book()), vec![node.claim(1)]);
    let news = board.apply(&outcomes, node.ports.clock.now()).unwrap();
    assert_eq!(news.claims, [node.claim(1)], "other sockets of this person are still to be told");
}

#[test]
fn a_rejection_is_remembered_only_where_there_is_no_row() {
    let (node, board) = node_and_board();
    let book = Some(just_read(node.store.book()));
    let outcomes = Outcomes { book, ..Outcomes::of_rejected(sale_id(), vec![user(1), user(9)]) };
    board.apply(&outcomes, node.ports.clock.now());
    assert_eq!(look_up(&node, &board, 1).standing.name(), "reserved");
    assert_eq!(look_up(&node, &board, 9).standing.name(), "rejected");
}

#[test]
fn a_row_is_not_read_again_where_every_claim_is_known_to_be_of_others() {
    let (node, board) = node_and_board();
    let everybody = [1, 2, 3].map(|number| node.claim(number)).to_vec();
    let mut outcomes = Outcomes::of_book(sale_id(), just_read(node.store.book()), everybody);
    board.apply(&outcomes, node.ports.clock.now());
    let sale = board.lookup(sale_id()).unwrap();
    let at = node.ports.clock.now();
    assert!(sale.had_no_claim(user(9), at) && !sale.had_no_claim(user(1), at));
    assert!(!sale.had_no_claim(user(9), at + Duration::from_millis(1_001)), "only what is current counts");
    let book = &mut outcomes.book.as_mut().unwrap().book;
    book.version += 1;
    book.next_seq += 1;
    outcomes.claims = vec![claim(1, ClaimStatus::Reserved, 1)];
    board.apply(&outcomes, at + HOLD);
    assert!(!sale.had_no_claim(user(9), at + HOLD), "a claim is not known: it may be this person's");
}

#[test]
fn a_claim_heard_of_while_its_row_was_missing_is_told_with_its_place() {
    let (node, board) = node_and_board();
    let claims = vec![claim(9, ClaimStatus::Standby, 1)];
    let outcomes = Outcomes::of_book(sale_id(), just_read(node.store.book()), claims);
    board.apply(&outcomes, node.ports.clock.now());
    let view = look_up(&node, &board, 9);
    assert_eq!(
        (view.standing.name(), view.position),
        ("standby", Some(2)),
        "after those who are in the rows"
    );
}

#[test]
fn a_person_whom_the_gate_refused_is_told_so_where_this_node_does_not_know() {
    let (node, board) = node_and_board();
    node.gate.refuse(&[1, 9]);
    assert_eq!(look_up(&node, &board, 9).standing.name(), "rejected");
    assert_eq!(look_up(&node, &board, 1).standing.name(), "reserved", "a row outweighs the record");
    node.faults.next("gate", Fault::Retryable);
    assert_eq!(look_up(&node, &board, 9).standing.name(), "none", "a gate that is gone remembers nobody");
}
