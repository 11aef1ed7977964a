//! Logs to stderr, metrics for `/metrics`.

use std::io::IsTerminal as _;
use std::sync::Arc;
use std::time::Duration;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use miaosha_app::board::Board;
use miaosha_domain::audit::Invariant;
use miaosha_push::{Counts, Server as PushServer};
use miaosha_web::REQUEST_SECONDS_BUCKETS;
use tracing_subscriber::EnvFilter;

use crate::config::{LogConfig, LogFormat};
use crate::lifecycle::Tasks;

const FIGURES_EVERY: Duration = Duration::from_secs(5);

/// Bounds of every latency histogram, in seconds: from a refusal in memory to a payment.
const SECONDS: &[f64] =
    &[0.000_1, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Sends logs to stderr. Once per process.
pub(crate) fn init_logs(config: &LogConfig) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&config.filter)?;
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    match config.format {
        LogFormat::Text => logs.init(),
        LogFormat::Json => logs.json().init(),
    }
    Ok(())
}

/// Begins to count. Once per process. [`PrometheusHandle::run_upkeep`] must be called every few seconds.
pub(crate) fn init_metrics() -> anyhow::Result<PrometheusHandle> {
    let buy = Matcher::Full("miaosha_request_seconds".to_owned());
    let builder = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), SECONDS)?
        .set_buckets_for_metric(buy, &REQUEST_SECONDS_BUCKETS)?;
    let handle = builder.install_recorder()?;
    // Alarms watch for the first one, so they must see that there was none before.
    for invariant in Invariant::ALL {
        metrics::counter!("miaosha_invariant_broken_total", "id" => invariant.to_string()).increment(0);
    }
    for name in
        ["miaosha_push_dropped_total", "miaosha_connections_refused_total", "miaosha_dead_letters_total"]
    {
        metrics::counter!(name).increment(0);
    }
    Ok(handle)
}

/// Figures of a process that serves nobody.
pub(crate) fn unheard_metrics() -> PrometheusHandle {
    PrometheusBuilder::new().build_recorder().handle()
}

/// Keeps the gauges current, and the histograms from growing (they are drained only here).
pub(crate) fn keep_figures(
    tasks: &Tasks,
    figures: PrometheusHandle,
    board: Arc<Board>,
    push: Option<PushServer>,
) {
    tasks.spawn_until_shutdown("figures", async move {
        loop {
            for sale in board.list() {
                for (status, units) in sale.units_by_status() {
                    let id = sale.sale.id.to_string();
                    // Units are far below 2^53.
                    #[expect(clippy::cast_precision_loss, reason = "a sale has at most a million units")]
                    metrics::gauge!("miaosha_units", "sale" => id, "state" => status).set(units as f64);
                }
            }
            if let Some(push) = &push {
                note_sockets(&push.counts());
            }
            figures.run_upkeep();
            tokio::time::sleep(FIGURES_EVERY).await;
        }
    });
}

/// What the push server has counted since its start.
fn note_sockets(counts: &Counts) {
    #[expect(clippy::cast_precision_loss, reason = "a process holds far fewer sockets than 2^53")]
    metrics::gauge!("miaosha_sockets").set(counts.connections as f64);
    let refused =
        [("full", counts.refused_full), ("rate", counts.refused_rate), ("memory", counts.refused_memory)];
    for (why, count) in refused {
        metrics::counter!("miaosha_sockets_refused_total", "why" => why).absolute(count);
    }
    let dropped = [
        ("slow", counts.slow_readers_dropped),
        ("malformed", counts.malformed_closed),
        ("silent", counts.ping_timeouts),
    ];
    for (why, count) in dropped {
        metrics::counter!("miaosha_sockets_dropped_total", "why" => why).absolute(count);
    }
}
