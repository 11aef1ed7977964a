//! The simulated gate: the model, which forgets, falls back, does not hear, and is gone.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use miaosha_app::PortError;
use miaosha_app::ports::{Admission, Gate, GateReport, GateUpdate, Passage, PortResult};
use miaosha_domain::claim::Claim;
use miaosha_domain::gate::{GateLimit, SLACK};
use miaosha_domain::ids::{SaleId, UserId};
use miaosha_domain::time::Timestamp;

use super::coverage::Mark;
use super::plan::GateKind;
use super::world::{State, World};
use crate::gate_model::GateModel;

/// The longest that a gate is gone.
const GONE_MAX: Duration = Duration::from_secs(6);
const FORGETS_EVERY: Duration = Duration::from_secs(1);

/// What the gate holds, and what it would fall back to.
#[derive(Default)]
pub(super) struct SimGateState {
    model: GateModel,
    replica: GateModel,
    gone_until: Option<Timestamp>,
    forgot_at: Option<Timestamp>,
}

/// The gate as every process sees it.
pub(super) struct SimGate {
    pub(super) world: Arc<World>,
}

impl SimGate {
    async fn call<T: Send>(
        &self,
        what: &'static str,
        effect: impl FnOnce(&mut State) -> T + Send,
    ) -> PortResult<T> {
        self.world.hop().await;
        let answer = {
            let mut state = self.world.state();
            if state.is_gate_gone() {
                return Err(PortError::retryable(what, "the gate is gone"));
            }
            effect(&mut state)
        };
        self.world.hop().await;
        if self.world.state().strikes(Mark::GateAnswerLost, 30) {
            return Err(PortError::retryable(what, "the gate did not answer"));
        }
        Ok(answer)
    }
}

#[async_trait]
impl Gate for SimGate {
    async fn admit(&self, _sale: SaleId, users: &[UserId]) -> PortResult<Admission> {
        self.call("asking the gate", |state| match state.plan.gate {
            GateKind::PassesEverybody => Admission::Sorted(vec![Passage::New; users.len()]),
            GateKind::Counts | GateKind::ForgetsEachSecond => {
                let admission = state.gate.model.admit(users);
                if let Admission::Sorted(passages) = &admission {
                    let refused = users.iter().zip(passages).filter(|(_, passage)| !passage.passes());
                    refused.for_each(|(user, _)| state.hear_refused(*user));
                }
                admission
            }
        })
        .await
    }

    async fn update(&self, _sale: SaleId, update: GateUpdate<'_>) -> PortResult<GateReport> {
        self.call("telling the gate", |state| {
            if state.strikes(Mark::GateLimitLost, 20) {
                return GateReport::Unknown;
            }
            let limit = state.tighten(update.limit);
            state.gate.model.update(GateUpdate { limit, ..update })
        })
        .await
    }

    async fn top_up(&self, _sale: SaleId, claims: &[Claim]) -> PortResult<()> {
        self.call("topping the gate up", |state| state.gate.model.top_up(claims)).await
    }

    async fn open(&self, _sale: SaleId, limit: GateLimit) -> PortResult<()> {
        self.call("opening the gate", |state| {
            let limit = state.tighten(limit);
            state.gate.model.open(limit);
        })
        .await
    }

    async fn open_anew(&self, _sale: SaleId, limit: GateLimit) -> PortResult<()> {
        self.call("opening the gate anew", |state| {
            let limit = state.tighten(limit);
            state.gate.model.open_anew(limit);
        })
        .await
    }

    async fn was_refused(&self, _sale: SaleId, user: UserId) -> PortResult<bool> {
        self.call("asking whom the gate refused", |state| state.gate.model.was_refused(user)).await
    }
}

impl State {
    /// Whether the gate cannot be reached; before it answers, it may have forgotten something.
    fn is_gate_gone(&mut self) -> bool {
        let now = self.now;
        if self.gate.gone_until.is_some_and(|until| until > now) && self.is_faulty {
            return true;
        }
        if self.strikes(Mark::GateGone, 60) {
            self.gate.gone_until = Some(now + self.draw_span_up_to(GONE_MAX));
            return true;
        }
        let forgets = self.plan.gate == GateKind::ForgetsEachSecond
            && self.gate.forgot_at.is_none_or(|at| now.saturating_since(at) >= FORGETS_EVERY);
        if forgets || self.strikes(Mark::GateFlushed, 60) {
            self.gate.forgot_at = Some(now);
            self.gate.model = GateModel::default();
        }
        if self.strikes(Mark::GateRolledBack, 60) {
            self.gate.model = self.gate.replica.clone();
        }
        if self.dice.one_in(8) {
            self.gate.replica = self.gate.model.clone();
        }
        false
    }

    /// The limit with the slack of the run: the real one is larger than all the people there are.
    fn tighten(&self, limit: GateLimit) -> GateLimit {
        let slack = if limit.is_open() { SLACK - self.plan.gate_slack } else { 0 };
        GateLimit { people_max: limit.people_max - slack, ..limit }
    }
}
