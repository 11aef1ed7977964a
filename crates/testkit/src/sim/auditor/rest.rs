//! What must be true once faults have stopped and everything has come to its end.

use std::time::Duration;

use miaosha_app::board::PersonalState;
use miaosha_domain::claim::ClaimStatus;
use miaosha_domain::payment::{PaymentStatus, ProviderState};

use super::super::buyer::{ACTOR, WATCHER};
use super::super::world::State;
use super::{Promise, Shown};

/// What a sweep may be late, once everything is healthy: it comes each second.
const SWEEP_LATE_MAX: Duration = Duration::from_secs(4);

/// What a push may be late, once everything is healthy: nodes read the events each second.
const PUSH_LATE_MAX: Duration = Duration::from_secs(4);

impl State {
    /// No reservation outlives its hold by more than a sweep, while everything is healthy. (After a lease has ended, a
    /// claim is a reservation again whose hold may be long over.)
    pub(in super::super) fn judge_sweeps(&mut self) {
        let now = self.now;
        let overdue = self.store.rows.claims.iter().find(|claim| {
            let changed_at = self.auditor.changed_at.get(&claim.user).copied();
            let due_at = claim.hold_until.max(changed_at);
            claim.status == ClaimStatus::Reserved && due_at.is_some_and(|due| due + SWEEP_LATE_MAX < now)
        });
        let overdue = overdue.copied();
        self.require(overdue.is_none(), Promise::I8, || format!("{overdue:?} outlives its hold at {now:?}"));
    }

    /// A device that only watches is told soon, while everything is healthy.
    pub(in super::super) fn judge_pushes(&mut self) {
        let now = self.now;
        let late = self.auditor.shown.iter().find_map(|((user, device), shown)| {
            let row = self.auditor.latest(*user).filter(|_| *device == WATCHER)?;
            let changed_at = self.auditor.changed_at.get(user)?;
            let is_late = *changed_at + PUSH_LATE_MAX < now && *shown != Shown::Claim(row);
            is_late.then_some((row, *shown))
        });
        self.require(late.is_none(), Promise::I7, || format!("a push is late at {now:?}: {late:?}"));
    }

    /// The first thing that has not come to its end; `None` at rest.
    pub(in super::super) fn find_unrest(&self) -> Option<(Promise, String)> {
        (self.find_undecided())
            .or_else(|| self.find_unsettled())
            .or_else(|| self.find_open_money())
            .or_else(|| self.find_untold())
            .or_else(|| self.find_stale_board())
    }

    fn find_undecided(&self) -> Option<(Promise, String)> {
        if !self.queue.is_empty() {
            return Some((Promise::I8, "batches are left in the queue".to_owned()));
        }
        let auditor = &self.auditor;
        let undecided = auditor.durable_in.iter().find(|(user, durable_in)| {
            let is_rejected = auditor.rejected_in.get(user).is_some_and(|step| step >= *durable_in);
            !auditor.history.contains_key(user) && !is_rejected && auditor.poison != Some(**user)
        });
        undecided.map(|(user, _)| (Promise::I8, format!("the durable request of {user:?} was never decided")))
    }

    fn find_unsettled(&self) -> Option<(Promise, String)> {
        let rows = &self.store.rows;
        let open = rows.claims.iter().find(|claim| {
            matches!(claim.status, ClaimStatus::Reserved | ClaimStatus::Paying | ClaimStatus::Standby)
        });
        match open {
            Some(claim) => Some((Promise::I8, format!("{claim:?} never ends"))),
            None if self.store.is_unsettled() => Some((Promise::I8, format!("{:?} never ends", rows.book))),
            None => None,
        }
    }

    fn find_open_money(&self) -> Option<(Promise, String)> {
        let rows = &self.store.rows;
        if let Some(payment) = rows.payments.iter().find(|payment| !payment.status.is_final()) {
            return Some((Promise::I9, format!("{payment:?} stays open")));
        }
        let held = self.provider.payments().find(|(id, state)| {
            let payment = rows.payments.iter().find(|payment| payment.id == *id);
            let expects = match payment.map(|payment| payment.status) {
                Some(PaymentStatus::Captured) => *state == ProviderState::Captured,
                Some(PaymentStatus::Refunded) => *state == ProviderState::Refunded,
                Some(PaymentStatus::Declined) => *state == ProviderState::Declined,
                Some(PaymentStatus::Voided) => {
                    matches!(state, ProviderState::Voided | ProviderState::Declined)
                }
                _ => false,
            };
            !expects
        });
        if let Some((id, state)) = held {
            return Some((Promise::I9, format!("the provider has {id:?} as {state:?}, the rows do not")));
        }
        let unpaid = rows.claims.iter().find(|claim| {
            claim.status == ClaimStatus::Paid
                && !self
                    .provider
                    .payments()
                    .any(|(id, state)| Some(id) == claim.payment && state == ProviderState::Captured)
        });
        unpaid.map(|claim| (Promise::I9, format!("{claim:?} has its unit and the provider has no money")))
    }

    fn find_untold(&self) -> Option<(Promise, String)> {
        let auditor = &self.auditor;
        auditor.shown.iter().find_map(|((user, device), shown)| {
            let row = auditor.latest(*user);
            let is_told = match (row, shown) {
                (Some(row), Shown::Claim(claim)) => *claim == row,
                (Some(_), _) | (None, Shown::Claim(_)) => false,
                (None, Shown::Waiting) => {
                    let awaits = *device == ACTOR && auditor.accepted.contains(user);
                    !awaits || auditor.poison == Some(*user)
                }
                (None, Shown::NotWon | Shown::Rejected) => true,
            };
            let told = || format!("device {device} of {user:?} shows {shown:?}, the row is {row:?}");
            (!is_told).then(|| (Promise::I7, told()))
        })
    }

    /// Every node knows what is committed.
    fn find_stale_board(&self) -> Option<(Promise, String)> {
        let rows = &self.store.rows;
        self.processes.list_nodes().find_map(|node| {
            let Some(sale) = node.board.lookup(rows.sale) else {
                return Some((Promise::I3, "a node never hears of the sale".to_owned()));
            };
            if sale.book() != rows.book {
                return Some((
                    Promise::I3,
                    format!("a node believes {:?}, it is {:?}", sale.book(), rows.book),
                ));
            }
            let stale = rows
                .claims
                .iter()
                .find(|claim| sale.personal_state(claim.user, self.now) != PersonalState::Claimed(**claim));
            stale.map(|claim| (Promise::I3, format!("a node does not know of {claim:?}")))
        })
    }
}
