//! What a sale wrote, recounted: the audit of the product, and figures that the tests print and compare.

use std::collections::HashMap;
use std::time::Duration;

use miaosha_app::Ports;
use miaosha_app::verify_sale::verify_sale;
use miaosha_domain::audit::{ClaimEvent, Snapshot};
use miaosha_domain::claim::{Claim, ClaimStatus};
use miaosha_domain::ids::UserId;
use miaosha_domain::time::Timestamp;

use crate::site::SALE;

/// Everything that the sale wrote.
pub(crate) struct History {
    pub(crate) snapshot: Snapshot,
    claims: HashMap<UserId, Claim>,
}

impl History {
    /// Reads it.
    ///
    /// # Panics
    /// If an invariant is broken.
    pub(crate) async fn verified(ports: &Ports) -> Self {
        assert_eq!(verify_sale(ports, SALE).await.unwrap().unwrap().broken, []);
        let snapshot = ports.sales.snapshot(SALE).await.unwrap().unwrap();
        let claims = snapshot.claims.iter().map(|claim| (claim.user, *claim)).collect();
        Self { snapshot, claims }
    }

    /// The claim of somebody who has one.
    pub(crate) fn claim_of(&self, user: UserId) -> Claim {
        self.claims[&user]
    }

    /// How many claims have this status now.
    pub(crate) fn claims(&self, status: ClaimStatus) -> usize {
        self.snapshot.claims.iter().filter(|claim| claim.status == status).count()
    }

    /// How often a claim came to this status.
    pub(crate) fn events(&self, to: ClaimStatus) -> usize {
        self.snapshot.events.iter().filter(|event| event.to == to).count()
    }

    /// How many people were promoted from standby.
    pub(crate) fn promotions(&self) -> usize {
        let is_promotion = |event: &&ClaimEvent| {
            event.from == Some(ClaimStatus::Standby) && event.to == ClaimStatus::Reserved
        };
        self.snapshot.events.iter().filter(is_promotion).count()
    }

    /// Each person's events, in order.
    pub(crate) fn by_person(&self) -> HashMap<UserId, Vec<ClaimEvent>> {
        let mut by_person: HashMap<_, Vec<_>> = HashMap::new();
        for event in &self.snapshot.events {
            by_person.entry(event.user).or_default().push(*event);
        }
        by_person
    }

    /// The longest that a unit had been free without a break at any of these moments, counted from `began` at the most.
    /// For a sale whose stock never changed.
    pub(crate) fn longest_free_at(&self, moments: &[Timestamp], began: Timestamp) -> Duration {
        let ages = moments.iter().filter_map(|moment| {
            let since = self.free_since(*moment)?.max(began);
            Some(moment.saturating_since(since))
        });
        ages.max().unwrap_or_default()
    }

    /// Since when a unit was free at `moment`, if one was.
    fn free_since(&self, moment: Timestamp) -> Option<Timestamp> {
        let stock = i64::from(self.snapshot.book.stock);
        let mut taken = 0;
        let mut free_since = Some(self.snapshot.terms.starts_at);
        for event in self.snapshot.events.iter().take_while(|event| event.at <= moment) {
            taken += units_moved(event);
            free_since = (taken < stock).then(|| free_since.unwrap_or(event.at));
        }
        free_since
    }
}

/// Units taken by a change, less those that it gave back.
fn units_moved(event: &ClaimEvent) -> i64 {
    let holds = |status| matches!(status, ClaimStatus::Reserved | ClaimStatus::Paying | ClaimStatus::Paid);
    let (before, after) = (event.from.is_some_and(holds), holds(event.to));
    i64::from(event.quantity) * (i64::from(after) - i64::from(before))
}
