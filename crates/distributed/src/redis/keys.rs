//! The names of keys and channels. Everything of one sale is under one hash tag, so that one call may touch all of it.

use miaosha_domain::ids::SaleId;

/// Channels for news. A fixed number, so that a node subscribes once and not for each sale.
pub(crate) const CHANNELS: usize = 8;

/// Makes the names.
#[derive(Debug, Clone)]
pub(crate) struct Keys {
    prefix: String,
}

impl Keys {
    pub(crate) fn new(prefix: &str) -> Self {
        Self { prefix: prefix.to_owned() }
    }

    /// A gate's keys, in the order that `functions.lua` expects.
    pub(crate) fn gate(&self, sale: SaleId) -> [String; 4] {
        ["limit", "claims", "in_flight", "refused"].map(|part| self.of_sale(sale, part))
    }

    pub(crate) fn refused(&self, sale: SaleId) -> String {
        self.of_sale(sale, "refused")
    }

    pub(crate) fn leases(&self, sale: SaleId) -> String {
        self.of_sale(sale, "leases")
    }

    pub(crate) fn turn(&self, work: &str) -> String {
        format!("{}v1:turn:{work}", self.prefix)
    }

    pub(crate) fn channel(&self, number: usize) -> String {
        format!("{}outcomes:{number}", self.prefix)
    }

    fn of_sale(&self, sale: SaleId, part: &str) -> String {
        format!("{}{{sale:{sale}}}:v1:{part}", self.prefix)
    }
}

/// One of `count` groups that a sale belongs to, the same on every node. Ids differ in their low bits only now and then,
/// so they are mixed first.
pub(crate) fn group_of(sale: SaleId, count: usize) -> usize {
    const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
    let mixed = sale.get().wrapping_mul(GOLDEN) >> 32;
    usize::try_from(mixed).expect("32 bits fit") % count
}
