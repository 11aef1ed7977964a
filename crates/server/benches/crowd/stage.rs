//! The site: a fleet on real services, with as many push processes as a run needs, and the people who come.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use miaosha_testkit::services::{Place, Service, Services, Site, SitePlan};
use rustix::thread::{CpuSet, sched_getaffinity};
use serde_json::Value;
use tempfile::TempDir;

const DATABASE: &str = "miaosha";
const SETTINGS: [(&str, &str); 2] = [("MIAOSHA_DEV__TOKEN_MINT", "true"), ("MIAOSHA_LOG__FILTER", "warn")];

/// To the question of a sale that has one.
pub(crate) const ANSWER: &str = "A console";

/// The most sockets of one push process: what 20,000 open files leave beside its other files and the connections that
/// are not sockets yet.
pub(crate) const SOCKETS_PER_PROCESS: u32 = 18_500;
/// Sockets of a push process and its connections that are not sockets yet, together.
const CONNECTIONS_PER_PROCESS: u32 = 19_450;
/// Of all push processes together. Beyond, pings are spread over a longer time than usual: with both ends on this machine
/// they would cost more than everything else.
const PINGS_PER_S_MAX: u32 = 4_000;
const PING_INTERVAL_MS: u32 = 25_000;
/// The most connections to a publisher: more than there are at once, as one that is closed counts until that is noticed.
const CALLS_MAX: u32 = 15_000;

/// What a run needs.
#[derive(Debug, Clone, Default)]
pub(crate) struct Needs {
    /// Push processes, at least one.
    pub(crate) push: u16,
    /// Reactor threads of each, if not as many as a push process makes by itself.
    pub(crate) push_threads: Option<u16>,
    /// People with a token.
    pub(crate) people: u32,
    /// Where the push processes run.
    pub(crate) push_place: Place,
}

/// A sale to plan.
#[derive(Debug)]
pub(crate) struct Offer {
    pub(crate) stock: u32,
    pub(crate) standby: u32,
    pub(crate) opens_in: Duration,
    /// How long a reservation lasts.
    pub(crate) hold: Duration,
    /// Whether it has a question, whose answer is [`ANSWER`].
    pub(crate) asks: bool,
}

/// A site that is ready. Ends with this value.
pub(crate) struct Stage {
    site: Site,
    services: Services,
    directory: TempDir,
}

impl Needs {
    /// Enough push processes for that many sockets, and a token for each. Several are bound to a core each, as many to one as
    /// to another, and the crowd with them: then what these say to each other stays on its core.
    pub(crate) fn of(sockets: u32) -> anyhow::Result<Self> {
        let push = u16::try_from(sockets.div_ceil(SOCKETS_PER_PROCESS))?;
        let mut needs = Self { push, people: sockets, ..Self::default() };
        if needs.push > 1 {
            let allowed = sched_getaffinity(None)?;
            let cores = (0..CpuSet::MAX_CPU).filter(|core| allowed.is_set(*core)).map(u16::try_from);
            let cores = cores.collect::<Result<Vec<_>, _>>()?;
            needs.push = needs.push.next_multiple_of(u16::try_from(cores.len())?);
            needs.push_place = Place { cores, takes_turns: true, ..Place::default() };
        }
        Ok(needs)
    }
}

impl Offer {
    /// For people who come to hear the opening and do not buy.
    pub(crate) fn to_hear_of(opens_in: Duration) -> Self {
        Self { stock: 1, standby: 1, opens_in, hold: Duration::from_mins(10), asks: false }
    }
}

impl Stage {
    /// Starts everything, and gives people their tokens.
    pub(crate) fn set(needs: &Needs) -> anyhow::Result<Self> {
        let began = Instant::now();
        let services = Services::start()?;
        let mut plan = SitePlan::new(env!("CARGO_BIN_EXE_miaosha"), services.addresses(), DATABASE);
        plan.settings = SETTINGS.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        plan.processes = [1, needs.push, 1, 1];
        let directory = tempfile::tempdir()?;
        let reader = directory.path().join("reader");
        let reader = reader.to_str().context("the directory for temporary files is no text")?.to_owned();
        let set = |name: &str, value: u32| (name.to_owned(), value.to_string());
        let new_connections = CONNECTIONS_PER_PROCESS - needs.people.div_ceil(needs.push.into());
        let reader = ("MIAOSHA_PUSH__READER_SOCKET".to_owned(), reader);
        // It starts first, and so reads for all: a reader must not give way to others, as push processes do in a sale.
        plan.role_settings[0] = vec![set("MIAOSHA_SERVER__CONNECTIONS_MAX", CALLS_MAX), reader.clone()];
        plan.role_settings[1] = vec![
            set("MIAOSHA_SERVER__CONNECTIONS_MAX", new_connections),
            set("MIAOSHA_PUSH__SOCKETS_MAX", SOCKETS_PER_PROCESS),
            set("MIAOSHA_PUSH__PING_INTERVAL_MS", ping_interval_ms(needs.people)),
            // Of the database they need one connection, for what they read each second; there are many of them.
            set("MIAOSHA_MYSQL__CONNECTIONS_MAX", 2),
            reader,
        ];
        let threads = needs.push_threads.map(|threads| set("MIAOSHA_PUSH__THREADS", threads.into()));
        plan.role_settings[1].extend(threads);
        plan.places[1].clone_from(&needs.push_place);
        let site = Site::start(plan)?;
        let stage = Self { site, services, directory };
        let tokens = File::create(stage.tokens())?;
        let mut mint = stage.site.command();
        mint.args(["token", "mint", "--ttl", "6h", "--users", &format!("1..{}", needs.people)])
            .stdout(tokens);
        let minted = mint.output()?;
        ensure!(minted.status.success(), "no tokens: {}", String::from_utf8_lossy(&minted.stderr));
        eprintln!(
            "crowd: a site with {} push processes and {} people are ready after {:.0} s",
            needs.push,
            needs.people,
            began.elapsed().as_secs_f32()
        );
        Ok(stage)
    }

    /// The tokens of all people, one a line.
    pub(crate) fn tokens(&self) -> PathBuf {
        self.directory.path().join("tokens")
    }

    /// Where sockets connect to, each push process.
    pub(crate) fn push_urls(&self) -> Vec<String> {
        self.site.push.iter().map(url).collect()
    }

    /// Whether each push process is bound to a core.
    pub(crate) fn is_pinned(&self) -> bool {
        self.site.plan.places[1].takes_turns
    }

    /// Where buy calls go.
    pub(crate) fn publisher_url(&self) -> anyhow::Result<String> {
        self.site.publishers.first().map(url).context("no publisher")
    }

    /// Where everything else goes.
    pub(crate) fn general_url(&self) -> anyhow::Result<String> {
        self.site.general.first().map(url).context("no process of role general")
    }

    /// The push processes.
    pub(crate) fn push_processes(&self) -> Vec<u32> {
        self.site.push.iter().filter_map(Service::process_id).collect()
    }

    /// The processes of every role and service, by what they are.
    pub(crate) fn processes(&self) -> Vec<(&'static str, u32)> {
        let mut processes = Vec::new();
        let mut add = |name, service: &dyn Service| {
            processes.extend(service.process_id().map(|id| (name, id)));
        };
        for (role, node) in self.site.nodes() {
            add(role, node);
        }
        self.services.redis.nodes.iter().for_each(|node| add("redis", node));
        add("rabbitmq", &self.services.rabbitmq);
        add("mariadb", &self.services.mysql.primary);
        self.services.mysql.replicas.iter().for_each(|replica| add("mariadb", replica));
        processes
    }

    /// New push processes in place of those that are there.
    pub(crate) fn restart_push(&self) -> anyhow::Result<()> {
        for node in &self.site.push {
            node.kill();
        }
        self.site.push.iter().try_for_each(Service::start_again)
    }

    /// Plans a sale.
    pub(crate) fn plan_sale(&self, offer: &Offer) -> anyhow::Result<String> {
        let starts_at = jiff::Timestamp::now() + offer.opens_in;
        self.plan_sale_at(starts_at, offer)
    }

    /// Plans so many, which all open at the same moment.
    pub(crate) fn plan_sales(&self, count: usize, offer: &Offer) -> anyhow::Result<Vec<String>> {
        let starts_at = jiff::Timestamp::now() + offer.opens_in;
        (0..count).map(|_| self.plan_sale_at(starts_at, offer)).collect()
    }

    fn plan_sale_at(&self, starts_at: jiff::Timestamp, offer: &Offer) -> anyhow::Result<String> {
        let Offer { stock, standby, hold, asks, .. } = offer;
        let (stock, standby) = (stock.to_string(), standby.to_string());
        let (starts_at, hold) = (starts_at.to_string(), format!("{}s", hold.as_secs()));
        let mut create = vec!["sale", "create", "--title", "Console", "--price", "199.00", "--lasts", "1h"];
        create.extend(["--stock", &stock, "--standby", &standby, "--starts-at", &starts_at, "--hold", &hold]);
        if *asks {
            create.extend(["--question", "What is sold here?", "--choices", "A lamp;A console;A chair"]);
            create.extend(["--answer", ANSWER]);
        }
        let planned: Value = serde_json::from_str(&self.ask(&create)?)?;
        Ok(planned["id"].as_str().context("a sale has an id")?.to_owned())
    }

    /// Recounts a sale: the count, with `ok` and what is broken.
    pub(crate) fn verify(&self, sale: &str) -> anyhow::Result<Value> {
        let recount = self.site.command().args(["sale", "verify", sale, "--json"]).output()?;
        serde_json::from_slice(&recount.stdout)
            .with_context(|| format!("miaosha sale verify: {}", String::from_utf8_lossy(&recount.stderr)))
    }

    /// For files of this run.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// What a command of the binary prints.
    fn ask(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let Output { status, stdout, stderr } = self.site.command().args(arguments).output()?;
        if !status.success() {
            bail!("miaosha {}: {}", arguments.join(" "), String::from_utf8_lossy(&stderr));
        }
        Ok(String::from_utf8(stdout)?)
    }
}

fn ping_interval_ms(sockets: u32) -> u32 {
    (sockets / PINGS_PER_S_MAX * 1_000).max(PING_INTERVAL_MS)
}

fn url(service: &impl Service) -> String {
    format!("http://{}", service.address())
}
