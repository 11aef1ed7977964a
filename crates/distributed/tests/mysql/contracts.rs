//! The contracts of the stores, on a real server.

use std::sync::Arc;

use crate::database::{TestDatabase, stores_of};
use miaosha_testkit::contract::Stores;

async fn make_stores() -> Stores {
    let database = TestDatabase::migrated().await;
    let mysql = Arc::new(database.connect().await);
    stores_of(mysql, Box::new(database))
}

miaosha_testkit::sale_store_contract!(make_stores);
miaosha_testkit::sale_tx_contract!(make_stores);
miaosha_testkit::claim_store_contract!(make_stores);
miaosha_testkit::claim_tx_contract!(make_stores);
miaosha_testkit::order_store_contract!(make_stores);
miaosha_testkit::payment_store_contract!(make_stores);
miaosha_testkit::user_store_contract!(make_stores);
miaosha_testkit::idempotency_store_contract!(make_stores);
