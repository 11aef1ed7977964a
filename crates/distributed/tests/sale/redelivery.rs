//! Two consumers and a redelivery of every message, to the same one or to the one that is left: the outcomes are those
//! of one delivery.

use std::sync::Arc;
use std::time::Duration;

use miaosha_app::Ports;
use miaosha_app::board::PersonalState;
use miaosha_domain::claim::ClaimStatus;
use miaosha_domain::ids::UserId;
use miaosha_domain::sale::Terms;
use miaosha_testkit::contract::scene;

use crate::crowd::{ask_once, people};
use crate::history::History;
use crate::process::{Process, Wiring, until};
use crate::site::Site;
use crate::twice_queue::{Deliveries, TwiceQueue, Withheld};

const PEOPLE: u64 = 5_000;
const STOCK: u32 = 300;
const STANDBY: u32 = 150;
const LONGEST: Duration = Duration::from_mins(3);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redelivery_of_every_message_to_two_consumers_changes_nothing() {
    let site = open_site().await;
    let deliveries = Arc::new(Deliveries::default());
    let mut left = Process::start(&site, 0, redelivering(Withheld::Dropped, &deliveries)).await;
    let mut right = Process::start(&site, 1, redelivering(Withheld::Dropped, &deliveries)).await;
    left.consume();
    right.consume();

    // Every third person asks on both.
    let everybody = people(PEOPLE);
    let those =
        |asks: fn(u64) -> bool| everybody.iter().filter(move |user| asks(user.get())).copied().collect();
    let at_left: Vec<UserId> = those(|number| number % 2 == 0 || number % 3 == 0);
    let at_right: Vec<UserId> = those(|number| number % 2 == 1 || number % 3 == 0);
    let (left_accepted, right_accepted) =
        tokio::join!(ask_once(&left, &at_left), ask_once(&right, &at_right));
    everything_is_acknowledged(&deliveries).await;

    print!("{} requests accepted: ", left_accepted + right_accepted);
    let [accepted, withheld, _] = deliveries.counts();
    assert!(accepted >= PEOPLE, "everybody was accepted");
    assert_eq!(withheld, accepted, "each came again because its acknowledgement was withheld");
    everybody_was_decided_once(&[&left, &right], &everybody, &deliveries).await;
    left.stop().await;
    right.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_consumer_decided_before_it_died_is_not_changed_by_the_next_one() {
    let site = open_site().await;
    let deliveries = Arc::new(Deliveries::default());
    let mut heir = Process::start(&site, 0, redelivering(Withheld::Dropped, &deliveries)).await;
    let of_doomed = Arc::new(Deliveries::default());
    let mut doomed = Process::start(&site, 1, redelivering(Withheld::UntilDeath, &of_doomed)).await;
    doomed.consume();

    let everybody = people(PEOPLE);
    let requests_accepted = ask_once(&heir, &everybody).await;
    until("something is decided and not acknowledged", LONGEST, async || of_doomed.counts()[1] > 0).await;
    let made = History::verified(&heir.ports).await.snapshot.claims;
    drop(doomed);
    heir.consume();
    everything_is_acknowledged(&deliveries).await;

    print!("{requests_accepted} requests accepted, {} decided by who died: ", made.len());
    let history = everybody_was_decided_once(&[&heir], &everybody, &deliveries).await;
    assert!(!made.is_empty(), "something was decided before");
    for claim in made {
        assert_eq!(history.claim_of(claim.user), claim);
    }
    heir.stop().await;
}

async fn open_site() -> Site {
    Site::open(STOCK, Terms { standby_limit: STANDBY, ..scene::TERMS }).await
}

async fn everything_is_acknowledged(deliveries: &Deliveries) {
    until("every request is acknowledged", LONGEST, async || {
        let [accepted, _, acknowledged] = deliveries.counts();
        acknowledged == accepted
    })
    .await;
}

/// Checks that the first have the units and the next stand by, in the order of `seq`, each written once and told on each
/// process.
async fn everybody_was_decided_once(
    processes: &[&Process],
    everybody: &[UserId],
    deliveries: &Deliveries,
) -> History {
    let made = usize::try_from(STOCK + STANDBY).unwrap();
    until("every process knows every claim", LONGEST, async || {
        processes.iter().all(|process| told(process, everybody)[0] == made)
    })
    .await;
    let history = History::verified(&processes[0].ports).await;
    let [accepted, withheld, acknowledged] = deliveries.counts();
    let (reserved, standby) = (history.claims(ClaimStatus::Reserved), history.claims(ClaimStatus::Standby));
    let [_, rejected, untold] = told(processes[0], everybody);
    println!(
        "{PEOPLE} people with {accepted} requests, {withheld} of them decided and withheld, {acknowledged} decided at \
         last: {reserved} reserved, {standby} stand by, {rejected} told that they are rejected, {untold} not queued or \
         not told"
    );
    assert_eq!([reserved, standby], [STOCK, STANDBY].map(|count| usize::try_from(count).unwrap()));
    assert_eq!(history.snapshot.events.len(), made, "one event for each claim");
    for claim in &history.snapshot.claims {
        let expected =
            if claim.seq <= u64::from(STOCK) { ClaimStatus::Reserved } else { ClaimStatus::Standby };
        assert_eq!((claim.status, claim.rev), (expected, 1), "who came first has the unit: {claim:?}");
        for process in processes {
            let known = process.sale().personal_state(claim.user, process.ports.clock.now());
            assert_eq!(known, PersonalState::Claimed(*claim), "everybody is told what the row says");
        }
    }
    history
}

fn redelivering(withheld: Withheld, deliveries: &Arc<Deliveries>) -> Wiring {
    let deliveries = deliveries.clone();
    let wrap = move |ports: Ports| {
        let queue = TwiceQueue { inner: ports.queue.clone(), withheld, deliveries: deliveries.clone() };
        Ports { queue: Arc::new(queue), ..ports }
    };
    Wiring { wrap: Box::new(wrap), ..Wiring::default() }
}

/// How many of these people have a claim, are rejected, and neither, as far as this process knows.
fn told(process: &Process, people: &[UserId]) -> [usize; 3] {
    let (sale, now) = (process.sale(), process.ports.clock.now());
    let mut counts = [0; 3];
    for user in people {
        let group = match sale.personal_state(*user, now) {
            PersonalState::Claimed(_) => 0,
            PersonalState::Rejected => 1,
            PersonalState::Queued | PersonalState::Unknown => 2,
        };
        counts[group] += 1;
    }
    counts
}
