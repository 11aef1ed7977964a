//! Statements, and the only way in which a value gets into one.
//!
//! A script is sent as one message of the text protocol and answered with one, so that a transaction of thousands of
//! rows takes four round trips, and nothing has to be prepared on each connection first. That is safe because a
//! [`Literal`] cannot end itself: numbers, names of enums, and texts as hexadecimal digits. There is no quoting.

use std::fmt::Write as _;

use futures_util::TryStreamExt;
use miaosha_app::model::{OrderStatus, Role};
use miaosha_domain::claim::ClaimStatus;
use miaosha_domain::ids::{OrderId, PaymentId, ProductId, SaleId, UserId};
use miaosha_domain::payment::PaymentStatus;
use miaosha_domain::time::Timestamp;
use sqlx::mysql::{MySqlConnection, MySqlRow};
use sqlx::{AssertSqlSafe, Either};

/// One or more statements, in order.
#[derive(Debug, Clone, Default)]
pub(super) struct Script {
    text: String,
    /// How many rows each statement has to find, if that matters.
    expected: Vec<Option<u64>>,
}

/// What one statement answered.
#[derive(Debug, Default)]
pub(super) struct Answer {
    /// The rows of a query.
    pub(super) rows: Vec<MySqlRow>,
    /// How many rows a change found, whether or not it changed their values.
    pub(super) found: u64,
}

impl Script {
    /// One statement; each `?` of the template stands for a value.
    pub(super) fn of(template: &'static str, values: &[&dyn Literal]) -> Self {
        Self::default().then(template, values)
    }

    /// Adds a statement.
    pub(super) fn then(mut self, template: &'static str, values: &[&dyn Literal]) -> Self {
        self.add(template, values);
        self
    }

    /// Adds a statement.
    pub(super) fn add(&mut self, template: &'static str, values: &[&dyn Literal]) {
        self.add_statement(template, values, None);
    }

    /// Adds a change of which [`Script::is_as_expected`] tells whether it found `count` rows.
    pub(super) fn add_finding(&mut self, count: usize, template: &'static str, values: &[&dyn Literal]) {
        self.add_statement(template, values, Some(count as u64));
    }

    fn add_statement(&mut self, template: &'static str, values: &[&dyn Literal], expected: Option<u64>) {
        let mut texts = template.split('?');
        self.text.push_str(texts.next().unwrap_or_default());
        let mut count = 0;
        for (text, value) in texts.zip(values) {
            value.write(&mut self.text);
            self.text.push_str(text);
            count += 1;
        }
        assert!(count == values.len() && template.matches('?').count() == count, "one value for each `?`");
        self.text.push_str(";\n");
        self.expected.push(expected);
    }

    /// Adds the statements of another.
    pub(super) fn append(&mut self, other: Self) {
        self.text.push_str(&other.text);
        self.expected.extend(other.expected);
    }

    /// Whether there is nothing to run.
    pub(super) fn is_empty(&self) -> bool {
        self.expected.is_empty()
    }

    /// Whether each statement found as many rows as it had to.
    pub(super) fn is_as_expected(&self, answers: &[Answer]) -> bool {
        let mut pairs = self.expected.iter().zip(answers);
        answers.len() == self.expected.len()
            && pairs.all(|(expected, answer)| expected.is_none_or(|count| count == answer.found))
    }

    /// The text.
    #[cfg(test)]
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Runs the statements and returns an answer for each. The first that fails is the last that runs.
    ///
    /// Not to be dropped before it has ended, unless the connection is closed.
    pub(super) async fn run(&self, connection: &mut MySqlConnection) -> Result<Vec<Answer>, sqlx::Error> {
        let mut answers = Vec::with_capacity(self.expected.len());
        let mut rows = Vec::new();
        let mut results = sqlx::raw_sql(AssertSqlSafe(self.text.as_str())).fetch_many(connection);
        while let Some(result) = results.try_next().await? {
            match result {
                Either::Right(row) => rows.push(row),
                Either::Left(done) => {
                    let rows = std::mem::take(&mut rows);
                    answers.push(Answer { rows, found: done.rows_affected() });
                }
            }
        }
        Ok(answers)
    }
}

/// A value as it is written into a statement: a token that no value can end early.
pub(super) trait Literal: Sync {
    /// Appends the token.
    fn write(&self, text: &mut String);
}

/// Writes to a `String` cannot fail.
macro_rules! append {
    ($text:expr, $($arguments:tt)*) => {
        write!($text, $($arguments)*).expect("a string takes what is written to it")
    };
}

macro_rules! numbers {
    ($($kind:ty),*) => {
        $(impl Literal for $kind {
            fn write(&self, text: &mut String) {
                append!(text, "{self}");
            }
        })*
    };
}
numbers!(i64, u64, u32, u16, usize);

macro_rules! ids {
    ($($kind:ty),*) => {
        $(impl Literal for $kind {
            fn write(&self, text: &mut String) {
                append!(text, "{}", self.get());
            }
        })*
    };
}
ids!(SaleId, UserId, ProductId, PaymentId, OrderId);

macro_rules! names {
    ($($kind:ty),*) => {
        $(impl Literal for $kind {
            fn write(&self, text: &mut String) {
                append!(text, "'{}'", self.name());
            }
        })*
    };
}
names!(ClaimStatus, PaymentStatus, OrderStatus, Role);

impl Literal for bool {
    fn write(&self, text: &mut String) {
        text.push(if *self { '1' } else { '0' });
    }
}

impl Literal for Timestamp {
    fn write(&self, text: &mut String) {
        self.as_millis().write(text);
    }
}

impl<T: Literal> Literal for Option<T> {
    fn write(&self, text: &mut String) {
        match self {
            Some(value) => value.write(text),
            None => text.push_str("NULL"),
        }
    }
}

impl<T: Literal + ?Sized> Literal for &T {
    fn write(&self, text: &mut String) {
        (*self).write(text);
    }
}

/// A text of characters.
impl Literal for str {
    fn write(&self, text: &mut String) {
        if self.is_empty() {
            text.push_str("''");
        } else {
            text.push_str("_utf8mb4 ");
            self.as_bytes().write(text);
        }
    }
}

impl Literal for String {
    fn write(&self, text: &mut String) {
        self.as_str().write(text);
    }
}

/// Bytes.
impl Literal for [u8] {
    fn write(&self, text: &mut String) {
        text.push_str("X'");
        for byte in self {
            append!(text, "{byte:02X}");
        }
        text.push('\'');
    }
}

/// Values in a row, separated by commas: the inside of an `IN (…)`, which must not be empty.
#[derive(Debug)]
pub(super) struct List<'a, T>(pub(super) &'a [T]);

impl<T: Literal> Literal for List<'_, T> {
    fn write(&self, text: &mut String) {
        for (at, value) in self.0.iter().enumerate() {
            if at > 0 {
                text.push(',');
            }
            value.write(text);
        }
    }
}

/// Rows of an `INSERT … VALUES`, which must not be empty.
#[derive(Debug, Default)]
pub(super) struct Rows(String);

impl Rows {
    /// Adds a row.
    pub(super) fn add(&mut self, values: &[&dyn Literal]) {
        self.0.push_str(if self.0.is_empty() { "(" } else { ",(" });
        List(values).write(&mut self.0);
        self.0.push(')');
    }

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Literal for Rows {
    fn write(&self, text: &mut String) {
        text.push_str(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(value: &dyn Literal) -> String {
        let mut text = String::new();
        value.write(&mut text);
        text
    }

    #[test]
    fn a_text_cannot_end_its_literal() {
        for hostile in ["'; DROP TABLE users; --", "\\", "\u{0}", "台北", "`", "*/"] {
            let token = written(&hostile);
            let digits = token.strip_prefix("_utf8mb4 X'").and_then(|rest| rest.strip_suffix('\'')).unwrap();
            assert!(digits.len() == hostile.len() * 2 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
        }
        assert_eq!(written(&""), "''");
    }

    #[test]
    fn values_stand_where_the_question_marks_were() {
        let people = [3_u64, 4].map(|raw| UserId::new(raw).unwrap());
        let script = Script::of("SELECT ? FROM t WHERE id IN (?)", &[&ClaimStatus::Paid, &List(&people)])
            .then("SELECT ?, ?, ?", &[&None::<u64>, &true, &-1_i64]);
        assert_eq!(script.text(), "SELECT 'paid' FROM t WHERE id IN (3,4);\nSELECT NULL, 1, -1;\n");
    }

    #[test]
    fn rows_are_separated_by_commas() {
        let mut rows = Rows::default();
        assert!(rows.is_empty());
        rows.add(&[&1_u64, &"a"]);
        rows.add(&[&2_u64, &""]);
        assert_eq!(written(&rows), "(1,_utf8mb4 X'61'),(2,'')");
    }
}
