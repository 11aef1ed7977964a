//! A web node of the simulation: it judges requests from memory, answers look-ups, takes payments and holds sockets,
//! all by the real use cases. What it answers is what the HTTP and push layers would.

use std::collections::{BTreeMap, BTreeSet};
use std::future::pending;
use std::sync::Arc;

use miaosha_app::Ports;
use miaosha_app::board::{Board, BoardSale, News};
use miaosha_app::check_out::{CheckOut, CheckedOut, check_out};
use miaosha_app::follow::{Follower, Listener};
use miaosha_app::give_up::{GivenUp, give_up};
use miaosha_app::look_up_claim::{PersonalStanding, look_up_claim};
use miaosha_app::model::Shipping;
use miaosha_app::ports::PaymentMethod;
use miaosha_app::request_buy::{Asked, DeskLimits, RequestDesk, WindowRefusal, check_window};
use miaosha_domain::claim::Claim;
use miaosha_domain::ids::UserId;
use miaosha_domain::payment::CheckOutError;
use miaosha_domain::sale::SaleState;
use miaosha_domain::settle::GiveUpError;
use parking_lot::Mutex;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::auditor::Promise;
use super::coverage::Mark;
use super::world::World;

/// One web node, as long as it lives.
pub(super) struct WebNode {
    pub(super) process: usize,
    pub(super) ports: Ports,
    pub(super) board: Arc<Board>,
    desk: Arc<RequestDesk>,
    sockets: Arc<Sockets>,
    world: Arc<World>,
}

/// What is pushed to one person's device.
#[derive(Debug, Clone, Copy)]
pub(super) enum Push {
    Claim(Claim),
    Rejected,
}

/// What a buy request is answered.
#[derive(Debug, Clone, Copy)]
pub(super) enum RequestAnswer {
    Accepted,
    Claim(Claim),
    SoldOut,
    /// 503: perhaps queued; ask again.
    Perhaps,
    NotNow,
    Ended,
}

struct Sockets {
    world: Arc<World>,
    by_user: Mutex<BTreeMap<UserId, Vec<UnboundedSender<Push>>>>,
    /// Whom this node has told of a claim.
    told: Mutex<BTreeSet<UserId>>,
}

impl Sockets {
    fn push(&self, user: UserId, push: Push) {
        if let Some(sockets) = self.by_user.lock().get_mut(&user) {
            sockets.retain(|socket| socket.send(push).is_ok());
        }
    }
}

impl Listener for Sockets {
    fn hear(&self, news: &News) {
        for claim in &news.claims {
            let mut state = self.world.state();
            state.mark(Mark::PushedClaim);
            state.hear_told(claim, "a push");
            drop(state);
            self.told.lock().insert(claim.user);
            self.push(claim.user, Push::Claim(*claim));
        }
        for user in &news.rejected {
            let mut state = self.world.state();
            state.mark(Mark::PushedRejection);
            state.hear_told_rejected(*user, "a push");
            let was_told = self.told.lock().contains(user);
            state.require(!was_told, Promise::I3, || format!("{user:?} is rejected after having a claim"));
            drop(state);
            self.push(*user, Push::Rejected);
        }
    }
}

impl WebNode {
    /// Starts the tasks of a node.
    pub(super) fn start(world: &Arc<World>, process: usize, ports: Ports, limits: DeskLimits) -> Arc<Self> {
        let board = Arc::new(Board::new());
        let desk = Arc::new(RequestDesk::new(ports.clock.clone(), ports.queue.clone(), limits));
        let sockets =
            Arc::new(Sockets { world: world.clone(), by_user: Mutex::default(), told: Mutex::default() });
        let follower = Follower::new(ports.clone(), board.clone(), sockets.clone());
        let mut state = world.state();
        state.spawn(process, follower.run());
        let hands_over = desk.clone();
        state.spawn(process, async move { hands_over.run(pending()).await });
        drop(state);
        Arc::new(Self { process, ports, board, desk, sockets, world: world.clone() })
    }

    /// The sale, once this node has heard of it.
    pub(super) fn sale(&self) -> Option<Arc<BoardSale>> {
        let id = self.world.state().plan.sale.id;
        self.board.lookup(id)
    }

    fn told(&self, mark: Mark) {
        self.world.state().mark(mark);
    }

    /// Opens a socket of this person.
    pub(super) fn connect(&self, user: UserId) -> UnboundedReceiver<Push> {
        let (sender, receiver) = unbounded_channel();
        self.sockets.by_user.lock().entry(user).or_default().push(sender);
        receiver
    }

    /// `POST /sales/{id}/requests`.
    pub(super) async fn request(&self, user: UserId) -> RequestAnswer {
        let Some(sale) = self.sale() else { return RequestAnswer::Perhaps };
        self.world.state().hear_board(self.process, sale.book().version);
        let now = self.ports.clock.now();
        match check_window(&sale, now) {
            Err(WindowRefusal::NotOpen) => {
                self.told(Mark::ToldNotOpen);
                return RequestAnswer::NotNow;
            }
            Err(WindowRefusal::Paused) => {
                self.told(Mark::ToldPaused);
                return RequestAnswer::NotNow;
            }
            Err(WindowRefusal::Ended) => {
                self.told(Mark::ToldEnded);
                return RequestAnswer::Ended;
            }
            Ok(()) => {}
        }
        let book = sale.book();
        let (mark, answer) = match self.desk.ask(&sale, user, 1, now) {
            Asked::Claimed(claim) => {
                self.world.state().hear_told(&claim, "an answer");
                (Mark::ToldClaim, RequestAnswer::Claim(claim))
            }
            Asked::SoldOut => {
                self.world.state().hear_sold_out(self.process, user, &book);
                (Mark::ToldSoldOut, RequestAnswer::SoldOut)
            }
            Asked::Overloaded => (Mark::ToldOverloaded, RequestAnswer::Perhaps),
            Asked::Queued => (Mark::ToldAcceptedAgain, RequestAnswer::Accepted),
            Asked::Waiting(waiting) => {
                let is_accepted = waiting.accepted().await;
                let accepted = (Mark::ToldAccepted, RequestAnswer::Accepted);
                if is_accepted { accepted } else { (Mark::ToldPerhaps, RequestAnswer::Perhaps) }
            }
        };
        if matches!(answer, RequestAnswer::Accepted) {
            self.world.state().hear_accepted(user);
        }
        self.told(mark);
        answer
    }

    /// `GET /sales/{id}/claim`, with the state of the sale; `None` for a 503.
    pub(super) async fn look_up(&self, user: UserId) -> Option<(PersonalStanding, SaleState)> {
        let sale = self.sale()?;
        let before = self.world.state().expect_look_up(user, &sale.book());
        let view = look_up_claim(&self.ports, &sale, user).await.ok()?;
        self.world.state().hear_look_up(user, &before, &view);
        Some((view.standing, sale.state(self.ports.clock.now())))
    }

    /// `POST /checkout`.
    pub(super) async fn check_out(&self, claim: Claim, card: &'static str) {
        let request = CheckOut {
            sale: claim.sale,
            user: claim.user,
            seq: claim.seq,
            method: PaymentMethod::Sandbox { card: card.to_owned() },
            shipping: Shipping { name: "A".to_owned(), phone: "1".to_owned(), address: "B".to_owned() },
            lease: self.world.state().plan.lease,
        };
        let Ok(checked_out) = check_out(&self.ports, request).await else { return };
        self.told(match checked_out {
            CheckedOut::Ordered(_) => Mark::ToldOrdered,
            CheckedOut::Paying => Mark::ToldPaying,
            CheckedOut::Declined => Mark::ToldDeclined,
            CheckedOut::InvalidCard => Mark::ToldInvalidCard,
            CheckedOut::Refused(CheckOutError::AlreadyPaid) => Mark::ToldAlreadyPaid,
            CheckedOut::Refused(CheckOutError::PaymentInProgress) => Mark::ToldPaymentInProgress,
            CheckedOut::Refused(CheckOutError::ReservationOver) => Mark::ToldReservationOver,
        });
    }

    /// `DELETE /sales/{id}/claim`.
    pub(super) async fn give_up(&self, user: UserId, rev: Option<u64>) -> Option<Claim> {
        let sale = self.sale()?.sale.id;
        let given_up = give_up(&self.ports, sale, user, rev).await.ok()?;
        self.told(match given_up {
            GivenUp::Done(_) => Mark::ToldGivenUp,
            GivenUp::NoClaim => Mark::ToldNoClaim,
            GivenUp::Refused(GiveUpError::PaymentInProgress) => Mark::ToldGiveUpPaying,
            GivenUp::Refused(GiveUpError::Over) => Mark::ToldGiveUpOver,
            GivenUp::Refused(GiveUpError::Changed) => Mark::ToldGiveUpChanged,
        });
        let GivenUp::Done(claim) = given_up else { return None };
        self.world.state().hear_told(&claim, "a given-up claim");
        Some(claim)
    }
}
