//! Whether there is memory for one more session, and for much that waits. Of a process that is killed for its memory
//! everybody is lost; one that refuses newcomers in time, and lets go of those who do not read, loses nobody else.
//!
//! How much there is says an implementation of [`Memory`]; [`ControlGroups`] is one. [`MemoryWatch`] asks it seldom.

mod control_groups;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

pub use control_groups::ControlGroups;

/// So long an answer counts. At 10,000 sessions a second these are 200, which is less than a megabyte.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Says how it is with the memory that a process may use.
pub trait Memory: Send + Sync {
    /// Whether one more session may be taken in, and much may wait for a client that does not read. Asked while sessions come
    /// or much waits, at most every 20 milliseconds; must not block for long.
    fn has_room(&self) -> bool;
}

/// A memory that is never short.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unlimited;

impl Memory for Unlimited {
    fn has_room(&self) -> bool {
        true
    }
}

/// Remembers the last answer for a moment. Nothing is asked while no session comes and little waits.
pub(crate) struct MemoryWatch {
    memory: Arc<dyn Memory>,
    started: Instant,
    /// In milliseconds since `started`.
    next_look_ms: AtomicU64,
    has_room: AtomicBool,
}

impl MemoryWatch {
    pub(crate) fn new(memory: Arc<dyn Memory>) -> Self {
        Self {
            memory,
            started: Instant::now(),
            next_look_ms: AtomicU64::new(0),
            has_room: AtomicBool::new(true),
        }
    }

    /// What [`Memory::has_room`] said at most a moment ago. Of several threads one asks, and the others go by the last
    /// answer.
    pub(crate) fn has_room(&self) -> bool {
        let now_ms = millis(self.started.elapsed());
        let next_ms = self.next_look_ms.load(Relaxed);
        let is_mine = now_ms >= next_ms
            && self
                .next_look_ms
                .compare_exchange(next_ms, now_ms + millis(LOOK_EVERY), Relaxed, Relaxed)
                .is_ok();
        if is_mine {
            self.has_room.store(self.memory.has_room(), Relaxed);
        }
        self.has_room.load(Relaxed)
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
