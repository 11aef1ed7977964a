//! Rebuilds by hand what is rebuilt by itself: everything that the database is not the only place of.

use miaosha_domain::ids::SaleId;

use crate::ports::{PortResult, Ports};
use crate::settle_sale::settle_sale;
use crate::tend_gate::load_gate_anew;

/// Settles each sale that may still change by itself, loads its gate anew, and tells every node how it stands. Returns the
/// sales. Idempotent, and harmless in the middle of a sale.
///
/// # Errors
/// The first failure; what was rebuilt before stays so.
pub async fn recover(ports: &Ports) -> PortResult<Vec<SaleId>> {
    let sales: Vec<SaleId> = ports.sales.list_unsettled().await?.into_iter().map(|sale| sale.id).collect();
    for sale in &sales {
        settle_sale(ports, *sale).await?;
        load_gate_anew(ports, *sale).await?;
    }
    Ok(sales)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fakes::{Node, now, sale_id};

    #[test]
    fn the_gate_is_loaded_and_everybody_is_told() {
        let node = Node::new(3, 0);
        node.decide(&[1, 2]);
        assert_eq!(now(recover(&node.ports)).unwrap(), [sale_id()]);
        let mut journal = node.journal.take();
        journal.retain(|entry| entry != "claims read");
        assert_eq!(journal, ["told", "gate topped up with 2", "gate opened anew at version 2"]);
    }
}
