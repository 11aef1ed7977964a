//! How soon everyone hears that a sale opens: from the moment at which it opens until the last socket has the event,
//! divided by the sockets, with the crowd on the same machine.
//!
//! The opening is the real one: each push process sees the moment come by its own clock. A peer is told on its standard
//! input, and the moment is the one at which it was told.

use std::fmt;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use clap::Args;
use serde::Serialize;

use crate::generator::{Crowd, Openings, Sockets};
use crate::peers::{Peer, PeerKind};
use crate::report::{Report, verdict};
use crate::spread::Spread;
use crate::stage::{Needs, Offer, SOCKETS_PER_PROCESS, Stage};
use crate::{Common, memory};

const AIM_US: f64 = 8.0;
const QUICK_COUNT: u32 = 5_000;
/// The most that planning a sale takes.
const PLANNING: Duration = Duration::from_millis(300);
/// At this rate each of them took everybody in, also on the slower of the machines seen; it is in no figure.
pub(crate) const PEER_CONNECT_RATE_MAX: u32 = 1_000;

/// Measure the opening broadcast; where one process holds the crowd, with socketioxide, the
/// socket.io of Node and a bare loop of writes beside it.
#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(flatten)]
    pub(crate) common: Common,
    /// Sockets, on as few push processes as can hold them
    #[arg(long, value_name = "N", default_value_t = 15_000, value_parser = clap::value_parser!(u32).range(100..=1_000_000))]
    count: u32,
    /// Sales that open at the same moment; the sockets watch them in turn
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=100))]
    sales: u16,
    #[command(flatten)]
    pace: Pace,
    /// Leave the peers out
    #[arg(long)]
    no_peers: bool,
}

/// How fast a crowd connects, which says when its sale can open.
#[derive(Debug, Clone, Args)]
pub(crate) struct Pace {
    /// Sockets to open a second
    #[arg(long, value_name = "N", default_value_t = 4_000, value_parser = clap::value_parser!(u32).range(10..=100_000))]
    connect_rate: u32,
}

/// What all runs gave.
#[derive(Debug, Serialize)]
pub(crate) struct Opening {
    count: u32,
    sales: usize,
    /// This project's first.
    servers: Vec<Server>,
}

#[derive(Debug, Serialize)]
struct Server {
    name: &'static str,
    processes: usize,
    /// From the moment of the opening to the last receipt, divided by the sockets.
    us_per_socket: Spread,
    /// From the moment of the opening to the first receipt.
    first_ms: Spread,
    /// To the last receipt.
    last_ms: Spread,
}

impl Pace {
    /// So many sockets a second.
    pub(crate) fn of(connect_rate: u32) -> Self {
        Self { connect_rate }
    }

    pub(crate) fn rate(&self) -> u32 {
        self.connect_rate
    }

    /// The same, no faster than every peer is known to take connections.
    fn for_peers(&self) -> Self {
        Self { connect_rate: self.connect_rate.min(PEER_CONNECT_RATE_MAX) }
    }

    /// From its planning until a sale for so many can open, with time for the crowd's own start.
    pub(crate) fn until_opening(&self, count: u32) -> Duration {
        self.connecting(count) + self.spare(count)
    }

    /// From when the crowd has connected until all have certainly heard.
    pub(crate) fn hold(&self, count: u32) -> Duration {
        // Many times as long as hearing should take.
        self.spare(count) + Duration::from_secs(5) + Duration::from_micros(40) * count
    }

    fn connecting(&self, count: u32) -> Duration {
        Duration::from_secs_f64(f64::from(count) / f64::from(self.connect_rate))
    }

    /// For the crowd's own start, and for a machine that connects more slowly than it is asked to.
    fn spare(&self, count: u32) -> Duration {
        Duration::from_secs(10) + self.connecting(count).mul_f64(0.3)
    }
}

pub(crate) fn run(options: &Options) -> anyhow::Result<Opening> {
    let count = options.common.size(options.count, QUICK_COUNT);
    let kinds = match options {
        _ if options.no_peers || count > SOCKETS_PER_PROCESS => &[][..],
        Options { sales: 1, .. } => &PeerKind::ALL,
        // A loop of writes knows of one.
        _ => &PeerKind::LIBRARIES,
    };
    require_memory(count)?;
    let stage = Stage::set(&Needs::of(count)?)?;
    let pace_of_peers = options.pace.for_peers();
    let sales = usize::from(options.sales);
    let mut heard: Vec<Vec<Openings>> = Vec::new();
    for number in 1..=options.common.runs() {
        eprintln!("crowd: opening, run {number}");
        let mut run = vec![open_ours(&stage, &options.pace, count, sales)?];
        for kind in kinds {
            run.push(open_peers(&stage, *kind, &pace_of_peers, count, sales)?);
        }
        heard.push(run);
    }
    let names = std::iter::once("miaosha").chain(kinds.iter().map(|kind| kind.name()));
    let servers = names.enumerate().map(|(place, name)| {
        let of = |figure: fn(&Openings) -> f64| Spread::of(heard.iter().map(|run| figure(&run[place])));
        let us_per_socket = |openings: &Openings| openings.last_us() / f64::from(count);
        Server {
            name,
            processes: if place == 0 { stage.push_processes().len() } else { 1 },
            us_per_socket: Spread::of(heard.iter().map(|run| us_per_socket(&run[place]))),
            first_ms: of(Openings::first_ms),
            last_ms: of(|openings| openings.last_us() / 1_000.0),
        }
    });
    Ok(Opening { count, sales, servers: servers.collect() })
}

/// An error if both ends of so many sockets would not fit into this machine.
pub(crate) fn require_memory(count: u32) -> anyhow::Result<()> {
    const BOTH_ENDS_BYTES: u64 = 11_500;
    const SITE_BYTES: u64 = 2 << 30;
    memory::warn_of_tcp_limit(count);
    let needed = SITE_BYTES + u64::from(count) * BOTH_ENDS_BYTES;
    memory::require_available(needed, &format!("both ends of {count} sockets, and the site,"))
}

/// The crowd hears the opening of a sale of this site.
fn open_ours(stage: &Stage, pace: &Pace, count: u32, sales: usize) -> anyhow::Result<Openings> {
    let (urls, servers, tokens) = (stage.push_urls(), stage.push_processes(), stage.tokens());
    let planning = PLANNING * u32::try_from(sales)?;
    let sales = stage.plan_sales(sales, &Offer::to_hear_of(planning + pace.until_opening(count)))?;
    let crowd = Crowd {
        urls: &urls,
        pin: stage.is_pinned(),
        sales: &sales,
        tokens: &tokens,
        count,
        rate: pace.rate(),
        hold: planning + pace.hold(count),
        servers: &servers,
        ask_rate: None,
    };
    all_heard(&crowd.hold()?, count)
}

/// The same crowd on the server of somebody else, in which the sale of that name is a room.
fn open_peers(
    stage: &Stage,
    kind: PeerKind,
    pace: &Pace,
    count: u32,
    sales: usize,
) -> anyhow::Result<Openings> {
    let sales: Vec<String> = (1..=sales).map(|sale| sale.to_string()).collect();

    let mut peer = Peer::start(kind)?;
    let (urls, servers, tokens) = (vec![peer.url()], vec![peer.process()], stage.tokens());
    let crowd = Crowd {
        urls: &urls,
        pin: false,
        sales: &sales,
        tokens: &tokens,
        count,
        rate: pace.rate(),
        hold: pace.hold(count),
        servers: &servers,
        ask_rate: None,
    };
    let opens_at = Instant::now() + pace.until_opening(count);
    let running = crowd.start()?;
    std::thread::sleep(opens_at.saturating_duration_since(Instant::now()));
    let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S%.3fZ");
    for sale in &sales {
        peer.broadcast(&format!(r#"{{"sale":"{sale}","state":"open","starts_at":"{now}"}}"#))?;
    }
    all_heard(&running.finish()?, count).with_context(|| kind.name())
}

/// The opening, which every one of `count` must have heard.
pub(crate) fn all_heard(sockets: &Sockets, count: u32) -> anyhow::Result<Openings> {
    sockets.require_all(count)?;
    let openings = sockets.openings().context("nobody heard the opening")?;
    ensure!(
        openings.heard == u64::from(count),
        "{} of {count} heard the opening: did it come before all were connected? Try a lower --connect-rate",
        openings.heard
    );
    Ok(openings)
}

impl Report for Opening {
    fn reaches_aim(&self) -> bool {
        self.servers[0].us_per_socket.median <= AIM_US
    }
}

impl fmt::Display for Opening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} sockets hear that their sale opens, {} sales at once; times from the moment at which they do",
            self.count, self.sales
        )?;
        for Server { name, processes, us_per_socket, first_ms, last_ms } in &self.servers {
            writeln!(
                f,
                "{name:<14} {us_per_socket:.2} us a socket; first after {first_ms:.1} ms, last after {last_ms:.0} ms; \
                 processes: {processes}"
            )?;
        }
        writeln!(f, "aim            at most {AIM_US:.0} us: {}", verdict(self))
    }
}
