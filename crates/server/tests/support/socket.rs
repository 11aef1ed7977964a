//! A Socket.IO client on WebSocket that understands as much as a test needs.

use std::io;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use serde_json::{Value, json};
use tungstenite::{Message, WebSocket};

/// The handshakes take no longer than this.
const CONNECTED_WITHIN: Duration = Duration::from_secs(10);
/// Of the one question that a socket may wait for an answer to.
const WATCH: &str = "0";

/// A connected socket of somebody who is signed in.
pub(crate) struct Socket {
    stream: WebSocket<TcpStream>,
}

/// What a site says on a socket.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Said {
    /// An event and its argument.
    Event(String, Value),
    /// The answer to [`Socket::watch`].
    Watching(Value),
}

impl Socket {
    /// Connects to the site at `base`, such as `http://127.0.0.1:40123`.
    pub(crate) fn connect(base: &str, token: &str) -> anyhow::Result<Self> {
        let address = base.trim_start_matches("http://");
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(CONNECTED_WITHIN))?;
        stream.set_nodelay(true)?;
        let url = format!("ws://{address}/socket.io/?EIO=4&transport=websocket");
        let (stream, _) =
            tungstenite::client(url, stream).map_err(|refused| anyhow::anyhow!("no WebSocket: {refused}"))?;
        let mut socket = Self { stream };
        socket.send(&format!("40{}", json!({ "token": token })))?;
        loop {
            let packet = socket.read()?.context("the site does not greet")?;
            match packet.get(..2) {
                Some("40") => return Ok(socket),
                Some("44") => bail!("the site refuses the socket: {packet}"),
                _ => {}
            }
        }
    }

    /// Asks to watch a sale.
    pub(crate) fn watch(&mut self, sale: &str) -> anyhow::Result<()> {
        self.send(&format!("42{WATCH}{}", json!(["watch", { "sale": sale }])))
    }

    /// What the site says next, `None` if that is nothing within `patience`. An error if it hangs up. Answers pings meanwhile.
    pub(crate) fn next(&mut self, patience: Duration) -> anyhow::Result<Option<Said>> {
        let deadline = Instant::now() + patience;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            self.stream.get_ref().set_read_timeout(Some(left))?;
            let Some(packet) = self.read()? else { return Ok(None) };
            if packet == "2" {
                self.send("3")?;
            } else if let Some(event) = packet.strip_prefix("42") {
                let (name, argument) = serde_json::from_str(event)?;
                return Ok(Some(Said::Event(name, argument)));
            } else if let Some(answer) = packet.strip_prefix("43").and_then(|text| text.strip_prefix(WATCH)) {
                let [answer] = serde_json::from_str(answer)?;
                return Ok(Some(Said::Watching(answer)));
            }
        }
    }

    fn send(&mut self, packet: &str) -> anyhow::Result<()> {
        Ok(self.stream.send(Message::text(packet))?)
    }

    /// The next packet, `None` if the stream's patience is at its end.
    fn read(&mut self) -> anyhow::Result<Option<String>> {
        loop {
            match self.stream.read() {
                Ok(Message::Text(text)) => return Ok(Some(text.to_string())),
                Ok(Message::Close(_)) => bail!("the site closed the socket"),
                Ok(_) => {}
                Err(tungstenite::Error::Io(error))
                    if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) =>
                {
                    return Ok(None);
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
}
