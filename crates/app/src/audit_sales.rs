//! Recounts the sales until nothing in them can change any more: one process for all of a site.

use std::collections::HashSet;
use std::time::Duration;

use miaosha_domain::ids::SaleId;
use tracing::{debug, warn};

use crate::ports::{PortResult, Ports, Turns};
use crate::verify_sale::verify_sale;

/// How often sales are recounted, unless that takes long.
const AUDIT_EVERY: Duration = Duration::from_mins(1);
/// Of so many parts of a process' time, recounting takes one at most.
const TIME_PARTS: u32 = 20;
/// For how long nobody else recounts: shorter than until the same process asks again, which is then free to take the next turn.
const TURN_LASTS: Duration = Duration::from_secs(55);
const WORK: &str = "audit";

/// What a process remembers between two rounds.
#[derive(Debug, Default)]
pub struct Auditor {
    /// The sales with claims that might still change at the last round, and those that are still to be recounted.
    unsettled: HashSet<SaleId>,
}

impl Auditor {
    /// Recounts each sale in which somebody has a claim, unless it is another process' turn: those that may still change by
    /// themselves, and once more those that have settled since the last round. Call it in each process, with
    /// [`pause_after`] between; without `turns`, a process is alone. A process that dies in its turn leaves out at most one
    /// round. Returns the sales that were recounted.
    ///
    /// # Errors
    /// The sales could not be listed. One that could not be recounted is logged, comes again, and holds nobody up.
    pub async fn audit(
        &mut self,
        ports: &Ports,
        turns: Option<&dyn Turns>,
        holder: u64,
    ) -> PortResult<Vec<SaleId>> {
        // Also out of turn: the turn may come after a sale has settled.
        let listed = ports.sales.list_unsettled().await?;
        let unsettled = listed.iter().filter(|sale| sale.has_claims()).map(|sale| sale.id).collect();
        let settled = std::mem::replace(&mut self.unsettled, unsettled);
        if !is_turn_of(holder, turns).await {
            return Ok(Vec::new());
        }
        let mut recounted = Vec::new();
        for sale in self.unsettled.union(&settled).copied().collect::<Vec<_>>() {
            match verify_sale(ports, sale).await {
                Ok(_) => recounted.push(sale),
                Err(error) => {
                    warn!(%sale, %error, "a sale was not audited");
                    self.unsettled.insert(sale);
                }
            }
        }
        Ok(recounted)
    }
}

/// How long to wait after a round that took so long: a minute, or longer, so that recounting takes at most a twentieth of a
/// process' time however many claims there are.
pub fn pause_after(took: Duration) -> Duration {
    AUDIT_EVERY.max(took * (TIME_PARTS - 1))
}

async fn is_turn_of(holder: u64, turns: Option<&dyn Turns>) -> bool {
    let Some(turns) = turns else { return true };
    turns.take(WORK, holder, TURN_LASTS).await.unwrap_or_else(|error| {
        debug!(%error, "nobody says whose turn it is to recount");
        true
    })
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use parking_lot::Mutex;

    use super::*;
    use crate::fakes::{Fault, HOLD, Node, now, sale_id};
    use crate::manage_sale::close_sale;
    use crate::ports::PortError;
    use crate::settle_sale::settle_sale;

    /// Turns that are this holder's; `None` if nobody can say.
    struct TurnOf(Option<u64>, Mutex<Vec<(String, Duration)>>);

    #[async_trait]
    impl Turns for TurnOf {
        async fn take(&self, work: &str, holder: u64, span: Duration) -> PortResult<bool> {
            self.1.lock().push((work.to_owned(), span));
            let of = self.0.ok_or_else(|| PortError::retryable("take a turn", "gone"))?;
            Ok(of == holder)
        }
    }

    /// What holder 1 recounts, of one sale with a claim.
    fn recounted(turns: Option<&dyn Turns>) -> Vec<SaleId> {
        let node = Node::new(3, 0);
        node.decide(&[1]);
        now(Auditor::default().audit(&node.ports, turns, 1)).unwrap()
    }

    #[test]
    fn sales_are_recounted_by_whose_turn_it_is_and_by_who_cannot_be_told() {
        let turn_of = |holder| TurnOf(holder, Mutex::default());
        assert_eq!(recounted(None), [sale_id()]);
        assert_eq!(recounted(Some(&turn_of(Some(1)))), [sale_id()]);
        assert_eq!(recounted(Some(&turn_of(Some(2)))), []);
        let nobody_says = turn_of(None);
        assert_eq!(recounted(Some(&nobody_says)), [sale_id()]);
        assert_eq!(nobody_says.1.into_inner(), [("audit".to_owned(), TURN_LASTS)]);
        assert!(TURN_LASTS < AUDIT_EVERY, "else the same process would find its own turn");
    }

    #[test]
    fn recounting_takes_at_most_a_twentieth_of_the_time() {
        assert_eq!(pause_after(Duration::from_secs(3)), AUDIT_EVERY);
        assert_eq!(pause_after(Duration::from_secs(10)), Duration::from_secs(190));
    }

    #[test]
    fn of_a_sale_without_claims_there_is_nothing_to_recount() {
        assert_eq!(now(Auditor::default().audit(&Node::new(3, 0).ports, None, 1)).unwrap(), []);
    }

    #[test]
    fn a_sale_that_has_settled_is_recounted_once_more_by_whose_turn_it_then_is() {
        let (node, mut first, mut second) = (Node::new(3, 0), Auditor::default(), Auditor::default());
        node.decide(&[1]);
        let audit = |auditor: &mut Auditor, turn_of| {
            let turns = TurnOf(Some(turn_of), Mutex::default());
            now(auditor.audit(&node.ports, Some(&turns), 1))
        };
        assert_eq!(audit(&mut first, 1).unwrap(), [sale_id()]);
        assert_eq!(audit(&mut second, 2).unwrap(), [], "it is not its turn");
        now(close_sale(&node.ports, sale_id())).unwrap();
        node.clock.pass(HOLD);
        now(settle_sale(&node.ports, sale_id())).unwrap();
        assert_eq!(now(node.ports.sales.list_unsettled()).unwrap(), []);
        node.faults.next("snapshot", Fault::Retryable);
        assert_eq!(audit(&mut second, 1).unwrap(), [], "it could not be recounted");
        assert_eq!(audit(&mut second, 1).unwrap(), [sale_id()]);
        assert_eq!(audit(&mut second, 1).unwrap(), []);
    }
}
