//! Identifiers: 63-bit, time-ordered numbers inside, decimal strings outside.
//!
//! Layout, from the top: 41 bits of milliseconds since 2024-01-01T00:00:00Z (enough until 2093), 10 bits of node,
//! 12 bits of counter. They stay positive as a signed 64-bit column and are strings wherever a language with
//! 53-bit numbers may read them.

use std::fmt;
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

use crate::time::Timestamp;

/// The text is not a decimal number between 1 and 2^63 − 1 without sign or leading zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("an id is a decimal number between 1 and 9223372036854775807")]
pub struct MalformedId;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(u64);

        impl $name {
            /// Takes a raw number.
            ///
            /// # Errors
            /// [`MalformedId`] for 0 and for numbers above 2^63 − 1.
            pub const fn new(raw: u64) -> Result<Self, MalformedId> {
                if raw == 0 || raw > i64::MAX as u64 { Err(MalformedId) } else { Ok(Self(raw)) }
            }

            /// The raw number, between 1 and 2^63 − 1.
            pub const fn get(self) -> u64 {
                self.0
            }
        }

        impl FromStr for $name {
            type Err = MalformedId;

            fn from_str(text: &str) -> Result<Self, MalformedId> {
                let canonical = !text.starts_with(['+', '0']);
                let raw = text.parse().map_err(|_| MalformedId)?;
                if canonical { Self::new(raw) } else { Err(MalformedId) }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}#{}", stringify!($name), self.0)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(D::Error::custom)
            }
        }
    };
}

id!(
    /// A sale.
    SaleId
);
id!(
    /// A product, of which a sale sells one.
    ProductId
);
id!(
    /// A person with an account.
    UserId
);
id!(
    /// An order: what a paid claim became.
    OrderId
);
id!(
    /// One attempt to pay; the provider's idempotency key.
    PaymentId
);

const EPOCH_MS: i64 = 1_704_067_200_000;
const NODE_BITS: u32 = 10;
const COUNTER_BITS: u32 = 12;

/// Hands out raw ids of one node, each larger than the one before, whatever the clock does.
#[derive(Debug)]
pub struct IdSequence {
    node: u64,
    last: u64,
}

impl IdSequence {
    /// A sequence for `node`, of which the low 10 bits count. Two live nodes need different numbers.
    pub const fn new(node: u16) -> Self {
        Self { node: (node as u64) & ((1 << NODE_BITS) - 1), last: 0 }
    }

    /// The next raw id. More than 4,096 in a millisecond, or a clock that steps back, run ahead of the clock
    /// instead of repeating.
    pub fn next(&mut self, now: Timestamp) -> u64 {
        let elapsed_ms = u64::try_from(now.as_millis().saturating_sub(EPOCH_MS)).unwrap_or(0).max(1);
        let by_clock = (elapsed_ms << (NODE_BITS + COUNTER_BITS)) | (self.node << COUNTER_BITS);
        self.last = if by_clock > self.last { by_clock } else { self.after_last() };
        self.last
    }

    fn after_last(&self) -> u64 {
        let counter_full = self.last & ((1 << COUNTER_BITS) - 1) == (1 << COUNTER_BITS) - 1;
        if !counter_full {
            return self.last + 1;
        }
        let next_ms = (self.last >> (NODE_BITS + COUNTER_BITS)) + 1;
        (next_ms << (NODE_BITS + COUNTER_BITS)) | (self.node << COUNTER_BITS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_grow_even_when_the_clock_steps_back_or_stands_still() {
        let mut ids = IdSequence::new(3);
        let mut last = 0;
        for i in 0..20_000 {
            let now = Timestamp::from_millis(EPOCH_MS + 1_000_000 - i % 7);
            let next = ids.next(now);
            assert!(next > last);
            assert_eq!((next >> COUNTER_BITS) & 0x3ff, 3, "the node stays readable in the id");
            last = next;
        }
    }

    #[test]
    fn only_canonical_positive_decimals_are_ids() {
        for bad in ["", "0", "01", "+1", "-1", " 1", "1.0", "9223372036854775808", "x"] {
            assert_eq!(bad.parse::<SaleId>(), Err(MalformedId), "{bad}");
        }
        assert_eq!("9223372036854775807".parse::<SaleId>().unwrap().to_string(), "9223372036854775807");
    }
}
