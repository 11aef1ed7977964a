//! What a figure is measured on: real services, and those processes of a site that it is about.

use std::cell::Cell;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use miaosha_distributed::rabbitmq::RabbitConfig;
use miaosha_testkit::services::{Nginx, Node, PATIENCE, Place, Service, Services, SitePlan};
use serde_json::Value;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::generator::{Generator, Load, LoadReport};
use crate::http::Http;
use crate::people::People;
use crate::sales::{SalePlan, ask};
use crate::usage::{Process, Reading, Usage};

const DATABASE: &str = "miaosha";
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Services, and the site's name on them. Ends with this value, with all processes that it started.
pub(crate) struct Stage {
    pub(crate) people: People,
    pub(crate) services: Services,
    plan: SitePlan,
    directory: TempDir,
    runtime: Runtime,
    nodes: Cell<u16>,
    /// People who only find out how a sale stands, counted from the last number down.
    scouts: Cell<u64>,
}

/// A load that has ended, and what was used meanwhile.
pub(crate) struct Loaded {
    pub(crate) report: LoadReport,
    pub(crate) usage: Usage,
}

impl Stage {
    /// Starts the services, wherever the calling thread may run.
    pub(crate) fn set() -> anyhow::Result<Self> {
        let began = Instant::now();
        let services = Services::start()?;
        services.mysql.give_room()?;
        let mut plan = SitePlan::new(env!("CARGO_BIN_EXE_miaosha"), services.addresses(), DATABASE);
        plan.settings = vec![("MIAOSHA_LOG__FILTER".to_owned(), "warn".to_owned())];
        let directory = tempfile::tempdir()?;
        plan.migrate(directory.path())?;
        let people = People::of(&plan, directory.path())?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        eprintln!("requests: services are ready after {:.0} s", began.elapsed().as_secs_f32());
        Ok(Self {
            people,
            services,
            plan,
            directory,
            runtime,
            nodes: Cell::new(0),
            scouts: Cell::new((1 << 24) - 1),
        })
    }

    /// Starts a process of the site.
    pub(crate) fn start(&self, role: &str, place: Place) -> anyhow::Result<Node> {
        let number = self.nodes.get();
        self.nodes.set(number + 1);
        self.plan.start_node(self.directory.path(), role, number, place)
    }

    /// Plans a sale that opens within moments.
    pub(crate) fn plan_sale(&self, stock: u32, standby: u32) -> anyhow::Result<String> {
        SalePlan { stock, standby: Some(standby) }.plan(self.command())
    }

    /// Asks for a unit for one newcomer after the other, until `publisher` answers one of them with `word`.
    pub(crate) fn ask_until(&self, publisher: &Node, sale: &str, word: &str) -> anyhow::Result<()> {
        let http = Http::of(base(publisher));
        let deadline = Instant::now() + PATIENCE;
        self.runtime.block_on(async {
            loop {
                let scout = self.scouts.get();
                self.scouts.set(scout - 1);
                let answer = http.buy(sale, &self.people.token(scout)).await;
                if answer.body["status"] == word {
                    return Ok(());
                }
                ensure!(Instant::now() < deadline, "no `{word}` but {answer:?}");
                if answer.status != 202 {
                    tokio::time::sleep(POLL_INTERVAL).await;
                }
            }
        })
    }

    /// An error unless the sale's books are right and so many people have a claim.
    pub(crate) fn require_claims(&self, sale: &str, people: u64) -> anyhow::Result<()> {
        let recount: Value =
            serde_json::from_str(&ask(self.command(), &["sale", "verify", sale, "--json"])?)?;
        let of = |status: &str| recount[status].as_u64().unwrap_or_default();
        let claims = of("reserved") + of("standby");
        ensure!(claims == people, "{people} people should have a claim, and {claims} have: {recount}");
        Ok(())
    }

    /// Sends a load to its end, and reads what `processes`, the services and this program use meanwhile. They must outlast
    /// it.
    pub(crate) fn load(&self, load: &Load<'_>, processes: &[Process]) -> anyhow::Result<Loaded> {
        let processes = [processes, &self.processes()].concat();
        let before = Reading::take(&processes)?;
        let report = Generator::start(load)?.finish()?;
        let usage = Reading::take(&processes)?.since(&before);
        Ok(Loaded { report, usage })
    }

    /// The services, and this program.
    pub(crate) fn processes(&self) -> Vec<Process> {
        let mut processes = vec![Process { name: "benchmark", id: std::process::id() }];
        let mut add = |name, service: &dyn Service| {
            processes.extend(service.process_id().map(|id| Process { name, id }));
        };
        for node in &self.services.redis.nodes {
            add("redis", node);
        }
        add("rabbitmq", &self.services.rabbitmq);
        add("mariadb", &self.services.mysql.primary);
        for replica in &self.services.mysql.replicas {
            add("replicas", replica);
        }
        processes
    }

    /// Waits for what is asynchronous.
    pub(crate) fn wait_for<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    /// What the database answers, a row a line.
    pub(crate) fn rows(&self, query: &str) -> anyhow::Result<String> {
        self.services.mysql.primary.query(&format!("USE {}; {query}", self.plan.name))
    }

    /// The queue of accepted requests, as a process of the site would use it.
    pub(crate) fn queue(&self) -> RabbitConfig {
        let prefix = format!("{}.", self.plan.name);
        RabbitConfig { prefix, ..RabbitConfig::new(self.plan.services.rabbitmq.clone()) }
    }

    /// For files of this run.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The binary, with the site's settings.
    pub(crate) fn command(&self) -> Command {
        self.plan.command(self.directory.path())
    }
}

impl LoadReport {
    /// An error unless every request was sent and answered with `word`.
    pub(crate) fn require_all(&self, word: &str) -> anyhow::Result<()> {
        let right = self.by_word.get(word).copied().unwrap_or_default();
        let is_so = right == self.requests.sent && self.requests.not_sent == 0 && self.requests.failed == 0;
        ensure!(
            is_so,
            "not every request was answered with `{word}`: {:?}, {:?}",
            self.requests,
            self.by_word
        );
        Ok(())
    }
}

/// Nginx, which answers every request as a publisher does whose sale is full, and looks at none.
pub(crate) fn start_nginx(place: Place) -> anyhow::Result<Nginx> {
    Nginx::start_answering(r#"{"status":"sold_out"}"#, place)
}

/// Where a process of the site is reached.
pub(crate) fn base(node: &impl Service) -> String {
    format!("http://{}", node.address())
}

/// A process under a name of its own.
pub(crate) fn named(name: &'static str, service: &impl Service) -> anyhow::Result<Process> {
    Ok(Process { name, id: service.process_id().with_context(|| format!("{name} does not run"))? })
}
