//! The server that the official Engine.IO v4 and Socket.IO v5 protocol test suites expect to find.
//!
//! `cargo run -p miaosha-push --example conformance [-- --listen localhost:3000]`, then run the suites. The tests in
//! `tests/conformance` run the same cases against it on a free port. It prints its address once it listens.

mod echo;
#[path = "../serving/mod.rs"]
mod serving;

fn main() -> std::io::Result<()> {
    let listen = std::env::args().skip_while(|argument| argument != "--listen").nth(1);
    let listeners = serving::bind(listen.as_deref().unwrap_or("localhost:3000"))?;
    println!("listening on {}", listeners[0].local_addr()?);
    let (sessions, sockets) = echo::start()?;
    serving::serve(listeners, vec![("/engine.io/", sessions), ("/socket.io/", sockets)])
}
