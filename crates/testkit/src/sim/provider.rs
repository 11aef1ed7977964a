//! The simulated payment provider: it survives every crash, forgets nothing, and often does not answer.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use miaosha_app::ports::{InvalidCard, PaymentMethod, PaymentProvider, PortResult};
use miaosha_domain::ids::PaymentId;
use miaosha_domain::money::Money;
use miaosha_domain::payment::ProviderState;
use miaosha_domain::time::Timestamp;

use super::coverage::Mark;
use super::sabotage::Sabotage;
use super::world::{State, World};

/// The card that [`SimProvider::check`] refuses.
pub(super) const INVALID_CARD: &str = "invalid";
/// A card that may pay.
pub(super) const GOOD_CARD: &str = "good";

/// The longest that the provider takes: longer than most leases of the simulation.
const PROVIDER_MAX: Duration = Duration::from_secs(8);

/// What the provider knows.
#[derive(Default)]
pub(super) struct Provider {
    payments: BTreeMap<PaymentId, ProviderState>,
    /// Payments that end later: when, and how.
    pending: Vec<(Timestamp, PaymentId, ProviderState)>,
}

impl Provider {
    fn state_of(&self, payment: PaymentId) -> ProviderState {
        self.payments.get(&payment).copied().unwrap_or(ProviderState::Unknown)
    }

    /// Every payment it ever heard of.
    pub(super) fn payments(&self) -> impl Iterator<Item = (PaymentId, ProviderState)> {
        self.payments.iter().map(|(id, state)| (*id, *state))
    }
}

/// The provider as a process sees it.
pub(super) struct SimProvider {
    pub(super) world: Arc<World>,
}

impl SimProvider {
    async fn ask(
        &self,
        what: &'static str,
        payment: PaymentId,
        turn: impl FnOnce(&mut State, ProviderState) -> ProviderState + Send,
    ) -> PortResult<ProviderState> {
        let slow = {
            let mut state = self.world.state();
            let one_in = state.plan.provider_slow_one_in;
            state.draw_slow(Mark::ProviderSlow, one_in, PROVIDER_MAX)
        };
        if let Some(span) = slow {
            self.world.sleep(span).await;
        }
        let lost = (Mark::ProviderCallLost, Mark::ProviderAnswerLost);
        let turned = self.world.call(what, lost, |state| {
            end_pending(state);
            let before = state.provider.state_of(payment);
            let after = turn(state, before);
            if after != before {
                state.provider.payments.insert(payment, after);
                state.hear_money(payment, before, after);
            }
            after
        });
        turned.await
    }
}

/// Ends the pending payments whose time has come.
fn end_pending(state: &mut State) {
    let now = state.now;
    let due: Vec<_> = state.provider.pending.extract_if(.., |(at, ..)| *at <= now).collect();
    for (_, payment, end) in due {
        if state.provider.state_of(payment) == ProviderState::Pending {
            state.provider.payments.insert(payment, end);
            state.mark(if end == ProviderState::Declined {
                Mark::PendingDeclined
            } else {
                Mark::PendingPaid
            });
        }
    }
}

#[async_trait]
impl PaymentProvider for SimProvider {
    fn check(&self, method: &PaymentMethod) -> Result<(), InvalidCard> {
        match method {
            PaymentMethod::Sandbox { card } if card == INVALID_CARD => Err(InvalidCard),
            PaymentMethod::Sandbox { .. } => Ok(()),
        }
    }

    async fn authorise(
        &self,
        payment: PaymentId,
        _amount: Money,
        _method: &PaymentMethod,
    ) -> PortResult<ProviderState> {
        self.ask("authorising", payment, |state, before| {
            let is_new = before == ProviderState::Unknown;
            let forgets = state.sabotage == Some(Sabotage::ForgottenVoid) && before == ProviderState::Voided;
            if !is_new && !forgets {
                return before;
            }
            match state.dice.below(11) {
                0..=1 => {
                    state.mark(Mark::ProviderDeclined);
                    ProviderState::Declined
                }
                2..=4 => {
                    state.mark(Mark::ProviderPending);
                    let at = state.now + state.draw_span(500, 9_000);
                    let is_declined = state.dice.one_in(2);
                    let end = if is_declined { ProviderState::Declined } else { ProviderState::Authorised };
                    state.provider.pending.push((at, payment, end));
                    ProviderState::Pending
                }
                _ => ProviderState::Authorised,
            }
        })
        .await
    }

    async fn capture(&self, payment: PaymentId) -> PortResult<ProviderState> {
        self.ask("capturing", payment, |_, before| match before {
            ProviderState::Authorised => ProviderState::Captured,
            other => other,
        })
        .await
    }

    async fn void(&self, payment: PaymentId) -> PortResult<ProviderState> {
        self.ask("voiding", payment, |_, before| match before {
            ProviderState::Unknown | ProviderState::Pending | ProviderState::Authorised => {
                ProviderState::Voided
            }
            other => other,
        })
        .await
    }

    async fn refund(&self, payment: PaymentId) -> PortResult<ProviderState> {
        self.ask("refunding", payment, |_, before| match before {
            ProviderState::Captured => ProviderState::Refunded,
            other => other,
        })
        .await
    }

    async fn query(&self, payment: PaymentId) -> PortResult<ProviderState> {
        self.ask("querying", payment, |_, before| before).await
    }
}
