//! Batches on their way from the broker to those who decide: a line for each shard. Of a line, one batch in hand at a time
//! has its turn to be decided, so that two batches of one sale are never decided side by side in this process. Another may be
//! in hand that waits for its turn, and some that have had it. They keep their order, but for those that come back.
//!
//! What has piled up in a line is handed over together: the batches of one sale become one, so that a backlog costs as
//! many transactions as it has thousands of people, however small the batches were and whatever other sales' lie between.
//!
//! A batch that comes back unsettled goes before those that were not handed out yet; the broker hears nothing of it. When the connection
//! is lost, what waits in the lines is forgotten: the broker delivers it again, here or elsewhere.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::stream::StreamExt as _;
use lapin::message::Delivery;
use lapin::options::{
    BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicNackOptions, BasicQosOptions,
};
use lapin::types::{FieldTable, ShortString};
use lapin::{Acker, Channel, Connection, Consumer};
use miaosha_app::model::RequestBatch;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::connection::{Duty, Failure};
use super::dead_letters::DeadLetters;
use super::message::{BATCH_LEN_MAX, Notes, decode_batch};
use super::topology::Topology;

const SET_UP_MAX: Duration = Duration::from_secs(15);
/// Batches of a line that may be in hand: one is decided while the gate is asked about the next, and people are told of the
/// one before. So a line that is slow to tell keeps no other from its share of those who decide.
pub(super) const IN_HAND_MAX: usize = 3;

/// A batch that the broker has delivered, in one message or several, and that is not settled.
#[derive(Debug)]
pub(super) struct Arrival {
    pub(super) batch: RequestBatch,
    pub(super) notes: Notes,
    /// One for each message, in the order of delivery.
    pub(super) ackers: Vec<Acker>,
    /// The line it belongs to, which is its shard.
    pub(super) line: usize,
    connection: u64,
    /// Its number among those that its line has handed out, from the first time on.
    handed_out: Option<u64>,
}

/// How far a batch in hand is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// It has not had its turn to be decided.
    Before,
    /// It has its turn.
    Turn,
    /// It has had it.
    After,
}

/// What a caller finds.
enum Taken {
    Arrived(Arrival),
    Nothing,
    Stopped,
}

/// The lines of this process.
#[derive(Debug)]
pub(super) struct Intake {
    topology: Arc<Topology>,
    dead_letters: DeadLetters,
    prefetch: u16,
    stopped: CancellationToken,
    lines: Mutex<Lines>,
    changed: Notify,
}

#[derive(Debug)]
struct Lines {
    all: Vec<Line>,
    /// Where the next look begins, so that no line is served before another has been.
    next: usize,
    /// Counts connections: what an earlier one delivered is not ours any more.
    connection: u64,
}

#[derive(Debug, Default)]
struct Line {
    waiting: VecDeque<Arrival>,
    /// How many were ever handed out.
    handed_out: u64,
    /// Batches in hand.
    in_hand: usize,
    /// Whether one of them has not had its turn.
    has_one_before: bool,
    /// Whether one of them has its turn.
    has_one_at_turn: bool,
}

impl Line {
    /// The next batch, unless one waits for its turn already, or as many are in hand as may be.
    fn hand_out(&mut self) -> Option<Arrival> {
        if self.has_one_before || self.in_hand >= IN_HAND_MAX {
            return None;
        }
        let arrival = self.pop()?;
        self.in_hand += 1;
        self.has_one_before = true;
        self.handed_out += 1;
        Some(Arrival { handed_out: arrival.handed_out.or(Some(self.handed_out)), ..arrival })
    }

    /// Whether the one that waits for its turn has it now.
    fn take_turn(&mut self) -> bool {
        if self.has_one_at_turn {
            return false;
        }
        self.has_one_at_turn = true;
        self.has_one_before = false;
        true
    }

    /// A batch in hand is so no longer.
    fn let_go(&mut self, stage: Stage) {
        self.in_hand -= 1;
        self.leave(stage);
    }

    /// It comes again after those that were handed out before it, and before all others.
    fn put_back(&mut self, arrival: Arrival) {
        let notes = Notes { is_maybe_decided: true, ..arrival.notes };
        let was_handed_out_before = |other: &Arrival| {
            other.handed_out.is_some_and(|number| arrival.handed_out.is_some_and(|own| number < own))
        };
        let place = self.waiting.partition_point(was_handed_out_before);
        self.waiting.insert(place, Arrival { notes, ..arrival });
    }

    fn leave(&mut self, stage: Stage) {
        match stage {
            Stage::Before => self.has_one_before = false,
            Stage::Turn => self.has_one_at_turn = false,
            Stage::After => {}
        }
    }

    /// The first of those who wait, joined by those of its sale that come next and can be decided with it.
    fn pop(&mut self) -> Option<Arrival> {
        let mut first = self.waiting.pop_front()?;
        let mut others = VecDeque::with_capacity(self.waiting.len());
        let mut is_closed = false;
        for next in self.waiting.drain(..) {
            let is_of_it = next.batch.sale == first.batch.sale;
            if is_of_it && !is_closed && first.can_be_joined_by(&next) {
                first.batch.asks.extend(next.batch.asks);
                first.ackers.extend(next.ackers);
            } else {
                // Nobody of a sale overtakes another.
                is_closed |= is_of_it;
                others.push_back(next);
            }
        }
        self.waiting = others;
        Some(first)
    }
}

impl Arrival {
    /// Whether a later batch of the same sale can be decided with it: what may have been decided skips the gate.
    fn can_be_joined_by(&self, next: &Self) -> bool {
        self.notes == next.notes
            && !self.notes.is_alone
            && self.batch.asks.len() + next.batch.asks.len() <= BATCH_LEN_MAX
    }
}

impl Intake {
    pub(super) fn new(
        topology: Arc<Topology>,
        dead_letters: DeadLetters,
        prefetch: u16,
        stopped: CancellationToken,
    ) -> Self {
        let all = (0..topology.shards()).map(|_| Line::default()).collect();
        let lines = Mutex::new(Lines { all, next: 0, connection: 0 });
        Self { topology, dead_letters, prefetch, stopped, lines, changed: Notify::new() }
    }

    /// Waits for the next batch of a line of which none in hand is before its turn; `None` once stopped. Safe to drop.
    pub(super) async fn next(&self) -> Option<Arrival> {
        loop {
            // Registered before looking, so that no change between the look and the wait is missed.
            let mut changed = pin!(self.changed.notified());
            changed.as_mut().enable();
            match self.take() {
                Taken::Arrived(arrival) => return Some(arrival),
                Taken::Stopped => return None,
                Taken::Nothing => {}
            }
            tokio::select! {
                () = changed => {}
                () = self.stopped.cancelled() => {}
            }
        }
    }

    fn take(&self) -> Taken {
        if self.stopped.is_cancelled() {
            return Taken::Stopped;
        }
        let mut lines = self.lines.lock();
        let count = lines.all.len();
        for index in (lines.next..lines.next + count).map(|index| index % count) {
            let line = &mut lines.all[index];
            if let Some(arrival) = line.hand_out() {
                lines.next = index + 1;
                return Taken::Arrived(arrival);
            }
        }
        Taken::Nothing
    }

    /// Waits until no batch of the line has its turn, and gives it to the one in hand that is before it. Safe to drop.
    pub(super) async fn take_turn(&self, line: usize) {
        loop {
            let mut changed = pin!(self.changed.notified());
            changed.as_mut().enable();
            if self.lines.lock().all[line].take_turn() {
                break;
            }
            changed.await;
        }
        self.changed.notify_waiters();
    }

    /// The batch that has its turn has had it.
    pub(super) fn end_turn(&self, line: usize) {
        self.lines.lock().all[line].leave(Stage::Turn);
        self.changed.notify_waiters();
    }

    /// A batch in hand is settled, or no longer ours.
    pub(super) fn release(&self, line: usize, stage: Stage) {
        self.lines.lock().all[line].let_go(stage);
        self.changed.notify_waiters();
    }

    /// A batch in hand is not settled: it comes again, before those of its line that were not handed out yet.
    pub(super) fn put_back(&self, arrival: Arrival, stage: Stage) {
        let index = arrival.line;
        {
            let mut lines = self.lines.lock();
            let is_ours = arrival.connection == lines.connection;
            let line = &mut lines.all[index];
            line.let_go(stage);
            if is_ours {
                line.put_back(arrival);
            }
        }
        self.changed.notify_waiters();
    }

    /// Waits until no batch is in hand.
    pub(super) async fn settled(&self) {
        loop {
            let mut changed = pin!(self.changed.notified());
            changed.as_mut().enable();
            if self.lines.lock().all.iter().all(|line| line.in_hand == 0) {
                return;
            }
            changed.await;
        }
    }

    fn arrive(&self, arrival: Arrival) {
        {
            let mut lines = self.lines.lock();
            // Its reader may be slower to end than the connection.
            if arrival.connection == lines.connection {
                let index = arrival.line;
                lines.all[index].waiting.push_back(arrival);
            }
        }
        self.changed.notify_waiters();
    }

    async fn consume(&self, connection: &Connection, line: usize) -> lapin::Result<(Channel, Consumer)> {
        let channel = connection.create_channel().await?;
        // Per consumer, not global, which quorum queues do not have.
        channel.basic_qos(self.prefetch, BasicQosOptions::default()).await?;
        let queue = self.topology.requests_queue(line).into();
        let (options, none) = (BasicConsumeOptions::default(), FieldTable::default());
        let consumer = channel.basic_consume(queue, "".into(), options, none).await?;
        Ok((channel, consumer))
    }

    /// Reads until the consumer fails or all is stopped; then gives back what nobody will take here.
    async fn read(
        self: Arc<Self>,
        line: usize,
        number: u64,
        channel: Channel,
        mut consumer: Consumer,
    ) -> Failure {
        loop {
            let delivery = tokio::select! {
                biased;
                () = self.stopped.cancelled() => break,
                delivery = consumer.next() => delivery,
            };
            match delivery {
                Some(Ok(delivery)) => self.receive(line, number, delivery).await,
                Some(Err(error)) => return error.into(),
                None => return Failure::ConsumerEnded(self.topology.requests_queue(line)),
            }
        }
        match self.give_back(line, &channel, consumer).await {
            Ok(never) => never,
            Err(error) => error.into(),
        }
    }

    async fn receive(&self, line: usize, connection: u64, delivery: Delivery) {
        let kind = delivery.properties.kind().as_ref().map(ShortString::as_str);
        match decode_batch(kind, &delivery.data) {
            Ok(sent) => {
                let is_maybe_decided = delivery.redelivered || sent.notes.is_maybe_decided;
                let notes = Notes { is_maybe_decided, ..sent.notes };
                let (batch, ackers) = (sent.batch, vec![delivery.acker]);
                self.arrive(Arrival { batch, notes, ackers, line, connection, handed_out: None });
            }
            Err(error) => {
                self.dead_letters.put_aside_undecodable(line, &delivery, &error).await;
                // If it fails, the message comes again and is put aside twice.
                let _ = delivery.acker.ack(BasicAckOptions::default()).await;
            }
        }
    }

    /// Ends the subscription and returns what waits, at once, so that others decide it while this process drains. The
    /// channel stays for what is in hand.
    async fn give_back(
        &self,
        line: usize,
        channel: &Channel,
        mut consumer: Consumer,
    ) -> lapin::Result<Failure> {
        channel.basic_cancel(consumer.tag(), BasicCancelOptions::default()).await?;
        let requeue = BasicNackOptions { requeue: true, ..BasicNackOptions::default() };
        loop {
            let mut changed = pin!(self.changed.notified());
            changed.as_mut().enable();
            let waiting = std::mem::take(&mut self.lines.lock().all[line].waiting);
            for acker in waiting.into_iter().flat_map(|arrival| arrival.ackers) {
                acker.nack(requeue).await?;
            }
            tokio::select! {
                () = changed => {}
                Some(delivery) = consumer.next() => {
                    delivery?.acker.nack(requeue).await?;
                }
            }
        }
    }
}

/// The intake with the tasks that read for it.
#[derive(Debug)]
pub(super) struct IntakeDuty(pub(super) Arc<Intake>);

impl IntakeDuty {
    async fn open(&self, connection: &Connection) -> Result<JoinSet<Failure>, Failure> {
        let intake = &self.0;
        let channel = connection.create_channel().await?;
        intake.topology.declare(&channel).await?;
        let number = intake.lines.lock().connection;
        let mut readers = JoinSet::new();
        for line in 0..intake.topology.shards() {
            let (channel, consumer) = intake.consume(connection, line).await?;
            readers.spawn(Arc::clone(intake).read(line, number, channel, consumer));
        }
        Ok(readers)
    }
}

#[async_trait]
impl Duty for IntakeDuty {
    fn name(&self) -> &'static str {
        "requests"
    }

    async fn serve(&self, connection: &Connection, ready: &CancellationToken) -> Failure {
        let mut readers = match timeout(SET_UP_MAX, self.open(connection)).await {
            Err(_) => return Failure::Slow("subscribing to the requests"),
            Ok(Err(failure)) => return failure,
            Ok(Ok(readers)) => readers,
        };
        ready.cancel();
        tokio::select! {
            ended = readers.join_next() => ended.and_then(Result::ok).unwrap_or(Failure::TaskEnded),
            ended = self.0.dead_letters.watch(connection) => ended.err().unwrap_or(Failure::TaskEnded),
        }
    }

    fn lost(&self) {
        let mut lines = self.0.lines.lock();
        lines.connection += 1;
        for line in &mut lines.all {
            line.waiting.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use miaosha_domain::decide::Ask;
    use miaosha_domain::ids::{SaleId, UserId};
    use miaosha_domain::time::Timestamp;

    use super::*;

    const NEW: Notes = Notes { is_maybe_decided: false, is_alone: false };
    const AGAIN: Notes = Notes { is_maybe_decided: true, is_alone: false };
    const ALONE: Notes = Notes { is_maybe_decided: false, is_alone: true };

    /// Of no message: only counted here.
    fn any_acker() -> Acker {
        Delivery::mock(1, "".into(), "".into(), false, Vec::new()).acker
    }

    fn arrival(sale: u64, people: std::ops::Range<u64>, notes: Notes) -> Arrival {
        let ask = |raw| Ask { user: UserId::new(raw).unwrap(), quantity: 1 };
        let batch = RequestBatch {
            sale: SaleId::new(sale).unwrap(),
            asks: people.map(ask).collect(),
            accepted_at: Timestamp::from_millis(0),
        };
        Arrival { batch, notes, ackers: vec![any_acker()], line: 0, connection: 0, handed_out: None }
    }

    /// What a line hands over, each with its people and its number of messages.
    fn popped(arrivals: impl IntoIterator<Item = Arrival>) -> Vec<(Vec<u64>, usize)> {
        let mut line = Line { waiting: arrivals.into_iter().collect(), ..Line::default() };
        let people = |arrival: &Arrival| arrival.batch.asks.iter().map(|ask| ask.user.get()).collect();
        std::iter::from_fn(|| line.pop()).map(|arrival| (people(&arrival), arrival.ackers.len())).collect()
    }

    /// A line with so many batches of one person each, which do not come together.
    fn line_of(batches: u64) -> Line {
        let arrivals = (1..=batches).map(|person| arrival(1, person..person + 1, ALONE));
        Line { waiting: arrivals.collect(), ..Line::default() }
    }

    fn person(arrival: Option<Arrival>) -> Option<u64> {
        arrival.map(|arrival| arrival.batch.asks[0].user.get())
    }

    #[test]
    fn the_next_is_handed_out_when_the_one_before_has_its_turn_and_one_has_it_at_a_time() {
        let mut line = line_of(9);
        assert_eq!(person(line.hand_out()), Some(1));
        assert_eq!(person(line.hand_out()), None);
        assert!(line.take_turn());
        assert_eq!(person(line.hand_out()), Some(2));
        assert_eq!(person(line.hand_out()), None);
        assert!(!line.take_turn());
        line.leave(Stage::Turn);
        assert!(line.take_turn());
        assert_eq!(person(line.hand_out()), Some(3));
    }

    #[test]
    fn who_is_slow_to_tell_is_handed_no_more() {
        let mut line = line_of(9);
        for number in 1..=3 {
            assert_eq!(person(line.hand_out()), Some(number));
            assert!(line.take_turn());
            line.leave(Stage::Turn);
        }
        assert_eq!(person(line.hand_out()), None);
        line.let_go(Stage::After);
        assert_eq!(person(line.hand_out()), Some(4));
    }

    #[test]
    fn those_that_come_back_keep_their_order_and_come_before_what_is_new() {
        for is_first_first in [true, false] {
            let mut line = line_of(3);
            let first = line.hand_out().unwrap();
            assert!(line.take_turn());
            let second = line.hand_out().unwrap();
            let mut both = [(first, Stage::Turn), (second, Stage::Before)];
            if !is_first_first {
                both.reverse();
            }
            for (arrival, stage) in both {
                line.let_go(stage);
                line.put_back(arrival);
            }
            let mut next = || {
                let arrival = line.hand_out().unwrap();
                line.let_go(Stage::Before);
                (arrival.batch.asks[0].user.get(), arrival.notes.is_maybe_decided)
            };
            assert_eq!([next(), next(), next()], [(1, true), (2, true), (3, false)]);
        }
    }

    #[test]
    fn the_batches_of_one_sale_come_together_whatever_lies_between() {
        let arrivals =
            [arrival(1, 1..3, NEW), arrival(1, 3..4, NEW), arrival(2, 9..10, NEW), arrival(1, 4..5, NEW)];
        assert_eq!(popped(arrivals), [(vec![1, 2, 3, 4], 3), (vec![9], 1)]);
    }

    #[test]
    fn what_may_have_been_decided_comes_apart_from_what_is_new() {
        let arrivals = [(1..2, AGAIN), (2..3, AGAIN), (3..4, NEW), (4..5, AGAIN), (5..6, NEW)];
        let arrivals = arrivals.map(|(people, notes)| arrival(1, people, notes));
        assert_eq!(popped(arrivals), [(vec![1, 2], 2), (vec![3], 1), (vec![4], 1), (vec![5], 1)]);
    }

    #[test]
    fn a_part_of_a_batch_that_failed_comes_alone() {
        let arrivals = [arrival(1, 1..2, ALONE), arrival(1, 2..3, ALONE), arrival(1, 3..4, NEW)];
        assert_eq!(popped(arrivals), [(vec![1], 1), (vec![2], 1), (vec![3], 1)]);
    }

    #[test]
    fn no_more_people_come_together_than_fit_a_message() {
        let arrivals = (0..30).map(|batch| arrival(1, batch * 100 + 1..batch * 100 + 101, NEW));
        let lens: Vec<usize> = popped(arrivals).into_iter().map(|(people, _)| people.len()).collect();
        assert_eq!(lens, [1_000, 1_000, 1_000]);
    }
}
