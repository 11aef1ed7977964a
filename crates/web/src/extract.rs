//! What routes take out of a request, each with its own refusal: who asks, which id, which body, which languages.

mod body;
mod ids;
mod languages;
mod page;
mod person;

pub(crate) use body::{JsonBody, is_json};
pub(crate) use ids::{OrderPath, SalePath};
pub(crate) use languages::Languages;
pub(crate) use page::{PageQuery, QueryOf, next_page};
pub(crate) use person::{Buyer, Editor, Operator, Payer, bearer, bearer_of};
