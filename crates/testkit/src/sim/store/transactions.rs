//! Transactions of the simulated database: under the sale's lock, and under one claim's.

use std::collections::HashMap;
use std::time::Duration;

use async_trait::async_trait;
use miaosha_app::PortError;
use miaosha_app::ports::{ClaimTx, ClaimWrite, PortResult, SaleTx};
use miaosha_domain::claim::{Claim, ClaimChange, ClaimStatus};
use miaosha_domain::ids::{PaymentId, SaleId, UserId};
use miaosha_domain::payment::Payment;
use miaosha_domain::sale::{Book, Terms};
use miaosha_domain::settle::{CHANGES_MAX, ENDS_MAX, Standing};
use miaosha_domain::time::Timestamp;

use super::super::coverage::Mark;
use super::super::sabotage::Sabotage;
use super::super::world::State;
use super::locks::{Held, Target, take, take_free, wait_for_claims};
use super::{Refusal, SimStore, Write};

/// The longest that a commit waits for the disk: longer than a transaction may last.
const COMMIT_MAX: Duration = Duration::from_secs(9);

impl SimStore {
    pub(super) async fn lock_sale(&self, id: SaleId) -> PortResult<Option<Box<dyn SaleTx>>> {
        let known = self.read("finding a sale", |state| state.store.sale.id == id).await?;
        if !known {
            return Ok(None);
        }
        let (held, now) = take(&self.world, Target::Sale).await?;
        let claims = Vec::new();
        let (book, terms) = {
            let state = self.world.state();
            (state.store.rows.book, state.store.rows.terms)
        };
        self.world.hop().await;
        Ok(Some(Box::new(SimSaleTx { store: self.clone(), held, claims, now, book, terms })))
    }

    pub(super) async fn lock_claim(&self, user: UserId) -> PortResult<Option<Box<dyn ClaimTx>>> {
        let known = self.read("finding a claim", |state| state.store.claim(user).is_some()).await?;
        if !known {
            return Ok(None);
        }
        let (held, now) = take(&self.world, Target::Claim(user)).await?;
        let claim = {
            let state = self.world.state();
            state.store.claim(user).map(|claim| match state.sabotage {
                Some(Sabotage::PaidAfterExpiry) => revive(claim, now),
                _ => claim,
            })
        };
        self.world.hop().await;
        let claim = claim.expect("claims are never deleted");
        Ok(Some(Box::new(SimClaimTx { store: self.clone(), held, now, claim })))
    }

    /// Commits, with everything that may go wrong about it. `claims` are the locks that come with the one held.
    async fn commit(&self, held: Held, claims: Vec<Held>, mut write: Write) -> PortResult<()> {
        self.world.hop().await;
        let slow = self.world.state().draw_slow(Mark::CommitSlow, 7, COMMIT_MAX);
        if let Some(span) = slow {
            self.world.sleep(span).await;
        }
        {
            let mut state = self.world.state();
            write.first_event = state.store.reserve_events(write.changes.len());
            if state.strikes(Mark::CommitFailed, 25) {
                return Err(PortError::retryable("committing", "the connection broke"));
            }
        }
        if write.book.is_some() {
            let changed = write.changes.iter().filter(|change| change.from.is_some());
            let users = changed.map(|change| change.claim.user);
            let users: Vec<UserId> =
                users.filter(|user| !claims.iter().any(|held| held.is_of(*user))).collect();
            wait_for_claims(&self.world, &users).await?;
        }
        if self.answers_early() {
            let (store, world) = (self.clone(), self.world.clone());
            let late = async move {
                let _claims = claims;
                store.world.sleep(Duration::from_millis(15)).await;
                if let Err(refusal) = store.world.state().write(&held, &write) {
                    store
                        .world
                        .state()
                        .note(|| format!("a commit that was answered is refused: {refusal:?}"));
                }
            };
            world.state().spawn(self.process, late);
            return Ok(());
        }
        let written = self.world.state().write(&held, &write);
        drop((held, claims));
        if let Err(refusal) = written {
            let mark = match refusal {
                Refusal::Killed => Mark::TransactionTooOld,
                Refusal::Changed if write.changes.iter().all(|change| change.from.is_none()) => {
                    Mark::NewcomerHasClaim
                }
                Refusal::Changed => Mark::CommitConflict,
            };
            self.world.state().mark(mark);
            return Err(PortError::retryable("committing", format!("{refusal:?}")));
        }
        self.world.hop().await;
        if self.world.state().strikes(Mark::CommitAnswerLost, 20) {
            return Err(PortError::retryable("committing", "it did not answer"));
        }
        Ok(())
    }

    fn answers_early(&self) -> bool {
        let mut state = self.world.state();
        state.sabotage == Some(Sabotage::ToldEarly) && state.dice.one_in(3)
    }
}

/// Shows an expired claim as a reservation with time left.
fn revive(claim: Claim, now: Timestamp) -> Claim {
    if claim.status != ClaimStatus::Expired {
        return claim;
    }
    let deadline = Some(now + Duration::from_mins(1));
    Claim { status: ClaimStatus::Reserved, deadline, hold_until: deadline, ..claim }
}

struct SimSaleTx {
    store: SimStore,
    held: Held,
    /// The locks of what is due.
    claims: Vec<Held>,
    now: Timestamp,
    book: Book,
    terms: Terms,
}

#[async_trait]
impl SaleTx for SimSaleTx {
    fn now(&self) -> Timestamp {
        self.now
    }

    fn terms(&self) -> Terms {
        self.terms
    }

    fn book(&self) -> Book {
        self.book
    }

    async fn claims_of(&mut self, users: &[UserId]) -> PortResult<HashMap<UserId, Claim>> {
        let read = |state: &mut State| {
            if users.iter().any(|user| state.plan.poison == Some(user.get())) {
                return Err(PortError::terminal("reading claims", "a row cannot be decoded"));
            }
            let hides = state.sabotage == Some(Sabotage::DoubleDecision) && state.dice.one_in(3);
            let found = users.iter().filter(|_| !hides).filter_map(|user| state.store.claim(*user));
            Ok(found.map(|claim| (claim.user, claim)).collect())
        };
        self.store.read("reading claims", read).await?
    }

    async fn standing(&mut self) -> PortResult<Standing> {
        let now = self.now;
        let world = self.store.world.clone();
        let lock_due = |state: &mut State| {
            let mut due = due(state, now);
            let locks = take_free(&world, state, &mut due);
            (due, locks)
        };
        let (due, locks) = self.read_statement(lock_due).await?;
        self.claims.extend(locks);
        let heads = self.read_statement(heads).await?;
        let holding = self.read_statement(holding).await?;
        Ok(Standing { due, heads, holding })
    }

    async fn commit(self: Box<Self>, book: Book, changes: &[ClaimChange]) -> PortResult<()> {
        let poison = self.store.world.state().plan.poison;
        if changes.iter().any(|change| poison == Some(change.claim.user.get())) {
            return Err(PortError::terminal("committing", "a row cannot be written"));
        }
        let write = Write {
            now: self.now,
            first_event: 0,
            book: Some(book),
            changes: changes.to_vec(),
            payment: None,
            shipping: None,
            order: None,
        };
        self.store.commit(self.held, self.claims, write).await
    }
}

impl SimSaleTx {
    /// One statement of several: others commit between them, as READ COMMITTED allows.
    async fn read_statement<T: Send>(&self, statement: impl FnOnce(&mut State) -> T + Send) -> PortResult<T> {
        let interrupts = self.store.world.state().dice.one_in(3);
        if interrupts {
            return self.store.read("reading what is due", statement).await;
        }
        Ok(statement(&mut self.store.world.state()))
    }
}

fn due(state: &mut State, now: Timestamp) -> Vec<Claim> {
    let mut due: Vec<Claim> =
        state.store.rows.claims.iter().filter(|claim| claim.is_due(now)).copied().collect();
    due.sort_by_key(|claim| claim.hold_until);
    due.truncate(ENDS_MAX);
    due
}

fn heads(state: &mut State) -> Vec<Claim> {
    let is_served_twice = state.sabotage == Some(Sabotage::DoublePromotion);
    let serving_seq = state.store.rows.book.serving_seq;
    let stands_by = |claim: &Claim| {
        claim.status == ClaimStatus::Standby
            || (is_served_twice && claim.seq == serving_seq && claim.status == ClaimStatus::Reserved)
    };
    let claims = state.store.rows.claims.iter().filter(|claim| stands_by(claim));
    let mut heads: Vec<Claim> =
        claims.map(|claim| Claim { status: ClaimStatus::Standby, ..*claim }).collect();
    heads.sort_unstable_by_key(|claim| claim.seq);
    heads.truncate(CHANGES_MAX);
    heads
}

fn holding(state: &mut State) -> u64 {
    state.store.rows.claims.iter().filter(|claim| claim.status.is_holding()).count() as u64
}

struct SimClaimTx {
    store: SimStore,
    held: Held,
    now: Timestamp,
    claim: Claim,
}

#[async_trait]
impl ClaimTx for SimClaimTx {
    fn now(&self) -> Timestamp {
        self.now
    }

    fn claim(&self) -> Claim {
        self.claim
    }

    async fn payment(&mut self, id: PaymentId) -> PortResult<Option<Payment>> {
        self.store.read("reading a payment", |state| state.store.payment(id)).await
    }

    async fn commit(self: Box<Self>, write: ClaimWrite) -> PortResult<()> {
        let write = Write {
            now: self.now,
            first_event: 0,
            book: None,
            changes: write.change.into_iter().collect(),
            payment: write.payment,
            shipping: write.shipping,
            order: write.order,
        };
        self.store.commit(self.held, Vec::new(), write).await
    }
}
