//! `SQLite`: one file, one thread that writes, two that read.
//!
//! [`Database`] opens the file; [`connections`] are the threads, and [`transaction`] is how an asynchronous caller
//! holds a transaction on one of them. The stores hold the SQL, one file each; `rows` reads rows back.

mod changes;
mod claim_store;
mod connections;
mod database;
mod directory_lock;
mod failure;
mod idempotency_store;
mod open;
mod order_store;
mod payment_store;
mod rows;
mod sale_store;
mod transaction;
mod user_store;

pub(crate) use claim_store::SqliteClaimStore;
pub(crate) use connections::Connections;
pub(crate) use database::Database;
pub(crate) use directory_lock::DirectoryLock;
pub(crate) use idempotency_store::SqliteIdempotencyStore;
pub use open::OpenError;
pub(crate) use open::{Access, open};
pub(crate) use order_store::SqliteOrderStore;
pub(crate) use payment_store::SqlitePaymentStore;
pub(crate) use rows::named;
pub(crate) use sale_store::SqliteSaleStore;
pub(crate) use user_store::SqliteUserStore;
