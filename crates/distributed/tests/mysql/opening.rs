//! Migrations, what a start refuses, and outages afterwards.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{join, join_all};
use miaosha_app::ports::PortError;
use miaosha_distributed::mysql::{Migrated, MysqlConfig, OpenError, migrate};
use miaosha_testkit::contract::run;
use miaosha_testkit::contract::scene::{self, SALE, TERMS, sale_id, user};
use sqlx::Row;

use crate::database::{TestDatabase, connect, execute, rows, stores_of};
use crate::door::Door;

const WAIT: Duration = Duration::from_secs(30);

#[test]
fn a_migration_makes_the_database_and_its_repetition_changes_nothing() {
    run(async {
        let database = TestDatabase::empty().await;
        let first = migrate(&database.config(), WAIT).await.unwrap();
        assert!(first.from == 0 && first.to > 0);
        let stores = stores_of(Arc::new(database.connect().await), Box::new(()));
        scene::open_sale(&stores, 9, TERMS).await;
        let again = migrate(&database.config(), WAIT).await.unwrap();
        assert_eq!(again, Migrated { from: first.to, to: first.to });
        assert_eq!(scene::ask(&stores, 1..2).await.len(), 1);
    });
}

#[test]
fn a_migration_that_failed_half_way_is_ended_by_the_next() {
    run(async {
        let database = TestDatabase::migrated().await;
        let mut connection = database.connection().await;
        execute(
            &mut connection,
            "DROP TABLE order_lines; DROP TABLE heartbeats; UPDATE schema_version SET version = 0",
        )
        .await
        .unwrap();
        migrate(&database.config(), WAIT).await.unwrap();
        assert_eq!(rows(&mut connection, "SELECT at FROM heartbeats WHERE id = 1").await.len(), 1);
        rows(&mut connection, "SELECT 1 FROM order_lines").await;
    });
}

#[test]
fn of_two_migrations_at_once_one_waits_for_the_other() {
    run(async {
        let database = TestDatabase::empty().await;
        let config = database.config();
        let (one, other) = join(migrate(&config, WAIT), migrate(&config, WAIT)).await;
        let mut from = [one.unwrap().from, other.unwrap().from];
        from.sort_unstable();
        assert_eq!(from[0], 0);
        assert!(from[1] > 0, "both of them migrated");
    });
}

#[test]
fn a_migration_that_waited_in_vain_does_nothing() {
    run(async {
        let database = TestDatabase::migrated().await;
        let mut other = database.connection().await;
        execute(&mut other, "UPDATE schema_version SET version = 0").await.unwrap();
        rows(&mut other, "SELECT GET_LOCK(CONCAT('miaosha migrate ', MD5(DATABASE())), 1)").await;
        let refused = migrate(&database.config(), Duration::from_secs(1)).await;
        assert!(matches!(refused, Err(OpenError::Migrating)), "{refused:?}");
        let version = rows(&mut other, "SELECT version FROM schema_version").await[0].get::<i64, _>(0);
        assert_eq!(version, 0);
    });
}

#[test]
fn another_schema_is_refused_with_what_to_do() {
    run(async {
        let database = TestDatabase::migrated().await;
        let mut connection = database.connection().await;
        execute(&mut connection, "UPDATE schema_version SET version = 0").await.unwrap();
        let older = connect(&database.config()).await.unwrap_err();
        assert!(matches!(older, OpenError::OlderSchema { found: 0, .. }), "{older:?}");
        assert!(older.to_string().contains("miaosha migrate"));
        execute(&mut connection, "UPDATE schema_version SET version = 99").await.unwrap();
        let newer = connect(&database.config()).await.unwrap_err();
        assert!(matches!(newer, OpenError::NewerSchema { found: 99, .. }), "{newer:?}");
        assert!(matches!(migrate(&database.config(), WAIT).await, Err(OpenError::NewerSchema { .. })));
        execute(&mut connection, "DROP TABLE schema_version").await.unwrap();
        let none = connect(&database.config()).await.unwrap_err();
        assert!(matches!(none, OpenError::OlderSchema { found: 0, .. }), "{none:?}");
    });
}

#[test]
fn a_server_that_may_forget_is_refused_unless_that_is_accepted() {
    run(async {
        let database = TestDatabase::migrated().await;
        let mut connection = database.connection().await;
        let sql = "SELECT @@innodb_flush_log_at_trx_commit = 1 AND (@@sync_binlog = 1 OR @@log_bin = 0)";
        let is_safe = rows(&mut connection, sql).await[0].get::<i64, _>(0) == 1;
        let strict = MysqlConfig { accept_unsafe_flush: false, ..database.config() };
        match connect(&strict).await {
            Ok(_) => assert!(is_safe),
            Err(error) => assert!(matches!(error, OpenError::Unsafe { .. }) && !is_safe, "{error}"),
        }
        let lenient = MysqlConfig { accept_unsafe_flush: true, ..database.config() };
        connect(&lenient).await.unwrap();
    });
}

#[test]
fn an_address_without_a_database_or_a_server_is_refused() {
    run(async {
        let database = TestDatabase::migrated().await;
        let unnamed = connect(&MysqlConfig::new(database.servers.primary.clone())).await.unwrap_err();
        assert!(matches!(unnamed, OpenError::NoDatabaseNamed), "{unnamed:?}");
        let nobody = connect(&MysqlConfig::new("mysql://root@127.0.0.1:1/x")).await.unwrap_err();
        assert!(matches!(nobody, OpenError::Server(_)), "{nobody:?}");
    });
}

#[test]
fn an_outage_is_retryable_and_everything_works_again_afterwards() {
    run(async {
        let database = TestDatabase::migrated().await;
        let door = Door::to(&database.servers.primary).await;
        let config = MysqlConfig {
            primary: format!("{}/{}", door.url, database.name),
            acquire_timeout: Duration::from_millis(400),
            ..database.config()
        };
        let stores = stores_of(Arc::new(connect(&config).await.unwrap()), Box::new(()));
        scene::open_sale(&stores, 9, TERMS).await;
        // Many idle connections, each of which the outage will end.
        join_all((0..8).map(|_| stores.sales.lookup(SALE))).await;
        let held = scene::lock(&stores).await;
        let book = held.book();
        door.shut();
        assert!(matches!(held.commit(book, &[]).await, Err(PortError::Retryable { .. })));
        assert!(matches!(stores.sales.lookup(SALE).await, Err(PortError::Retryable { .. })));
        assert!(matches!(stores.sales.lock(SALE).await, Err(PortError::Retryable { .. })));
        door.open();
        // Also what is not done twice works at the first attempt.
        scene::open_sale_as(&stores, sale_id(1), 9, TERMS).await;
        assert_eq!(scene::ask(&stores, 1..3).await.len(), 2);
        assert!(scene::claim(&stores, user(1)).await.is_some());
    });
}

#[test]
fn stores_that_were_closed_say_so() {
    run(async {
        let database = TestDatabase::migrated().await;
        let mysql = Arc::new(database.connect().await);
        let stores = stores_of(Arc::clone(&mysql), Box::new(()));
        scene::open_sale(&stores, 9, TERMS).await;
        mysql.close().await;
        mysql.close().await;
        assert!(matches!(stores.sales.lookup(SALE).await, Err(PortError::Terminal { .. })));
        assert!(matches!(stores.sales.lock(SALE).await, Err(PortError::Terminal { .. })));
    });
}
