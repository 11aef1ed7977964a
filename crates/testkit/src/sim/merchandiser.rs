//! What the people behind a sale do to it while it runs: pause, resume, add stock, close, refund, restock.

use std::sync::Arc;
use std::time::Duration;

use miaosha_app::announce::{announce_claim, announce_sale};
use miaosha_app::manage_sale::{Managed, add_stock, close_sale, pause_sale, resume_sale};
use miaosha_app::model::{DatedBook, Outcomes};
use miaosha_app::ports::{ClaimWrite, PortResult, Ports};
use miaosha_domain::claim::ClaimStatus;
use miaosha_domain::ids::{SaleId, UserId};
use miaosha_domain::payment::{Payment, PaymentStatus, refund};
use miaosha_domain::settle::{Settled, restock};

use super::coverage::Mark;
use super::network::call;
use super::world::World;

const ACTIONS_MAX: u64 = 16;

/// Manages the sale, by the dice.
pub(super) async fn manage(world: Arc<World>) {
    let sale = world.state().plan.sale.id;
    let actions = world.state().dice.between(2, ACTIONS_MAX);
    for _ in 0..actions {
        let span = world.state().draw_span(100, 4_000);
        world.sleep(span).await;
        let (roll, all_paid) = {
            let mut state = world.state();
            (state.dice.below(24), state.store.rows.book.all_paid)
        };
        match roll {
            0..=17 if all_paid => add(&world, sale).await,
            0..=4 => pause_for_a_while(&world, sale).await,
            5..=9 => add(&world, sale).await,
            10..=11 => close(&world, sale).await,
            _ => give_back(&world, sale).await,
        }
    }
}

async fn pause_for_a_while(world: &Arc<World>, sale: SaleId) {
    let paused = call(world, move |node| async move { pause_sale(&node.ports, sale).await }).await;
    if matches!(paused, Some(Ok(Managed::Refused(_)))) {
        world.state().mark(Mark::PauseRefused);
    }
    let (span, forgets) = {
        let mut state = world.state();
        (state.draw_span(500, 5_000), state.dice.one_in(5))
    };
    if forgets {
        return;
    }
    world.sleep(span).await;
    for _ in 0..5 {
        let resumed = call(world, move |node| async move { resume_sale(&node.ports, sale).await }).await;
        match resumed {
            Some(Ok(Managed::Refused(_))) => return world.state().mark(Mark::PauseRefused),
            Some(Ok(_)) => return,
            Some(Err(_)) | None => world.sleep(Duration::from_millis(500)).await,
        }
    }
}

async fn add(world: &Arc<World>, sale: SaleId) {
    let units = u32::try_from(world.state().dice.between(1, 3)).expect("small");
    let added = call(world, move |node| async move { add_stock(&node.ports, sale, units).await }).await;
    if matches!(added, Some(Ok(Managed::Refused(_)))) {
        world.state().mark(Mark::StockRefused);
    }
}

async fn close(world: &Arc<World>, sale: SaleId) {
    // Unanswered, it may have happened or not; both are fine.
    let _closed = call(world, move |node| async move { close_sale(&node.ports, sale).await }).await;
}

/// Refunds a paid claim, or restocks a refunded one.
async fn give_back(world: &Arc<World>, sale: SaleId) {
    let picked = {
        let mut state = world.state();
        let gives_back = |status| matches!(status, ClaimStatus::Paid | ClaimStatus::Refunded);
        let candidates: Vec<_> =
            state.store.rows.claims.iter().filter(|claim| gives_back(claim.status)).copied().collect();
        if candidates.is_empty() {
            return;
        }
        let pick = state.dice.index(candidates.len());
        candidates[pick]
    };
    let user = picked.user;
    if picked.status == ClaimStatus::Paid {
        // Unanswered, it may have happened or not; both are fine.
        let _refunded =
            call(world, move |node| async move { refund_claim(&node.ports, sale, user).await }).await;
    } else {
        let _restocked =
            call(world, move |node| async move { restock_claim(&node.ports, sale, user).await }).await;
    }
}

/// `paid → refunded`, with the payment due back, in one transaction. Only a captured payment is refunded.
async fn refund_claim(ports: &Ports, sale: SaleId, user: UserId) -> PortResult<()> {
    let Some(mut tx) = ports.claims.lock(sale, user).await? else { return Ok(()) };
    let (Some(change), Some(id)) = (refund(tx.claim()), tx.claim().payment) else { return Ok(()) };
    let captured = tx.payment(id).await?.filter(|payment| payment.status == PaymentStatus::Captured);
    let Some(captured) = captured else { return Ok(()) };
    let payment = Some(Payment { status: PaymentStatus::RefundDue, ..captured });
    tx.commit(ClaimWrite { change: Some(change), payment, ..ClaimWrite::default() }).await?;
    announce_claim(ports, change.claim).await;
    Ok(())
}

/// Puts a refunded unit back on sale.
async fn restock_claim(ports: &Ports, sale: SaleId, user: UserId) -> PortResult<()> {
    let Some(mut tx) = ports.sales.lock(sale).await? else { return Ok(()) };
    let Some(claim) = tx.claims_of(&[user]).await?.remove(&user) else { return Ok(()) };
    let standing = tx.standing().await?;
    let (terms, mut book, now) = (tx.terms(), tx.book(), tx.now());
    let Some(Settled { changes, .. }) = restock(&terms, &mut book, claim, standing, now) else {
        return Ok(());
    };
    tx.commit(book, &changes).await?;
    let claims = changes.into_iter().map(|change| change.claim).collect();
    announce_sale(ports, &terms, Outcomes::of_book(sale, DatedBook { book, as_of: now }, claims)).await;
    Ok(())
}
