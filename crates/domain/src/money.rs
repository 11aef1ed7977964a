//! Money: whole minor units with an ISO 4217 code. No floating point anywhere.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// An ISO 4217 currency that prices may be in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Currency {
    code: &'static str,
    minor_digits: u32,
}

/// Codes and minor digits by ISO 4217, for the currencies that card networks settle most.
const CURRENCIES: &[Currency] = &[
    currency("AUD", 2),
    currency("BHD", 3),
    currency("BRL", 2),
    currency("CAD", 2),
    currency("CHF", 2),
    currency("CNY", 2),
    currency("CZK", 2),
    currency("DKK", 2),
    currency("EUR", 2),
    currency("GBP", 2),
    currency("HKD", 2),
    currency("IDR", 2),
    currency("ILS", 2),
    currency("INR", 2),
    currency("JPY", 0),
    currency("KRW", 0),
    currency("KWD", 3),
    currency("MXN", 2),
    currency("MYR", 2),
    currency("NOK", 2),
    currency("NZD", 2),
    currency("PHP", 2),
    currency("PLN", 2),
    currency("SEK", 2),
    currency("SGD", 2),
    currency("THB", 2),
    currency("TRY", 2),
    currency("TWD", 2),
    currency("USD", 2),
    currency("VND", 0),
    currency("ZAR", 2),
];

const fn currency(code: &'static str, minor_digits: u32) -> Currency {
    Currency { code, minor_digits }
}

impl Currency {
    /// The three-letter code.
    pub const fn code(self) -> &'static str {
        self.code
    }
}

impl FromStr for Currency {
    type Err = MoneyError;

    fn from_str(code: &str) -> Result<Self, MoneyError> {
        CURRENCIES.iter().copied().find(|known| known.code == code).ok_or(MoneyError::UnknownCurrency)
    }
}

/// Why a text is not an amount of money.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum MoneyError {
    /// The code is not one of the supported ISO 4217 codes.
    #[error("the currency is not a supported ISO 4217 code")]
    UnknownCurrency,
    /// Not a plain non-negative decimal, too many decimals for the currency, or too large.
    #[error("the amount is not a non-negative decimal with at most the currency's decimals")]
    MalformedAmount,
}

/// A non-negative amount in minor units (cents, for USD).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Money {
    minor: u64,
    currency: Currency,
}

/// The largest amount, so that sums of many lines stay far from overflow.
const MINOR_MAX: u64 = 1_000_000_000_000;

impl Money {
    /// An amount of `minor` units of `currency`.
    ///
    /// # Errors
    /// [`MoneyError::MalformedAmount`] above 10^12 minor units.
    pub const fn from_minor(minor: u64, currency: Currency) -> Result<Self, MoneyError> {
        if minor > MINOR_MAX { Err(MoneyError::MalformedAmount) } else { Ok(Self { minor, currency }) }
    }

    /// Nothing, in `currency`.
    pub const fn zero(currency: Currency) -> Self {
        Self { minor: 0, currency }
    }

    /// Reads a decimal such as `199`, `199.5` or `199.00`.
    ///
    /// # Errors
    /// [`MoneyError::MalformedAmount`] for signs, exponents, spaces, more decimals than the currency has, or more
    /// than 10^12 minor units.
    pub fn parse(amount: &str, currency: Currency) -> Result<Self, MoneyError> {
        let (whole, fraction) = amount.split_once('.').unwrap_or((amount, ""));
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        let decimals = u32::try_from(fraction.len()).map_err(|_| MoneyError::MalformedAmount)?;
        let has_empty_fraction = amount.contains('.') && fraction.is_empty();
        if whole.is_empty()
            || !digits(whole)
            || !digits(fraction)
            || has_empty_fraction
            || decimals > currency.minor_digits
        {
            return Err(MoneyError::MalformedAmount);
        }
        let scale = 10_u64.pow(currency.minor_digits - decimals);
        let minor: u64 = format!("{whole}{fraction}").parse().map_err(|_| MoneyError::MalformedAmount)?;
        let minor = minor.checked_mul(scale).ok_or(MoneyError::MalformedAmount)?;
        Self::from_minor(minor, currency)
    }

    /// The amount in minor units.
    pub const fn minor(self) -> u64 {
        self.minor
    }

    /// The currency.
    pub const fn currency(self) -> Currency {
        self.currency
    }

    /// The amount for `quantity` units.
    ///
    /// # Errors
    /// [`MoneyError::MalformedAmount`] above 10^12 minor units.
    pub fn times(self, quantity: u32) -> Result<Self, MoneyError> {
        let minor = self.minor.checked_mul(u64::from(quantity)).ok_or(MoneyError::MalformedAmount)?;
        Self::from_minor(minor, self.currency)
    }
}

impl fmt::Display for Money {
    /// The amount alone, with all of the currency's decimals: `199.00`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scale = 10_u64.pow(self.currency.minor_digits);
        match self.currency.minor_digits {
            0 => write!(f, "{}", self.minor),
            digits => {
                write!(f, "{}.{:0width$}", self.minor / scale, self.minor % scale, width = digits as usize)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn an_amount_survives_being_written_and_read(minor in 0..=MINOR_MAX, at in 0..CURRENCIES.len()) {
            let money = Money::from_minor(minor, CURRENCIES[at]).unwrap();
            prop_assert_eq!(Money::parse(&money.to_string(), money.currency()), Ok(money));
        }

        #[test]
        fn any_text_is_an_amount_or_an_error(text in ".{0,24}") {
            let _ = Money::parse(&text, CURRENCIES[0]);
        }
    }

    #[test]
    fn amounts_have_at_most_the_decimals_of_their_currency() {
        let usd = "USD".parse().unwrap();
        let jpy = "JPY".parse().unwrap();
        assert_eq!(Money::parse("199.5", usd).unwrap().minor(), 19_950);
        assert_eq!(Money::parse("199", jpy).unwrap().to_string(), "199");
        for bad in ["", ".5", "5.", "-1", "+1", "1e3", "1.234", " 1", "1,0", "99999999999999999999"] {
            assert_eq!(Money::parse(bad, usd), Err(MoneyError::MalformedAmount), "{bad}");
        }
        assert_eq!(Money::parse("1.0", jpy), Err(MoneyError::MalformedAmount));
        assert_eq!("usd".parse::<Currency>(), Err(MoneyError::UnknownCurrency));
    }
}
