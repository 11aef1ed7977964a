//! Processes that share a reader: one asks the database for all, and whichever is killed, everybody goes on hearing.

use miaosha_testkit::services::{MariaDbServer, Service as _, wait_until};

use crate::MACHINE;
use crate::ears::Ears;
use crate::site::Fleet;

const SETTINGS: [(&str, &str); 2] = [("MIAOSHA_DEV__TOKEN_MINT", "true"), ("MIAOSHA_LOG__FILTER", "warn")];
const PROCESSES: [u16; 4] = [1, 3, 1, 1];
/// One process makes ten reads in this time, and no faster; two need half of it.
const TEN_READS_US: u64 = 6_000_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_process_reads_for_all_and_whichever_is_killed_everybody_hears() {
    let _alone = MACHINE.lock().await;
    let start = || {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("reader");
        let shared = ("MIAOSHA_PUSH__READER_SOCKET", socket.to_str().unwrap());
        (Fleet::start_with(PROCESSES, &[&SETTINGS[..], &[shared]].concat()), directory)
    };
    let (fleet, _directory) = tokio::task::spawn_blocking(start).await.unwrap();
    let sale = fleet.create_sale(&["--stock", "100", "--starts-in", "0s", "--hold", "1h"]);
    fleet.wait_until_open(&sale).await;
    let primary = &fleet.services.mysql.primary;
    primary.log_statements().unwrap();
    wait_until("one process reads for all", || one_reads(primary)).unwrap();

    let followers = fleet.site.nodes().filter(|(role, _)| *role != "consumer");
    for ((role, node), token) in followers.zip(fleet.tokens(5)) {
        let mut ears = Ears::open(fleet.site.base(), sale.clone(), token.clone(), node.number().into());
        node.kill();
        node.start_again().unwrap();
        assert_eq!(fleet.buy(&sale, &token).await.status, 202, "after {role} was killed");
        ears.have_heard(1).await;
    }
    wait_until("one process reads for all again", || one_reads(primary)).unwrap();
}

/// Whether the last ten reads of the newest events came as slowly as one process makes them.
fn one_reads(primary: &MariaDbServer) -> anyhow::Result<bool> {
    let span_us = primary.query(
        "SELECT IF(COUNT(*) = 10, TIMESTAMPDIFF(MICROSECOND, MIN(event_time), MAX(event_time)), 0) FROM \
         (SELECT event_time FROM mysql.general_log \
          WHERE argument LIKE 'SELECT COUNT(*), GROUP\\_CONCAT(id) FROM claim\\_events%' \
          ORDER BY event_time DESC LIMIT 10) newest",
    )?;
    Ok(span_us.trim().parse::<u64>()? >= TEN_READS_US)
}
