//! The parser of answers: pure, over the bytes received so far.
//!
//! It starts over with each call, which costs nothing as long as an answer comes in one or two reads, and is
//! the same however the bytes are split. Takes what RFC 9112 lets a server send to a POST; refuses the rest.

use httparse::{Status, parse_chunk_size};
use std::time::Duration;

/// The site's answers are some hundred bytes; what is longer than this is not one of them.
pub(crate) const RESPONSE_LEN_MAX: usize = 256 * 1024;
const HEADERS_MAX: usize = 64;

/// A whole answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Response {
    pub(crate) http_status: u16,
    /// From `Retry-After`, where that is a number of seconds.
    pub(crate) retry_after: Option<Duration>,
    pub(crate) body: Vec<u8>,
    /// Whether the connection may carry another request.
    pub(crate) reusable: bool,
    /// How many of the bytes were the answer, interim answers (1xx) included.
    pub(crate) len: usize,
}

/// The bytes are no answer and will not become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed(pub(crate) &'static str);

/// The answer that `bytes` start with, or None if more are needed. `ended` says that no more will come.
pub(crate) fn parse(bytes: &[u8], ended: bool) -> Result<Option<Response>, Malformed> {
    let response = parse_final(bytes, ended)?;
    if response.is_none() && bytes.len() > RESPONSE_LEN_MAX {
        return Err(TOO_LONG);
    }
    Ok(response)
}

const TOO_LONG: Malformed = Malformed("longer than 256 KiB");

/// What the head says of the answer.
struct Head {
    http_status: u16,
    retry_after: Option<Duration>,
    keep_alive: bool,
    framing: Framing,
    len: usize,
}

/// Where the body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Framing {
    Length(usize),
    Chunked,
    UntilClose,
}

fn parse_final(bytes: &[u8], ended: bool) -> Result<Option<Response>, Malformed> {
    let mut start = 0;
    let head = loop {
        let Some(head) = parse_head(&bytes[start..])? else { return Ok(None) };
        start += head.len;
        match head.http_status {
            101 => return Err(Malformed("an upgrade that was not asked for")),
            100..=199 => {}
            _ => break head,
        }
    };
    let after_head = &bytes[start..];
    let body = match head.framing {
        Framing::Length(len) => after_head.get(..len).map(|body| (body.to_vec(), len)),
        Framing::Chunked => decode_chunks(after_head)?,
        Framing::UntilClose => ended.then(|| (after_head.to_vec(), after_head.len())),
    };
    Ok(body.map(|(body, body_len)| Response {
        http_status: head.http_status,
        retry_after: head.retry_after,
        body,
        reusable: head.keep_alive && head.framing != Framing::UntilClose,
        len: start + body_len,
    }))
}

fn parse_head(bytes: &[u8]) -> Result<Option<Head>, Malformed> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut parsed = httparse::Response::new(&mut headers);
    let len = match parsed.parse(bytes) {
        Ok(Status::Complete(len)) => len,
        Ok(Status::Partial) => return Ok(None),
        Err(_) => return Err(Malformed("not an HTTP/1 head")),
    };
    let http_status = parsed.code.ok_or(Malformed("no status"))?;
    if !(100..=599).contains(&http_status) {
        return Err(Malformed("no such status"));
    }
    let mut keep_alive = parsed.version == Some(1);
    let mut retry_after = None;
    let mut content_len = None;
    let mut chunked = false;
    for header in &*parsed.headers {
        if header.name.eq_ignore_ascii_case("content-length") {
            let len = parse_content_len(header.value)?;
            if content_len.is_some_and(|earlier| earlier != len) {
                return Err(Malformed("two lengths"));
            }
            content_len = Some(len);
        } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
            if chunked || !header.value.eq_ignore_ascii_case(b"chunked") {
                return Err(Malformed("an unknown transfer encoding"));
            }
            chunked = true;
        } else if header.name.eq_ignore_ascii_case("connection") {
            let mut options = header.value.split(|byte| *byte == b',');
            keep_alive &= !options.any(|option| option.trim_ascii().eq_ignore_ascii_case(b"close"));
        } else if header.name.eq_ignore_ascii_case("retry-after") {
            retry_after = parse_decimal(header.value).map(Duration::from_secs);
        }
    }
    let framing = match (http_status, chunked, content_len) {
        (100..=199 | 204 | 304, _, _) => Framing::Length(0),
        (_, true, None) => Framing::Chunked,
        (_, true, Some(_)) => return Err(Malformed("a length and chunks")),
        (_, false, Some(len)) => Framing::Length(len),
        (_, false, None) => Framing::UntilClose,
    };
    Ok(Some(Head { http_status, retry_after, keep_alive, framing, len }))
}

fn parse_content_len(value: &[u8]) -> Result<usize, Malformed> {
    let len = parse_decimal(value).ok_or(Malformed("a length that is no number"))?;
    usize::try_from(len).ok().filter(|len| *len <= RESPONSE_LEN_MAX).ok_or(TOO_LONG)
}

fn parse_decimal(value: &[u8]) -> Option<u64> {
    let digits = value.trim_ascii();
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// The chunks' bytes together, and how many bytes they took with all that is around them.
fn decode_chunks(bytes: &[u8]) -> Result<Option<(Vec<u8>, usize)>, Malformed> {
    let mut body = Vec::new();
    let mut at = 0;
    loop {
        let (size_len, chunk_len) = match parse_chunk_size(&bytes[at..]) {
            Ok(Status::Complete((size_len, chunk_len))) => (size_len, chunk_len),
            Ok(Status::Partial) => return Ok(None),
            Err(_) => return Err(Malformed("a chunk without a size")),
        };
        at += size_len;
        if chunk_len == 0 {
            return Ok(skip_trailers(&bytes[at..])?.map(|trailers_len| (body, at + trailers_len)));
        }
        let chunk_len =
            usize::try_from(chunk_len).ok().filter(|len| *len <= RESPONSE_LEN_MAX).ok_or(TOO_LONG)?;
        let Some(chunk) = bytes.get(at..at + chunk_len) else { return Ok(None) };
        body.extend_from_slice(chunk);
        at += chunk_len;
        match bytes.get(at..at + 2) {
            Some(b"\r\n") => at += 2,
            Some(_) => return Err(Malformed("a chunk longer than its size")),
            None => return Ok(None),
        }
    }
}

fn skip_trailers(bytes: &[u8]) -> Result<Option<usize>, Malformed> {
    let mut trailers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    match httparse::parse_headers(bytes, &mut trailers) {
        Ok(Status::Complete((len, _))) => Ok(Some(len)),
        Ok(Status::Partial) => Ok(None),
        Err(_) => Err(Malformed("trailers that are no headers")),
    }
}

#[cfg(test)]
mod tests;
