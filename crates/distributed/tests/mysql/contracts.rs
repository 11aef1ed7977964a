//! The contracts of the stores, on a real server.

use std::sync::Arc;

use crate::database::{TestDatabase, stores_of};
use miaosha_app::ports::PaymentMethod;
use miaosha_testkit::contract::Stores;
use miaosha_testkit::contract::provider::Provider;

async fn make_stores() -> Stores {
    let database = TestDatabase::migrated().await;
    let mysql = Arc::new(database.connect().await);
    stores_of(mysql, Box::new(database))
}

async fn make_provider() -> Provider {
    let database = TestDatabase::migrated().await;
    let mysql = database.connect().await;
    let card = |number: &str| PaymentMethod::Sandbox { card: number.to_owned() };
    Provider {
        provider: Arc::clone(&mysql.sandbox),
        pays: card("4242424242424242"),
        declined: card("4000000000000002"),
        pending: card("4000000000000259"),
        loses_answer: card("4000000000000341"),
        invalid: card("4242424242424241"),
        keep: Box::new((mysql, database)),
    }
}

miaosha_testkit::sale_store_contract!(make_stores);
miaosha_testkit::sale_tx_contract!(make_stores);
miaosha_testkit::claim_store_contract!(make_stores);
miaosha_testkit::claim_tx_contract!(make_stores);
miaosha_testkit::order_store_contract!(make_stores);
miaosha_testkit::payment_store_contract!(make_stores);
miaosha_testkit::user_store_contract!(make_stores);
miaosha_testkit::idempotency_store_contract!(make_stores);
miaosha_testkit::payment_provider_contract!(make_provider);
