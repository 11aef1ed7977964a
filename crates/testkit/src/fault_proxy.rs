//! A TCP proxy between a client and a service, for tests of a network that stalls or is cut.
//!
//! Knows nothing of what it carries. For killing the service itself see [`crate::services`].

use std::collections::HashMap;
use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context as _;
use parking_lot::{Condvar, Mutex};

use crate::services::port::Port;

/// How long the service may take to accept.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

const BUFFER_LEN: usize = 16 * 1024;

/// A proxy on a port of its own, which it keeps while it is cut. Dropping it cuts it for ever.
///
/// Calls take effect before they return, and each may be repeated.
#[derive(Debug)]
pub struct FaultProxy {
    port: Port,
    wire: Arc<Wire>,
    /// Present while the port is listened on.
    acceptor: Mutex<Option<JoinHandle<()>>>,
}

/// What becomes of all that a stall holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StallEnd {
    /// It is lost with its connections, as when what lay on the way has started anew.
    Cut,
    /// It arrives late, in order, even if who sent it has left meanwhile, as when packets are sent again.
    Late,
}

#[derive(Debug)]
struct Wire {
    target: SocketAddr,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    mode: Mode,
    accepted: u64,
    /// The ends of each open connection, by the number under which it was accepted: the client's, then the service's.
    open: HashMap<u64, Vec<TcpStream>>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Mode {
    #[default]
    Forwarding,
    Stalled,
    Cut,
}

impl FaultProxy {
    /// Starts to forward a free port of 127.0.0.1 to `target`, which need not listen yet.
    pub fn start(target: SocketAddr) -> anyhow::Result<Self> {
        let wire = Wire { target, state: Mutex::default(), changed: Condvar::new() };
        let proxy = Self { port: Port::lease()?, wire: Arc::new(wire), acceptor: Mutex::new(None) };
        proxy.listen()?;
        Ok(proxy)
    }

    /// Where clients connect; the same for the proxy's whole life.
    pub fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// Connections accepted so far, the closed ones included.
    pub fn accepted(&self) -> u64 {
        self.wire.state.lock().accepted
    }

    /// Connections open now.
    pub fn open(&self) -> usize {
        self.wire.state.lock().open.len()
    }

    /// Holds all bytes and ends, both ways, of old and new connections. Nothing is lost yet:
    /// [`FaultProxy::end_stall`] says what becomes of it.
    pub fn stall(&self) -> anyhow::Result<()> {
        self.listen()?;
        self.wire.enter(Mode::Stalled);
        Ok(())
    }

    /// Closes all connections with whatever is held, and refuses new ones.
    #[expect(clippy::missing_panics_doc, reason = "accepting has nothing that panics")]
    pub fn cut(&self) {
        let mut acceptor = self.acceptor.lock();
        self.wire.cut();
        if let Some(acceptor) = acceptor.take() {
            // Wakes it, so that it sees the mode and gives up its listener.
            drop(TcpStream::connect(self.port.address()));
            acceptor.join().expect("accepting does not panic");
        }
    }

    /// Forwards again, after what is held has met this end.
    pub fn end_stall(&self, end: StallEnd) -> anyhow::Result<()> {
        if end == StallEnd::Cut {
            self.cut();
        }
        self.heal()
    }

    /// Forwards again, also what is held.
    pub fn heal(&self) -> anyhow::Result<()> {
        self.listen()?;
        self.wire.enter(Mode::Forwarding);
        Ok(())
    }

    fn listen(&self) -> anyhow::Result<()> {
        let mut acceptor = self.acceptor.lock();
        if acceptor.is_some() {
            return Ok(());
        }
        let listener = TcpListener::bind(self.port.address()).context("the proxy's own port")?;
        self.wire.enter(Mode::Forwarding);
        let wire = Arc::clone(&self.wire);
        *acceptor = Some(std::thread::spawn(move || wire.accept(&listener)));
        Ok(())
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.cut();
    }
}

impl Wire {
    fn enter(&self, mode: Mode) {
        self.state.lock().mode = mode;
        self.changed.notify_all();
    }

    fn cut(&self) {
        let mut state = self.state.lock();
        // Both at once: bytes that were held must not slip through between the end of the stall and the close.
        state.mode = Mode::Cut;
        for end in state.open.drain().flat_map(|(_, ends)| ends) {
            shut(&end);
        }
        drop(state);
        self.changed.notify_all();
    }

    /// Until the proxy is cut.
    fn accept(self: &Arc<Self>, listener: &TcpListener) {
        for client in listener.incoming().flatten() {
            let Ok(end) = client.try_clone() else { continue };
            let number = {
                let mut state = self.state.lock();
                if state.mode == Mode::Cut {
                    return;
                }
                state.accepted += 1;
                let number = state.accepted;
                state.open.insert(number, vec![end]);
                number
            };
            let wire = Arc::clone(self);
            std::thread::spawn(move || {
                // An error is the end of the connection, which is all that either side may learn of it, after a stall.
                drop(wire.carry(number, &client));
                wire.wait_out_stall(number);
                wire.close(number);
            });
        }
    }

    /// One connection, to the end of both directions.
    fn carry(&self, number: u64, client: &TcpStream) -> io::Result<()> {
        let service = TcpStream::connect_timeout(&self.target, CONNECT_TIMEOUT)?;
        for end in [client, &service] {
            end.set_nodelay(true)?;
        }
        match self.state.lock().open.get_mut(&number) {
            Some(ends) => ends.push(service.try_clone()?),
            None => return Ok(()),
        }
        std::thread::scope(|scope| {
            let answers = scope.spawn(|| self.pump(number, &service, client));
            let asked = self.pump(number, client, &service);
            asked.and(answers.join().expect("pumping does not panic"))
        })
    }

    fn pump(&self, number: u64, mut from: &TcpStream, mut to: &TcpStream) -> io::Result<()> {
        let mut buffer = vec![0; BUFFER_LEN];
        let carried = loop {
            match from.read(&mut buffer) {
                Ok(0) => break Ok(()),
                Ok(len) if self.wait_out_stall(number) => {
                    if let Err(error) = to.write_all(&buffer[..len]) {
                        break Err(error);
                    }
                }
                Ok(_) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        // The end is held up like bytes are, and so is an error, which ends both ways.
        if self.wait_out_stall(number) {
            if carried.is_err() {
                self.close(number);
            } else {
                drop(to.shutdown(Shutdown::Write));
            }
        }
        carried
    }

    /// Waits out a stall. Whether the connection is still open after it.
    fn wait_out_stall(&self, number: u64) -> bool {
        let mut state = self.state.lock();
        while state.mode == Mode::Stalled && state.open.contains_key(&number) {
            self.changed.wait(&mut state);
        }
        state.open.contains_key(&number)
    }

    fn close(&self, number: u64) {
        for end in self.state.lock().open.remove(&number).into_iter().flatten() {
            shut(&end);
        }
    }
}

/// Other handles of the same socket see it too.
fn shut(end: &TcpStream) {
    // The other side may have been faster.
    drop(end.shutdown(Shutdown::Both));
}
