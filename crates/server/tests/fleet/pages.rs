//! What a crowd that loads pages asks of the database servers, over what a fleet asks that nobody visits.
//!
//! Loading the list of sales asks for the document `/` and `GET /api/v1/sales`; loading a sale asks for its document,
//! `GET /api/v1/sales/{id}` and, if somebody is signed in, his claim. The pages ask for the claim over the socket while it
//! stands, and by `GET /api/v1/sales/{id}/claim` otherwise: here all do the latter. No page asks `GET /api/v1/me`, and
//! assets are kept for good. Who was there before names the tag of the document that his browser has, and of the texts,
//! as a client does that keeps them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures_util::stream::{self, StreamExt as _};
use http_body_util::Full;
use hyper::Request;
use hyper::header::{ACCEPT, ETAG, HeaderValue, IF_NONE_MATCH};
use miaosha_testkit::services::{MariaDbServer, Service as _};
use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::site::Fleet;
use crate::support::http::Answer;
use crate::support::{Http, PATIENCE};
use crate::{MACHINE, setting};

const SETTINGS: [(&str, &str); 2] = [("MIAOSHA_DEV__TOKEN_MINT", "true"), ("MIAOSHA_LOG__FILTER", "warn")];
const CARD: &str = "4242424242424242";
/// So long pages are loaded at least. What processes ask by the clock may come once more while loading than when idle, and
/// in a shorter time that would count for more than what is measured.
const LOADING_MIN: Duration = Duration::from_secs(6);
/// Pages loaded at the same time.
const LOADS_MAX: usize = 64;
/// Of the people of the sale that is looked at, in order: who pays, who has a unit, who has one or stands by, all.
const PAYERS: usize = 10;
const STOCK: usize = 40;
const STANDBY_END: usize = 2 * STOCK;
const PEOPLE: usize = 200;
/// So many more each second, on all database servers together, than when nobody loads a page.
const MORE_PER_SECOND_MAX: f64 = 10.0;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_that_loads_pages_asks_the_database_next_to_nothing() {
    let _alone = MACHINE.lock().await;
    let fleet = tokio::task::spawn_blocking(|| Fleet::start(&SETTINGS)).await.unwrap();
    let crowd = Visitors::of(&fleet).await;
    let pages_min = setting("FLEET_PAGES", 10_000);
    let looked_up = LookUps::so_far(&fleet).await;
    let (loading_until, mut pages) = (Instant::now() + LOADING_MIN, 0);
    let next = std::iter::from_fn(|| {
        let goes_on = pages < pages_min || Instant::now() < loading_until;
        goes_on.then(|| {
            pages += 1;
            pages - 1
        })
    });
    let loading = stream::iter(next).for_each_concurrent(LOADS_MAX, |page| crowd.load(page));
    let loaded = Asked::during(&fleet, loading).await;
    let looked_up = LookUps::so_far(&fleet).await.since(&looked_up);
    let idle = Asked::during(&fleet, tokio::time::sleep(loaded.took)).await;

    let seconds = loaded.took.as_secs_f64();
    println!("{pages} pages in {seconds:.1} s, {:.0} a second", as_f64(pages) / seconds);
    println!("{} texts were known already", crowd.unchanged.load(Ordering::Relaxed));
    println!("claims from memory: {} of {}", looked_up.hits, looked_up.hits + looked_up.misses);
    println!(
        "statements a second: {:.1?} while loading, {:.1?} when idle",
        loaded.per_second(),
        idle.per_second()
    );
    let more = loaded.per_second().iter().sum::<f64>() - idle.per_second().iter().sum::<f64>();
    println!("{more:.1} statements a second more than when idle");
    assert!(more < MORE_PER_SECOND_MAX, "too many:\n{}\nidle:\n{}", loaded.kinds, idle.kinds);
}

/// What the primary and its replicas were asked.
struct Asked {
    took: Duration,
    /// By server, the primary first.
    statements: Vec<u64>,
    kinds: String,
}

impl Asked {
    /// While this goes on.
    async fn during(fleet: &Fleet, work: impl Future<Output = ()>) -> Self {
        let mysql = &fleet.services.mysql;
        let servers = std::iter::once(&mysql.primary).chain(&mysql.replicas);
        let count = |server: &MariaDbServer| server.statements().unwrap();
        for server in servers.clone() {
            server.log_statements().unwrap();
        }
        let (began, before) = (Instant::now(), servers.clone().map(count).collect::<Vec<_>>());
        work.await;
        let (took, after) = (began.elapsed(), servers.clone().map(count));
        Self {
            took,
            statements: after.zip(before).map(|(after, before)| after - before).collect(),
            kinds: servers.map(|server| server.logged_statements().unwrap()).collect::<Vec<_>>().join("\n\n"),
        }
    }

    fn per_second(&self) -> Vec<f64> {
        self.statements.iter().map(|count| as_f64(*count) / self.took.as_secs_f64()).collect()
    }
}

/// Look-ups of claims, and whether they were answered from memory.
struct LookUps {
    hits: u64,
    misses: u64,
}

impl LookUps {
    async fn so_far(fleet: &Fleet) -> Self {
        let (mut hits, mut misses) = (0, 0);
        for node in &fleet.site.general {
            let of_node = Self::of(&Http::of(format!("http://{}", node.address()))).await;
            (hits, misses) = (hits + of_node.hits, misses + of_node.misses);
        }
        Self { hits, misses }
    }

    async fn of(node: &Http) -> Self {
        let figure = async |outcome| {
            node.figure(&format!(r#"miaosha_cache_total{{cache="claims",outcome="{outcome}"}}"#)).await
        };
        Self { hits: figure("hit").await, misses: figure("miss").await }
    }

    fn since(&self, before: &Self) -> Self {
        Self { hits: self.hits - before.hits, misses: self.misses - before.misses }
    }
}

/// Those who load pages.
struct Visitors {
    http: Http,
    sale: String,
    /// What everybody gets: of the list, and of the sale.
    list: [Text; 2],
    shown: [Text; 2],
    /// Those who have paid, reserve, stand by, and have nothing, in this order.
    tokens: Vec<String>,
    /// Texts that were not sent again.
    unchanged: AtomicU64,
}

/// What a browser asks for to show a page to anybody.
struct Text {
    path: String,
    accept: &'static str,
    /// Its tag.
    tag: HeaderValue,
}

impl Visitors {
    /// Sells a sale out, among sales that are open and planned.
    async fn of(fleet: &Fleet) -> Self {
        for starts_in in ["0s", "0s", "5h", "5h"] {
            fleet.create_sale(&["--stock", "10", "--starts-in", starts_in, "--lasts", "10h"]);
        }
        let stock = STOCK.to_string();
        let plan =
            ["--stock", &stock, "--standby", &stock, "--starts-in", "0s", "--lasts", "10h", "--hold", "1h"];
        let sale = fleet.create_sale(&[&plan[..], &["--price", "199.00"]].concat());
        let tokens = fleet.tokens(PEOPLE as u64);
        fleet.wait_until_open(&sale).await;
        for (place, token) in tokens[..STANDBY_END].iter().enumerate() {
            assert_eq!(fleet.buy(&sale, token).await.status, 202);
            let claim =
                fleet.claim_when(&sale, token, if place < STOCK { "reserved" } else { "standby" }).await;
            if place < PAYERS {
                let paid = fleet.check_out(claim.text("checkout_token"), CARD).await;
                assert_eq!(paid.status, 201, "{paid:?}");
            }
        }
        for node in &fleet.site.general {
            for token in &tokens[..PAYERS] {
                wait_until_remembered(&Http::of(format!("http://{}", node.address())), &sale, token).await;
            }
        }
        let http = (**fleet).clone();
        Self {
            list: Text::of_page(&http, "/", "/api/v1/sales").await,
            shown: Text::of_page(&http, &format!("/sales/{sale}"), &format!("/api/v1/sales/{sale}")).await,
            http,
            sale,
            tokens,
            unchanged: AtomicU64::new(0),
        }
    }

    /// Loads one page: sees one of four the list, one of four a sale without being signed in.
    async fn load(&self, number: u64) {
        let mut random = SmallRng::seed_from_u64(number);
        let was_here = random.random_bool(0.5);
        let (sees_list, is_signed_in) = (random.random_ratio(1, 4), random.random_ratio(2, 3));
        for text in if sees_list { &self.list } else { &self.shown } {
            let status = text.get(&self.http, was_here).await.status;
            assert_eq!(status, if was_here { 304 } else { 200 }, "{}", text.path);
            self.unchanged.fetch_add(was_here.into(), Ordering::Relaxed);
        }
        if !sees_list && is_signed_in {
            let place = random.random_range(0..self.tokens.len());
            let claim = self.http.claim(&self.sale, &self.tokens[place]).await;
            let status = match place {
                0..PAYERS => "paid",
                PAYERS..STOCK => "reserved",
                STOCK..STANDBY_END => "standby",
                _ => "none",
            };
            assert_eq!((claim.status, claim.text("status")), (200, status), "{claim:?}");
        }
    }
}

/// Waits until a process looks somebody up in memory: not while what he did may be newer than that.
async fn wait_until_remembered(node: &Http, sale: &str, token: &str) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let before = LookUps::of(node).await.hits;
        assert_eq!(node.claim(sale, token).await.status, 200);
        if LookUps::of(node).await.hits > before {
            return;
        }
        assert!(Instant::now() < deadline, "somebody is always read from his row");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

impl Text {
    /// A document and what it shows, as they are now.
    async fn of_page(http: &Http, document: &str, content: &str) -> [Self; 2] {
        let unknown =
            |path: &str, accept| Self { path: path.to_owned(), accept, tag: HeaderValue::from_static("") };
        let mut texts = [unknown(document, "text/html"), unknown(content, "application/json")];
        for text in &mut texts {
            let answer = text.get(http, false).await;
            assert_eq!(answer.status, 200, "{}: {answer:?}", text.path);
            text.tag = answer.headers[ETAG].clone();
        }
        texts
    }

    async fn get(&self, http: &Http, is_known: bool) -> Answer {
        let mut request = Request::get(format!("{}{}", http.base, self.path)).header(ACCEPT, self.accept);
        if is_known {
            request = request.header(IF_NONE_MATCH, &self.tag);
        }
        http.send(request.body(Full::default()).unwrap()).await.unwrap()
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of a test are far below 2^52")]
fn as_f64(count: u64) -> f64 {
    count as f64
}
