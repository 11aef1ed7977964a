//! Ids in paths. A malformed one names nothing, so it is answered like one that does not exist.

use axum::extract::{FromRequestParts, Path};
use http::request::Parts;
use miaosha_domain::ids::{OrderId, SaleId};

use crate::problem::{Problem, ProblemCode};

/// The sale of `/sales/{id}`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SalePath(pub(crate) SaleId);

/// The order of `/orders/{id}`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OrderPath(pub(crate) OrderId);

impl<S: Sync + Send> FromRequestParts<S> for SalePath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let id = id_in_path(parts, state).await.and_then(|id| id.parse().ok());
        id.map(Self).ok_or(Problem::new(ProblemCode::NoSuchSale))
    }
}

impl<S: Sync + Send> FromRequestParts<S> for OrderPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let id = id_in_path(parts, state).await.and_then(|id| id.parse().ok());
        id.map(Self).ok_or(Problem::new(ProblemCode::NotFound))
    }
}

async fn id_in_path<S: Sync + Send>(parts: &mut Parts, state: &S) -> Option<String> {
    Path::<String>::from_request_parts(parts, state).await.ok().map(|Path(id)| id)
}
