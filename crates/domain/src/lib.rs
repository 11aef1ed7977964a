//! The rules of a sale: who gets a unit, in which order, and when it comes back.
//!
//! Everything here is a pure function over plain data: no IO, no clock, no randomness. The moment is a
//! parameter, and what is to be written is a return value. Adapters run these rules inside one database
//! transaction; the same rules run in the simulation.
//!
//! Start with [`decide`](decide::decide) (who gets the unit), then [`settle`](settle::settle) (how a unit comes
//! back and who is next), then [`payment`] (how a reservation becomes a sale). [`audit`] says what must be true
//! after every commit.

pub mod audit;
pub mod claim;
pub mod decide;
pub mod gate;
pub mod ids;
pub mod money;
pub mod payment;
pub mod question;
pub mod sale;
pub mod settle;
pub mod time;

#[cfg(test)]
mod world;
