//! What the official protocol test suites expect of a server: echoes of everything, quick heart-beats.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use miaosha_push::engine::application::{Message, SessionApplication};
use miaosha_push::engine::session_id::SessionId;
use miaosha_push::{
    Admission, Application, ClientEvent, Config, ConnectRequest, CorsOrigin, Server, SocketId,
};

/// Sends every message back.
struct EchoSessions;

impl SessionApplication for EchoSessions {
    fn message(&self, server: &Server, session: SessionId, message: Message<'_>) {
        server.send(session, message);
    }
}

/// How long after the answer to a connect packet the `auth` event follows.
///
/// The Socket.IO suite listens for one message at a time, and Node's `ws` hands out all messages of one read at once: an
/// event that is read together with the answer before it is lost to the suite. The pause keeps the two apart.
const AUTH_DELAY: Duration = Duration::from_millis(20);

/// Shows the auth payload, sends events back, and acknowledges.
struct EchoSockets {
    auths: Sender<(Instant, SocketId, String)>,
}

impl EchoSockets {
    /// Shows each auth payload when its time has come.
    fn show_auths(server: &Server, auths: &Receiver<(Instant, SocketId, String)>) {
        for (due, socket, auth) in auths {
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            server.emit(socket, "auth", &[&auth]);
        }
    }
}

impl Application for EchoSockets {
    fn connect(&self, _server: &Server, request: &ConnectRequest<'_>) -> Admission {
        let auth = request.auth.map_or("{}", |auth| auth.get()).to_owned();
        let shown = self.auths.send((Instant::now() + AUTH_DELAY, request.socket, auth));
        shown.expect("the thread that shows them lives as long as the server");
        Admission::Accept { tag: None }
    }

    fn event(&self, server: &Server, event: &ClientEvent<'_>) {
        let arguments: Vec<&str> = event.arguments.iter().map(|json| json.get()).collect();
        match (event.name, event.ack) {
            ("message", _) => {
                server.socket(event.socket).emit_binary("message-back", &arguments, event.attachments);
            }
            ("message-with-ack", Some(ack)) => server.acknowledge_binary(ack, &arguments, event.attachments),
            _ => {}
        }
    }
}

/// Starts the two servers, for bare sessions and for Socket.IO, with the settings that the suites name.
pub(crate) fn start() -> std::io::Result<(Server, Server)> {
    let config = Config {
        namespaces: vec!["/".to_owned(), "/custom".to_owned()],
        ping_interval: Duration::from_millis(300),
        ping_timeout: Duration::from_millis(200),
        connect_timeout: Duration::from_secs(1),
        max_payload_bytes: 1_000_000,
        client_message_bytes_max: 1_000_000,
        outbox_bytes_max: 4_000_000,
        cors_origin: CorsOrigin::Any,
        ..Config::default()
    };
    let sessions = Server::start_sessions(config.clone(), Arc::new(EchoSessions))?;
    let (auths, shown) = channel();
    let sockets = Server::start(config, Arc::new(EchoSockets { auths }))?;
    let server = sockets.clone();
    std::thread::spawn(move || EchoSockets::show_auths(&server, &shown));
    Ok((sessions, sockets))
}
