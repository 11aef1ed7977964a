//! The server's process: signs everyone in, lets them watch a room, and broadcasts when told to on its standard input.

use std::io::BufRead as _;
use std::sync::Arc;

use miaosha_push::{Admission, Application, ClientEvent, Config, ConnectRequest, Server};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::serving;

struct Watchers;

#[derive(Deserialize)]
struct Auth {
    token: u64,
}

impl Application for Watchers {
    fn connect(&self, server: &Server, request: &ConnectRequest<'_>) -> Admission {
        server.emit(request.socket, "clock", &[r#"{"now":"2026-11-22T00:00:00.000Z","sales":[]}"#]);
        let auth = request.auth.and_then(|auth| serde_json::from_str::<Auth>(RawValue::get(auth)).ok());
        Admission::Accept { tag: auth.map(|auth| auth.token) }
    }

    fn event(&self, server: &Server, event: &ClientEvent<'_>) {
        if let ("watch", Some(ack)) = (event.name, event.ack) {
            server.join(event.socket, "sale:1");
            server.acknowledge(ack, &[r#"{"sale":"1","state":"scheduled"}"#]);
        }
    }
}

/// Serves until the standard input ends.
pub(crate) fn run(reactors: usize) -> std::io::Result<()> {
    let config =
        Config { reactors, max_connections: 19_900, max_connects_per_second: u32::MAX, ..Config::default() };
    let server = Server::start(config, Arc::new(Watchers))?;
    let listeners = serving::bind("127.0.0.1:0")?;
    println!("{}", listeners[0].local_addr()?);
    let routes = vec![("/socket.io/", server.clone())];
    std::thread::spawn(move || serving::serve(listeners, routes));
    for _order in std::io::stdin().lock().lines() {
        server
            .room("/", "sale:1")
            .emit("sale", &[r#"{"sale":"1","state":"open","entry":"0123456789abcdef"}"#]);
    }
    server.shut_down();
    Ok(())
}
