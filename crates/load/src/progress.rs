//! A progress bar: on stderr, and only where that is a terminal.

use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal;

/// How many of so many are done. Disappears when dropped.
pub(crate) struct Bar(ProgressBar);

impl Bar {
    /// `what` says what is counted.
    pub(crate) fn new(total: u64, what: &str) -> Self {
        if !std::io::stderr().is_terminal() {
            return Self(ProgressBar::hidden());
        }
        let template =
            format!("{{elapsed}} {{wide_bar}} {{human_pos}} of {{human_len}} {what}, {{per_sec}} {{msg}}");
        let style = ProgressStyle::with_template(&template)
            .expect("the template is made of constants that a run at a terminal shows");
        Self(ProgressBar::new(total).with_style(style))
    }

    /// `more` is told behind the bar.
    pub(crate) fn show(&self, done: u64, more: String) {
        self.0.set_position(done);
        self.0.set_message(more);
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
