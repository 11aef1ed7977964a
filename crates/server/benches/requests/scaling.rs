//! How publishers scale: one that is given more, and more of them that are each given little.
//!
//! Upwards: one publisher in 0.5 to 4 GiB, on one core and on two. On two it shares the second core with the generator and
//! all else, of which this machine has no more. Outwards: one to eight publishers, each held to a tenth of a core, so that
//! all of them together are less than the core that they run on; each has a generator of its own on the other core, as a
//! load balancer would cost more than what it balances. All requests are of a sale that is full. Nginx, which answers the same
//! requests with a fixed text, is measured beside the smallest of both.

use miaosha_testkit::services::{Node, Place, Service};

use crate::control_group::{ControlGroup, Limits};
use crate::generator::{Generator, Load, Pace};
use crate::machine::Machine;
use crate::report::{Part, Report};
use crate::spread::Series;
use crate::stage::{self, Loaded, Stage, base, named};
use crate::usage::{Process, Reading, approximate, bind_to};
use crate::{MEASURED_CORE, OTHER_CORE, Options};

const CONNECTIONS: u32 = 64;
const STOCK: u32 = 100;
const PEOPLE: u64 = 20_000;

const MEMORY_MIB: [u64; 4] = [512, 1_024, 2_048, 4_096];
const CORES: [&[u16]; 2] = [&[MEASURED_CORE], &[MEASURED_CORE, OTHER_CORE]];
const REQUESTS: u64 = 300_000;

const INSTANCES: [u16; 4] = [1, 2, 4, 8];
const CORE_THOUSANDTHS: u32 = 100;
const REQUESTS_OF_EACH: u64 = 40_000;
const CONNECTIONS_OF_EACH: u32 = 16;

const QUICK_DIVISOR: u64 = 20;

/// Measures both ways; an error where control groups cannot be made.
pub(crate) fn measure(options: &Options) -> anyhow::Result<Report> {
    let limits = Limits { memory_bytes: Some(MEMORY_MIB[0] << 20), core_thousandths: Some(CORE_THOUSANDTHS) };
    // Before the stage is set, which takes longer.
    drop(ControlGroup::new("trial", limits)?);
    bind_to(OTHER_CORE)?;
    let stage = Stage::set()?;
    let consumer = stage.start("consumer", Place::default())?;
    let sales = [stage.plan_sale(STOCK, STOCK)?];
    let scene = Scene { stage: &stage, consumer: &consumer, sales: &sales, options };
    let parts = vec![scene.measure_upwards()?, scene.measure_outwards()?];
    Ok(Report { figure: "scaling", machine: Machine::here(), parts })
}

/// Who answers.
struct Server {
    process: Process,
    base: String,
}

impl Server {
    fn of(name: &'static str, service: &impl Service) -> anyhow::Result<Self> {
        Ok(Self { process: named(name, service)?, base: base(service) })
    }
}

struct Scene<'a> {
    stage: &'a Stage,
    consumer: &'a Node,
    sales: &'a [String],
    options: &'a Options,
}

impl Scene<'_> {
    fn measure_upwards(&self) -> anyhow::Result<Part> {
        let requests = self.size(REQUESTS);
        let mut part = Part::of(format!(
            "one publisher: {requests} requests a run of {PEOPLE} people, {CONNECTIONS} connections, closed loop"
        ));
        let nginx = stage::start_nginx(Place::on(MEASURED_CORE))?;
        self.ask(&Server::of("nginx", &nginx)?, "nginx, return 200, 1 core", requests, &mut part)?;
        for cores in CORES {
            for mib in MEMORY_MIB {
                let limits = Limits { memory_bytes: Some(mib << 20), ..Limits::default() };
                let group = ControlGroup::new(&format!("{mib}"), limits)?;
                let publisher = self.start(&group, cores)?;
                let name = format!("{} cores, {mib} MiB", cores.len());
                self.ask(&Server::of("publisher", &publisher)?, &name, requests, &mut part)?;
            }
        }
        Ok(part)
    }

    /// How many requests one server answers, as fast as it does.
    fn ask(&self, server: &Server, name: &str, requests: u64, part: &mut Part) -> anyhow::Result<()> {
        let processes = [server.process, named("consumer", self.consumer)?];
        let [mut per_s, mut per_cpu_s] = [const { Vec::new() }; 2];
        for _ in 0..self.options.runs {
            let load = self.load(&server.base, CONNECTIONS, requests, 0)?;
            let Loaded { report, usage } = self.stage.load(&load, &processes)?;
            report.require_all("sold_out")?;
            part.note_others(usage.others);
            per_s.push(report.answers_per_s);
            per_cpu_s.push(approximate(requests) / usage.cpu_s(server.process.name));
        }
        part.series.push(Series::of(name, "requests/s", per_s));
        part.series.push(Series::of(name, "requests/CPU-s", per_cpu_s));
        Ok(())
    }

    fn measure_outwards(&self) -> anyhow::Result<Part> {
        let requests = self.size(REQUESTS_OF_EACH);
        let mut part = Part::of(format!(
            "publishers of a tenth of a core: {requests} requests a run to each, {CONNECTIONS_OF_EACH} connections to each"
        ));
        let limits = Limits { core_thousandths: Some(CORE_THOUSANDTHS), ..Limits::default() };
        let peer_group = ControlGroup::new("nginx", limits)?;
        let place =
            Place { cores: CORES[0].to_vec(), groups: vec![peer_group.entrances()], ..Place::default() };
        let nginx = stage::start_nginx(place)?;
        let nginx = [Server::of("nginx", &nginx)?];
        let answered = (0..self.options.runs).map(|_| self.flood(&nginx, requests, &mut part));
        let answered = answered.collect::<anyhow::Result<_>>()?;
        part.series.push(Series::of("one nginx, return 200", "requests/s", answered));
        let mut alone = None;
        for instances in INSTANCES {
            let groups = (0..instances).map(|number| ControlGroup::new(&format!("{number}"), limits));
            let groups: Vec<_> = groups.collect::<anyhow::Result<_>>()?;
            let publishers = groups.iter().map(|group| self.start(group, CORES[0]));
            let publishers: Vec<_> = publishers.collect::<anyhow::Result<_>>()?;
            let servers = publishers.iter().map(|publisher| Server::of("publisher", publisher));
            let servers: Vec<_> = servers.collect::<anyhow::Result<_>>()?;
            let per_s = (0..self.options.runs).map(|_| self.flood(&servers, requests, &mut part));
            let per_s = per_s.collect::<anyhow::Result<_>>()?;
            let series = Series::of(format!("{instances} publishers"), "requests/s", per_s);
            let alone = *alone.get_or_insert(series.spread.median);
            part.notes.push(format!(
                "{instances} publishers answer {:.2} × as many as one",
                series.spread.median / alone
            ));
            part.series.push(series);
        }
        Ok(part)
    }

    /// Requests a second of all servers together.
    fn flood(&self, servers: &[Server], requests: u64, part: &mut Part) -> anyhow::Result<f64> {
        let mut processes: Vec<_> = servers.iter().map(|server| server.process).collect();
        processes.extend(self.stage.processes());
        let before = Reading::take(&processes)?;
        let generators = servers.iter().enumerate().map(|(number, server)| {
            Generator::start(&self.load(&server.base, CONNECTIONS_OF_EACH, requests, number)?)
        });
        let generators: Vec<_> = generators.collect::<anyhow::Result<_>>()?;
        let mut per_s = 0.0;
        for generator in generators {
            let report = generator.finish()?;
            report.require_all("sold_out")?;
            per_s += report.answers_per_s;
        }
        let usage = Reading::take(&processes)?.since(&before);
        part.note_others(usage.others);
        eprintln!("requests: scaling, {} servers: {per_s:.0}/s\n{usage}", servers.len());
        Ok(per_s)
    }

    /// A publisher that knows that the sale is full.
    fn start(&self, group: &ControlGroup, cores: &[u16]) -> anyhow::Result<Node> {
        let place = Place { cores: cores.to_vec(), groups: vec![group.entrances()], ..Place::default() };
        let publisher = self.stage.start("publisher", place)?;
        self.stage.ask_until(&publisher, &self.sales[0], "sold_out")?;
        Ok(publisher)
    }

    /// The load of the generator of this number.
    fn load<'a>(
        &'a self,
        base: &'a str,
        connections: u32,
        requests: u64,
        number: usize,
    ) -> anyhow::Result<Load<'a>> {
        Ok(Load {
            base,
            sales: self.sales,
            tokens: self.stage.people.tokens(PEOPLE)?,
            connections,
            pace: Pace::AsAnswered { requests },
            core: None,
            report: self.stage.directory().join(format!("load-{number}.json")),
        })
    }

    fn size(&self, requests: u64) -> u64 {
        if self.options.quick { requests / QUICK_DIVISOR } else { requests }
    }
}
