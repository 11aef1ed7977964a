//! Picks the adapters and puts a node together. The only place that knows which adapter is behind a port.

mod engines;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use metrics_exporter_prometheus::PrometheusHandle;
use miaosha_app::Ports;
use miaosha_app::board::Board;
use miaosha_app::ports::{Passwords, PeopleCap, Random as _, Turns};
use miaosha_app::request_buy::{DeskLimits, RequestDesk};
use miaosha_embedded::OsRandom;
use miaosha_web::tokens::Secret;
use miaosha_web::{Argon2Passwords, Keyring, Web, WebLimits, WebParts};
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use crate::config::{Backend, Config, PushConfig};
use crate::secrets::signing_key;
use engines::Engines;
pub(crate) use engines::{check, may_pass, migrate, replay_dead_letters};

/// The key id of the one key of an embedded site.
const KID: &str = "embedded-1";
/// Numbers of nodes that are kept for commands, each of which takes one by chance.
const COMMAND_NODES: std::ops::Range<u16> = 1_000..1_024;
/// A node whose clock is further off the database's judges windows wrongly.
const CLOCK_SKEW_MAX: Duration = Duration::from_millis(250);
/// How often the clock is compared.
const CLOCK_EVERY: Duration = Duration::from_secs(2);

/// Everything a process is made of, before anything runs.
pub(crate) struct Node {
    pub(crate) ports: Ports,
    pub(crate) board: Arc<Board>,
    pub(crate) desk: Arc<RequestDesk>,
    pub(crate) passwords: Arc<dyn Passwords>,
    pub(crate) web: Arc<Web>,
    pub(crate) ready: Arc<Readiness>,
    /// Part of every id that it makes.
    pub(crate) number: u16,
    mints_tokens: bool,
    engines: Engines,
}

/// Why a node is not ready, if it is not.
#[derive(Debug, Default)]
pub(crate) struct Readiness {
    has_started: AtomicBool,
    is_draining: AtomicBool,
    has_wrong_clock: AtomicBool,
}

impl Readiness {
    /// The board has been read.
    pub(crate) fn start(&self) {
        self.has_started.store(true, Ordering::Release);
    }

    /// No more requests, please.
    pub(crate) fn drain(&self) {
        self.is_draining.store(true, Ordering::Release);
    }
}

impl miaosha_web::Readiness for Readiness {
    fn reasons(&self) -> Vec<String> {
        let mut reasons = Vec::new();
        if !self.has_started.load(Ordering::Acquire) {
            reasons.push("the sales have not been read yet".to_owned());
        }
        if self.is_draining.load(Ordering::Acquire) {
            reasons.push("draining".to_owned());
        }
        if self.has_wrong_clock.load(Ordering::Acquire) {
            let skew_max_ms = CLOCK_SKEW_MAX.as_millis();
            reasons.push(format!("the clock is more than {skew_max_ms} ms off the database's"));
        }
        reasons
    }

    fn has_right_clock(&self) -> bool {
        !self.has_wrong_clock.load(Ordering::Acquire)
    }
}

impl Node {
    /// Opens the data and puts everything together. Nothing runs yet.
    pub(crate) async fn open(
        config: &Config,
        figures: PrometheusHandle,
        tasks: TaskTracker,
    ) -> anyhow::Result<Self> {
        let engines = Engines::open(config).await?;
        let ports = engines.ports(config.node);
        let keyring = Arc::new(keyring(config, &ports)?);
        let accounts = &config.accounts;
        let at_once_max = or_cores(accounts.hashing_at_once_max);
        let passwords: Arc<dyn Passwords> =
            Arc::new(Argon2Passwords::new(ports.random.clone(), at_once_max, accounts.hashing_waiting_max));
        let desk = Arc::new(RequestDesk::new(ports.clock.clone(), ports.queue.clone(), desk_limits(config)));
        let board = Arc::new(Board::new());
        let ready = Arc::new(Readiness::default());
        let web = Web::new(WebParts {
            ports: ports.clone(),
            board: board.clone(),
            desk: desk.clone(),
            passwords: passwords.clone(),
            idempotency: engines.idempotency(),
            keyring,
            lease: config.lease(),
            readiness: ready.clone(),
            figures,
            tasks,
            limits: WebLimits::default(),
        });
        Ok(Self {
            ports,
            board,
            desk,
            passwords,
            web,
            ready,
            number: config.node,
            mints_tokens: config.dev.token_mint,
            engines,
        })
    }

    /// The admin API for whoever owns the data directory.
    pub(crate) fn control(&self) -> Router {
        self.web.control_router(self.mints_tokens)
    }

    /// The people cap, where several processes share one.
    pub(crate) fn people_cap(&self) -> Option<Arc<dyn PeopleCap>> {
        self.engines.people_cap()
    }

    /// Whose turn it is to do what one process does for all, where there are several.
    pub(crate) fn turns(&self) -> Option<Arc<dyn Turns>> {
        self.engines.turns()
    }

    /// Keeps comparing the clock with the database's, where they are two.
    pub(crate) async fn watch_clock(&self) {
        loop {
            match self.engines.clock_skew().await {
                Ok(None) => return,
                Ok(Some(skew)) => {
                    let is_wrong = skew > CLOCK_SKEW_MAX;
                    if self.ready.has_wrong_clock.swap(is_wrong, Ordering::AcqRel) != is_wrong {
                        warn!(
                            skew_ms = skew.as_millis(),
                            is_wrong, "this node's clock against the database's"
                        );
                    }
                }
                // A database that is away says nothing of the clock.
                Err(error) => debug!(%error, "the clock was not compared"),
            }
            self.ports.clock.sleep(CLOCK_EVERY).await;
        }
    }

    /// Waits until a task of an engine has panicked.
    pub(crate) async fn fallen(&self) {
        self.engines.fallen().await;
    }

    /// Ends the queues, once nothing more is put into them.
    pub(crate) fn stop(&self) {
        self.engines.stop();
    }

    /// Finishes what was asked for, and gives the data free.
    pub(crate) async fn close(&self) {
        self.engines.close().await;
    }
}

/// The keys that sign tokens: kept in the data directory on embedded storage, given by the operator for a fleet.
fn keyring(config: &Config, ports: &Ports) -> anyhow::Result<Keyring> {
    let (current, older) = match config.backend {
        Backend::Embedded => {
            let bytes = signing_key(&config.data_dir, ports.random.as_ref())?.to_vec();
            (Secret { kid: KID.to_owned(), bytes }, Vec::new())
        }
        Backend::Distributed => config.secrets.keys()?,
    };
    Ok(Keyring::new(current, older)?)
}

/// The configuration of a process that runs one command on a fleet's storage: with a node number that no server has.
pub(crate) fn as_command(config: &Config) -> Config {
    let mut byte = [0];
    OsRandom.fill(&mut byte);
    let count = COMMAND_NODES.end - COMMAND_NODES.start;
    // A short life is no place for a reader.
    let push = PushConfig { reader_socket: PathBuf::new(), ..config.push.clone() };
    Config { node: COMMAND_NODES.start + u16::from(byte[0]) % count, push, ..config.clone() }
}

fn desk_limits(config: &Config) -> DeskLimits {
    let buying = &config.buying;
    DeskLimits {
        batch_window: Duration::from_millis(buying.batch_window_ms),
        batch_len_max: buying.batch_len_max,
        in_flight_max: buying.batches_in_flight_max,
        waiting_max: buying.people_waiting_max,
    }
}

/// A number of threads, where 0 stands for one per core.
pub(crate) fn or_cores(count: usize) -> usize {
    match count {
        0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        count => count,
    }
}
