//! Whether one more session is taken in: by how many there are, how many came within the second, and the memory left.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed, Ordering::SeqCst};
use std::time::Instant;

use tokio::sync::Notify;

use crate::command::Refusal;
use crate::config::Config;
use crate::counters::Counts;
use crate::memory::MemoryWatch;

/// Counts the sessions of a server, and those it has refused.
pub(crate) struct Intake {
    sessions_max: usize,
    per_second_max: u64,
    memory: MemoryWatch,
    sessions: AtomicUsize,
    refused_full: AtomicU64,
    refused_rate: AtomicU64,
    refused_memory: AtomicU64,
    /// The second of the last session in the upper half, the sessions within it in the lower.
    of_second: AtomicU64,
    started: Instant,
    is_closed: AtomicBool,
    emptied: Notify,
}

/// The right to one more session, given back when dropped unless kept.
pub(crate) struct Reservation {
    intake: Option<Arc<Intake>>,
}

impl Intake {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            sessions_max: config.max_connections,
            per_second_max: config.max_connects_per_second.into(),
            memory: MemoryWatch::new(Arc::clone(&config.memory)),
            sessions: AtomicUsize::new(0),
            refused_full: AtomicU64::new(0),
            refused_rate: AtomicU64::new(0),
            refused_memory: AtomicU64::new(0),
            of_second: AtomicU64::new(0),
            started: Instant::now(),
            is_closed: AtomicBool::new(false),
            emptied: Notify::new(),
        }
    }

    /// Takes one more session in, if the limits allow it.
    pub(crate) fn reserve(self: &Arc<Self>) -> Result<Reservation, Refusal> {
        let one_more = |count: usize| (count < self.sessions_max).then_some(count + 1);
        if self.is_closed.load(Relaxed) || self.sessions.try_update(Relaxed, Relaxed, one_more).is_err() {
            self.refused_full.fetch_add(1, Relaxed);
            return Err(Refusal::Full);
        }
        let reservation = Reservation { intake: Some(Arc::clone(self)) };
        if !self.has_memory() {
            self.refused_memory.fetch_add(1, Relaxed);
            return Err(Refusal::NoMemory);
        }
        if !self.is_within_rate() {
            self.refused_rate.fetch_add(1, Relaxed);
            return Err(Refusal::TooManyConnects);
        }
        Ok(reservation)
    }

    /// Whether there is memory for more than what is held.
    pub(crate) fn has_memory(&self) -> bool {
        self.memory.has_room()
    }

    /// A session that was taken in has ended.
    pub(crate) fn release(&self) {
        if self.sessions.fetch_sub(1, SeqCst) == 1 {
            self.emptied.notify_waiters();
        }
    }

    /// Waits until no session is left.
    pub(crate) async fn emptied(&self) {
        loop {
            // Registered before looking, so that no end between the look and the wait is missed.
            let mut emptied = pin!(self.emptied.notified());
            emptied.as_mut().enable();
            if self.sessions.load(SeqCst) == 0 {
                return;
            }
            emptied.await;
        }
    }

    /// Takes nobody in any more.
    pub(crate) fn close(&self) {
        self.is_closed.store(true, Relaxed);
    }

    pub(crate) fn add_to(&self, counts: &mut Counts) {
        counts.connections += self.sessions.load(Relaxed) as u64;
        counts.refused_full += self.refused_full.load(Relaxed);
        counts.refused_rate += self.refused_rate.load(Relaxed);
        counts.refused_memory += self.refused_memory.load(Relaxed);
    }

    fn is_within_rate(&self) -> bool {
        let second = self.started.elapsed().as_secs() & u64::from(u32::MAX);
        self.of_second
            .try_update(Relaxed, Relaxed, |of_second| {
                let (last, count) = (of_second >> 32, of_second & u64::from(u32::MAX));
                let count = if last == second { count } else { 0 };
                (count < self.per_second_max).then_some(second << 32 | (count + 1))
            })
            .is_ok()
    }
}

impl Reservation {
    /// Makes the session real; whoever closes it calls [`Intake::release`].
    pub(crate) fn keep(mut self) {
        self.intake = None;
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if let Some(intake) = &self.intake {
            intake.release();
        }
    }
}

impl std::fmt::Debug for Reservation {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Reservation").finish_non_exhaustive()
    }
}
