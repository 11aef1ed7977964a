//! The bridge between sales and sockets: what a client may ask over Socket.IO, and who is told what.
//!
//! It knows the events of the contract and nothing of connections; those are `miaosha-push`. News comes in the order of
//! the board, is enriched by one task ([`Teller`]) and goes out in the same order.

mod standby_calls;
mod teller;
mod words;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::FutureExt as _;
use miaosha_app::board::{Board, BoardSale, News};
use miaosha_app::follow::Listener;
use miaosha_app::ports::PortError;
use miaosha_domain::ids::{SaleId, UserId};
use miaosha_domain::time::Timestamp;
use miaosha_push::{Ack, Admission, Application, ClientEvent, ConnectRequest, Server, SocketId};
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tracing::{error, warn};

use crate::web::Web;
pub use teller::Teller;

/// News that waits to be told, at the most. Beyond it news is dropped, and clients that hear nothing look up.
const NEWS_WAITING_MAX: usize = 10_000;
/// How long those who connect are told the same starts of sales.
const STARTS_TOLD_FOR: Duration = Duration::from_millis(100);
/// The one namespace.
pub const NAMESPACE: &str = "/";

/// What sockets are served with.
#[derive(Clone)]
pub struct Live {
    web: Arc<Web>,
    runtime: Handle,
    /// Set once the push server has started; news before that has nobody to hear it.
    server: Arc<OnceLock<Server>>,
    news: mpsc::Sender<News>,
    starts: Arc<Starts>,
}

/// When sales start, as it is told to everybody who connects within a moment: one look at all sales for many.
#[derive(Debug, Default)]
struct Starts(Mutex<Option<(Timestamp, Arc<RawValue>)>>);

impl Starts {
    fn at(&self, board: &Board, now: Timestamp) -> Arc<RawValue> {
        let mut told = self.0.lock();
        if let Some((at, starts)) = &*told
            && !now.is_past(*at, STARTS_TOLD_FOR)
        {
            return starts.clone();
        }
        let starts: Arc<RawValue> = words::starts(board, now).into();
        *told = Some((now, starts.clone()));
        starts
    }
}

impl Live {
    /// A bridge to this site, and the teller that must run for its news to go out. What it is asked is answered by tasks of
    /// `runtime`, tracked by the tracker that the site was given.
    pub fn new(web: &Arc<Web>, runtime: Handle) -> (Self, Teller) {
        let (news, waiting) = mpsc::channel(NEWS_WAITING_MAX);
        let server = Arc::new(OnceLock::new());
        let teller = Teller::new(web, Arc::clone(&server), waiting);
        let starts = Arc::default();
        (Self { web: Arc::clone(web), runtime, server, news, starts }, teller)
    }

    /// Gives the push server that this bridge is the application of.
    pub fn connect_to(&self, server: Server) {
        if self.server.set(server).is_err() {
            error!("a bridge was connected twice");
        }
    }

    /// Answers at once if this node knows all it takes, as it does for a crowd that connects before the opening, else when it
    /// is known.
    fn answer_when_known(&self, server: &Server, question: Question, sale: SaleId) {
        let (server, this) = (server.clone(), self.clone());
        let mut answer = Box::pin(async move {
            let words = match this.web.require_sale(sale).await {
                Ok(sale) => this.answer_about(&server, &question, &sale).await,
                Err(problem) => Some(words::problem(problem.code().name())),
            };
            if let Some((ack, words)) = question.ack.zip(words) {
                server.acknowledge(ack, &[&words]);
            }
        });
        let is_answered = {
            let _entered = self.runtime.enter();
            (&mut answer).now_or_never().is_some()
        };
        if !is_answered {
            drop(self.web.tasks.spawn_on(answer, &self.runtime));
        }
    }

    /// What to answer, if anybody waits for it.
    async fn answer_about(
        &self,
        server: &Server,
        question: &Question,
        sale: &Arc<BoardSale>,
    ) -> Option<String> {
        // First, so that what changes after the answer is heard.
        if question.ask == Ask::Watch {
            server.join(question.socket, &words::room(sale.sale.id));
        }
        question.ack?;
        let Some(user) = question.user else {
            return Some(match question.ask {
                Ask::Watch => words::watched(sale, None, self.web.ports.clock.now()),
                Ask::Lookup => words::problem("unauthenticated"),
            });
        };
        let last_write = self.web.writers.last_write(user, self.web.ports.clock.now());
        let found = self.web.claims.look_up(sale, user, last_write).await;
        let now = self.web.ports.clock.now();
        Some(match found {
            Ok(view) => {
                let claim = words::claim(&view, &self.web.keyring, now);
                match question.ask {
                    Ask::Watch => words::watched(sale, Some(&claim), now),
                    Ask::Lookup => claim,
                }
            }
            Err(error) => {
                warn!(sale = %sale.sale.id, %error, "a look-up over a socket failed");
                let is_overloaded = matches!(error, PortError::Overloaded { .. });
                words::problem(if is_overloaded { "overloaded" } else { "unavailable" })
            }
        })
    }
}

/// What a socket asks about a sale.
#[derive(Clone, Copy)]
struct Question {
    ask: Ask,
    socket: SocketId,
    /// Who asks, if signed in.
    user: Option<UserId>,
    /// What to answer with, if the client waits for it.
    ack: Option<Ack>,
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
        let now = self.web.ports.clock.now();
        let auth = match request.auth.map(|json| serde_json::from_str::<Auth>(json.get())) {
            None => Auth { token: None },
            Some(Ok(auth)) => auth,
            Some(Err(_)) => return Admission::Refuse { reason_json: words::refusal("unauthenticated") },
        };
        let tag = match auth.token {
            None => None,
            Some(token) => match self.web.keyring.verify_session(&token, now) {
                Ok(session) => Some(session.user.get()),
                Err(_) => return Admission::Refuse { reason_json: words::refusal("unauthenticated") },
            },
        };
        server.emit(request.socket, "clock", &[&words::clock(&self.starts.at(&self.web.board, now), now)]);
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
        let Ok(sale) = sale.parse() else {
            return answer(server, event.ack, &words::problem("no_such_sale"));
        };
        let user = event.tag.and_then(|tag| UserId::new(tag).ok());
        self.answer_when_known(server, Question { ask, socket: event.socket, user, ack: event.ack }, sale);
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
