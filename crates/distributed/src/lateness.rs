//! Whether silence may be believed that a process finds which was held up itself.
//!
//! On a machine that is too busy everybody is late: whoever waits for others has waited for a processor as well, and those he
//! waits for do. Not for what has to be done in time all the same.

use std::time::Duration;

use tokio::time::Instant;

/// Later than a process wakes up that gets the processor when it wants it.
const LATE: Duration = Duration::from_millis(250);

/// One excuse, to be had again once it was refused.
#[derive(Debug, Default)]
pub(crate) struct Lateness {
    is_excused: bool,
}

impl Lateness {
    /// Whether silence that was to be judged at `due` is judged so late that it has to be found once more. Never twice in a
    /// row, so that it is believed in the end.
    pub(crate) fn excuses(&mut self, due: Instant) -> bool {
        self.is_excused = !self.is_excused && due.elapsed() > LATE;
        self.is_excused
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_quarter_of_a_second_is_late_and_excused_every_other_time() {
        let mut lateness = Lateness::default();
        let due = Instant::now() + Duration::from_secs(1);
        assert!(!lateness.excuses(due), "it is not due yet");
        tokio::time::advance(Duration::from_secs(1) + LATE).await;
        assert!(!lateness.excuses(due));
        tokio::time::advance(Duration::from_millis(1)).await;
        let excused = std::array::from_fn(|_| lateness.excuses(due));
        assert_eq!(excused, [true, false, true, false]);
    }
}
