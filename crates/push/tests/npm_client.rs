//! The real npm `socket.io-client` against a server of this crate, on each of its transports.
//!
//! What the client expects is in `npm/`; here are the servers that it speaks to. Needs Node.js and npm.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use miaosha_push::{
    Ack, Admission, Application, ClientAck, ClientEvent, Config, ConnectRequest, CorsOrigin, Server, SocketId,
};
use serde_json::value::RawValue;

#[path = "../examples/serving/mod.rs"]
mod serving;

/// Does what the client's tests ask for by the names of their events.
#[derive(Default)]
struct Obedient {
    auths: Mutex<Vec<(SocketId, String)>>,
    /// Questions that were passed on to their own askers.
    asked: Mutex<Vec<Ack>>,
}

impl Application for Obedient {
    fn connect(&self, server: &Server, request: &ConnectRequest<'_>) -> Admission {
        let auth = request.auth.map_or("{}", RawValue::get).to_owned();
        if auth.contains("nobody") {
            // The answer comes later and from elsewhere, as it would from a database.
            server.refuse(request.socket, r#"{"message":"unauthenticated"}"#);
            return Admission::Later;
        }
        self.auths.lock().unwrap().push((request.socket, auth));
        server.accept(request.socket, Some(1));
        Admission::Later
    }

    fn event(&self, server: &Server, event: &ClientEvent<'_>) {
        let arguments: Vec<&str> = event.arguments.iter().map(|json| json.get()).collect();
        let text = |index: usize| serde_json::from_str::<String>(arguments[index]).unwrap();
        match (event.name, event.ack) {
            ("who", Some(ack)) => {
                let auths = self.auths.lock().unwrap();
                let auth = auths.iter().find(|(socket, _)| *socket == event.socket);
                server.acknowledge(ack, &[&auth.unwrap().1]);
            }
            ("echo", Some(ack)) => {
                // One argument, the list of those sent: the client's emitWithAck gives only the first.
                server.acknowledge_binary(ack, &[&format!("[{}]", arguments.join(","))], event.attachments);
            }
            ("ask me", Some(ack)) => {
                let mut asked = self.asked.lock().unwrap();
                server.emit_with_ack(event.socket, "question", &arguments, asked.len() as u64);
                asked.push(ack);
            }
            ("join", Some(ack)) => {
                server.join(event.socket, &text(0));
                server.acknowledge(ack, &[]);
            }
            ("leave", Some(ack)) => {
                server.leave(event.socket, &text(0));
                server.acknowledge(ack, &[]);
            }
            ("tell", Some(ack)) => {
                server.room("/", &text(0)).emit("news", &arguments[1..]);
                server.acknowledge(ack, &[]);
            }
            ("count to", Some(ack)) => {
                for number in 0..arguments[0].parse::<u32>().unwrap() {
                    server.emit(event.socket, "count", &[&number.to_string()]);
                }
                server.acknowledge(ack, &[]);
            }
            ("remove me", None) => server.disconnect(event.socket, true),
            (name, _) => panic!("nobody asks for {name}"),
        }
    }

    fn acknowledged(&self, server: &Server, acknowledgement: &ClientAck<'_>) {
        let asked = self.asked.lock().unwrap();
        let ack = asked[usize::try_from(acknowledgement.ack_id).unwrap()];
        let answers: Vec<&str> = acknowledgement.arguments.iter().map(|json| json.get()).collect();
        server.acknowledge(ack, &[&format!("[{}]", answers.join(","))]);
    }
}

/// Says which server it is; asked to drain, has new connections brought to the other first.
struct Draining {
    relay: Relay,
    other: SocketAddr,
}

impl Application for Draining {
    fn connect(&self, _server: &Server, _request: &ConnectRequest<'_>) -> Admission {
        Admission::Accept { tag: None }
    }

    fn event(&self, server: &Server, event: &ClientEvent<'_>) {
        match (event.name, event.ack) {
            ("where", Some(ack)) => server.acknowledge(ack, &[&server.config().node.to_string()]),
            ("drain", None) => {
                *self.relay.target.lock().unwrap() = self.other;
                server.drain(Duration::from_millis(event.arguments[0].get().parse().unwrap()));
            }
            (name, _) => panic!("nobody asks for {name}"),
        }
    }
}

/// Brings each new session to where the target is then, and a request of a session of the first target to that one, as a
/// load balancer does that reads the names of sessions.
#[derive(Clone)]
struct Relay {
    address: SocketAddr,
    target: Arc<Mutex<SocketAddr>>,
}

impl Relay {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let relay = Self { address, target: Arc::new(Mutex::new(address)) };
        let target = relay.target.clone();
        std::thread::spawn(move || {
            let mut first = None;
            for client in listener.incoming() {
                let client = client.unwrap();
                let mut head = [0; 1_024];
                let length = client.peek(&mut head).unwrap();
                let is_of_first = String::from_utf8_lossy(&head[..length]).contains("sid=1-");
                let target = *target.lock().unwrap();
                let first = *first.get_or_insert(target);
                let server = TcpStream::connect(if is_of_first { first } else { target }).unwrap();
                for (from, to) in [(&client, &server), (&server, &client)] {
                    let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    std::thread::spawn(move || carry(from, &to));
                }
            }
        });
        relay
    }
}

/// Carries bytes one way until either end is gone.
fn carry(mut from: TcpStream, mut to: &TcpStream) {
    // Either end may break off at any time; that is the end here.
    let _broken = std::io::copy(&mut from, &mut to);
    let _gone = to.shutdown(std::net::Shutdown::Write);
}

/// Runs a file of the client's tests against this address.
fn run_client(tests: &str, server: SocketAddr) {
    static INSTALLING: Mutex<()> = Mutex::new(());
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/npm");
    let installing = INSTALLING.lock().unwrap();
    if !directory.join("node_modules").exists() {
        let installed = Command::new("npm").arg("ci").current_dir(&directory).status();
        assert!(installed.expect("npm is installed").success(), "npm ci");
    }
    drop(installing);
    let tested = Command::new("node")
        .args(["--test", "--test-force-exit", "--test-reporter=spec", tests])
        .env("SERVER_URL", format!("http://{server}"))
        .current_dir(&directory)
        .output()
        .expect("node is installed");
    assert!(tested.status.success(), "{}", String::from_utf8_lossy(&tested.stdout));
}

/// Serves a Socket.IO server on a free port until the process ends.
fn serve(server: &Server) -> SocketAddr {
    let listeners = serving::bind("127.0.0.1:0").unwrap();
    let address = listeners[0].local_addr().unwrap();
    let routes = vec![("/socket.io/", server.clone())];
    std::thread::spawn(move || serving::serve(listeners, routes));
    address
}

#[test]
fn the_npm_client_works_on_each_of_its_transports() {
    let config = Config {
        reactors: 2,
        namespaces: vec!["/".to_owned(), "/custom".to_owned()],
        ping_interval: Duration::from_millis(300),
        cors_origin: CorsOrigin::Any,
        ..Config::default()
    };
    let server = Server::start(config, Arc::<Obedient>::default()).unwrap();
    run_client("client.test.js", serve(&server));
    server.shut_down();
    assert_eq!(server.counts().sockets, 0);
}

#[test]
fn the_npm_client_moves_to_another_server_when_its_own_drains() {
    let relay = Relay::start();
    let start = |node, other| {
        let application = Draining { relay: relay.clone(), other };
        Server::start(Config { node, ..Config::default() }, Arc::new(application)).unwrap()
    };
    let second = start(2, relay.address);
    let second_address = serve(&second);
    let first = start(1, second_address);
    *relay.target.lock().unwrap() = serve(&first);
    run_client("drain.test.js", relay.address);
    assert_eq!(first.counts().sockets, 0);
    for server in [first, second] {
        server.shut_down();
    }
}
