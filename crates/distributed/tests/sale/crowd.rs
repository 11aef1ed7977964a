//! People who want a unit, at the desks of several processes.

use std::time::Duration;

use futures_util::future::join_all;
use miaosha_app::board::PersonalState;
use miaosha_app::request_buy::Asked;
use miaosha_domain::ids::UserId;
use miaosha_testkit::contract::scene;

use crate::process::Process;

/// How long people pause before they ask again.
const PAUSE: Duration = Duration::from_millis(50);

/// The people with the numbers from 1 to `count`.
pub(crate) fn people(count: u64) -> Vec<UserId> {
    (1..=count).map(scene::user).collect()
}

/// All ask at once, once. Returns how many requests were accepted; the others were answered from memory.
pub(crate) async fn ask_once(process: &Process, people: &[UserId]) -> usize {
    let sale = process.sale();
    let now = process.ports.clock.now();
    let asked = people.iter().map(|user| process.desk.ask(&sale, *user, 1, now));
    let waiting = asked.filter_map(|asked| match asked {
        Asked::Waiting(waiting) => Some(waiting.accepted()),
        Asked::Claimed(_) | Asked::SoldOut | Asked::Queued => None,
        Asked::Overloaded => panic!("the desk has room for everybody"),
    });
    let accepted = join_all(waiting).await;
    assert!(accepted.iter().all(|accepted| *accepted), "the queue takes everything");
    accepted.len()
}

/// Asks again and again until each has a claim. Returns how many requests were accepted.
pub(crate) async fn insist(process: &Process, people: &[UserId]) -> usize {
    let mut accepted = 0;
    loop {
        let lacking: Vec<UserId> =
            people.iter().filter(|user| !has_claim(process, **user)).copied().collect();
        if lacking.is_empty() {
            return accepted;
        }
        accepted += ask_once(process, &lacking).await;
        process.ports.clock.sleep(PAUSE).await;
    }
}

fn has_claim(process: &Process, user: UserId) -> bool {
    let now = process.ports.clock.now();
    matches!(process.sale().personal_state(user, now), PersonalState::Claimed(_))
}
