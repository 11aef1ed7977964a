//! What is sent to the server: by index, and in the language that both engines speak.

use std::collections::BTreeSet;
use std::sync::Arc;

use miaosha_distributed::mysql::{MysqlConfig, migrate};
use miaosha_testkit::contract::{Stores, run, scene};
use sqlx::{MySqlConnection, Row};

use crate::database::{TestDatabase, connect, execute, rows, stores_of};
use crate::door::Door;
use crate::life::live;

/// Much of everything, so that a scan would be dear; people above a million are others.
const CROWD: &str = "
    INSERT INTO users WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 1000)
        SELECT 1000000 + i, CONCAT(i, '@old.example'), 'x', 'buyer', NULL, 0 FROM n;
    INSERT INTO products WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 1000)
        SELECT i, '{\"en\":\"x\"}', '{\"en\":\"\"}', NULL FROM n;
    INSERT INTO sales WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 1000)
        SELECT i, i, 100, 'USD', NULL, NULL, NULL, NULL, 'UTC', 0, 1, 1, 0, 0, 9, 0, 0, 0, 0, 1, 0, 0, 0, 2, 1, 9, 0 FROM n;
    INSERT INTO claims WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 1000)
        SELECT s.i, 1000000 + u.i, IF(u.i % 2 = 0, 'expired', 'paid'), 2, u.i, 1, 5, IF(u.i % 2 = 0, 5, NULL), u.i, 0
        FROM n s JOIN n u WHERE s.i <= 20;
    INSERT INTO claims WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 1000)
        SELECT 7777, 1000000 + i, IF(i % 2 = 0, 'standby', 'expired'), 1, i, 1, NULL, IF(i % 2 = 0, NULL, 5), NULL, 0 FROM n;
    INSERT INTO claim_events (sale, user, rev, from_status, to_status, quantity, at) 
        SELECT sale, user, rev, NULL, status, 1, seq FROM claims;
    INSERT INTO payments WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 1000)
        SELECT 1000000 + i, i % 20 + 1, 1000000 + i, 100, 'USD', IF(i % 50 = 0, 'started', 'captured'), 5, 5, NULL, NULL, NULL FROM n;
    INSERT INTO orders
        SELECT id, id, sale, user, id, 'paid', 'USD', 1, 0, 0, 0, 1, 'x', 'x', 'x', 5 FROM payments;
    INSERT INTO order_lines SELECT id, 0, '{\"en\":\"x\"}', 1, 1, 1 FROM orders;
    INSERT INTO idempotency_keys WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 1000)
        SELECT i, 'POST /x', i, REPEAT('x', 32), 1800000000000, 200, 'x', 'x' FROM n;
    ANALYZE TABLE users, products, sales, claims, claim_events, payments, orders, order_lines, idempotency_keys";

/// Everything that the stores send while a site lives, each statement as often as it was sent.
async fn recorded(database: &TestDatabase) -> Vec<String> {
    let door = Door::to(&database.servers.primary).await;
    let url = format!("{}/{}", door.url, database.name);
    let config = MysqlConfig { replicas: vec![url.clone()], primary: url, ..database.config() };
    let mysql = Arc::new(connect(&config).await.unwrap());
    let stores = stores_of(Arc::clone(&mysql), Box::new(()));
    live(&stores, 1).await;
    mysql.close().await;
    door.take_statements()
}

/// Stores whose statements can be taken from the door.
async fn through_door(database: &TestDatabase) -> (Door, Stores) {
    let door = Door::to(&database.servers.primary).await;
    let config = MysqlConfig { primary: format!("{}/{}", door.url, database.name), ..database.config() };
    let stores = stores_of(Arc::new(connect(&config).await.unwrap()), Box::new(()));
    (door, stores)
}

#[test]
fn no_statement_scans_a_table() {
    run(async {
        let database = TestDatabase::migrated().await;
        let mut connection = database.connection().await;
        execute(&mut connection, CROWD).await.unwrap();
        let by_nothing = "SELECT * FROM claims WHERE quantity = 7";
        assert!(scanned(&mut connection, by_nothing).await.is_some(), "scans are not seen");
        let mut explained = BTreeSet::new();
        for statement in recorded(&database).await {
            let verb = statement.split_whitespace().next().unwrap_or_default();
            let reads = statement.contains(" FROM ") || verb == "UPDATE";
            if !reads || !["SELECT", "UPDATE", "DELETE", "INSERT"].contains(&verb) {
                continue;
            }
            let scanned = scanned(&mut connection, &statement).await;
            assert!(scanned.is_none(), "{scanned:?} is scanned by {statement}");
            explained.insert(statement.chars().filter(|letter| !letter.is_ascii_digit()).collect::<String>());
        }
        assert!(explained.len() > 30, "only {} kinds of statements were recorded", explained.len());
    });
}

/// A stored table that the server would read from end to end.
async fn scanned(connection: &mut MySqlConnection, statement: &str) -> Option<String> {
    let plan = rows(connection, &format!("EXPLAIN {statement}")).await;
    plan.iter().find_map(|step| {
        let table: Option<String> = step.try_get("table").unwrap();
        let access: Option<String> = step.try_get("type").unwrap();
        let is_scan = matches!(access.as_deref(), Some("ALL" | "index"));
        table.filter(|table| is_scan && !table.starts_with('<'))
    })
}

#[test]
fn the_claims_of_a_full_batch_are_locked_in_the_order_of_the_primary_key() {
    run(async {
        let database = TestDatabase::migrated().await;
        let (door, stores) = through_door(&database).await;
        scene::open_sale(&stores, 1, scene::TERMS).await;
        let people: Vec<_> = (1..=1_024).map(scene::user).collect();
        let mut tx = scene::lock(&stores).await;
        tx.claims_of(&people).await.unwrap();

        let mut connection = database.connection().await;
        execute(&mut connection, CROWD).await.unwrap();
        let sent = door.take_statements();
        for setting in sent.iter().filter(|statement| statement.starts_with("SET SESSION")) {
            execute(&mut connection, setting).await.unwrap();
        }
        let locking = sent.iter().find(|statement| statement.contains("FORCE INDEX (PRIMARY)")).unwrap();
        let plan = rows(&mut connection, &format!("EXPLAIN {locking}")).await;
        let column =
            |name| plan.iter().map(|step| step.try_get(name).unwrap()).collect::<Vec<Option<String>>>();
        assert_eq!(column("key"), [Some("PRIMARY".to_owned())]);
        let extra = column("Extra").into_iter().flatten().collect::<String>();
        assert!(!extra.contains("temporary") && !extra.contains("filesort"), "{extra}");
    });
}

/// A step that read another index would lock claims of others and could wait for a transaction that waits for it. Which
/// index a server would choose depends on how many rows it believes to be there.
#[test]
fn claims_are_changed_by_the_primary_key_however_few_they_are() {
    run(async {
        let database = TestDatabase::migrated().await;
        let (door, stores) = through_door(&database).await;
        let mut connection = database.connection().await;
        scene::open_sale(&stores, 9, scene::TERMS).await;
        for raw in 1..=8 {
            scene::ask(&stores, raw..raw + 1).await;
            execute(&mut connection, "ANALYZE TABLE claims").await.unwrap();
            scene::commit_paying(scene::lock_claim(&stores, scene::user(raw)).await).await;
            let sent = door.take_statements();
            let update = sent.iter().find(|statement| statement.starts_with("UPDATE claims")).unwrap();
            let plan = rows(&mut connection, &format!("EXPLAIN {update}")).await;
            let keys: Vec<Option<String>> = plan.iter().map(|step| step.try_get("key").unwrap()).collect();
            assert_eq!(keys, [Some("PRIMARY".to_owned())], "with {raw} claims: {update}");
        }
    });
}

/// What only one of the engines has, or has in another meaning.
const FOREIGN: &[&str] = &[
    "RETURNING",
    "FOR SHARE",
    "LOCK IN SHARE MODE",
    "UTF8MB4_0900",
    "UCA1400",
    "NOPAD",
    " JSON ",
    " UUID ",
    "INET6",
    "NEXTVAL",
    "CREATE SEQUENCE",
    "CREATE OR REPLACE",
    "SYSTEM VERSIONING",
    "INVISIBLE",
    "LATERAL",
    "VALUES ROW",
    "VALUES(",
    ") AS NEW",
    "ADD COLUMN IF",
    "DROP COLUMN IF",
    "INDEX IF",
    "KEY IF",
    "INTERSECT",
    "EXCEPT",
    "MINUS",
    "JSON_TABLE",
    "JSON_ARROW",
    "->",
    "||",
    "SET STATEMENT",
    "SQL_CALC",
    "SYSDATE",
    "GET_LOCK(-",
];

#[test]
fn statements_and_migrations_are_in_the_language_of_both_engines() {
    run(async {
        let database = TestDatabase::empty().await;
        let door = Door::to(&database.servers.primary).await;
        let config = MysqlConfig::new(format!("{}/{}", door.url, database.name));
        migrate(&config, std::time::Duration::from_secs(9)).await.unwrap();
        let mut sent = door.take_statements();
        sent.extend(recorded(&database).await);
        assert!(sent.iter().any(|statement| statement.contains("CREATE TABLE IF NOT EXISTS claims")));
        assert!(sent.iter().any(|statement| statement.contains("INSERT INTO claims")));
        for statement in sent {
            // Not what stands between quotation marks: names, digits and comments on columns.
            let language: String = statement.split('\'').step_by(2).collect();
            let folded = language.to_uppercase().split_whitespace().collect::<Vec<_>>().join(" ");
            for word in FOREIGN {
                assert!(!folded.contains(word), "{word} is not for both engines: {statement}");
            }
        }
    });
}
