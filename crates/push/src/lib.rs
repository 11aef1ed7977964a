//! An Engine.IO v4 / Socket.IO v5 server for very many idle connections.
//!
//! It speaks both transports (WebSocket, and long-polling with upgrade), namespaces, connect auth, events, acks, binary
//! attachments, rooms and tags. It knows nothing of what is sent, does not listen on anything and starts no runtime:
//! requests come from the embedder's hyper server, and go to a few threads of this crate that hold the connections.
//! An idle connection costs a record of a few hundred bytes and no buffer, timer or task of its own.
//!
//! # Use
//!
//! ```no_run
//! use std::sync::Arc;
//! use miaosha_push::{Admission, Application, ClientEvent, Config, ConnectRequest, Server};
//!
//! struct Echo;
//!
//! impl Application for Echo {
//!     fn connect(&self, server: &Server, request: &ConnectRequest<'_>) -> Admission {
//!         server.join(request.socket, "news");
//!         server.emit(request.socket, "hello", &[r#"{"now":1}"#]);
//!         Admission::Accept { tag: Some(42) }
//!     }
//!
//!     fn event(&self, server: &Server, event: &ClientEvent<'_>) {
//!         let arguments: Vec<&str> = event.arguments.iter().map(|json| json.get()).collect();
//!         if let Some(ack) = event.ack {
//!             server.acknowledge(ack, &arguments);
//!         }
//!     }
//! }
//!
//! # fn main() -> std::io::Result<()> {
//! let server = Server::start(Config::default(), Arc::new(Echo))?;
//! // In the hyper service, for requests under /socket.io/:  http::respond(&server, request).await
//! server.room("/", "news").emit("news", &["\"to the room, framed once\""]);
//! server.tag("/", 42).emit("claim", &[r#"{"status":"reserved"}"#]);
//! server.tags("/", [42, 43]).emit("claim", &[r#"{"status":"sold_out"}"#]);
//! server.emit_many("/", "claim", vec![42, 43], |place| format!(r#"{{"position":{place}}}"#));
//! # Ok(())
//! # }
//! ```
//!
//! # Where to read
//!
//! [`Server`] is what an embedder calls, [`Application`] what it implements, [`Config`] every limit, [`http::respond`]
//! the way in. `reactor` is the heart; `engine`, `socketio` and `websocket` are the forms on the wire, free of I/O.

mod application;
mod command;
mod config;
mod counters;
pub mod engine;
pub mod http;
mod intake;
mod memory;
mod random;
mod reactor;
mod server;
pub mod socketio;
pub mod websocket;

pub use self::application::{
    Ack, Admission, Application, ClientAck, ClientEvent, ConnectRequest, DisconnectReason, SocketId,
};
pub use self::config::{Config, CorsOrigin};
pub use self::counters::Counts;
pub use self::memory::{ControlGroups, Memory, Unlimited};
pub use self::random::{OsRandom, Random};
pub use self::server::{Server, Target};
