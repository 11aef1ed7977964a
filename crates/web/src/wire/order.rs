//! Orders.

use miaosha_app::model::{Order, OrderLine, Shipping};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Moment, MoneyBody};
use crate::extract::Languages;

/// An order, in the buyer's language.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Order)]
pub(crate) struct OrderBody {
    id: String,
    /// What to quote to people.
    number: String,
    sale: String,
    /// `paid` or `refunded`.
    status: &'static str,
    lines: Vec<OrderLineBody>,
    totals: OrderTotalsBody,
    shipping: ShippingBody,
    created_at: Moment,
}

/// One product of an order.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = OrderLine)]
struct OrderLineBody {
    title: String,
    quantity: u32,
    unit_price: MoneyBody,
    total: MoneyBody,
}

/// `total = net + tax + shipping − discount`.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = OrderTotals)]
struct OrderTotalsBody {
    net: MoneyBody,
    tax: MoneyBody,
    shipping: MoneyBody,
    discount: MoneyBody,
    total: MoneyBody,
}

/// Where a parcel goes.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = Shipping)]
pub(crate) struct ShippingBody {
    /// The recipient.
    pub(crate) name: String,
    /// For the carrier.
    pub(crate) phone: String,
    /// The postal address.
    pub(crate) address: String,
}

impl OrderBody {
    /// The order for a reader of `languages`.
    pub(crate) fn new(order: &Order, languages: &Languages) -> Self {
        let totals = &order.totals;
        let Shipping { name, phone, address } = order.shipping.clone();
        Self {
            id: order.id.to_string(),
            number: order.number.clone(),
            sale: order.sale.to_string(),
            status: order.status.name(),
            lines: order.lines.iter().map(|line| line_body(line, languages)).collect(),
            totals: OrderTotalsBody {
                net: totals.net.into(),
                tax: totals.tax.into(),
                shipping: totals.shipping.into(),
                discount: totals.discount.into(),
                total: totals.total.into(),
            },
            shipping: ShippingBody { name, phone, address },
            created_at: Moment(order.created_at),
        }
    }
}

fn line_body(line: &OrderLine, languages: &Languages) -> OrderLineBody {
    OrderLineBody {
        title: languages.read(&line.title).to_owned(),
        quantity: line.quantity,
        unit_price: line.unit_price.into(),
        total: line.total.into(),
    }
}
