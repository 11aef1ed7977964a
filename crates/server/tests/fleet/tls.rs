//! A whole site on services that speak TLS only.

use miaosha_testkit::services::{Authority, Services};

use crate::MACHINE;
use crate::site::Fleet;

const SETTINGS: [(&str, &str); 2] = [("MIAOSHA_DEV__TOKEN_MINT", "true"), ("MIAOSHA_LOG__FILTER", "warn")];
const CARD: &str = "4242424242424242";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_site_sells_and_is_paid_over_tls() {
    let _alone = MACHINE.lock().await;
    let start = || {
        let authority = Authority::new().unwrap();
        let services = Services::start_with_tls(&authority).unwrap();
        (Fleet::on(services, [1; 4], &SETTINGS), authority)
    };
    let (fleet, _authority) = tokio::task::spawn_blocking(start).await.unwrap();
    let sale = fleet.create_sale(&["--stock", "1", "--starts-in", "0s", "--price", "199.00"]);
    let tokens = fleet.tokens(1);
    fleet.wait_until_open(&sale).await;
    let queued = fleet.buy(&sale, &tokens[0]).await;
    assert_eq!(queued.status, 202, "{queued:?}");
    let reserved = fleet.claim_when(&sale, &tokens[0], "reserved").await;
    let paid = fleet.check_out(reserved.text("checkout_token"), CARD).await;
    assert_eq!(paid.status, 201, "{paid:?}");
    let recount = fleet.verify(&sale);
    assert_eq!((&recount["paid"], &recount["orders"]), (&1.into(), &1.into()), "{recount}");
}
