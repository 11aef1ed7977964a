//! What was answered survives `kill -9`: a child process commits and says so, until it is killed at some moment.

#![expect(clippy::unwrap_used, reason = "a test panics where it fails")]

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use miaosha_app::ports::{PaymentMethod, Random};
use miaosha_domain::audit::audit;
use miaosha_domain::claim::Claim;
use miaosha_domain::ids::SaleId;
use miaosha_domain::payment::ProviderState;
use miaosha_domain::sale::Terms;
use miaosha_embedded::{Embedded, OsRandom};
use miaosha_testkit::contract::scene::{self, SALE, TERMS, payment_id, sale_id, usd, user};
use miaosha_testkit::contract::{Stores, run};

const ROUNDS: u32 = 12;
const LINES_MAX: u8 = 250;
/// In this sale nobody pays: reservations end at once, and people move up.
const CHURN: u64 = 2;

#[test]
fn what_was_answered_before_a_kill_is_there_after_it() {
    let directory = tempfile::tempdir().unwrap();
    let mut said = Vec::new();
    for _ in 0..ROUNDS {
        let mut byte = [0];
        OsRandom.fill(&mut byte);
        let lines = 1 + byte[0] % LINES_MAX;
        said.extend(kill_after(lines, directory.path()));
        run(check(directory.path(), &said));
    }
    assert!(said.len() > ROUNDS as usize);
}

/// Starts the child, kills it some time after it has said so many lines, and returns all that it said.
fn kill_after(lines: u8, directory: &Path) -> Vec<String> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "commits_until_it_is_killed", "--ignored", "--nocapture", "--test-threads", "1"])
        .current_dir(directory)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut said = Vec::new();
    while said.len() < usize::from(lines) {
        let line = next_line(&mut output).expect("the child goes on until it is killed");
        said.extend(is_fact(&line).then_some(line));
    }
    kill(&mut child);
    while let Some(line) = next_line(&mut output) {
        said.extend(is_fact(&line).then_some(line));
    }
    said
}

fn kill(child: &mut Child) {
    // On Unix this is SIGKILL.
    child.kill().unwrap();
    child.wait().unwrap();
}

/// The next line, if it is whole: the last one may have been cut off.
fn next_line(output: &mut impl BufRead) -> Option<String> {
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    line.strip_suffix('\n').map(str::to_owned)
}

fn is_fact(line: &str) -> bool {
    line.starts_with("claim ") || line.starts_with("payment ")
}

async fn check(directory: &Path, said: &[String]) {
    let embedded = Embedded::open(directory).unwrap();
    let mut events = std::collections::HashSet::new();
    for sale in [SALE, sale_id(CHURN)] {
        let told = embedded.sales.snapshot(sale).await.unwrap().unwrap();
        assert_eq!(audit(&told), []);
        events.extend(told.events.iter().map(|event| (sale, event.user, event.rev)));
    }
    for line in said {
        let words: Vec<&str> = line.split(' ').collect();
        let number = |at: usize| words[at].parse::<u64>().unwrap();
        if words[0] == "claim" {
            let fact = (sale_id(number(1)), user(number(2)), number(3));
            assert!(events.contains(&fact), "{line} is lost");
        } else {
            let state = embedded.provider.query(payment_id(number(1))).await.unwrap();
            assert_eq!(state, ProviderState::Authorised, "{line} is lost");
        }
    }
    embedded.close().await;
}

#[test]
#[ignore = "the child process of the test above, which kills it"]
fn commits_until_it_is_killed() {
    // A parent that is gone closes the pipe; then there is nobody to kill this process.
    std::thread::spawn(|| {
        let _ = std::io::stdin().read(&mut [0]);
        std::process::exit(0);
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(commit_for_ever());
}

async fn commit_for_ever() {
    let embedded = Embedded::open(Path::new(".")).unwrap();
    let provider = Arc::clone(&embedded.provider);
    let stores = Stores {
        sales: Arc::clone(&embedded.sales),
        claims: Arc::clone(&embedded.claims),
        orders: Arc::clone(&embedded.orders),
        payments: Arc::clone(&embedded.payments),
        users: Arc::clone(&embedded.users),
        idempotency: Arc::clone(&embedded.idempotency),
        clock: Arc::clone(&embedded.clock),
        keep: Box::new(embedded),
    };
    let churn = sale_id(CHURN);
    scene::open_sale(&stores, 1_000_000, TERMS).await;
    scene::open_sale_as(&stores, churn, 3, Terms { hold: Duration::ZERO, ..TERMS }).await;
    let card = PaymentMethod::Sandbox { card: "4242424242424242".to_owned() };
    loop {
        for claim in scene::ask_in(&stores, churn, next_people(&stores, churn).await).await {
            say(&claim);
        }
        for change in scene::settle_in(&stores, churn).await {
            say(&change.claim);
        }
        let claims = scene::ask(&stores, next_people(&stores, SALE).await).await;
        claims.iter().for_each(say);
        let (buyer, leaver) = (claims[0].user, claims[1].user);
        let payment = scene::begin_payment(&stores, buyer, payment_id(buyer.get())).await;
        provider.authorise(payment.id, usd(500), &card).await.unwrap();
        println!("\npayment {}", payment.id);
        scene::succeed(&stores, payment).await;
        scene::leave(&stores, leaver).await;
        for claim in stores.claims.lookup_many(SALE, &[buyer, leaver]).await.unwrap().values() {
            say(claim);
        }
    }
}

/// Five people who never asked before.
async fn next_people(stores: &Stores, sale: SaleId) -> std::ops::Range<u64> {
    let made = stores.sales.lookup(sale).await.unwrap().unwrap().book.next_seq;
    made..made + 5
}

/// The line feed in front keeps the line apart from what the test runner writes.
fn say(claim: &Claim) {
    println!("\nclaim {} {} {}", claim.sale, claim.user, claim.rev);
}
