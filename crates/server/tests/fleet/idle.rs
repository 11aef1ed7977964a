//! What a fleet in which nothing happens asks of the primary: counted by its own rounds, so that no clock matters.

use std::time::{Duration, Instant};

use miaosha_testkit::services::MariaDbServer;

use crate::MACHINE;
use crate::site::Fleet;
use crate::support::PATIENCE;

const SETTINGS: [(&str, &str); 1] = [("MIAOSHA_LOG__FILTER", "warn")];
/// Every process but the consumers reads the newest events once in a round.
const FOLLOWERS: u64 = 6;
const PROCESSES: u64 = 8;
/// Followers ask two questions in a round, consumers two; each of the two of role `general` looks once at the replicas,
/// and each process every other round at the clock; one makes the beat that tells the lag. That is some 25 in all. The
/// rest is for this test's own questions, and for processes of which one is slower than the other.
const STATEMENTS_MAX: u64 = 6 * PROCESSES;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_fleet_asks_the_primary_little_however_many_sales_there_are() {
    let _alone = MACHINE.lock().await;
    tokio::task::spawn_blocking(|| {
        let fleet = Fleet::start(&SETTINGS);
        for _ in 0..5 {
            let plan = ["--stock", "10", "--lasts", "10h", "--price", "1.00", "--starts-in"];
            fleet.create_sale(&[&plan[..], &["0s"]].concat());
            fleet.create_sale(&[&plan[..], &["5h"]].concat());
            let ended = fleet.create_sale(&[&plan[..], &["0s"]].concat());
            assert!(fleet.cli(&["sale", "close", &ended]).status.success());
        }
        let primary = &fleet.services.mysql.primary;
        primary.log_statements().unwrap();
        // Every process has heard of every sale then.
        let before = counted_after(primary, 10 * FOLLOWERS);
        let after = counted_after(primary, before.reads + 20 * FOLLOWERS);
        let statements = after.statements - before.statements;
        let per_round = statements * FOLLOWERS / (after.reads - before.reads);
        println!("{per_round} statements in a round of {PROCESSES} processes");
        let logged = || primary.logged_statements().unwrap();
        assert!(per_round <= STATEMENTS_MAX, "{per_round} statements in a round:\n{}", logged());
    })
    .await
    .unwrap();
}

/// What the primary was asked so far.
struct Counted {
    /// Reads of the newest events, since the log was begun.
    reads: u64,
    /// Statements of all kinds, since the server was started.
    statements: u64,
}

/// Waits for so many reads.
fn counted_after(primary: &MariaDbServer, reads: u64) -> Counted {
    let deadline = Instant::now() + PATIENCE * 3;
    loop {
        let count = "SELECT COUNT(*) FROM mysql.general_log \
                     WHERE argument LIKE 'SELECT COUNT(*), GROUP\\_CONCAT(id) FROM claim\\_events%'";
        let found = primary.query(count).unwrap().parse().unwrap();
        let counted = Counted { reads: found, statements: primary.statements().unwrap() };
        if counted.reads >= reads {
            return counted;
        }
        assert!(Instant::now() < deadline, "nobody follows: {} of {reads} reads", counted.reads);
        std::thread::sleep(Duration::from_millis(500));
    }
}
