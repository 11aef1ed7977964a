//! One reader for all processes of a machine.
//!
//! Each process that follows the news and the database costs both of them something, however little it serves. Where the
//! operator needs many on one machine, they agree on a path: one of them, whoever holds the lock beside it, follows for
//! all and tells the others over a Unix socket; when it ends, another one takes its place. What is said there is in
//! [`wire`]. Start with [`MachineBus::join`].

mod wire;

use std::fmt;
use std::fs::{self, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::os::unix::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use miaosha_app::model::Outcomes;
use miaosha_app::ports::{BusEvent, OutcomeBus, OutcomeSubscription};
use parking_lot::Mutex;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::codec::FramedRead;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{error, info, warn};

use crate::fan_out::{FanOut, Subscription};

/// How long the start waits to hear the reader, or to be it.
const JOINING_MAX: Duration = Duration::from_secs(2);
const RETRY_AFTER: Duration = Duration::from_millis(100);
/// What the reader hears within this time is told at once: waking a process costs more than what it is told.
const TELL_EVERY: Duration = Duration::from_millis(50);
/// At least so often the reader says something.
const ALIVE_EVERY: Duration = Duration::from_millis(500);
/// A reader that says nothing for so long hangs.
const SILENCE_MAX: Duration = Duration::from_secs(3);
/// How many tellings a process may fall behind, before it is left to read for itself.
const BEHIND_MAX: usize = 64;
/// What the reader has read and not told yet, at the most.
const FOUND_MAX: usize = 1_024;

/// The bus of a process that shares its reader.
#[derive(Debug)]
pub struct MachineBus {
    shared: Arc<Shared>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

struct Shared {
    /// The bus of the fleet.
    fleet: Arc<dyn OutcomeBus>,
    fan_out: FanOut,
    found: Found,
    socket: PathBuf,
    lock: File,
    site: String,
}

/// Where what this process reads goes while it is the reader.
#[derive(Clone, Default)]
struct Found(Arc<Mutex<Option<mpsc::Sender<BusEvent>>>>);

impl MachineBus {
    /// Joins the processes that were given the same path; `.v1` and `.v1.lock` are added to it, for the socket and its
    /// lock. `site` is what they must have in common. `listen` is awaited by the one that becomes the reader, before it
    /// hears the news of `fleet`.
    ///
    /// # Errors
    /// If there can be no such files.
    pub async fn join(
        path: &Path,
        site: String,
        fleet: Arc<dyn OutcomeBus>,
        listen: BoxFuture<'static, ()>,
    ) -> io::Result<Self> {
        let socket = with_extension(path, "v1");
        SocketAddr::from_pathname(&socket)?;
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(with_extension(path, "v1.lock"))?;
        let (fan_out, found) = (FanOut::new(), Found::default());
        let shared = Arc::new(Shared { fleet, fan_out, found, socket, lock, site });
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let (has_joined, joined) = oneshot::channel();
        let (part, stopped) = (Arc::clone(&shared), stop.clone());
        tasks.spawn(async move {
            tokio::select! {
                () = stopped.cancelled() => {}
                () = part.take_part(listen, has_joined) => {}
            }
        });
        // News is heard late rather than never if this is not long enough.
        let _ = timeout(JOINING_MAX, joined).await;
        Ok(Self { shared, tasks, stop })
    }

    /// Ends the bus: followers hear [`BusEvent::Closed`]. Another process becomes the reader if this one was. Idempotent.
    pub async fn close(&self) {
        self.shared.fan_out.shut_down();
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

impl Drop for MachineBus {
    /// As [`MachineBus::close`], but does not wait.
    fn drop(&mut self) {
        self.shared.fan_out.shut_down();
        self.stop.cancel();
    }
}

impl OutcomeBus for MachineBus {
    fn publish(&self, outcomes: Arc<Outcomes>) {
        self.shared.fleet.publish(outcomes);
    }

    fn subscribe(&self) -> Box<dyn OutcomeSubscription> {
        Box::new(SharedSubscription {
            heard: self.shared.fan_out.subscribe(),
            found: self.shared.found.clone(),
        })
    }
}

/// Hears what the reader tells, and tells what is read here if this is the reader.
struct SharedSubscription {
    heard: Subscription,
    found: Found,
}

#[async_trait]
impl OutcomeSubscription for SharedSubscription {
    async fn next(&mut self) -> BusEvent {
        self.heard.next().await
    }

    fn share(&self, event: BusEvent) {
        let mut found = self.found.0.lock();
        if let Some(sender) = &*found
            && sender.try_send(event).is_err()
        {
            // Whoever listens is left alone for a moment, and comes back by a gap.
            *found = None;
        }
    }
}

impl Shared {
    /// Follows the reader, and becomes it when there is none.
    async fn take_part(&self, listen: BoxFuture<'static, ()>, has_joined: oneshot::Sender<()>) {
        let mut has_joined = Some(has_joined);
        let listener = loop {
            match UnixStream::connect(&self.socket).await {
                Ok(stream) => self.follow(stream, &mut has_joined).await,
                Err(_) => match self.take_over() {
                    Ok(Some(listener)) => break listener,
                    Ok(None) => {}
                    Err(error) => error!(%error, socket = %self.socket.display(), "cannot read for others"),
                },
            }
            sleep(RETRY_AFTER).await;
        };
        info!(socket = %self.socket.display(), "reading for the processes of this machine");
        let news = self.fleet.subscribe();
        listen.await;
        // What was said before was not heard.
        self.fan_out.send(BusEvent::Gap);
        drop(has_joined);
        self.lead(&listener, news).await;
    }

    /// Becomes the reader. `None` if another process is about to.
    fn take_over(&self) -> io::Result<Option<UnixListener>> {
        match self.lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        match fs::remove_file(&self.socket) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(&self.socket)?;
        fs::set_permissions(&self.socket, Permissions::from_mode(0o600))?;
        Ok(Some(listener))
    }

    /// Hears the reader until it has gone.
    async fn follow(&self, stream: UnixStream, has_joined: &mut Option<oneshot::Sender<()>>) {
        let mut messages = FramedRead::new(stream, wire::codec());
        let Ok(Some(Ok(greeting))) = timeout(SILENCE_MAX, messages.next()).await else { return };
        if greeting != self.site.as_bytes() {
            let socket = self.socket.display();
            error!(%socket, "another site's processes share this reader: give each site a path of its own");
            return;
        }
        // What was said before was not heard, which matters unless nobody could have followed yet.
        self.fan_out.send(BusEvent::Gap);
        has_joined.take();
        loop {
            let Ok(message) = timeout(SILENCE_MAX, messages.next()).await else {
                warn!("the reader of this machine hangs: reading here");
                return self.fan_out.send(BusEvent::Gap);
            };
            let Some(Ok(message)) = message else { return };
            match wire::decode(&message) {
                Ok(Some(event)) => self.fan_out.send(event),
                Ok(None) => {}
                Err(wire::Unreadable) => return,
            }
        }
    }

    /// Tells this process and the others what comes over the bus, and the others what this one reads, until the bus is
    /// shut down.
    async fn lead(&self, listener: &UnixListener, mut news: Box<dyn OutcomeSubscription>) {
        let tellings = broadcast::Sender::new(BEHIND_MAX);
        let tellers = TaskTracker::new();
        let mut found = self.found.begin();
        let mut untold = Vec::new();
        let mut told_at = Instant::now();
        loop {
            let tell_after = if untold.is_empty() { ALIVE_EVERY } else { TELL_EVERY };
            tokio::select! {
                event = news.next() => {
                    if let BusEvent::Closed = event {
                        return self.fan_out.shut_down();
                    }
                    wire::encode(&mut untold, &event);
                    self.fan_out.send(event);
                }
                event = found.recv() => match event {
                    Some(event) => wire::encode(&mut untold, &event),
                    None => {
                        wire::encode(&mut untold, &BusEvent::Gap);
                        found = self.found.begin();
                    }
                },
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => {
                        let tells = tell(stream, wire::message(self.site.as_bytes()), tellings.subscribe());
                        tellers.spawn(tells);
                    }
                    Err(error) => {
                        error!(%error, "cannot take in a process of this machine");
                        sleep(RETRY_AFTER).await;
                    }
                },
                () = sleep_until(told_at + tell_after) => {
                    if untold.is_empty() {
                        wire::encode_sign_of_life(&mut untold);
                    }
                    // An error says that nobody listens, which is fine.
                    let _ = tellings.send(Bytes::from(std::mem::take(&mut untold)));
                    told_at = Instant::now();
                }
            }
        }
    }
}

impl Found {
    /// From now on, what is found comes here; to the end, where it came faster than it was taken.
    fn begin(&self) -> mpsc::Receiver<BusEvent> {
        let (sender, receiver) = mpsc::channel(FOUND_MAX);
        *self.0.lock() = Some(sender);
        receiver
    }
}

/// Tells one process everything, until it or this one has gone. One that falls too far behind has to come back.
async fn tell(mut stream: UnixStream, greeting: Vec<u8>, mut tellings: broadcast::Receiver<Bytes>) {
    if stream.write_all(&greeting).await.is_err() {
        return;
    }
    while let Ok(telling) = tellings.recv().await {
        if stream.write_all(&telling).await.is_err() {
            return;
        }
    }
}

fn with_extension(path: &Path, extension: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(extension);
    name.into()
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("socket", &self.socket).finish_non_exhaustive()
    }
}
