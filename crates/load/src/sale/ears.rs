//! The sockets of a process, in a thread of their own, and what of it the office is told.

use super::journey::Claim;
use crate::crowd::{Audience, Crowd, CrowdCounts, CrowdPlan};
use crate::tokens::Tokens;
use anyhow::Context;
use serde::Deserialize;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// How late a stop may be noticed, and how old shared counts are.
const TURN_MAX: Duration = Duration::from_millis(100);

/// What one person's socket heard.
#[derive(Debug)]
pub(super) struct Heard {
    pub(super) person: usize,
    pub(super) at: Instant,
    pub(super) news: News,
}

#[derive(Debug)]
pub(super) enum News {
    /// The sale is watched; what it says of the sale, and of the person.
    Watching { state: String, claim: Option<Claim> },
    /// The sale changed.
    State(String),
    /// The person's claim changed.
    Claim(Claim),
    /// The socket will hear nothing more.
    Gone,
}

/// The thread of the sockets, from outside.
pub(super) struct Listening {
    pub(super) thread: JoinHandle<anyhow::Result<()>>,
    /// What was heard in a turn, together: the office is not woken for each. Ends when the thread does. As much as people
    /// were told, so without a bound of its own.
    pub(super) news: mpsc::UnboundedReceiver<Vec<Heard>>,
    /// A moment old.
    pub(super) counts: Arc<Mutex<CrowdCounts>>,
}

/// Starts the thread.
pub(super) fn listen(
    plan: CrowdPlan,
    sale: String,
    tokens: Arc<Tokens>,
    is_stopped: Arc<AtomicBool>,
) -> anyhow::Result<Listening> {
    let (news, receiver) = mpsc::unbounded_channel();
    let shared = Arc::new(Mutex::new(CrowdCounts::default()));
    let counts = Arc::clone(&shared);
    let ears = Ears { sale, heard: Vec::new() };
    let listen = move || {
        let mut crowd = Crowd::new(plan, Some(tokens), ears).context("cannot start a reactor")?;
        let mut next_counts = Instant::now();
        while !is_stopped.load(Ordering::Relaxed) {
            crowd.turn(TURN_MAX).context("the reactor failed")?;
            let heard = std::mem::take(&mut crowd.audience.heard);
            // The office may have closed.
            if !heard.is_empty() && news.send(heard).is_err() {
                return Ok(());
            }
            if Instant::now() >= next_counts {
                next_counts = Instant::now() + TURN_MAX;
                counts.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&crowd.counts);
            }
        }
        Ok(())
    };
    let thread = std::thread::Builder::new().name("ears".to_owned()).spawn(listen);
    Ok(Listening { thread: thread.context("cannot start a thread")?, news: receiver, counts: shared })
}

struct Ears {
    sale: String,
    /// In this turn.
    heard: Vec<Heard>,
}

#[derive(Deserialize)]
struct Watched {
    state: String,
    claim: Option<Claim>,
}

#[derive(Deserialize)]
struct Turn<'a> {
    sale: &'a str,
    state: String,
}

#[derive(Deserialize)]
struct OfSale<'a> {
    sale: &'a str,
    #[serde(flatten)]
    claim: Claim,
}

impl Audience for Ears {
    fn watching(&mut self, person: usize, ack: &[u8], at: Instant) {
        let watched = serde_json::from_slice(ack).ok();
        let (state, claim) = watched.map_or_else(Default::default, |Watched { state, claim }| (state, claim));
        self.heard.push(Heard { person, at, news: News::Watching { state, claim } });
    }

    fn heard(&mut self, person: usize, name: &str, payload: &[u8], at: Instant) {
        let news = match name {
            "sale" => serde_json::from_slice::<Turn<'_>>(payload)
                .ok()
                .filter(|turn| turn.sale == self.sale)
                .map(|turn| News::State(turn.state)),
            "claim" => serde_json::from_slice::<OfSale<'_>>(payload)
                .ok()
                .filter(|of| of.sale == self.sale)
                .map(|of| News::Claim(of.claim)),
            _ => None,
        };
        if let Some(news) = news {
            self.heard.push(Heard { person, at, news });
        }
    }

    fn gone(&mut self, person: usize, at: Instant) {
        self.heard.push(Heard { person, at, news: News::Gone });
    }
}
