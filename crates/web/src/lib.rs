//! The web site of a node: HTTP routes by resource, the hot buy route, `OpenAPI`, the pages.
//!
//! # Use
//!
//! The server makes [`WebParts`] (ports, board, desk, [`Argon2Passwords`], [`Keyring`], …), puts them together with
//! [`Web::new`], binds a [`Listener`], and runs it with a [`Site`] until shutdown:
//!
//! ```no_run
//! # use std::{error::Error, future::Future, sync::Arc};
//! # use miaosha_web::{Listener, ListenerConfig, Serves, Site, Web, WebParts};
//! # async fn serve(parts: WebParts, shutdown: impl Future<Output = ()>) -> Result<(), Box<dyn Error>> {
//! let tasks = parts.tasks.clone();
//! let web = Web::new(parts);
//! let listener = Listener::bind("127.0.0.1:8080".parse()?, ListenerConfig::default())?;
//! let site = Site {
//!     buy: Some(web.buy().clone()),
//!     sockets: None,
//!     general: web.router(Serves::EVERYTHING),
//!     general_runtime: tokio::runtime::Handle::current(),
//! };
//! listener.run(site, shutdown).await?;
//! // Check-outs and other writes run to their end, whoever has hung up.
//! tasks.close();
//! tasks.wait().await;
//! # Ok(())
//! # }
//! ```
//!
//! Somebody else runs [`RequestDesk::run`](miaosha_app::request_buy::RequestDesk::run), keeps the board true
//! ([`miaosha_app::follow`]), decides, settles and reconciles.
//!
//! # Where to read
//!
//! `routes` has a file for each resource and a function for each verb; what they send is in `wire`, what they refuse in
//! [`ProblemCode`]. [`buy`](BuyRoute) is the one route that a crowd calls at once. [`tokens`] proves who asks.
//!
//! [`live`] tells people over sockets.
//!
//! Not here: rules (`miaosha-domain`) and use cases (`miaosha-app`).

mod absent_sales;
mod buy;
mod claim_reader;
mod extract;
mod last_write;
mod listener;
pub mod live;
mod openapi;
mod pages;
mod passwords;
mod patience;
mod plain_json;
mod problem;
mod routes;
mod sale_cache;
pub mod tokens;
mod web;
mod wire;
mod writes;

pub use buy::{BUY_BODY_LEN_MAX, BuyRoute, REQUEST_SECONDS_BUCKETS, ThreadBuyRoute, sale_in_path};
pub use listener::{BindError, Listener, ListenerConfig, Peer, Site, SocketService};
pub use passwords::{Argon2Passwords, PASSWORDS_WAITING_MAX};
pub use problem::ProblemCode;
pub use routes::stand_in;
pub use tokens::Keyring;
pub use web::{Readiness, Serves, Web, WebLimits, WebParts};
pub use wire::{
    ClaimBody, InvalidPlan, ManagedSaleBody, Moment, MoneyBody, NewSale, PriceGiven, RecountBody, TextGiven,
};
