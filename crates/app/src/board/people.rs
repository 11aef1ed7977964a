//! What a node knows of each person in one sale.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use miaosha_domain::claim::{Claim, ClaimStatus};
use miaosha_domain::ids::UserId;
use miaosha_domain::time::Timestamp;
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::watch;

/// How long an accepted request is remembered, so that its repetitions are answered without being queued again.
pub const QUEUED_REMEMBERED: Duration = Duration::from_secs(5);

/// Rejections remembered for look-ups, at the most; further ones read as `none`.
const REJECTIONS_MAX: u64 = 4_000_000;
const SHARDS: usize = 64;

/// What a node knows of one person in one sale.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PersonalState {
    /// Nothing.
    Unknown,
    /// A request of this person is on its way to a decision.
    Queued,
    /// Rejected without a row.
    Rejected,
    /// Has this claim, or had it a moment ago.
    Claimed(Claim),
}

/// What became of a batch that was handed to the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Not known yet.
    Open,
    /// It survives any crash.
    Confirmed {
        /// When this was heard.
        at: Timestamp,
    },
    /// It may be lost; asking again is safe.
    Failed,
}

/// Tells the fate of a batch, at once or when it is known.
pub(crate) type Confirm = watch::Receiver<Fate>;

/// What a request finds.
pub(crate) enum Asking {
    /// The person has a claim.
    Claimed(Claim),
    /// An earlier request of this person was confirmed a moment ago.
    Queued,
    /// An earlier request of this person is in a batch.
    Waiting(Confirm),
    /// The person was noted as asking in the batch whose `Confirm` was given.
    Joined,
    /// The people cap is reached.
    Full,
}

/// A batch has one fate for all its people, who are not written to again when it is known.
#[derive(Debug)]
enum Person {
    Asked(Confirm),
    Rejected,
    Claimed(Box<Claim>),
}

/// Everybody who asked, by person. Whoever needs a shard and `admitted` takes the shard first and holds both, so that a
/// place of the cap always goes with what is known of its person.
#[derive(Debug)]
pub(crate) struct People {
    shards: Box<[Mutex<HashMap<UserId, Person>>]>,
    claims: AtomicU64,
    rejections: AtomicU64,
    admitted: Mutex<Admitted>,
}

/// Whom the people cap counts: those with a request under way, and those with a claim that is not over. Empty without a
/// cap.
#[derive(Debug, Default)]
struct Admitted {
    /// Since when a place is only kept for somebody, whose request is not under way any more and who has no claim yet. It
    /// is kept as long as an accepted request is remembered.
    places: HashMap<UserId, Option<Timestamp>>,
    cleared_at: Option<Timestamp>,
}

/// How often places that nobody needs any more are looked for.
const CLEARED_EVERY: Duration = Duration::from_millis(250);

impl Admitted {
    fn admits(&mut self, user: UserId, people_max: u64, now: Timestamp) -> bool {
        if let Some(since) = self.places.get_mut(&user) {
            *since = None;
            return true;
        }
        if self.places.len() as u64 >= people_max {
            self.clear(now);
        }
        let has_room = (self.places.len() as u64) < people_max;
        if has_room {
            self.places.insert(user, None);
        }
        has_room
    }

    /// Gives back the places of those who failed and did not come again, and of those whose rejection was not heard of.
    fn clear(&mut self, now: Timestamp) {
        if self.cleared_at.is_none_or(|at| now.is_past(at, CLEARED_EVERY)) {
            self.places.retain(|_, since| since.is_none_or(|since| !now.is_past(since, QUEUED_REMEMBERED)));
            self.cleared_at = Some(now);
        }
    }

    fn keep(&mut self, user: UserId, since: Option<Timestamp>) {
        if let Some(place) = self.places.get_mut(&user) {
            *place = since;
        }
    }
}

impl People {
    pub(crate) fn new() -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        Self { shards, claims: AtomicU64::new(0), rejections: AtomicU64::new(0), admitted: Mutex::default() }
    }

    /// How many people the cap counts here.
    pub(crate) fn admitted(&self, now: Timestamp) -> u64 {
        let mut admitted = self.admitted.lock();
        admitted.clear(now);
        admitted.places.len() as u64
    }

    /// Claims known.
    pub(crate) fn claims_known(&self) -> u64 {
        self.claims.load(Ordering::Acquire)
    }

    /// Units of the claims known, by the name of their status.
    pub(crate) fn units_by_status(&self) -> Vec<(&'static str, u64)> {
        let mut units = ClaimStatus::ALL.map(|status| (status.name(), 0));
        for shard in &self.shards {
            for person in shard.lock().values() {
                if let Person::Claimed(claim) = person {
                    units[claim.status as usize].1 += u64::from(claim.quantity);
                }
            }
        }
        units.into()
    }

    /// The `seq` of all who are known to stand by, in order.
    pub(crate) fn standing_seqs(&self) -> Vec<u64> {
        let mut seqs = self.standing(|claim| claim.seq);
        seqs.sort_unstable();
        seqs
    }

    /// Something of the claim of each who is known to stand by, in no order.
    pub(crate) fn standing<T>(&self, of: impl Fn(&Claim) -> T) -> Vec<T> {
        let mut standing = Vec::new();
        for shard in &self.shards {
            let shard = shard.lock();
            let here = shard.values().filter_map(|person| match person {
                Person::Claimed(claim) if claim.status == ClaimStatus::Standby => Some(of(claim)),
                _ => None,
            });
            standing.extend(here);
        }
        standing
    }

    pub(crate) fn state(&self, user: UserId, now: Timestamp) -> PersonalState {
        match self.shard(user).get(&user) {
            Some(Person::Claimed(claim)) => PersonalState::Claimed(**claim),
            Some(Person::Asked(confirm)) if is_remembered(*confirm.borrow(), now) => PersonalState::Queued,
            Some(Person::Rejected) => PersonalState::Rejected,
            Some(Person::Asked(_)) | None => PersonalState::Unknown,
        }
    }

    /// The claim of this person, if one is known.
    pub(crate) fn claim(&self, user: UserId) -> Option<Claim> {
        match self.shard(user).get(&user) {
            Some(Person::Claimed(claim)) => Some(**claim),
            _ => None,
        }
    }

    /// Notes that `user` asks in the batch of `confirm`, unless an earlier request settles it or the people cap is reached.
    pub(crate) fn ask(
        &self,
        user: UserId,
        confirm: impl FnOnce() -> Confirm,
        people_max: Option<u64>,
        now: Timestamp,
    ) -> Asking {
        let mut shard = self.shard(user);
        let person = shard.entry(user);
        if let Entry::Occupied(known) = &person {
            match known.get() {
                Person::Claimed(claim) => return Asking::Claimed(**claim),
                Person::Asked(earlier) => match *earlier.borrow() {
                    Fate::Open => return Asking::Waiting(earlier.clone()),
                    fate if is_remembered(fate, now) => return Asking::Queued,
                    Fate::Confirmed { .. } | Fate::Failed => {}
                },
                Person::Rejected => {}
            }
        }
        if people_max.is_some_and(|people_max| !self.admitted.lock().admits(user, people_max, now)) {
            return Asking::Full;
        }
        person.insert_entry(Person::Asked(confirm()));
        Asking::Joined
    }

    /// Tells the fate of a batch. Before that the people cap takes note of its people: for each of whom nothing newer is
    /// known it keeps a place for a moment.
    pub(crate) fn conclude(
        &self,
        users: impl Iterator<Item = UserId>,
        batch: &watch::Sender<Fate>,
        fate: Fate,
        now: Timestamp,
    ) {
        if !self.admitted.lock().places.is_empty() {
            let batch = batch.subscribe();
            for user in users {
                let shard = self.shard(user);
                if let Some(Person::Asked(confirm)) = shard.get(&user)
                    && confirm.same_channel(&batch)
                {
                    self.admitted.lock().keep(user, Some(now));
                }
            }
        }
        batch.send_replace(fate);
    }

    /// Whether that revision of a person's claim is known, or a later one.
    pub(crate) fn knows(&self, user: UserId, rev: u64) -> bool {
        matches!(self.shard(user).get(&user), Some(Person::Claimed(claim)) if claim.rev >= rev)
    }

    /// Takes in a claim; whether it is news.
    pub(crate) fn learn(&self, claim: Claim) -> bool {
        let mut shard = self.shard(claim.user);
        match shard.get_mut(&claim.user) {
            Some(Person::Claimed(known)) if known.rev >= claim.rev => return false,
            Some(Person::Claimed(known)) => **known = claim,
            _ => {
                shard.insert(claim.user, Person::Claimed(Box::new(claim)));
                self.claims.fetch_add(1, Ordering::Release);
            }
        }
        let mut admitted = self.admitted.lock();
        if claim.units_taken() == 0 && claim.status != ClaimStatus::Standby {
            admitted.places.remove(&claim.user);
        } else {
            admitted.keep(claim.user, None);
        }
        true
    }

    /// Takes in a rejection without a row; whether it is news. A claim outweighs it.
    pub(crate) fn reject(&self, user: UserId) -> bool {
        let mut shard = self.shard(user);
        if let Some(Person::Claimed(_)) = shard.get(&user) {
            return false;
        }
        self.admitted.lock().places.remove(&user);
        if let Some(Person::Rejected) = shard.get(&user) {
            return false;
        }
        if self.rejections.fetch_add(1, Ordering::Relaxed) < REJECTIONS_MAX {
            shard.insert(user, Person::Rejected);
        } else {
            shard.remove(&user);
        }
        true
    }

    /// Forgets who was queued: units have come back, so they may ask anew.
    pub(crate) fn forget_queued(&self) {
        for shard in &self.shards {
            shard.lock().retain(|_, person| !matches!(person, Person::Asked(_)) || person.is_under_way());
        }
    }

    /// Forgets everybody but those whose requests are under way.
    pub(crate) fn forget_all(&self) {
        for shard in &self.shards {
            let mut shard = shard.lock();
            let mut admitted = self.admitted.lock();
            let is_claimed = |person: &&Person| matches!(person, Person::Claimed(_));
            let claims = shard.values().filter(is_claimed).count() as u64;
            shard.retain(|user, person| {
                let stays = person.is_under_way();
                if !stays {
                    admitted.places.remove(user);
                }
                stays
            });
            shard.shrink_to_fit();
            self.claims.fetch_sub(claims, Ordering::Release);
        }
        self.rejections.store(0, Ordering::Relaxed);
    }

    fn shard(&self, user: UserId) -> MutexGuard<'_, HashMap<UserId, Person>> {
        // Fibonacci hashing: ids are time-ordered, so their low bits alone would cluster.
        let mixed = user.get().wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 58;
        self.shards[usize::try_from(mixed).unwrap_or(0) % SHARDS].lock()
    }
}

impl Person {
    fn is_under_way(&self) -> bool {
        matches!(self, Self::Asked(confirm) if *confirm.borrow() == Fate::Open)
    }
}

/// Whether somebody of a batch with this fate is said to be queued.
fn is_remembered(fate: Fate, now: Timestamp) -> bool {
    match fate {
        Fate::Open => true,
        Fate::Confirmed { at } => !now.is_past(at, QUEUED_REMEMBERED),
        Fate::Failed => false,
    }
}
