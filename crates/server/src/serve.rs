//! Runs a site: opens it, starts its roles, listens, and drains when it is told to end.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use futures_util::FutureExt as _;
use metrics_exporter_prometheus::PrometheusHandle;
use miaosha_app::board::News;
use miaosha_app::follow::{self, Follower};
use miaosha_push::{Config as PushConfig, ControlGroups, Server as PushServer};
use miaosha_web::live::{Live, Teller};
use miaosha_web::{Listener, ListenerConfig, Site, SocketService};
use tokio::runtime::Handle;
use tracing::{info, warn};

use crate::cli::ServeArgs;
use crate::config::{Backend, Config};
use crate::lifecycle::{Tasks, watch_signals};
use crate::opening::Opening;
use crate::roles::Roles;
use crate::site::serve_control;
use crate::wiring::{Node, or_cores};
use crate::{demo, roles, telemetry};

/// Serves until a signal.
pub(crate) fn serve(config: &Config, arguments: &ServeArgs) -> anyhow::Result<ExitCode> {
    let roles = Roles::of(&arguments.roles);
    if config.backend == Backend::Embedded && roles != Roles::ALL {
        eprintln!("miaosha: on embedded storage one process runs every role: leave --roles out");
        return Ok(ExitCode::from(2));
    }
    telemetry::init_logs(&config.log)?;
    let config = &fit_open_files(fit_roles(config, roles))?;
    let figures = telemetry::init_metrics()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().thread_name("general").enable_all().build()?;
    runtime.block_on(run(config, roles, arguments.demo, figures))?;
    Ok(ExitCode::SUCCESS)
}

async fn run(config: &Config, roles: Roles, is_demo: bool, figures: PrometheusHandle) -> anyhow::Result<()> {
    let tasks = Tasks::new(Handle::current());
    watch_signals(&tasks)?;
    let opening = open(config, roles, &figures, &tasks);
    let Some(opened) = tasks.shutdown().run_until_cancelled(opening).await else {
        tasks.drained(config.drain_timeout()).await;
        return Ok(());
    };
    let Opened { node, live, follower, listen } = opened?;
    if config.backend == Backend::Embedded {
        serve_control(&tasks, &config.control_socket(), node.control())?;
    }
    if let Some(follower) = follower {
        tasks.spawn_while_serving("follow", follower.run());
    }
    let watched = node.clone();
    tasks.spawn_while_serving("engines", async move {
        watched.fallen().await;
        panic!("a task of an engine has panicked");
    });
    node.ready.start();
    let push = match live {
        Some((live, teller)) => {
            let push = PushServer::start(push_config(config), Arc::new(live.clone()))?;
            live.connect_to(push.clone());
            tasks.spawn_while_serving("tell", teller.run());
            let watched = push.clone();
            tasks.spawn_while_serving("sockets", async move {
                watched.fallen().await;
                panic!("a push thread has panicked");
            });
            Some(push)
        }
        None => None,
    };
    if roles.consumer {
        roles::consumer::start(&tasks, &node);
    }
    roles::publisher::start(&tasks, node.clone(), roles.publisher);
    let watched = node.clone();
    tasks.spawn_until_shutdown("clock", async move { watched.watch_clock().await });
    telemetry::keep_figures(&tasks, figures, node.board.clone(), push.clone());
    let listener = Listener::bind(listen, listener_config(config)?)?;
    info!("listening on http://{}", listener.addr());
    if is_demo {
        tasks.spawn_until_shutdown("demo", demo::run(node.ports.clone(), node.passwords.clone()));
    }
    let site = Site {
        buy: roles.publisher.then(|| node.web.buy().clone()),
        sockets: push.clone().map(socket_service),
        general: node.web.router(roles.serves()),
        general_runtime: Handle::current(),
    };
    let drained = listener.run(site, begin_to_drain(config, &tasks, &node, push.clone())).await;
    end(config, &tasks, &node, push).await;
    drained.context("cannot serve connections")?;
    // Whoever watches over the process starts it again if it says so.
    anyhow::ensure!(!tasks.has_panicked(), "a task panicked; the log says which");
    Ok(())
}

/// A site that knows its sales, before anything runs.
struct Opened {
    node: Arc<Node>,
    live: Option<(Live, Teller)>,
    /// Of a process that serves what depends on sales.
    follower: Option<Follower>,
    /// Where to listen.
    listen: SocketAddr,
}

/// Opens the data and reads the sales; without the database, as soon as it is there.
async fn open(
    config: &Config,
    roles: Roles,
    figures: &PrometheusHandle,
    tasks: &Tasks,
) -> anyhow::Result<Opened> {
    let mut opening = Opening::new(config.server.listen, figures, tasks);
    let attempt = async || Node::open(config, figures.clone(), tasks.tracker().clone()).await;
    let node = Arc::new(opening.persevere(attempt).await?);
    let live = roles.push.then(|| Live::new(&node.web, Handle::current()));
    let follower = if roles.follows() {
        let listener: Arc<dyn follow::Listener> = match &live {
            Some((live, _)) => Arc::new(live.clone()),
            None => Arc::new(NobodyListens),
        };
        let mut follower = Follower::new(node.ports.clone(), node.board.clone(), listener);
        opening.persevere(async || follower.catch_up().await.context("cannot read the sales")).await?;
        Some(follower)
    } else {
        None
    };
    Ok(Opened { node, live, follower, listen: opening.end().await })
}

/// For a process that holds no sockets: its board is all that has to know.
struct NobodyListens;

impl follow::Listener for NobodyListens {
    fn hear(&self, _news: &News) {}
}

/// Files that are not connections: the database, threads' event queues, the control socket.
const FILES_RESERVED: usize = 500;

/// Raises the limit of open files as far as the system allows, and cuts down what would not fit: a site that has run out
/// of files can answer nobody.
fn fit_open_files(mut config: Config) -> anyhow::Result<Config> {
    let files = rlimit::increase_nofile_limit(u64::MAX).context("cannot read the limit of open files")?;
    let room = usize::try_from(files).unwrap_or(usize::MAX).saturating_sub(FILES_RESERVED);
    let (connections, sockets) = (&mut config.server.connections_max, &mut config.push.sockets_max);
    if connections.saturating_add(*sockets) > room {
        anyhow::ensure!(
            room >= 100,
            "{files} open files are too few: allow at least {}",
            FILES_RESERVED + 100
        );
        *connections = (*connections).min(room / 4);
        *sockets = (*sockets).min(room - *connections);
        warn!(
            files,
            connections, sockets, "the limit of open files is low: taking fewer connections and sockets"
        );
    }
    Ok(config)
}

/// Takes out what the roles do not need: files for sockets without `push`; replicas without `general`, which alone serves
/// lists and pages; and who follows nothing is no reader for others.
fn fit_roles(config: &Config, roles: Roles) -> Config {
    let mut config = config.clone();
    if !roles.push {
        config.push.sockets_max = 0;
    }
    if !roles.general {
        config.mysql.replicas.clear();
    }
    if !roles.follows() {
        config.push.reader_socket.clear();
    }
    config
}

/// The sockets that a drain closes in a second, unless that would take too long: their clients come back elsewhere as fast.
const CLOSES_PER_S: u32 = 2_000;

/// Waits for the shutdown; then says so to whoever balances load, and to every socket.
async fn begin_to_drain(config: &Config, tasks: &Tasks, node: &Node, push: Option<PushServer>) {
    tasks.shutdown().cancelled().await;
    node.ready.drain();
    if let Some(push) = push {
        let sockets = u32::try_from(push.counts().connections).unwrap_or(u32::MAX);
        let gently = (Duration::from_secs(1) / CLOSES_PER_S).saturating_mul(sockets);
        push.drain(gently.min(config.drain_timeout() / 2));
    }
}

/// Waits for everyone who is connected and for everything that runs, and gives the data free.
async fn end(config: &Config, tasks: &Tasks, node: &Node, push: Option<PushServer>) {
    if let Some(push) = &push
        && tokio::time::timeout(config.drain_timeout(), push.drained()).await.is_err()
    {
        warn!(sockets = push.counts().connections, "some sockets did not close in time");
    }
    tasks.drained(config.drain_timeout()).await;
    if let Some(push) = push {
        // Joins threads; nothing else runs any more.
        push.shut_down();
    }
    node.close().await;
    info!("ended");
}

fn socket_service(server: PushServer) -> SocketService {
    Arc::new(move |request| {
        let server = server.clone();
        async move { miaosha_push::http::respond(&server, request).await }.boxed()
    })
}

fn listener_config(config: &Config) -> anyhow::Result<ListenerConfig> {
    let threads = NonZeroUsize::new(or_cores(config.server.accept_threads));
    Ok(ListenerConfig {
        threads: threads.context("a machine without cores")?,
        connections_max: config.server.connections_max,
        head_timeout: Duration::from_millis(config.server.head_timeout_ms),
        idle_timeout: Duration::from_millis(config.server.idle_timeout_ms),
        stall_timeout: Duration::from_millis(config.server.stall_timeout_ms),
        drain_timeout: config.drain_timeout(),
    })
}

fn push_config(config: &Config) -> PushConfig {
    let push = &config.push;
    PushConfig {
        node: config.node,
        reactors: if push.threads == 0 { or_cores(0).div_ceil(2) } else { push.threads },
        ping_interval: Duration::from_millis(push.ping_interval_ms),
        ping_timeout: Duration::from_millis(push.ping_timeout_ms),
        max_connections: push.sockets_max,
        max_connects_per_second: push.connects_per_second_max,
        client_messages_per_second_max: push.client_messages_per_second_max,
        memory: Arc::new(ControlGroups::of_this_process(push.memory_used_max_percent)),
        ..PushConfig::default()
    }
}
