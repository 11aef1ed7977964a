//! The built pages, inside the binary: files by their address, and `index.html` for every other address that a browser
//! asks for, since the pages route by themselves.
//!
//! Each file is hashed and compressed once, when the site is put together. Where they come from, `build.rs` says.

use std::collections::HashMap;
use std::io::Write as _;

use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use rust_embed::RustEmbed;

#[derive(RustEmbed)]
#[folder = "$MIAOSHA_PAGES"]
struct Files;

const INDEX: &str = "index.html";
/// The build puts its hashed files there, so what is there never changes.
const HASHED: &str = "assets/";
const GZIP_LEN_MIN: usize = 1_024;

/// What a browser may do on these pages: everything that this site sends, and nothing else.
const SECURITY_HEADERS: [(HeaderName, HeaderValue); 4] = [
    (
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(
            "default-src 'self'; connect-src 'self'; img-src 'self'; style-src 'self'; script-src 'self'; \
             object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'",
        ),
    ),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::REFERRER_POLICY, HeaderValue::from_static("strict-origin-when-cross-origin")),
    (HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin")),
];

/// Every page by its address, without the leading slash.
pub(crate) struct Pages {
    files: HashMap<String, Page>,
}

impl Pages {
    /// Takes the pages out of the binary.
    pub(crate) fn load() -> Self {
        let files = Files::iter().filter_map(|path| {
            let file = Files::get(&path)?;
            let content_type = content_type(file.metadata.mimetype());
            let is_hashed = path.starts_with(HASHED);
            Some((path.to_string(), Page::new(file.data.into_owned().into(), content_type, is_hashed)))
        });
        Self { files: files.collect() }
    }

    /// The answer to a GET or HEAD; `None` if there is nothing at this address and no browser that wants a page.
    pub(crate) fn answer(&self, path: &str, headers: &HeaderMap) -> Option<Response> {
        let path = path.trim_start_matches('/');
        let file = self.files.get(if path.is_empty() { INDEX } else { path });
        let page = match file {
            Some(page) => page,
            None if wants_page(path, headers) => self.files.get(INDEX)?,
            None => return None,
        };
        Some(page.answer(headers))
    }
}

/// A browser that navigates. A file that is missing is missing, and not a page.
fn wants_page(path: &str, headers: &HeaderMap) -> bool {
    let accepts = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    accepts.contains("text/html") && !path.starts_with(HASHED)
}

fn content_type(mimetype: &str) -> String {
    let is_text = mimetype.starts_with("text/") || mimetype.ends_with("javascript");
    if is_text { format!("{mimetype}; charset=utf-8") } else { mimetype.to_owned() }
}

/// One file with everything that is sent with it.
pub(crate) struct Page {
    plain: Bytes,
    gzip: Option<Bytes>,
    headers: HeaderMap,
}

impl Page {
    /// A page of these bytes. Browsers may keep a hashed one for good, and ask about any other each time.
    pub(crate) fn new(plain: Bytes, content_type: String, is_hashed: bool) -> Self {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &plain);
        let etag = format!("\"{}\"", URL_SAFE_NO_PAD.encode(&digest.as_ref()[..12]));
        let caching = if is_hashed { "public, max-age=31536000, immutable" } else { "no-cache" };
        let mut headers = HeaderMap::from_iter(SECURITY_HEADERS);
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(caching));
        headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
        headers.extend(HeaderValue::try_from(etag).map(|etag| (header::ETAG, etag)));
        let is_compressible = !content_type.starts_with("image/") || content_type.contains("svg");
        headers.extend(HeaderValue::try_from(content_type).map(|value| (header::CONTENT_TYPE, value)));
        let gzip = (is_compressible && plain.len() >= GZIP_LEN_MIN).then(|| compress(&plain)).flatten();
        Self { plain, gzip, headers }
    }

    /// The page, or that the browser has it already.
    pub(crate) fn answer(&self, headers: &HeaderMap) -> Response {
        let is_known = self.headers.get(header::ETAG).is_some_and(|etag| names(headers, etag));
        let mut response = if is_known {
            StatusCode::NOT_MODIFIED.into_response()
        } else if let Some(gzip) = self.gzip.as_ref().filter(|_| takes_gzip(headers)) {
            ([(header::CONTENT_ENCODING, "gzip")], gzip.clone()).into_response()
        } else {
            self.plain.clone().into_response()
        };
        for (name, value) in &self.headers {
            response.headers_mut().insert(name, value.clone());
        }
        response
    }
}

fn compress(plain: &[u8]) -> Option<Bytes> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(plain).ok()?;
    let gzip = encoder.finish().ok()?;
    (gzip.len() < plain.len()).then(|| gzip.into())
}

/// Whether `If-None-Match` names this tag, be either of them weak. Proxies that compress make a tag weak; the page is the
/// same.
pub(crate) fn names(headers: &HeaderMap, etag: &HeaderValue) -> bool {
    let Some(Ok(known)) = headers.get(header::IF_NONE_MATCH).map(HeaderValue::to_str) else { return false };
    let strong = |tag: &[u8]| tag.strip_prefix(b"W/").unwrap_or(tag).to_vec();
    let etag = strong(etag.as_bytes());
    known.split(',').any(|tag| strong(tag.trim().as_bytes()) == etag)
}

fn takes_gzip(headers: &HeaderMap) -> bool {
    let encodings = headers.get(header::ACCEPT_ENCODING).and_then(|value| value.to_str().ok());
    encodings.unwrap_or_default().split(',').any(|encoding| {
        let (name, weight) = encoding.split_once(';').unwrap_or((encoding, ""));
        name.trim().eq_ignore_ascii_case("gzip")
            && !matches!(weight.trim(), "q=0" | "q=0.0" | "q=0.00" | "q=0.000")
    })
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use http_body_util::BodyExt as _;

    use super::*;

    fn asking(name: HeaderName, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_static(value))])
    }

    async fn bytes_of(response: Response) -> Bytes {
        response.into_body().collect().await.unwrap().to_bytes()
    }

    #[test]
    fn a_hashed_file_is_kept_for_good_and_any_other_is_asked_about() {
        let caching = |is_hashed| {
            let page = Page::new(Bytes::from_static(b"x"), "text/css".to_owned(), is_hashed);
            page.answer(&HeaderMap::new()).headers()[header::CACHE_CONTROL].clone()
        };
        assert_eq!(caching(true), "public, max-age=31536000, immutable");
        assert_eq!(caching(false), "no-cache");
    }

    #[tokio::test]
    async fn a_long_text_is_compressed_for_those_who_take_it() {
        let text = Bytes::from("all of a sudden ".repeat(1_000));
        let page = Page::new(text.clone(), "text/javascript".to_owned(), true);
        let answer = page.answer(&asking(header::ACCEPT_ENCODING, "br;q=1.0, gzip;q=0.8"));
        assert_eq!(answer.headers()[header::CONTENT_ENCODING], "gzip");
        let sent = bytes_of(answer).await;
        assert!(sent.len() < text.len() / 10);
        let mut read = Vec::new();
        flate2::read::GzDecoder::new(&sent[..]).read_to_end(&mut read).unwrap();
        assert_eq!(read, text);
        for encodings in ["", "br", "gzip;q=0", "xgzip"] {
            let answer = page.answer(&asking(header::ACCEPT_ENCODING, encodings));
            assert!(!answer.headers().contains_key(header::CONTENT_ENCODING), "{encodings}");
            assert_eq!(answer.headers()[header::VARY], "accept-encoding");
            assert_eq!(bytes_of(answer).await, text);
        }
    }

    #[test]
    fn pictures_and_short_texts_are_sent_as_they_are() {
        let long = Bytes::from(vec![b'x'; 4_096]);
        for (content, content_type) in [(long, "image/png"), (Bytes::from_static(b"short"), "text/css")] {
            let answer = Page::new(content, content_type.to_owned(), false)
                .answer(&asking(header::ACCEPT_ENCODING, "gzip"));
            assert!(!answer.headers().contains_key(header::CONTENT_ENCODING), "{content_type}");
        }
    }
}
