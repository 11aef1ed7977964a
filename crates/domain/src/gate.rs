//! How many people can still matter to a sale: what the gate before the database is told.
//!
//! It is an upper bound, not a decision: whoever passes the gate is decided by [`crate::decide`].

use crate::sale::{Book, Terms};

/// People let through beyond those who can get something, while there is something to get: so that a batch on its way
/// does not keep units from others for as long as it takes to be decided.
pub const SLACK: u64 = 256;

/// The limit of a sale's gate, as of one version of its book.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GateLimit {
    /// The most people with a claim and people in flight, together.
    pub people_max: u64,
    /// How many claims were ever made.
    pub claims: u64,
    /// The book's version; of two limits the one with the higher version is the newer.
    pub version: u64,
}

impl GateLimit {
    /// Whether there is something for a newcomer to get.
    pub const fn is_open(&self) -> bool {
        self.people_max > self.claims
    }

    /// Claims ever made, and everybody who could still get a unit or a place in standby.
    ///
    /// Counts people: with one unit for each claim, the book's units are people.
    pub fn of(book: &Book, terms: &Terms) -> Self {
        let claims = book.next_seq - 1;
        let units = if book.closed { 0 } else { u64::from(book.free()) + u64::from(book.incoming) };
        let may_stand_by = book.standby_open && !book.all_paid && !book.standby_over;
        let room = if may_stand_by { terms.standby_limit.saturating_sub(book.standing) } else { 0 };
        let open = units + u64::from(room);
        let slack = if open > 0 { SLACK } else { 0 };
        Self { people_max: claims + open + slack, claims, version: book.version }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::time::Timestamp;

    const TERMS: Terms = Terms {
        starts_at: Timestamp::from_millis(1_000),
        ends_at: Timestamp::from_millis(2_000),
        hold: Duration::from_millis(500),
        standby_limit: 3,
        standby_grace: Duration::from_secs(1),
    };

    #[test]
    fn everybody_who_can_get_something_fits_and_more_only_while_there_is_something() {
        let mut book = Book::new(5, &TERMS);
        assert_eq!(GateLimit::of(&book, &TERMS).people_max, 5 + 3 + SLACK);
        (book.taken, book.standing, book.next_seq) = (5, 1, 7);
        assert_eq!(GateLimit::of(&book, &TERMS).people_max, 6 + 2 + SLACK);
        book.standby_open = false;
        assert_eq!(GateLimit::of(&book, &TERMS).people_max, 6);
        book.incoming = 2;
        assert_eq!(GateLimit::of(&book, &TERMS).people_max, 6 + 2 + SLACK);
        book.closed = true;
        assert_eq!(GateLimit::of(&book, &TERMS).people_max, 6);
    }

    #[test]
    fn nobody_new_passes_while_every_unit_is_paid() {
        let mut book = Book::new(5, &TERMS);
        (book.taken, book.all_paid, book.next_seq) = (5, true, 6);
        assert_eq!(GateLimit::of(&book, &TERMS).people_max, 5);
    }
}
