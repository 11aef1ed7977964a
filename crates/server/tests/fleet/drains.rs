//! Every process is restarted in order, one after the other, while people buy: what an operator does to bring out a new
//! version in the middle of a sale.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use miaosha_testkit::services::{Service as _, Site};

use crate::MACHINE;
use crate::crowd::Crowd;
use crate::site::Fleet;

const SETTINGS: [(&str, &str); 2] = [("MIAOSHA_DEV__TOKEN_MINT", "true"), ("MIAOSHA_LOG__FILTER", "warn")];
const PEOPLE: u64 = 6_000;
/// In which they come: longer than it takes to restart everything once.
const SPAN: Duration = Duration::from_secs(20);
/// Nginx leaves a process that it could not reach alone for more than `fail_timeout`, two seconds, and counts whole seconds
/// of its clock: for up to three. Before that the other one of its role must stay.
const TAKEN_BACK: Duration = Duration::from_millis(3_500);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_loses_nothing_and_turns_nobody_away() {
    let _alone = MACHINE.lock().await;
    let fleet = tokio::task::spawn_blocking(|| Fleet::start(&SETTINGS)).await.unwrap();
    let sale = fleet.create_sale(&["--stock", "100", "--standby", "50", "--starts-in", "0s", "--hold", "5s"]);
    let crowd = Arc::new(Crowd::gathered((*fleet).clone(), sale.clone(), fleet.tokens(PEOPLE)));
    fleet.wait_until_open(&sale).await;
    let visits = tokio::spawn({
        let crowd = crowd.clone();
        async move { crowd.come(SPAN, 1).await }
    });

    let restarting = crowd.clone();
    let (fleet, restarts) = tokio::task::spawn_blocking(move || {
        let mut restarts = 0;
        while restarting.answered.load(Ordering::Relaxed) < restarting.tokens.len() {
            for of_its_role in 0..2 {
                restarts += restart(&fleet.site, of_its_role);
                std::thread::sleep(TAKEN_BACK);
            }
        }
        (fleet, restarts)
    })
    .await
    .unwrap();
    crowd.is_over.store(true, Ordering::Relaxed);
    let visits = visits.await.unwrap();
    let settled = fleet.settled(&sale).await;

    let mut outcomes: BTreeMap<String, usize> = BTreeMap::new();
    for (status, visit) in crowd.outcomes().await.into_iter().zip(&visits) {
        if visit.told == "sold_out" {
            continue;
        }
        assert!(
            !matches!(status.as_str(), "none" | "queued"),
            "{status}: an accepted request has no outcome"
        );
        assert!(!visit.has_order || status == "paid", "{status}: somebody was told of an order that is lost");
        *outcomes.entry(status).or_default() += 1;
    }
    let turned_away = crowd.turned_away.load(Ordering::Relaxed);
    println!(
        "{restarts} restarts, {PEOPLE} people, {turned_away} turned away, accepted {outcomes:?}, verify {settled}"
    );
    assert_eq!(turned_away, 0, "calls met a process that was going");
    assert!(outcomes.values().sum::<usize>() > 150, "too few were accepted to show anything: {outcomes:?}");
}

/// Restarts one process of each role in order; how many.
fn restart(site: &Site, of_its_role: usize) -> usize {
    let nodes = [&site.publishers, &site.push, &site.consumers, &site.general].map(|role| &role[of_its_role]);
    for node in nodes {
        let ended = node.stop();
        assert!(ended.is_some_and(|status| status.success()), "process {}: {ended:?}", node.number());
        node.start_again().unwrap();
    }
    nodes.len()
}
