//! What `PeopleCap` promises.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use miaosha_app::ports;
use tokio::time::{Instant, sleep};

use super::scene::{SALE, sale_id};

/// A people cap without leases.
pub struct PeopleCap {
    /// The cap.
    pub cap: Arc<dyn ports::PeopleCap>,
    /// What has to live as long as the cap, such as a connection.
    pub keep: Box<dyn Any + Send>,
}

impl std::fmt::Debug for PeopleCap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PeopleCap").finish_non_exhaustive()
    }
}

/// Runs the suite of `PeopleCap` on the [`PeopleCap`](contract::people_cap::PeopleCap) that `$make` gives.
#[macro_export]
macro_rules! people_cap_contract {
    ($make:expr) => {
        $crate::contract_suite! { people_cap_contract, $make, people_cap, [
            nobody_has_more_than_wanted,
            all_together_have_no_more_than_there_is,
            asking_again_gives_the_same,
            asking_for_less_gives_back,
            a_live_lease_is_not_taken_away,
            a_lease_that_is_not_renewed_is_free_again_after_ten_seconds,
            places_of_sales_are_apart,
            the_largest_holders_are_told_apart,
        ] }
    };
}

const ANN: u64 = 1;
const BEN: u64 = 2;

impl PeopleCap {
    async fn lease(&self, holder: u64, wanted: u64, people_max: u64) -> u64 {
        self.cap.lease(SALE, holder, wanted, people_max).await.unwrap()
    }
}

/// "Never more than wanted."
pub async fn nobody_has_more_than_wanted(cap: PeopleCap) {
    assert_eq!(cap.lease(ANN, 5, 100).await, 5);
    assert_eq!(cap.lease(BEN, 0, 100).await, 0);
}

/// "Of all holders together never more than `people_max`."
pub async fn all_together_have_no_more_than_there_is(cap: PeopleCap) {
    assert_eq!(cap.lease(ANN, 7, 10).await, 7);
    assert_eq!(cap.lease(BEN, 7, 10).await, 3);
    assert_eq!(cap.lease(3, 1, 10).await, 0);
    assert_eq!(cap.lease(ANN, 8, 10).await, 7);
    assert_eq!(cap.lease(ANN, 8, 11).await, 8);
}

/// "Returns how many it has."
pub async fn asking_again_gives_the_same(cap: PeopleCap) {
    assert_eq!(cap.lease(BEN, 4, 10).await, 4);
    for _ in 0..3 {
        assert_eq!(cap.lease(ANN, 9, 10).await, 6);
    }
}

/// "Have `wanted` of the … places": also when that is fewer than before.
pub async fn asking_for_less_gives_back(cap: PeopleCap) {
    assert_eq!(cap.lease(ANN, 10, 10).await, 10);
    assert_eq!(cap.lease(ANN, 4, 10).await, 4);
    assert_eq!(cap.lease(BEN, 10, 10).await, 6);
    assert_eq!(cap.lease(ANN, 0, 10).await, 0);
    assert_eq!(cap.lease(BEN, 10, 10).await, 10);
}

/// "But that nobody is left with fewer than a live lease gave him."
pub async fn a_live_lease_is_not_taken_away(cap: PeopleCap) {
    assert_eq!(cap.lease(ANN, 6, 10).await, 6);
    assert_eq!(cap.lease(ANN, 9, 3).await, 6);
    assert_eq!(cap.lease(BEN, 1, 3).await, 0);
    assert_eq!(cap.lease(ANN, 2, 3).await, 2);
    assert_eq!(cap.lease(BEN, 5, 3).await, 1);
}

/// "For the next ten seconds", "a lease that is not renewed is free again".
pub async fn a_lease_that_is_not_renewed_is_free_again_after_ten_seconds(cap: PeopleCap) {
    const LEASED: Duration = Duration::from_secs(10);
    const LOOK_EVERY: Duration = Duration::from_millis(50);
    assert_eq!(cap.lease(ANN, 4, 10).await, 4);
    assert_eq!(cap.lease(BEN, 6, 10).await, 6);
    let leased = Instant::now();
    loop {
        // Ben renews, Ann does not.
        let has = cap.lease(BEN, 10, 10).await;
        // The clock that judges leases counts whole milliseconds.
        let lasted = leased.elapsed() + Duration::from_millis(1);
        if has == 10 {
            assert!(lasted >= LEASED, "{lasted:?}");
            return;
        }
        assert_eq!(has, 6);
        sleep(LOOK_EVERY).await;
    }
}

/// "The … places of a sale."
pub async fn places_of_sales_are_apart(cap: PeopleCap) {
    assert_eq!(cap.lease(ANN, 10, 10).await, 10);
    let other = sale_id(SALE.get() + 1);
    assert_eq!(cap.cap.lease(other, BEN, 10, 10).await.unwrap(), 10);
}

/// Any number is a holder, and no two of them are the same.
pub async fn the_largest_holders_are_told_apart(cap: PeopleCap) {
    assert_eq!(cap.lease(u64::MAX, 6, 10).await, 6);
    assert_eq!(cap.lease(u64::MAX - 1, 6, 10).await, 4);
    assert_eq!(cap.lease(u64::MAX, 6, 10).await, 6);
}
