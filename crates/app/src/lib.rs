//! The use cases of Miaosha, a verb per file, over ports.
//!
//! A use case reads like the rule it serves; the rules themselves are in `miaosha-domain`. What it needs from outside
//! it takes from [`Ports`]: traits whose doc comments are the contract. `testkit` holds every adapter to them, and the
//! simulation runs these very functions on simulated ports.
//!
//! The way of a request: [`request_buy`] → [`decide_batch`] → [`announce`] → [`follow`] (what every node knows) →
//! [`check_out`]. What comes back goes through [`settle_sale`].

pub mod announce;
pub mod audit_sales;
pub mod board;
pub mod check_out;
mod claim_pages;
pub mod decide_batch;
pub mod follow;
pub mod give_up;
pub mod lease_people;
pub mod look_up_claim;
pub mod manage_sale;
pub mod model;
pub mod ports;
pub mod reconcile_payments;
pub mod recover;
pub mod request_buy;
pub mod sandbox;
pub mod settle_sale;
pub mod sign_in;
pub mod sign_up;
pub mod tend_gate;
pub mod verify_sale;

#[cfg(test)]
mod fakes;

pub use ports::{PortError, Ports};
