//! The site on its two cores, its sales, and the people who come.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{bail, ensure};
use futures_util::stream::{StreamExt as _, TryStreamExt as _, iter};
use hyper::Method;
use miaosha_testkit::services::{PATIENCE, Place, Service, Services, Site, SitePlan};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::http::Http;
use crate::probe::{Call, Plan};
use crate::sales::{SalePlan, ask};
use crate::usage::Process;
use crate::{FLOOD_CORE, SITE_CORE};

const DATABASE: &str = "miaosha";
const SETTINGS: [(&str, &str); 2] = [("MIAOSHA_DEV__TOKEN_MINT", "true"), ("MIAOSHA_LOG__FILTER", "warn")];
/// One in so many of a second's requests gets a unit of the flooded sale, and one stands by, so that it is sold out within
/// a fraction of the first second.
const REQUESTS_PER_UNIT: u32 = 20;

const LIST_INTERVAL: Duration = Duration::from_millis(50);
const CHECKOUT_INTERVAL: Duration = Duration::from_millis(50);
const SIGN_IN_INTERVAL: Duration = Duration::from_millis(500);

/// Who signs in, in turn.
const ACCOUNTS: u32 = 8;
const PASSWORD: &str = "correct horse battery";
/// Calls of the people who buy before a measurement, at once.
const CALLS_MAX: usize = 32;
const POLL_INTERVAL: Duration = Duration::from_millis(50);
const GOOD_CARD: &str = "4242424242424242";

/// A site that is ready. Ends with this value.
pub(crate) struct Stage {
    site: Site,
    services: Services,
    runtime: Runtime,
    directory: TempDir,
    /// Load-test users with a token so far; the first of them flood.
    people: u64,
}

impl Stage {
    /// Starts everything, and gives `people` their tokens.
    pub(crate) fn set(people: u64) -> anyhow::Result<Self> {
        let began = Instant::now();
        let services = Services::start()?;
        let mut plan = SitePlan::new(env!("CARGO_BIN_EXE_miaosha"), services.addresses(), DATABASE);
        plan.settings = SETTINGS.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        plan.processes = [1; 4];
        plan.places = [FLOOD_CORE, SITE_CORE, SITE_CORE, SITE_CORE].map(Place::on);
        plan.front.place = Place::on(FLOOD_CORE);
        let site = Site::start(plan)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let directory = tempfile::tempdir()?;
        let stage = Self { site, services, runtime, directory, people };
        stage.runtime.block_on(sign_people_up(&stage.visitor()))?;
        let tokens = File::create(stage.tokens())?;
        let mut mint = stage.site.command();
        mint.args(["token", "mint", "--ttl", "6h", "--users", &format!("1..{people}")]).stdout(tokens);
        let minted = mint.output()?;
        ensure!(minted.status.success(), "no tokens: {}", String::from_utf8_lossy(&minted.stderr));
        eprintln!(
            "flood: the site and {people} people are ready after {:.0} s",
            began.elapsed().as_secs_f32()
        );
        Ok(stage)
    }

    /// Where visitors go.
    pub(crate) fn base(&self) -> String {
        self.site.base()
    }

    /// The tokens of those who flood, one a line.
    pub(crate) fn tokens(&self) -> PathBuf {
        self.directory().join("tokens")
    }

    /// For files of this run.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// All that runs, with the generator if there is one.
    pub(crate) fn processes(&self, generator: Option<Process>) -> Vec<Process> {
        let mut processes = vec![Process { name: "probes", id: std::process::id() }];
        processes.extend(generator);
        let mut add = |name, service: &dyn Service| {
            processes.extend(service.process_id().map(|id| Process { name, id }));
        };
        add("nginx", &self.site.front);
        for (role, node) in self.site.nodes() {
            add(role, node);
        }
        for node in &self.services.redis.nodes {
            add("redis", node);
        }
        add("rabbitmq", &self.services.rabbitmq);
        add("mariadb", &self.services.mysql.primary);
        for replica in &self.services.mysql.replicas {
            add("mariadb", replica);
        }
        processes
    }

    /// A sale that is open and has what a flood of `rate` requests a second takes at once.
    pub(crate) fn open_sale_for_the_flood(&self, rate: u32) -> anyhow::Result<String> {
        self.open_sale((rate / REQUESTS_PER_UNIT).max(1))
    }

    /// What Nginx has complained of so far, a line each.
    pub(crate) fn complaints(&self) -> anyhow::Result<Vec<String>> {
        Ok(self.site.front.error_log()?.lines().map(str::to_owned).collect())
    }

    /// Recounts a sale. An error if an invariant is broken.
    pub(crate) fn verify(&self, sale: &str) -> anyhow::Result<()> {
        ask(self.site.command(), &["sale", "verify", sale]).map(drop)
    }

    /// The calls of `span`: people look at the list, sign in, and pay what they have reserved in a sale of their own.
    pub(crate) fn plan_probes(&mut self, span: Duration) -> anyhow::Result<Vec<Plan>> {
        let count = |interval: Duration| u32::try_from(span.as_millis() / interval.as_millis());
        let list = call(Method::GET, "/api/v1/sales", None, None, 200);
        let reserved = self.reserve(count(CHECKOUT_INTERVAL)?)?;
        let checkouts = reserved.into_iter().map(|token| {
            let body = json!({
                "payment": { "method": "sandbox", "card": GOOD_CARD },
                "shipping": { "name": "Ann", "phone": "+1 555 0100", "address": "1 Main Street" },
            });
            call(Method::POST, "/api/v1/checkout", Some(token), Some(body), 201)
        });
        let sign_ins = (0..count(SIGN_IN_INTERVAL)?).map(|number| {
            let body = json!({ "email": email(number % ACCOUNTS), "password": PASSWORD });
            call(Method::POST, "/api/v1/sessions", None, Some(body), 200)
        });
        let plan = |name, interval, offset_ms, calls| Plan {
            name,
            interval,
            offset: Duration::from_millis(offset_ms),
            calls,
        };
        Ok(vec![
            plan("sale list", LIST_INTERVAL, 0, vec![list; count(LIST_INTERVAL)? as usize]),
            plan("checkout", CHECKOUT_INTERVAL, 17, checkouts.collect()),
            plan("sign-in", SIGN_IN_INTERVAL, 34, sign_ins.collect()),
        ])
    }

    /// Sells `count` units to as many newcomers. Their checkout tokens.
    fn reserve(&mut self, count: u32) -> anyhow::Result<Vec<String>> {
        let sale = self.open_sale(count)?;
        let first = self.people + 1;
        self.people += u64::from(count);
        let range = format!("{first}..{}", self.people);
        let tokens = ask(self.site.command(), &["token", "mint", "--users", &range])?;
        let http = self.visitor();
        self.runtime.block_on(async {
            let buyers = tokens.lines().map(|token| reserve_one(&http, &sale, token));
            iter(buyers).buffer_unordered(CALLS_MAX).try_collect().await
        })
    }

    /// Plans a sale of `stock` units and waits until it is open.
    fn open_sale(&self, stock: u32) -> anyhow::Result<String> {
        let sale = SalePlan { stock, standby: None }.plan(self.site.command())?;
        let path = format!("/api/v1/sales/{sale}");
        let http = self.visitor();
        let deadline = Instant::now() + PATIENCE;
        self.runtime.block_on(async {
            loop {
                let found = http.try_call(Method::GET, &path, None, None).await?;
                if found.body["state"] == "open" {
                    return Ok(sale);
                }
                ensure!(Instant::now() < deadline, "the sale does not open: {found:?}");
                tokio::time::sleep(POLL_INTERVAL).await;
            }
        })
    }

    /// A way to the site, anew for each use: a connection that nobody looks after for half a minute is one that Nginx has
    /// closed.
    fn visitor(&self) -> Http {
        Http::of(self.base())
    }
}

async fn sign_people_up(http: &Http) -> anyhow::Result<()> {
    for number in 0..ACCOUNTS {
        let person = json!({ "email": email(number), "name": "Ann", "password": PASSWORD });
        let answer = http.try_call(Method::POST, "/api/v1/users", None, Some(person)).await?;
        ensure!(answer.status == 201, "no account: {answer:?}");
    }
    Ok(())
}

/// The checkout token of a newcomer who gets a unit. Asks on where the site says that it may be asked again.
async fn reserve_one(http: &Http, sale: &str, token: &str) -> anyhow::Result<String> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let asked = http.buy(sale, token).await;
        match asked.status {
            200 | 202 => break,
            503 => ensure!(Instant::now() < deadline, "not accepted: {asked:?}"),
            _ => bail!("not accepted: {asked:?}"),
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
    loop {
        let claim = http.claim(sale, token).await;
        if let Some(token) = claim.body["checkout_token"].as_str() {
            return Ok(token.to_owned());
        }
        ensure!(Instant::now() < deadline, "no reservation: {claim:?}");
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

fn email(number: u32) -> String {
    format!("ann-{number}@example.com")
}

fn call(
    method: Method,
    path: &'static str,
    token: Option<String>,
    body: Option<Value>,
    expected: u16,
) -> Call {
    Call { method, path, token, body, expected }
}
