//! Which replica is read, and when none is. What tells is the title of a product, which is other on each replica.

use std::time::Duration;

use miaosha_app::ports::Freshness;
use miaosha_distributed::mysql::{Mysql, MysqlConfig};
use miaosha_domain::sale::Book;
use miaosha_testkit::contract::run;
use miaosha_testkit::contract::scene::{self, SALE, TERMS, sale_id};
use sqlx::{Connection, MySqlConnection};
use tokio::sync::Mutex;

use crate::database::{TestDatabase, connect, execute, rows};
use crate::door::Door;

/// Replication is the server's, not a database's: only one test at a time may stop it.
static REPLICATION: Mutex<()> = Mutex::const_new(());

const LONG: Duration = Duration::from_secs(30);

struct Site {
    database: TestDatabase,
    mysql: Mysql,
    doors: Vec<Door>,
}

/// A site of which each replica can be told by what it says.
async fn site() -> Site {
    let database = TestDatabase::migrated().await;
    let mut doors = Vec::new();
    for url in &database.servers.replicas {
        doors.push(Door::to(url).await);
    }
    let replicas = doors.iter().map(|door| format!("{}/{}", door.url, database.name)).collect();
    let mysql = connect(&MysqlConfig { replicas, ..database.config() }).await.unwrap();
    let sale = scene::plain_sale(SALE);
    mysql.sales.create(&sale, &Book::new(1, &TERMS)).await.unwrap();
    for (number, url) in (1..).zip(&database.servers.replicas) {
        let mut connection = MySqlConnection::connect(url).await.unwrap();
        until_there(&mut connection, &database.name).await;
        let title = format!(r#"{{"en":"replica {number}"}}"#);
        let mark =
            format!("SET SESSION sql_log_bin = 0; UPDATE {}.products SET title = '{title}'", database.name);
        execute(&mut connection, &mark).await.unwrap();
    }
    Site { database, mysql, doors }
}

async fn until_there(connection: &mut MySqlConnection, database: &str) {
    let schema = format!(
        "SELECT 1 FROM information_schema.tables WHERE table_schema = '{database}' AND table_name = 'heartbeats'"
    );
    let sale = format!("SELECT 1 FROM {database}.sales");
    tokio::time::timeout(LONG, async {
        while rows(connection, &schema).await.is_empty() || rows(connection, &sale).await.is_empty() {}
    })
    .await
    .expect("the replica never gets what the primary has");
}

impl Site {
    /// Who answers.
    async fn source(&self) -> String {
        let page = self.mysql.sales.list(None, 1, Freshness::StaleOk).await.unwrap();
        page[0].sale.product.title.in_locale("en").to_owned()
    }

    /// Waits until those who answer are these, each of them. How long that took.
    async fn until_read_from(&self, expected: &[&str]) -> Duration {
        let begun = tokio::time::Instant::now();
        tokio::time::timeout(LONG, async {
            loop {
                let mut sources = Vec::new();
                for _ in 0..6 {
                    sources.push(self.source().await);
                }
                let is_any_missing = expected.iter().any(|name| !sources.iter().any(|source| source == name));
                let is_any_other = sources.iter().any(|source| !expected.contains(&source.as_str()));
                if !is_any_missing && !is_any_other {
                    return;
                }
            }
        })
        .await
        .expect("others are read");
        begun.elapsed()
    }

    async fn on_replica(&self, number: usize, sql: &str) {
        let mut connection = MySqlConnection::connect(&self.database.servers.replicas[number]).await.unwrap();
        execute(&mut connection, sql).await.unwrap();
    }
}

const PRIMARY: &str = "Console \"X\"";
const FIRST: &str = "replica 1";
const SECOND: &str = "replica 2";

#[test]
fn stale_reads_go_to_the_replicas_in_turn_and_fresh_ones_to_the_primary() {
    run(async {
        let _alone = REPLICATION.lock().await;
        let site = site().await;
        site.until_read_from(&[FIRST, SECOND]).await;
        let page = site.mysql.sales.list(None, 1, Freshness::Fresh).await.unwrap();
        assert_eq!(page[0].sale.product.title.in_locale("en"), PRIMARY);
    });
}

#[test]
fn a_lagging_replica_is_left_out_and_comes_back() {
    run(async {
        let _alone = REPLICATION.lock().await;
        let site = site().await;
        site.until_read_from(&[FIRST, SECOND]).await;
        site.on_replica(0, "STOP REPLICA SQL_THREAD").await;
        let took = site.until_read_from(&[SECOND]).await;
        let bound = site.database.config().lag_max + Duration::from_secs(2);
        site.on_replica(1, "STOP REPLICA SQL_THREAD").await;
        site.until_read_from(&[PRIMARY]).await;
        // Who wrote a moment ago reads what he wrote.
        site.mysql.sales.create(&scene::plain_sale(sale_id(9_999)), &Book::new(1, &TERMS)).await.unwrap();
        let page = site.mysql.sales.list(None, 1, Freshness::Fresh).await.unwrap();
        assert_eq!(page[0].sale.id, sale_id(9_999));
        for number in 0..2 {
            site.on_replica(number, "START REPLICA SQL_THREAD").await;
        }
        // The new sale came to them from the primary.
        tokio::time::timeout(LONG, async { while site.source().await != PRIMARY {} }).await.unwrap();
        assert!(took < bound, "it was read for {took:?} more");
    });
}

#[test]
fn a_dead_replica_is_left_out_and_comes_back() {
    run(async {
        let _alone = REPLICATION.lock().await;
        let site = site().await;
        site.until_read_from(&[FIRST, SECOND]).await;
        site.doors[0].shut();
        let took = site.until_read_from(&[SECOND]).await;
        assert!(took < Duration::from_secs(2), "it was asked for {took:?} more");
        site.doors[1].shut();
        site.until_read_from(&[PRIMARY]).await;
        site.doors[0].open();
        site.until_read_from(&[FIRST]).await;
        site.doors[1].open();
        site.until_read_from(&[FIRST, SECOND]).await;
    });
}
