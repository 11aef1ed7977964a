//! Which languages a reader prefers (`Accept-Language`, RFC 9110 section 12.5.4).

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use http::header;
use http::request::Parts;
use miaosha_domain::question::{DEFAULT_LOCALE, LocalizedText};

const LANGUAGES_MAX: usize = 16;

/// Language tags, the most preferred first; none is no preference.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Languages(Vec<String>);

impl Languages {
    /// The languages of a header's value. What cannot be read is skipped.
    pub(crate) fn parse(value: &str) -> Self {
        let mut weighed: Vec<(u16, &str)> = value.split(',').take(LANGUAGES_MAX).filter_map(weigh).collect();
        weighed.sort_by_key(|(weight, _)| std::cmp::Reverse(*weight));
        Self(weighed.into_iter().map(|(_, tag)| tag.to_owned()).collect())
    }

    /// The text as this reader likes it best.
    pub(crate) fn read<'a>(&self, text: &'a LocalizedText) -> &'a str {
        text.in_locale(self.best_for(text))
    }

    /// The locale in which the text is shown to this reader: one that it has.
    pub(crate) fn locale_of<'a>(&self, text: &'a LocalizedText) -> &'a str {
        let shown = self.read(text);
        let mut locales = text.locales();
        locales.find(|locale| std::ptr::eq(text.in_locale(locale), shown)).unwrap_or(DEFAULT_LOCALE)
    }

    /// The first preference that the text has, exactly or as another variant of the language.
    fn best_for(&self, text: &LocalizedText) -> &str {
        let language = |tag: &str| tag.split('-').next().unwrap_or_default().to_ascii_lowercase();
        let is_there = |tag: &&String| text.locales().any(|locale| language(locale) == language(tag));
        self.0.iter().find(is_there).map_or(DEFAULT_LOCALE, String::as_str)
    }
}

/// A tag and its weight in thousandths; `None` for what is not wanted or cannot be read.
fn weigh(part: &str) -> Option<(u16, &str)> {
    let (tag, parameter) = part.split_once(';').unwrap_or((part, "q=1"));
    let weight: f32 = parameter.trim().strip_prefix("q=")?.trim().parse().ok()?;
    let tag = tag.trim();
    let is_tag = !tag.is_empty() && tag.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 1 and 1000")]
    let thousandths = (weight.clamp(0.0, 1.0) * 1_000.0) as u16;
    (is_tag && thousandths > 0).then_some((thousandths, tag))
}

impl<S: Sync> FromRequestParts<S> for Languages {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        let value = parts.headers.get(header::ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok());
        Ok(value.map(Self::parse).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(locales: &[&str]) -> LocalizedText {
        let texts: std::collections::BTreeMap<_, _> =
            locales.iter().map(|locale| ((*locale).to_owned(), format!("in {locale}"))).collect();
        texts.try_into().unwrap()
    }

    #[test]
    fn a_reader_gets_the_best_of_what_there_is() {
        let both = text(&["en", "zh-TW"]);
        let cases = [
            ("zh-TW,zh;q=0.9,en;q=0.8", "zh-TW"),
            ("en;q=0.5, zh", "zh-TW"),
            ("de, fr;q=0.9", "en"),
            ("de, zh-HK;q=0.1", "zh-TW"),
            ("zh;q=0, en;q=0.1", "en"),
            ("", "en"),
            ("*", "en"),
            (";;q=,=;zh;q=x", "en"),
        ];
        for (header, locale) in cases {
            let languages = Languages::parse(header);
            assert_eq!(languages.locale_of(&both), locale, "{header}");
            assert_eq!(languages.read(&both), format!("in {locale}"), "{header}");
        }
        assert_eq!(Languages::parse("de").locale_of(&text(&["ja"])), "ja", "what there is");
    }
}
