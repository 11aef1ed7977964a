//! A publisher's share of the people cap of each sale: leased in small blocks, so that no publisher sits on places that
//! others need. It bounds a flood and never decides who gets a unit.

use std::time::Duration;

use miaosha_domain::sale::SaleState;
use miaosha_domain::time::Timestamp;
use tracing::debug;

use crate::board::Board;
use crate::ports::PeopleCap;

/// How often shares are renewed.
pub const RENEW_EVERY: Duration = Duration::from_millis(200);

/// A share is what is used and one of so many parts of the cap.
const BLOCKS: u64 = 16;

/// Renews the share of `holder` in every sale that has a cap and is not over. A share that cannot be renewed stays as it
/// was: the cap then lets through a few too many rather than too few.
pub async fn lease_people(cap: &dyn PeopleCap, board: &Board, holder: u64, now: Timestamp) {
    for sale in board.list() {
        let Some(people_max) = sale.people_max() else { continue };
        if sale.state(now) == SaleState::Ended {
            continue;
        }
        let wanted = (sale.people.admitted(now) + people_max.div_ceil(BLOCKS)).min(people_max);
        match cap.lease(sale.sale.id, holder, wanted, people_max).await {
            Ok(share) => sale.set_people_share(share),
            Err(error) => debug!(sale = %sale.sale.id, %error, "a share of the people cap was not renewed"),
        }
    }
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use miaosha_domain::ids::SaleId;
    use parking_lot::Mutex;

    use super::*;
    use crate::fakes::{START, now, sale_row};
    use crate::model::SaleRow;
    use crate::ports::{PortError, PortResult};

    /// A cap of which others hold all but so many places; `None` is gone.
    struct ScarceCap(Mutex<Option<u64>>, Mutex<Vec<u64>>);

    #[async_trait]
    impl PeopleCap for ScarceCap {
        async fn lease(&self, _: SaleId, _: u64, wanted: u64, _: u64) -> PortResult<u64> {
            self.1.lock().push(wanted);
            let left = (*self.0.lock()).ok_or_else(|| PortError::retryable("lease", "gone"))?;
            Ok(wanted.min(left))
        }
    }

    #[test]
    fn a_share_is_what_is_used_and_a_block_and_stays_when_the_cap_is_gone() {
        let cap = ScarceCap(Mutex::new(Some(100)), Mutex::default());
        let board = Board::new();
        let SaleRow { mut sale, book } = sale_row(1, 0);
        sale.max_people = Some(160);
        let on_board = board.put(SaleRow { sale, book }, START);
        assert_eq!(on_board.people_share(), Some(160), "the whole, until somebody says otherwise");
        now(lease_people(&cap, &board, 1, START));
        assert_eq!(on_board.people_share(), Some(10));
        *cap.0.lock() = Some(3);
        now(lease_people(&cap, &board, 1, START));
        assert_eq!(on_board.people_share(), Some(3));
        *cap.0.lock() = None;
        now(lease_people(&cap, &board, 1, START));
        assert_eq!(on_board.people_share(), Some(3));
        assert_eq!(*cap.1.lock(), [10, 10, 10]);
    }
}
