//! Tells people: takes news in order, adds what a claim's person is shown, and emits.

use std::sync::{Arc, OnceLock};

use miaosha_app::Ports;
use miaosha_app::board::{BoardSale, News};
use miaosha_app::look_up_claim::{ClaimView, PersonalStanding};
use miaosha_app::ports::PortResult;
use miaosha_domain::claim::{Claim, ClaimStatus};
use miaosha_push::Server;
use tokio::sync::mpsc;
use tracing::warn;

use super::{NAMESPACE, words};
use crate::claim_reader::ClaimReader;
use crate::tokens::Keyring;

/// Tells what it is given, one after the other.
pub struct Teller {
    ports: Ports,
    claims: Arc<ClaimReader>,
    keyring: Arc<Keyring>,
    server: Arc<OnceLock<Server>>,
    waiting: mpsc::Receiver<News>,
}

impl Teller {
    pub(super) fn new(
        ports: Ports,
        claims: Arc<ClaimReader>,
        keyring: Arc<Keyring>,
        server: Arc<OnceLock<Server>>,
        waiting: mpsc::Receiver<News>,
    ) -> Self {
        Self { ports, claims, keyring, server, waiting }
    }

    /// Tells until every bridge is dropped.
    pub async fn run(mut self) {
        while let Some(news) = self.waiting.recv().await {
            let Some(server) = self.server.get().cloned() else { continue };
            let started = self.ports.clock.now();
            self.tell(&server, &news).await;
            let took = self.ports.clock.now().saturating_since(started);
            metrics::histogram!("miaosha_push_seconds").record(took.as_secs_f64());
        }
    }

    async fn tell(&self, server: &Server, news: &News) {
        let sale = &news.sale;
        let now = self.ports.clock.now();
        let room = words::room(sale.sale.id);
        if let Some(state) = news.state {
            server.room(NAMESPACE, &room).emit("sale", &[&words::sale(sale, state)]);
        }
        let mut claims = Vec::with_capacity(news.claims.len() + news.rejected.len());
        for view in self.views(sale, &news.claims).await {
            let PersonalStanding::Claim(claim) = view.standing else { continue };
            claims.push((claim.user.get(), words::claim(&view, &self.keyring, now)));
        }
        let rejected = ClaimView {
            sale: sale.sale.id,
            standing: PersonalStanding::Rejected,
            position: None,
            order: None,
        };
        let rejection = words::claim(&rejected, &self.keyring, now);
        claims.extend(news.rejected.iter().map(|user| (user.get(), rejection.clone())));
        server.emit_many(NAMESPACE, "claim", claims);
        if let Some(tick) = news.standby {
            server.room(NAMESPACE, &room).emit("standby", &[&words::standby(sale.sale.id, &tick)]);
        }
    }

    /// Each claim with its place or its order. Newcomers who stand by one behind the other need one look at the places.
    async fn views(&self, sale: &BoardSale, claims: &[Claim]) -> Vec<ClaimView> {
        let is_standby = |claim: &Claim| claim.status == ClaimStatus::Standby;
        let (mut waiting, others): (Vec<Claim>, Vec<Claim>) = claims.iter().copied().partition(is_standby);
        waiting.sort_unstable_by_key(|claim| claim.seq);
        let mut views = Vec::with_capacity(claims.len());
        for neighbours in waiting.chunk_by(|a, b| a.seq + 1 == b.seq) {
            let first = neighbours[0];
            let place = or_bare(first, self.claims.view(sale, first).await).position;
            views.extend(neighbours.iter().zip(0..).map(|(claim, behind)| ClaimView {
                position: place.map(|place| place + behind),
                ..bare(*claim)
            }));
        }
        for claim in others {
            views.push(or_bare(claim, self.claims.view(sale, claim).await));
        }
        views
    }
}

/// A claim whose place or order cannot be read is told without: the client can look it up.
fn or_bare(claim: Claim, view: PortResult<ClaimView>) -> ClaimView {
    view.unwrap_or_else(|error| {
        warn!(sale = %claim.sale, %error, "a claim is told without its place or order");
        bare(claim)
    })
}

fn bare(claim: Claim) -> ClaimView {
    ClaimView { sale: claim.sale, standing: PersonalStanding::Claim(claim), position: None, order: None }
}
