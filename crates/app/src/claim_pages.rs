//! The claims of a sale, page by page.

use miaosha_domain::claim::Claim;
use miaosha_domain::ids::SaleId;

use crate::ports::{PortResult, Ports};

const PAGE: u32 = 1_000;

/// Where somebody is who reads the claims of a sale by `seq`. They are committed in that order, so none is skipped, and who
/// has come to the end may go on when there are more.
#[derive(Debug)]
pub(crate) struct ClaimPages {
    sale: SaleId,
    after: u64,
}

impl ClaimPages {
    pub(crate) fn of(sale: SaleId) -> Self {
        Self { sale, after: 0 }
    }

    /// The next page, `None` if there are no more for now. After an error the same page is read again.
    pub(crate) async fn next(&mut self, ports: &Ports) -> PortResult<Option<Vec<Claim>>> {
        let claims = ports.claims.list(self.sale, self.after, PAGE).await?;
        let Some(last) = claims.last() else { return Ok(None) };
        self.after = last.seq;
        Ok(Some(claims))
    }
}
