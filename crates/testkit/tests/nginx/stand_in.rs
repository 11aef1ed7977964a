//! A tiny HTTP server in the place of a process of the fleet, and a tiny client.

use std::io::{self, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;

use parking_lot::Mutex;
use socket2::{Domain, Socket, Type};

/// Answers every request with its own name, and remembers what it got.
pub(crate) struct StandIn {
    pub(crate) address: SocketAddr,
    seen: Arc<Seen>,
}

#[derive(Default)]
struct Seen {
    connections: AtomicUsize,
    requests: Mutex<Vec<Message>>,
}

/// Where nobody listens, and nobody else can.
pub(crate) struct Nowhere {
    pub(crate) address: SocketAddr,
    socket: Socket,
}

/// What a stand-in does with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    /// 200 with its name; an upgrade gets 101, and then all bytes back.
    Answers,
    /// Reads it and hangs up, like a process that is killed at that moment.
    HangsUp,
}

/// A request or an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Message {
    /// Such as `GET / HTTP/1.1` or `HTTP/1.1 200 OK`.
    pub(crate) first_line: String,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl StandIn {
    pub(crate) fn start(name: &'static str, manner: Manner) -> Self {
        Nowhere::new().come_alive(name, manner)
    }

    fn on(listener: TcpListener, name: &'static str, manner: Manner) -> Self {
        let stand_in = Self { address: listener.local_addr().unwrap(), seen: Arc::default() };
        let seen = Arc::clone(&stand_in.seen);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                seen.connections.fetch_add(1, Relaxed);
                let (stream, seen) = (stream.unwrap(), Arc::clone(&seen));
                std::thread::spawn(move || serve(&stream, name, manner, &seen.requests));
            }
        });
        stand_in
    }

    /// What it got so far.
    pub(crate) fn requests(&self) -> Vec<Message> {
        self.seen.requests.lock().clone()
    }

    /// Connections taken so far.
    pub(crate) fn connections(&self) -> usize {
        self.seen.connections.load(Relaxed)
    }
}

impl Nowhere {
    pub(crate) fn new() -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
        Self { address: socket.local_addr().unwrap().as_socket().unwrap(), socket }
    }

    pub(crate) fn come_alive(self, name: &'static str, manner: Manner) -> StandIn {
        self.socket.listen(128).unwrap();
        StandIn::on(self.socket.into(), name, manner)
    }
}

impl Message {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(header, _)| header == name).map(|(_, value)| value.as_str())
    }

    /// Of an answer.
    pub(crate) fn status(&self) -> u16 {
        self.first_line.split(' ').nth(1).unwrap().parse().unwrap()
    }

    /// The stable code of a problem.
    pub(crate) fn code(&self) -> String {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        let body: serde_json::Value = serde_json::from_str(&self.body).unwrap();
        assert_eq!(body["status"], self.status());
        body["code"].as_str().unwrap().to_owned()
    }

    /// The next one on a connection; `None` at its end.
    fn read(from: &mut impl io::BufRead) -> io::Result<Option<Self>> {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            if from.read_line(&mut line)? == 0 {
                return Ok(None);
            }
            match line.trim_end() {
                "" => break,
                line => lines.push(line.to_owned()),
            }
        }
        let headers: Vec<(String, String)> = lines
            .iter()
            .skip(1)
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
            .collect();
        let mut message = Self { first_line: lines.swap_remove(0), headers, body: String::new() };
        let len = message.header("content-length").map_or(0, |len| len.parse().unwrap());
        from.take(len).read_to_string(&mut message.body)?;
        Ok(Some(message))
    }
}

/// Asks on a connection of its own.
pub(crate) fn call(address: SocketAddr, method: &str, path: &str, body: &str) -> Message {
    call_with(address, method, path, "", body)
}

/// The same with further header lines, each with its `\r\n`.
pub(crate) fn call_with(address: SocketAddr, method: &str, path: &str, headers: &str, body: &str) -> Message {
    receive(&send(address, method, path, headers, body))
}

/// The same from an address of one's own.
pub(crate) fn call_from(source: Ipv4Addr, address: SocketAddr, method: &str, path: &str) -> Message {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((source, 0)).into()).unwrap();
    socket.connect(&address.into()).unwrap();
    receive(&write(socket.into(), method, path, "", ""))
}

/// Sends a request, and leaves the answer to the caller.
pub(crate) fn send(address: SocketAddr, method: &str, path: &str, headers: &str, body: &str) -> TcpStream {
    write(TcpStream::connect(address).unwrap(), method, path, headers, body)
}

/// Sends as many requests for `path` at once, on a connection that is kept, and leaves the answers to the caller.
pub(crate) fn send_many(address: SocketAddr, path: &str, count: usize) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: shop.example\r\n\r\n");
    stream.write_all(request.repeat(count).as_bytes()).unwrap();
    stream
}

/// Announces a body and keeps it back: the request is under way until the server gives up. The answer to expect is 100.
pub(crate) fn keep_back(address: SocketAddr, path: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    let headers = "Host: shop.example\r\nContent-Length: 1\r\nExpect: 100-continue\r\n";
    stream.write_all(format!("POST {path} HTTP/1.1\r\n{headers}\r\n").as_bytes()).unwrap();
    stream
}

/// The answer on a connection on which one is due.
pub(crate) fn receive(stream: &TcpStream) -> Message {
    receive_many(stream, 1).remove(0)
}

/// The answers on a connection on which as many are due.
pub(crate) fn receive_many(stream: &TcpStream, count: usize) -> Vec<Message> {
    let mut reader = BufReader::new(stream);
    (0..count).map(|_| Message::read(&mut reader).unwrap().expect("an answer")).collect()
}

fn write(mut stream: TcpStream, method: &str, path: &str, headers: &str, body: &str) -> TcpStream {
    let len = body.len();
    let head =
        format!("{method} {path} HTTP/1.1\r\nHost: shop.example\r\n{headers}Content-Length: {len}\r\n\r\n");
    // A server that refuses early need not read it all.
    drop(stream.write_all((head + body).as_bytes()));
    stream
}

fn serve(stream: &TcpStream, name: &str, manner: Manner, seen: &Mutex<Vec<Message>>) -> io::Result<()> {
    let (mut reader, mut writer) = (BufReader::new(stream), stream);
    while let Some(request) = Message::read(&mut reader)? {
        let is_upgrade = request.header("upgrade").is_some();
        let is_last = request.header("connection") == Some("close");
        seen.lock().push(request);
        if manner == Manner::HangsUp {
            return Ok(());
        }
        if is_upgrade {
            writer.write_all(
                b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
            )?;
            io::copy(&mut reader, &mut writer)?;
            return Ok(());
        }
        let len = name.len();
        writer.write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: {len}\r\n\r\n{name}").as_bytes())?;
        if is_last {
            return Ok(());
        }
    }
    Ok(())
}
