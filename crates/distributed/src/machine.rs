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
use std::pin::pin;
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
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};
use tokio_util::codec::FramedRead;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{error, info, warn};

use crate::fall::Fall;
use crate::fan_out::{FanOut, Subscription};
use crate::lateness::Lateness;

/// How long the start waits to hear the reader, or to be it.
const JOINING_MAX: Duration = Duration::from_secs(2);
const RETRY_AFTER: Duration = Duration::from_millis(100);
/// What the reader hears within this time is told at once: waking a process costs more than what it is told.
const TELL_EVERY: Duration = Duration::from_millis(50);
/// At least so often the reader says something.
const ALIVE_EVERY: Duration = Duration::from_millis(500);
/// Who has heard nothing for so long reads for himself, but goes on listening: the machine may be busy.
const SILENCE_MAX: Duration = Duration::from_secs(3);
/// A reader that says nothing for so long hangs.
const HANGING_AFTER: Duration = Duration::from_secs(10);
/// Who can neither follow nor lead listens to the fleet for himself, until he has looked again.
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(10);
/// How many tellings a process may fall behind, before it is left to read for itself.
const BEHIND_MAX: usize = 64;
/// How long a telling may take.
const TELLING_MAX: Duration = Duration::from_secs(10);
/// What the reader has read and not told yet, at the most.
const FOUND_MAX: usize = 1_024;

/// The bus of a process that shares its reader.
#[derive(Debug)]
pub struct MachineBus {
    shared: Arc<Shared>,
    tasks: TaskTracker,
    stop: CancellationToken,
    fall: Fall,
}

struct Shared {
    /// The bus of the fleet.
    fleet: Arc<dyn OutcomeBus>,
    fan_out: FanOut,
    followers: Arc<Followers>,
    socket: PathBuf,
    lock: File,
    site: String,
}

/// Who follows in this process.
#[derive(Default)]
struct Followers {
    count: watch::Sender<usize>,
    found: Mutex<Found>,
}

/// What they read while this is the reader.
#[derive(Default)]
struct Found {
    is_wanted: bool,
    /// `None` for a moment where it came faster than it was taken.
    sender: Option<mpsc::Sender<BusEvent>>,
}

/// The news of the fleet as this process hears it, once it does.
struct FleetNews {
    listening: Listening,
    news: Box<dyn OutcomeSubscription>,
}

/// How this process begins to listen to the fleet; `None` once it does.
struct Listening(Option<BoxFuture<'static, ()>>);

/// Why nobody is followed.
enum NoReader {
    /// None is there.
    Missing,
    /// It is another site's.
    Strange,
    /// It does not answer.
    Silent,
}

impl MachineBus {
    /// Joins the processes that were given the same path; `.v1` and `.v1.lock` are added to it, for the socket and its
    /// lock. `site` is what they must have in common. `listen` is awaited before this process hears the news of `fleet`
    /// itself: when it becomes the reader, or can neither be it nor follow one. Whoever joins has to follow, too, while he is the reader: the
    /// others hear what he shares.
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
        let (fan_out, followers) = (FanOut::new(), Arc::default());
        let shared = Arc::new(Shared { fleet, fan_out, followers, socket, lock, site });
        let (tasks, stop, fall) = (TaskTracker::new(), CancellationToken::new(), Fall::default());
        let (has_joined, joined) = oneshot::channel();
        let (part, stopped) = (Arc::clone(&shared), stop.clone());
        tasks.spawn(fall.watched("machine bus", async move {
            let listening = Listening(Some(listen));
            let fleet = FleetNews { listening, news: part.fleet.subscribe() };
            tokio::select! {
                () = stopped.cancelled() => {}
                () = part.take_part(fleet, has_joined) => {}
            }
        }));
        // News is heard late rather than never if this is not long enough.
        let _ = timeout(JOINING_MAX, joined).await;
        Ok(Self { shared, tasks, stop, fall })
    }

    /// Waits until the task that hears and tells has panicked, which is a defect of this crate: followers hear nothing more.
    pub async fn fallen(&self) {
        self.fall.noted().await;
    }

    /// Ends the bus: followers hear [`BusEvent::Closed`]. Another process becomes the reader if this one was. Idempotent.
    pub async fn close(&self) {
        self.shared.fan_out.shut_down();
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        self.shared.give_up();
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
        self.shared.followers.count.send_modify(|count| *count += 1);
        Box::new(SharedSubscription {
            heard: self.shared.fan_out.subscribe(),
            followers: Arc::clone(&self.shared.followers),
        })
    }
}

/// Hears what the reader tells, and tells what is read here if this is the reader.
struct SharedSubscription {
    heard: Subscription,
    followers: Arc<Followers>,
}

#[async_trait]
impl OutcomeSubscription for SharedSubscription {
    async fn next(&mut self) -> BusEvent {
        self.heard.next().await
    }

    fn share(&self, event: BusEvent) -> bool {
        let mut found = self.followers.found.lock();
        if let Some(sender) = &found.sender
            && sender.try_send(event).is_err()
        {
            // Whoever listens is left alone for a moment, and comes back by a gap.
            found.sender = None;
        }
        found.is_wanted
    }
}

impl Drop for SharedSubscription {
    fn drop(&mut self) {
        self.followers.count.send_modify(|count| *count -= 1);
    }
}

impl Followers {
    /// Waits for the first one.
    async fn have_come(&self) {
        // An error would say that it is dropped, which it is not while this runs.
        let _ = self.count.subscribe().wait_for(|count| *count > 0).await;
    }

    /// Waits for one to come and the last one to go: nobody reads any more.
    async fn have_gone(&self) {
        self.have_come().await;
        let _ = self.count.subscribe().wait_for(|count| *count == 0).await;
    }

    /// From now on, what is found comes here; to the end, where it came faster than it was taken.
    fn begin(&self) -> mpsc::Receiver<BusEvent> {
        let (sender, receiver) = mpsc::channel(FOUND_MAX);
        *self.found.lock() = Found { is_wanted: true, sender: Some(sender) };
        receiver
    }

    /// From now on, what is found is for this process alone.
    fn end(&self) {
        *self.found.lock() = Found::default();
    }
}

impl Listening {
    /// Waits until it does. Safe to drop and call again.
    async fn begun(&mut self) {
        if let Some(listen) = &mut self.0 {
            listen.await;
            self.0 = None;
        }
    }
}

impl Shared {
    /// Follows the reader, and is it when there is none, until the fleet's bus is shut down.
    async fn take_part(&self, mut fleet: FleetNews, has_joined: oneshot::Sender<()>) {
        let mut has_joined = Some(has_joined);
        loop {
            let is_hopeless = match self.follow(&mut has_joined).await {
                Ok(()) => {
                    self.fan_out.send(BusEvent::Gap);
                    false
                }
                Err(NoReader::Missing) => match self.take_over() {
                    Ok(None) => false,
                    Ok(Some(listener)) => {
                        info!(socket = %self.socket.display(), "reading for the processes of this machine");
                        let has_ended = self.lead(listener, &mut fleet, &mut has_joined).await;
                        self.followers.end();
                        self.give_up();
                        if has_ended {
                            return;
                        }
                        self.followers.have_come().await;
                        false
                    }
                    Err(error) => {
                        error!(%error, socket = %self.socket.display(), "cannot read for others");
                        self.give_up();
                        true
                    }
                },
                Err(NoReader::Strange) => {
                    let socket = self.socket.display();
                    error!(%socket, "another site's processes share this reader: give each site a path of its own");
                    true
                }
                // The machine may be busy: if all listened to the fleet now, it would be busier, and they cannot stop.
                Err(NoReader::Silent) => {
                    warn!("the reader of this machine does not answer");
                    false
                }
            };
            if !is_hopeless {
                sleep(RETRY_AFTER).await;
                continue;
            }
            fleet.listening.begun().await;
            self.fan_out.send(BusEvent::Gap);
            has_joined.take();
            if timeout(LOOK_AGAIN_AFTER, self.hear(&mut *fleet.news)).await.is_ok() {
                return;
            }
        }
    }

    /// Hears the reader until it has gone.
    async fn follow(&self, has_joined: &mut Option<oneshot::Sender<()>>) -> Result<(), NoReader> {
        let stream = UnixStream::connect(&self.socket).await.map_err(|_refused| NoReader::Missing)?;
        let mut messages = FramedRead::new(stream, wire::codec());
        let greeting = timeout(SILENCE_MAX, messages.next()).await.map_err(|_late| NoReader::Silent)?;
        let Some(Ok(greeting)) = greeting else { return Err(NoReader::Missing) };
        if greeting != self.site.as_bytes() {
            return Err(NoReader::Strange);
        }
        // What was said before was not heard, which matters unless nobody could have followed yet.
        self.fan_out.send(BusEvent::Gap);
        has_joined.take();
        let (mut patience, mut lateness) = (SILENCE_MAX, Lateness::default());
        loop {
            let silent_at = Instant::now() + patience;
            let Ok(message) = timeout_at(silent_at, messages.next()).await else {
                if lateness.excuses(silent_at) {
                    continue;
                }
                if patience == HANGING_AFTER {
                    return Ok(());
                }
                self.fan_out.send(BusEvent::Gap);
                patience = HANGING_AFTER;
                continue;
            };
            let Some(Ok(message)) = message else { return Ok(()) };
            match wire::decode(&message) {
                Ok(Some(event)) => self.fan_out.send(event),
                Ok(None) => {}
                Err(wire::Unreadable) => return Ok(()),
            }
            (patience, lateness) = (SILENCE_MAX, Lateness::default());
        }
    }

    /// Hears the fleet, for this process alone, until its bus is shut down.
    async fn hear(&self, news: &mut dyn OutcomeSubscription) {
        loop {
            match news.next().await {
                BusEvent::Closed => return self.fan_out.shut_down(),
                event => self.fan_out.send(event),
            }
        }
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

    /// Lets another process become the reader.
    fn give_up(&self) {
        if let Err(error) = self.lock.unlock() {
            warn!(%error, "the reader's lock stays until this process ends");
        }
    }

    /// Tells this process and the others what comes over the bus, and the others what this one reads, for as long as it
    /// does. Whether the bus was shut down.
    async fn lead(
        &self,
        listener: UnixListener,
        FleetNews { listening, news }: &mut FleetNews,
        has_joined: &mut Option<oneshot::Sender<()>>,
    ) -> bool {
        let tellings = broadcast::Sender::new(BEHIND_MAX);
        let mut tellers = JoinSet::new();
        let mut nobody_reads = pin!(self.followers.have_gone());
        let mut found = self.followers.begin();
        let mut untold = Vec::new();
        let mut told_at = Instant::now();
        // What was said before it listens is not heard.
        let mut is_deaf = true;
        loop {
            let tell_after = if untold.is_empty() { ALIVE_EVERY } else { TELL_EVERY };
            tokio::select! {
                () = listening.begun(), if is_deaf => {
                    is_deaf = false;
                    self.fan_out.send(BusEvent::Gap);
                    if !tellers.is_empty() {
                        wire::encode(&mut untold, &BusEvent::Gap);
                    }
                    has_joined.take();
                }
                event = news.next(), if !is_deaf => {
                    if let BusEvent::Closed = event {
                        self.fan_out.shut_down();
                        return true;
                    }
                    wire::encode(&mut untold, &event);
                    self.fan_out.send(event);
                }
                event = found.recv() => {
                    if event.is_none() {
                        found = self.followers.begin();
                    }
                    wire::encode(&mut untold, &event.unwrap_or(BusEvent::Gap));
                }
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => {
                        let greeting = wire::message(self.site.as_bytes());
                        tellers.spawn(tell(stream, greeting, tellings.subscribe()));
                    }
                    Err(error) => {
                        error!(%error, "cannot take in a process of this machine");
                        sleep(RETRY_AFTER).await;
                    }
                },
                Some(_) = tellers.join_next() => {}
                () = &mut nobody_reads => return false,
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

/// Tells one process everything, until it or this one has gone. One that falls too far behind has to come back.
async fn tell(mut stream: UnixStream, greeting: Vec<u8>, mut tellings: broadcast::Receiver<Bytes>) {
    let mut telling = Bytes::from(greeting);
    while let Ok(Ok(())) = timeout(TELLING_MAX, stream.write_all(&telling)).await {
        telling = match tellings.recv().await {
            Ok(next) => next,
            Err(RecvError::Lagged(missed)) => {
                return warn!(missed, "a process of this machine has fallen behind; it reads for itself");
            }
            Err(RecvError::Closed) => return,
        };
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
