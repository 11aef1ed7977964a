//! What `OrderStore` promises.

use miaosha_app::model::Order;
use miaosha_app::ports::Freshness;
use miaosha_domain::ids::OrderId;

use super::Stores;
use super::scene::{self, SALE, TERMS, payment_id, sale_id, user};

/// Runs the suite of `OrderStore` on the [`Stores`] that `$make` gives.
#[macro_export]
macro_rules! order_store_contract {
    ($make:expr) => {
        $crate::contract_suite! { order_store_contract, $make, orders, [
            an_order_reads_back_whole,
            an_order_is_shown_to_its_buyer_only,
            an_order_is_found_by_its_sale,
            orders_are_listed_newest_first_below_a_bound,
        ] }
    };
}

async fn buy(stores: &Stores, sale: u64, buyer: u64, payment: u64) -> Order {
    let id = sale_id(sale);
    if stores.sales.lookup(id).await.unwrap().is_none() {
        scene::open_sale_as(stores, id, 9, TERMS).await;
    }
    let claim = scene::ask_in(stores, id, buyer..buyer + 1).await[0];
    let tx = stores.claims.lock(id, claim.user).await.unwrap().unwrap();
    let order = scene::order_of(&claim, payment, payment_id(payment), tx.now());
    let write = miaosha_app::ports::ClaimWrite {
        payment: Some(scene::payment_of(&claim, payment_id(payment), tx.now())),
        order: Some(order.clone()),
        ..Default::default()
    };
    tx.commit(write).await.unwrap();
    order
}

/// Lines in their order, sums, shipping and all.
pub async fn an_order_reads_back_whole(stores: Stores) {
    scene::open_sale(&stores, 1, TERMS).await;
    scene::ask(&stores, 1..2).await;
    let payment = scene::begin_payment(&stores, user(1), payment_id(1)).await;
    let order = scene::succeed(&stores, payment).await;
    assert_eq!(stores.orders.lookup(user(1), order.id).await.unwrap(), Some(order.clone()));
    assert_eq!(stores.orders.list(user(1), None, 9, Freshness::Fresh).await.unwrap(), [order]);
}

/// "The order, if it is this person's."
pub async fn an_order_is_shown_to_its_buyer_only(stores: Stores) {
    let order = buy(&stores, 1, 1, 1).await;
    buy(&stores, 1, 2, 2).await;
    assert_eq!(stores.orders.lookup(user(1), order.id).await.unwrap(), Some(order.clone()));
    assert_eq!(stores.orders.lookup(user(2), order.id).await.unwrap(), None);
    assert_eq!(stores.orders.lookup(user(1), OrderId::new(9).unwrap()).await.unwrap(), None);
}

/// "The order of this person in this sale."
pub async fn an_order_is_found_by_its_sale(stores: Stores) {
    let order = buy(&stores, 1, 1, 1).await;
    buy(&stores, 1, 2, 2).await;
    buy(&stores, 2, 1, 3).await;
    assert_eq!(stores.orders.lookup_by_sale(user(1), sale_id(1)).await.unwrap(), Some(order));
    assert_eq!(stores.orders.lookup_by_sale(user(2), sale_id(2)).await.unwrap(), None);
    assert_eq!(stores.orders.lookup_by_sale(user(1), SALE).await.unwrap(), None);
}

/// "This person's orders with an id below `before`, newest first, at most `limit`."
pub async fn orders_are_listed_newest_first_below_a_bound(stores: Stores) {
    let mut orders = Vec::new();
    for (sale, payment) in [(1, 5), (2, 3), (3, 8), (4, 4)] {
        orders.push(buy(&stores, sale, 1, payment).await);
        buy(&stores, sale, 2, payment + 100).await;
    }
    orders.sort_by_key(|order| std::cmp::Reverse(order.id));
    let list =
        async |before, limit| stores.orders.list(user(1), before, limit, Freshness::Fresh).await.unwrap();
    assert_eq!(list(None, 9).await, orders);
    assert_eq!(list(None, 2).await, orders[..2]);
    assert_eq!(list(Some(orders[1].id), 9).await, orders[2..]);
    assert_eq!(list(Some(orders[3].id), 9).await, []);
    assert_eq!(stores.orders.list(user(3), None, 9, Freshness::Fresh).await.unwrap(), []);
}
