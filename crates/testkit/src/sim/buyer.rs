//! A buyer's device, following the rules that clients follow: ask, ask again after silence, look up what is not told,
//! ignore what is older than what is known.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, join, select};
use miaosha_app::look_up_claim::PersonalStanding;
use miaosha_domain::claim::{Claim, ClaimStatus};
use miaosha_domain::ids::UserId;
use miaosha_domain::sale::SaleState;
use miaosha_domain::time::Timestamp;
use tokio::sync::mpsc::UnboundedReceiver;

use super::auditor::Shown;
use super::coverage::Mark;
use super::network::{call, pick_node};
use super::provider::{GOOD_CARD, INVALID_CARD};
use super::web_node::{Push, RequestAnswer, WebNode};
use super::world::World;

/// A client with a 202 looks up when it was told nothing for this long.
const LOOK_UP_AFTER: Duration = Duration::from_secs(5);
/// A client with a 202 and nothing else asks again after this long, while the sale is open.
const ASK_AGAIN_AFTER: Duration = Duration::from_secs(10);

/// The number of a device with which its person acts.
pub(super) const ACTOR: u8 = 0;
/// The number of a device that only shows.
pub(super) const WATCHER: u8 = 1;

/// A device of a person.
pub(super) struct Buyer {
    world: Arc<World>,
    user: UserId,
    device: u8,
    shown: Shown,
    socket: Option<UnboundedReceiver<Push>>,
    accepted_at: Option<Timestamp>,
    /// Whether this person still wants a unit.
    is_keen: bool,
    /// The `rev` at which this person last did something about the claim.
    acted_on: u64,
    /// How many things this person still does without need.
    whims: u64,
}

impl Buyer {
    pub(super) fn new(world: Arc<World>, user: UserId, device: u8) -> Self {
        let whims = world.state().dice.below(4);
        let (shown, socket, accepted_at) = (Shown::Waiting, None, None);
        Self { world, user, device, shown, socket, accepted_at, is_keen: true, acted_on: 0, whims }
    }

    /// Only watches: a second device of the same person.
    pub(super) async fn watch(mut self) {
        self.pause(0, 6_000).await;
        loop {
            self.connect().await;
            self.listen(1_000, 4_000).await;
        }
    }

    /// Buys, or tries to.
    pub(super) async fn buy(mut self) {
        self.show(Shown::Waiting);
        let is_rush = self.world.state().plan.is_rush;
        let last_ms = if is_rush || self.chance(3) { 300 } else { 15_000 };
        self.pause(0, last_ms).await;
        if self.whim(20) {
            self.give_up(None).await;
        }
        loop {
            self.connect().await;
            match self.shown {
                Shown::Claim(claim) => self.live_with(claim).await,
                Shown::Waiting if self.accepted_at.is_some() => self.await_outcome().await,
                Shown::Waiting if self.is_keen => self.ask().await,
                Shown::Waiting => self.listen(1_000, 5_000).await,
                Shown::NotWon | Shown::Rejected => self.hope().await,
            }
        }
    }

    fn chance(&self, one_in: u64) -> bool {
        self.world.state().dice.one_in(one_in)
    }

    /// Does something that is not needed, now and then.
    fn whim(&mut self, one_in: u64) -> bool {
        let has_whim = self.whims > 0 && self.chance(one_in);
        if has_whim {
            self.whims -= 1;
        }
        has_whim
    }

    fn mark(&self, mark: Mark) {
        self.world.state().mark(mark);
    }

    async fn pause(&self, low_ms: u64, high_ms: u64) {
        let span = self.world.state().draw_span(low_ms, high_ms);
        self.world.sleep(span).await;
    }

    fn show(&mut self, shown: Shown) {
        self.shown = shown;
        self.world.state().hear_shown(self.user, self.device, shown);
    }

    /// Takes in a claim: whoever knows a higher `rev` ignores a lower one.
    fn see(&mut self, claim: Claim) {
        let is_news = match self.shown {
            Shown::Claim(known) => claim.rev > known.rev,
            _ => true,
        };
        if is_news {
            self.accepted_at = None;
            self.show(Shown::Claim(claim));
        }
    }

    fn see_rejection(&mut self) {
        if !matches!(self.shown, Shown::Claim(_) | Shown::Rejected) {
            self.accepted_at = None;
            self.show(Shown::Rejected);
        }
    }

    /// Keeps a socket open. It is registered before the look-up, so that nothing falls between.
    async fn connect(&mut self) {
        while self.socket.is_none() {
            self.world.hop().await;
            let socket = pick_node(&self.world)
                .filter(|node| node.sale().is_some())
                .map(|node| node.connect(self.user));
            self.socket = socket;
            if self.socket.is_none() || self.look_up().await.is_none() {
                self.socket = None;
                self.pause(200, 1_500).await;
            }
        }
    }

    /// Takes in what is pushed, for as long as the span lasts or until something came.
    async fn listen(&mut self, low_ms: u64, high_ms: u64) {
        let Some(mut socket) = self.socket.take() else { return };
        let heard = {
            let until = pin!(self.pause(low_ms, high_ms));
            let next = pin!(socket.recv());
            match select(next, until).await {
                Either::Left((Some(push), _)) => Some(push),
                Either::Left((None, _)) => {
                    self.mark(Mark::Reconnected);
                    return;
                }
                Either::Right(_) => None,
            }
        };
        self.socket = Some(socket);
        match heard {
            Some(Push::Claim(claim)) => self.see(claim),
            Some(Push::Rejected) => self.see_rejection(),
            None => {}
        }
    }

    async fn ask(&mut self) {
        self.ask_once().await;
        if self.accepted_at.is_some() && self.whim(4) {
            self.mark(Mark::AskedTwice);
            self.ask_once().await;
        }
    }

    async fn ask_once(&mut self) {
        let user = self.user;
        let answer = call(&self.world, move |node| async move { node.request(user).await }).await;
        match answer {
            Some(RequestAnswer::Accepted) => {
                let mut state = self.world.state();
                state.hear_202(user);
                self.accepted_at = Some(state.now);
            }
            Some(RequestAnswer::Claim(claim)) => self.see(claim),
            Some(RequestAnswer::SoldOut) => self.hear_sold_out().await,
            Some(RequestAnswer::NotNow) => self.listen(100, 1_500).await,
            Some(RequestAnswer::Ended) => self.is_keen = false,
            Some(RequestAnswer::Perhaps) | None => {
                self.mark(Mark::AskedAfterFailure);
                self.listen(100, 1_000).await;
            }
        }
    }

    /// Whoever may have a request under way looks up; the others come back later, or do not.
    async fn hear_sold_out(&mut self) {
        self.mark(Mark::LookedAfterSoldOut);
        if self.look_up().await.is_none() {
            return;
        }
        self.is_keen = self.chance(2);
        self.listen(500, 3_000).await;
    }

    /// Looks up and takes in what it says; the sale's state, if there was an answer.
    async fn look_up(&mut self) -> Option<(PersonalStanding, SaleState)> {
        let user = self.user;
        let found = call(&self.world, move |node| async move { node.look_up(user).await }).await??;
        match found.0 {
            PersonalStanding::Claim(claim) => self.see(claim),
            PersonalStanding::Rejected if self.accepted_at.is_some() => self.see_rejection(),
            _ => {}
        }
        Some(found)
    }

    /// Has a 202 and knows nothing more.
    async fn await_outcome(&mut self) {
        let asked_at = self.world.state().now;
        while self.accepted_at.is_some() && self.world.state().now < asked_at + LOOK_UP_AFTER {
            self.listen(2_500, 6_000).await;
            self.connect().await;
        }
        let Some((standing, state)) = self.look_up().await else { return };
        let Some(accepted_at) = self.accepted_at else { return };
        if standing != PersonalStanding::None {
            return;
        }
        let now = self.world.state().now;
        match state {
            SaleState::SoldOut | SaleState::Ended => {
                self.accepted_at = None;
                self.mark(Mark::ShownNotWon);
                self.show(Shown::NotWon);
            }
            SaleState::Open if now >= accepted_at + ASK_AGAIN_AFTER => {
                self.mark(Mark::AskedAfterSilence);
                self.ask().await;
            }
            SaleState::Open | SaleState::Paused | SaleState::Scheduled => {}
        }
    }

    /// Has not won, and may ask again when units come back.
    async fn hope(&mut self) {
        self.listen(100, 4_000).await;
        if matches!(self.shown, Shown::NotWon | Shown::Rejected) && self.whim(3) {
            self.mark(Mark::AskedAfterReopening);
            self.ask().await;
            if self.accepted_at.is_some() {
                self.show(Shown::Waiting);
            }
        }
    }

    /// Has a claim: pays, gives up, waits.
    async fn live_with(&mut self, claim: Claim) {
        let has_acted = self.acted_on == claim.rev;
        self.acted_on = claim.rev;
        let (roll, payers_in_20) = {
            let mut state = self.world.state();
            (state.dice.below(20), state.plan.payers_in_20)
        };
        match claim.status {
            ClaimStatus::Reserved if !has_acted => match roll {
                0 => self.pay_at_the_last_moment(claim).await,
                1 => self.pay(claim, 6_000).await,
                2..=3 => self.pay_and_give_up(claim).await,
                19 => self.give_up(None).await,
                18 => {
                    let stale_by = self.world.state().dice.below(2);
                    self.give_up(Some(claim.rev - stale_by)).await;
                }
                _ if roll < payers_in_20 => self.pay(claim, 400).await,
                _ => {}
            },
            ClaimStatus::Standby if !has_acted && roll < 3 => {
                self.listen(100, 3_000).await;
                self.give_up(None).await;
            }
            ClaimStatus::Paying if roll < 4 && self.whim(1) => self.pay(claim, 300).await,
            ClaimStatus::Paying if roll == 4 => self.give_up(None).await,
            _ if self.whim(4) => match roll {
                0..=6 => self.ask().await,
                7..=13 => self.pay(claim, 300).await,
                _ => self.give_up(None).await,
            },
            _ => {}
        }
        self.listen(500, 4_000).await;
    }

    async fn pay_at_the_last_moment(&mut self, claim: Claim) {
        let now = self.world.state().now;
        let left = claim.deadline.map_or(Duration::ZERO, |deadline| deadline.saturating_since(now));
        self.world.sleep(left.saturating_sub(Duration::from_millis(40))).await;
        self.pay(claim, 30).await;
    }

    /// Two tabs at once.
    async fn pay_and_give_up(&mut self, claim: Claim) {
        let (user, rev) = (claim.user, Some(claim.rev));
        let pays = call(&self.world, move |node| async move { node.check_out(claim, GOOD_CARD).await });
        let gives_up = call(&self.world, move |node| async move { node.give_up(user, rev).await });
        if let (_, Some(Some(claim))) = join(pays, gives_up).await {
            self.see(claim);
        }
    }

    async fn pay(&mut self, claim: Claim, think_ms: u64) {
        self.pause(1, think_ms).await;
        let card = if self.chance(15) { INVALID_CARD } else { GOOD_CARD };
        let pays = move |node: Arc<WebNode>| async move { node.check_out(claim, card).await };
        if call(&self.world, pays).await.is_none() {
            self.acted_on = 0;
        }
    }

    async fn give_up(&mut self, rev: Option<u64>) {
        let user = self.user;
        let gives_up = move |node: Arc<WebNode>| async move { node.give_up(user, rev).await };
        if let Some(Some(claim)) = call(&self.world, gives_up).await {
            self.see(claim);
        }
    }
}
