//! The API as a client sees it, on the embedded adapters: a file for each route, and the listener as it is on a socket.

#![expect(clippy::unwrap_used, reason = "in a test, and in what tests share, a surprise may end it")]

mod accounts;
mod admin_sales;
mod bad_requests;
mod checkout;
mod fast_lane;
mod idempotency;
mod last_write;
mod listener;
mod live;
mod operations;
mod orders;
mod pages;
mod roles;
mod running;
mod sales;
mod sales_id_claim;
mod sales_id_requests;
mod site;
mod unavailable;
mod watched;
