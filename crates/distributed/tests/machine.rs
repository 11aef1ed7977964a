//! Processes of one machine that share a reader: each a bus of its own, on an in-process bus in place of the fleet's.

#![expect(clippy::unwrap_used, reason = "a test panics where it fails")]

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use miaosha_app::model::Outcomes;
use miaosha_app::ports::{BusEvent, OutcomeBus, OutcomeSubscription, Reading};
use miaosha_distributed::machine::MachineBus;
use miaosha_domain::ids::{SaleId, UserId};
use miaosha_domain::time::Timestamp;
use miaosha_embedded::InProcessBus;
use miaosha_testkit::contract::bus::Bus;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::timeout;

const AT_MOST: Duration = Duration::from_secs(20);

/// The processes of a machine, and the bus that only their reader hears.
struct Machine {
    directory: TempDir,
    fleet: Arc<InProcessBus>,
    listening: Arc<AtomicUsize>,
}

impl Machine {
    fn new() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
            fleet: Arc::new(InProcessBus::new(InProcessBus::BEHIND_MAX)),
            listening: Arc::default(),
        }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("reader")
    }

    async fn start(&self) -> MachineBus {
        self.start_of("a site").await
    }

    async fn start_of(&self, site: &str) -> MachineBus {
        let listening = Arc::clone(&self.listening);
        let listen = async move {
            listening.fetch_add(1, Ordering::SeqCst);
        };
        MachineBus::join(&self.path(), site.to_owned(), self.fleet.clone(), Box::pin(listen)).await.unwrap()
    }

    fn publish(&self, person: u64) {
        self.fleet.publish(news(person));
    }
}

fn news(person: u64) -> Arc<Outcomes> {
    Arc::new(Outcomes::of_rejected(SaleId::new(7).unwrap(), vec![UserId::new(person).unwrap()]))
}

fn reading() -> BusEvent {
    BusEvent::Reading(Arc::new(Reading { as_of: Timestamp::from_millis(5), unsettled: Vec::new() }))
}

/// The next event, in words.
async fn next(follower: &mut dyn OutcomeSubscription) -> String {
    match timeout(AT_MOST, follower.next()).await.expect("an event comes") {
        BusEvent::News(outcomes) => format!("news {}", outcomes.rejected[0]),
        BusEvent::Reading(reading) => format!("reading {}", reading.as_of.as_millis()),
        BusEvent::Gap => "gap".to_owned(),
        BusEvent::Closed => "closed".to_owned(),
    }
}

async fn make_bus() -> Bus {
    let machine = Machine::new();
    let bus = Arc::new(machine.start().await);
    Bus { bus, shut_down: Box::new(move || machine.fleet.shut_down()) }
}

miaosha_testkit::outcome_bus_contract!(make_bus);

#[tokio::test]
async fn one_listens_and_all_hear_what_it_hears_and_what_it_reads_in_order() {
    let machine = Machine::new();
    let buses = [machine.start().await, machine.start().await, machine.start().await];
    assert_eq!(machine.listening.load(Ordering::SeqCst), 1);
    let [mut reader, mut second, mut third] = buses.each_ref().map(OutcomeBus::subscribe);
    machine.publish(1);
    assert_eq!(next(&mut *reader).await, "news 1");
    assert!(reader.share(BusEvent::News(news(2))));
    assert!(reader.share(reading()));
    assert!(!second.share(BusEvent::News(news(3))));
    for follower in [&mut second, &mut third] {
        for expected in ["news 1", "news 2", "reading 5"] {
            assert_eq!(next(&mut **follower).await, expected);
        }
    }
    machine.publish(4);
    for follower in [&mut reader, &mut second, &mut third] {
        assert_eq!(next(&mut **follower).await, "news 4", "the reader knows what it has read itself");
    }
}

#[tokio::test]
async fn when_the_reader_ends_another_takes_its_place_and_all_know_of_the_gap() {
    let machine = Machine::new();
    let reader = machine.start().await;
    let others = [machine.start().await, machine.start().await];
    let mut followers = others.each_ref().map(OutcomeBus::subscribe);
    reader.close().await;
    expect_another_reader(&machine, &mut followers).await;
}

#[tokio::test]
async fn a_reader_that_reads_no_more_gives_its_place_up() {
    let machine = Machine::new();
    let reader = machine.start().await;
    let follower = reader.subscribe();
    let others = [machine.start().await, machine.start().await];
    let mut followers = others.each_ref().map(OutcomeBus::subscribe);
    drop(follower);
    expect_another_reader(&machine, &mut followers).await;
}

/// A gap when the reader has gone, and others until the next one is there and listens; then news.
async fn expect_another_reader(machine: &Machine, followers: &mut [Box<dyn OutcomeSubscription>]) {
    for follower in &mut *followers {
        assert_eq!(next(&mut **follower).await, "gap");
    }
    let news = async {
        for follower in followers {
            while next(&mut **follower).await != "news 1" {}
        }
    };
    let publish_until_heard = async {
        loop {
            machine.publish(1);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::select! {
        () = news => {}
        () = publish_until_heard => {}
    }
    assert_eq!(machine.listening.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_process_of_another_site_follows_nobody_and_listens_for_itself() {
    let machine = Machine::new();
    let reader = machine.start().await;
    let stranger = machine.start_of("another site").await;
    let (mut of_reader, mut of_stranger) = (reader.subscribe(), stranger.subscribe());
    of_reader.share(reading());
    machine.publish(1);
    assert_eq!(next(&mut *of_reader).await, "news 1");
    assert_eq!(machine.listening.load(Ordering::SeqCst), 2);
    machine.publish(2);
    while next(&mut *of_stranger).await != "news 2" {}
}

#[tokio::test]
async fn who_does_not_listen_is_left_behind_and_holds_up_nobody() {
    let machine = Machine::new();
    let (reader, other) = (machine.start().await, machine.start().await);
    let mut silent = UnixStream::connect(machine.directory.path().join("reader.v1")).await.unwrap();
    silent.read_exact(&mut [0; 4]).await.unwrap();
    let (mut of_reader, mut of_other) = (reader.subscribe(), other.subscribe());
    let many = (1..=20_000).map(|person| UserId::new(person).unwrap()).collect();
    let large = Arc::new(Outcomes::of_rejected(SaleId::new(7).unwrap(), many));
    for _ in 0..80 {
        machine.fleet.publish(large.clone());
        for follower in [&mut of_reader, &mut of_other] {
            assert_eq!(next(&mut **follower).await, "news 1");
        }
    }
    let mut heard = Vec::new();
    let ended = timeout(AT_MOST, silent.read_to_end(&mut heard)).await;
    assert!(ended.is_ok(), "it was left");
    assert!(heard.len() < 1_000_000, "{} bytes were kept for it", heard.len());
}

#[tokio::test]
async fn a_bus_that_has_panicked_says_so() {
    let machine = Machine::new();
    let bus = machine.start().await;
    assert!(timeout(Duration::ZERO, bus.fallen()).await.is_err());
    bus.close().await;
    assert!(timeout(Duration::ZERO, bus.fallen()).await.is_err());

    let listen = Box::pin(async { panic!("as asked for by the test") });
    let bus =
        MachineBus::join(&machine.path(), "a site".to_owned(), machine.fleet.clone(), listen).await.unwrap();
    timeout(AT_MOST, bus.fallen()).await.expect("it says so");
}

#[tokio::test]
async fn a_place_that_cannot_be_is_refused_at_once() {
    let fleet = Arc::new(InProcessBus::new(1));
    for bad in ["/nowhere/reader".to_owned(), format!("/tmp/{}", "x".repeat(200))] {
        let joined = MachineBus::join(Path::new(&bad), String::new(), fleet.clone(), Box::pin(async {}));
        assert!(joined.await.is_err(), "{bad}");
    }
}

/// A reader that says who it is and nothing else, and a process that follows it.
async fn follow_a_hung_reader(machine: &Machine) -> (UnixStream, File, MachineBus) {
    let of_machine = |name: &str| machine.directory.path().join(name);
    let hung = UnixListener::bind(of_machine("reader.v1")).unwrap();
    let lock = File::create(of_machine("reader.v1.lock")).unwrap();
    lock.lock().unwrap();
    let greet = async {
        let mut stream = hung.accept().await.unwrap().0;
        stream.write_all(b"\0\0\0\x06a site").await.unwrap();
        stream
    };
    let (stream, bus) = tokio::join!(greet, machine.start());
    (stream, lock, bus)
}

#[tokio::test]
async fn a_reader_that_hangs_is_not_waited_for() {
    let machine = Machine::new();
    let (_stream, _lock, bus) = follow_a_hung_reader(&machine).await;
    let mut follower = bus.subscribe();
    assert_eq!(next(&mut *follower).await, "gap", "it reads for itself from now on");
    assert_eq!(machine.listening.load(Ordering::SeqCst), 0, "the reader may only be slow");
}

#[tokio::test]
async fn who_was_held_up_himself_takes_the_reader_for_silent_only_the_second_time() {
    let machine = Machine::new();
    let (mut stream, _lock, bus) = follow_a_hung_reader(&machine).await;
    let mut follower = bus.subscribe();
    // The process gets no processor for longer than the reader may be silent.
    std::thread::sleep(Duration::from_secs(4));
    let early = timeout(Duration::from_secs(1), follower.next()).await;
    assert!(early.is_err(), "{early:?}");
    assert_eq!(next(&mut *follower).await, "gap", "nor is it waited for without end");
    stream.write_all(b"\0\0\0\x01G").await.unwrap();
    assert_eq!(next(&mut *follower).await, "gap", "it is heard when it speaks");
}
