//! Many clients in one thread: each signs in, watches a room, answers pings, and listens.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use mio::{Events, Interest, Poll, Token};

/// The clients of this process.
pub(crate) struct Crowd {
    poll: Poll,
    streams: Vec<mio::net::TcpStream>,
    /// How many have not heard the broadcast that is under way.
    waiting: usize,
}

const UPGRADE: &str = "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nhost: idle\r\n\
    connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
    sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\norigin: http://idle.example\r\n\
    user-agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko)\r\n\r\n";
/// The beginning of the message that is broadcast.
const BROADCAST: &[u8] = br#"42["sale","#;
const PONG: &str = "3";

impl Crowd {
    /// Connects `count` clients one after the other.
    pub(crate) fn connect(address: SocketAddr, count: usize) -> io::Result<Self> {
        let poll = Poll::new()?;
        let mut streams = Vec::with_capacity(count);
        for index in 0..count {
            let mut stream = sign_in(address, index)?;
            let interest = Interest::READABLE;
            poll.registry().register(&mut stream, Token(index), interest)?;
            streams.push(stream);
        }
        Ok(Self { poll, streams, waiting: 0 })
    }

    /// Answers pings for this long.
    pub(crate) fn idle(&mut self, span: Duration) -> io::Result<()> {
        let end = Instant::now() + span;
        while let Some(left) = end.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
            self.turn(left)?;
        }
        Ok(())
    }

    /// Returns once every client has heard a broadcast.
    pub(crate) fn hear_broadcast(&mut self) -> io::Result<()> {
        self.waiting = self.streams.len();
        while self.waiting > 0 {
            self.turn(Duration::from_secs(1))?;
        }
        Ok(())
    }

    fn turn(&mut self, timeout: Duration) -> io::Result<()> {
        let mut events = Events::with_capacity(1024);
        self.poll.poll(&mut events, Some(timeout))?;
        let mut buffer = [0; 4096];
        for event in &events {
            let stream = &mut self.streams[event.token().0];
            let length = match stream.read(&mut buffer) {
                Ok(0) => return Err(io::Error::other("the server has closed a connection")),
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                Err(error) => return Err(error),
            };
            // Small frames on loopback come whole.
            let mut rest = &buffer[..length];
            while let [_, payload_length, tail @ ..] = rest {
                let (payload, tail) = tail.split_at(usize::from(*payload_length));
                if payload == b"2" {
                    stream.write_all(&masked(PONG))?;
                } else if payload.starts_with(BROADCAST) {
                    self.waiting = self.waiting.saturating_sub(1);
                }
                rest = tail;
            }
        }
        Ok(())
    }
}

/// Opens a connection, joins the main namespace as user `index`, and watches the room.
fn sign_in(address: SocketAddr, index: usize) -> io::Result<mio::net::TcpStream> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.write_all(UPGRADE.as_bytes())?;
    expect(&mut stream, b"\"pingInterval\"")?;
    stream.write_all(&masked(&format!(r#"40{{"token":{index}}}"#)))?;
    expect(&mut stream, b"\"clock\"")?;
    stream.write_all(&masked(r#"421["watch",{"sale":"1"}]"#))?;
    expect(&mut stream, b"431[")?;
    stream.set_nonblocking(true)?;
    Ok(mio::net::TcpStream::from_std(stream))
}

fn expect(stream: &mut TcpStream, sign: &[u8]) -> io::Result<()> {
    let mut heard = Vec::new();
    let mut buffer = [0; 1024];
    while !heard.windows(sign.len()).any(|window| window == sign) {
        let length = stream.read(&mut buffer)?;
        if length == 0 {
            return Err(io::Error::other(String::from_utf8_lossy(&heard)));
        }
        heard.extend_from_slice(&buffer[..length]);
    }
    Ok(())
}

/// A client's text frame with a mask of zeros.
fn masked(text: &str) -> Vec<u8> {
    let length = u8::try_from(text.len()).expect("the texts here are short");
    let mut frame = vec![0x81, 0x80 | length, 0, 0, 0, 0];
    frame.extend_from_slice(text.as_bytes());
    frame
}
