//! What `PaymentProvider` promises.

use std::any::Any;
use std::sync::Arc;

use futures_util::future::join_all;
use miaosha_app::ports::{PaymentMethod, PaymentProvider, PortError};
use miaosha_domain::ids::PaymentId;
use miaosha_domain::payment::ProviderState;

use super::scene::{payment_id, usd};

/// A provider that knows of no payment, and methods that make it do what a fact needs.
pub struct Provider {
    /// The provider.
    pub provider: Arc<dyn PaymentProvider>,
    /// Pays at once.
    pub pays: PaymentMethod,
    /// Is declined.
    pub declined: PaymentMethod,
    /// Pays later.
    pub pending: PaymentMethod,
    /// Pays, and the answer is lost.
    pub loses_answer: PaymentMethod,
    /// Can never pay.
    pub invalid: PaymentMethod,
    /// What has to live as long as the provider.
    pub keep: Box<dyn Any + Send>,
}

impl std::fmt::Debug for Provider {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Provider").finish_non_exhaustive()
    }
}

/// Runs the suite of `PaymentProvider` on the [`Provider`](contract::provider::Provider) that `$make` gives.
#[macro_export]
macro_rules! payment_provider_contract {
    ($make:expr) => {
        $crate::contract_suite! { payment_provider_contract, $make, provider, [
            a_method_is_checked_without_effect,
            an_authorised_payment_is_captured_and_refunded,
            a_declined_payment_stays_declined,
            a_pending_payment_says_so_and_can_be_voided,
            a_lost_answer_has_taken_effect,
            a_repeated_call_changes_nothing,
            many_calls_at_once_take_effect_once,
            a_voided_payment_is_never_authorised,
            an_id_never_heard_of_is_barred_by_a_void,
            a_void_after_the_end_changes_nothing,
            only_what_is_authorised_is_captured,
            only_what_is_captured_is_refunded,
        ] }
    };
}

const ID: PaymentId = match PaymentId::new(77) {
    Ok(id) => id,
    Err(_) => panic!("77 is an id"),
};

impl Provider {
    async fn authorise(&self, method: &PaymentMethod) -> ProviderState {
        self.provider.authorise(ID, usd(500), method).await.unwrap()
    }

    async fn query(&self) -> ProviderState {
        self.provider.query(ID).await.unwrap()
    }

    async fn capture(&self) -> ProviderState {
        self.provider.capture(ID).await.unwrap()
    }

    async fn void(&self) -> ProviderState {
        self.provider.void(ID).await.unwrap()
    }

    async fn refund(&self) -> ProviderState {
        self.provider.refund(ID).await.unwrap()
    }
}

/// "Whether the method could pay at all; … Without effect."
pub async fn a_method_is_checked_without_effect(it: Provider) {
    for method in [&it.pays, &it.declined, &it.pending, &it.loses_answer] {
        it.provider.check(method).unwrap();
    }
    it.provider.check(&it.invalid).unwrap_err();
    assert_eq!(it.query().await, ProviderState::Unknown);
}

/// "Sets the amount aside", "Takes what is set aside", "Gives back what was captured".
pub async fn an_authorised_payment_is_captured_and_refunded(it: Provider) {
    assert_eq!(it.authorise(&it.pays).await, ProviderState::Authorised);
    assert_eq!(it.query().await, ProviderState::Authorised);
    assert_eq!(it.capture().await, ProviderState::Captured);
    assert_eq!(it.query().await, ProviderState::Captured);
    assert_eq!(it.refund().await, ProviderState::Refunded);
    assert_eq!(it.query().await, ProviderState::Refunded);
    assert_eq!(it.provider.query(payment_id(78)).await.unwrap(), ProviderState::Unknown);
}

/// "`Declined`", for good.
pub async fn a_declined_payment_stays_declined(it: Provider) {
    assert_eq!(it.authorise(&it.declined).await, ProviderState::Declined);
    assert_eq!(it.authorise(&it.pays).await, ProviderState::Declined, "the id is the idempotency key");
    assert_eq!(it.query().await, ProviderState::Declined);
}

/// "`Pending` when it will be known later"; void "lets go of what is … pending".
pub async fn a_pending_payment_says_so_and_can_be_voided(it: Provider) {
    assert_eq!(it.authorise(&it.pending).await, ProviderState::Pending);
    assert_eq!(it.query().await, ProviderState::Pending);
    assert_eq!(it.capture().await, ProviderState::Pending);
    assert_eq!(it.void().await, ProviderState::Voided);
    assert_eq!(it.authorise(&it.pending).await, ProviderState::Voided);
}

/// "A call may take effect although its answer is lost (a `Retryable` error)."
pub async fn a_lost_answer_has_taken_effect(it: Provider) {
    let lost = it.provider.authorise(ID, usd(500), &it.loses_answer).await;
    assert!(matches!(lost, Err(PortError::Retryable { .. })));
    assert_eq!(it.query().await, ProviderState::Authorised);
    assert_eq!(it.authorise(&it.loses_answer).await, ProviderState::Authorised);
    assert_eq!(it.capture().await, ProviderState::Captured);
}

/// "Repeating a call changes nothing and answers with the state as it is now."
pub async fn a_repeated_call_changes_nothing(it: Provider) {
    for _ in 0..2 {
        assert_eq!(it.authorise(&it.pays).await, ProviderState::Authorised);
    }
    for _ in 0..2 {
        assert_eq!(it.capture().await, ProviderState::Captured);
        assert_eq!(it.authorise(&it.pays).await, ProviderState::Captured);
    }
    for _ in 0..2 {
        assert_eq!(it.refund().await, ProviderState::Refunded);
        assert_eq!(it.capture().await, ProviderState::Refunded);
        assert_eq!(it.authorise(&it.pays).await, ProviderState::Refunded);
    }
}

/// The same, for calls that run at once: of a void and authorisations, one wins for good.
pub async fn many_calls_at_once_take_effect_once(it: Provider) {
    for raw in 1..20 {
        let id = payment_id(raw);
        let amount = usd(500);
        let authorise = || it.provider.authorise(id, amount, &it.pays);
        let told = join_all([authorise(), it.provider.void(id), authorise()]).await;
        assert_eq!(told[1].as_ref().unwrap(), &ProviderState::Voided);
        assert_eq!(it.provider.query(id).await.unwrap(), ProviderState::Voided);
        assert_eq!(it.provider.capture(id).await.unwrap(), ProviderState::Voided);
    }
}

/// "`Voided` if the payment was voided before, and then no money is ever set aside for it."
pub async fn a_voided_payment_is_never_authorised(it: Provider) {
    it.authorise(&it.pays).await;
    assert_eq!(it.void().await, ProviderState::Voided);
    assert_eq!(it.authorise(&it.pays).await, ProviderState::Voided);
    assert_eq!(it.capture().await, ProviderState::Voided);
    assert_eq!(it.refund().await, ProviderState::Voided);
    assert_eq!(it.query().await, ProviderState::Voided);
}

/// "… and bars the id, also one never heard of: `Voided`. Any later `authorise` of it is refused."
pub async fn an_id_never_heard_of_is_barred_by_a_void(it: Provider) {
    assert_eq!(it.void().await, ProviderState::Voided);
    assert_eq!(it.query().await, ProviderState::Voided);
    for method in [&it.pays, &it.declined, &it.pending, &it.loses_answer] {
        assert_eq!(it.authorise(method).await, ProviderState::Voided);
    }
}

/// "A payment that was captured, declined or refunded keeps its state."
pub async fn a_void_after_the_end_changes_nothing(it: Provider) {
    let (id, amount) = (payment_id(1), usd(500));
    it.provider.authorise(id, amount, &it.declined).await.unwrap();
    assert_eq!(it.provider.void(id).await.unwrap(), ProviderState::Declined);
    it.authorise(&it.pays).await;
    it.capture().await;
    assert_eq!(it.void().await, ProviderState::Captured);
    assert_eq!(it.refund().await, ProviderState::Refunded);
    assert_eq!(it.void().await, ProviderState::Refunded);
}

/// "A payment that is not authorised keeps its state."
pub async fn only_what_is_authorised_is_captured(it: Provider) {
    assert_eq!(it.capture().await, ProviderState::Unknown);
    assert_eq!(it.query().await, ProviderState::Unknown);
    assert_eq!(it.authorise(&it.declined).await, ProviderState::Declined);
    assert_eq!(it.capture().await, ProviderState::Declined);
}

/// "A payment that was not captured keeps its state."
pub async fn only_what_is_captured_is_refunded(it: Provider) {
    assert_eq!(it.refund().await, ProviderState::Unknown);
    assert_eq!(it.authorise(&it.pays).await, ProviderState::Authorised);
    assert_eq!(it.refund().await, ProviderState::Authorised);
    assert_eq!(it.capture().await, ProviderState::Captured);
}
