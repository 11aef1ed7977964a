//! The shape of request that a crowd sends, read without a map of headers: `POST` to the buy route over HTTP/1.1, its body
//! of a length that is said once and within the limit, on a connection that stays open.
//!
//! Everything else is left to hyper, which reads with the same parser: no request is judged by two understandings of it.

use std::mem::MaybeUninit;

use httparse::{Header, Request, Status};

use super::HEADERS_MAX;
use crate::buy::{BUY_BODY_LEN_MAX, BuyCall, sale_in_path};

const BEGINNING: &[u8] = b"POST /api/v1/sales/";

/// What the bytes at the front of a connection are.
#[derive(Debug)]
pub(super) enum Front<'a> {
    /// A whole request of this many bytes.
    Call(BuyCall<'a>, usize),
    /// Perhaps the beginning of one.
    Incomplete,
    /// Something else.
    Other,
}

/// Reads what is at the front of `bytes`.
pub(super) fn read(bytes: &[u8]) -> Front<'_> {
    let compared = bytes.len().min(BEGINNING.len());
    if bytes[..compared] != BEGINNING[..compared] {
        return Front::Other;
    }
    let mut headers = [const { MaybeUninit::uninit() }; HEADERS_MAX];
    let mut request = Request::new(&mut []);
    match request.parse_with_uninit_headers(bytes, &mut headers) {
        Ok(Status::Complete(head_len)) => read_call(&request, head_len, bytes).unwrap_or(Front::Other),
        Ok(Status::Partial) => Front::Incomplete,
        Err(_) => Front::Other,
    }
}

/// `None` if the head has anything that is not plain.
fn read_call<'a>(request: &Request<'_, 'a>, head_len: usize, bytes: &'a [u8]) -> Option<Front<'a>> {
    let sale = sale_in_path(request.path?)?;
    let is_number = sale.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number || request.version != Some(1) {
        return None;
    }
    let (mut content_type, mut authorization, mut content_length) = (None, None, None);
    for Header { name, value } in &*request.headers {
        let is = |known: &str| name.eq_ignore_ascii_case(known);
        let place = match name.len() {
            12 if is("content-type") => &mut content_type,
            13 if is("authorization") => &mut authorization,
            14 if is("content-length") => &mut content_length,
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
    let body_len = read_length(content_length?)?;
    let len = head_len + body_len;
    let Some(body) = bytes.get(head_len..len) else { return Some(Front::Incomplete) };
    Some(Front::Call(BuyCall { sale, content_type, authorization, body }, len))
}

/// A length within the limit of a body, in decimal digits.
fn read_length(value: &[u8]) -> Option<usize> {
    let is_short = (1..=4).contains(&value.len());
    if !is_short || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    str::from_utf8(value).ok()?.parse().ok().filter(|len| *len <= BUY_BODY_LEN_MAX)
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
    fn whatever_is_unusual_is_left_to_hyper() {
        let long = format!("{PLAIN}x: {}\r\n", "y: z\r\n".repeat(HEADERS_MAX));
        for headers in [
            "authorization: Bearer a\r\n",
            "content-length: 2\r\ncontent-length: 2\r\n",
            "content-length: +2\r\n",
            "content-length: 4097\r\n",
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
            assert!(matches!(read(whole(headers, "{}").as_bytes()), Front::Other), "{headers}");
        }
        let plain = whole(PLAIN, "{}");
        for (part, other) in [
            ("POST", "PUT"),
            ("/requests", "/requests?x=1"),
            ("/requests", "/claim"),
            ("HTTP/1.1", "HTTP/1.0"),
            ("/42/", "/4/2/"),
            ("/42/", "/4?2/"),
            ("/42/", "/4#2/"),
            ("/42/", "/ä/"),
        ] {
            assert!(matches!(read(plain.replace(part, other).as_bytes()), Front::Other), "{other}");
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

    /// Calls, and things that are nearly calls.
    fn nearly_calls() -> impl Strategy<Value = Vec<u8>> {
        const HEADERS: [&str; 16] = [
            "host: x",
            "Content-Length:2 ",
            "content-length: 02",
            "content-length: 7",
            "content-length: 0",
            "content-length: 2, 2",
            "content-length: 0x2",
            "content-length: ",
            "content-type: application/json",
            "authorization: Bearer a.b.c",
            "Connection: Keep-Alive",
            "connection: close",
            "transfer-encoding: chunked",
            "Transfer-Encoding: identity",
            "transfer-encoding : chunked",
            "x-content-length: 3",
        ];
        let headers = prop::collection::vec(prop::sample::select(&HEADERS[..]), 0..4);
        let line_end = prop_oneof![6 => Just("\r\n"), 1 => Just("\n"), 1 => Just("\r\n "), 1 => Just("\r")];
        let noise = prop::option::weighted(0.2, (any::<prop::sample::Index>(), any::<u8>()));
        (headers, any::<bool>(), line_end, noise).prop_map(|(mut headers, has_length, line_end, noise)| {
            if has_length {
                headers.push("content-length: 2");
            }
            let headers: String = headers.iter().flat_map(|header| [*header, line_end]).collect();
            let mut bytes = whole(&headers, "{}").into_bytes();
            if let Some((at, byte)) = noise {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            bytes
        })
    }

    /// The paths of the requests that hyper reads, and their bodies.
    async fn read_by_hyper(bytes: &[u8]) -> Vec<(String, Vec<u8>)> {
        let (mut client, server) = tokio::io::duplex(64 * 1_024);
        client.write_all(bytes).await.unwrap();
        client.shutdown().await.unwrap();
        let requests = RefCell::new(Vec::new());
        let service = service_fn(async |request: hyper::Request<hyper::body::Incoming>| {
            let path = request.uri().path().to_owned();
            let body = request.into_body().collect().await?.to_bytes();
            requests.borrow_mut().push((path, body.to_vec()));
            Ok::<_, hyper::Error>(hyper::Response::new(http_body_util::Empty::<bytes::Bytes>::new()))
        });
        // What it cannot read ends the connection.
        let _end =
            http1::Builder::new().half_close(true).serve_connection(TokioIo::new(server), service).await;
        requests.into_inner()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn hyper_reads_a_call_as_the_same_and_ends_it_at_the_same_byte(bytes in nearly_calls()) {
            let Front::Call(call, len) = read(&bytes) else { return Ok(()) };
            let followed = [&bytes[..len], b"GET /next HTTP/1.1\r\n\r\n"].concat();
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let requests = runtime.block_on(read_by_hyper(&followed));
            let path = format!("/api/v1/sales/{}/requests", call.sale);
            prop_assert_eq!(requests, [(path, call.body.to_vec()), ("/next".to_owned(), Vec::new())]);
        }

        #[test]
        fn a_call_is_the_same_wherever_it_is_cut(bytes in nearly_calls()) {
            if let Front::Call(_, len) = read(&bytes) {
                prop_assert!(len <= bytes.len());
                prop_assert!(matches!(read(&bytes[..len]), Front::Call(_, again) if again == len));
                for cut in 0..len {
                    prop_assert!(matches!(read(&bytes[..cut]), Front::Incomplete), "{}", cut);
                }
            }
        }
    }
}
