//! The parser of answers, against written-out answers and made-up ones.

use super::*;
use proptest::prelude::*;

fn whole(text: &str) -> Response {
    parse(text.as_bytes(), false).unwrap().expect("a whole answer")
}

#[test]
fn an_answer_with_a_length_is_read_to_its_end_and_no_further() {
    let text = "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 2\r\nContent-Length: 2\r\n\r\n{}HTTP/1.1";
    let response = whole(text);
    assert_eq!((response.http_status, response.body.as_slice()), (503, b"{}".as_slice()));
    assert_eq!(response.retry_after, Some(Duration::from_secs(2)));
    assert_eq!(&text[response.len..], "HTTP/1.1");
}

#[test]
fn a_connection_is_reused_only_where_both_sides_can_tell_the_end() {
    assert!(whole("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").reusable);
    assert!(!whole("HTTP/1.1 200 OK\r\ncontent-length: 0\r\nConnection: x, Close\r\n\r\n").reusable);
    assert!(!whole("HTTP/1.0 200 OK\r\ncontent-length: 0\r\n\r\n").reusable);
    let until_close = b"HTTP/1.1 200 OK\r\n\r\nabc";
    assert_eq!(parse(until_close, false), Ok(None));
    let response = parse(until_close, true).unwrap().unwrap();
    assert_eq!((response.body.as_slice(), response.reusable), (b"abc".as_slice(), false));
}

#[test]
fn an_interim_answer_is_passed_over() {
    let response = whole("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 202 Accepted\r\nContent-Length: 1\r\n\r\nx");
    assert_eq!((response.http_status, response.body.as_slice()), (202, b"x".as_slice()));
}

#[test]
fn an_answer_without_a_body_needs_no_length() {
    assert_eq!(whole("HTTP/1.1 204 No Content\r\n\r\n").body, b"");
}

#[test]
fn a_date_to_retry_after_is_passed_over() {
    let text = "HTTP/1.1 429 X\r\nRetry-After: Wed, 21 Oct 2026 07:28:00 GMT\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(whole(text).retry_after, None);
}

#[test]
fn what_is_no_answer_is_refused_at_once() {
    for text in [
        "SSH-2.0-OpenSSH\r\n",
        "HTTP/1.1 999 X\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 999999999\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffff\r\n",
    ] {
        assert!(parse(text.as_bytes(), false).is_err(), "{text}");
    }
}

#[test]
fn an_endless_answer_is_given_up() {
    let mut endless = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
    endless.resize(RESPONSE_LEN_MAX + 1, b'x');
    assert!(parse(&endless, false).is_err());
}

/// An answer as a server might write it, and its body.
fn answers() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
    let chunks = prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 0..5);
    (200_u16..600, chunks, any::<bool>()).prop_map(|(http_status, chunks, chunked)| {
        let http_status = if http_status == 204 || http_status == 304 { 200 } else { http_status };
        let body = chunks.concat();
        let mut bytes = format!("HTTP/1.1 {http_status} Any\r\nX-Other: y\r\n").into_bytes();
        if chunked {
            bytes.extend_from_slice(b"Transfer-Encoding: chunked\r\n\r\n");
            for chunk in &chunks {
                bytes.extend_from_slice(format!("{:x};ext=1\r\n", chunk.len()).as_bytes());
                bytes.extend_from_slice(chunk);
                bytes.extend_from_slice(b"\r\n");
            }
            bytes.extend_from_slice(b"0\r\nX-Trailer: z\r\n\r\n");
        } else {
            bytes.extend_from_slice(format!("Content-Length: {}\r\n\r\n", body.len()).as_bytes());
            bytes.extend_from_slice(&body);
        }
        (bytes, body)
    })
}

proptest! {
    #[test]
    fn an_answer_is_the_same_however_it_is_split((bytes, body) in answers()) {
        for len in 0..bytes.len() {
            prop_assert_eq!(parse(&bytes[..len], false), Ok(None), "after {} bytes", len);
            prop_assert_eq!(parse(&bytes[..len], true), Ok(None), "cut after {} bytes", len);
        }
        let response = parse(&bytes, false).unwrap().expect("a whole answer");
        prop_assert_eq!(response.body, body);
        prop_assert_eq!(response.len, bytes.len());
    }

    #[test]
    fn no_bytes_panic(head in "(HTTP/1.1 [0-9]{3} X\r\n((content-length|transfer-encoding): [0-9a-z]{0,22}\r\n){0,3}\r\n)?", tail: Vec<u8>, ended: bool) {
        let bytes = [head.as_bytes(), &tail].concat();
        if let Ok(Some(response)) = parse(&bytes, ended) {
            prop_assert!(response.len <= bytes.len());
        }
    }
}
