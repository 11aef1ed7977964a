//! What the suites of the stores run on.

use std::any::Any;
use std::sync::Arc;

use miaosha_app::ports::{
    ClaimStore, Clock, IdempotencyStore, OrderStore, PaymentStore, SaleStore, UserStore,
};

/// The stores of one empty database.
pub struct Stores {
    /// Sales.
    pub sales: Arc<dyn SaleStore>,
    /// Claims.
    pub claims: Arc<dyn ClaimStore>,
    /// Orders.
    pub orders: Arc<dyn OrderStore>,
    /// Payments.
    pub payments: Arc<dyn PaymentStore>,
    /// Accounts.
    pub users: Arc<dyn UserStore>,
    /// Answers kept for repeated requests.
    pub idempotency: Arc<dyn IdempotencyStore>,
    /// A clock that agrees with the database's and moves by itself.
    pub clock: Arc<dyn Clock>,
    /// What has to live as long as the stores, such as a directory.
    pub keep: Box<dyn Any + Send>,
}

impl std::fmt::Debug for Stores {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stores").finish_non_exhaustive()
    }
}
