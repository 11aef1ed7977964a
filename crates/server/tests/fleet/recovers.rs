//! `miaosha recover` brings back a gate that Redis has lost, where nothing else would.

use std::collections::BTreeSet;
use std::time::Duration;

use hyper::Method;
use miaosha_domain::gate::SLACK;
use miaosha_testkit::services::{MariaDbServer, RedisCluster, Service as _, wait_until};
use serde_json::{Value, json};

use crate::MACHINE;
use crate::site::{DATABASE, Fleet};

const SETTINGS: [(&str, &str); 2] = [("MIAOSHA_DEV__TOKEN_MINT", "true"), ("MIAOSHA_LOG__FILTER", "warn")];
const STOCK: usize = 10;
const STANDBY: usize = 5;
/// Who has a claim when the gate is lost; the rest come afterwards.
const EARLY: usize = STOCK + 2;
/// Longer than a consumer would need to notice that a gate is gone.
const SILENCE: Duration = Duration::from_secs(3);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recover_brings_a_lost_gate_back_without_a_consumer() {
    let _alone = MACHINE.lock().await;
    let fleet = tokio::task::spawn_blocking(|| Fleet::start(&SETTINGS)).await.unwrap();
    let (stock, standby) = (STOCK.to_string(), STANDBY.to_string());
    let sale =
        fleet.create_sale(&["--stock", &stock, "--standby", &standby, "--starts-in", "0s", "--hold", "1h"]);
    let tokens = fleet.tokens((STOCK + STANDBY + 1) as u64);
    let (early, late) = tokens.split_at(EARLY);
    fleet.wait_until_open(&sale).await;
    for (place, token) in early.iter().enumerate() {
        let status = if place < STOCK { "reserved" } else { "standby" };
        expect_bought(&fleet, &sale, token, status).await;
    }
    let (primary, redis) = (&fleet.services.mysql.primary, &fleet.services.redis);
    let gate = Gate { primary, redis, sale: &sale };
    let in_rows = gate.in_rows();
    assert_eq!(in_rows.claims.len(), EARLY);
    wait_until("the gate has heard of everybody", || Ok(gate.in_redis() == in_rows)).unwrap();

    for consumer in &fleet.site.consumers {
        assert!(consumer.stop().is_some_and(|ended| ended.success()));
    }
    redis.flush_all().unwrap();
    tokio::time::sleep(SILENCE).await;
    assert_eq!(gate.in_redis(), Contents::default(), "it came back by itself");
    let recovered = fleet.cli(&["recover"]);
    assert_eq!(recovered.status.code(), Some(0), "{recovered:?}");
    assert_eq!(String::from_utf8(recovered.stdout).unwrap(), format!("{sale}\n"));
    assert_eq!(gate.in_redis(), in_rows);
    let repeated = fleet.cli(&["recover", "--json"]);
    assert!(repeated.status.success(), "{repeated:?}");
    assert_eq!(serde_json::from_slice::<Value>(&repeated.stdout).unwrap(), json!({ "sales": [sale] }));
    assert_eq!(gate.in_redis(), in_rows);

    for consumer in &fleet.site.consumers {
        consumer.start_again().unwrap();
    }
    let (too_late, late) = late.split_last().unwrap();
    for token in late {
        expect_bought(&fleet, &sale, token, "standby").await;
    }
    let answer = fleet.buy(&sale, too_late).await;
    if answer.text("status") != "sold_out" {
        fleet.claim_when(&sale, too_late, "rejected").await;
    }
    let given_up =
        fleet.call(Method::DELETE, &format!("/api/v1/sales/{sale}/claim"), Some(&tokens[0]), None).await;
    assert_eq!(given_up.text("status"), "released", "{given_up:?}");
    fleet.claim_when(&sale, &tokens[STOCK], "reserved").await;
    fleet.verify(&sale);
}

async fn expect_bought(fleet: &Fleet, sale: &str, token: &str, status: &str) {
    let answer = fleet.buy(sale, token).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    fleet.claim_when(sale, token, status).await;
}

/// The gate of a sale.
struct Gate<'a> {
    primary: &'a MariaDbServer,
    redis: &'a RedisCluster,
    sale: &'a str,
}

/// What a gate holds.
#[derive(Debug, Default, PartialEq, Eq)]
struct Contents {
    /// The version of the limit, and the limit; `None` if the gate does not know the sale.
    limit: Option<(String, String)>,
    /// The users who have a claim.
    claims: BTreeSet<String>,
}

impl Gate<'_> {
    fn in_redis(&self) -> Contents {
        let key = |part: &str| format!("{DATABASE}:{{sale:{}}}:v1:{part}", self.sale);
        let slot = self.redis.slot_of(&key("limit")).unwrap();
        let master = &self.redis.nodes[self.redis.master_of(slot).unwrap()];
        let limit = master.command(&["HMGET", &key("limit"), "version", "people_max"]).unwrap();
        let claims = master.command(&["SMEMBERS", &key("claims")]).unwrap();
        let (version, people_max) = limit.split_once('\n').unwrap_or_default();
        Contents {
            limit: (!version.is_empty()).then(|| (version.to_owned(), people_max.to_owned())),
            claims: claims.lines().map(str::to_owned).collect(),
        }
    }

    /// What it is to hold, by the database, while places are left.
    fn in_rows(&self) -> Contents {
        let select = |what: &str| self.primary.query(&format!("SELECT {what} = {}", self.sale)).unwrap();
        let limit = format!(
            "version, next_seq - 1 + stock - taken + standby_limit - standing + {SLACK} FROM {DATABASE}.sales WHERE id"
        );
        let limit = select(&limit);
        let (version, people_max) = limit.split_once('\t').unwrap();
        Contents {
            limit: Some((version.to_owned(), people_max.to_owned())),
            claims: select(&format!("user FROM {DATABASE}.claims WHERE sale"))
                .lines()
                .map(str::to_owned)
                .collect(),
        }
    }
}
