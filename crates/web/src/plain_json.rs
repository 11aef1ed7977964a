//! JSON as programs write it, without a space and without an escape, read without a parser.
//!
//! Each function takes the front of some JSON and gives what it read and what is left, or `None` for anything that is not
//! plain. `None` is no verdict: then the general parser reads the whole. What is read here, that one reads the same.

/// The rest of a string whose opening quotation mark is read, and what is behind its closing one.
pub(crate) fn text(json: &[u8]) -> Option<(&str, &[u8])> {
    let len = json.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1F))?;
    let (text, rest) = json.split_at(len);
    Some((str::from_utf8(text).ok()?, rest.strip_prefix(b"\"")?))
}

/// Of longer numbers, some do not fit.
const DIGITS_MAX: usize = 18;

/// A whole number that is not negative. What is behind it must be looked at: `1.5` and `1e5` begin with one.
pub(crate) fn number(json: &[u8]) -> Option<(i64, &[u8])> {
    let len = json.iter().position(|byte| !byte.is_ascii_digit())?;
    let (digits, rest) = json.split_at(len);
    let is_plain = (1..=DIGITS_MAX).contains(&len) && (len == 1 || digits[0] != b'0');
    let number = || digits.iter().fold(0, |number, digit| number * 10 + i64::from(digit - b'0'));
    is_plain.then(|| (number(), rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_what_needs_no_understanding_is_plain() {
        assert_eq!(text(b"Sony\",\"x"), Some(("Sony", &b",\"x"[..])));
        assert_eq!(text("蘋果\"}".as_bytes()), Some(("蘋果", &b"}"[..])));
        for other in [&b"Sony"[..], b"So\\u006ey\"", b"a\nb\"", b"\xFF\"", b""] {
            assert_eq!(text(other), None, "{other:?}");
        }
        assert_eq!(number(b"0}"), Some((0, &b"}"[..])));
        assert_eq!(number(b"999999999999999999,"), Some((999_999_999_999_999_999, &b","[..])));
        for other in [&b"12"[..], b"01}", b"-1}", b"+1}", b"}", b"1000000000000000000}"] {
            assert_eq!(number(other), None, "{other:?}");
        }
    }

    proptest! {
        #[test]
        fn a_plain_text_is_read_as_the_parser_reads_it(inside in r#"[ -~\x00\n"\\é蘋]{0,12}"#) {
            let json = format!("\"{inside}\"");
            if let Some((read, b"")) = text(&json.as_bytes()[1..]) {
                prop_assert_eq!(serde_json::from_str::<&str>(&json).unwrap(), read);
            }
        }

        #[test]
        fn a_plain_number_is_read_as_the_parser_reads_it(inside in r"-?[0-9]{0,20}[.e ]?[0-9]?") {
            let json = format!("[{inside}]");
            if let Some((read, b"]")) = number(&json.as_bytes()[1..]) {
                prop_assert_eq!(serde_json::from_str::<[i64; 1]>(&json).unwrap(), [read]);
            }
        }
    }
}
