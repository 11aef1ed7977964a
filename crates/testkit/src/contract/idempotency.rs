//! What `IdempotencyStore` promises.

use std::time::Duration;

use futures_util::future::join_all;
use miaosha_app::ports::{IdempotencyKey, Recorded, RecordedAnswer};
use miaosha_domain::time::Timestamp;

use super::Stores;
use super::scene::user;

/// Runs the suite of `IdempotencyStore` on the [`Stores`] that `$make` gives.
#[macro_export]
macro_rules! idempotency_store_contract {
    ($make:expr) => {
        $crate::contract_suite! { idempotency_store_contract, $make, idempotency, [
            a_repeated_request_gets_the_first_answer,
            a_request_under_way_is_not_begun_again,
            of_many_at_once_one_begins,
            another_body_is_told_apart,
            keys_belong_to_a_person_and_a_route,
            an_abandoned_request_begins_anew,
            an_answer_is_not_abandoned,
            an_answer_is_kept_for_a_day,
            a_request_that_never_finished_counts_for_a_minute,
        ] }
    };
}

const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);
const BODY: [u8; 32] = [7; 32];

fn key(person: Option<u64>, route: &str, key: &str) -> IdempotencyKey {
    IdempotencyKey { user: person.map(user), route: route.to_owned(), key: key.to_owned() }
}

fn checkout() -> IdempotencyKey {
    key(Some(1), "POST /checkout", "k")
}

fn answer() -> RecordedAnswer {
    RecordedAnswer { status: 201, content_type: "application/json".to_owned(), body: b"{\"\0\xff".to_vec() }
}

async fn begin(stores: &Stores, key: &IdempotencyKey, now: Timestamp) -> Recorded {
    stores.idempotency.begin(key, BODY, now).await.unwrap()
}

/// "Begins a request, or says what became of an earlier one"; "Keeps the answer of a request that began."
pub async fn a_repeated_request_gets_the_first_answer(stores: Stores) {
    assert_eq!(begin(&stores, &checkout(), NOW).await, Recorded::Begun);
    stores.idempotency.finish(&checkout(), &answer()).await.unwrap();
    for _ in 0..2 {
        assert_eq!(begin(&stores, &checkout(), NOW).await, Recorded::Answered(answer()));
    }
}

/// "An earlier request with this key is under way."
pub async fn a_request_under_way_is_not_begun_again(stores: Stores) {
    assert_eq!(begin(&stores, &checkout(), NOW).await, Recorded::Begun);
    assert_eq!(begin(&stores, &checkout(), NOW).await, Recorded::InProgress);
}

/// "Of two at once, one begins."
pub async fn of_many_at_once_one_begins(stores: Stores) {
    let key = checkout();
    let told = join_all((0..8).map(|_| begin(&stores, &key, NOW))).await;
    assert_eq!(told.iter().filter(|recorded| **recorded == Recorded::Begun).count(), 1);
    assert_eq!(told.iter().filter(|recorded| **recorded == Recorded::InProgress).count(), 7);
}

/// "An earlier request with this key had another body", under way or answered.
pub async fn another_body_is_told_apart(stores: Stores) {
    begin(&stores, &checkout(), NOW).await;
    let other = [8; 32];
    assert_eq!(stores.idempotency.begin(&checkout(), other, NOW).await.unwrap(), Recorded::OtherBody);
    stores.idempotency.finish(&checkout(), &answer()).await.unwrap();
    assert_eq!(stores.idempotency.begin(&checkout(), other, NOW).await.unwrap(), Recorded::OtherBody);
    assert_eq!(begin(&stores, &checkout(), NOW).await, Recorded::Answered(answer()));
}

/// "… by person, route and the client's key."
pub async fn keys_belong_to_a_person_and_a_route(stores: Stores) {
    let keys = [
        checkout(),
        key(Some(2), "POST /checkout", "k"),
        key(None, "POST /checkout", "k"),
        key(Some(1), "POST /users", "k"),
        key(Some(1), "POST /checkout", "K"),
    ];
    for key in &keys {
        assert_eq!(begin(&stores, key, NOW).await, Recorded::Begun, "{key:?}");
    }
    for key in &keys {
        assert_eq!(begin(&stores, key, NOW).await, Recorded::InProgress, "{key:?}");
    }
}

/// "Forgets a request that began and had no effect."
pub async fn an_abandoned_request_begins_anew(stores: Stores) {
    begin(&stores, &checkout(), NOW).await;
    stores.idempotency.abandon(&checkout()).await.unwrap();
    assert_eq!(stores.idempotency.begin(&checkout(), [8; 32], NOW).await.unwrap(), Recorded::Begun);
}

/// Only what had no effect is forgotten.
pub async fn an_answer_is_not_abandoned(stores: Stores) {
    begin(&stores, &checkout(), NOW).await;
    stores.idempotency.finish(&checkout(), &answer()).await.unwrap();
    stores.idempotency.abandon(&checkout()).await.unwrap();
    assert_eq!(begin(&stores, &checkout(), NOW).await, Recorded::Answered(answer()));
}

/// "Answers kept for 24 hours."
pub async fn an_answer_is_kept_for_a_day(stores: Stores) {
    begin(&stores, &checkout(), NOW).await;
    stores.idempotency.finish(&checkout(), &answer()).await.unwrap();
    let almost = NOW + Duration::from_hours(24) - Duration::from_millis(1);
    assert_eq!(begin(&stores, &checkout(), almost).await, Recorded::Answered(answer()));
    begin(&stores, &key(Some(1), "POST /checkout", "another"), almost).await;
    assert_eq!(begin(&stores, &checkout(), almost).await, Recorded::Answered(answer()));
    let later = NOW + Duration::from_hours(25);
    assert_eq!(begin(&stores, &checkout(), later).await, Recorded::Begun);
    assert_eq!(begin(&stores, &checkout(), later).await, Recorded::InProgress);
}

/// "A request that began a minute ago and never finished counts as never begun."
pub async fn a_request_that_never_finished_counts_for_a_minute(stores: Stores) {
    begin(&stores, &checkout(), NOW).await;
    let almost = NOW + Duration::from_mins(1) - Duration::from_millis(1);
    assert_eq!(begin(&stores, &checkout(), almost).await, Recorded::InProgress);
    let over = NOW + Duration::from_mins(1);
    assert_eq!(stores.idempotency.begin(&checkout(), [8; 32], over).await.unwrap(), Recorded::Begun);
    assert_eq!(stores.idempotency.begin(&checkout(), [8; 32], over).await.unwrap(), Recorded::InProgress);
}
