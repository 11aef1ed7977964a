//! Looks claims up for people who ask: from memory where that is at most a second old, else from the rows, many at a time.
//!
//! Whoever wrote a moment ago is read from the row, so that he sees what he did ([`LastWrite`]). The use case itself is
//! [`look_up_claim`]; `batch` is how its reads are put together.

mod batch;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use miaosha_app::Ports;
use miaosha_app::board::{Board, BoardSale};
use miaosha_app::look_up_claim::{ClaimView, PersonalStanding, look_up_claim, view_claim};
use miaosha_app::ports::{PortError, PortResult};
use miaosha_domain::claim::{Claim, ClaimStatus};
use miaosha_domain::ids::{OrderId, SaleId, UserId};
use parking_lot::Mutex;
use tokio_util::task::TaskTracker;

use crate::last_write::LastWrite;
use crate::patience::within;
use batch::BatchedClaims;

/// Orders remembered by their claims, at the most. They never change, so they are kept until there are too many.
const ORDERS_MAX: usize = 100_000;

/// Looks claims up on one node.
pub(crate) struct ClaimReader {
    /// Those of the node, but for claims, which are read in batches.
    ports: Ports,
    board: Arc<Board>,
    answer_within: Duration,
    orders: Mutex<HashMap<(SaleId, UserId), OrderId>>,
}

impl ClaimReader {
    /// A reader; its reads are run and tracked by `tasks`.
    pub(crate) fn new(ports: &Ports, board: Arc<Board>, tasks: TaskTracker, answer_within: Duration) -> Self {
        let claims = BatchedClaims::new(ports.claims.clone(), ports.clock.clone(), tasks, answer_within);
        let ports = Ports { claims: Arc::new(claims), ..ports.clone() };
        Self { ports, board, answer_within, orders: Mutex::default() }
    }

    /// What this person has in this sale, as of at most a second ago; no older than what he did, where that is known to have
    /// been just now.
    ///
    /// # Errors
    /// Within the time that a caller is kept waiting: there is nothing in memory that is new enough, and the rows cannot
    /// be read.
    pub(crate) async fn look_up(
        &self,
        sale: &BoardSale,
        user: UserId,
        last_write: LastWrite,
    ) -> PortResult<ClaimView> {
        let now = self.ports.clock.now();
        let remembered = match last_write {
            LastWrite::JustNow => None,
            LastWrite::LongAgo | LastWrite::Unknown => self.board.current_claim(sale, user, now),
        };
        let knows_of_none = remembered.is_none() && sale.had_no_claim(user, now);
        let outcome = if remembered.is_some() || knows_of_none { "hit" } else { "miss" };
        metrics::counter!("miaosha_cache_total", "cache" => "claims", "outcome" => outcome).increment(1);
        let look_up = async {
            match remembered {
                Some(claim) => self.view(sale, claim).await,
                None => look_up_claim(&self.ports, sale, user).await.inspect(|view| self.remember(view)),
            }
        };
        let found = within(Some(self.answer_within), look_up).await;
        found.unwrap_or_else(|| Err(PortError::retryable("looking a claim up", "it took too long")))
    }

    /// A claim of this sale as its person sees it: the place and the order from memory, where they are there.
    pub(crate) async fn view(&self, sale: &BoardSale, claim: Claim) -> PortResult<ClaimView> {
        let bare = ClaimView {
            sale: claim.sale,
            standing: PersonalStanding::Claim(claim),
            position: None,
            order: None,
        };
        match claim.status {
            ClaimStatus::Standby => {
                let now = self.ports.clock.now();
                let is_current = self.board.has_current_claims(now);
                match sale.place(claim.seq, now).filter(|_| is_current) {
                    Some(place) => Ok(ClaimView { position: Some(place), ..bare }),
                    None => view_claim(&self.ports, claim).await,
                }
            }
            ClaimStatus::Paid | ClaimStatus::Refunded => match self.known_order(&claim) {
                Some(order) => Ok(ClaimView { order: Some(order), ..bare }),
                None => view_claim(&self.ports, claim).await.inspect(|view| self.remember(view)),
            },
            _ => Ok(bare),
        }
    }

    /// The order of a paid claim, if it is in memory.
    pub(crate) fn known_order(&self, claim: &Claim) -> Option<OrderId> {
        self.orders.lock().get(&(claim.sale, claim.user)).copied()
    }

    /// Keeps the order of a paid claim.
    fn remember(&self, view: &ClaimView) {
        let (PersonalStanding::Claim(claim), Some(order)) = (view.standing, view.order) else { return };
        let mut orders = self.orders.lock();
        if orders.len() >= ORDERS_MAX {
            orders.clear();
        }
        orders.insert((claim.sale, claim.user), order);
    }
}
