//! The least that can be done: one thread writes the same bytes to one connection after the other. What a server takes
//! beyond it is its own; what it takes itself is the system calls, and the crowd on the other core.
//!
//! Connections are taken in as the others take them, so that it has the same crowd. After that it only writes: it sends no
//! pings and reads nothing, and a connection that cannot take the bytes at once would hold up all that come after it.

use std::io::{BufRead as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use parking_lot::Mutex;
use serde_json::json;
use tungstenite::{Message, WebSocket};

/// Each takes in one client at a time.
const GREETERS: usize = 4;
/// Of a client that stops in the middle of being taken in.
const READ_TIMEOUT: Duration = Duration::from_secs(10);
/// Longer than any run, as it never pings.
const PING_INTERVAL_MS: u32 = 3_600_000;

type Watching = Arc<Mutex<Vec<TcpStream>>>;

/// Serves until the standard input ends; prints its address first.
pub(crate) fn serve() -> anyhow::Result<()> {
    let listener = Arc::new(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?);
    println!("{}", listener.local_addr()?);
    let watching = Watching::default();
    for _ in 0..GREETERS {
        let (listener, watching) = (listener.clone(), watching.clone());
        thread::spawn(move || greet(&listener, &watching));
    }
    for order in std::io::stdin().lock().lines() {
        let frame = text_frame(&format!(r#"42["sale",{}]"#, order?))?;
        for mut stream in &*watching.lock() {
            // Whom it does not reach has gone; the generator counts who heard.
            let _gone = stream.write_all(&frame);
        }
    }
    Ok(())
}

fn greet(listener: &TcpListener, watching: &Watching) {
    for stream in listener.incoming() {
        match stream.map_err(Into::into).and_then(take_in) {
            Ok(stream) => watching.lock().push(stream),
            Err(error) => eprintln!("bare: a client was not taken in: {error:#}"),
        }
    }
}

/// Until the client watches.
fn take_in(stream: TcpStream) -> anyhow::Result<TcpStream> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(READ_TIMEOUT))?;
    let copy = stream.try_clone()?;
    let mut socket = tungstenite::accept(stream)?;
    let settings = json!({
        "sid": "bare", "upgrades": [], "pingInterval": PING_INTERVAL_MS, "pingTimeout": PING_INTERVAL_MS,
        "maxPayload": 1_000,
    });
    socket.send(Message::text(format!("0{settings}")))?;
    let join = read_text(&mut socket)?;
    ensure!(join.starts_with("40"), "asked to be told {join:?} before it joined");
    socket.send(Message::text(r#"40{"sid":"bare"}"#))?;
    let question = read_text(&mut socket)?;
    let ack = question.strip_prefix("42").and_then(|rest| rest.split_once("[\"watch\""));
    let (number, _) = ack.with_context(|| format!("asked {question:?} and not to watch"))?;
    socket.send(Message::text(format!(r#"43{number}[{{"sale":"1","state":"scheduled"}}]"#)))?;
    Ok(copy)
}

fn read_text(socket: &mut WebSocket<TcpStream>) -> anyhow::Result<String> {
    Ok(socket.read()?.into_text()?.to_string())
}

/// A final text frame of a server, RFC 6455, section 5.2.
fn text_frame(text: &str) -> anyhow::Result<Vec<u8>> {
    let len = u16::try_from(text.len()).context("an order is short")?;
    let mut frame = vec![0x81];
    match u8::try_from(len) {
        Ok(short) if short < 126 => frame.push(short),
        _ => {
            frame.push(126);
            frame.extend(len.to_be_bytes());
        }
    }
    frame.extend(text.as_bytes());
    Ok(frame)
}
