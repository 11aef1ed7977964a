//! The description of the API: `/api/openapi.json`, and `/docs`, a page of our own that shows it.

use axum::extract::Path;
use axum::response::Response;
use axum::routing::{MethodRouter, get};
use bytes::Bytes;
use http::{HeaderMap, header};
use serde_json::{Value, json};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::{Modify, OpenApi};

use crate::pages::Page;
use crate::problem::{Answer, ProblemBody, ProblemCode};

/// What every call has in common; the calls add themselves.
pub(crate) fn outline() -> utoipa::openapi::OpenApi {
    Outline::openapi()
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Miaosha",
        description = "Flash sales: a few units, many people, a fair order. Errors are problems (RFC 9457) with a stable \
                       `code`; times are RFC 3339 in UTC; money is an amount and a currency; ids are decimal strings."
    ),
    tags(
        (name = "sales", description = "What is sold, asking for a unit, and what became of it"),
        (name = "checkout", description = "Paying, and orders"),
        (name = "accounts", description = "Accounts and sessions"),
        (name = "admin", description = "Planning and running sales"),
        (name = "operations", description = "For those who run the site"),
    ),
    components(schemas(ProblemBody)),
    modifiers(&Tokens),
)]
struct Outline;

/// The two kinds of tokens.
struct Tokens;

impl Modify for Tokens {
    fn modify(&self, api: &mut utoipa::openapi::OpenApi) {
        let components = api.components.get_or_insert_default();
        for name in ["session", "checkout"] {
            let mut scheme = Http::new(HttpAuthScheme::Bearer);
            scheme.bearer_format = Some("JWT".to_owned());
            components.add_security_scheme(name, SecurityScheme::Http(scheme));
        }
    }
}

/// The whole document, rendered once.
pub(crate) struct Document {
    json: Bytes,
}

impl Document {
    /// The document of these calls, with every problem code.
    pub(crate) fn new(api: utoipa::openapi::OpenApi) -> Self {
        let mut document = serde_json::to_value(api).expect("a document is always JSON");
        let names: Vec<Value> = ProblemCode::ALL.iter().map(|code| code.name().into()).collect();
        document["components"]["schemas"]["Problem"]["properties"]["code"]["enum"] = names.into();
        let codes = ProblemCode::ALL.iter().map(|code| {
            json!({
                "code": code.name(),
                "status": code.status().as_u16(),
                "title": code.title(),
                "meaning": code.meaning().trim(),
            })
        });
        document["x-problem-codes"] = codes.collect();
        Self { json: serde_json::to_vec(&document).expect("a document is always JSON").into() }
    }

    /// The route that answers with it.
    pub(crate) fn route<S: Clone + Send + Sync + 'static>(self) -> MethodRouter<S> {
        let json = self.json;
        get(move || async move { ([(header::CONTENT_TYPE, "application/json")], json) })
    }
}

const DOCS_HTML: &str = include_str!("../assets/docs.html");
const DOCS_JS: &str = include_str!("../assets/docs.js");
const DOCS_CSS: &str = include_str!("../assets/docs.css");

/// The page.
pub(crate) async fn docs(headers: HeaderMap) -> Response {
    let html = Bytes::from_static(DOCS_HTML.as_bytes());
    Page::new(html, "text/html; charset=utf-8".to_owned(), false).answer(&headers)
}

/// What the page loads.
pub(crate) async fn docs_file(Path(file): Path<String>, headers: HeaderMap) -> Answer<Response> {
    let (content, content_type) = match file.as_str() {
        "docs.js" => (DOCS_JS, "text/javascript; charset=utf-8"),
        "docs.css" => (DOCS_CSS, "text/css; charset=utf-8"),
        _ => return Err(ProblemCode::NotFound.into()),
    };
    let content = Bytes::from_static(content.as_bytes());
    Ok(Page::new(content, content_type.to_owned(), false).answer(&headers))
}
