//! A claim: what one person has in one sale. One row per person and sale, ever.

use crate::ids::{PaymentId, SaleId, UserId};
use crate::time::Timestamp;

/// The state of a claim that has a row. (`none`, `queued` and a rejection without a row have none.)
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ClaimStatus {
    /// Holds a unit until its deadline.
    Reserved,
    /// Waits for a unit, in the order of `seq`.
    Standby,
    /// Holds a unit while a payment is under way.
    Paying,
    /// Sold. Final but for a refund.
    Paid,
    /// The deadline passed. Final.
    Expired,
    /// Gave a reservation up. Final.
    Released,
    /// Left standby. Final.
    Left,
    /// Stood by until standby was over. Final.
    Rejected,
    /// The money went back. Final.
    Refunded,
}

impl ClaimStatus {
    /// Every status, in the order of declaration.
    pub const ALL: [Self; 9] = [
        Self::Reserved,
        Self::Standby,
        Self::Paying,
        Self::Paid,
        Self::Expired,
        Self::Released,
        Self::Left,
        Self::Rejected,
        Self::Refunded,
    ];

    /// The name in the API and in the database.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Reserved => "reserved",
            Self::Standby => "standby",
            Self::Paying => "paying",
            Self::Paid => "paid",
            Self::Expired => "expired",
            Self::Released => "released",
            Self::Left => "left",
            Self::Rejected => "rejected",
            Self::Refunded => "refunded",
        }
    }

    /// The status called `name`, if there is one.
    pub fn lookup(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.name() == name)
    }

    /// Whether the claim holds a unit that is not sold yet.
    pub const fn is_holding(self) -> bool {
        matches!(self, Self::Reserved | Self::Paying)
    }

    /// Whether a claim may go from `from` (`None`: there was no row) to `self` in one change. A refunded claim
    /// changes once more when its unit is restocked.
    pub const fn may_follow(self, from: Option<Self>) -> bool {
        use ClaimStatus::{Expired, Left, Paid, Paying, Refunded, Rejected, Released, Reserved, Standby};
        matches!(
            (from, self),
            (None, Reserved | Standby)
                | (Some(Standby), Reserved | Left | Rejected)
                | (Some(Reserved), Paying | Expired | Released)
                | (Some(Paying), Paid | Reserved)
                | (Some(Paid | Refunded), Refunded)
        )
    }
}

/// What one person has in one sale.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    /// The sale.
    pub sale: SaleId,
    /// The person.
    pub user: UserId,
    /// Its state.
    pub status: ClaimStatus,
    /// Counts the changes of the row, from 1. Whoever knows a higher one ignores a lower one.
    pub rev: u64,
    /// Given when the claim is made, from the sale's row; orders standby and never changes.
    pub seq: u64,
    /// Units it is for.
    pub quantity: u32,
    /// Until when a reservation may be paid. Set once, when the unit is given.
    pub deadline: Option<Timestamp>,
    /// Until when the unit is held: the deadline, or the end of a payment's lease if that is later.
    pub hold_until: Option<Timestamp>,
    /// The payment under way, or the one that paid.
    pub payment: Option<PaymentId>,
    /// Whether a refunded unit went back on sale.
    pub restocked: bool,
}

impl Claim {
    /// Units of the stock that this claim takes.
    pub const fn units_taken(&self) -> u32 {
        match self.status {
            ClaimStatus::Reserved | ClaimStatus::Paying | ClaimStatus::Paid => self.quantity,
            ClaimStatus::Refunded if !self.restocked => self.quantity,
            _ => 0,
        }
    }

    /// Whether its reservation has run out at `now`.
    pub fn is_due(&self, now: Timestamp) -> bool {
        self.status == ClaimStatus::Reserved && self.hold_until.is_some_and(|until| until <= now)
    }

    /// The change to `status`, one `rev` on.
    pub(crate) fn change_to(self, status: ClaimStatus) -> ClaimChange {
        debug_assert!(status.may_follow(Some(self.status)), "{:?} may not follow {:?}", status, self.status);
        ClaimChange { from: Some(self.status), claim: Self { status, rev: self.rev + 1, ..self } }
    }

    /// The reservation of a unit at `now`, for `hold` from then on.
    pub(crate) fn promote(self, now: Timestamp, hold: std::time::Duration) -> ClaimChange {
        let deadline = Some(now + hold);
        Self { deadline, hold_until: deadline, ..self }.change_to(ClaimStatus::Reserved)
    }
}

/// One change of one claim: the row to write and its event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClaimChange {
    /// The status before; `None` for a claim just made.
    pub from: Option<ClaimStatus>,
    /// The claim afterwards.
    pub claim: Claim,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        for status in ClaimStatus::ALL {
            assert_eq!(ClaimStatus::lookup(status.name()), Some(status));
        }
        assert_eq!(ClaimStatus::lookup("queued"), None);
    }

    #[test]
    fn final_statuses_have_no_successor_but_a_refund() {
        use ClaimStatus::{Expired, Left, Paid, Refunded, Rejected, Released};
        for end in [Expired, Released, Left, Rejected, Paid, Refunded] {
            let successors: Vec<_> =
                ClaimStatus::ALL.into_iter().filter(|next| next.may_follow(Some(end))).collect();
            let expected: &[_] = if matches!(end, Paid | Refunded) { &[Refunded] } else { &[] };
            assert_eq!(successors, expected);
        }
    }
}
