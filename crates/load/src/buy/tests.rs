//! Whole runs against a site in memory, on a clock that stands still but for what everyone waits for: the
//! counts and times are exact, and a minute of the run takes no time.

use super::*;
use crate::cli::{Cli, Command};
use crate::http::{Dial, FailureKind};
use clap::Parser;
use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::time::sleep;

const QUEUED: &str = "HTTP/1.1 202 Accepted\r\nContent-Length: 19\r\n\r\n{\"status\":\"queued\"}";
const OVERLOADED: &str = "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 2\r\nContent-Length: 34\r\n\r\n\
    {\"status\":503,\"code\":\"overloaded\"}";

/// What the site does with one request.
#[derive(Clone)]
enum Reaction {
    Answer(&'static str),
    AnswerAfter(Duration, &'static str),
    AnswerAndClose(&'static str),
    Never,
}

/// One request as the site saw it.
#[derive(Debug, Clone)]
struct Seen {
    at: Instant,
    token: usize,
    sale: usize,
    connection: usize,
}

type React = dyn Fn(&Seen, usize) -> Reaction;

/// A site in memory: what it does depends on the request and on how many it has seen before.
#[derive(Clone)]
struct Site {
    react: Rc<React>,
    seen: Rc<RefCell<Vec<Seen>>>,
    connections: Rc<Cell<usize>>,
}

impl Dial for Site {
    type Stream = DuplexStream;

    async fn dial(&self) -> io::Result<DuplexStream> {
        let (near, far) = duplex(64 * 1024);
        let connection = self.connections.get();
        self.connections.set(connection + 1);
        tokio::task::spawn_local(self.clone().serve(connection, far));
        Ok(near)
    }
}

impl Site {
    async fn serve(self, connection: usize, mut stream: DuplexStream) {
        let mut received = Vec::new();
        while stream.read_buf(&mut received).await.is_ok_and(|len| len > 0) {
            let text = String::from_utf8(received.clone()).unwrap();
            if !text.ends_with('}') {
                continue;
            }
            received.clear();
            let token = text.split("Bearer token-").nth(1).unwrap().split('\r').next().unwrap();
            let sale = text.split("/sales/").nth(1).unwrap().split('/').next().unwrap().parse().unwrap();
            let seen = Seen { at: Instant::now(), token: token.parse().unwrap(), sale, connection };
            let number = self.seen.borrow().len();
            self.seen.borrow_mut().push(seen.clone());
            match (self.react)(&seen, number) {
                Reaction::Answer(answer) => stream.write_all(answer.as_bytes()).await.unwrap(),
                Reaction::AnswerAfter(pause, answer) => {
                    sleep(pause).await;
                    // The run may have given up on it.
                    let _ = stream.write_all(answer.as_bytes()).await;
                }
                Reaction::AnswerAndClose(answer) => {
                    stream.write_all(answer.as_bytes()).await.unwrap();
                    return;
                }
                Reaction::Never => {}
            }
        }
    }
}

/// Runs `buy` with these flags for so many tokens, interrupted after a time if one is given.
fn run_until(
    flags: &str,
    tokens_len: usize,
    interrupt_after: Option<Duration>,
    react: impl Fn(&Seen, usize) -> Reaction + 'static,
) -> (Tally, Vec<Seen>) {
    let command = format!("miaosha-load buy --url http://site.test --sale 1 --tokens - {flags}");
    let Command::Buy(args) = Cli::try_parse_from(command.split_whitespace()).unwrap().command else {
        panic!("{command} is not the buy command");
    };
    let runtime = Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build_local(LocalOptions::default())
        .unwrap();
    runtime.block_on(async {
        let lines: Vec<String> = (0..tokens_len).map(|index| format!("token-{index}")).collect();
        let run = Arc::new(Run {
            calls: BuyCalls::new(&args.url, &args.sales, &args.answer),
            tokens: Tokens::parse(lines.join("\n")).unwrap(),
            schedule: Schedule::new(&args, tokens_len, Instant::now()),
            timeout: args.timeout,
            retry: args.retry,
            keep_last_answers: true,
            ended: AtomicU64::new(0),
        });
        let site = Site { react: Rc::new(react), seen: Rc::default(), connections: Rc::default() };
        let (stop, stopped) = watch::channel(());
        let sending = sender::send_all(Arc::clone(&run), &site, args.connections, stopped);
        tokio::pin!(sending);
        let interrupt = async {
            match interrupt_after {
                Some(time) => sleep(time).await,
                None => std::future::pending().await,
            }
        };
        let tally = tokio::select! {
            tally = &mut sending => tally,
            () = interrupt => {
                drop(stop);
                sending.await
            }
        };
        let seen = site.seen.borrow().clone();
        (tally, seen)
    })
}

fn run(
    flags: &str,
    tokens_len: usize,
    react: impl Fn(&Seen, usize) -> Reaction + 'static,
) -> (Tally, Vec<Seen>) {
    run_until(flags, tokens_len, None, react)
}

fn count_of(tally: &Tally, word: &str) -> u64 {
    tally.answers.iter().filter(|answer| &*answer.word == word).map(|answer| answer.count).sum()
}

fn failures(tally: &Tally) -> Vec<(FailureKind, u64)> {
    tally.failures.iter().map(|(kind, (count, _))| (*kind, *count)).collect()
}

fn slower_than(tally: &Tally, limit_ms: u64) -> u64 {
    let slow = |bucket: &&(u64, u64)| bucket.0 > limit_ms * 1000;
    tally.latency.report().buckets_us.iter().filter(slow).map(|(_, count)| count).sum()
}

#[test]
fn every_token_is_sent_as_often_as_asked_over_connections_that_stay() {
    let (tally, seen) = run("--repeat 3 --connections 4", 10, |_, _| Reaction::Answer(QUEUED));
    for token in 0..10 {
        assert_eq!(seen.iter().filter(|seen| seen.token == token).count(), 3);
    }
    assert_eq!((tally.requests, count_of(&tally, "queued"), tally.traffic.connections_opened), (30, 30, 4));
}

#[test]
fn people_are_divided_among_sales_and_each_stays_with_one() {
    // The first is sale 1.
    let flags = "--sale 2 --sale 3 --repeat 2 --retry --connections 3";
    let (_, seen) = run(flags, 9, |_, number| Reaction::Answer(if number < 5 { OVERLOADED } else { QUEUED }));
    assert_eq!(seen.len(), 9 * 2 + 5);
    assert!(seen.iter().all(|seen| seen.sale == seen.token % 3 + 1), "{seen:?}");
}

#[test]
fn a_run_ends_after_the_requests_asked_for() {
    let (tally, seen) = run("--repeat 3 --requests 7", 5, |_, _| Reaction::Answer(QUEUED));
    assert_eq!((tally.requests, seen.len()), (7, 7));
}

#[test]
fn a_refused_request_is_sent_again_when_the_site_said_until_it_is_answered() {
    let (tally, seen) = run("--retry --connections 3", 20, |_, number| {
        Reaction::Answer(if number < 20 { OVERLOADED } else { QUEUED })
    });
    assert_eq!((tally.requests, tally.retries, tally.ended, tally.ended_in_error), (20, 20, 20, 0));
    assert_eq!((count_of(&tally, "overloaded"), count_of(&tally, "queued")), (20, 20));
    for token in 0..20 {
        let at: Vec<Instant> = seen.iter().filter(|seen| seen.token == token).map(|seen| seen.at).collect();
        assert!(at[1] - at[0] >= Duration::from_secs(2), "token {token} came back too soon");
    }
    assert!(tally.time_to_end.report().min_us >= 1_999_000);
}

#[test]
fn without_retry_a_refusal_is_the_end_and_an_error() {
    let (tally, _) = run("", 3, |_, _| Reaction::Answer(OVERLOADED));
    assert_eq!((tally.requests, tally.retries, tally.ended, tally.ended_in_error), (3, 0, 3, 3));
}

#[test]
fn a_business_refusal_is_never_sent_again() {
    const REFUSED: &str = "HTTP/1.1 403 Forbidden\r\nContent-Length: 15\r\n\r\n{\"code\":\"over\"}";
    let (tally, seen) = run("--retry", 3, |_, _| Reaction::Answer(REFUSED));
    assert_eq!((seen.len(), tally.retries, tally.ended_in_error), (3, 0, 0));
}

#[test]
fn each_failure_is_counted_by_its_kind_and_hurts_no_other_request() {
    let (tally, _) = run("--connections 1", 8, |_, number| match number {
        1 => Reaction::AnswerAndClose(""),
        2 => Reaction::AnswerAndClose(&QUEUED[..QUEUED.len() - 1]),
        4 => Reaction::Answer("SMTP ready\r\n"),
        5 => Reaction::Never,
        _ => Reaction::Answer(QUEUED),
    });
    let expected = [FailureKind::Closed, FailureKind::Cut, FailureKind::Malformed, FailureKind::Timeout]
        .map(|kind| (kind, 1));
    assert_eq!(failures(&tally), expected);
    assert_eq!((count_of(&tally, "queued"), tally.traffic.connections_opened), (4, 5));
    let last = tally.last_answers.unwrap();
    assert_eq!(last[5], LastAnswer::Failed(FailureKind::Timeout));
    assert!(matches!(last[6], LastAnswer::Answered(..)));
}

#[test]
fn a_late_answer_is_not_taken_for_the_next_requests() {
    let late = Duration::from_secs(6);
    let (tally, _) = run("--connections 1", 2, move |_, number| match number {
        0 => Reaction::AnswerAfter(late, OVERLOADED),
        _ => Reaction::AnswerAfter(Duration::from_secs(2), QUEUED),
    });
    assert_eq!((failures(&tally), count_of(&tally, "queued")), (vec![(FailureKind::Timeout, 1)], 1));
}

#[test]
fn more_than_one_answer_costs_the_connection() {
    const TWO: &str = "HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n";
    let (tally, _) = run("--connections 1", 5, |_, _| Reaction::Answer(TWO));
    assert_eq!((count_of(&tally, "-"), tally.ended_in_error, tally.traffic.connections_opened), (5, 0, 5));
}

#[test]
fn with_retry_every_kind_of_failure_is_answered_in_the_end() {
    let (tally, seen) =
        run("--retry --connections 2 --timeout 1s --duration 10m", 40, |_, number| match number % 5 {
            0 => Reaction::AnswerAndClose(""),
            1 => Reaction::AnswerAndClose("HTTP/1.1 2"),
            2 => Reaction::Never,
            3 => Reaction::Answer(OVERLOADED),
            _ => Reaction::Answer(QUEUED),
        });
    assert_eq!((count_of(&tally, "queued"), tally.ended, tally.ended_in_error), (40, 40, 0));
    assert_eq!(tally.requests + tally.retries, seen.len() as u64);
}

#[test]
fn the_time_limit_ends_a_run_that_would_be_refused_for_ever() {
    let (tally, seen) = run("--retry --duration 10s", 5, |_, _| Reaction::Answer(OVERLOADED));
    assert_eq!((tally.requests, tally.unanswered(), tally.ended), (5, 5, 0));
    assert!(tally.retries >= 15, "{}", tally.retries);
    assert!(seen.last().unwrap().at - seen[0].at <= Duration::from_secs(10));
}

#[test]
fn an_open_loop_sends_exactly_its_rate() {
    let (tally, seen) = run("--rate 500/s --duration 2s", 5000, |_, _| Reaction::Answer(QUEUED));
    assert_eq!((tally.requests, seen.len()), (1000, 1000));
    let start = seen[0].at;
    for (number, seen) in seen.iter().enumerate() {
        let due_ms = i64::try_from(number).unwrap() * 2;
        let sent_ms = i64::try_from((seen.at - start).as_millis()).unwrap();
        assert!((due_ms - 1..=due_ms + 1).contains(&sent_ms), "request {number} at {sent_ms} ms");
    }
}

#[test]
fn an_open_loop_charges_a_standstill_with_all_who_came_meanwhile() {
    let stand_still = |_: &Seen, number| match number {
        50 => Reaction::AnswerAfter(Duration::from_secs(1), QUEUED),
        _ => Reaction::Answer(QUEUED),
    };
    let (open, _) = run("--connections 1 --rate 100/s --duration 2s", 1000, stand_still);
    // One every 10 ms: of the hundred due within the standstill, half waited for longer than half of it.
    assert_eq!(open.requests, 200);
    assert!((49..=51).contains(&slower_than(&open, 500)), "{}", slower_than(&open, 500));
    assert!((99..=101).contains(&slower_than(&open, 5)), "{}", slower_than(&open, 5));
    let (closed, _) = run("--connections 1 --requests 200", 1000, stand_still);
    assert_eq!(slower_than(&closed, 5), 1);
}

#[test]
fn requests_that_found_no_connection_in_time_are_missed_not_sent_late() {
    let (tally, _) = run("--connections 2 --rate 100/s --duration 1s", 1000, |_, _| {
        Reaction::AnswerAfter(Duration::from_millis(100), QUEUED)
    });
    assert_eq!((tally.requests, tally.unanswered()), (20, 0));
}

#[test]
fn a_request_that_a_free_connection_holds_is_sent_although_the_timer_wakes_it_after_the_end() {
    let (tally, seen) = run("--connections 1 --rate 2/s --duration 1s", 1000, |_, number| {
        if number == 0 {
            tokio::task::spawn_local(async {
                sleep(Duration::from_millis(100)).await;
                tokio::time::advance(Duration::from_secs(2)).await;
            });
        }
        Reaction::Answer(QUEUED)
    });
    assert_eq!((tally.requests, tally.ended), (2, 2));
    assert!(seen[1].at - seen[0].at >= Duration::from_secs(2));
}

#[test]
fn a_connection_that_the_site_closed_while_idle_is_no_failure() {
    let (tally, seen) =
        run("--connections 1 --rate 1/s --duration 5s", 100, |_, _| Reaction::AnswerAndClose(QUEUED));
    assert_eq!((count_of(&tally, "queued"), failures(&tally)), (5, vec![]));
    assert_eq!(seen.iter().map(|seen| seen.connection).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
}

#[test]
fn an_interrupt_waits_for_what_is_in_flight_and_sends_no_more() {
    let (tally, seen) = run_until("--connections 3", 1000, Some(Duration::from_millis(2500)), |_, _| {
        Reaction::AnswerAfter(Duration::from_secs(1), QUEUED)
    });
    assert_eq!((seen.len(), tally.requests, count_of(&tally, "queued")), (9, 9, 9));
}
