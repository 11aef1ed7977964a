//! What a human has to look at is counted where alarms look: a message that nobody can read, and a sale whose rows do not
//! add up.

use std::time::Duration;

use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{BasicProperties, Confirmation, Connection, ConnectionProperties};
use miaosha_domain::audit::Invariant;
use miaosha_testkit::services::Service as _;
use tokio::time::{sleep, timeout};

use crate::MACHINE;
use crate::site::{DATABASE, Fleet};
use crate::support::{Http, PATIENCE};

const SETTINGS: [(&str, &str); 2] = [("MIAOSHA_DEV__TOKEN_MINT", "true"), ("MIAOSHA_LOG__FILTER", "warn")];
const POLL_INTERVAL: Duration = Duration::from_millis(50);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unreadable_message_and_a_broken_sale_raise_their_alarms() {
    let _alone = MACHINE.lock().await;
    let fleet = tokio::task::spawn_blocking(|| Fleet::start_with([1; 4], &SETTINGS)).await.unwrap();
    let sale = fleet.create_sale(&["--stock", "10", "--starts-in", "0s", "--hold", "1h"]);
    let token = fleet.tokens(1).remove(0);
    fleet.wait_until_open(&sale).await;
    assert_eq!(fleet.buy(&sale, &token).await.status, 202);
    fleet.claim_when(&sale, &token, "reserved").await;
    let consumer = &fleet.site.consumers[0];
    let figures = Http::of(format!("http://{}", consumer.address()));
    assert_eq!((dead_letters(&figures).await, broken(&figures).await), ((0, 0), 0));

    publish_what_nobody_can_read(&fleet).await;
    timeout(PATIENCE, async {
        while dead_letters(&figures).await != (1, 1) {
            sleep(POLL_INTERVAL).await;
        }
    })
    .await
    .unwrap();

    let write = format!("UPDATE {DATABASE}.sales SET taken = taken + 1 WHERE id = {sale}");
    fleet.services.mysql.primary.query(&write).unwrap();
    // Its first audit is when it starts, unless it had the turn a moment ago, which Redis remembers.
    consumer.kill();
    fleet.services.redis.flush_all().unwrap();
    consumer.start_again().unwrap();
    timeout(PATIENCE, async {
        while broken(&figures).await == 0 {
            sleep(POLL_INTERVAL).await;
        }
    })
    .await
    .unwrap();
}

/// How many messages were put aside, and how many wait.
async fn dead_letters(figures: &Http) -> (u64, u64) {
    (figures.figure("miaosha_dead_letters_total").await, figures.figure("miaosha_dead_letters_waiting").await)
}

/// How often an invariant was found broken.
async fn broken(figures: &Http) -> u64 {
    let mut sum = 0;
    for invariant in Invariant::ALL {
        sum += figures.figure(&format!("miaosha_invariant_broken_total{{id=\"{invariant}\"}}")).await;
    }
    sum
}

async fn publish_what_nobody_can_read(fleet: &Fleet) {
    let properties = ConnectionProperties::default();
    let connection = Connection::connect(&fleet.services.rabbitmq.uri(), properties).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
    let queue = format!("{DATABASE}.requests.0").into();
    let (options, kind) = (BasicPublishOptions::default(), "miaosha.batch.v9".into());
    let properties = BasicProperties::default().with_type(kind);
    let published = channel.basic_publish("".into(), queue, options, b"?", properties).await.unwrap();
    assert_eq!(published.await.unwrap(), Confirmation::Ack(None));
}
