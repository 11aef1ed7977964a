//! The session tokens that a run speaks with: one a line, a line a person, known by their index from 0.
//!
//! Kept as one text with the places where each ends: a million tokens are then two allocations.

use anyhow::{Context, bail};
use std::io::Read;
use std::path::Path;

/// Far above any signed token; a longer line is not a token but the wrong file.
const TOKEN_LEN_MAX: usize = 4096;

/// The tokens of a run, at least one.
#[derive(Debug)]
pub(crate) struct Tokens {
    text: String,
    spans: Vec<(usize, usize)>,
}

impl Tokens {
    /// Reads the file, or stdin for `-`.
    pub(crate) fn read(source: &Path) -> anyhow::Result<Self> {
        let mut text = String::new();
        if source == Path::new("-") {
            std::io::stdin().lock().read_to_string(&mut text).context("cannot read tokens from stdin")?;
        } else {
            text = std::fs::read_to_string(source)
                .with_context(|| format!("cannot read tokens from {}", source.display()))?;
        }
        Self::parse(text).with_context(|| format!("tokens from {}", source.display()))
    }

    /// One token a line; empty lines are passed over and take no index. A line that could not stand in a header
    /// is an error, which names the line and not its text.
    pub(crate) fn parse(text: String) -> anyhow::Result<Self> {
        let mut spans = Vec::new();
        let mut line_start = 0;
        for (line_index, line) in text.split('\n').enumerate() {
            let token = line.trim_end_matches('\r');
            let sendable = token.len() <= TOKEN_LEN_MAX && token.bytes().all(|byte| byte.is_ascii_graphic());
            if !sendable {
                bail!("line {} is not a token", line_index + 1);
            }
            if !token.is_empty() {
                spans.push((line_start, line_start + token.len()));
            }
            line_start += line.len() + 1;
        }
        if spans.is_empty() {
            bail!("there is no token");
        }
        Ok(Self { text, spans })
    }

    pub(crate) fn len(&self) -> usize {
        self.spans.len()
    }

    /// The token of that index, which must be below `len`.
    pub(crate) fn get(&self, index: usize) -> &str {
        let (start, end) = self.spans[index];
        &self.text[start..end]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_line_that_could_break_a_header_is_refused_without_showing_it() {
        let error = Tokens::parse("good\nsecret one\n".to_owned()).unwrap_err().to_string();
        assert_eq!(error, "line 2 is not a token");
        assert!(Tokens::parse("a\rb".to_owned()).is_err());
        assert!(Tokens::parse("x".repeat(TOKEN_LEN_MAX + 1)).is_err());
    }

    #[test]
    fn an_empty_source_is_an_error() {
        assert!(Tokens::parse("\n\r\n".to_owned()).is_err());
    }

    proptest! {
        #[test]
        fn every_line_comes_back_in_order(
            lines in prop::collection::vec("[!-~]{1,40}", 1..50),
            newline in prop::sample::select(vec!["\n", "\r\n", "\n\n"]),
            ends_with_newline: bool,
        ) {
            let mut text = lines.join(newline);
            if ends_with_newline {
                text.push_str(newline);
            }
            let tokens = Tokens::parse(text).unwrap();
            let read: Vec<&str> = (0..tokens.len()).map(|index| tokens.get(index)).collect();
            prop_assert_eq!(read, lines);
        }
    }
}
