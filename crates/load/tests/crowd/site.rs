//! A small site on a free port of this machine: Socket.IO through a known codec, and HTTP answers as a test wants them.
//!
//! It knows of the contract what its users here need, and each person by its token.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;
use tungstenite::{Message, WebSocket};

/// How often a socket's thread looks for what is to be said.
const TURN: Duration = Duration::from_millis(5);

/// A site that serves until the test's process ends.
#[derive(Clone)]
pub(crate) struct Site {
    pub(crate) address: SocketAddr,
    sockets: Arc<Mutex<Vec<Watcher>>>,
    pongs: Arc<AtomicUsize>,
    connections: Arc<AtomicUsize>,
    answer: Arc<Answer>,
}

/// A socket that has watched a sale.
struct Watcher {
    /// Its person's.
    token: String,
    sale: String,
    /// What is to be said to it.
    words: Sender<Message>,
}

/// From a person's token (empty if there is none) and the head and body of a request to an HTTP status and a body.
/// A request for a WebSocket goes through if the status is 101.
type Answer = dyn Fn(&Site, &str, &str) -> (u16, String) + Send + Sync;

impl Site {
    pub(crate) fn start(answer: impl Fn(&Self, &str, &str) -> (u16, String) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let site = Self {
            address,
            sockets: Arc::default(),
            pongs: Arc::default(),
            connections: Arc::default(),
            answer: Arc::new(answer),
        };
        let serving = site.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (site, stream) = (serving.clone(), stream.unwrap());
                thread::spawn(move || site.serve(stream));
            }
        });
        site
    }

    /// Says it to the sockets of that person, or to all if there is no token.
    pub(crate) fn say(&self, token: Option<&str>, text: &str) {
        for socket in &*self.sockets.lock().unwrap() {
            if token.is_none_or(|token| token == socket.token) {
                // It may have gone.
                let _ = socket.words.send(Message::text(text));
            }
        }
    }

    /// How many sockets have watched a sale.
    pub(crate) fn watching(&self) -> usize {
        self.sockets.lock().unwrap().len()
    }

    /// What they have watched, in order.
    pub(crate) fn sales(&self) -> Vec<String> {
        let mut sales: Vec<_> =
            self.sockets.lock().unwrap().iter().map(|socket| socket.sale.clone()).collect();
        sales.sort_unstable();
        sales
    }

    /// How many pings were answered.
    pub(crate) fn pongs(&self) -> usize {
        self.pongs.load(Ordering::Relaxed)
    }

    /// How many connections have come to speak HTTP and nothing else.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// Closes the first so many sockets that watch.
    pub(crate) fn close(&self, count: usize) {
        for socket in self.sockets.lock().unwrap().iter().take(count) {
            let _ = socket.words.send(Message::Close(None));
        }
    }

    fn serve(&self, mut stream: TcpStream) {
        let mut head = [0; 2048];
        let len = stream.peek(&mut head).unwrap_or(0);
        if head[..len].starts_with(b"GET /socket.io/") {
            match (self.answer)(self, "", "GET /socket.io/") {
                (101, _) => self.serve_socket(tungstenite::accept(stream).unwrap()),
                (status, body) => write_answer(&mut stream, status, &body),
            }
            return;
        }
        self.connections.fetch_add(1, Ordering::Relaxed);
        let mut received = Vec::new();
        let mut buffer = [0; 4096];
        loop {
            let len = stream.read(&mut buffer).unwrap_or(0);
            if len == 0 {
                return;
            }
            received.extend_from_slice(&buffer[..len]);
            let text = String::from_utf8(received.clone()).unwrap();
            let is_whole =
                if text.starts_with("POST") { text.ends_with('}') } else { text.ends_with("\r\n\r\n") };
            if is_whole {
                received.clear();
                let token = text.split("Bearer ").nth(1).and_then(|rest| rest.split('\r').next());
                let (status, body) = (self.answer)(self, token.unwrap_or_default(), &text);
                write_answer(&mut stream, status, &body);
            }
        }
    }

    fn serve_socket(&self, mut socket: WebSocket<TcpStream>) {
        socket
            .send(Message::text(r#"0{"sid":"0-a","upgrades":[],"pingInterval":25000,"pingTimeout":20000}"#))
            .unwrap();
        let joined = socket.read().unwrap().into_text().unwrap().to_string();
        let auth = joined.strip_prefix("40").unwrap();
        let auth: serde_json::Value = serde_json::from_str(auth).unwrap_or_default();
        let token = auth["token"].as_str().unwrap_or_default().to_owned();
        if token == "forged" {
            socket.send(Message::text(r#"44{"message":"unauthenticated"}"#)).unwrap();
            return;
        }
        socket.send(Message::text(r#"40{"sid":"b"}"#)).unwrap();
        socket.send(Message::text(r#"42["clock",{"now":"2027-01-15T14:00:00.000Z","sales":[]}]"#)).unwrap();
        let watch = socket.read().unwrap().into_text().unwrap().to_string();
        let sale =
            watch.strip_prefix(r#"420["watch",{"sale":""#).and_then(|rest| rest.strip_suffix(r#""}]"#));
        let sale = sale.unwrap().to_owned();
        let scheduled = format!(r#"430[{{"sale":"{sale}","state":"scheduled"}}]"#);
        let (sender, words) = channel();
        self.sockets.lock().unwrap().push(Watcher { token, sale, words: sender });
        socket.send(Message::text(scheduled)).unwrap();
        socket.get_ref().set_read_timeout(Some(TURN)).unwrap();
        loop {
            while let Ok(word) = words.try_recv() {
                if socket.send(word).is_err() {
                    return;
                }
            }
            match socket.read() {
                Ok(message) => {
                    assert_eq!(message, Message::text("3"), "only pongs are expected");
                    self.pongs.fetch_add(1, Ordering::Relaxed);
                }
                Err(tungstenite::Error::Io(error)) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(_) => return,
            }
        }
    }
}

fn write_answer(stream: &mut TcpStream, status: u16, body: &str) {
    let answer = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    // The run may have ended.
    let _ = stream.write_all(answer.as_bytes());
}
