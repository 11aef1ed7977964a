//! The bridge between sales and sockets: what a client may ask over Socket.IO, and who is told what.
//!
//! It knows the events of the contract and nothing of connections; those are `miaosha-push`. News comes in the order of
//! the board, is enriched by one task ([`Teller`]) and goes out in the same order.

mod standby_calls;
mod teller;
mod words;

use std::sync::{Arc, OnceLock};

use futures_util::FutureExt as _;
use miaosha_app::Ports;
use miaosha_app::board::{Board, BoardSale, News};
use miaosha_app::follow::Listener;
use miaosha_app::ports::PortError;
use miaosha_domain::ids::UserId;
use miaosha_push::{Ack, Admission, Application, ClientEvent, ConnectRequest, Server};
use serde::Deserialize;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;
use tracing::{error, warn};

use crate::claim_reader::ClaimReader;
use crate::last_write::RecentWriters;
use crate::tokens::Keyring;
use crate::web::Web;
pub use teller::Teller;

/// News that waits to be told, at the most. Beyond it news is dropped, and clients that hear nothing look up.
const NEWS_WAITING_MAX: usize = 10_000;
/// The one namespace.
pub const NAMESPACE: &str = "/";

/// What sockets are served with.
#[derive(Clone)]
pub struct Live {
    ports: Ports,
    board: Arc<Board>,
    claims: Arc<ClaimReader>,
    writers: Arc<RecentWriters>,
    keyring: Arc<Keyring>,
    runtime: Handle,
    tracker: TaskTracker,
    /// Set once the push server has started; news before that has nobody to hear it.
    server: Arc<OnceLock<Server>>,
    news: mpsc::Sender<News>,
}

impl Live {
    /// A bridge to this site, and the teller that must run for its news to go out. What it is asked is answered by tasks of
    /// `runtime`, tracked by the tracker that the site was given.
    pub fn new(web: &Web, runtime: Handle) -> (Self, Teller) {
        let (ports, board, keyring) = (web.ports.clone(), web.board.clone(), web.keyring.clone());
        let (claims, writers, tracker) = (web.claims.clone(), web.writers.clone(), web.tasks.clone());
        let (news, waiting) = mpsc::channel(NEWS_WAITING_MAX);
        let server = Arc::new(OnceLock::new());
        let teller = Teller::new(
            ports.clone(),
            board.clone(),
            claims.clone(),
            Arc::clone(&keyring),
            Arc::clone(&server),
            waiting,
        );
        (Self { ports, board, claims, writers, keyring, runtime, tracker, server, news }, teller)
    }

    /// Gives the push server that this bridge is the application of.
    pub fn connect_to(&self, server: Server) {
        if self.server.set(server).is_err() {
            error!("a bridge was connected twice");
        }
    }

    /// Answers `watch` and `lookup` of somebody signed in, who may have a claim: at once if this node knows it, which it
    /// does for a crowd that connects before the opening, else when it is known.
    fn answer_with_claim(&self, server: &Server, ask: Ask, user: UserId, sale: Arc<BoardSale>, ack: Ack) {
        let (server, this) = (server.clone(), self.clone());
        let answer = async move {
            let last_write = this.writers.last_write(user, this.ports.clock.now());
            let found = this.claims.look_up(&sale, user, last_write).await;
            let now = this.ports.clock.now();
            let words = match found {
                Ok(view) => {
                    let claim = words::claim(&view, &this.keyring, now);
                    match ask {
                        Ask::Watch => words::watched(&sale, Some(&claim), now),
                        Ask::Lookup => claim,
                    }
                }
                Err(error) => {
                    warn!(sale = %sale.sale.id, %error, "a look-up over a socket failed");
                    words::problem(if matches!(error, PortError::Overloaded { .. }) {
                        "overloaded"
                    } else {
                        "unavailable"
                    })
                }
            };
            server.acknowledge(ack, &[&words]);
        };
        let mut answer = Box::pin(answer);
        let is_answered = {
            let _entered = self.runtime.enter();
            (&mut answer).now_or_never().is_some()
        };
        if !is_answered {
            drop(self.tracker.spawn_on(answer, &self.runtime));
        }
    }
}

/// What a client asks for with an acknowledgement.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ask {
    Watch,
    Lookup,
}

#[derive(Deserialize)]
struct Auth {
    token: Option<String>,
}

#[derive(Deserialize)]
struct Subject {
    sale: String,
}

fn answer(server: &Server, ack: Option<Ack>, words: &str) {
    if let Some(ack) = ack {
        server.acknowledge(ack, &[words]);
    }
}

impl Application for Live {
    /// Anonymous sockets may watch; a token that is not valid is refused.
    fn connect(&self, server: &Server, request: &ConnectRequest<'_>) -> Admission {
        let now = self.ports.clock.now();
        let auth = match request.auth.map(|json| serde_json::from_str::<Auth>(json.get())) {
            None => Auth { token: None },
            Some(Ok(auth)) => auth,
            Some(Err(_)) => return Admission::Refuse { reason_json: words::refusal("unauthenticated") },
        };
        let tag = match auth.token {
            None => None,
            Some(token) => match self.keyring.verify_session(&token, now) {
                Ok(session) => Some(session.user.get()),
                Err(_) => return Admission::Refuse { reason_json: words::refusal("unauthenticated") },
            },
        };
        server.emit(request.socket, "clock", &[&words::clock(&self.board, now)]);
        Admission::Accept { tag }
    }

    fn event(&self, server: &Server, event: &ClientEvent<'_>) {
        let ask = match event.name {
            "watch" => Ask::Watch,
            "lookup" => Ask::Lookup,
            _ => return answer(server, event.ack, &words::problem("not_found")),
        };
        let subject =
            event.arguments.first().and_then(|json| serde_json::from_str::<Subject>(json.get()).ok());
        let Some(Subject { sale }) = subject else {
            return answer(server, event.ack, &words::problem("invalid_body"));
        };
        let Some(sale) = sale.parse().ok().and_then(|id| self.board.lookup(id)) else {
            return answer(server, event.ack, &words::problem("no_such_sale"));
        };
        if ask == Ask::Watch {
            server.join(event.socket, &words::room(sale.sale.id));
        }
        let Some(ack) = event.ack else { return };
        let user = event.tag.and_then(|tag| UserId::new(tag).ok());
        match (ask, user) {
            (_, Some(user)) => self.answer_with_claim(server, ask, user, sale, ack),
            (Ask::Watch, None) => {
                let now = self.ports.clock.now();
                server.acknowledge(ack, &[&words::watched(&sale, None, now)]);
            }
            (Ask::Lookup, None) => server.acknowledge(ack, &[&words::problem("unauthenticated")]),
        }
    }
}

impl Listener for Live {
    fn hear(&self, news: &News) {
        if self.server.get().is_some() && self.news.try_send(news.clone()).is_err() {
            metrics::counter!("miaosha_push_dropped_total").increment(1);
            warn!(sale = %news.sale.sale.id, "news was dropped: clients will look up");
        }
    }
}
