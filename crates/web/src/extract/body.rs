//! A JSON body, read field by field so that a refusal can say where.

use axum::extract::{FromRequest, Request};
use http::header;
use http_body_util::BodyExt as _;
use serde::de::DeserializeOwned;

use crate::problem::{Problem, ProblemCode};

/// A body of this shape.
#[derive(Debug)]
pub(crate) struct JsonBody<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Sync> FromRequest<S> for JsonBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Problem> {
        let content_type = request.headers().get(header::CONTENT_TYPE);
        if !content_type.is_some_and(|value| is_json(value.as_bytes())) {
            return Err(ProblemCode::UnsupportedMediaType.into());
        }
        // `crate::writes` has read the body, within its limits of size and time.
        let body = request.into_body().collect().await.map_err(|_| ProblemCode::RequestTimeout)?;
        read_json(&body.to_bytes()).map(Self)
    }
}

/// Reads one JSON object of this shape.
fn read_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    // serde would take an array for an object, by position.
    if bytes.trim_ascii_start().first() != Some(&b'{') {
        return Err(Problem::with_detail(ProblemCode::InvalidBody, "send one JSON object"));
    }
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let field = error.path().to_string();
        let detail = error.inner().to_string();
        match field.as_str() {
            "." => Problem::with_detail(ProblemCode::InvalidBody, detail),
            _ => Problem::invalid_field(field, detail),
        }
    })?;
    json.end().map_err(|error| Problem::with_detail(ProblemCode::InvalidBody, error.to_string()))?;
    Ok(value)
}

/// Whether a media type says that a body is JSON: `application/json`, or any type ending in `+json`.
pub(crate) fn is_json(content_type: &[u8]) -> bool {
    if content_type == b"application/json" {
        return true;
    }
    let essence = content_type.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    let has_suffix = essence.len() > 5 && essence[essence.len() - 5..].eq_ignore_ascii_case(b"+json");
    let is_application = essence.len() >= 12 && essence[..12].eq_ignore_ascii_case(b"application/");
    essence.eq_ignore_ascii_case(b"application/json") || (is_application && has_suffix)
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    struct Outer {
        #[expect(dead_code, reason = "only whether it can be read matters")]
        inner: Inner,
    }

    #[derive(Debug, Deserialize)]
    struct Inner {
        #[expect(dead_code, reason = "only whether it can be read matters")]
        count: u32,
    }

    #[test]
    fn a_body_that_does_not_fit_names_the_field() {
        let refusals = [
            (r#"{"inner":{"count":-1}}"#, Some("inner.count")),
            (r#"{"inner":{"count":"1"}}"#, Some("inner.count")),
            (r#"{"inner":{}}"#, Some("inner")),
            ("{}", None),
            ("[[1]]", None),
            ("not JSON", None),
            (r#"{"inner":{"count":1}} x"#, None),
            ("", None),
        ];
        for (body, field) in refusals {
            let problem = read_json::<Outer>(body.as_bytes()).unwrap_err();
            assert_eq!(problem.code(), ProblemCode::InvalidBody, "{body}");
            let shown = format!("{problem:?}");
            match field {
                Some(field) => assert!(shown.contains(&format!("Some({field:?})")), "{shown}"),
                None => assert!(shown.contains("field: None"), "{shown}"),
            }
        }
        assert!(read_json::<Outer>(br#" {"inner":{"count":1},"more":2}"#).is_ok());
    }

    #[test]
    fn json_is_known_by_its_media_type() {
        let cases = [
            ("application/json", true),
            ("Application/JSON; charset=utf-8", true),
            ("application/merge-patch+json", true),
            ("text/plain", false),
            ("text/json", false),
            ("application/jsonp", false),
            ("", false),
        ];
        for (value, expected) in cases {
            assert_eq!(is_json(value.as_bytes()), expected, "{value}");
        }
    }
}
