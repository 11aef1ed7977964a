//! Facts about what a node knows.

use super::*;
use crate::fakes::{HOLD, LASTS, START, claim, just_read, sale_id, sale_row, user};
use miaosha_domain::claim::ClaimStatus::{self, Expired, Reserved, Standby};
use tokio::sync::watch;

const SECOND: Duration = Duration::from_secs(1);

/// A board that knows a sale of two units and two places in standby, which has just opened.
fn board() -> Board {
    let board = Board::new();
    board.put(sale_row(2, 2), START);
    board
}

fn the_sale(board: &Board) -> Arc<BoardSale> {
    board.lookup(sale_id()).unwrap()
}

/// News of a book that `change` made of the one known, one version on.
fn news_of(board: &Board, change: impl FnOnce(&mut Book), claims: Vec<Claim>) -> Outcomes {
    let mut book = the_sale(board).book();
    book.version += 1;
    change(&mut book);
    Outcomes::of_book(sale_id(), just_read(book), claims)
}

fn rejection(board: &Board, number: u64) -> Outcomes {
    let book = Some(just_read(the_sale(board).book()));
    Outcomes { book, ..Outcomes::of_rejected(sale_id(), vec![user(number)]) }
}

fn sell_out(book: &mut Book) {
    book.taken = book.stock;
    book.standby_open = false;
}

/// A board of a sale that is sold out, with both of its claims known, as of [`START`].
fn sold_out() -> Board {
    let board = board();
    let change = |book: &mut Book| {
        sell_out(book);
        book.next_seq = 3;
    };
    let claims = vec![claim(1, Reserved, 1), claim(2, Reserved, 1)];
    board.apply(&news_of(&board, change, claims), START).unwrap();
    board
}

#[test]
fn news_of_a_sale_that_is_not_known_is_not_taken_in() {
    let outcomes = news_of(&board(), |_| {}, Vec::new());
    assert!(Board::new().apply(&outcomes, START).is_none());
}

#[test]
fn a_claim_is_news_once_and_only_at_a_higher_rev() {
    let board = board();
    let told = |revs: &[(u64, ClaimStatus)]| {
        let claims = revs.iter().map(|&(rev, status)| claim(1, status, rev)).collect();
        let outcomes = news_of(&board, |_| {}, claims);
        let news = board.apply(&outcomes, START).unwrap();
        news.claims.iter().map(|claim| claim.rev).collect::<Vec<_>>()
    };
    assert_eq!(told(&[(1, Standby)]), [1]);
    assert_eq!(told(&[(1, Standby)]), Vec::<u64>::new(), "doubled");
    assert_eq!(told(&[(3, Expired)]), [3]);
    assert_eq!(told(&[(2, Reserved)]), Vec::<u64>::new(), "late");
    assert_eq!(told(&[(3, Expired), (4, Expired), (4, Expired)]), [4], "twice in one message");
    assert!(
        matches!(the_sale(&board).personal_state(user(1), START), PersonalState::Claimed(c) if c.rev == 4)
    );
}

#[test]
fn an_older_book_is_ignored_and_does_not_count_as_heard() {
    let board = sold_out();
    let sale = the_sale(&board);
    let newest = sale.book();
    let late = START + SOLD_OUT_TRUSTED + Duration::from_millis(1);
    let mut old = rejection(&board, 9);
    old.book = Some(just_read(sale_row(2, 2).book));
    board.apply(&old, late).unwrap();
    assert_eq!(sale.book(), newest);
    assert!(!sale.refuses_newcomers(late));
}

#[test]
fn newcomers_are_refused_while_sold_out_and_for_five_seconds_of_silence() {
    let board = sold_out();
    let sale = the_sale(&board);
    assert!(sale.refuses_newcomers(START + SOLD_OUT_TRUSTED));
    let silent = START + SOLD_OUT_TRUSTED + Duration::from_millis(1);
    assert!(!sale.refuses_newcomers(silent), "better ask once too often");
    board.apply(&rejection(&board, 9), silent).unwrap();
    assert!(sale.refuses_newcomers(silent), "the same version counts as heard");
    board.put(SaleRow { book: sale.book(), ..sale_row(2, 2) }, silent + SOLD_OUT_TRUSTED);
    assert!(sale.refuses_newcomers(silent + SOLD_OUT_TRUSTED), "and so does a row that was read");
}

#[test]
fn a_book_that_comes_late_counts_as_heard_when_it_was_read() {
    let board = sold_out();
    let sale = the_sale(&board);
    let read_at = |as_of| {
        let book = Some(DatedBook { book: sale.book(), as_of });
        Outcomes { book, ..Outcomes::of_rejected(sale_id(), vec![user(9)]) }
    };
    let late = START + SOLD_OUT_TRUSTED + SECOND;
    board.apply(&read_at(START - SECOND), late).unwrap();
    assert!(!sale.refuses_newcomers(late), "it says nothing of the time after it");
    board.apply(&read_at(START + SECOND), late).unwrap();
    assert!(sale.refuses_newcomers(late));
    assert!(!sale.refuses_newcomers(late + Duration::from_millis(1)));
    board.apply(&read_at(START), late).unwrap();
    assert!(sale.refuses_newcomers(late), "an earlier date takes nothing back");
    board.apply(&read_at(late + HOLD), late).unwrap();
    assert!(
        !sale.refuses_newcomers(late + SOLD_OUT_TRUSTED + SECOND),
        "nothing is known of the time to come"
    );
}

#[test]
fn a_clock_that_was_set_back_does_not_keep_a_sale_from_being_sold_out() {
    let board = sold_out();
    let earlier = START - HOLD;
    assert!(!the_sale(&board).refuses_newcomers(earlier));
    board.apply(&rejection(&board, 9), earlier).unwrap();
    assert!(the_sale(&board).refuses_newcomers(earlier));
}

#[test]
fn newcomers_are_not_refused_before_every_claim_is_known() {
    let board = board();
    let change = |book: &mut Book| {
        sell_out(book);
        book.next_seq = 3;
    };
    board.apply(&news_of(&board, change, vec![claim(1, Reserved, 1)]), START).unwrap();
    let sale = the_sale(&board);
    assert_eq!(sale.claims_lacking(), 1);
    assert!(!sale.refuses_newcomers(START), "the newcomer may be the person whose claim is not known");
    assert_eq!(sale.learn(&[claim(2, Reserved, 1)]), [claim(2, Reserved, 1)]);
    assert_eq!(sale.claims_lacking(), 0);
    assert!(sale.refuses_newcomers(START));
}

#[test]
fn a_sale_whose_units_are_all_paid_refuses_newcomers_though_standby_is_open() {
    let board = board();
    let all_paid = |book: &mut Book| {
        book.taken = book.stock;
        book.all_paid = true;
    };
    board.apply(&news_of(&board, all_paid, Vec::new()), START).unwrap();
    assert!(the_sale(&board).book().standby_open);
    assert!(the_sale(&board).refuses_newcomers(START));
}

fn queue_up(board: &Board, number: u64, now: Timestamp) {
    let (sale, batch) = (the_sale(board), open_batch());
    assert!(matches!(sale.people.ask(user(number), || batch.subscribe(), None, now), Asking::Joined));
    conclude(&sale, &[number], &batch, Fate::Confirmed { at: now });
}

fn open_batch() -> watch::Sender<Fate> {
    watch::Sender::new(Fate::Open)
}

fn conclude(sale: &BoardSale, numbers: &[u64], batch: &watch::Sender<Fate>, fate: Fate) {
    sale.people.conclude(numbers.iter().map(|&number| user(number)), batch, fate, START);
}

fn is_queued(board: &Board, number: u64, now: Timestamp) -> bool {
    the_sale(board).personal_state(user(number), now) == PersonalState::Queued
}

#[test]
fn an_accepted_request_is_remembered_for_five_seconds() {
    let board = board();
    queue_up(&board, 1, START);
    let just_before = START + QUEUED_REMEMBERED - Duration::from_millis(1);
    assert!(is_queued(&board, 1, just_before));
    assert!(!is_queued(&board, 1, START + QUEUED_REMEMBERED));
    queue_up(&board, 1, START + QUEUED_REMEMBERED);
}

#[test]
fn an_accepted_request_is_forgotten_at_once_on_a_rejection() {
    let board = board();
    queue_up(&board, 1, START);
    board.apply(&rejection(&board, 1), START).unwrap();
    assert_eq!(the_sale(&board).personal_state(user(1), START), PersonalState::Rejected);
    queue_up(&board, 1, START);
    assert!(is_queued(&board, 1, START));
}

#[test]
fn accepted_requests_are_forgotten_when_the_sale_stops_being_sold_out() {
    let board = sold_out();
    queue_up(&board, 8, START);
    board.apply(&news_of(&board, |book| book.standing = 0, Vec::new()), START).unwrap();
    assert!(is_queued(&board, 8, START), "it is still sold out");
    board.apply(&news_of(&board, |book| book.taken = 1, Vec::new()), START).unwrap();
    assert!(!is_queued(&board, 8, START));
    assert!(matches!(the_sale(&board).personal_state(user(1), START), PersonalState::Claimed(_)));
}

#[test]
fn accepted_requests_are_remembered_while_the_sale_stays_open() {
    let board = board();
    queue_up(&board, 8, START);
    board.apply(&news_of(&board, |book| book.taken = 1, Vec::new()), START).unwrap();
    assert!(is_queued(&board, 8, START));
}

#[test]
fn a_rejection_is_told_once_unless_the_person_asked_again() {
    let board = board();
    let outcomes = rejection(&board, 1);
    let told = |outcomes| board.apply(outcomes, START).unwrap().rejected;
    assert_eq!(told(&outcomes), [user(1)]);
    assert_eq!(told(&outcomes), []);
    queue_up(&board, 1, START);
    assert_eq!(told(&outcomes), [user(1)]);
}

#[test]
fn a_claim_outweighs_a_rejection() {
    let board = board();
    board.apply(&news_of(&board, |_| {}, vec![claim(1, Reserved, 1)]), START).unwrap();
    assert_eq!(board.apply(&rejection(&board, 1), START).unwrap().rejected, []);
    board.apply(&rejection(&board, 2), START).unwrap();
    assert_eq!(the_sale(&board).learn(&[claim(2, Reserved, 1)]).len(), 1);
}

#[test]
fn an_outcome_that_comes_before_the_confirm_is_kept() {
    let board = board();
    let (sale, batch) = (the_sale(&board), open_batch());
    for number in [1, 2] {
        assert!(matches!(sale.people.ask(user(number), || batch.subscribe(), None, START), Asking::Joined));
    }
    assert!(is_queued(&board, 1, START), "on its way");
    let mut outcomes = rejection(&board, 1);
    outcomes.claims.push(claim(2, Reserved, 1));
    board.apply(&outcomes, START).unwrap();
    conclude(&sale, &[1, 2], &batch, Fate::Confirmed { at: START });
    assert_eq!(sale.people.state(user(1), START), PersonalState::Rejected);
    assert!(matches!(sale.people.state(user(2), START), PersonalState::Claimed(_)));
}

#[test]
fn the_people_cap_counts_people_and_not_requests() {
    let board = Board::new();
    let mut row = sale_row(1, 0);
    row.sale.max_people = Some(2);
    let sale = board.put(row, START);
    let batches = [open_batch(), open_batch(), open_batch()];
    let ask_at = |number, batch: usize, now| {
        sale.people.ask(user(number), || batches[batch].subscribe(), sale.people_max(), now)
    };
    let ask = |number, batch| ask_at(number, batch, START);
    assert!(matches!(ask(1, 0), Asking::Joined));
    assert!(matches!(ask(1, 1), Asking::Waiting(_)));
    assert!(matches!(ask(2, 1), Asking::Joined));
    assert!(matches!(ask(3, 1), Asking::Full));
    conclude(&sale, &[2], &batches[1], Fate::Failed);
    assert!(matches!(ask(3, 2), Asking::Full), "who failed may come back");
    assert!(matches!(ask(2, 2), Asking::Joined));
    conclude(&sale, &[2], &batches[2], Fate::Failed);
    let later = START + QUEUED_REMEMBERED;
    assert!(matches!(ask_at(3, 0, later), Asking::Joined), "who failed has not come back");
    assert!(matches!(ask_at(2, 0, later), Asking::Full));
}

#[test]
fn the_late_fate_of_a_batch_leaves_a_later_request_alone() {
    let board = Board::new();
    let mut row = sale_row(1, 0);
    row.sale.max_people = Some(1);
    let sale = board.put(row, START);
    let batches = [open_batch(), open_batch()];
    let ask =
        |batch: usize| sale.people.ask(user(1), || batches[batch].subscribe(), sale.people_max(), START);
    assert!(matches!(ask(0), Asking::Joined));
    sale.people.reject(user(1));
    assert!(matches!(ask(1), Asking::Joined), "the outcome came before the confirm");
    conclude(&sale, &[1], &batches[0], Fate::Failed);
    let later = START + QUEUED_REMEMBERED;
    assert_eq!(sale.people.state(user(1), later), PersonalState::Queued);
    assert_eq!(sale.people.admitted(later), 1, "the later request keeps its place");
}

#[test]
fn the_people_cap_keeps_a_place_for_a_claim_and_none_for_a_rejection_that_was_lost() {
    let board = Board::new();
    let mut row = sale_row(1, 0);
    row.sale.max_people = Some(2);
    let sale = board.put(row, START);
    let batch = open_batch();
    let ask = |number, now| sale.people.ask(user(number), || batch.subscribe(), sale.people_max(), now);
    for number in [1, 2] {
        assert!(matches!(ask(number, START), Asking::Joined));
    }
    conclude(&sale, &[1, 2], &batch, Fate::Confirmed { at: START });
    sale.learn(&[claim(1, Reserved, 1)]);
    let later = START + QUEUED_REMEMBERED;
    assert_eq!(sale.people.admitted(later), 1, "of the other nothing was heard");
    assert!(matches!(ask(3, later), Asking::Joined));
    assert!(matches!(ask(4, later), Asking::Full));
}

#[test]
fn the_people_cap_makes_room_when_somebody_is_done_and_when_stock_is_added() {
    let board = Board::new();
    let mut row = sale_row(1, 0);
    row.sale.max_people = Some(1);
    let sale = board.put(row.clone(), START);
    let batch = open_batch();
    let ask = |number| sale.people.ask(user(number), || batch.subscribe(), sale.people_max(), START);
    assert!(matches!(ask(1), Asking::Joined));
    assert!(matches!(ask(2), Asking::Full));
    sale.people.reject(user(1));
    assert!(matches!(ask(2), Asking::Joined));
    assert!(matches!(ask(3), Asking::Full));
    row.book.stock += 1;
    row.book.version += 1;
    board.put(row, START);
    assert!(matches!(ask(3), Asking::Joined), "the cap never keeps a unit from being sold");
}

#[test]
fn the_opening_and_the_end_are_told_by_the_clock_once() {
    let board = Board::new();
    let early = START - SECOND;
    board.put(sale_row(2, 2), early);
    assert_eq!(board.next_turn(early), Some(START));
    assert!(board.tick(early).is_empty());
    let states = |now| board.tick(now).iter().map(|news| news.state).collect::<Vec<_>>();
    assert_eq!(states(START), [Some(SaleState::Open)]);
    assert!(states(START).is_empty());
    assert_eq!(board.next_turn(START), Some(START + LASTS));
    assert_eq!(states(START + LASTS), [Some(SaleState::Ended)]);
    assert_eq!(board.next_turn(START + LASTS), None);
}

#[test]
fn sold_out_and_open_again_are_told_with_the_news_once() {
    let board = board();
    let news =
        |change: fn(&mut Book)| board.apply(&news_of(&board, change, Vec::new()), START).unwrap().state;
    assert_eq!(news(sell_out), Some(SaleState::SoldOut));
    assert_eq!(news(|book| book.standing = 0), None);
    assert_eq!(news(|book| book.taken = 0), Some(SaleState::Open));
}

#[test]
fn a_change_that_was_read_from_the_row_is_told_by_the_next_tick() {
    let board = board();
    let mut row = sale_row(2, 2);
    row.book.version += 1;
    row.book.paused = true;
    board.put(row, START);
    assert_eq!(board.tick(START)[0].state, Some(SaleState::Paused));
}

#[test]
fn before_the_opening_nobody_has_a_claim_however_old_the_news_is() {
    let board = board();
    let before = Timestamp::from_millis(START.as_millis() - 60_000);
    assert!(the_sale(&board).had_no_claim(user(1), before));
    assert!(!the_sale(&board).had_no_claim(user(1), START + SECOND * 60), "it has opened");
    board.apply(&news_of(&board, |book| book.next_seq = 2, Vec::new()), START).unwrap();
    assert!(!the_sale(&board).had_no_claim(user(1), before), "this node's clock is wrong");
}

#[test]
fn standby_is_told_at_most_once_a_second_and_only_when_it_moved() {
    let board = board();
    let stand = |board: &Board, standing: u32, now| {
        let outcomes = news_of(board, |book| book.standing = standing, Vec::new());
        board.apply(&outcomes, now).unwrap().standby.map(|tick| tick.standing)
    };
    assert_eq!(stand(&board, 1, START + SECOND), Some(1));
    assert_eq!(stand(&board, 2, START + SECOND + HOLD / 20), None, "too soon");
    let ticks =
        |now| board.tick(now).iter().filter_map(|news| news.standby).map(|t| t.standing).collect::<Vec<_>>();
    assert_eq!(ticks(START + SECOND * 2), [2], "but not lost");
    assert!(ticks(START + SECOND * 9).is_empty(), "it did not move");
}

#[test]
fn a_clock_that_was_set_back_holds_up_nobody_and_no_tick() {
    let board = Board::new();
    let mut row = sale_row(1, 0);
    row.sale.max_people = Some(1);
    row.sale.terms.starts_at = START - HOLD;
    let sale = board.put(row, START);
    let ask =
        |number, now| sale.people.ask(user(number), || open_batch().subscribe(), sale.people_max(), now);
    let batch = open_batch();
    assert!(matches!(
        sale.people.ask(user(1), || batch.subscribe(), sale.people_max(), START),
        Asking::Joined
    ));
    conclude(&sale, &[1], &batch, Fate::Confirmed { at: START });
    assert!(matches!(ask(2, START), Asking::Full));
    let earlier = START - SECOND * 30;
    assert_eq!(sale.people.state(user(1), earlier), PersonalState::Unknown, "so he may ask again");
    assert!(matches!(ask(2, earlier), Asking::Joined), "no place is kept for longer");
    let outcomes = news_of(&board, |book| book.standing = 1, Vec::new());
    assert!(board.apply(&outcomes, earlier).unwrap().standby.is_some());
}

#[test]
fn forgetting_everybody_gives_their_places_back() {
    let board = Board::new();
    let mut row = sale_row(2, 2);
    row.sale.max_people = Some(2);
    let sale = board.put(row, START);
    let batch = open_batch();
    for number in [1, 2] {
        let asking = sale.people.ask(user(number), || batch.subscribe(), sale.people_max(), START);
        assert!(matches!(asking, Asking::Joined));
    }
    sale.learn(&[claim(1, Reserved, 1)]);
    sale.people.forget_all();
    assert_eq!(sale.people.admitted(START), 1, "the request of the other is under way");
}

#[test]
fn a_rejection_that_comes_after_the_claim_takes_no_place_away() {
    let board = Board::new();
    let mut row = sale_row(2, 2);
    row.sale.max_people = Some(1);
    let sale = board.put(row, START);
    let batch = open_batch();
    let asking = sale.people.ask(user(1), || batch.subscribe(), sale.people_max(), START);
    assert!(matches!(asking, Asking::Joined));
    sale.learn(&[claim(1, Reserved, 1)]);
    assert!(!sale.people.reject(user(1)));
    assert_eq!(sale.people.admitted(START), 1);
}

/// The fate of a batch comes while its person is rejected and asks anew: the place must stay with the later request.
#[test]
fn a_fate_and_a_later_request_at_the_same_time_leave_the_later_its_place() {
    const ROUNDS: u64 = 20_000;
    let people = People::new();
    let earlier: Vec<_> = (0..ROUNDS).map(|_| open_batch()).collect();
    let later: Vec<_> = (0..ROUNDS).map(|_| open_batch()).collect();
    let ask = |number, batch: &watch::Sender<Fate>| {
        assert!(matches!(
            people.ask(user(number), || batch.subscribe(), Some(ROUNDS), START),
            Asking::Joined
        ));
    };
    for (number, batch) in (1..).zip(&earlier) {
        ask(number, batch);
    }
    let round = std::sync::Barrier::new(2);
    std::thread::scope(|threads| {
        threads.spawn(|| {
            for (number, batch) in (1..).zip(&earlier) {
                round.wait();
                people.conclude(std::iter::once(user(number)), batch, Fate::Failed, START);
            }
        });
        for (number, batch) in (1..).zip(&later) {
            round.wait();
            people.reject(user(number));
            ask(number, batch);
        }
    });
    assert_eq!(people.admitted(START + QUEUED_REMEMBERED), ROUNDS);
}

#[test]
fn sales_are_listed_newest_first() {
    let board = board();
    let mut row = sale_row(1, 0);
    row.sale.id = SaleId::new(5).unwrap();
    board.put(row, START);
    let ids: Vec<u64> = board.list().iter().map(|sale| sale.sale.id.get()).collect();
    assert_eq!(ids, [5, 1]);
}
