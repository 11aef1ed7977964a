//! Tells people: takes news in order, adds what a claim's person is shown, and emits.

use std::sync::{Arc, OnceLock};

use miaosha_app::Ports;
use miaosha_app::board::{Board, BoardSale, COUNTED_AGAIN_AFTER, News, StandbyTick};
use miaosha_app::look_up_claim::{ClaimView, PersonalStanding};
use miaosha_domain::claim::{Claim, ClaimStatus};
use miaosha_domain::ids::SaleId;
use miaosha_push::Server;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::standby_calls::StandbyCalls;
use super::{NAMESPACE, words};
use crate::claim_reader::ClaimReader;
use crate::tokens::Keyring;
use crate::web::Web;

/// Tells what it is given, one after the other.
pub struct Teller {
    ports: Ports,
    board: Arc<Board>,
    claims: Arc<ClaimReader>,
    keyring: Arc<Keyring>,
    server: Arc<OnceLock<Server>>,
    waiting: mpsc::Receiver<News>,
    standby_calls: StandbyCalls,
}

impl Teller {
    pub(super) fn new(web: &Web, server: Arc<OnceLock<Server>>, waiting: mpsc::Receiver<News>) -> Self {
        Self {
            ports: web.ports.clone(),
            board: web.board.clone(),
            claims: web.claims.clone(),
            keyring: web.keyring.clone(),
            server,
            waiting,
            standby_calls: StandbyCalls::default(),
        }
    }

    /// Tells until every bridge is dropped.
    pub async fn run(mut self) {
        loop {
            let news = match self.standby_calls.next_at() {
                None => self.waiting.recv().await,
                Some(at) => tokio::select! {
                    news = self.waiting.recv() => news,
                    () = sleep_until(at) => {
                        self.call_standby();
                        continue;
                    }
                },
            };
            let Some(news) = news else { return };
            let Some(server) = self.server.get().cloned() else { continue };
            let started = self.ports.clock.now();
            self.tell(&server, &news).await;
            let took = self.ports.clock.now().saturating_since(started);
            metrics::histogram!("miaosha_push_seconds").record(took.as_secs_f64());
        }
    }

    async fn tell(&mut self, server: &Server, news: &News) {
        let sale = &news.sale;
        let now = self.ports.clock.now();
        let room = words::room(sale.sale.id);
        if let Some(state) = news.state {
            server.room(NAMESPACE, &room).emit("sale", &[&words::sale(sale, state)]);
        }
        let (users, views) = self.views(sale, &news.claims).await;
        let keyring = Arc::clone(&self.keyring);
        server.emit_many(NAMESPACE, "claim", users, move |place| words::claim(&views[place], &keyring, now));
        if !news.rejected.is_empty() {
            let rejected: Arc<[u64]> = news.rejected.iter().map(|user| user.get()).collect();
            let view = bare(sale.sale.id, PersonalStanding::Rejected);
            server.tags(NAMESPACE, rejected).emit("claim", &[&words::claim(&view, &self.keyring, now)]);
        }
        if let Some(tick) = news.standby {
            self.tell_standby(server, sale, &tick);
        }
    }

    /// Tells how standby moves: all who watch, or if those are very many only whoever stands by, and all later.
    fn tell_standby(&mut self, server: &Server, sale: &BoardSale, tick: &StandbyTick) {
        let id = sale.sale.id;
        let audience = if self.standby_calls.reaches_all(id, server.counts().sockets, Instant::now()) {
            server.room(NAMESPACE, &words::room(id))
        } else {
            let standing: Vec<u64> = sale.standing_users().iter().map(|user| user.get()).collect();
            server.tags(NAMESPACE, standing)
        };
        audience.emit("standby", &[&words::standby(id, tick)]);
    }

    /// Tells all who watch a sale how its standby stands, where they have not heard it for long enough.
    fn call_standby(&mut self) {
        let due = self.standby_calls.take_due(Instant::now());
        let Some(server) = self.server.get() else { return };
        for sale in due.into_iter().filter_map(|id| self.board.lookup(id)) {
            let id = sale.sale.id;
            let words = words::standby(id, &sale.standby());
            server.room(NAMESPACE, &words::room(id)).emit("standby", &[&words]);
        }
    }

    /// The place in standby, from memory alone: most of those whom the news is about are on other nodes. `None` where this
    /// one has not heard of everybody ahead; a client counts from its `seq`, then, or looks up.
    async fn place(&self, sale: &BoardSale, seq: u64) -> Option<u64> {
        let place = sale.place(seq, self.ports.clock.now());
        if place.is_some() || sale.claims_lacking() > 0 {
            return place;
        }
        // They came just after the last count. All news that comes meanwhile is told by the next one.
        self.ports.clock.sleep(COUNTED_AGAIN_AFTER).await;
        sale.place(seq, self.ports.clock.now())
    }

    /// Whose claims they are, and each with its place or its order, from memory alone: a client that is told of a payment
    /// without its order looks up. Newcomers who stand by one behind the other need one look at the places.
    async fn views(&self, sale: &BoardSale, claims: &[Claim]) -> (Vec<u64>, Vec<ClaimView>) {
        let is_standby = |claim: &Claim| claim.status == ClaimStatus::Standby;
        let (mut waiting, others): (Vec<Claim>, Vec<Claim>) = claims.iter().copied().partition(is_standby);
        waiting.sort_unstable_by_key(|claim| claim.seq);
        let (mut users, mut views) = (Vec::with_capacity(claims.len()), Vec::with_capacity(claims.len()));
        for neighbours in waiting.chunk_by(|a, b| a.seq + 1 == b.seq) {
            let place = self.place(sale, neighbours[0].seq).await;
            for (claim, behind) in neighbours.iter().zip(0..) {
                users.push(claim.user.get());
                let position = place.map(|place| place + behind);
                views.push(ClaimView { position, ..bare_claim(*claim) });
            }
        }
        for claim in others {
            users.push(claim.user.get());
            views.push(ClaimView { order: self.claims.known_order(&claim), ..bare_claim(claim) });
        }
        (users, views)
    }
}

fn bare_claim(claim: Claim) -> ClaimView {
    bare(claim.sale, PersonalStanding::Claim(claim))
}

fn bare(sale: SaleId, standing: PersonalStanding) -> ClaimView {
    ClaimView { sale, standing, position: None, order: None }
}
