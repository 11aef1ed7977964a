//! Facts about following. A test polls the follower as an executor would, and moves the clock by hand.

use std::future::Future;
use std::pin::Pin;

use futures_util::FutureExt as _;
use miaosha_domain::claim::ClaimStatus;
use miaosha_domain::sale::SaleState;
use parking_lot::Mutex;

use super::*;
use crate::board::PersonalState;
use crate::fakes::{FakeDelivery, Fault, HOLD, LASTS, Node, now, sale_id, sale_row, user};
use crate::manage_sale::close_sale;
use crate::settle_sale::settle_sale;

const SECOND: Duration = Duration::from_secs(1);

/// Notes what it hears.
#[derive(Default)]
struct Ear {
    claims: Mutex<Vec<(u64, ClaimStatus)>>,
    rejected: Mutex<Vec<u64>>,
    states: Mutex<Vec<SaleState>>,
}

impl Listener for Ear {
    fn hear(&self, news: &News) {
        self.claims.lock().extend(news.claims.iter().map(|claim| (claim.user.get(), claim.status)));
        self.rejected.lock().extend(news.rejected.iter().map(|user| user.get()));
        self.states.lock().extend(news.state);
    }
}

/// A node that is followed.
struct Followed {
    node: Node,
    board: Arc<Board>,
    ear: Arc<Ear>,
    // `Send`: a role spawns it on whichever thread there is.
    run: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl Followed {
    fn new(node: Node) -> Self {
        let (board, ear) = (Arc::new(Board::new()), Arc::new(Ear::default()));
        let follower = Follower::new(node.ports.clone(), board.clone(), ear.clone());
        let mut followed = Self { node, board, ear, run: Box::pin(follower.run()) };
        assert!(!followed.poll());
        followed
    }

    /// Lets the follower do what it can; whether it has ended.
    fn poll(&mut self) -> bool {
        self.run.as_mut().now_or_never().is_some()
    }

    fn pass(&mut self, span: Duration) {
        self.node.clock.pass(span);
        assert!(!self.poll());
    }

    /// What was heard of claims since the last time.
    fn heard(&self) -> Vec<(u64, ClaimStatus)> {
        std::mem::take(&mut self.ear.claims.lock())
    }

    /// Whether all claims of the sale were read since the journal was looked at last.
    fn has_read_everything(&self) -> bool {
        self.node.journal.take().contains(&"claims read".to_owned())
    }
}

#[test]
fn look_ups_are_answered_from_memory_also_while_the_next_reading_is_under_way() {
    let mut followed = Followed::new(Node::new(2, 0));
    let reading_takes = Duration::from_millis(200);
    for _ in 0..50 {
        followed.pass(Duration::from_millis(50));
        assert!(followed.board.has_current_claims(followed.node.ports.clock.now() + reading_takes));
    }
}

#[test]
fn at_first_every_sale_and_every_claim_is_read() {
    let node = Node::new(1, 1);
    node.bus.lose_everything();
    node.decide(&[1, 2]);
    let followed = Followed::new(node);
    assert_eq!(followed.heard(), [(1, ClaimStatus::Reserved), (2, ClaimStatus::Standby)]);
    assert_eq!(followed.board.lookup(sale_id()).unwrap().claims_lacking(), 0);
}

#[test]
fn news_is_told_as_it_comes_and_not_again_by_its_events() {
    let mut followed = Followed::new(Node::new(1, 0));
    followed.node.decide(&[1, 2]);
    followed.poll();
    assert_eq!(followed.heard(), [(1, ClaimStatus::Reserved)]);
    assert_eq!(*followed.ear.rejected.lock(), [2]);
    followed.node.journal.take();
    for _ in 0..12 {
        followed.pass(SECOND);
    }
    assert_eq!(followed.heard(), []);
    assert!(followed.node.journal.take().is_empty(), "no row is read of what was heard");
}

#[test]
fn news_that_comes_during_a_reading_is_not_read_from_rows() {
    let node = Node::new(1, 0);
    let (board, ear) = (Arc::new(Board::new()), Arc::new(Ear::default()));
    let mut follower = Follower::new(node.ports.clone(), board, ear.clone());
    now(follower.catch_up()).unwrap();
    node.decide(&[1, 2]);
    node.journal.take();
    now(follower.catch_up()).unwrap();
    assert_eq!(*ear.claims.lock(), [(1, ClaimStatus::Reserved)]);
    assert_eq!(*ear.rejected.lock(), [2]);
    assert!(node.journal.take().is_empty());
}

#[test]
fn lost_news_is_made_good_from_the_events_within_a_second() {
    let mut followed = Followed::new(Node::new(1, 1));
    followed.node.decide(&[1, 2]);
    followed.poll();
    followed.heard();
    followed.node.bus.lose_everything();
    followed.node.clock.pass(HOLD.checked_sub(SECOND / 2).unwrap());
    followed.poll();
    followed.node.clock.pass(SECOND / 2);
    now(settle_sale(&followed.node.ports, sale_id())).unwrap();
    followed.poll();
    assert_eq!(followed.heard(), []);
    followed.has_read_everything();
    followed.pass(SECOND / 2);
    assert_eq!(followed.heard(), [(1, ClaimStatus::Expired), (2, ClaimStatus::Reserved)]);
    assert!(!followed.has_read_everything(), "the events are enough");
    for _ in 0..12 {
        followed.pass(SECOND);
    }
    assert!(followed.node.journal.take().is_empty(), "each event is read once");
}

#[test]
fn after_a_gap_in_the_news_the_events_are_read_at_once_and_are_enough() {
    let mut followed = Followed::new(Node::new(1, 1));
    followed.node.decide(&[1]);
    followed.poll();
    followed.heard();
    followed.node.bus.lose_everything();
    followed.node.decide(&[2]);
    followed.has_read_everything();
    followed.node.bus.send(BusEvent::Gap);
    followed.poll();
    assert_eq!(followed.heard(), [(2, ClaimStatus::Standby)]);
    assert!(!followed.has_read_everything());
}

#[test]
fn after_a_long_silence_of_the_database_its_events_are_enough() {
    let mut followed = Followed::new(Node::new(1, 1));
    followed.node.decide(&[1]);
    followed.poll();
    followed.node.bus.lose_everything();
    for _ in 0..60 {
        followed.node.faults.next("event ids", Fault::Retryable);
    }
    followed.node.clock.pass(HOLD);
    now(settle_sale(&followed.node.ports, sale_id())).unwrap();
    followed.heard();
    for _ in 0..60 {
        assert!(!followed.poll());
        followed.node.clock.pass(SECOND);
    }
    assert_eq!(followed.heard(), []);
    followed.has_read_everything();
    followed.poll();
    assert_eq!(followed.heard(), [(1, ClaimStatus::Expired)]);
    assert!(!followed.has_read_everything());
}

#[test]
fn a_commit_that_shows_long_after_its_time_is_found() {
    let mut followed = Followed::new(Node::new(1, 1));
    followed.node.decide(&[1]);
    followed.pass(SECOND);
    followed.node.bus.lose_everything();
    followed.node.store.hide_events(true);
    now(crate::give_up::give_up(&followed.node.ports, sale_id(), user(1), None)).unwrap();
    for _ in 0..15 {
        followed.pass(SECOND);
    }
    followed.heard();
    followed.node.store.hide_events(false);
    followed.has_read_everything();
    for _ in 0..10 {
        followed.pass(SECOND);
    }
    let sale = followed.board.lookup(sale_id()).unwrap();
    let known = sale.personal_state(user(1), followed.node.ports.clock.now());
    assert!(
        matches!(known, PersonalState::Claimed(claim) if claim.status == ClaimStatus::Released),
        "{known:?}"
    );
    assert!(!followed.has_read_everything(), "the events are enough");
}

#[test]
fn a_clock_that_is_set_back_makes_nothing_on_the_board_newer_and_everything_is_read() {
    let node = Node::new(1, 1);
    let board = Arc::new(Board::new());
    let mut follower = Follower::new(node.ports.clone(), board.clone(), Arc::new(Ear::default()));
    now(follower.catch_up()).unwrap();
    node.clock.pass(Duration::from_mins(1));
    now(follower.catch_up()).unwrap();
    node.clock.set_back(Duration::from_mins(1));
    assert!(!board.has_current_claims(node.ports.clock.now()));
    node.journal.take();
    now(follower.catch_up()).unwrap();
    assert!(board.has_current_claims(node.ports.clock.now()));
    assert!(node.journal.take().contains(&"claims read".to_owned()));
}

#[test]
fn a_clock_that_is_set_back_by_seconds_delays_no_reading() {
    let mut followed = Followed::new(Node::new(1, 1));
    followed.pass(SECOND / 2);
    followed.node.clock.set_back(SECOND * 5);
    followed.node.decide(&[1]);
    assert!(!followed.poll());
    assert!(followed.is_current(), "it was read when it woke");
}

#[test]
fn the_claims_of_a_sale_that_is_long_over_are_forgotten_and_not_read_again() {
    let mut followed = Followed::new(Node::new(1, 0));
    followed.node.decide(&[1]);
    followed.poll();
    now(close_sale(&followed.node.ports, sale_id())).unwrap();
    followed.node.clock.pass(HOLD);
    now(settle_sale(&followed.node.ports, sale_id())).unwrap();
    let sale = followed.board.lookup(sale_id()).unwrap();
    let known = |followed: &Followed| sale.personal_state(user(1), followed.node.ports.clock.now());
    followed.pass(LASTS);
    assert!(matches!(known(&followed), PersonalState::Claimed(_)));
    followed.pass(PEOPLE_KEPT);
    assert_eq!(known(&followed), PersonalState::Unknown);
    assert!(!sale.had_no_claim(user(1), followed.node.ports.clock.now()), "the row says so");
    assert_eq!(sale.units_by_status(), []);
    followed.has_read_everything();
    for _ in 0..3 {
        followed.pass(SECOND);
    }
    assert!(!followed.has_read_everything());
    let restarted = Followed::new(followed.node);
    assert!(!restarted.has_read_everything());
}

#[test]
fn events_that_could_not_be_followed_up_are_read_again() {
    let mut followed = Followed::new(Node::new(2, 1));
    followed.node.decide(&[1]);
    followed.poll();
    followed.node.bus.lose_everything();
    followed.heard();
    followed.node.faults.next("claims by events", Fault::Retryable);
    followed.node.decide(&[2]);
    followed.pass(SECOND);
    assert_eq!(followed.heard(), []);
    followed.pass(SECOND);
    assert_eq!(followed.heard(), [(2, ClaimStatus::Reserved)]);
}

#[test]
fn a_claim_that_is_lacking_is_read_even_when_its_event_was_missed() {
    let mut followed = Followed::new(Node::new(1, 0));
    followed.node.decide(&[1]);
    followed.poll();
    followed.heard();
    let mut row = now(followed.node.ports.sales.lookup(sale_id())).unwrap().unwrap();
    row.book.next_seq += 1;
    row.book.version += 1;
    followed.board.put(row, followed.node.ports.clock.now());
    followed.has_read_everything();
    followed.pass(SECOND);
    assert!(followed.has_read_everything());
}

#[test]
fn news_of_an_unknown_sale_waits_for_its_row() {
    let mut followed = Followed::new(Node::new(1, 0));
    let mut row = sale_row(1, 0);
    row.sale.id = SaleId::new(2).unwrap();
    followed.node.store.put(row);
    let delivery = FakeDelivery::new(&followed.node.journal, &[7]).of_sale(SaleId::new(2).unwrap());
    now(crate::decide_batch::decide_batch(&followed.node.ports, Box::new(delivery))).unwrap();
    followed.poll();
    assert_eq!(followed.heard(), [(7, ClaimStatus::Reserved)]);
    let sale = followed.board.lookup(SaleId::new(2).unwrap()).unwrap();
    let known = sale.personal_state(user(7), followed.node.ports.clock.now());
    assert!(matches!(known, PersonalState::Claimed(_)));
}

#[test]
fn news_of_an_unknown_sale_whose_row_cannot_be_read_is_made_good_later() {
    let mut followed = Followed::new(Node::new(1, 0));
    let mut row = sale_row(1, 0);
    row.sale.id = SaleId::new(2).unwrap();
    followed.node.store.put(row);
    followed.node.faults.next("sale lookup", Fault::Retryable);
    let delivery = FakeDelivery::new(&followed.node.journal, &[7]).of_sale(SaleId::new(2).unwrap());
    now(crate::decide_batch::decide_batch(&followed.node.ports, Box::new(delivery))).unwrap();
    followed.poll();
    assert_eq!(followed.heard(), [(7, ClaimStatus::Reserved)]);
}

#[test]
fn the_turns_of_a_sale_are_told_without_any_news() {
    let node = Node::new(1, 1);
    let mut followed = Followed::new(node);
    followed.pass(LASTS);
    assert_eq!(*followed.ear.states.lock(), [SaleState::Ended]);
}

#[test]
fn a_change_of_the_book_whose_news_was_lost_is_told_within_a_second() {
    let mut followed = Followed::new(Node::new(1, 1));
    followed.node.bus.lose_everything();
    now(close_sale(&followed.node.ports, sale_id())).unwrap();
    followed.pass(SECOND);
    assert_eq!(*followed.ear.states.lock(), [SaleState::Ended]);
}

#[test]
fn following_ends_with_the_bus() {
    let mut followed = Followed::new(Node::new(1, 1));
    followed.node.bus.send(BusEvent::Closed);
    assert!(followed.poll());
}

#[test]
fn claims_on_the_board_are_current_for_a_second_after_the_last_catch_up_began() {
    let mut followed = Followed::new(Node::new(1, 1));
    followed.node.decide(&[1]);
    followed.poll();
    let current = |followed: &Followed| {
        let sale = followed.board.lookup(sale_id()).unwrap();
        followed.board.current_claim(&sale, user(1), followed.node.ports.clock.now()).map(|claim| claim.rev)
    };
    assert_eq!(current(&followed), Some(1));
    followed.node.faults.next("event ids", Fault::Retryable);
    followed.pass(SECOND);
    assert_eq!(current(&followed), Some(1), "still");
    followed.pass(SECOND / 2);
    assert_eq!(current(&followed), None, "nobody knows what has been written since");
    followed.pass(SECOND);
    assert_eq!(current(&followed), Some(1));
}

impl Followed {
    /// Whether the last catch-up went well, if it was half a second ago.
    fn is_current(&self) -> bool {
        self.board.has_current_claims(self.node.ports.clock.now())
    }
}

#[test]
fn a_quiet_second_reads_no_row_of_a_sale() {
    let mut followed = Followed::new(Node::new(1, 1));
    for call in ["sale list", "sale lookup"] {
        followed.node.faults.next(call, Fault::Retryable);
    }
    for _ in 0..5 {
        followed.pass(SECOND);
        followed.pass(SECOND / 2);
        assert!(followed.is_current());
        followed.pass(SECOND / 2);
    }
    now(close_sale(&followed.node.ports, sale_id())).unwrap();
    followed.pass(SECOND);
    followed.pass(SECOND / 2);
    assert!(!followed.is_current(), "the last row of a sale is read");
}

#[test]
fn a_sale_that_came_and_went_unheard_is_found_within_ten_seconds() {
    let mut followed = Followed::new(Node::new(1, 0));
    let mut row = sale_row(1, 0);
    row.sale.id = SaleId::new(2).unwrap();
    row.book.standby_over = true;
    let id = row.sale.id;
    followed.node.store.put(row);
    for _ in 0..9 {
        followed.pass(SECOND);
    }
    assert!(followed.board.lookup(id).is_none());
    followed.pass(SECOND);
    assert!(followed.board.lookup(id).is_some());
}

#[test]
fn who_has_no_claim_in_a_settled_sale_is_known_without_asking() {
    let mut followed = Followed::new(Node::new(1, 0));
    followed.node.decide(&[1]);
    now(close_sale(&followed.node.ports, sale_id())).unwrap();
    followed.node.clock.pass(HOLD);
    now(settle_sale(&followed.node.ports, sale_id())).unwrap();
    for _ in 0..20 {
        followed.pass(SECOND);
    }
    assert!(now(followed.node.ports.sales.list_unsettled()).unwrap().is_empty());
    let sale = followed.board.lookup(sale_id()).unwrap();
    let had_none = |number| sale.had_no_claim(user(number), followed.node.ports.clock.now());
    assert_eq!((had_none(1), had_none(2)), (false, true));
}

impl Followed {
    /// Another process has read what there is, and found nothing.
    fn hear_of_a_reading(&mut self, as_of: Timestamp) {
        let unsettled = now(self.node.ports.sales.list_unsettled()).unwrap();
        let unsettled = unsettled.into_iter().map(|sale| (sale.id, sale.book)).collect();
        self.node.bus.send(BusEvent::Reading(Arc::new(Reading { as_of, unsettled })));
        assert!(!self.poll());
    }
}

#[test]
fn while_another_process_reads_this_one_does_not() {
    let mut followed = Followed::new(Node::new(1, 1));
    followed.node.faults.next("event ids", Fault::Retryable);
    for _ in 0..40 {
        followed.pass(SECOND / 2);
        let as_of = followed.node.ports.clock.now();
        followed.pass(SECOND / 5);
        followed.hear_of_a_reading(as_of);
        assert!(followed.is_current(), "the board is as new as what the other one read");
    }
    followed.pass(READER_PATIENCE);
    assert!(!followed.is_current(), "it read for itself, which failed");
    followed.pass(SECOND);
    assert!(followed.is_current());
}

#[test]
fn who_had_to_read_for_itself_waits_for_the_reader_again() {
    let mut followed = Followed::new(Node::new(1, 1));
    followed.hear_of_a_reading(followed.node.ports.clock.now());
    followed.node.bus.take_shared();
    followed.node.bus.send(BusEvent::Gap);
    let mut readings_after = |span| {
        followed.pass(span);
        followed.node.bus.take_shared().len()
    };
    assert_eq!(readings_after(Duration::ZERO), 1);
    for _ in 0..9 {
        assert_eq!(readings_after(SECOND), 0, "the reader may only have been silent");
    }
    for _ in 0..9 {
        assert_eq!(readings_after(SECOND), 1, "there is no reader any more");
    }
}

#[test]
fn a_reader_that_is_heard_while_this_one_reads_is_waited_for() {
    let mut followed = Followed::new(Node::new(1, 1));
    followed.node.bus.lose_everything();
    followed.node.decide(&[1]);
    let as_of = followed.node.ports.clock.now();
    let unsettled = Vec::new();
    followed.node.bus.send(BusEvent::Gap);
    followed.node.bus.send(BusEvent::Reading(Arc::new(Reading { as_of, unsettled })));
    followed.poll();
    assert_eq!(followed.heard(), [(1, ClaimStatus::Reserved)], "it read for itself");
    followed.node.bus.take_shared();
    for _ in 0..9 {
        followed.pass(SECOND);
    }
    assert_eq!(followed.node.bus.take_shared().len(), 0);
}

#[test]
fn who_becomes_the_reader_reads_on() {
    let mut followed = Followed::new(Node::new(1, 1));
    followed.hear_of_a_reading(followed.node.ports.clock.now());
    followed.node.bus.let_it_read_for_others();
    followed.node.bus.send(BusEvent::Gap);
    followed.poll();
    followed.node.bus.take_shared();
    for _ in 0..9 {
        followed.pass(CATCH_UP_EVERY);
        assert_eq!(followed.node.bus.take_shared().len(), 1);
    }
}

#[test]
fn a_reading_that_began_before_its_own_makes_nothing_older() {
    let mut followed = Followed::new(Node::new(1, 1));
    let early = followed.node.ports.clock.now();
    followed.pass(SECOND);
    followed.node.faults.next("event ids", Fault::Retryable);
    followed.hear_of_a_reading(early);
    assert!(followed.is_current());
    followed.pass(SECOND);
    assert!(followed.is_current(), "the other one reads");
}

#[test]
fn what_was_lost_on_the_way_is_not_in_the_next_reading_of_another_process() {
    let mut followed = Followed::new(Node::new(1, 1));
    followed.node.bus.lose_everything();
    followed.node.decide(&[1]);
    followed.node.faults.next("event ids", Fault::Retryable);
    followed.node.bus.send(BusEvent::Gap);
    assert!(!followed.poll());
    followed.hear_of_a_reading(followed.node.ports.clock.now());
    assert_eq!(followed.heard(), []);
    followed.pass(SECOND);
    assert_eq!(followed.heard(), [(1, ClaimStatus::Reserved)]);
}

#[test]
fn a_sale_that_has_settled_by_the_reading_of_another_process_is_read_once_more() {
    let mut followed = Followed::new(Node::new(1, 0));
    followed.node.bus.lose_everything();
    now(close_sale(&followed.node.ports, sale_id())).unwrap();
    followed.hear_of_a_reading(followed.node.ports.clock.now());
    assert_eq!(*followed.ear.states.lock(), [SaleState::Ended]);
}

#[test]
fn what_a_reading_found_is_shared_before_it_and_what_was_heard_is_not() {
    let mut followed = Followed::new(Node::new(2, 1));
    followed.node.decide(&[1]);
    followed.poll();
    followed.node.bus.lose_everything();
    followed.node.decide(&[2]);
    followed.node.bus.take_shared();
    followed.node.clock.pass(SECOND);
    let as_of = followed.node.ports.clock.now();
    followed.poll();
    let shared = followed.node.bus.take_shared();
    let [BusEvent::News(found), BusEvent::Reading(reading)] = &shared[..] else { panic!("{shared:?}") };
    assert_eq!(found.claims.iter().map(|claim| claim.user).collect::<Vec<_>>(), [user(2)]);
    let books: Vec<_> = reading.unsettled.iter().map(|(id, book)| (*id, book.next_seq)).collect();
    assert_eq!((reading.as_of, &books[..]), (as_of, &[(sale_id(), 3)][..]));
}

#[test]
fn a_reading_that_had_to_read_everything_leaves_others_to_read_for_themselves() {
    let followed = Followed::new(Node::new(1, 1));
    let shared = followed.node.bus.take_shared();
    assert!(matches!(shared.last(), Some(BusEvent::Gap)), "{shared:?}");
}
