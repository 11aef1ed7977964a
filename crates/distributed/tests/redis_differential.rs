//! The gate on Redis against its model in Rust, over random histories: every answer is compared.

#![expect(clippy::unwrap_used, reason = "a test panics where it fails")]

mod redis_scene;

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, StreamExt};
use miaosha_app::ports::{Admission, Gate, GateReport, GateUpdate, Random};
use miaosha_distributed::redis::RedisGate;
use miaosha_domain::claim::{Claim, ClaimStatus};
use miaosha_domain::gate::GateLimit;
use miaosha_domain::ids::{SaleId, UserId};
use miaosha_embedded::OsRandom;
use miaosha_testkit::gate_model::GateModel;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

const HISTORIES: u64 = 5_000;
const AT_ONCE: usize = 64;
const PEOPLE: u64 = 9;

/// A call of the gate. People are numbers below [`PEOPLE`].
#[derive(Debug, Clone)]
enum Call {
    Admit(Vec<u64>),
    Update { limit: GateLimit, claims: Vec<(u64, ClaimStatus)>, rejected: Vec<u64> },
    TopUp(Vec<(u64, ClaimStatus)>),
    Open(GateLimit),
    OpenAnew(GateLimit),
    WasRefused(u64),
}

#[derive(Debug, PartialEq, Eq)]
enum Answer {
    Admission(Admission),
    Report(GateReport),
    Refused(bool),
    Done,
}

/// Calls, some of which come again later, as calls do that are sent twice.
fn histories() -> impl Strategy<Value = Vec<Call>> {
    let history = prop::collection::vec((calls(), any::<bool>(), any::<prop::sample::Index>()), 1..40);
    history.prop_map(|drawn| {
        let mut calls: Vec<Call> = Vec::new();
        for (call, comes_again, index) in drawn {
            let again = (comes_again && !calls.is_empty()).then(|| index.get(&calls).clone());
            calls.push(call);
            calls.extend(again);
        }
        calls
    })
}

fn calls() -> impl Strategy<Value = Call> {
    let people = || prop::collection::vec(0..PEOPLE, 0..6);
    let claims = || prop::collection::vec((0..PEOPLE, prop::sample::select(&ClaimStatus::ALL[..])), 0..5);
    let limits = || {
        (0..5_u64, 0..PEOPLE + 2).prop_map(|(version, people_max)| GateLimit {
            people_max,
            claims: 0,
            version,
        })
    };
    prop_oneof![
        6 => people().prop_map(Call::Admit),
        4 => (limits(), claims(), people())
            .prop_map(|(limit, claims, rejected)| Call::Update { limit, claims, rejected }),
        1 => claims().prop_map(Call::TopUp),
        1 => limits().prop_map(Call::Open),
        2 => limits().prop_map(Call::OpenAnew),
        1 => (0..PEOPLE).prop_map(Call::WasRefused),
    ]
}

/// Ids that differ only where a double is not exact.
fn user(number: u64) -> UserId {
    UserId::new(i64::MAX.cast_unsigned() - number).unwrap()
}

fn users(numbers: &[u64]) -> Vec<UserId> {
    numbers.iter().copied().map(user).collect()
}

fn claims(sale: SaleId, of: &[(u64, ClaimStatus)]) -> Vec<Claim> {
    let claim = |&(number, status): &(u64, ClaimStatus)| Claim {
        sale,
        user: user(number),
        status,
        rev: 1,
        seq: number + 1,
        quantity: 1,
        deadline: None,
        hold_until: None,
        payment: None,
        restocked: false,
    };
    of.iter().map(claim).collect()
}

async fn ask_redis(gate: &RedisGate, sale: SaleId, call: &Call) -> Answer {
    match call {
        Call::Admit(people) => Answer::Admission(gate.admit(sale, &users(people)).await.unwrap()),
        Call::Update { limit, claims: changed, rejected } => {
            let (claims, rejected) = (claims(sale, changed), users(rejected));
            let update = GateUpdate { limit: *limit, claims: &claims, rejected: &rejected };
            Answer::Report(gate.update(sale, update).await.unwrap())
        }
        Call::TopUp(added) => {
            gate.top_up(sale, &claims(sale, added)).await.unwrap();
            Answer::Done
        }
        Call::Open(limit) => {
            gate.open(sale, *limit).await.unwrap();
            Answer::Done
        }
        Call::OpenAnew(limit) => {
            gate.open_anew(sale, *limit).await.unwrap();
            Answer::Done
        }
        Call::WasRefused(person) => Answer::Refused(gate.was_refused(sale, user(*person)).await.unwrap()),
    }
}

fn ask_model(gate: &mut GateModel, sale: SaleId, call: &Call) -> Answer {
    match call {
        Call::Admit(people) => Answer::Admission(gate.admit(&users(people))),
        Call::Update { limit, claims: changed, rejected } => {
            let (claims, rejected) = (claims(sale, changed), users(rejected));
            Answer::Report(gate.update(GateUpdate { limit: *limit, claims: &claims, rejected: &rejected }))
        }
        Call::TopUp(added) => {
            gate.top_up(&claims(sale, added));
            Answer::Done
        }
        Call::Open(limit) => {
            gate.open(*limit);
            Answer::Done
        }
        Call::OpenAnew(limit) => {
            gate.open_anew(*limit);
            Answer::Done
        }
        Call::WasRefused(person) => Answer::Refused(gate.was_refused(user(*person))),
    }
}

/// Plays a history on a sale of its own, then looks at all that can be seen of it. The first difference, if there is one.
async fn play(gate: &RedisGate, sale: SaleId, history: &[Call]) -> Result<(), String> {
    let everything = (0..PEOPLE).map(Call::WasRefused).chain([Call::Admit((0..PEOPLE).collect())]);
    let mut model = GateModel::default();
    for (step, call) in history.iter().cloned().chain(everything).enumerate() {
        let (real, expected) = (ask_redis(gate, sale, &call).await, ask_model(&mut model, sale, &call));
        if real != expected {
            return Err(format!("step {step}, {call:?}: Redis says {real:?}, the model {expected:?}"));
        }
    }
    Ok(())
}

/// Makes a history that fails as short as it gets.
async fn shrink(gate: &RedisGate, mut tree: impl ValueTree<Value = Vec<Call>>, mut sale: u64) -> String {
    let mut smallest = String::new();
    loop {
        sale += 1;
        let history = tree.current();
        let goes_on = match play(gate, SaleId::new(sale).unwrap(), &history).await {
            Err(difference) => {
                smallest = format!("{history:#?}\n{difference}");
                tree.simplify()
            }
            Ok(()) => tree.complicate(),
        };
        if !goes_on {
            return smallest;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_gate_answers_as_its_model_does() {
    let redis = redis_scene::connect().await;
    let gate: Arc<RedisGate> = redis.gate();
    let mut seed = [0; 32];
    OsRandom.fill(&mut seed);
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &seed);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let histories = histories();
    let trees = (1..=HISTORIES).map(|sale| (sale, histories.new_tree(&mut runner).unwrap()));
    let played = stream::iter(trees).map(|(sale, tree)| {
        let gate = Arc::clone(&gate);
        async move {
            let outcome = play(&gate, SaleId::new(sale).unwrap(), &tree.current()).await;
            outcome.err().map(|_| tree)
        }
    });
    let failed = played.buffer_unordered(AT_ONCE).filter_map(std::future::ready);
    let first = tokio::time::timeout(Duration::from_mins(3), Box::pin(failed).next()).await;
    if let Some(tree) = first.expect("the histories take too long") {
        panic!("{}", shrink(&gate, tree, HISTORIES).await);
    }
}
