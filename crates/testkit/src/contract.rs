//! Contract suites: one fact for each sentence that a port's doc comment promises.
//!
//! An adapter runs a suite with one line, `miaosha_testkit::sale_store_contract!(make_stores);`, in a test module that
//! has `async fn make_stores() -> Stores`. Each fact gets adapters of its own, on empty storage. The suites know no
//! backend; what only one adapter promises is tested beside that adapter.

#![expect(clippy::missing_panics_doc, reason = "a fact that does not hold panics: that is what it is for")]
#![expect(clippy::unwrap_used, reason = "facts are tests that live in a library")]
#![expect(clippy::unused_async, reason = "all facts run alike")]

pub mod bus;
pub mod claims;
pub mod clock;
pub mod gate;
pub mod idempotency;
mod manual_clock;
pub mod orders;
pub mod payment_steps;
pub mod payments;
pub mod people_cap;
pub mod provider;
pub mod queue;
pub mod random;
pub mod sale_transactions;
pub mod sales;
pub mod scene;
mod stores;
pub mod timers;
pub mod turns;
pub mod users;
mod waiting;

pub use manual_clock::ManualClock;
pub use stores::Stores;
pub use waiting::{poll_once, run, until};

/// Makes a module of tests out of the facts of a suite.
#[doc(hidden)]
#[macro_export]
macro_rules! contract_suite {
    ($name:ident, $make:expr, $suite:ident, [$($fact:ident),* $(,)?]) => {
        mod $name {
            use super::*;

            $(
                #[test]
                fn $fact() {
                    $crate::contract::run(async { $crate::contract::$suite::$fact($make().await).await });
                }
            )*
        }
    };
}

#[cfg(test)]
mod tests {
    /// A suite lists its facts by hand, so one could be forgotten.
    #[test]
    fn every_fact_is_in_the_list_of_its_suite() {
        let suites = [
            include_str!("contract/bus.rs"),
            include_str!("contract/claims.rs"),
            include_str!("contract/clock.rs"),
            include_str!("contract/gate.rs"),
            include_str!("contract/idempotency.rs"),
            include_str!("contract/orders.rs"),
            include_str!("contract/payment_steps.rs"),
            include_str!("contract/payments.rs"),
            include_str!("contract/people_cap.rs"),
            include_str!("contract/provider.rs"),
            include_str!("contract/queue.rs"),
            include_str!("contract/random.rs"),
            include_str!("contract/sale_transactions.rs"),
            include_str!("contract/sales.rs"),
            include_str!("contract/timers.rs"),
            include_str!("contract/turns.rs"),
            include_str!("contract/users.rs"),
        ];
        for suite in suites {
            let facts = suite.lines().filter_map(|line| line.strip_prefix("pub async fn "));
            let names: Vec<&str> = facts.filter_map(|rest| rest.split('(').next()).collect();
            assert!(!names.is_empty());
            for name in names {
                let listed = suite.lines().any(|line| line.trim() == format!("{name},"));
                assert!(listed, "{name} is never run");
            }
        }
    }
}
