//! Adapters for fleets: the gate, the news and the people cap on Redis Cluster, accepted requests and timers on
//! RabbitMQ, and everything that is true on MySQL with read replicas.
//!
//! Each module is one engine and knows nothing of the others, but for [`machine`], which stands before the news of any; what
//! they share is [`Trust`], for TLS, and the form of news. What they promise
//! is the ports' contract (`miaosha_app::ports`), which the suites of `testkit` hold them to.

mod fall;
mod fan_out;
mod lateness;
pub mod machine;
pub mod mysql;
mod news;
pub mod rabbitmq;
pub mod redis;
mod tls;

pub use tls::{TlsFileError, TlsReason, TlsRefusal, Trust};
