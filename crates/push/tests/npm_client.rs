//! The real npm `socket.io-client` against a server of this crate, on each of its transports.
//!
//! What the client expects is in `npm/client.test.js`; here is the server that it speaks to. Needs Node.js and npm.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

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

#[test]
fn the_npm_client_works_on_each_of_its_transports() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/npm");
    if !directory.join("node_modules").exists() {
        let installed = Command::new("npm").arg("ci").current_dir(&directory).status();
        assert!(installed.expect("npm is installed").success(), "npm ci");
    }
    let config = Config {
        reactors: 2,
        namespaces: vec!["/".to_owned(), "/custom".to_owned()],
        ping_interval: Duration::from_millis(300),
        cors_origin: CorsOrigin::Any,
        ..Config::default()
    };
    let server = Server::start(config, Arc::<Obedient>::default()).unwrap();
    let listeners = serving::bind("127.0.0.1:0").unwrap();
    let address = listeners[0].local_addr().unwrap();
    let routes = vec![("/socket.io/", server.clone())];
    std::thread::spawn(move || serving::serve(listeners, routes));

    let tested = Command::new("node")
        .args(["--test", "--test-force-exit", "--test-reporter=spec", "client.test.js"])
        .env("SERVER_URL", format!("http://{address}"))
        .current_dir(&directory)
        .output()
        .expect("node is installed");
    assert!(tested.status.success(), "{}", String::from_utf8_lossy(&tested.stdout));
    server.shut_down();
    assert_eq!(server.counts().sockets, 0);
}
