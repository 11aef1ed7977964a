//! What `ClaimStore` promises. The transactions that it begins are in [`super::payment_steps`].

use std::pin::pin;
use std::time::Duration;

use miaosha_domain::claim::ClaimStatus;

use super::scene::{self, SALE, TERMS, sale_id, user};
use super::{Stores, poll_once};

/// Runs the suite of `ClaimStore` on the [`Stores`] that `$make` gives.
#[macro_export]
macro_rules! claim_store_contract {
    ($make:expr) => {
        $crate::contract_suite! { claim_store_contract, $make, claims, [
            claims_are_looked_up_by_sale_and_person,
            claims_are_listed_by_seq_above_a_bound,
            a_position_counts_who_stands_by_up_to_a_seq,
            event_ids_are_in_order_and_the_newest,
            old_events_are_not_listed,
            events_say_what_changed,
            events_lead_to_their_claims_as_they_are_now_each_once,
            an_unknown_claim_cannot_be_locked,
            a_lock_of_a_claim_waits_for_the_holder_and_then_comes,
        ] }
    };
}

/// "The claims of these people in this sale, of those who have one."
pub async fn claims_are_looked_up_by_sale_and_person(stores: Stores) {
    let other = sale_id(1);
    scene::open_sale_as(&stores, other, 9, TERMS).await;
    scene::ask_in(&stores, other, 1..9).await;
    scene::open_sale(&stores, 1, TERMS).await;
    let made = scene::ask(&stores, 1..4).await;
    let people = [user(5), user(3), user(1), user(3)];
    let claims = stores.claims.lookup_many(SALE, &people).await.unwrap();
    assert_eq!(claims.len(), 2);
    assert_eq!((claims[&user(1)], claims[&user(3)]), (made[0], made[2]));
    assert!(stores.claims.lookup_many(sale_id(2), &people).await.unwrap().is_empty());
    assert!(stores.claims.lookup_many(SALE, &[]).await.unwrap().is_empty());
}

/// "The claims of a sale with `seq` above `after`, by `seq`, at most `limit`."
pub async fn claims_are_listed_by_seq_above_a_bound(stores: Stores) {
    let other = sale_id(1);
    scene::open_sale_as(&stores, other, 9, TERMS).await;
    scene::ask_in(&stores, other, 1..9).await;
    scene::open_sale(&stores, 2, TERMS).await;
    let mut made = scene::ask(&stores, 50..54).await;
    made.extend(scene::ask(&stores, 1..3).await);
    assert_eq!(stores.claims.list(SALE, 0, 100).await.unwrap(), made);
    assert_eq!(stores.claims.list(SALE, 0, 4).await.unwrap(), made[..4]);
    assert_eq!(stores.claims.list(SALE, 2, 3).await.unwrap(), made[2..5]);
    assert_eq!(stores.claims.list(SALE, 6, 3).await.unwrap(), []);
}

/// "How many people stand by with a `seq` of at most this one: the place of the person who has it, from 1."
pub async fn a_position_counts_who_stands_by_up_to_a_seq(stores: Stores) {
    let other = sale_id(1);
    scene::open_sale_as(&stores, other, 1, TERMS).await;
    scene::ask_in(&stores, other, 1..9).await;
    scene::open_sale(&stores, 2, TERMS).await;
    let made = scene::ask(&stores, 1..7).await;
    let position = async |at: usize| stores.claims.position(SALE, made[at].seq).await.unwrap();
    assert_eq!([position(1).await, position(2).await, position(3).await, position(5).await], [0, 1, 2, 4]);
    scene::leave(&stores, user(3)).await;
    assert_eq!([position(3).await, position(5).await], [1, 3]);
    scene::leave(&stores, user(1)).await;
    assert_eq!([position(3).await, position(5).await], [0, 2]);
}

/// "The ids of all events written within the last `span` …, in order, at most `limit` of the newest."
pub async fn event_ids_are_in_order_and_the_newest(stores: Stores) {
    let other = sale_id(1);
    scene::open_sale_as(&stores, other, 1, TERMS).await;
    scene::ask_in(&stores, other, 1..3).await;
    scene::open_sale(&stores, 2, TERMS).await;
    for raw in 1..7 {
        scene::ask(&stores, raw..raw + 1).await;
    }
    let hour = Duration::from_hours(1);
    let all = stores.claims.list_event_ids(hour, 100).await.unwrap();
    assert!(all.len() == 8 && all.is_sorted_by(|a, b| a < b), "{all:?}");
    let told = scene::snapshot(&stores).await.events;
    assert_eq!(all[2..], told.iter().map(|event| event.id).collect::<Vec<_>>());
    assert_eq!(stores.claims.list_event_ids(hour, 3).await.unwrap(), all[5..]);
    scene::leave(&stores, user(1)).await;
    let more = stores.claims.list_event_ids(hour, 100).await.unwrap();
    assert_eq!((&more[..8], more.len()), (&all[..], 10));
}

/// "… within the last `span` by the database's clock."
pub async fn old_events_are_not_listed(stores: Stores) {
    scene::open_sale(&stores, 1, TERMS).await;
    scene::ask(&stores, 1..3).await;
    assert_eq!(stores.claims.list_event_ids(Duration::from_hours(1), 9).await.unwrap().len(), 2);
    while !stores.claims.list_event_ids(Duration::from_millis(1), 9).await.unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    assert_eq!(stores.claims.list_event_ids(Duration::from_hours(1), 9).await.unwrap().len(), 2);
}

/// "What these events did, of those that there are."
pub async fn events_say_what_changed(stores: Stores) {
    scene::open_sale(&stores, 1, TERMS).await;
    scene::ask(&stores, 1..3).await;
    scene::leave(&stores, user(1)).await;
    let ids = stores.claims.list_event_ids(Duration::from_hours(1), 100).await.unwrap();
    let mut changes = stores.claims.list_changes(&ids).await.unwrap();
    changes.sort_by_key(|change| change.event);
    let told = scene::snapshot(&stores).await.events;
    let expected = told.iter().map(|event| (event.id, event.sale, event.user, event.rev));
    let found = changes.iter().map(|change| (change.event, change.sale, change.user, change.rev));
    assert_eq!(found.collect::<Vec<_>>(), expected.collect::<Vec<_>>());
    let some = stores.claims.list_changes(&[ids[1], u64::from(u32::MAX)]).await.unwrap();
    assert_eq!(some, changes[1..2]);
    assert_eq!(stores.claims.list_changes(&[]).await.unwrap(), []);
}

/// "The claims, as they are now, that these events are about; each claim once."
pub async fn events_lead_to_their_claims_as_they_are_now_each_once(stores: Stores) {
    let other = sale_id(1);
    scene::open_sale_as(&stores, other, 1, TERMS).await;
    scene::ask_in(&stores, other, 1..2).await;
    scene::open_sale(&stores, 1, TERMS).await;
    scene::ask(&stores, 1..4).await;
    scene::leave(&stores, user(1)).await;
    let ids = stores.claims.list_event_ids(Duration::from_hours(1), 100).await.unwrap();
    let mut claims = stores.claims.list_by_events(&ids).await.unwrap();
    claims.sort_by_key(|claim| (claim.sale, claim.seq));
    let found: Vec<_> = claims.iter().map(|claim| (claim.sale, claim.user.get(), claim.status)).collect();
    let expected = [
        (other, 1, ClaimStatus::Reserved),
        (SALE, 1, ClaimStatus::Released),
        (SALE, 2, ClaimStatus::Reserved),
        (SALE, 3, ClaimStatus::Standby),
    ];
    assert_eq!(found, expected);

    let of_third = scene::snapshot(&stores).await.events[2].id;
    let some = stores.claims.list_by_events(&[of_third, of_third, u64::from(u32::MAX)]).await.unwrap();
    assert_eq!(some, claims[3..]);
    assert_eq!(stores.claims.list_by_events(&[]).await.unwrap(), []);
}

/// "`None` if there is no claim."
pub async fn an_unknown_claim_cannot_be_locked(stores: Stores) {
    scene::open_sale(&stores, 1, TERMS).await;
    assert!(stores.claims.lock(SALE, user(1)).await.unwrap().is_none());
    scene::ask(&stores, 1..2).await;
    assert!(stores.claims.lock(SALE, user(2)).await.unwrap().is_none());
    assert!(stores.claims.lock(SALE, user(1)).await.unwrap().is_some());
}

/// "Begins a transaction that holds the lock of one claim's row."
pub async fn a_lock_of_a_claim_waits_for_the_holder_and_then_comes(stores: Stores) {
    scene::open_sale(&stores, 1, TERMS).await;
    scene::ask(&stores, 1..2).await;
    let mut holder = scene::lock_claim(&stores, user(1)).await;
    let mut waiter = pin!(stores.claims.lock(SALE, user(1)));
    for _ in 0..20 {
        assert!(poll_once(waiter.as_mut()).await.is_none(), "two hold the lock");
        holder.payment(scene::payment_id(1)).await.unwrap();
    }
    drop(holder);
    assert!(waiter.await.unwrap().is_some());
}
