//! The progress bar: on stderr, and only where that is a terminal.

use super::schedule::Schedule;
use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal;
use std::sync::atomic::{AtomicU64, Ordering};

/// How many of the planned requests have ended. Disappears when dropped.
pub(super) struct Bar(ProgressBar);

impl Bar {
    pub(super) fn new(schedule: &Schedule) -> Self {
        if !std::io::stderr().is_terminal() {
            return Self(ProgressBar::hidden());
        }
        let style =
            ProgressStyle::with_template("{elapsed} {wide_bar} {human_pos} of {human_len}, {per_sec}")
                .expect("the template is a constant that a run at a terminal shows");
        Self(ProgressBar::new(schedule.planned()).with_style(style))
    }

    pub(super) fn show(&self, ended: &AtomicU64) {
        self.0.set_position(ended.load(Ordering::Relaxed));
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
