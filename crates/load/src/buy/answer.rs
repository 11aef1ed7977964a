//! What an answer says: its HTTP status and one word of its body, and the list of those that were met.

use serde::Deserialize;
use serde::de::IgnoredAny;
use std::borrow::Cow;

/// The word of a body that has none.
const NO_WORD: &str = "-";
/// The word of all answers after a run has met `ANSWERS_MAX` different ones.
const OTHER_WORDS: &str = "other";
const ANSWERS_MAX: usize = 256;
const WORD_LEN_MAX: usize = 64;

/// One answer of the site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) http_status: u16,
    pub(crate) word: Box<str>,
    pub(crate) count: u64,
}

/// The different answers that were met, with their counts. An answer keeps its number; there are at most 256
/// and one for each HTTP status.
#[derive(Debug, Default)]
pub(crate) struct AnswerBook(Vec<Answer>);

impl AnswerBook {
    /// Counts an answer, and gives its number.
    pub(crate) fn count(&mut self, http_status: u16, word: &str, count: u64) -> u16 {
        let known =
            self.0.iter().position(|answer| answer.http_status == http_status && *answer.word == *word);
        let number = match known {
            Some(number) => number,
            None if self.0.len() >= ANSWERS_MAX && word != OTHER_WORDS => {
                return self.count(http_status, OTHER_WORDS, count);
            }
            None => {
                self.0.push(Answer { http_status, word: word.into(), count: 0 });
                self.0.len() - 1
            }
        };
        self.0[number].count += count;
        u16::try_from(number).expect("256 answers and one for each of 500 statuses")
    }

    /// The answer of a number that this book gave.
    pub(crate) fn get(&self, number: u16) -> &Answer {
        &self.0[usize::from(number)]
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Answer> {
        self.0.iter()
    }
}

/// The `code` of a problem or else the `status` of an answer, where the body is a JSON object that has such a
/// text; `-` if not. Fit for a table: letters, digits, `_`, `-` and `.`, at most 64.
pub(crate) fn word_of(body: &[u8]) -> Cow<'_, str> {
    let Ok(fields) = serde_json::from_slice::<Fields<'_>>(body) else { return NO_WORD.into() };
    // A problem's `status` is the HTTP status, a number.
    let ((Some(Field::Text(word)), _) | (_, Some(Field::Text(word)))) = (fields.code, fields.status) else {
        return NO_WORD.into();
    };
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
    if (1..=WORD_LEN_MAX).contains(&word.len()) && word.bytes().all(is_plain) { word } else { NO_WORD.into() }
}

#[derive(Deserialize)]
struct Fields<'a> {
    #[serde(borrow)]
    code: Option<Field<'a>>,
    #[serde(borrow)]
    status: Option<Field<'a>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Field<'a> {
    Text(#[serde(borrow)] Cow<'a, str>),
    Other(IgnoredAny),
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_problem_is_known_by_its_code_and_a_claim_by_its_status() {
        assert_eq!(word_of(br#"{"type":"x","status":503,"code":"overloaded","more":[1]}"#), "overloaded");
        assert_eq!(word_of(br#"{"status":"queued"}"#), "queued");
        assert_eq!(word_of(br#"{"status":"qu\u0065ued","code":null}"#), "queued");
    }

    #[test]
    fn a_body_that_says_nothing_has_no_word() {
        for body in
            ["", "{", "[]", "null", r#"{"status":503}"#, r#"{"code":""}"#, r#"{"code":"a\tb"}"#, "<html>"]
        {
            assert_eq!(word_of(body.as_bytes()), NO_WORD, "{body}");
        }
    }

    #[test]
    fn a_site_that_never_repeats_itself_does_not_fill_the_memory() {
        let mut book = AnswerBook::default();
        for number in 0..50_000 {
            book.count(200 + (number % 3), &number.to_string(), 1);
        }
        assert!(book.iter().count() <= ANSWERS_MAX + 3);
        assert_eq!(book.iter().map(|answer| answer.count).sum::<u64>(), 50_000);
    }

    proptest! {
        #[test]
        fn a_word_always_fits_a_table(body: Vec<u8>, text in ".*") {
            let json = serde_json::json!({ "status": text }).to_string();
            for body in [body.as_slice(), json.as_bytes()] {
                let word = word_of(body).into_owned();
                prop_assert!(!word.is_empty() && word.bytes().all(|byte| byte.is_ascii_graphic()));
            }
        }
    }
}
