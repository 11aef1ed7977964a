//! Writes the end of a payment: one transaction for claim, event, payment and order.

use miaosha_domain::ids::PaymentId;
use miaosha_domain::money::Money;
use miaosha_domain::payment::{Payment, PaymentStatus, fail, succeed};
use tracing::error;

use super::new_order_id;
use crate::announce::announce_claim;
use crate::model::{Order, OrderLine, OrderStatus, OrderTotals, SaleRow};
use crate::ports::{ClaimTx, ClaimWrite, PortError, PortResult, Ports, Random};

/// The provider set the money aside: the claim becomes paid, with its order. `None` if the claim is no longer paying
/// under this payment, or its lease was given up; the money is then due back. Repeating it finds the order.
pub(crate) async fn conclude_success(ports: &Ports, payment: Payment) -> PortResult<Option<Order>> {
    let row = ports.sales.lookup(payment.sale).await?;
    let shipping = ports.payments.shipping_of(payment.id).await?;
    let (Some(SaleRow { sale, .. }), Some(shipping)) = (row, shipping) else {
        return Err(PortError::terminal("concluding a payment", "its sale or its address is missing"));
    };
    let open = lock_open(ports, payment.id, &payment).await?;
    let Some((tx, known)) = open.filter(|(_, known)| known.status == PaymentStatus::Started) else {
        let order = ports.orders.lookup_by_sale(payment.user, payment.sale).await?;
        return Ok(order.filter(|order| order.payment == payment.id));
    };
    let Some(change) = succeed(tx.claim(), payment.id) else {
        let void_due = Payment { status: PaymentStatus::VoidDue, ..known };
        tx.commit(ClaimWrite { payment: Some(void_due), ..ClaimWrite::default() }).await?;
        return Ok(None);
    };
    let line = OrderLine {
        title: sale.product.title,
        quantity: change.claim.quantity,
        unit_price: sale.price,
        total: payment.amount,
    };
    let order = Order {
        id: new_order_id(ports)?,
        number: order_number(ports.random.as_ref()),
        sale: payment.sale,
        user: payment.user,
        payment: payment.id,
        status: OrderStatus::Paid,
        totals: totals_of(&line),
        lines: vec![line],
        shipping,
        created_at: tx.now(),
    };
    let write = ClaimWrite {
        change: Some(change),
        payment: Some(Payment { status: PaymentStatus::CaptureDue, ..known }),
        shipping: None,
        order: Some(order.clone()),
    };
    tx.commit(write).await?;
    announce_claim(ports, change.claim).await;
    Ok(Some(order))
}

/// The payment ended without money, as `end` says: a claim still paying under it goes back to its reservation.
/// Repeating it changes nothing, and so does a failure heard after the unit was sold.
pub(crate) async fn conclude_failure(ports: &Ports, payment: Payment, end: PaymentStatus) -> PortResult<()> {
    let Some((tx, known)) = lock_open(ports, payment.id, &payment).await? else { return Ok(()) };
    if known.status == PaymentStatus::CaptureDue {
        return Ok(());
    }
    let change = fail(tx.claim(), payment.id);
    let write =
        ClaimWrite { change, payment: Some(Payment { status: end, ..known }), ..ClaimWrite::default() };
    tx.commit(write).await?;
    if let Some(change) = change {
        announce_claim(ports, change.claim).await;
    }
    Ok(())
}

/// Gives the lease up, if it is over by the database's clock: from now on a success of this payment is not written any
/// more, so that it can be voided. The claim keeps paying until the void is known. Returns the payment as it is now, which
/// is another if its end was written meanwhile; `None` if it is final, or its lease is not over.
pub(crate) async fn give_lease_up(ports: &Ports, payment: Payment) -> PortResult<Option<Payment>> {
    let Some((tx, known)) = lock_open(ports, payment.id, &payment).await? else { return Ok(None) };
    if known.status != PaymentStatus::Started {
        return Ok(Some(known));
    }
    if tx.now() < known.lease_until {
        return Ok(None);
    }
    let void_due = Payment { status: PaymentStatus::VoidDue, ..known };
    tx.commit(ClaimWrite { payment: Some(void_due), ..ClaimWrite::default() }).await?;
    Ok(Some(void_due))
}

/// The money was taken.
pub(crate) async fn note_captured(ports: &Ports, payment: Payment) -> PortResult<()> {
    let Some((tx, known)) = lock_open(ports, payment.id, &payment).await? else { return Ok(()) };
    if known.status != PaymentStatus::CaptureDue {
        return Ok(());
    }
    let captured = Payment { status: PaymentStatus::Captured, ..known };
    tx.commit(ClaimWrite { payment: Some(captured), ..ClaimWrite::default() }).await
}

/// Locks the payment's claim, and gives the payment as it is now; `None` if it is final.
async fn lock_open(
    ports: &Ports,
    id: PaymentId,
    payment: &Payment,
) -> PortResult<Option<(Box<dyn ClaimTx>, Payment)>> {
    let Some(mut tx) = ports.claims.lock(payment.sale, payment.user).await? else {
        error!(payment = %id, "a payment has no claim");
        return Err(PortError::terminal("locking a payment's claim", "there is no such claim"));
    };
    let known = tx.payment(id).await?.filter(|known| !known.status.is_final());
    Ok(known.map(|known| (tx, known)))
}

fn totals_of(line: &OrderLine) -> OrderTotals {
    let nothing = Money::zero(line.total.currency());
    OrderTotals { net: line.total, tax: nothing, shipping: nothing, discount: nothing, total: line.total }
}

/// Ten characters of Crockford's base 32, without I, L, O and U: 50 random bits that can be read over a telephone.
fn order_number(random: &dyn Random) -> String {
    const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    let mut bytes = [0; 10];
    random.fill(&mut bytes);
    bytes.iter().map(|byte| char::from(ALPHABET[usize::from(byte & 31)])).collect()
}
