//! Opens a site however long its database is away: until it is there, the process says that it is not ready, answers every
//! other call by 503, and tries again.
//!
//! Redis and RabbitMQ are not waited for: a site opens without them and does without them.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use metrics_exporter_prometheus::PrometheusHandle;
use miaosha_web::{Listener, ListenerConfig, Site, stand_in};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, warn};

use crate::lifecycle::Tasks;
use crate::wiring::may_pass;

/// Between two attempts: short enough that work goes on within seconds of a return, long enough not to be a flood.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// How long answers of the stand-in may take when the site opens: they are short, and somebody is waiting.
const DRAIN_MAX: Duration = Duration::from_secs(1);

/// Attempts to open a site.
pub(crate) struct Opening<'a> {
    listen: SocketAddr,
    figures: &'a PrometheusHandle,
    tasks: &'a Tasks,
    stand_in: Option<StandIn>,
}

impl<'a> Opening<'a> {
    /// No attempt yet, and nobody listens.
    pub(crate) fn new(listen: SocketAddr, figures: &'a PrometheusHandle, tasks: &'a Tasks) -> Self {
        Self { listen, figures, tasks, stand_in: None }
    }

    /// Repeats an attempt for as long as what it fails of may pass. From its first failure on, somebody answers.
    ///
    /// # Errors
    /// What will not pass, or that nobody can listen.
    pub(crate) async fn persevere<T>(
        &mut self,
        mut attempt: impl AsyncFnMut() -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let mut pause = PAUSE_MIN;
        loop {
            let failure = match attempt().await {
                Ok(opened) => return Ok(opened),
                Err(failure) if may_pass(&failure) => format!("{failure:#}"),
                Err(failure) => return Err(failure),
            };
            if self.stand_in.is_some() {
                debug!(failure, "the site does not open yet");
            } else {
                let stand_in = StandIn::start(self.listen, self.figures.clone(), self.tasks)?;
                self.listen = stand_in.address;
                warn!(failure, "not ready, on http://{}: trying to open the site until it does", self.listen);
                self.stand_in = Some(stand_in);
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    /// Leaves the address to the site, and says which it is.
    pub(crate) async fn end(self) -> SocketAddr {
        if let Some(stand_in) = self.stand_in {
            stand_in.end().await;
        }
        self.listen
    }
}

/// Answers where the site will be. Ends with this value, and at the shutdown.
struct StandIn {
    address: SocketAddr,
    stop: CancellationToken,
    ended: oneshot::Receiver<()>,
}

impl StandIn {
    fn start(listen: SocketAddr, figures: PrometheusHandle, tasks: &Tasks) -> anyhow::Result<Self> {
        let config = ListenerConfig {
            threads: NonZeroUsize::MIN,
            drain_timeout: DRAIN_MAX,
            ..ListenerConfig::default()
        };
        let listener = Listener::bind(listen, config)?;
        let address = listener.addr();
        let reasons = || vec!["the database is away: the sales have not been read yet".to_owned()];
        let site = Site {
            buy: None,
            sockets: None,
            general: stand_in(Arc::new(reasons), figures),
            general_runtime: Handle::current(),
        };
        let stop = tasks.shutdown().child_token();
        let (stopped, (ending, ended)) = (stop.clone(), oneshot::channel());
        tasks.spawn("stand-in", async move {
            if let Err(failure) = listener.run(site, stopped.cancelled()).await {
                error!(%failure, "nobody says that the site is not ready");
            }
            // Whoever waited may be gone with the shutdown.
            let _unheard = ending.send(());
        });
        Ok(Self { address, stop, ended })
    }

    async fn end(self) {
        self.stop.cancel();
        // An error is the end, too.
        let _ended = self.ended.await;
    }
}
