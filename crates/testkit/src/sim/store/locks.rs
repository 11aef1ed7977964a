//! The locks of the simulated database. A transaction that holds one for too long is killed when somebody else wants
//! it, as a database does that limits how long transactions last.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Duration;

use miaosha_app::PortError;
use miaosha_app::ports::PortResult;
use miaosha_domain::claim::Claim;
use miaosha_domain::ids::UserId;
use miaosha_domain::time::Timestamp;

use super::super::coverage::Mark;
use super::super::world::{State, World};

/// How long a transaction may last.
const TRANSACTION_MAX: Duration = Duration::from_secs(5);
/// How long a lock is waited for.
const PATIENCE: Duration = Duration::from_secs(2);

/// What is locked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Target {
    Sale,
    Claim(UserId),
}

/// Who holds what.
#[derive(Default)]
pub(super) struct Locks {
    holders: BTreeMap<Target, Holder>,
    wakers: Vec<Waker>,
    transactions: u64,
}

#[derive(Clone, Copy)]
struct Holder {
    transaction: u64,
    since: Timestamp,
}

impl Locks {
    /// Whether this lock is still held by its transaction, in time.
    pub(super) fn is_alive(&self, held: &Held, now: Timestamp) -> bool {
        let holder = self.holders.get(&held.target);
        holder.is_some_and(|holder| {
            holder.transaction == held.transaction && now.saturating_since(holder.since) <= TRANSACTION_MAX
        })
    }

    pub(super) fn is_held(&self, target: Target) -> bool {
        self.holders.contains_key(&target)
    }

    pub(super) fn release(&mut self, held: &Held) -> bool {
        let is_holder =
            self.holders.get(&held.target).is_some_and(|holder| holder.transaction == held.transaction);
        if is_holder {
            self.holders.remove(&held.target);
            self.wakers.drain(..).for_each(Waker::wake);
        }
        is_holder
    }

    /// Takes the lock, or says until when its holder may keep it.
    fn try_take(&mut self, target: Target, now: Timestamp) -> Result<u64, Timestamp> {
        if let Some(holder) = self.holders.get(&target) {
            let keeps_until = holder.since + TRANSACTION_MAX;
            if now <= keeps_until {
                return Err(keeps_until + Duration::from_millis(1));
            }
        }
        self.transactions += 1;
        self.holders.insert(target, Holder { transaction: self.transactions, since: now });
        Ok(self.transactions)
    }
}

/// A lock that a transaction holds; dropping it rolls back.
pub(super) struct Held {
    world: Arc<World>,
    target: Target,
    transaction: u64,
}

impl Held {
    /// Whether it is this claim's.
    pub(super) fn is_of(&self, user: UserId) -> bool {
        self.target == Target::Claim(user)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut state = self.world.state();
        if state.store.locks.release(self) && state.processes.is_crashing() {
            state.mark(Mark::CrashMidTransaction);
        }
    }
}

/// Takes the locks of those claims that no other transaction holds; `world` is that of the state.
pub(super) fn take_free(world: &Arc<World>, state: &mut State, claims: &mut Vec<Claim>) -> Vec<Held> {
    let now = state.now;
    let mut taken = Vec::new();
    claims.retain(|claim| {
        let target = Target::Claim(claim.user);
        let transaction = state.store.locks.try_take(target, now);
        taken.extend(transaction.map(|transaction| Held { world: world.clone(), target, transaction }));
        transaction.is_ok()
    });
    taken
}

/// Waits for a lock and takes it; gives the moment at which it was taken.
pub(super) async fn take(world: &Arc<World>, target: Target) -> PortResult<(Held, Timestamp)> {
    let patient_until = world.state().now + PATIENCE;
    poll_fn(|context| {
        let mut state = world.state();
        let now = state.now;
        match state.store.locks.try_take(target, now) {
            Ok(transaction) => Poll::Ready(Ok((Held { world: world.clone(), target, transaction }, now))),
            Err(_) if now >= patient_until => {
                state.mark(Mark::LockTimedOut);
                Poll::Ready(Err(PortError::retryable("locking a row", "it is held for too long")))
            }
            Err(free_at) => {
                state.store.locks.wakers.push(context.waker().clone());
                state.wake_at(free_at.min(patient_until), context.waker());
                Poll::Pending
            }
        }
    })
    .await
}

/// Waits until none of these claims is locked by another transaction. Nothing happens between its end and the next
/// wait of the caller.
pub(super) async fn wait_for_claims(world: &Arc<World>, users: &[UserId]) -> PortResult<()> {
    let patient_until = world.state().now + PATIENCE;
    poll_fn(|context| {
        let mut state = world.state();
        if !users.iter().any(|user| state.store.locks.is_held(Target::Claim(*user))) {
            return Poll::Ready(Ok(()));
        }
        if state.now >= patient_until {
            state.mark(Mark::LockTimedOut);
            return Poll::Ready(Err(PortError::retryable("writing a row", "it is locked for too long")));
        }
        state.store.locks.wakers.push(context.waker().clone());
        state.wake_at(patient_until, context.waker());
        Poll::Pending
    })
    .await
}
