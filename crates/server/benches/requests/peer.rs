//! What `accepted` is measured by: as little as can accept requests durably. It believes everybody, takes every request
//! for another person's, and shares with the publisher only what a client and a broker see: batches of two milliseconds and at
//! most 1,024 people, four of them under way, each a persistent message in a quorum queue, and an answer after its confirm.
//!
//! A process of its own, which is this program once more.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode, header};
use hyper_util::rt::TokioIo;
use lapin::options::{
    BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions, QueuePurgeOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties};
use parking_lot::Mutex;
use tokio::net::TcpSocket;
use tokio::sync::{Notify, watch};

use crate::usage::Process;

/// On two cores, as the publisher.
const THREADS: usize = 2;
const BATCH_WINDOW: Duration = Duration::from_millis(2);
const BATCH_LEN_MAX: usize = 1_024;
const IN_FLIGHT_MAX: usize = 4;
/// What a person is in a message: an id and a quantity.
const ASK_LEN: usize = 12;

const QUEUE: &str = "peer";
const PERSISTENT: u8 = 2;
const ANSWER: &[u8] = br#"{"status":"queued"}"#;

/// The peer, while it runs. Ends with this process at the latest.
#[derive(Debug)]
pub(crate) struct Peer {
    child: Child,
    /// Where it is reached.
    pub(crate) base: String,
}

impl Peer {
    /// Starts it on the broker at `uri`, and waits until it listens.
    pub(crate) fn start(uri: &str) -> anyhow::Result<Self> {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]).arg(std::env::current_exe()?).args(["peer", "--uri", uri]);
        let mut child = command.stdout(Stdio::piped()).spawn().context("cannot start the peer")?;
        let mut base = String::new();
        if let Some(stdout) = child.stdout.take() {
            BufReader::new(stdout).read_line(&mut base)?;
        }
        let peer = Self { child, base: base.trim().to_owned() };
        anyhow::ensure!(!peer.base.is_empty(), "the peer does not start");
        Ok(peer)
    }

    /// Its process.
    pub(crate) fn process(&self) -> Process {
        Process { name: "peer", id: self.child.id() }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It has nothing to finish.
        let _ended = self.child.kill();
        let _ended = self.child.wait();
    }
}

/// Takes what is in the peer's queue, and counts the people in it.
pub(crate) async fn take_people(uri: &str) -> anyhow::Result<u64> {
    let connection = Connection::connect(uri, ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    let mut people = 0;
    let options = BasicGetOptions { no_ack: true };
    while let Some(message) = channel.basic_get(QUEUE.into(), options).await? {
        people += message.data.len() / ASK_LEN;
    }
    connection.close(200, "done".into()).await?;
    Ok(u64::try_from(people)?)
}

/// Is the peer, until it is killed.
pub(crate) fn run(uri: &str) -> anyhow::Result<()> {
    let desk = Arc::new(Desk::default());
    let mut listen = SocketAddr::from(([127, 0, 0, 1], 0));
    for _ in 0..THREADS {
        // Each thread has a listener of its own on one port, as the publisher's have.
        let socket = TcpSocket::new_v4()?;
        socket.set_reuseport(true)?;
        socket.bind(listen)?;
        listen = socket.local_addr()?;
        let desk = Arc::clone(&desk);
        std::thread::Builder::new().spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            tokio::task::LocalSet::new().block_on(&runtime, accept(socket, desk))
        })?;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let channel = open(uri).await?;
        println!("http://{listen}");
        desk.hand_over(&channel).await
    })
}

async fn accept(socket: TcpSocket, desk: Arc<Desk>) -> anyhow::Result<()> {
    let listener = socket.listen(4_096)?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let desk = Arc::clone(&desk);
        let service = service_fn(move |request| answer(Arc::clone(&desk), request));
        let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
        // A connection that breaks shows in what the generator reports.
        tokio::task::spawn_local(async move { drop(connection.await) });
    }
}

async fn answer(desk: Arc<Desk>, request: Request<Incoming>) -> anyhow::Result<Response<Full<Bytes>>> {
    request.into_body().collect().await?;
    desk.accepted().await?;
    let response = Response::builder().status(StatusCode::ACCEPTED);
    Ok(response
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::from(Bytes::from_static(ANSWER)))?)
}

/// Where requests wait for their batch.
#[derive(Debug, Default)]
struct Desk {
    open: Mutex<Batch>,
    arrivals: Notify,
}

#[derive(Debug, Default)]
struct Batch {
    people: usize,
    is_confirmed: watch::Sender<bool>,
}

impl Desk {
    async fn accepted(&self) -> anyhow::Result<()> {
        let mut confirmed = {
            let mut open = self.open.lock();
            open.people += 1;
            open.is_confirmed.subscribe()
        };
        self.arrivals.notify_one();
        confirmed.wait_for(|is_confirmed| *is_confirmed).await?;
        Ok(())
    }

    async fn hand_over(&self, channel: &Channel) -> anyhow::Result<()> {
        let mut in_flight = FuturesUnordered::new();
        loop {
            let batch = async {
                self.arrivals.notified().await;
                tokio::time::sleep(BATCH_WINDOW).await;
                std::mem::take(&mut *self.open.lock())
            };
            let mut batch = std::pin::pin!(batch);
            let batch = loop {
                tokio::select! {
                    Some(confirmed) = in_flight.next(), if !in_flight.is_empty() => confirmed?,
                    batch = &mut batch => break batch,
                }
            };
            while in_flight.len() >= IN_FLIGHT_MAX {
                in_flight.next().await.transpose()?;
            }
            in_flight.push(publish(channel, batch));
        }
    }
}

async fn publish(channel: &Channel, batch: Batch) -> anyhow::Result<()> {
    let mut people = batch.people;
    while people > 0 {
        let len = people.min(BATCH_LEN_MAX);
        people -= len;
        let properties = BasicProperties::default().with_delivery_mode(PERSISTENT);
        let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        let body = vec![0; len * ASK_LEN];
        let confirm = channel.basic_publish("".into(), QUEUE.into(), options, &body, properties).await?;
        match confirm.await? {
            Confirmation::Ack(None) => {}
            other => return Err(anyhow!("the broker said {other:?}")),
        }
    }
    batch.is_confirmed.send_replace(true);
    Ok(())
}

async fn open(uri: &str) -> anyhow::Result<Channel> {
    let connection = Connection::connect(uri, ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
    let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    channel.queue_declare(QUEUE.into(), durable, arguments).await?;
    channel.queue_purge(QUEUE.into(), QueuePurgeOptions::default()).await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    Ok(channel)
}
