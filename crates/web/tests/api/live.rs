//! What sockets are answered, over real connections: by long-polling, where one request brings an event and another its
//! answer.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use miaosha_app::board::News;
use miaosha_app::follow::Listener as _;
use miaosha_app::model::{Role, SaleRow};
use miaosha_domain::claim::{Claim, ClaimStatus};
use miaosha_domain::ids::{ProductId, SaleId};
use miaosha_domain::sale::{Product, Sale};
use miaosha_push::{Config, Server};
use miaosha_web::live::Live;
use miaosha_web::{Site as Served, SocketService, WebLimits};
use serde_json::json;
use tokio::runtime::Handle;
use tokio::task::JoinSet;

use crate::running::{Client, Running, config, served};
use crate::site::Site;
use crate::watched::Mood;

#[tokio::test]
async fn a_sale_that_this_process_has_not_heard_of_is_watched_all_the_same() {
    let site = Site::open().await;
    let sale = sale_of_another_process(&site).await;
    let (live, _teller) = Live::new(&site.web, Handle::current());
    let (server, running) = serve_sockets(&site, &live);
    let mut socket = Polling::connect(Client::connect(running.addr).await, "").await;

    assert!(site.board.lookup(sale).is_none());
    socket.say(&format!(r#"420["watch",{{"sale":"{sale}"}}]"#)).await;
    let answer = socket.hear("430").await;
    assert!(answer.starts_with(&format!(r#"430[{{"sale":"{sale}""#)), "{answer}");

    socket.say(r#"421["watch",{"sale":"1"}]"#).await;
    assert_eq!(socket.hear("431").await, r#"431[{"code":"no_such_sale"}]"#);
    running.stop().await;
    server.shut_down();
}

#[tokio::test]
async fn whoever_connects_is_told_of_sales_that_were_planned_since_others_did() {
    let site = Site::open().await;
    let (live, _teller) = Live::new(&site.web, Handle::current());
    let (server, running) = serve_sockets(&site, &live);
    let clock = async || {
        let mut socket = Polling::connect(Client::connect(running.addr).await, "").await;
        socket.hear(r#"42["clock""#).await
    };
    let told = clock().await;
    assert!(told.contains(r#""sales":[]"#), "{told}");
    let sale = site.sale(json!({})).await;
    site.clock.advance(Duration::from_millis(100));
    let told = clock().await;
    assert!(told.contains(&format!(r#""sales":[{{"id":"{sale}","starts_at":"#)), "{told}");
    running.stop().await;
    server.shut_down();
}

#[tokio::test]
async fn news_of_payments_waits_for_no_database() {
    let (site, watch) = Site::open_watched(WebLimits::default()).await;
    let sale = site.sale(json!({})).await;
    let person = site.person(Role::Buyer).await;
    site.buy(&sale, &person).await;
    let sale = site.board.lookup(sale.parse().unwrap()).unwrap();
    let reserved = site.ports.claims.list(sale.sale.id, 0, 1).await.unwrap()[0];
    let (live, teller) = Live::new(&site.web, Handle::current());
    let (server, running) = serve_sockets(&site, &live);
    let mut telling = JoinSet::new();
    telling.spawn(teller.run());
    let auth = json!({"token": person.token}).to_string();
    let mut socket = Polling::connect(Client::connect(running.addr).await, &auth).await;

    watch.set(Mood::Hanging);
    let news = |status, rev| News {
        sale: sale.clone(),
        state: None,
        standby: None,
        claims: vec![Claim { status, rev, ..reserved }],
        rejected: Vec::new(),
    };
    live.hear(&news(ClaimStatus::Paid, 3));
    live.hear(&news(ClaimStatus::Refunded, 4));
    let told = socket.hear(r#"42["claim""#).await;
    assert!(told.contains(r#""status":"paid""#) && !told.contains("order"), "{told}");
    let told = socket.hear(r#"42["claim""#).await;
    assert!(told.contains(r#""status":"refunded""#), "{told}");
    running.stop().await;
    server.shut_down();
}

fn serve_sockets(site: &Site, live: &Live) -> (Server, Running) {
    let server = Server::start(Config::default(), Arc::new(live.clone())).unwrap();
    live.connect_to(server.clone());
    let sockets: SocketService = {
        let server = server.clone();
        Arc::new(move |request| {
            let server = server.clone();
            async move { miaosha_push::http::respond(&server, request).await }.boxed()
        })
    };
    let running = Running::start(config(), Served { sockets: Some(sockets), ..served(site) });
    (server, running)
}

/// Stored, and not told to this process, which does not read it by itself any more.
async fn sale_of_another_process(site: &Site) -> SaleId {
    site.following.abort();
    let known = site.sale(json!({})).await;
    let SaleRow { sale, book, .. } = site.ports.sales.lookup(known.parse().unwrap()).await.unwrap().unwrap();
    let id = SaleId::new(site.ports.ids.next()).unwrap();
    let product = Product { id: ProductId::new(site.ports.ids.next()).unwrap(), ..sale.product };
    site.ports.sales.create(&Sale { id, product, ..sale }, &book).await.unwrap();
    id
}

/// A client without WebSocket.
struct Polling {
    client: Client,
    session: String,
    /// Packets that came and were not asked for yet.
    heard: Vec<String>,
}

impl Polling {
    async fn connect(mut client: Client, auth: &str) -> Self {
        client.send(&request("GET", "", "")).await;
        let (_, opened) = client.answer().await;
        let opened: serde_json::Value = serde_json::from_str(opened.strip_prefix('0').unwrap()).unwrap();
        let session = opened["sid"].as_str().unwrap().to_owned();
        let mut socket = Self { client, session, heard: Vec::new() };
        socket.say(&format!("40{auth}")).await;
        socket.hear("40").await;
        socket
    }

    async fn say(&mut self, packet: &str) {
        self.client.send(&request("POST", &format!("&sid={}", self.session), packet)).await;
        let (head, body) = self.client.answer().await;
        assert!(head.starts_with("http/1.1 200 "), "{head}{body}");
    }

    /// The next packet that begins so; others may come before it.
    async fn hear(&mut self, beginning: &str) -> String {
        loop {
            if let Some(place) = self.heard.iter().position(|packet| packet.starts_with(beginning)) {
                return self.heard.remove(place);
            }
            self.client.send(&request("GET", &format!("&sid={}", self.session), "")).await;
            let (head, body) = self.client.answer().await;
            assert!(head.starts_with("http/1.1 200 "), "{head}{body}");
            self.heard.extend(body.split('\x1e').map(str::to_owned));
        }
    }
}

fn request(method: &str, query: &str, body: &str) -> String {
    format!(
        "{method} /socket.io/?EIO=4&transport=polling{query} HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}
