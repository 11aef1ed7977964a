//! Facts about batches. Time is paused: it passes only when nothing else can be done.

use futures_util::future::join_all;
use miaosha_domain::claim::ClaimStatus;
use miaosha_domain::time::Timestamp;
use tokio::sync::Notify;

use super::*;

#[derive(Debug)]
struct PausedClock;

#[async_trait]
impl Clock for PausedClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(0)
    }

    async fn sleep(&self, span: Duration) {
        tokio::time::sleep(span).await;
    }
}

/// Everybody with an even number has a claim, and whoever reads is noted.
#[derive(Default)]
struct Even {
    reads: Mutex<Vec<(SaleId, usize)>>,
    /// If given, no read comes back before it is notified.
    hold: Option<Notify>,
    fails: bool,
}

#[async_trait]
impl ClaimStore for Even {
    async fn lookup_many(&self, sale: SaleId, users: &[UserId]) -> PortResult<HashMap<UserId, Claim>> {
        self.reads.lock().push((sale, users.len()));
        if let Some(hold) = &self.hold {
            hold.notified().await;
        }
        if self.fails {
            return Err(PortError::Overloaded { what: "the test" });
        }
        let even = users.iter().filter(|user| user.get() % 2 == 0);
        Ok(even.map(|user| (*user, claim(sale, *user))).collect())
    }

    async fn list(&self, _sale: SaleId, _after: u64, _limit: u32) -> PortResult<Vec<Claim>> {
        Ok(Vec::new())
    }

    async fn position(&self, _sale: SaleId, seq: u64) -> PortResult<u64> {
        Ok(seq)
    }

    async fn list_event_ids(&self, _span: Duration, _limit: u32) -> PortResult<Vec<u64>> {
        Ok(Vec::new())
    }

    async fn list_changes(&self, _events: &[u64]) -> PortResult<Vec<Change>> {
        Ok(Vec::new())
    }

    async fn list_by_events(&self, _events: &[u64]) -> PortResult<Vec<Claim>> {
        Ok(Vec::new())
    }

    async fn lock(&self, _sale: SaleId, _user: UserId) -> PortResult<Option<Box<dyn ClaimTx>>> {
        Ok(None)
    }
}

fn claim(sale: SaleId, user: UserId) -> Claim {
    Claim {
        sale,
        user,
        quantity: 1,
        status: ClaimStatus::Standby,
        seq: user.get(),
        rev: 1,
        deadline: None,
        hold_until: None,
        payment: None,
        restocked: false,
    }
}

fn sale(number: u64) -> SaleId {
    SaleId::new(number).unwrap()
}

fn user(number: u64) -> UserId {
    UserId::new(number).unwrap()
}

fn batched(inner: Even) -> (BatchedClaims, Arc<Even>) {
    let inner = Arc::new(inner);
    let read_within = Duration::from_secs(1);
    (BatchedClaims::new(inner.clone(), Arc::new(PausedClock), TaskTracker::new(), read_within), inner)
}

/// Looks one person up.
async fn seq_of(claims: &BatchedClaims, of: SaleId, person: UserId) -> PortResult<Option<u64>> {
    let found = claims.lookup_many(of, &[person]).await?;
    assert!(found.keys().all(|key| *key == person), "nobody is told of others");
    Ok(found.get(&person).map(|claim| claim.seq))
}

#[tokio::test(start_paused = true)]
async fn those_who_come_together_are_read_together_each_once_and_by_sale() {
    let (claims, inner) = batched(Even::default());
    let asking = (0..200).map(|number| (sale(1 + number % 2), user(1 + number / 4)));
    let asking: Vec<_> = asking.collect();
    let found = join_all(asking.iter().map(|(of, person)| seq_of(&claims, *of, *person))).await;
    for ((_, person), found) in asking.iter().zip(found) {
        let number = person.get();
        assert_eq!(found.unwrap(), (number % 2 == 0).then_some(number));
    }
    let mut reads = inner.reads.lock().clone();
    reads.sort_unstable();
    assert_eq!(reads, [(sale(1), 50), (sale(2), 50)]);
    assert_eq!(claims.shared.waiting.load(Ordering::Relaxed), 0);
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_no_longer_than_one_read_may_be() {
    let (claims, inner) = batched(Even::default());
    join_all((0..2_500).map(|number| seq_of(&claims, sale(1), user(1 + number)))).await;
    let reads: Vec<usize> = inner.reads.lock().iter().map(|(_, len)| *len).collect();
    assert_eq!(reads, [1_000, 1_000, 500]);
}

#[tokio::test(start_paused = true)]
async fn who_comes_while_a_read_is_under_way_does_not_share_it() {
    let (claims, inner) = batched(Even { hold: Some(Notify::new()), ..Even::default() });
    let first = seq_of(&claims, sale(1), user(2));
    let second = async {
        while inner.reads.lock().is_empty() {
            tokio::time::sleep(WINDOW).await;
        }
        let look_up = seq_of(&claims, sale(1), user(2));
        let release = async {
            while inner.reads.lock().len() < 2 {
                tokio::time::sleep(WINDOW).await;
            }
            let hold = inner.hold.as_ref().unwrap();
            hold.notify_one();
            hold.notify_waiters();
        };
        tokio::join!(look_up, release).0
    };
    let (first, second) = tokio::join!(first, second);
    assert_eq!((first.unwrap(), second.unwrap()), (Some(2), Some(2)));
    assert_eq!(inner.reads.lock().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_told_to_each_as_it_is_and_the_next_read_is_another() {
    let (claims, inner) = batched(Even { fails: true, ..Even::default() });
    let found = join_all([2, 4].map(|number| seq_of(&claims, sale(1), user(number)))).await;
    assert!(found.iter().all(|found| matches!(found, Err(PortError::Overloaded { .. }))), "{found:?}");
    seq_of(&claims, sale(1), user(2)).await.unwrap_err();
    assert_eq!(inner.reads.lock().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_read_that_does_not_come_back_is_given_up() {
    let (claims, _inner) = batched(Even { hold: Some(Notify::new()), ..Even::default() });
    let found = join_all((0..10).map(|number| seq_of(&claims, sale(1 + number), user(2)))).await;
    assert!(found.iter().all(|found| matches!(found, Err(PortError::Retryable { .. }))), "{found:?}");
    assert_eq!(claims.shared.waiting.load(Ordering::Relaxed), 0);
}
