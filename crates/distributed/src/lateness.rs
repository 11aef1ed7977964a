//! Who is late himself cannot say that others are silent.

use std::time::Duration;

use tokio::time::Instant;

/// Later than a process wakes up that gets the processor when it wants it.
const LATE: Duration = Duration::from_millis(250);

/// Whether what was to be done at `due` is done so late that this process was held up: what others said meanwhile may wait
/// to be read.
pub(crate) fn is_late(due: Instant) -> bool {
    due.elapsed() > LATE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_quarter_of_a_second_is_late() {
        let due = Instant::now() + Duration::from_secs(1);
        assert!(!is_late(due), "it is not due yet");
        tokio::time::advance(Duration::from_secs(1) + LATE).await;
        assert!(!is_late(due));
        tokio::time::advance(Duration::from_millis(1)).await;
        assert!(is_late(due));
    }
}
