//! Recounts the sales that may still change: one process for all of a site.

use std::time::Duration;

use miaosha_domain::ids::SaleId;
use tracing::{debug, warn};

use crate::ports::{PortResult, Ports, Turns, UnsettledSale};
use crate::verify_sale::verify_sale;

/// How often sales are recounted.
pub const AUDIT_EVERY: Duration = Duration::from_mins(1);
/// For how long nobody else recounts: shorter than until the same process asks again, which is then free to take the next turn.
const TURN_LASTS: Duration = Duration::from_secs(55);
const WORK: &str = "audit";

/// Recounts each sale that may still change by itself, and in which somebody has a claim, unless it is another process' turn.
/// Call it once in [`AUDIT_EVERY`] in each process; without `turns`, a process is alone. A process that dies in its turn
/// leaves out at most one round. Returns the sales that were recounted.
///
/// # Errors
/// The sales could not be listed. One that could not be recounted is logged, and holds nobody up.
pub async fn audit_sales(ports: &Ports, turns: Option<&dyn Turns>, holder: u64) -> PortResult<Vec<SaleId>> {
    if let Some(turns) = turns {
        match turns.take(WORK, holder, TURN_LASTS).await {
            Ok(true) => {}
            Ok(false) => return Ok(Vec::new()),
            Err(error) => debug!(%error, "nobody says whose turn it is to recount"),
        }
    }
    let sales = ports.sales.list_unsettled().await?;
    let mut recounted = Vec::new();
    for UnsettledSale { id: sale, .. } in sales.into_iter().filter(UnsettledSale::has_claims) {
        match verify_sale(ports, sale).await {
            Ok(_) => recounted.push(sale),
            Err(error) => warn!(%sale, %error, "a sale was not audited"),
        }
    }
    Ok(recounted)
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use parking_lot::Mutex;

    use super::*;
    use crate::fakes::{Node, now, sale_id};
    use crate::ports::PortError;

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
        now(audit_sales(&node.ports, turns, 1)).unwrap()
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
    fn of_a_sale_without_claims_there_is_nothing_to_recount() {
        assert_eq!(now(audit_sales(&Node::new(3, 0).ports, None, 1)).unwrap(), []);
    }
}
