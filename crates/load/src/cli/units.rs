//! The texts of flags that carry a unit, and what they mean. All refuse rather than guess.

use std::time::Duration;

const RUN_TIME_MAX: Duration = Duration::from_hours(1);
const TIMEOUT_MAX: Duration = Duration::from_mins(5);
const RATE_MAX_PER_S: f64 = 10_000_000.0;

/// How long a run may send: above zero, at most an hour (the report keeps a histogram for each second).
pub(super) fn parse_run_time(text: &str) -> Result<Duration, String> {
    bounded(text, RUN_TIME_MAX)
}

/// How long one request may take: above zero, at most five minutes.
pub(super) fn parse_timeout(text: &str) -> Result<Duration, String> {
    bounded(text, TIMEOUT_MAX)
}

/// Requests a second, `5000/s` or `5000`.
pub(super) fn parse_rate(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix("/s").unwrap_or(text);
    match number.parse::<f64>() {
        Ok(rate) if rate > 0.0 && rate <= RATE_MAX_PER_S => Ok(rate),
        _ => Err("expected requests a second above 0, such as 5000/s".to_owned()),
    }
}

/// A share, from 0 (none) to 1 (all).
pub(super) fn parse_share(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        _ => Err("expected a share from 0 to 1, such as 0.01".to_owned()),
    }
}

/// A sale's id: it becomes part of the path, so nothing but digits.
pub(super) fn parse_sale_id(text: &str) -> Result<String, String> {
    if !text.is_empty() && text.len() <= 20 && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(text.to_owned());
    }
    Err("expected a sale's id, decimal digits".to_owned())
}

fn bounded(text: &str, max: Duration) -> Result<Duration, String> {
    let duration = parse_duration(text).ok_or("expected a time with its unit, such as 500ms, 30s or 5m")?;
    if duration.is_zero() || duration > max {
        return Err(format!("expected a time above 0 and at most {}s", max.as_secs()));
    }
    Ok(duration)
}

fn parse_duration(text: &str) -> Option<Duration> {
    let unit_at = text.find(|char: char| !char.is_ascii_digit())?;
    let (digits, unit) = text.split_at(unit_at);
    let number: u64 = digits.parse().ok()?;
    let unit_ms = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        _ => return None,
    };
    number.checked_mul(unit_ms).map(Duration::from_millis)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_time_without_its_unit_is_refused() {
        for text in ["", "30", "s", "-1s", "1h", "1.5s", "0s", "61m", "99999999999999999999s", "3 s", "€"] {
            assert!(parse_run_time(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_rate_is_above_zero_and_finite() {
        assert_eq!(parse_rate("0.5/s"), Ok(0.5));
        for text in ["", "0", "-1", "inf", "NaN/s", "5/m", "1e99"] {
            assert!(parse_rate(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_sale_id_cannot_leave_its_place_in_the_path() {
        assert_eq!(parse_sale_id("42").as_deref(), Ok("42"));
        for text in ["", "../1", "1/2", "1 HTTP/1.1", "１"] {
            assert!(parse_sale_id(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_time_means_its_number_of_its_unit(ms in 1_u64..3_600_000) {
            prop_assert_eq!(parse_run_time(&format!("{ms}ms")), Ok(Duration::from_millis(ms)));
            let minutes = ms % 60 + 1;
            prop_assert_eq!(parse_run_time(&format!("{minutes}m")), Ok(Duration::from_secs(minutes * 60)));
        }

        #[test]
        fn no_text_panics(text in ".*") {
            let _ = parse_run_time(&text);
            let _ = parse_rate(&text);
            let _ = parse_share(&text);
        }
    }
}
