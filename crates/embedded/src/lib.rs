//! Adapters for one machine: everything that a whole site needs in one process and one directory.
//!
//! Truth is in `SQLite` (`src/sqlite/`); requests, wake-ups and news pass through memory, because nobody is told of
//! anything before its row is durable. No rule is here. Start with [`Embedded::open`].

mod clock;
mod embedded;
mod outcome_bus;
mod random;
mod request_queue;
mod sandbox;
mod sqlite;
mod timer_queue;

pub use clock::SystemClock;
pub use embedded::Embedded;
pub use outcome_bus::InProcessBus;
pub use random::OsRandom;
pub use request_queue::InProcessQueue;
pub use sqlite::OpenError;
pub use timer_queue::InProcessTimers;
