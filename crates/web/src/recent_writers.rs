//! Who wrote a moment ago, and therefore must see it: a person's reads are then as new as the last commit, and otherwise
//! may miss the last seconds ([`Freshness`]).
//!
//! This node remembers whoever wrote through it; a cookie tells every other node. The cookie says nothing but that.

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

/// For how long: more than a replica may lag before nobody reads from it.
const REMEMBERED: Duration = Duration::from_secs(10);
const COOKIE: &str = "miaosha_fresh=1";
const SET_COOKIE: HeaderValue =
    HeaderValue::from_static("miaosha_fresh=1; Max-Age=10; Path=/api; HttpOnly; SameSite=Lax");
/// So many are remembered before those of the past are looked for.
const PRUNED_AT: usize = 10_000;

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

    /// Whether this person wrote through this node a moment ago.
    pub(crate) fn has_written(&self, user: UserId, now: Timestamp) -> bool {
        self.known.lock().at.get(&user).is_some_and(|at| is_recent(*at, now))
    }
}

fn is_recent(at: Timestamp, now: Timestamp) -> bool {
    now.saturating_since(at) < REMEMBERED
}

/// Marks the answer of a write, unless it was refused and so changed nothing.
pub(crate) fn mark(response: &mut Response) {
    if !response.status().is_client_error() {
        response.headers_mut().append(header::SET_COOKIE, SET_COOKIE);
    }
}

/// How new what this caller reads has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ReadAs(pub(crate) Freshness);

impl FromRequestParts<Arc<Web>> for ReadAs {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, web: &Arc<Web>) -> Result<Self, Problem> {
        let is_operator = parts.extensions.get::<Operator>().is_some();
        let has_written = || {
            let now = web.ports.clock.now();
            who_asks(web, &parts.headers).is_some_and(|user| web.writers.has_written(user, now))
        };
        let must_be_fresh = is_operator || is_marked(&parts.headers) || has_written();
        Ok(Self(if must_be_fresh { Freshness::Fresh } else { Freshness::StaleOk }))
    }
}

fn is_marked(headers: &HeaderMap) -> bool {
    let cookies = headers.get_all(header::COOKIE).into_iter().filter_map(|value| value.to_str().ok());
    cookies.flat_map(|value| value.split(';')).any(|pair| pair.trim() == COOKIE)
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
        let almost = NOON + REMEMBERED - Duration::from_millis(1);
        assert!(writers.has_written(user(1), almost) && !writers.has_written(user(2), almost));
        assert!(!writers.has_written(user(1), NOON + REMEMBERED));
    }

    #[test]
    fn those_of_the_past_are_forgotten() {
        let writers = RecentWriters::default();
        for number in 0..PRUNED_AT {
            writers.note(user(number), NOON);
        }
        for number in PRUNED_AT..PRUNED_AT * 2 {
            writers.note(user(number), NOON + REMEMBERED);
        }
        assert_eq!(writers.known.lock().at.len(), PRUNED_AT);
        assert!(writers.has_written(user(PRUNED_AT), NOON + REMEMBERED));
    }

    #[test]
    fn the_cookie_is_found_among_others() {
        let asks = |value| HeaderMap::from_iter([(header::COOKIE, HeaderValue::from_static(value))]);
        assert!(is_marked(&asks("a=b; miaosha_fresh=1")) && is_marked(&asks("miaosha_fresh=1;c=d")));
        assert!(!is_marked(&asks("miaosha_fresh=0")) && !is_marked(&asks("x=miaosha_fresh=1")));
        assert!(!is_marked(&HeaderMap::new()));
    }
}
