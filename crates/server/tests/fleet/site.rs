//! A fleet on services of its own, every one of them behind a proxy that can stall and cut the network.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::process::Output;
use std::time::{Duration, Instant};

use hyper::Method;
use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;
use lapin::{Connection, ConnectionProperties};
use miaosha_testkit::fault_proxy::FaultProxy;
use miaosha_testkit::services::{
    Addresses, MariaDbServer, MysqlAddresses, Service as _, Services, Site, SitePlan,
};
use serde_json::Value;

use crate::support::{Http, PATIENCE};

pub(crate) const DATABASE: &str = "miaosha";
/// The queues of accepted requests, and what was put aside.
const QUEUES: [&str; 6] =
    ["requests.0", "requests.1", "requests.2", "requests.3", "requests.parked", "dead-letters"];

/// The fleet, its services, and the way to it. Ends with this value.
pub(crate) struct Fleet {
    pub(crate) site: Site,
    pub(crate) rabbitmq_proxy: FaultProxy,
    pub(crate) mysql_proxy: FaultProxy,
    /// One per replica, in the same order. They stand before the processes, not between the replicas and their primary.
    pub(crate) replica_proxies: Vec<FaultProxy>,
    pub(crate) services: Services,
    http: Http,
}

impl Deref for Fleet {
    type Target = Http;

    fn deref(&self) -> &Http {
        &self.http
    }
}

/// What the processes said, where a test fails.
impl Drop for Fleet {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        for (role, node) in self.site.nodes() {
            println!("{role} {}:\n{}", node.number(), node.daemon().last_words());
        }
        println!("rabbitmq:\n{}", self.services.rabbitmq.daemon().last_words());
    }
}

impl Fleet {
    /// Two processes of each role, with these further settings.
    pub(crate) fn start(settings: &[(&str, &str)]) -> Self {
        Self::start_with([2; 4], settings)
    }

    /// So many processes of each role: publisher, push, consumer, general.
    pub(crate) fn start_with(processes: [u16; 4], settings: &[(&str, &str)]) -> Self {
        Self::on(Services::start_with_redis_behind_proxies().unwrap(), processes, settings)
    }

    /// The same on these services.
    pub(crate) fn on(services: Services, processes: [u16; 4], settings: &[(&str, &str)]) -> Self {
        let rabbitmq_proxy = FaultProxy::start(services.rabbitmq.address()).unwrap();
        let before = |server: &MariaDbServer| FaultProxy::start(server.address()).unwrap();
        let mysql_proxy = before(&services.mysql.primary);
        let replica_proxies: Vec<_> = services.mysql.replicas.iter().map(before).collect();
        let url = |proxy: &FaultProxy| format!("mysql://root@{}", proxy.address());
        let direct = services.addresses();
        let addresses = Addresses {
            rabbitmq: direct
                .rabbitmq
                .replace(&services.rabbitmq.address().to_string(), &rabbitmq_proxy.address().to_string()),
            mysql: MysqlAddresses {
                primary: url(&mysql_proxy),
                replicas: replica_proxies.iter().map(url).collect(),
            },
            redis: direct.redis,
            authority: direct.authority,
        };
        let mut plan = SitePlan::new(env!("CARGO_BIN_EXE_miaosha"), addresses, DATABASE);
        plan.processes = processes;
        plan.settings = settings.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        let site = Site::start(plan).unwrap();
        let http = Http::of(site.base());
        Self { site, rabbitmq_proxy, mysql_proxy, replica_proxies, services, http }
    }

    /// Runs a command of the binary on the site.
    pub(crate) fn cli(&self, arguments: &[&str]) -> Output {
        self.site.command().args(arguments).output().unwrap()
    }

    /// Plans a sale and returns its id.
    pub(crate) fn create_sale(&self, arguments: &[&str]) -> String {
        let output = self.cli(&[&["sale", "create", "--title", "Console"], arguments].concat());
        assert!(output.status.success(), "{output:?}");
        let sale: Value = serde_json::from_slice(&output.stdout).unwrap();
        sale["id"].as_str().unwrap().to_owned()
    }

    /// Session tokens of load-test users `1..=last`; needs `MIAOSHA_DEV__TOKEN_MINT`.
    pub(crate) fn tokens(&self, last: u64) -> Vec<String> {
        let output = self.cli(&["token", "mint", "--users", &format!("1..{last}")]);
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
    }

    /// Waits until a sale sells.
    pub(crate) async fn wait_until_open(&self, sale: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let found = self.try_call(Method::GET, &format!("/api/v1/sales/{sale}"), None, None).await;
            if found.is_ok_and(|answer| answer.body["state"] == "open") {
                return;
            }
            assert!(Instant::now() < deadline, "the sale does not open");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until nobody pays any more, and until every unit that is reserved at the call is paid or taken back at its
    /// deadline; gives the recount.
    pub(crate) async fn settled(&self, sale: &str) -> Value {
        let reserved = |what: &str| {
            let select =
                format!("SELECT {what} FROM {DATABASE}.claims WHERE sale = {sale} AND status = 'reserved'");
            self.services.mysql.primary.query(&select).unwrap()
        };
        let last = reserved("COALESCE(MAX(hold_until), 0)");
        let deadline = Instant::now() + PATIENCE * 2;
        loop {
            let overdue = reserved(&format!("COUNT(IF(hold_until <= {last}, 1, NULL))"));
            let found = self.verify(sale);
            if found["paying"] == 0 && overdue == "0" {
                return found;
            }
            assert!(
                Instant::now() < deadline,
                "payments, or {overdue} reservations of before {last}, stay open: {found}"
            );
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Recounts a sale; whatever is broken fails the test.
    pub(crate) fn verify(&self, sale: &str) -> Value {
        let output = self.cli(&["sale", "verify", sale, "--json"]);
        let found: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
        assert!(output.status.success() && found["ok"] == true, "{found}");
        found
    }

    /// How many messages wait in each queue that should be empty once everything is decided.
    pub(crate) async fn waiting_messages(&self) -> BTreeMap<String, u32> {
        let properties = ConnectionProperties::default();
        let connection = Connection::connect(&self.services.rabbitmq.uri(), properties).await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        let mut waiting = BTreeMap::new();
        for queue in QUEUES {
            let name = format!("{DATABASE}.{queue}");
            let look = QueueDeclareOptions::durable().passive();
            let found = channel.queue_declare(name.into(), look, FieldTable::default()).await.unwrap();
            waiting.insert(queue.to_owned(), found.message_count());
        }
        connection.close(0, "".into()).await.unwrap();
        waiting
    }

    /// The `seq` of everyone who was promoted in a sale, in the order of promotion.
    pub(crate) fn promoted(&self, sale: &str) -> Vec<u64> {
        let rows = self
            .services
            .mysql
            .primary
            .query(&format!(
                "SELECT c.seq FROM {DATABASE}.claim_events e JOIN {DATABASE}.claims c ON c.sale = e.sale AND c.user = e.user \
                 WHERE e.sale = {sale} AND e.from_status = 'standby' AND e.to_status = 'reserved' ORDER BY e.id"
            ))
            .unwrap();
        rows.lines().map(|line| line.parse().unwrap()).collect()
    }
}
