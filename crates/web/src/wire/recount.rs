//! A recount of a sale against its invariants.

use miaosha_app::verify_sale::Verified;
use serde::Serialize;
use utoipa::ToSchema;

/// What a sale's rows add up to, and whether that is as it must be.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Recount)]
pub struct RecountBody {
    sale: String,
    stock: u32,
    free: u32,
    reserved: u64,
    paying: u64,
    paid: u64,
    /// Not restocked.
    refunded: u64,
    standby: u64,
    /// Rows only.
    rejected: u64,
    orders: u64,
    refunds: u64,
    /// Whether no invariant is broken.
    pub ok: bool,
    broken: Vec<BrokenBody>,
}

/// A broken invariant.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = BrokenInvariant)]
struct BrokenBody {
    invariant: String,
    detail: String,
}

impl From<&Verified> for RecountBody {
    fn from(verified: &Verified) -> Self {
        let (book, counts) = (&verified.book, &verified.counts);
        let broken = verified.broken.iter().map(|finding| BrokenBody {
            invariant: finding.invariant.to_string(),
            detail: finding.detail.clone(),
        });
        Self {
            sale: verified.sale.to_string(),
            stock: book.stock,
            free: book.free(),
            reserved: counts.reserved,
            paying: counts.paying,
            paid: counts.paid,
            refunded: counts.refunded,
            standby: counts.standby,
            rejected: counts.rejected,
            orders: counts.orders,
            refunds: counts.refunds,
            ok: verified.broken.is_empty(),
            broken: broken.collect(),
        }
    }
}
