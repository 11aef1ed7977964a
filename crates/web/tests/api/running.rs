//! A listener that runs in this process, and clients of it.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::time::Duration;

use futures_util::FutureExt as _;
use miaosha_web::{Listener, ListenerConfig, Site as Served};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::site::Site;

pub(crate) const ANYWHERE: &str = "127.0.0.1:0";
pub(crate) const PATIENT: Duration = Duration::from_secs(20);

pub(crate) fn config() -> ListenerConfig {
    ListenerConfig { threads: NonZeroUsize::new(2).unwrap(), ..ListenerConfig::default() }
}

/// A listener that runs until it is told to stop.
pub(crate) struct Running {
    pub(crate) addr: SocketAddr,
    pub(crate) stop: oneshot::Sender<()>,
    pub(crate) end: JoinHandle<std::io::Result<()>>,
}

impl Running {
    pub(crate) fn start(config: ListenerConfig, served: Served) -> Self {
        Self::of(Listener::bind(ANYWHERE.parse().unwrap(), config).unwrap(), served)
    }

    /// Of one for which connections may wait already.
    pub(crate) fn of(listener: Listener, served: Served) -> Self {
        let addr = listener.addr();
        let (stop, stopped) = oneshot::channel();
        #[expect(clippy::disallowed_methods, reason = "the test waits for it")]
        let end = tokio::spawn(listener.run(served, stopped.map(|_| ())));
        Self { addr, stop, end }
    }

    pub(crate) async fn stop(self) {
        self.stop.send(()).unwrap();
        tokio::time::timeout(PATIENT, self.end).await.unwrap().unwrap().unwrap();
    }
}

pub(crate) fn served(site: &Site) -> Served {
    Served {
        buy: Some(site.web.buy().clone()),
        sockets: None,
        general: site.router.clone(),
        general_runtime: Handle::current(),
    }
}

/// One connection of a client that does as told.
pub(crate) struct Client(pub(crate) TcpStream);

impl Client {
    pub(crate) async fn connect(addr: SocketAddr) -> Self {
        Self(TcpStream::connect(addr).await.unwrap())
    }

    pub(crate) async fn send(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).await.unwrap();
    }

    /// The head of the next answer, in small letters, and its body, by its length.
    pub(crate) async fn answer(&mut self) -> (String, String) {
        let read = async {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(self.0.read_u8().await.expect("an answer"));
            }
            let head = String::from_utf8(head).unwrap().to_lowercase();
            let len = head
                .split("content-length: ")
                .nth(1)
                .map_or(0, |rest| rest.split("\r\n").next().unwrap().parse::<usize>().unwrap());
            let mut body = vec![0; len];
            self.0.read_exact(&mut body).await.unwrap();
            (head, String::from_utf8(body).unwrap())
        };
        tokio::time::timeout(PATIENT, read).await.expect("no answer came")
    }

    /// What comes until the other side closes.
    pub(crate) async fn rest(mut self) -> String {
        let mut rest = Vec::new();
        let read = self.0.read_to_end(&mut rest);
        // A connection that is cut may be reset, which ends it as well.
        let _end = tokio::time::timeout(PATIENT, read).await.expect("the connection was not closed");
        String::from_utf8_lossy(&rest).into_owned()
    }
}

pub(crate) fn buy(sale: &str, token: &str, body: &str) -> String {
    format!(
        "POST /api/v1/sales/{sale}/requests HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}
