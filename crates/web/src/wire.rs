//! The shapes that cross the wire, as the contract names them: what is sent is here; what is taken stands beside its
//! route, except a plan of a sale, which the command line takes too.
//!
//! Ids are decimal strings, money is an amount and a currency, moments are RFC 3339 in UTC with milliseconds.

mod claim;
mod order;
mod person;
mod plan;
mod recount;
mod sale;

use std::time::Duration;

use miaosha_domain::money::Money;
use miaosha_domain::time::Timestamp;
use serde::{Deserialize, Serialize, Serializer};
use utoipa::ToSchema;

pub use claim::ClaimBody;
pub(crate) use order::{OrderBody, ShippingBody};
pub(crate) use person::{SignedInBody, UserBody};
pub use plan::{InvalidPlan, NewSale, PriceGiven, TextGiven};
pub use recount::RecountBody;
pub use sale::ManagedSaleBody;
pub(crate) use sale::SaleBody;

/// A moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ToSchema)]
#[schema(value_type = String, format = DateTime, example = "2027-01-15T14:00:00.000Z")]
pub struct Moment(pub Timestamp);

impl std::fmt::Display for Moment {
    /// RFC 3339 in UTC, always with three decimals. A moment beyond the year 9999 reads as its end.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let at = jiff::Timestamp::from_millisecond(self.0.as_millis()).unwrap_or(jiff::Timestamp::MAX);
        write!(f, "{at:.3}")
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A span in seconds: a whole number where it is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ToSchema)]
#[schema(value_type = f64, example = 600)]
pub(crate) struct Seconds(pub(crate) Duration);

impl Serialize for Seconds {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.subsec_nanos() {
            0 => serializer.serialize_u64(self.0.as_secs()),
            _ => serializer.serialize_f64(self.0.as_secs_f64()),
        }
    }
}

/// Money.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MoneyBody {
    /// A decimal with all of the currency's decimals.
    #[schema(example = "199.00")]
    pub amount: String,
    /// ISO 4217.
    #[schema(example = "USD")]
    pub currency: String,
}

impl From<Money> for MoneyBody {
    fn from(money: Money) -> Self {
        Self { amount: money.to_string(), currency: money.currency().code().to_owned() }
    }
}

/// One page of a list, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Page<T> {
    /// What is on it.
    pub(crate) items: Vec<T>,
    /// `after` for the next page; null on the last.
    pub(crate) next: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_always_has_three_decimals_and_a_z() {
        for (ms, text) in [(0, "1970-01-01T00:00:00.000Z"), (1_800_000_000_250, "2027-01-15T08:00:00.250Z")] {
            assert_eq!(Moment(Timestamp::from_millis(ms)).to_string(), text);
        }
        assert!(Moment(Timestamp::from_millis(i64::MAX)).to_string().starts_with("9999-12-"));
    }
}
