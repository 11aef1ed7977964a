//! Two consumers and a redelivery of every message: the outcomes are those of one delivery.

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
use crate::twice_queue::{Deliveries, TwiceQueue};

const PEOPLE: u64 = 5_000;
const STOCK: u32 = 300;
const STANDBY: u32 = 150;
const LONGEST: Duration = Duration::from_mins(3);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redelivery_of_every_message_to_two_consumers_changes_nothing() {
    let site = Site::open(STOCK, Terms { standby_limit: STANDBY, ..scene::TERMS }).await;
    let deliveries = Arc::new(Deliveries::default());
    let mut left = Process::start(&site, 0, redelivering(&deliveries)).await;
    let mut right = Process::start(&site, 1, redelivering(&deliveries)).await;
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

    until("every batch is decided twice", LONGEST, async || {
        let [accepted, _, acknowledged] = deliveries.counts();
        acknowledged == accepted
    })
    .await;
    let made = usize::try_from(STOCK + STANDBY).unwrap();
    until("both know every claim", LONGEST, async || {
        let know = |process: &Process| told(process, &everybody)[0] == made;
        know(&left) && know(&right)
    })
    .await;

    let history = History::verified(&left.ports).await;
    let [accepted, withheld, acknowledged] = deliveries.counts();
    let (reserved, standby) = (history.claims(ClaimStatus::Reserved), history.claims(ClaimStatus::Standby));
    let [_, rejected, untold] = told(&left, &everybody);
    println!(
        "{PEOPLE} people, {} requests accepted in {accepted} batches, {withheld} decided and withheld, \
         {acknowledged} decided again: {reserved} reserved, {standby} stand by, {rejected} told that they are \
         rejected, {untold} never queued or not told",
        left_accepted + right_accepted
    );
    assert!(accepted > 10, "a crowd is many batches");
    assert_eq!(withheld, accepted, "each came again because its acknowledgement was withheld");
    assert_eq!([reserved, standby], [STOCK, STANDBY].map(|count| usize::try_from(count).unwrap()));
    assert!(history.snapshot.claims.iter().all(|claim| claim.rev == 1), "nothing was written again");
    assert_eq!(history.snapshot.events.len(), made, "one event for each claim");
    for claim in &history.snapshot.claims {
        let expected =
            if claim.seq <= u64::from(STOCK) { ClaimStatus::Reserved } else { ClaimStatus::Standby };
        assert_eq!(claim.status, expected, "who came first has the unit: {claim:?}");
        for process in [&left, &right] {
            let now = process.ports.clock.now();
            let known = process.sale().personal_state(claim.user, now);
            assert_eq!(known, PersonalState::Claimed(*claim), "everybody is told what the row says");
        }
    }
    left.stop().await;
    right.stop().await;
}

fn redelivering(deliveries: &Arc<Deliveries>) -> Wiring {
    let deliveries = deliveries.clone();
    let wrap = move |ports: Ports| {
        let queue = TwiceQueue { inner: ports.queue.clone(), deliveries: deliveries.clone() };
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
