//! Picks the adapters and puts a node together. The only place that knows which adapter is behind a port.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use metrics_exporter_prometheus::PrometheusHandle;
use miaosha_app::Ports;
use miaosha_app::board::Board;
use miaosha_app::ports::Passwords;
use miaosha_app::request_buy::{DeskLimits, RequestDesk};
use miaosha_embedded::Embedded;
use miaosha_web::tokens::Secret;
use miaosha_web::{Argon2Passwords, Keyring, Web, WebLimits, WebParts};
use tokio_util::task::TaskTracker;

use crate::config::{Backend, Config};
use crate::secrets::signing_key;

/// The key id of the one key of an embedded site.
const KID: &str = "embedded-1";

/// Everything a process is made of, before anything runs.
pub(crate) struct Node {
    pub(crate) ports: Ports,
    pub(crate) board: Arc<Board>,
    pub(crate) desk: Arc<RequestDesk>,
    pub(crate) passwords: Arc<dyn Passwords>,
    pub(crate) keyring: Arc<Keyring>,
    pub(crate) web: Arc<Web>,
    pub(crate) ready: Arc<Readiness>,
    mints_tokens: bool,
    embedded: Embedded,
}

/// Why a node is not ready, if it is not.
#[derive(Debug, Default)]
pub(crate) struct Readiness {
    has_started: AtomicBool,
    is_draining: AtomicBool,
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
        reasons
    }
}

impl Node {
    /// Opens the data and puts everything together. Nothing runs yet.
    pub(crate) fn open(
        config: &Config,
        figures: PrometheusHandle,
        tasks: TaskTracker,
    ) -> anyhow::Result<Self> {
        anyhow::ensure!(config.backend == Backend::Embedded, "not yet");
        let embedded = Embedded::open(&config.data_dir)?;
        let ports = embedded.ports(config.node);
        let secret = Secret {
            kid: KID.to_owned(),
            bytes: signing_key(&config.data_dir, ports.random.as_ref())?.to_vec(),
        };
        let keyring = Arc::new(Keyring::new(secret, Vec::new())?);
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
            idempotency: embedded.idempotency.clone(),
            keyring: keyring.clone(),
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
            keyring,
            web,
            ready,
            mints_tokens: config.dev.token_mint,
            embedded,
        })
    }

    /// The admin API for whoever owns the data directory.
    pub(crate) fn control(&self) -> Router {
        self.web.control_router(self.mints_tokens)
    }

    /// Ends the queues, once nothing more is put into them.
    pub(crate) fn stop(&self) {
        self.embedded.stop();
    }

    /// Finishes what was asked for, and gives the data free.
    pub(crate) async fn close(&self) {
        self.embedded.close().await;
    }
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
