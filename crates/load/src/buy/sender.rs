//! One connection's loop: take what is due, send it, note what came back.
//!
//! All connections of a thread share its tally and its retries, which need no lock for that: a thread's tasks
//! never run at the same time, and none holds a borrow while it waits.

use super::answer::word_of;
use super::call::BuyCalls;
use super::retry::{RetryQueue, is_worth_repeating, pause};
use super::schedule::{Attempt, Schedule, TIMER_STEP};
use super::tally::Tally;
use crate::http::{Client, Dial, Failure, Response};
use crate::tokens::Tokens;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

/// What all threads of a run share.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) calls: BuyCalls,
    pub(crate) tokens: Tokens,
    pub(crate) schedule: Schedule,
    /// Longest time for one request, connecting included.
    pub(crate) timeout: Duration,
    /// Whether to send again what failed or was refused for now.
    pub(crate) retry: bool,
    pub(crate) keep_last_answers: bool,
    /// Requests that will not be sent again, for the progress bar.
    pub(crate) ended: AtomicU64,
}

/// Sends over that many connections until nothing more is due, the run's time is up, or the sender of `stopped`
/// is gone; then waits for what is in flight. Must run on a `LocalRuntime`.
pub(crate) async fn send_all<D>(
    run: Arc<Run>,
    dial: &D,
    connections: u32,
    stopped: watch::Receiver<()>,
) -> Tally
where
    D: Dial + Clone + 'static,
{
    let tally = Rc::new(RefCell::new(Tally::new(run.tokens.len(), run.keep_last_answers)));
    let retries = Rc::new(RefCell::new(RetryQueue::default()));
    let mut senders = JoinSet::new();
    for _ in 0..connections {
        let sender = Sender {
            run: Arc::clone(&run),
            tally: Rc::clone(&tally),
            retries: Rc::clone(&retries),
            stopped: stopped.clone(),
            client: Client::new(dial.clone()),
            request: Vec::new(),
            taken: None,
            has_more: true,
        };
        senders.spawn_local(sender.send_until_done());
    }
    while let Some(ended) = senders.join_next().await {
        if let Err(error) = ended {
            std::panic::resume_unwind(error.into_panic());
        }
    }
    Rc::into_inner(tally).expect("every sender has ended and let go of it").into_inner()
}

struct Sender<D: Dial> {
    run: Arc<Run>,
    tally: Rc<RefCell<Tally>>,
    retries: Rc<RefCell<RetryQueue>>,
    stopped: watch::Receiver<()>,
    client: Client<D>,
    request: Vec<u8>,
    /// Handed out by the schedule, and not yet due.
    taken: Option<Attempt>,
    /// Whether the schedule may have more.
    has_more: bool,
}

impl<D: Dial> Sender<D> {
    async fn send_until_done(mut self) {
        while let Some((attempt, waited)) = self.next_attempt().await {
            self.send(attempt, waited).await;
        }
        self.tally.borrow_mut().add_traffic(self.client.traffic);
    }

    /// The next request, when it is due, and whether it had to be waited for. None ends the loop; a request that
    /// another connection will yet have to send again is that connection's to see to.
    async fn next_attempt(&mut self) -> Option<(Attempt, bool)> {
        let mut waited = false;
        loop {
            let now = Instant::now();
            if self.is_stopped() {
                return None;
            }
            if now >= self.run.schedule.end() {
                // What it holds was due before the end; where it waited for that moment, only the timer came late.
                return self.taken.take().filter(|_| waited).map(|attempt| (attempt, waited));
            }
            if let Some(attempt) = self.retries.borrow_mut().pop_due(now) {
                return Some((attempt, waited));
            }
            if self.taken.is_none() && self.has_more {
                self.taken = self.run.schedule.take();
                self.has_more = self.taken.is_some();
            }
            let taken_due = self.taken.as_ref().map(|attempt| attempt.due.unwrap_or(now));
            if taken_due.is_some_and(|due| due <= now + TIMER_STEP) {
                return self.taken.take().map(|attempt| (attempt, waited));
            }
            let taken_wake = taken_due.map(|due| due - TIMER_STEP);
            let retry_wake = self.retries.borrow().first_due();
            let wake = [taken_wake, retry_wake].into_iter().flatten().min()?;
            self.wait_until(wake.min(self.run.schedule.end())).await;
            waited = true;
        }
    }

    async fn wait_until(&mut self, wake: Instant) {
        tokio::select! {
            () = sleep_until(wake) => {}
            // Only ever an error: the sender sends nothing, it goes away.
            _ = self.stopped.changed() => {}
        }
        self.client.drop_if_closed();
    }

    fn is_stopped(&self) -> bool {
        self.stopped.has_changed().is_err()
    }

    async fn send(&mut self, mut attempt: Attempt, waited: bool) {
        let origin = attempt.latency_origin(Instant::now(), waited);
        let waiting_since = *attempt.waiting_since.get_or_insert(origin);
        attempt.tries += 1;
        let call = self.run.calls.of(attempt.token);
        call.write(self.run.tokens.get(attempt.token), &mut self.request);
        self.tally.borrow_mut().sent(attempt.tries, origin - self.run.schedule.start());
        let result = self.client.exchange(&self.request, self.run.timeout).await;
        let now = Instant::now();
        self.note(&attempt, &result, now, origin);
        if self.run.retry && is_to_be_repeated(&result) {
            let retry_after = result.ok().and_then(|response| response.retry_after);
            let due = now + pause(attempt.tries, retry_after, attempt.token);
            // A due time of its own only in the open loop: in the closed one latency counts from the sending.
            attempt.due = attempt.due.map(|_| due);
            self.retries.borrow_mut().push(due, attempt);
            return;
        }
        let is_error = result.as_ref().map_or(true, |response| response.http_status >= 500);
        self.tally.borrow_mut().ended(is_error, now - waiting_since);
        self.run.ended.fetch_add(1, Ordering::Relaxed);
    }

    fn note(&self, attempt: &Attempt, result: &Result<Response, Failure>, now: Instant, origin: Instant) {
        let mut tally = self.tally.borrow_mut();
        let since_start = now - self.run.schedule.start();
        match result {
            Ok(response) => {
                let word = word_of(&response.body);
                tally.answered(attempt.token, response.http_status, &word, since_start, now - origin);
            }
            Err(failure) => tally.failed(attempt.token, failure, since_start),
        }
    }
}

fn is_to_be_repeated(result: &Result<Response, Failure>) -> bool {
    result.as_ref().map_or(true, |response| is_worth_repeating(response.http_status))
}
