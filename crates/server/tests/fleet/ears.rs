//! Somebody who hears on a socket what becomes of his claim, and comes back when he loses it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::Value;
use tokio::sync::watch;

use crate::support::PATIENCE;
use crate::support::socket::{Said, Socket};

/// How often is looked whether to go on.
const TURN: Duration = Duration::from_millis(500);

/// A socket of a person, on a thread of its own that ends with this value.
pub(crate) struct Ears {
    /// The `rev` of the claim that was heard of last.
    heard: watch::Receiver<u64>,
    is_over: Arc<AtomicBool>,
}

impl Ears {
    /// Begins to listen at the site at `base`.
    pub(crate) fn open(base: String, sale: String, token: String, seed: u64) -> Self {
        let (heard_in, heard) = watch::channel(0);
        let is_over = Arc::new(AtomicBool::new(false));
        let listener = Listener { base, sale, token, heard: heard_in, is_over: is_over.clone() };
        thread::spawn(move || {
            let mut random = SmallRng::seed_from_u64(seed);
            while let Err(_lost) = listener.listen() {
                thread::sleep(Duration::from_millis(random.random_range(100..1_000)));
            }
        });
        Self { heard, is_over }
    }

    /// Waits until the claim was heard of as it is at `rev`, or as it was later.
    pub(crate) async fn have_heard(&mut self, rev: u64) {
        let is_heard =
            tokio::time::timeout(PATIENCE, self.heard.wait_for(|heard| *heard >= rev)).await.is_ok();
        assert!(is_heard, "the claim is at {rev}, and its socket heard of {}", *self.heard.borrow());
    }
}

impl Drop for Ears {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
    }
}

struct Listener {
    base: String,
    sale: String,
    token: String,
    heard: watch::Sender<u64>,
    is_over: Arc<AtomicBool>,
}

impl Listener {
    /// Until nobody is interested any more; an error when the socket is lost.
    fn listen(&self) -> anyhow::Result<()> {
        if self.is_over.load(Ordering::Relaxed) {
            return Ok(());
        }
        let mut socket = Socket::connect(&self.base, &self.token)?;
        socket.watch(&self.sale)?;
        while !self.is_over.load(Ordering::Relaxed) {
            match socket.next(TURN)? {
                Some(Said::Watching(answer)) => self.hear(&answer["claim"]),
                Some(Said::Event(name, claim)) if name == "claim" => self.hear(&claim),
                Some(Said::Event(..)) | None => {}
            }
        }
        Ok(())
    }

    fn hear(&self, claim: &Value) {
        let rev = claim["rev"].as_u64().unwrap_or_default();
        self.heard.send_modify(|heard| *heard = rev.max(*heard));
    }
}
