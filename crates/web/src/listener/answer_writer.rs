//! Answers as they go over the wire. A crowd is mostly told the same, so the answer that was written last is kept as it
//! was written, for as long as its date is the right one.

use std::time::Duration;

use miaosha_domain::time::Timestamp;

use crate::buy::BuyAnswer;

/// Writes the answers of one thread.
#[derive(Debug, Default)]
pub(super) struct AnswerWriter {
    last: Option<(BuyAnswer, bool)>,
    last_written: Vec<u8>,
    /// Of `date`, and so of what was written last.
    second: Option<i64>,
    date: String,
}

impl AnswerWriter {
    /// Appends an answer that is given at `now`; the connection stays open behind it, unless it `closes`.
    pub(super) fn write(&mut self, answer: BuyAnswer, closes: bool, now: Timestamp, wire: &mut Vec<u8>) {
        let second = now.as_millis().div_euclid(1_000);
        if self.second != Some(second) {
            let since_epoch = Duration::from_secs(second.try_into().unwrap_or_default());
            self.date = httpdate::fmt_http_date(std::time::UNIX_EPOCH + since_epoch);
            self.second = Some(second);
            self.last = None;
        }
        if self.last != Some((answer, closes)) {
            self.last_written.clear();
            answer.write(&self.date, closes, &mut self.last_written);
            self.last = Some((answer, closes));
        }
        wire.extend_from_slice(&self.last_written);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::problem::ProblemCode;

    proptest! {
        #[test]
        fn each_answer_is_written_as_if_it_were_the_first(
            given in prop::collection::vec((0_usize..4, any::<bool>(), 0_i64..1_500), 1..40),
        ) {
            const ANSWERS: [BuyAnswer; 4] = [
                BuyAnswer::SoldOut,
                BuyAnswer::Queued,
                BuyAnswer::Refused(ProblemCode::Overloaded),
                BuyAnswer::Refused(ProblemCode::Unavailable),
            ];
            let (mut writer, mut now_ms) = (AnswerWriter::default(), 1_800_000_000_000);
            for (answer, closes, after_ms) in given {
                now_ms += after_ms;
                let (answer, closes, now) = (ANSWERS[answer], closes, Timestamp::from_millis(now_ms));
                let (mut wire, mut anew) = (b"before".to_vec(), b"before".to_vec());
                writer.write(answer, closes, now, &mut wire);
                AnswerWriter::default().write(answer, closes, now, &mut anew);
                prop_assert_eq!(wire, anew);
            }
        }
    }

    #[test]
    fn an_answer_is_dated_by_the_second() {
        let (mut writer, mut wire) = (AnswerWriter::default(), Vec::new());
        writer.write(BuyAnswer::SoldOut, false, Timestamp::from_millis(999), &mut wire);
        writer.write(BuyAnswer::SoldOut, false, Timestamp::from_millis(1_000), &mut wire);
        let text = String::from_utf8(wire).unwrap();
        for date in ["Thu, 01 Jan 1970 00:00:00 GMT", "Thu, 01 Jan 1970 00:00:01 GMT"] {
            assert_eq!(text.matches(&format!("\r\ndate: {date}\r\n")).count(), 1, "{text}");
        }
    }
}
