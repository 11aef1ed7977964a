//! Queries: `?after=` and `?limit=` of lists, and others.

use std::str::FromStr;

use axum::extract::{FromRequestParts, Query};
use http::request::Parts;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use utoipa::IntoParams;

use crate::problem::{Problem, ProblemCode};
use crate::wire::Page;

const LIMIT_DEFAULT: u32 = 50;
const LIMIT_MAX: u32 = 100;

/// The query of a request, of this shape.
#[derive(Debug)]
pub(crate) struct QueryOf<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Sync + Send> FromRequestParts<S> for QueryOf<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let query = Query::<T>::from_request_parts(parts, state).await;
        query
            .map(|Query(query)| Self(query))
            .map_err(|refusal| Problem::with_detail(ProblemCode::InvalidQuery, refusal.body_text()))
    }
}

/// Which page of a list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct PageQuery {
    /// Begins after the item with this id: `next` of the page before.
    after: Option<String>,
    /// How many, 50 if left out, 100 at the most.
    limit: Option<u32>,
}

impl PageQuery {
    /// The id that the page begins after.
    pub(crate) fn after<Id: FromStr>(&self) -> Result<Option<Id>, Problem> {
        let read = |text: &String| {
            text.parse().map_err(|_| {
                Problem::with_detail(ProblemCode::InvalidQuery, "`after` is not an id of a page")
            })
        };
        self.after.as_ref().map(read).transpose()
    }

    /// How many are on the page, at the most.
    pub(crate) fn limit(&self) -> u32 {
        self.limit.unwrap_or(LIMIT_DEFAULT).clamp(1, LIMIT_MAX)
    }
}

/// A page of at most `limit` of these, of which there is one more if there is another page.
pub(crate) fn next_page<T, U>(
    mut found: Vec<T>,
    limit: u32,
    id: impl Fn(&T) -> String,
    show: impl FnMut(&T) -> U,
) -> Page<U> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let has_more = found.len() > limit;
    found.truncate(limit);
    let next = found.last().filter(|_| has_more).map(id);
    Page { items: found.iter().map(show).collect(), next }
}
