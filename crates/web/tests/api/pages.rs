//! The pages, whether they were built or not.

use http::StatusCode;

use crate::site::{Call, Site};

const BROWSER: &str = "text/html,application/xhtml+xml,*/*;q=0.8";

#[tokio::test]
async fn any_address_is_the_page_for_a_browser_but_not_for_others() {
    let site = Site::open().await;
    let index = site.call(Call::get("/")).await;
    assert_eq!(index.status, StatusCode::OK);
    assert!(index.headers["content-type"].to_str().unwrap().starts_with("text/html"));
    assert_eq!(index.headers["cache-control"], "no-cache");
    let deep = site.call(Call::get("/sales/123").header("accept", BROWSER)).await;
    assert_eq!((deep.status, &deep.bytes), (StatusCode::OK, &index.bytes));
    site.call(Call::get("/sales/123").header("accept", "application/json"))
        .await
        .require_problem(404, "not_found");
    site.call(Call::get("/assets/gone-1234.js").header("accept", BROWSER))
        .await
        .require_problem(404, "not_found");
    site.call(Call::get("/api/sales").header("accept", BROWSER)).await.require_problem(404, "not_found");
    site.call(Call::post("/sales/123").header("accept", BROWSER))
        .await
        .require_problem(405, "method_not_allowed");
    for escape in ["/../Cargo.toml", "/%2e%2e/Cargo.toml", "//etc/passwd"] {
        site.call(Call::get(escape)).await.require_problem(404, "not_found");
    }
}

#[tokio::test]
async fn a_page_that_the_browser_has_is_not_sent_again() {
    let site = Site::open().await;
    let index = site.call(Call::get("/")).await;
    let etag = index.headers["etag"].to_str().unwrap();
    for known in [etag.to_owned(), format!("W/{etag}"), format!("\"other\", {etag}")] {
        let answer = site.call(Call::get("/").header("if-none-match", &known)).await;
        assert_eq!((answer.status, answer.bytes.len()), (StatusCode::NOT_MODIFIED, 0), "{known}");
        assert_eq!(answer.headers["etag"], etag);
    }
    let other = site.call(Call::get("/").header("if-none-match", "\"other\"")).await;
    assert_eq!(other.status, StatusCode::OK);
}

#[tokio::test]
async fn pages_may_do_nothing_but_what_this_site_sends() {
    let site = Site::open().await;
    let headers = site.call(Call::get("/")).await.headers;
    let policy = headers["content-security-policy"].to_str().unwrap();
    for part in ["default-src 'self'", "connect-src 'self'", "frame-ancestors 'none'", "object-src 'none'"] {
        assert!(policy.contains(part), "{part} in {policy}");
    }
    assert!(!policy.contains("unsafe"));
    assert_eq!(headers["x-content-type-options"], "nosniff");
    assert_eq!(headers["referrer-policy"], "strict-origin-when-cross-origin");
}
