//! Rebuilds by hand what is rebuilt by itself: everything that the database is not the only place of.

use std::sync::Arc;

use miaosha_domain::ids::SaleId;

use crate::claim_pages::ClaimPages;
use crate::model::Outcomes;
use crate::ports::{PortResult, Ports};
use crate::settle_sale::settle_sale;
use crate::tend_gate::load_gate_anew;

/// Settles each sale that may still change by itself, loads its gate anew, and tells every node how it stands and who has
/// what in it. Returns the sales. Idempotent, and harmless in the middle of a sale: a node that knows a claim as it is, or
/// as it was later, drops what it is told, and no person hears of it twice.
///
/// # Errors
/// The first failure; what was rebuilt before stays so.
pub async fn recover(ports: &Ports) -> PortResult<Vec<SaleId>> {
    let sales: Vec<SaleId> = ports.sales.list_unsettled().await?.into_iter().map(|sale| sale.id).collect();
    for sale in &sales {
        settle_sale(ports, *sale).await?;
        load_gate_anew(ports, *sale).await?;
        tell_claims(ports, *sale).await?;
    }
    Ok(sales)
}

async fn tell_claims(ports: &Ports, sale: SaleId) -> PortResult<()> {
    let mut pages = ClaimPages::of(sale);
    while let Some(claims) = pages.next(ports).await? {
        ports.bus.publish(Arc::new(Outcomes::of_claims(sale, claims)));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fakes::{Node, now, sale_id};

    #[test]
    fn the_gate_is_loaded_and_every_node_is_told_of_the_book_and_the_claims() {
        let node = Node::new(3, 0);
        node.decide(&[1, 2]);
        assert_eq!(now(recover(&node.ports)).unwrap(), [sale_id()]);
        let mut journal = node.journal.take();
        journal.retain(|entry| entry != "claims read");
        let expected =
            ["told", "gate topped up with 2", "gate opened anew at version 2", "told 1 reserved, 2 reserved"];
        assert_eq!(journal, expected);
    }
}
