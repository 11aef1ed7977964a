//! The other end of the wire: plain HTTP/1 requests, and messages through a known codec. Nothing here waits for a time;
//! everything that is waited for has a deadline that only a defect reaches.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use miaosha_push::Server;
use serde_json::Value;
use tungstenite::{Message, WebSocket};

use crate::{echo, serving};

/// After this a state that has not come is a failure.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// A conformance server of one test.
pub(crate) struct Site {
    pub(crate) address: SocketAddr,
    pub(crate) sessions: Server,
    pub(crate) sockets: Server,
}

/// The answer to a request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

/// A request that has been sent and not answered.
pub(crate) struct Pending(TcpStream);

/// A WebSocket to the server.
pub(crate) struct Socket(pub(crate) WebSocket<TcpStream>);

impl Site {
    pub(crate) fn start() -> Self {
        let (sessions, sockets) = echo::start().unwrap();
        Self::of(sessions, sockets)
    }

    /// The same for servers that the test has started.
    pub(crate) fn of(sessions: Server, sockets: Server) -> Self {
        let listeners = serving::bind("127.0.0.1:0").unwrap();
        let address = listeners[0].local_addr().unwrap();
        let routes = vec![("/engine.io/", sessions.clone()), ("/socket.io/", sockets.clone())];
        std::thread::spawn(move || serving::serve(listeners, routes));
        Self { address, sessions, sockets }
    }

    pub(crate) fn begin(&self, method: &str, target: &str, headers: &str, body: &str) -> Pending {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        let length = body.len();
        write!(
            stream,
            "{method} {target} HTTP/1.1\r\nhost: test\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n{body}"
        )
        .unwrap();
        Pending(stream)
    }

    pub(crate) fn get(&self, target: &str) -> Answer {
        self.begin("GET", target, "", "").finish()
    }

    pub(crate) fn post(&self, target: &str, body: &str) -> Answer {
        self.begin("POST", target, "", body).finish()
    }

    /// Opens a session by long-polling; the target of its further requests.
    pub(crate) fn open_polling(&self, path: &str) -> String {
        let answer = self.get(&format!("{path}?EIO=4&transport=polling"));
        let handshake: Value = serde_json::from_str(answer.body.strip_prefix('0').unwrap()).unwrap();
        format!("{path}?EIO=4&transport=polling&sid={}", handshake["sid"].as_str().unwrap())
    }

    /// Opens a WebSocket; the HTTP status if it is refused.
    pub(crate) fn try_websocket(&self, target: &str) -> Result<Socket, u16> {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        match tungstenite::client(format!("ws://{}{target}", self.address), stream) {
            Ok((socket, _)) => Ok(Socket(socket)),
            Err(tungstenite::HandshakeError::Failure(tungstenite::Error::Http(response))) => {
                Err(response.status().as_u16())
            }
            Err(error) => panic!("no answer to an upgrade request: {error}"),
        }
    }

    pub(crate) fn websocket(&self, target: &str) -> Socket {
        self.try_websocket(target).unwrap_or_else(|status| panic!("{target} is refused with {status}"))
    }

    /// Opens a session on a WebSocket and reads its open packet.
    pub(crate) fn open_websocket(&self, path: &str) -> Socket {
        let mut socket = self.websocket(&format!("{path}?EIO=4&transport=websocket"));
        assert!(socket.text().starts_with('0'));
        socket
    }

    /// Opens a session on a WebSocket and joins the main namespace.
    pub(crate) fn join(&self) -> Socket {
        let mut socket = self.open_websocket("/socket.io/");
        socket.send("40");
        assert!(socket.text().starts_with("40"));
        assert_eq!(socket.text(), r#"42["auth",{}]"#);
        socket
    }
}

impl Pending {
    pub(crate) fn finish(mut self) -> Answer {
        let mut text = String::new();
        self.0.read_to_string(&mut text).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Answer { status, head: head.to_ascii_lowercase(), body: body.to_owned() }
    }
}

impl Socket {
    pub(crate) fn send(&mut self, text: &str) {
        self.0.send(Message::text(text)).unwrap();
    }

    /// Sends to a server that may have closed.
    pub(crate) fn try_send(&mut self, text: &str) -> tungstenite::Result<()> {
        self.0.send(Message::text(text))
    }

    pub(crate) fn send_binary(&mut self, bytes: &[u8]) {
        self.0.send(Message::binary(bytes.to_vec())).unwrap();
    }

    /// The next message.
    pub(crate) fn message(&mut self) -> Message {
        self.0.read().unwrap()
    }

    /// The next message, which is text.
    pub(crate) fn text(&mut self) -> String {
        match self.message() {
            Message::Text(text) => text.to_string(),
            other => panic!("{other:?} is not text"),
        }
    }

    /// The next message but pings.
    pub(crate) fn message_but_pings(&mut self) -> Message {
        loop {
            let message = self.message();
            if message != Message::text("2") {
                return message;
            }
        }
    }

    /// Reads until the server closes.
    pub(crate) fn expect_close(&mut self) {
        let start = Instant::now();
        loop {
            match self.0.read() {
                Ok(_) => assert!(start.elapsed() < DEADLINE, "the server goes on and on"),
                Err(tungstenite::Error::Io(error)) => {
                    let is_open = matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut);
                    assert!(!is_open, "the server neither closes nor says anything");
                    return;
                }
                Err(_) => return,
            }
        }
    }

    /// Sends what makes the server close, which it may do before all of it is written.
    pub(crate) fn expect_close_by(&mut self, bytes: &[u8]) {
        if self.0.send(Message::binary(bytes.to_vec())).is_ok() {
            self.expect_close();
        }
    }
}

/// Waits until `state` holds.
pub(crate) fn wait_until(what: &str, state: impl Fn() -> bool) {
    let start = Instant::now();
    while !state() {
        assert!(start.elapsed() < DEADLINE, "{what}: has not come");
        std::thread::yield_now();
    }
}
