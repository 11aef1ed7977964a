//! Facts about the desk. A test polls it as an executor would, and moves the clock by hand.

use std::pin::Pin;

use futures_util::FutureExt as _;
use tokio::sync::oneshot;

use super::*;
use crate::board::Board;
use crate::fakes::{Fault, LASTS, Node, START, claim, just_read, sale_id, sale_row, user};
use crate::model::Outcomes;
use miaosha_domain::claim::ClaimStatus;
use miaosha_domain::question::{LocalizedText, Question, QuestionParts};

const WINDOW: Duration = Duration::from_millis(2);

/// A desk that runs, and a sale to ask for.
struct Office {
    node: Node,
    desk: Arc<RequestDesk>,
    board: Board,
    sale: Arc<BoardSale>,
    run: Pin<Box<dyn Future<Output = ()>>>,
    shutdown: Option<oneshot::Sender<()>>,
}

impl Office {
    fn new(limits: DeskLimits) -> Self {
        let node = Node::new(2, 2);
        let desk = Arc::new(RequestDesk::new(node.clock.clone(), node.queue.clone(), limits));
        let board = Board::new();
        let sale = board.put(sale_row(2, 2), START);
        let (shutdown, is_over) = oneshot::channel();
        let running = desk.clone();
        let run = Box::pin(async move { running.run(is_over.map(|_| ())).await });
        let mut office = Self { node, desk, board, sale, run, shutdown: Some(shutdown) };
        office.poll();
        office
    }

    /// Lets the desk do what it can; whether it has ended.
    fn poll(&mut self) -> bool {
        self.run.as_mut().now_or_never().is_some()
    }

    /// Lets a batch window pass.
    fn pass_window(&mut self) {
        self.poll();
        self.node.clock.pass(WINDOW);
        self.poll();
    }

    fn ask(&self, number: u64) -> Asked {
        self.desk.ask(&self.sale, user(number), 1, self.node.clock.now())
    }

    fn wait(&self, number: u64) -> Waiting {
        match self.ask(number) {
            Asked::Waiting(waiting) => waiting,
            other => panic!("{other:?}"),
        }
    }

    fn batches(&self) -> Vec<Vec<u64>> {
        self.node.queue.batches()
    }
}

/// The fate of a request, if it is known.
fn fate(waiting: Waiting) -> Option<bool> {
    waiting.accepted().now_or_never()
}

#[test]
fn a_batch_goes_out_after_its_window_in_the_order_of_arrival() {
    let mut office = Office::new(DeskLimits::default());
    let early = office.wait(3);
    let late = office.wait(1);
    office.poll();
    assert!(office.batches().is_empty(), "the window is open");
    office.pass_window();
    assert_eq!(office.batches(), [[3, 1]]);
    assert_eq!((fate(early), fate(late)), (Some(true), Some(true)));
}

#[test]
fn nobody_is_told_accepted_before_the_confirm() {
    let mut office = Office::new(DeskLimits::default());
    office.node.queue.be_slow();
    let mut accepted = Box::pin(office.wait(1).accepted());
    office.pass_window();
    assert_eq!(office.batches(), [[1]]);
    assert_eq!(accepted.as_mut().now_or_never(), None);
    office.node.queue.confirm(true);
    office.poll();
    assert_eq!(accepted.now_or_never(), Some(true));
}

#[test]
fn a_duplicate_is_in_no_second_batch_and_shares_the_fate_of_the_first() {
    let mut office = Office::new(DeskLimits::default());
    office.node.queue.be_slow();
    let first = office.wait(1);
    let in_the_same_window = office.wait(1);
    office.pass_window();
    let while_in_flight = office.wait(1);
    office.node.queue.confirm(true);
    office.pass_window();
    assert_eq!(office.batches(), [[1]]);
    for waiting in [first, in_the_same_window, while_in_flight] {
        assert_eq!(fate(waiting), Some(true));
    }
    assert!(matches!(office.ask(1), Asked::Queued), "and is remembered");
}

#[test]
fn a_batch_that_fails_is_forgotten_with_its_duplicates() {
    let mut office = Office::new(DeskLimits::default());
    office.node.faults.next("publish", Fault::AnswerLost);
    let (first, duplicate) = (office.wait(1), office.wait(1));
    office.pass_window();
    assert_eq!((fate(first), fate(duplicate)), (Some(false), Some(false)));
    let again = office.wait(1);
    office.pass_window();
    assert_eq!(fate(again), Some(true));
    assert_eq!(office.batches(), [[1], [1]], "asking again is safe: the rule keeps the first outcome");
}

#[test]
fn a_request_forgotten_after_five_seconds_is_queued_anew() {
    let mut office = Office::new(DeskLimits::default());
    office.wait(1);
    office.pass_window();
    assert!(matches!(office.ask(1), Asked::Queued));
    office.node.clock.pass(crate::board::QUEUED_REMEMBERED);
    office.wait(1);
    office.pass_window();
    assert_eq!(office.batches(), [[1], [1]]);
}

#[test]
fn a_batch_is_cut_to_size() {
    let mut office = Office::new(DeskLimits { batch_len_max: 2, ..DeskLimits::default() });
    let waiting: Vec<Waiting> = (1..=5).map(|number| office.wait(number)).collect();
    office.pass_window();
    assert_eq!(office.batches(), [vec![1, 2], vec![3, 4], vec![5]]);
    assert!(waiting.into_iter().all(|waiting| fate(waiting) == Some(true)));
}

#[test]
fn a_person_who_waits_for_no_answer_is_decided_all_the_same() {
    let mut office = Office::new(DeskLimits::default());
    drop(office.wait(1));
    office.pass_window();
    assert_eq!(office.batches(), [[1]]);
}

#[test]
fn more_people_than_the_desk_may_hold_are_turned_away_until_there_is_room() {
    let mut office = Office::new(DeskLimits { waiting_max: 2, ..DeskLimits::default() });
    office.wait(1);
    office.wait(2);
    assert!(matches!(office.ask(3), Asked::Overloaded));
    office.pass_window();
    office.wait(3);
}

#[test]
fn what_waits_is_handed_over_when_a_batch_in_flight_is_confirmed() {
    let mut office = Office::new(DeskLimits { in_flight_max: 1, ..DeskLimits::default() });
    office.node.queue.be_slow();
    office.wait(1);
    office.pass_window();
    office.wait(2);
    office.pass_window();
    assert_eq!(office.batches(), [[1]], "one batch may be in flight");
    office.node.queue.confirm(true);
    office.pass_window();
    assert_eq!(office.batches(), [[1], [2]]);
}

#[test]
fn what_comes_while_a_sale_has_no_room_makes_one_batch_and_goes_out_with_the_confirm() {
    let mut office = Office::new(DeskLimits { in_flight_max: 1, ..DeskLimits::default() });
    office.node.queue.be_slow();
    for number in 1..=4 {
        office.wait(number);
        office.pass_window();
    }
    assert_eq!(office.batches(), [[1]]);
    office.node.queue.confirm(true);
    office.poll();
    assert_eq!(office.batches(), [vec![1], vec![2, 3, 4]]);
}

#[test]
fn a_sale_without_room_keeps_no_other_sale_waiting() {
    let mut office = Office::new(DeskLimits { in_flight_max: 1, ..DeskLimits::default() });
    office.node.queue.be_slow();
    office.wait(1);
    office.pass_window();
    office.wait(2);
    let mut row = sale_row(1, 0);
    row.sale.id = SaleId::new(2).unwrap();
    let other = office.board.put(row, START);
    assert!(matches!(office.desk.ask(&other, user(9), 1, START), Asked::Waiting(_)));
    office.pass_window();
    assert_eq!(office.batches(), [[1], [9]]);
}

#[test]
fn a_shutdown_hands_over_what_is_left_and_turns_away_who_comes_later() {
    let mut office = Office::new(DeskLimits::default());
    office.node.queue.be_slow();
    let left = office.wait(1);
    office.shutdown.take().unwrap().send(()).unwrap();
    assert!(!office.poll(), "it waits for the confirm");
    assert_eq!(office.batches(), [[1]]);
    assert!(matches!(office.ask(2), Asked::Overloaded));
    office.node.queue.confirm(true);
    assert!(office.poll());
    assert_eq!(fate(left), Some(true));
}

fn hear(office: &Office, claims: Vec<Claim>, change: impl FnOnce(&mut miaosha_domain::sale::Book)) {
    let mut book = office.sale.book();
    book.version += 1;
    change(&mut book);
    let outcomes = Outcomes::of_book(sale_id(), just_read(book), claims);
    office.board.apply(&outcomes, office.node.ports.clock.now()).unwrap();
}

#[test]
fn a_person_with_a_claim_is_answered_with_it_even_when_sold_out_or_overloaded() {
    let office = Office::new(DeskLimits { waiting_max: 0, ..DeskLimits::default() });
    hear(&office, vec![claim(1, ClaimStatus::Expired, 2)], |book| {
        book.taken = book.stock;
        book.standby_open = false;
        book.next_seq = 2;
    });
    assert!(matches!(office.ask(1), Asked::Claimed(claim) if claim.status == ClaimStatus::Expired));
    assert!(matches!(office.ask(2), Asked::SoldOut), "sold out comes before too much");
    assert!(office.batches().is_empty());
}

#[test]
fn the_window_is_judged_by_the_state_that_is_shown() {
    let office = Office::new(DeskLimits::default());
    let just = Duration::from_millis(1);
    assert_eq!(check_window(&office.sale, START - just), Err(WindowRefusal::NotOpen));
    assert_eq!(check_window(&office.sale, START), Ok(()));
    assert_eq!(check_window(&office.sale, START + LASTS), Err(WindowRefusal::Ended));
    hear(&office, Vec::new(), |book| book.paused = true);
    assert_eq!(check_window(&office.sale, START), Err(WindowRefusal::Paused));
    hear(&office, Vec::new(), |book| book.closed = true);
    assert_eq!(check_window(&office.sale, START), Err(WindowRefusal::Ended));
}

#[test]
fn any_answer_is_right_without_a_question() {
    let office = Office::new(DeskLimits::default());
    assert!(answers_rightly(&office.sale, None) && answers_rightly(&office.sale, Some("x")));
    let mut row = sale_row(1, 0);
    row.sale.id = SaleId::new(2).unwrap();
    let choices = vec![LocalizedText::plain("Sony"), LocalizedText::plain("Sega")];
    let parts = QuestionParts { text: LocalizedText::plain("Who?"), choices, right: 0 };
    row.sale.question = Some(Question::new(parts).unwrap());
    let asking = office.board.put(row, START);
    assert!(answers_rightly(&asking, Some("sony")));
    assert!(!answers_rightly(&asking, Some("Sega")) && !answers_rightly(&asking, None));
}
