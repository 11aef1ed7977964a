//! What comes over a connection, as far as it is plain, read without a map of headers.
//!
//! A *plain* request is one over HTTP/1.1 whose body, if it has one, is of a length that is said once, and which leaves the
//! connection as it is. A *call* is a plain request for the buy route with a body within the limit: the shape that a crowd
//! sends. Heads are read by the parser that hyper uses, and whatever is in doubt is not plain and left to hyper: no request
//! is judged by two understandings of it.

use std::mem::MaybeUninit;

use httparse::{Header, Request, Status};

use super::HEADERS_MAX;
use crate::buy::{BUY_BODY_LEN_MAX, BuyCall, sale_in_path};

/// What the bytes at the front of a connection are.
#[derive(Debug)]
pub(super) enum Front<'a> {
    /// A whole call of this many bytes.
    Call(BuyCall<'a>, usize),
    /// The head of another plain request that has this many bytes in all.
    Request(usize),
    /// Perhaps the beginning of a call, or of a head.
    Incomplete,
    /// Something else.
    Other,
}

/// Reads what is at the front of `bytes`.
pub(super) fn read(bytes: &[u8]) -> Front<'_> {
    let mut headers = [const { MaybeUninit::uninit() }; HEADERS_MAX];
    let mut request = Request::new(&mut []);
    match request.parse_with_uninit_headers(bytes, &mut headers) {
        Ok(Status::Complete(head_len)) => read_whole(&request, head_len, bytes).unwrap_or(Front::Other),
        Ok(Status::Partial) => Front::Incomplete,
        Err(_) => Front::Other,
    }
}

/// `None` if the head has anything that is not plain.
fn read_whole<'a>(request: &Request<'_, 'a>, head_len: usize, bytes: &'a [u8]) -> Option<Front<'a>> {
    let known = Known::among(request.headers)?;
    if request.version != Some(1) || request.method == Some("CONNECT") {
        return None;
    }
    let body_len = known.content_length.map_or(Some(0), read_length)?;
    let len = head_len + body_len;
    let sale = request.path.and_then(sale_in_path).filter(|_| request.method == Some("POST"));
    let Some(sale) = sale else { return Some(Front::Request(len)) };
    // Of a call without a length, or with too long a body, hyper's way says what is wrong.
    if known.content_length.is_none() || body_len > BUY_BODY_LEN_MAX {
        return Some(Front::Request(len));
    }
    let Some(body) = bytes.get(head_len..len) else { return Some(Front::Incomplete) };
    let Known { content_type, authorization, .. } = known;
    Some(Front::Call(BuyCall { sale, content_type, authorization, body }, len))
}

/// The headers that matter.
#[derive(Default)]
struct Known<'a> {
    content_type: Option<&'a [u8]>,
    authorization: Option<&'a [u8]>,
    content_length: Option<&'a [u8]>,
}

impl<'a> Known<'a> {
    /// `None` if one of them comes twice, or changes how the connection goes on.
    fn among(headers: &[Header<'a>]) -> Option<Self> {
        let mut known = Self::default();
        for Header { name, value } in headers {
            let is = |known: &str| *name == known || name.eq_ignore_ascii_case(known);
            let place = match name.len() {
                12 if is("content-type") => &mut known.content_type,
                13 if is("authorization") => &mut known.authorization,
                14 if is("content-length") => &mut known.content_length,
                10 if is("connection") && value.eq_ignore_ascii_case(b"keep-alive") => continue,
                6 if is("expect") => return None,
                7 if is("upgrade") => return None,
                10 if is("connection") => return None,
                17 if is("transfer-encoding") => return None,
                _ => continue,
            };
            if place.replace(*value).is_some() {
                return None;
            }
        }
        Some(known)
    }
}

/// A gigabyte is more than any route takes.
const LENGTH_DIGITS_MAX: usize = 9;

/// A length in decimal digits.
fn read_length(value: &[u8]) -> Option<usize> {
    let is_short = (1..=LENGTH_DIGITS_MAX).contains(&value.len());
    if !is_short || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(value.iter().fold(0, |len, digit| len * 10 + usize::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use http_body_util::BodyExt as _;
    use hyper::server::conn::http1;
    use hyper::service::service_fn;
    use hyper_util::rt::TokioIo;
    use proptest::prelude::*;
    use tokio::io::AsyncWriteExt as _;

    use super::*;

    fn whole(headers: &str, body: &str) -> String {
        format!("POST /api/v1/sales/42/requests HTTP/1.1\r\nhost: x\r\n{headers}\r\n{body}")
    }

    const PLAIN: &str =
        "authorization: Bearer a.b.c\r\nContent-Type: application/json\r\ncontent-length: 2\r\n";

    #[test]
    fn a_plain_call_is_read_with_what_judging_needs() {
        let bytes = whole(PLAIN, "{}GET / HTTP/1.1\r\n");
        let Front::Call(call, len) = read(bytes.as_bytes()) else { panic!("{bytes}") };
        assert_eq!(call.sale, "42");
        assert_eq!(call.authorization, Some(&b"Bearer a.b.c"[..]));
        assert_eq!(call.content_type, Some(&b"application/json"[..]));
        assert_eq!(call.body, b"{}");
        assert!(bytes[len..].starts_with("GET / "), "the next request is left");
    }

    #[test]
    fn what_is_not_plain_is_left_to_hyper_for_good() {
        let long = format!("{PLAIN}x: {}\r\n", "y: z\r\n".repeat(HEADERS_MAX));
        for headers in [
            "content-length: 2\r\ncontent-length: 2\r\n",
            "content-length: 2, 2\r\n",
            "content-length: +2\r\n",
            "content-length:\r\n",
            "content-length: 99999999999999999999\r\n",
            "content-length: 2\r\nauthorization: a\r\nauthorization: b\r\n",
            "content-length: 2\r\ntransfer-encoding: chunked\r\n",
            "content-length: 2\r\nexpect: 100-continue\r\n",
            "content-length: 2\r\nupgrade: websocket\r\n",
            "content-length: 2\r\nconnection: close\r\n",
            "content-length: 2\r\nconnection: keep-alive, upgrade\r\n",
            "content-length : 2\r\n",
            &long,
        ] {
            for path in ["/api/v1/sales/42/requests", "/api/v1/sessions"] {
                let bytes = whole(headers, "{}").replace("/api/v1/sales/42/requests", path);
                assert!(matches!(read(bytes.as_bytes()), Front::Other), "{bytes}");
            }
        }
        let plain = whole(PLAIN, "{}");
        for other in ["HTTP/1.0", "HTTP/2.0", "HTTP/1.1 "] {
            assert!(matches!(read(plain.replace("HTTP/1.1", other).as_bytes()), Front::Other), "{other}");
        }
        assert!(matches!(read(b"CONNECT x:1 HTTP/1.1\r\n\r\n"), Front::Other));
    }

    #[test]
    fn any_other_plain_request_has_a_known_length() {
        let plain = whole(PLAIN, "{}");
        let without_length = whole("authorization: Bearer a\r\n", "");
        let long = whole("content-length: 4097\r\n", "");
        let get = "GET / HTTP/1.1\r\nhost: x\r\nConnection: Keep-Alive\r\n\r\n".to_owned();
        let mut requests =
            vec![(get.len(), get), (without_length.len(), without_length), (long.len() + 4_097, long)];
        for (part, other) in [
            ("POST", "PUT"),
            ("/requests", "/requests?x=1"),
            ("/requests", "/claim"),
            ("/42/", "/4/2/"),
            ("/api", "http://x/api"),
        ] {
            let request = plain.replace(part, other);
            requests.push((request.len(), request));
        }
        for (expected, bytes) in requests {
            let with_next = format!("{bytes}GET / HTTP/1.1\r\n\r\n");
            assert!(matches!(read(with_next.as_bytes()), Front::Request(len) if len == expected), "{bytes}");
        }
    }

    #[test]
    fn a_call_is_incomplete_until_its_last_byte() {
        let bytes = whole(PLAIN, "{}");
        for len in 0..bytes.len() {
            assert!(matches!(read(&bytes.as_bytes()[..len]), Front::Incomplete), "{len}");
        }
        assert!(matches!(read(bytes.as_bytes()), Front::Call(_, len) if len == bytes.len()));
    }

    /// Whole requests, and things that are nearly requests.
    fn nearly_requests() -> impl Strategy<Value = Vec<u8>> {
        const HEADERS: [&str; 14] = [
            "host: x",
            "content-length: 2",
            "Content-Length:7 ",
            "content-length: 05",
            "content-length: 0",
            "content-length: 2, 2",
            "content-length: 0x2",
            "content-type: application/json",
            "authorization: Bearer a.b.c",
            "connection: keep-alive",
            "connection: close",
            "transfer-encoding: chunked",
            "transfer-encoding: identity",
            "x-content-length: 3",
        ];
        let method =
            prop::sample::select(&["POST", "GET", "HEAD", "DELETE", "OPTIONS", "CONNECT", "post"][..]);
        let path = prop::sample::select(&["/api/v1/sales/42/requests", "/api/v1/sessions", "*", "x:1"][..]);
        let headers = prop::collection::vec(prop::sample::select(&HEADERS[..]), 0..5);
        let line_end = prop::sample::select(&["\r\n", "\r\n", "\r\n", "\n", "\r\n "][..]);
        let noise = prop::option::weighted(0.2, (any::<prop::sample::Index>(), any::<u8>()));
        (method, path, headers, line_end, noise).prop_map(|(method, path, headers, line_end, noise)| {
            let headers: String = headers.iter().flat_map(|header| [*header, line_end]).collect();
            let mut bytes = format!("{method} {path} HTTP/1.1{line_end}{headers}\r\n{{}}").into_bytes();
            if let Some((at, byte)) = noise {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            bytes
        })
    }

    /// The paths of the requests that hyper reads, and the lengths of their bodies.
    async fn read_by_hyper(bytes: &[u8]) -> Vec<(String, usize)> {
        let (mut client, server) = tokio::io::duplex(64 * 1_024);
        client.write_all(bytes).await.unwrap();
        client.shutdown().await.unwrap();
        let requests = RefCell::new(Vec::new());
        let service = service_fn(async |request: hyper::Request<hyper::body::Incoming>| {
            let path = request.uri().path().to_owned();
            let body = request.into_body().collect().await?.to_bytes();
            requests.borrow_mut().push((path, body.len()));
            Ok::<_, hyper::Error>(hyper::Response::new(http_body_util::Empty::<bytes::Bytes>::new()))
        });
        // What it cannot read ends the connection.
        let mut builder = http1::Builder::new();
        // The client says at once that no more will come.
        builder.half_close(true);
        let _end = builder.serve_connection(TokioIo::new(server), service).await;
        requests.into_inner()
    }

    proptest! {
        #[test]
        fn hyper_takes_a_plain_request_to_be_as_long(request in nearly_requests()) {
            let (Front::Request(len) | Front::Call(_, len)) = read(&request) else { return Ok(()) };
            let mut bytes = request.clone();
            bytes.resize(len, b'-');
            bytes.extend_from_slice(b"GET /next HTTP/1.1\r\n\r\n");
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let requests = runtime.block_on(read_by_hyper(&bytes));
            // One that it refuses is the last of its connection.
            prop_assume!(!requests.is_empty());
            prop_assert_eq!(requests.len(), 2, "{}", String::from_utf8_lossy(&bytes));
            let head_len = request.windows(4).position(|end| end == b"\r\n\r\n").map(|at| at + 4);
            if let Some(head_len) = head_len {
                prop_assert_eq!(head_len + requests[0].1, len);
            }
            prop_assert_eq!(&requests[1], &("/next".to_owned(), 0));
        }

        #[test]
        fn a_request_is_the_same_wherever_it_is_cut(bytes in nearly_requests()) {
            match read(&bytes) {
                Front::Call(_, len) => {
                    prop_assert!(len <= bytes.len());
                    prop_assert!(matches!(read(&bytes[..len]), Front::Call(_, again) if again == len));
                    for len in 0..len {
                        prop_assert!(matches!(read(&bytes[..len]), Front::Incomplete), "{}", len);
                    }
                }
                Front::Request(len) => {
                    for cut in 0..bytes.len() {
                        let front = read(&bytes[..cut]);
                        prop_assert!(matches!(front, Front::Incomplete) || matches!(front, Front::Request(again) if again == len));
                    }
                }
                Front::Incomplete | Front::Other => {}
            }
        }
    }
}
