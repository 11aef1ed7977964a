//! What `Gate` promises.

use std::any::Any;
use std::ops::RangeInclusive;
use std::sync::Arc;

use miaosha_app::ports::{self, Admission, GateReport, GateUpdate, Passage};
use miaosha_domain::claim::{Claim, ClaimStatus};
use miaosha_domain::gate::GateLimit;
use miaosha_domain::ids::{SaleId, UserId};

use super::scene::{SALE, sale_id, user};

/// A gate that knows no sale.
pub struct Gate {
    /// The gate.
    pub gate: Arc<dyn ports::Gate>,
    /// What has to live as long as the gate, such as a connection.
    pub keep: Box<dyn Any + Send>,
}

impl std::fmt::Debug for Gate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gate").finish_non_exhaustive()
    }
}

/// Runs the suite of `Gate` on the [`Gate`](contract::gate::Gate) that `$make` gives.
#[macro_export]
macro_rules! gate_contract {
    ($make:expr) => {
        $crate::contract_suite! { gate_contract, $make, gate, [
            nobody_is_sorted_in_a_sale_that_is_not_known,
            newcomers_pass_in_order_up_to_the_limit,
            who_is_new_is_told_from_who_is_known,
            a_person_counts_once_however_often_he_comes,
            who_has_a_claim_or_is_in_flight_passes_a_full_gate,
            who_is_full_is_on_the_record_until_he_passes,
            claims_leave_those_in_flight_and_still_count,
            the_rejected_make_room_and_are_on_the_record,
            the_rejected_are_never_taken_out_of_the_claims,
            an_earlier_limit_is_ignored_and_the_same_version_is_applied,
            an_update_of_a_sale_that_is_not_known_changes_nothing,
            a_claim_counts_whatever_became_of_it,
            claims_are_topped_up_before_the_sale_is_known,
            topping_up_takes_nobody_out,
            opening_a_known_sale_changes_nothing,
            opening_anew_forgets_who_was_in_flight_and_nothing_else,
            opening_anew_takes_any_limit,
            every_call_may_be_repeated,
            sales_do_not_touch_each_other,
            the_largest_ids_are_told_apart,
            batches_may_be_large,
            an_empty_batch_is_fine,
        ] }
    };
}

fn limit(version: u64, people_max: u64) -> GateLimit {
    GateLimit { people_max, claims: 0, version }
}

fn users(numbers: RangeInclusive<u64>) -> Vec<UserId> {
    numbers.map(user).collect()
}

/// A person's claim; his number is its `seq`, too.
fn claim(number: u64, status: ClaimStatus) -> Claim {
    Claim {
        sale: SALE,
        user: user(number),
        status,
        rev: 1,
        seq: number,
        quantity: 1,
        deadline: None,
        hold_until: None,
        payment: None,
        restocked: false,
    }
}

fn reserved(numbers: RangeInclusive<u64>) -> Vec<Claim> {
    numbers.map(|number| claim(number, ClaimStatus::Reserved)).collect()
}

impl Gate {
    async fn open(&self, people_max: u64) {
        self.gate.open(SALE, limit(1, people_max)).await.unwrap();
    }

    async fn admit(&self, numbers: RangeInclusive<u64>) -> Vec<bool> {
        self.sorted(&users(numbers)).await
    }

    async fn sorted(&self, users: &[UserId]) -> Vec<bool> {
        self.passages(SALE, users).await.into_iter().map(Passage::passes).collect()
    }

    async fn passages(&self, sale: SaleId, users: &[UserId]) -> Vec<Passage> {
        match self.gate.admit(sale, users).await.unwrap() {
            Admission::Sorted(passages) => passages,
            Admission::Unknown => panic!("the sale is known"),
        }
    }

    async fn update(&self, limit: GateLimit, claims: &[Claim], rejected: &[UserId]) -> GateReport {
        self.gate.update(SALE, GateUpdate { limit, claims, rejected }).await.unwrap()
    }

    async fn was_refused(&self, number: u64) -> bool {
        self.gate.was_refused(SALE, user(number)).await.unwrap()
    }
}

/// "The gate does not know the sale."
pub async fn nobody_is_sorted_in_a_sale_that_is_not_known(gate: Gate) {
    assert_eq!(gate.gate.admit(SALE, &users(1..=3)).await.unwrap(), Admission::Unknown);
    assert!(!gate.was_refused(1).await);
}

/// "Sorts the people of a batch, one after the other", "while both together are fewer than the limit", "the rest are
/// full".
pub async fn newcomers_pass_in_order_up_to_the_limit(gate: Gate) {
    gate.open(3).await;
    assert_eq!(gate.admit(1..=2).await, [true, true]);
    assert_eq!(gate.admit(3..=5).await, [true, false, false]);
    assert_eq!(gate.admit(6..=6).await, [false]);
}

/// "In flight by this very batch", or "may have a claim": then he has one, or was in flight before.
pub async fn who_is_new_is_told_from_who_is_known(gate: Gate) {
    use Passage::{Full, Known, New};
    gate.gate.top_up(SALE, &reserved(1..=1)).await.unwrap();
    gate.open(3).await;
    let batch = [user(1), user(2), user(2), user(3), user(4), user(2)];
    assert_eq!(gate.passages(SALE, &batch).await, [Known, New, New, New, Full, New]);
    assert_eq!(gate.passages(SALE, &batch).await, [Known, Known, Known, Known, Full, Known]);
    gate.update(limit(2, 4), &reserved(2..=2), &users(3..=3)).await;
    assert_eq!(gate.passages(SALE, &users(2..=4)).await, [Known, New, New]);
}

/// "Is in flight from then on."
pub async fn a_person_counts_once_however_often_he_comes(gate: Gate) {
    gate.open(2).await;
    let twice = [user(1), user(1), user(2), user(3), user(3)];
    assert_eq!(gate.sorted(&twice).await, [true, true, true, false, false]);
}

/// "Who has a claim or is in flight passes."
pub async fn who_has_a_claim_or_is_in_flight_passes_a_full_gate(gate: Gate) {
    gate.gate.top_up(SALE, &reserved(1..=1)).await.unwrap();
    gate.open(2).await;
    assert_eq!(gate.admit(2..=2).await, [true]);
    assert_eq!(gate.admit(1..=3).await, [true, true, false]);
}

/// "Who is full is on the record of the refused, who passes is not."
pub async fn who_is_full_is_on_the_record_until_he_passes(gate: Gate) {
    gate.open(1).await;
    gate.admit(1..=2).await;
    assert!(!gate.was_refused(1).await && gate.was_refused(2).await && !gate.was_refused(3).await);
    gate.update(limit(2, 2), &[], &[]).await;
    assert_eq!(gate.admit(2..=2).await, [true]);
    assert!(!gate.was_refused(2).await);
}

/// "Claims join those with a claim and leave those in flight." They leave the record, too.
pub async fn claims_leave_those_in_flight_and_still_count(gate: Gate) {
    gate.open(2).await;
    gate.admit(1..=3).await;
    assert!(gate.was_refused(3).await);
    let report = gate.update(limit(2, 2), &reserved(1..=1), &[]).await;
    assert_eq!(report, GateReport::Known { claims: 1, is_full: true });
    let report = gate.update(limit(3, 3), &reserved(3..=3), &[]).await;
    assert_eq!(report, GateReport::Known { claims: 2, is_full: true });
    assert!(!gate.was_refused(3).await);
    // Once nobody is in flight, those with a claim are all who count.
    gate.gate.open_anew(SALE, limit(4, 3)).await.unwrap();
    assert_eq!(gate.admit(4..=5).await, [true, false]);
}

/// "The rejected leave those in flight … and are on the record."
pub async fn the_rejected_make_room_and_are_on_the_record(gate: Gate) {
    gate.open(2).await;
    gate.admit(1..=2).await;
    let report = gate.update(limit(1, 2), &[], &users(1..=1)).await;
    assert_eq!(report, GateReport::Known { claims: 0, is_full: false });
    assert!(gate.was_refused(1).await && !gate.was_refused(2).await);
    assert_eq!(gate.admit(3..=4).await, [true, false]);
}

/// "Never the claims."
pub async fn the_rejected_are_never_taken_out_of_the_claims(gate: Gate) {
    gate.open(1).await;
    gate.update(limit(1, 1), &reserved(1..=1), &[]).await;
    let report = gate.update(limit(1, 1), &[], &users(1..=1)).await;
    assert_eq!(report, GateReport::Known { claims: 1, is_full: true });
    assert_eq!(gate.admit(1..=2).await, [true, false]);
}

/// "The limit is adopted unless a later version is known."
pub async fn an_earlier_limit_is_ignored_and_the_same_version_is_applied(gate: Gate) {
    gate.gate.open(SALE, limit(5, 1)).await.unwrap();
    gate.admit(1..=1).await;
    assert!(is_full(gate.update(limit(4, 9), &[], &[]).await));
    assert_eq!(gate.admit(2..=2).await, [false]);
    assert!(!is_full(gate.update(limit(5, 2), &[], &[]).await));
    assert_eq!(gate.admit(2..=2).await, [true]);
    assert!(!is_full(gate.update(limit(6, 3), &[], &[]).await));
    assert!(!is_full(gate.update(limit(5, 1), &[], &[]).await));
    // What an earlier update says of people counts none the less.
    let report = gate.update(limit(1, 1), &reserved(3..=3), &users(2..=2)).await;
    assert_eq!(report, GateReport::Known { claims: 1, is_full: false });
}

/// "Changes nothing of a sale that the gate does not know, and says so."
pub async fn an_update_of_a_sale_that_is_not_known_changes_nothing(gate: Gate) {
    assert_eq!(gate.update(limit(1, 9), &reserved(1..=2), &users(3..=3)).await, GateReport::Unknown);
    assert_eq!(gate.gate.admit(SALE, &users(1..=1)).await.unwrap(), Admission::Unknown);
    assert!(!gate.was_refused(3).await);
    gate.open(9).await;
    let report = gate.update(limit(1, 9), &[], &[]).await;
    assert_eq!(report, GateReport::Known { claims: 0, is_full: false });
}

/// "Claims that were written, whatever became of them."
pub async fn a_claim_counts_whatever_became_of_it(gate: Gate) {
    const STATUSES: u64 = ClaimStatus::ALL.len() as u64;
    let written: Vec<Claim> =
        (1..).zip(ClaimStatus::ALL).map(|(number, status)| claim(number, status)).collect();
    gate.open(STATUSES).await;
    let report = gate.update(limit(1, STATUSES), &written, &[]).await;
    assert_eq!(report, GateReport::Known { claims: STATUSES, is_full: true });
    for status in ClaimStatus::ALL {
        gate.gate.top_up(SALE, &[claim(1, status)]).await.unwrap();
        assert_eq!(gate.admit(1..=1).await, [true], "{status:?}");
    }
    assert_eq!(gate.admit(STATUSES..=STATUSES + 1).await, [true, false]);
}

/// "Known sale or not."
pub async fn claims_are_topped_up_before_the_sale_is_known(gate: Gate) {
    gate.gate.top_up(SALE, &reserved(1..=2)).await.unwrap();
    gate.gate.top_up(SALE, &reserved(3..=3)).await.unwrap();
    assert_eq!(gate.gate.admit(SALE, &users(1..=1)).await.unwrap(), Admission::Unknown);
    gate.open(4).await;
    assert_eq!(gate.admit(1..=5).await, [true, true, true, true, false]);
}

/// "Takes nobody out."
pub async fn topping_up_takes_nobody_out(gate: Gate) {
    gate.open(3).await;
    gate.admit(1..=1).await;
    gate.gate.top_up(SALE, &reserved(2..=2)).await.unwrap();
    gate.gate.top_up(SALE, &reserved(3..=3)).await.unwrap();
    assert_eq!(gate.admit(1..=4).await, [true, true, true, false]);
}

/// "Changes nothing of one that is known."
pub async fn opening_a_known_sale_changes_nothing(gate: Gate) {
    gate.open(2).await;
    assert_eq!(gate.admit(1..=2).await, [true, true]);
    gate.gate.open(SALE, limit(9, 9)).await.unwrap();
    assert_eq!(gate.admit(3..=3).await, [false]);
    assert!(!is_full(gate.update(limit(2, 3), &[], &[]).await), "the earlier version is still the known one");
}

/// "Forgets who is in flight."
pub async fn opening_anew_forgets_who_was_in_flight_and_nothing_else(gate: Gate) {
    gate.gate.top_up(SALE, &reserved(1..=1)).await.unwrap();
    gate.open(2).await;
    assert_eq!(gate.admit(2..=3).await, [true, false]);
    gate.gate.open_anew(SALE, limit(1, 2)).await.unwrap();
    assert!(gate.was_refused(3).await);
    assert_eq!(gate.admit(3..=4).await, [true, false]);
    assert_eq!(gate.admit(1..=1).await, [true]);
}

/// "Takes `limit`, also one of an earlier version, known sale or not."
pub async fn opening_anew_takes_any_limit(gate: Gate) {
    gate.gate.open_anew(SALE, limit(7, 1)).await.unwrap();
    gate.gate.open_anew(SALE, limit(3, 2)).await.unwrap();
    assert_eq!(gate.admit(1..=3).await, [true, true, false]);
    assert!(!is_full(gate.update(limit(4, 3), &[], &[]).await));
}

/// "Each call is one atomic step, and may be repeated."
pub async fn every_call_may_be_repeated(gate: Gate) {
    for _ in 0..2 {
        gate.gate.top_up(SALE, &reserved(1..=2)).await.unwrap();
    }
    for _ in 0..2 {
        gate.open(5).await;
    }
    for _ in 0..3 {
        assert_eq!(gate.admit(3..=6).await, [true, true, true, false]);
    }
    let claims = [claim(3, ClaimStatus::Reserved), claim(4, ClaimStatus::Standby)];
    for _ in 0..3 {
        let report = gate.update(limit(2, 6), &claims, &users(5..=5)).await;
        assert_eq!(report, GateReport::Known { claims: 4, is_full: false });
    }
}

/// "The people of each sale."
pub async fn sales_do_not_touch_each_other(gate: Gate) {
    let other = sale_id(SALE.get() + 1);
    gate.open(1).await;
    gate.gate.open(other, limit(1, 1)).await.unwrap();
    assert_eq!(gate.admit(1..=2).await, [true, false]);
    assert_eq!(gate.passages(other, &users(2..=3)).await, [Passage::New, Passage::Full]);
    assert!(!gate.gate.was_refused(other, user(2)).await.unwrap());
}

/// Ids have 63 bits, and no two of them are the same person.
pub async fn the_largest_ids_are_told_apart(gate: Gate) {
    const LARGEST: u64 = i64::MAX.cast_unsigned();
    gate.open(2).await;
    assert_eq!(gate.admit(LARGEST - 3..=LARGEST).await, [true, true, false, false]);
    assert!(gate.was_refused(LARGEST).await && !gate.was_refused(LARGEST - 3).await);
    gate.gate.top_up(SALE, &reserved(LARGEST..=LARGEST)).await.unwrap();
    assert_eq!(gate.admit(LARGEST - 1..=LARGEST).await, [false, true]);
}

/// Larger than any batch that is sent, so that no bound of the storage is near.
pub async fn batches_may_be_large(gate: Gate) {
    const MANY: u64 = 20_000;
    gate.gate.top_up(SALE, &reserved(1..=MANY)).await.unwrap();
    gate.open(2 * MANY).await;
    let passes = gate.admit(MANY / 2..=3 * MANY).await;
    assert_eq!(passes.iter().filter(|passes| **passes).count() as u64, MANY + MANY / 2 + 1);
    assert!(passes.is_sorted_by(|a, b| a >= b), "in order");
    let gone: Vec<Claim> = (1..MANY).map(|number| claim(number, ClaimStatus::Left)).collect();
    let rejected = users(MANY + 1..=2 * MANY);
    let report = gate.update(limit(2, 2 * MANY), &gone, &rejected).await;
    assert_eq!(report, GateReport::Known { claims: MANY, is_full: false });
    assert!(gate.was_refused(2 * MANY).await);
}

/// Nobody is sorted, and nothing happens.
pub async fn an_empty_batch_is_fine(gate: Gate) {
    assert_eq!(gate.gate.admit(SALE, &[]).await.unwrap(), Admission::Unknown);
    gate.gate.top_up(SALE, &[]).await.unwrap();
    assert_eq!(gate.gate.admit(SALE, &[]).await.unwrap(), Admission::Unknown);
    gate.open(1).await;
    assert_eq!(gate.sorted(&[]).await, [false; 0]);
    assert!(!is_full(gate.update(limit(1, 1), &[], &[]).await));
}

fn is_full(report: GateReport) -> bool {
    match report {
        GateReport::Known { is_full, .. } => is_full,
        GateReport::Unknown => panic!("the sale is known"),
    }
}
