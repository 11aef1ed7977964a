//! `docs/SCHEMA.md`, made from what the migrations make.

use std::fmt::Write as _;
use std::path::Path;

use miaosha_testkit::contract::run;
use sqlx::mysql::MySqlRow;
use sqlx::{MySqlConnection, Row};

use crate::database::{TestDatabase, rows};

const HEAD: &str = "# Schema

The tables of MySQL or MariaDB, made from the migrations in `crates/distributed/migrations` by

```
MIAOSHA_WRITE_SCHEMA=1 cargo run -p miaosha-testkit --bin services -- -- cargo test -p miaosha-distributed schema
```

Ids, counters and times in milliseconds are signed 64-bit integers. No foreign key leads to `sales`: checking one would
share-lock the sale's row in every payment. Locks are taken in this order: sale, claims by person, payments.
";

#[test]
#[expect(clippy::disallowed_methods, reason = "a variable says whether the document is checked or written")]
fn the_schema_document_is_up_to_date() {
    run(async {
        let database = TestDatabase::migrated().await;
        let document = document(&mut database.connection().await).await;
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/SCHEMA.md");
        if std::env::var("MIAOSHA_WRITE_SCHEMA").is_ok() {
            std::fs::write(&path, &document).unwrap();
        }
        let written = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            written == document,
            "docs/SCHEMA.md is out of date; its third paragraph says how it is made"
        );
    });
}

async fn document(connection: &mut MySqlConnection) -> String {
    let mut document = HEAD.to_owned();
    let tables = "SELECT CAST(table_name AS CHAR), CAST(table_comment AS CHAR) FROM information_schema.tables \
         WHERE table_schema = DATABASE() ORDER BY table_name";
    for table in rows(connection, tables).await {
        let name = text(&table, 0);
        writeln!(document, "\n## {name}\n\n{}.\n", text(&table, 1)).unwrap();
        document.push_str(&columns(connection, &name).await);
        document.push_str(&indexes(connection, &name).await);
        document.push_str(&references(connection, &name).await);
    }
    document
}

async fn columns(connection: &mut MySqlConnection, table: &str) -> String {
    let select = format!(
        "SELECT CAST(column_name AS CHAR), CAST(column_type AS CHAR), CAST(is_nullable AS CHAR), CAST(extra AS CHAR), \
         CAST(column_comment AS CHAR) FROM information_schema.columns \
         WHERE table_schema = DATABASE() AND table_name = '{table}' ORDER BY ordinal_position"
    );
    let mut section = "| column | type | |\n|---|---|---|\n".to_owned();
    for column in rows(connection, &select).await {
        let null = if text(&column, 2) == "YES" { ", may be null" } else { "" };
        let extra = if text(&column, 3).contains("auto_increment") { ", counted up" } else { "" };
        let (name, kind) = (text(&column, 0), plain(&text(&column, 1)));
        writeln!(section, "| `{name}` | {kind}{null}{extra} | {} |", text(&column, 4)).unwrap();
    }
    section
}

async fn indexes(connection: &mut MySqlConnection, table: &str) -> String {
    let select = format!(
        "SELECT CAST(index_name AS CHAR), CAST(MIN(non_unique) AS CHAR), \
         CAST(GROUP_CONCAT(column_name ORDER BY seq_in_index SEPARATOR ', ') AS CHAR), CAST(MIN(index_comment) AS CHAR) \
         FROM information_schema.statistics WHERE table_schema = DATABASE() AND table_name = '{table}' \
         GROUP BY index_name ORDER BY index_name <> 'PRIMARY', index_name"
    );
    let mut section = "\n".to_owned();
    for index in rows(connection, &select).await {
        let (name, columns, comment) = (text(&index, 0), text(&index, 2), text(&index, 3));
        let kind = match (name.as_str(), text(&index, 1).as_str()) {
            ("PRIMARY", _) => "Primary key".to_owned(),
            (_, "0") => format!("Unique `{name}`"),
            _ => format!("Index `{name}`"),
        };
        let comment = if comment.is_empty() { comment } else { format!(": {comment}") };
        writeln!(section, "- {kind} ({columns}){comment}").unwrap();
    }
    section
}

async fn references(connection: &mut MySqlConnection, table: &str) -> String {
    let select = format!(
        "SELECT CAST(column_name AS CHAR), CAST(referenced_table_name AS CHAR), CAST(referenced_column_name AS CHAR) \
         FROM information_schema.key_column_usage WHERE table_schema = DATABASE() AND table_name = '{table}' \
         AND referenced_table_name IS NOT NULL ORDER BY column_name"
    );
    let mut section = String::new();
    for reference in rows(connection, &select).await {
        let (column, to, id) = (text(&reference, 0), text(&reference, 1), text(&reference, 2));
        writeln!(section, "- Foreign key ({column}) to `{to}` ({id})").unwrap();
    }
    section
}

/// One engine says how wide it would print a number, the other does not.
fn plain(kind: &str) -> String {
    let number = ["bigint", "tinyint"].iter().find(|number| kind.starts_with(**number));
    number.map_or_else(|| kind.replace("','", "', '"), |number| (*number).to_owned())
}

fn text(row: &MySqlRow, column: usize) -> String {
    row.get(column)
}
