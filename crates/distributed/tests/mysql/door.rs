//! A door between the stores and a server: it can be shut, and it keeps a record of every statement that passed.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

/// A way to one server.
pub(crate) struct Door {
    /// The server's URL, by way of the door.
    pub(crate) url: String,
    is_open: watch::Sender<bool>,
    statements: Arc<Mutex<Vec<String>>>,
    tasks: TaskTracker,
}

impl Door {
    /// An open door to the server with this URL, which ends with a host and a port.
    pub(crate) async fn to(url: &str) -> Self {
        let (_, address) = url.rsplit_once(['@', '/']).unwrap();
        let target: SocketAddr = address.parse().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let own = listener.local_addr().unwrap();
        let door = Self {
            url: url.replace(address, &own.to_string()),
            is_open: watch::Sender::new(true),
            statements: Arc::default(),
            tasks: TaskTracker::new(),
        };
        let (is_open, statements, tasks) =
            (door.is_open.subscribe(), Arc::clone(&door.statements), door.tasks.clone());
        door.tasks.spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                if *is_open.borrow() {
                    tasks.spawn(pass(client, target, is_open.clone(), Arc::clone(&statements)));
                }
            }
        });
        door
    }

    /// Cuts every connection, and every new one as soon as it is made.
    pub(crate) fn shut(&self) {
        self.is_open.send_replace(false);
    }

    /// Lets new connections through.
    pub(crate) fn open(&self) {
        self.is_open.send_replace(true);
    }

    /// What was sent since the last call.
    pub(crate) fn take_statements(&self) -> Vec<String> {
        let scripts = std::mem::take(&mut *self.statements.lock());
        let statements = scripts.iter().flat_map(|script| script.split(";\n"));
        statements.filter(|statement| !statement.is_empty()).map(ToOwned::to_owned).collect()
    }
}

async fn pass(
    client: TcpStream,
    target: SocketAddr,
    mut is_open: watch::Receiver<bool>,
    statements: Arc<Mutex<Vec<String>>>,
) {
    let Ok(server) = TcpStream::connect(target).await else { return };
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    tokio::select! {
        _ = is_open.wait_for(|is_open| !is_open) => {}
        _ = tokio::io::copy(&mut from_server, &mut to_client) => {}
        _ = record(&mut from_client, &mut to_server, &statements) => {}
    }
}

/// A packet is three bytes of length, one of sequence, and the payload; a query's payload begins with 3.
async fn record(
    from: &mut (impl AsyncReadExt + Unpin),
    to: &mut (impl AsyncWriteExt + Unpin),
    statements: &Mutex<Vec<String>>,
) -> io::Result<()> {
    const QUERY: u8 = 3;
    loop {
        let mut header = [0; 4];
        from.read_exact(&mut header).await?;
        let len = u32::from_le_bytes([header[0], header[1], header[2], 0]);
        let mut payload = vec![0; usize::try_from(len).unwrap()];
        from.read_exact(&mut payload).await?;
        if header[3] == 0 && payload.first() == Some(&QUERY) {
            statements.lock().push(String::from_utf8(payload[1..].to_vec()).unwrap());
        }
        to.write_all(&header).await?;
        to.write_all(&payload).await?;
    }
}
