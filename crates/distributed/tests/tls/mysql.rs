//! MariaDB over TLS.

use std::sync::Arc;
use std::time::Duration;

use miaosha_distributed::Trust;
use miaosha_distributed::mysql::{Mysql, MysqlConfig, OpenError, migrate};
use miaosha_embedded::SystemClock;
use miaosha_testkit::contract::{Stores, run, sale_transactions};
use miaosha_testkit::services::{Addresses, Authority, MariaDb};

use crate::{assert_says, known, misnamed, trust};

const MIGRATING_MAX: Duration = Duration::from_secs(30);

fn config(url: &str, trust: Trust) -> MysqlConfig {
    MysqlConfig {
        trust,
        acquire_timeout: Duration::from_secs(20),
        read_timeout: Duration::from_secs(20),
        ..MysqlConfig::new(url)
    }
}

async fn refusal(config: &MysqlConfig) -> OpenError {
    let connected = Mysql::connect(config, Arc::new(SystemClock)).await.expect_err("it is to be refused");
    let migrated = migrate(config, MIGRATING_MAX).await.expect_err("it is to be refused");
    assert_eq!(connected.to_string(), migrated.to_string());
    connected
}

#[test]
fn a_server_with_tls_is_used_if_its_certificate_is_right_and_refused_if_not() {
    let (authority, other) = (Authority::new().unwrap(), Authority::new().unwrap());
    let servers = MariaDb::start_with_tls(&authority).unwrap();
    let account = "CREATE USER ann IDENTIFIED BY 'secret' REQUIRE SSL; GRANT ALL ON *.* TO ann";
    servers.primary.query(account).unwrap();
    let in_the_clear = format!("{}/shop", servers.primary.url().replacen("root@", "ann:secret@", 1));
    let url = format!("{in_the_clear}?ssl-mode=required");
    run(async {
        let right = config(&url, trust(&authority));
        migrate(&right, MIGRATING_MAX).await.unwrap();
        let mysql = Mysql::connect(&right, Arc::new(SystemClock)).await.unwrap();
        let stores = Stores {
            sales: Arc::clone(&mysql.sales),
            claims: Arc::clone(&mysql.claims),
            orders: Arc::clone(&mysql.orders),
            payments: Arc::clone(&mysql.payments),
            users: Arc::clone(&mysql.users),
            idempotency: Arc::clone(&mysql.idempotency),
            clock: Arc::new(SystemClock),
            keep: Box::new(mysql),
        };
        sale_transactions::a_commit_writes_the_book_the_claims_and_an_event_for_each_change(stores).await;

        let account = "ALTER USER ann REQUIRE X509";
        servers.primary.query(account).unwrap();
        Mysql::connect(&config(&url, known(&authority)), Arc::new(SystemClock)).await.unwrap();
        assert!(matches!(refusal(&right).await, OpenError::Server(_)), "it has shown no certificate");
        servers.primary.query("ALTER USER ann REQUIRE SSL").unwrap();

        // The account is only for TLS, so it was TLS.
        assert!(matches!(refusal(&config(&in_the_clear, trust(&authority))).await, OpenError::Server(_)));

        for trust in [trust(&other), Trust::default()] {
            let untrusted = refusal(&config(&url, trust)).await;
            assert_says(&untrusted, &["MySQL at 127.0.0.1:", "engines.tls_ca_file", "tls_untrusted"]);
        }

        let wrong_name = refusal(&config(&misnamed(&url), trust(&authority))).await;
        assert_says(&wrong_name, &["MySQL at localhost:", "tls_wrong_name"]);
    });
}

#[test]
fn a_server_that_does_not_speak_tls_is_refused() {
    let url = format!("{}/shop?ssl-mode=required", Addresses::of_this_run().mysql.primary);
    run(async {
        let plain = refusal(&config(&url, Trust::default())).await;
        assert_says(&plain, &["MySQL at 127.0.0.1:", "the port that TLS is on", "tls_not_spoken"]);
    });
}
