//! The question before buying, and texts that exist in several languages.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A text by locale (BCP 47 tag, such as `en` or `zh-TW`). Never empty.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "BTreeMap<String, String>", into = "BTreeMap<String, String>")]
pub struct LocalizedText(BTreeMap<String, String>);

/// A text has no locale at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a text needs at least one locale")]
pub struct NoLocale;

/// The locale in which the command line gives its texts, and the fallback for readers of any other.
pub const DEFAULT_LOCALE: &str = "en";

impl LocalizedText {
    /// A text in [`DEFAULT_LOCALE`] only.
    pub fn plain(text: impl Into<String>) -> Self {
        Self(BTreeMap::from([(DEFAULT_LOCALE.to_owned(), text.into())]))
    }

    /// The text for a reader who prefers `locale`: an exact match, else the same language, else
    /// [`DEFAULT_LOCALE`], else the first there is.
    pub fn in_locale(&self, locale: &str) -> &str {
        let language = |tag: &str| tag.split('-').next().unwrap_or_default().to_ascii_lowercase();
        let exact = self.0.iter().find(|(tag, _)| tag.eq_ignore_ascii_case(locale));
        let same_language = || self.0.iter().find(|(tag, _)| language(tag) == language(locale));
        let fallback = || self.0.get_key_value(DEFAULT_LOCALE).or_else(|| self.0.iter().next());
        exact.or_else(same_language).or_else(fallback).map_or("", |(_, text)| text)
    }

    /// The text in every locale it has.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        self.0.values().map(String::as_str)
    }

    /// The locales it has, in order.
    pub fn locales(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

impl TryFrom<BTreeMap<String, String>> for LocalizedText {
    type Error = NoLocale;

    fn try_from(texts: BTreeMap<String, String>) -> Result<Self, NoLocale> {
        if texts.is_empty() { Err(NoLocale) } else { Ok(Self(texts)) }
    }
}

impl From<LocalizedText> for BTreeMap<String, String> {
    fn from(text: LocalizedText) -> Self {
        text.0
    }
}

/// A question about the product with choices, of which one is right.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "QuestionParts", into = "QuestionParts")]
pub struct Question {
    parts: QuestionParts,
}

/// The plain data of a [`Question`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuestionParts {
    /// What is asked.
    pub text: LocalizedText,
    /// What may be answered, in the order shown.
    pub choices: Vec<LocalizedText>,
    /// The index in `choices` of the right one.
    pub right: usize,
}

/// Why the parts do not make a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum QuestionError {
    /// Fewer than two choices, or more than ten.
    #[error("a question needs two to ten choices")]
    ChoiceCount,
    /// The right answer is not one of the choices.
    #[error("the right answer must be one of the choices")]
    AnswerNotAChoice,
    /// A wrong choice reads like the right one in some locale, so an answer could not be judged.
    #[error("a wrong choice must not read like the right one in any locale")]
    AmbiguousChoice,
}

const CHOICES_MIN: usize = 2;
const CHOICES_MAX: usize = 10;

impl Question {
    /// Makes a question.
    ///
    /// # Errors
    /// [`QuestionError`], as its variants say.
    pub fn new(parts: QuestionParts) -> Result<Self, QuestionError> {
        if !(CHOICES_MIN..=CHOICES_MAX).contains(&parts.choices.len()) {
            return Err(QuestionError::ChoiceCount);
        }
        let Some(right) = parts.choices.get(parts.right) else {
            return Err(QuestionError::AnswerNotAChoice);
        };
        let wrong = parts.choices.iter().enumerate().filter(|(at, _)| *at != parts.right);
        let is_ambiguous = wrong.flat_map(|(_, choice)| choice.texts()).any(|text| reads_like(right, text));
        if is_ambiguous { Err(QuestionError::AmbiguousChoice) } else { Ok(Self { parts }) }
    }

    /// What is asked.
    pub fn text(&self) -> &LocalizedText {
        &self.parts.text
    }

    /// What may be answered, in the order shown.
    pub fn choices(&self) -> &[LocalizedText] {
        &self.parts.choices
    }

    /// Whether `answer` is the right choice in any of its locales. Surrounding white space and case do not count.
    pub fn is_right(&self, answer: &str) -> bool {
        reads_like(&self.parts.choices[self.parts.right], answer)
    }
}

fn reads_like(choice: &LocalizedText, answer: &str) -> bool {
    choice.texts().any(|text| folded(text).eq(folded(answer)))
}

/// Without what does not count. Allocates nothing: every buy request of a sale with a question is asked this, also the refused.
fn folded(text: &str) -> impl Iterator<Item = char> {
    // The one small letter that depends on its place: the last sigma of a word.
    text.trim().chars().flat_map(char::to_lowercase).map(|char| if char == 'ς' { 'σ' } else { char })
}

impl TryFrom<QuestionParts> for Question {
    type Error = QuestionError;

    fn try_from(parts: QuestionParts) -> Result<Self, QuestionError> {
        Self::new(parts)
    }
}

impl From<Question> for QuestionParts {
    fn from(question: Question) -> Self {
        question.parts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bilingual(en: &str, tw: &str) -> LocalizedText {
        let texts = [("en", en), ("zh-TW", tw)].map(|(locale, text)| (locale.to_owned(), text.to_owned()));
        BTreeMap::from(texts).try_into().unwrap()
    }

    fn parts() -> QuestionParts {
        QuestionParts {
            text: bilingual("Who makes it?", "誰製造的？"),
            choices: vec![bilingual("Apple", "蘋果"), bilingual("Pear", "梨子")],
            right: 0,
        }
    }

    #[test]
    fn the_right_choice_counts_in_any_locale_and_a_wrong_one_in_none() {
        let question = Question::new(parts()).unwrap();
        assert!(question.is_right(" apple "));
        assert!(question.is_right("蘋果"));
        assert!(!question.is_right("梨子"));
        assert!(!question.is_right("appl"));
        assert!(!question.is_right("apples"));
        assert!(!question.is_right(""));
    }

    #[test]
    fn case_does_not_count_in_any_script() {
        let question = Question::new(QuestionParts {
            choices: vec![bilingual("ΟΔΟΣ", "Straße"), bilingual("Pear", "梨子")],
            ..parts()
        });
        let question = question.unwrap();
        for answer in ["οδος", "Οδοσ", "STRAẞE"] {
            assert!(question.is_right(answer), "{answer}");
        }
    }

    #[test]
    fn a_question_that_cannot_be_judged_is_refused() {
        assert_eq!(
            Question::new(QuestionParts { right: 2, ..parts() }),
            Err(QuestionError::AnswerNotAChoice)
        );
        let one = QuestionParts { choices: vec![bilingual("Apple", "蘋果")], ..parts() };
        assert_eq!(Question::new(one), Err(QuestionError::ChoiceCount));
        let twins = QuestionParts { choices: vec![bilingual("A", "x"), bilingual("a", "y")], ..parts() };
        assert_eq!(Question::new(twins), Err(QuestionError::AmbiguousChoice));
    }

    #[test]
    fn a_reader_gets_the_nearest_locale() {
        let text = bilingual("Apple", "蘋果");
        assert_eq!(text.in_locale("zh-tw"), "蘋果");
        assert_eq!(text.in_locale("zh-HK"), "蘋果");
        assert_eq!(text.in_locale("de"), "Apple");
    }
}
