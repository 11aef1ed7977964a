//! When a caller wrote last: whoever wrote a moment ago must see it, everybody else may read what is a little old.
//!
//! This node remembers whoever wrote through it; a cookie with the time tells every other node, and says nothing else. A
//! client that keeps no cookies says nothing, so it is never taken for one that has not written.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::response::Response;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, header};
use miaosha_app::ports::Freshness;
use miaosha_domain::ids::UserId;
use miaosha_domain::time::Timestamp;
use parking_lot::Mutex;

use crate::extract::Operator;
use crate::problem::Problem;
use crate::web::Web;
use crate::writes::who_asks;

/// How long a moment is: more than a replica may lag before nobody reads from it, and more than a write goes on whose
/// caller has been sent away.
const A_MOMENT: Duration = Duration::from_secs(10);
const COOKIE: &str = "miaosha_wrote";
/// A browser without the cookie costs only reads of the primary.
const COOKIE_LASTS: Duration = Duration::from_hours(365 * 24);
/// So many writers are remembered before those of the past are looked for.
const PRUNED_AT: usize = 10_000;

/// When the caller wrote last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LastWrite {
    /// Perhaps so lately that replicas and memory have not seen it.
    JustNow,
    /// So long ago that everybody has seen it; or never, for nobody is signed in.
    LongAgo,
    /// The caller does not say.
    Unknown,
}

impl LastWrite {
    /// How new a list for this caller has to be. A replica may be seconds behind, so only who certainly has not written
    /// reads from one.
    pub(crate) const fn freshness_of_lists(self) -> Freshness {
        match self {
            Self::JustNow | Self::Unknown => Freshness::Fresh,
            Self::LongAgo => Freshness::StaleOk,
        }
    }
}

impl FromRequestParts<Arc<Web>> for LastWrite {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, web: &Arc<Web>) -> Result<Self, Problem> {
        if parts.extensions.get::<Operator>().is_some() {
            return Ok(Self::Unknown);
        }
        let Some(user) = who_asks(web, &parts.headers) else { return Ok(Self::LongAgo) };
        let now = web.ports.clock.now();
        Ok(match web.writers.last_write(user, now) {
            Self::Unknown => told_by(&parts.headers, now),
            known => known,
        })
    }
}

/// What the cookie says. Clocks of nodes differ a little: what was written a moment ahead was written just now.
fn told_by(headers: &HeaderMap, now: Timestamp) -> LastWrite {
    let Some(wrote_at) = cookie_of(headers).and_then(|value| value.parse::<i64>().ok()) else {
        return LastWrite::Unknown;
    };
    let now = unix_seconds(now);
    if wrote_at.abs_diff(now) <= A_MOMENT.as_secs() {
        LastWrite::JustNow
    } else if wrote_at < now {
        LastWrite::LongAgo
    } else {
        LastWrite::Unknown
    }
}

fn cookie_of(headers: &HeaderMap) -> Option<&str> {
    let cookies = headers.get_all(header::COOKIE).into_iter().filter_map(|value| value.to_str().ok());
    let mut pairs = cookies.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| *name == COOKIE).map(|(_, value)| value)
}

/// Rounded down: of two moments that are less than [`A_MOMENT`] apart, the whole seconds are no further apart than it.
fn unix_seconds(at: Timestamp) -> i64 {
    at.as_millis().div_euclid(1_000)
}

/// Marks the answer of a write, unless it was refused and so changed nothing.
pub(crate) fn mark(response: &mut Response, now: Timestamp) {
    if response.status().is_client_error() {
        return;
    }
    let (wrote_at, lasts) = (unix_seconds(now), COOKIE_LASTS.as_secs());
    let cookie = format!("{COOKIE}={wrote_at}; Max-Age={lasts}; Path=/api; HttpOnly; SameSite=Lax");
    let cookie = HeaderValue::from_str(&cookie).expect("a name and digits are visible ASCII");
    response.headers_mut().append(header::SET_COOKIE, cookie);
}

/// Those who wrote through this node.
#[derive(Debug, Default)]
pub(crate) struct RecentWriters {
    known: Mutex<Known>,
}

#[derive(Debug)]
struct Known {
    at: HashMap<UserId, Timestamp>,
    prune_at: usize,
}

impl Default for Known {
    fn default() -> Self {
        Self { at: HashMap::new(), prune_at: PRUNED_AT }
    }
}

impl RecentWriters {
    /// Notes that this person writes.
    pub(crate) fn note(&self, user: UserId, now: Timestamp) {
        let mut known = self.known.lock();
        known.at.insert(user, now);
        if known.at.len() >= known.prune_at {
            known.at.retain(|_, at| is_recent(*at, now));
            known.prune_at = PRUNED_AT.max(known.at.len() * 2);
        }
    }

    /// When this person wrote last, as far as this node knows by itself.
    pub(crate) fn last_write(&self, user: UserId, now: Timestamp) -> LastWrite {
        let wrote_here = self.known.lock().at.get(&user).is_some_and(|at| is_recent(*at, now));
        if wrote_here { LastWrite::JustNow } else { LastWrite::Unknown }
    }
}

fn is_recent(at: Timestamp, now: Timestamp) -> bool {
    now.saturating_since(at) < A_MOMENT
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: Timestamp = Timestamp::from_millis(1_800_000_000_000);

    fn user(number: usize) -> UserId {
        UserId::new(number as u64 + 1).unwrap()
    }

    #[test]
    fn a_writer_is_remembered_for_ten_seconds() {
        let writers = RecentWriters::default();
        writers.note(user(1), NOON);
        let almost = NOON + A_MOMENT - Duration::from_millis(1);
        assert_eq!(writers.last_write(user(1), almost), LastWrite::JustNow);
        assert_eq!(writers.last_write(user(2), almost), LastWrite::Unknown);
        assert_eq!(writers.last_write(user(1), NOON + A_MOMENT), LastWrite::Unknown);
    }

    #[test]
    fn those_of_the_past_are_forgotten() {
        let writers = RecentWriters::default();
        for number in 0..PRUNED_AT {
            writers.note(user(number), NOON);
        }
        for number in PRUNED_AT..PRUNED_AT * 2 {
            writers.note(user(number), NOON + A_MOMENT);
        }
        assert_eq!(writers.known.lock().at.len(), PRUNED_AT);
        assert_eq!(writers.last_write(user(PRUNED_AT), NOON + A_MOMENT), LastWrite::JustNow);
    }

    #[test]
    fn the_cookie_is_found_among_others() {
        let found = |value| {
            cookie_of(&HeaderMap::from_iter([(header::COOKIE, HeaderValue::from_static(value))]))
                .map(str::to_owned)
        };
        assert_eq!(found("a=b; miaosha_wrote=1").as_deref(), Some("1"));
        assert_eq!(found("miaosha_wrote=1;c=d").as_deref(), Some("1"));
        assert_eq!(found("x=miaosha_wrote=1"), None);
        assert_eq!(cookie_of(&HeaderMap::new()), None);
    }

    #[test]
    fn a_write_is_recent_for_ten_seconds_and_what_cannot_be_read_is_unknown() {
        let told = |value: &str| {
            let value = HeaderValue::from_str(&format!("{COOKIE}={value}")).unwrap();
            told_by(&HeaderMap::from_iter([(header::COOKIE, value)]), NOON + Duration::from_millis(999))
        };
        for (value, last_write) in [
            ("1800000000", LastWrite::JustNow),
            ("1799999990", LastWrite::JustNow),
            ("1799999989", LastWrite::LongAgo),
            ("0", LastWrite::LongAgo),
            ("-9223372036854775808", LastWrite::LongAgo),
            ("1800000001", LastWrite::JustNow),
            ("1800000011", LastWrite::Unknown),
            ("9223372036854775807", LastWrite::Unknown),
            ("99999999999999999999", LastWrite::Unknown),
            ("", LastWrite::Unknown),
            ("soon", LastWrite::Unknown),
        ] {
            assert_eq!(told(value), last_write, "{value}");
        }
        assert_eq!(told_by(&HeaderMap::new(), NOON), LastWrite::Unknown);
    }
}
