//! The transaction under a sale's lock, which is the lock of its row.
//!
//! Four round trips: lock, read, write, commit; one less if claims of newcomers are not read, one more if something is due. Claims of people are read with their locks,
//! in the order of the primary key, so that no payment step comes in between. What is due is found by index, without
//! locks, and then locked by the primary key; a claim that a payment step holds at that moment is left out until the next
//! time, so that a settlement neither waits for a step nor meets its change. The `rev` in each update guards all.
//!
//! No two wait for each other. A payment step locks one claim by its primary key, then that claim's payment. The
//! transaction of a sale, of which there is one, locks claims by the primary key alone, so that a step which has its claim
//! finds the other indexes of that row free. A claim that is made and there already waits for such a step like a reading, and
//! is refused. So whoever waits for a claim is either a step that holds nothing yet, or the
//! sale's transaction; and that waits for steps which have all that they need.

use std::collections::HashMap;

use async_trait::async_trait;
use miaosha_app::ports::{Freshness, PortResult, SaleTx};
use miaosha_domain::claim::{Claim, ClaimChange, ClaimStatus};
use miaosha_domain::ids::{SaleId, UserId};
use miaosha_domain::sale::{Book, Terms};
use miaosha_domain::settle::{CHANGES_MAX, ENDS_MAX, Standing};
use miaosha_domain::time::Timestamp;

use super::changes;
use super::database::Database;
use super::failure::Failure;
use super::rows::{self, Malformed, book_columns, claim_columns, now_ms};
use super::script::{Answer, List, Script};
use super::transaction::HeldTransaction;

pub(super) const LOCK: &str = concat!("SELECT ", book_columns!(), " FROM sales s WHERE s.id = ? FOR UPDATE");
/// A statement of its own, since each begins with the time at which it was reached.
pub(super) const NOW: &str = concat!("SELECT ", now_ms!());
pub(super) const UPDATE_BOOK: &str = "UPDATE sales SET stock = ?, incoming = ?, taken = ?, standing = ?, standby_open = ?, \
     standby_over = ?, all_paid = ?, paused = ?, closed = ?, next_seq = ?, serving_seq = ?, version = ?, \
     may_change = ? WHERE id = ?";
pub(super) const SELECT_MANY: &str =
    concat!("SELECT ", claim_columns!(), " FROM claims c WHERE c.sale = ? AND c.user IN (?)");
pub(super) const LOCK_MANY: &str = concat!(
    "SELECT ",
    claim_columns!(),
    " FROM claims c FORCE INDEX (PRIMARY) WHERE c.sale = ? AND c.user IN (?) ORDER BY c.user FOR UPDATE"
);
pub(super) const SELECT_DUE: &str = "SELECT user FROM claims FORCE INDEX (claims_status) \
     WHERE sale = ? AND status = 'reserved' AND hold_until <= ? ORDER BY hold_until LIMIT ?";
/// The condition again, because others may have committed since the index was read.
pub(super) const LOCK_DUE: &str = concat!(
    "SELECT ",
    claim_columns!(),
    " FROM claims c FORCE INDEX (PRIMARY) WHERE c.sale = ? AND c.user IN (?) AND c.status = 'reserved' \
     AND c.hold_until <= ? ORDER BY c.hold_until FOR UPDATE SKIP LOCKED"
);
/// Who stands by was never promised a unit, so has no `hold_until`: the index gives them in the order of `seq`.
pub(super) const SELECT_HEADS: &str = concat!(
    "SELECT ",
    claim_columns!(),
    " FROM claims c FORCE INDEX (claims_status) WHERE c.sale = ? AND c.status = 'standby' AND c.hold_until IS NULL \
     ORDER BY c.seq LIMIT ?"
);
pub(super) const COUNT_HOLDING: &str =
    "SELECT COUNT(*) FROM claims WHERE sale = ? AND status IN ('reserved', 'paying')";

/// A transaction in its task, with what was read when it began.
struct MysqlSaleTx {
    held: HeldTransaction,
    id: SaleId,
    terms: Terms,
    book: Book,
    now: Timestamp,
    /// How many claims reserve or pay, once that was asked for.
    holding: Option<u64>,
}

/// Begins a transaction that holds the lock of the sale's row.
pub(super) async fn lock(database: &Database, id: SaleId) -> PortResult<Option<Box<dyn SaleTx>>> {
    let script = Script::of(LOCK, &[&id]).then(NOW, &[]);
    let begun = database.begin("lock a sale", script, locked).await?;
    Ok(begun.map(|(held, (terms, book, now))| {
        Box::new(MysqlSaleTx { held, id, terms, book, now, holding: None }) as _
    }))
}

fn locked(answers: &[Answer]) -> Result<Option<(Terms, Book, Timestamp)>, Malformed> {
    let [found, clock] = answers else { unreachable!("the lock's script has two statements") };
    let Some((row, clock)) = found.rows.first().zip(clock.rows.first()) else { return Ok(None) };
    Ok(Some((rows::terms(row)?, rows::book(row)?, rows::timestamp(clock, 0)?)))
}

#[async_trait]
impl SaleTx for MysqlSaleTx {
    fn now(&self) -> Timestamp {
        self.now
    }

    fn terms(&self) -> Terms {
        self.terms
    }

    fn book(&self) -> Book {
        self.book
    }

    async fn claims_of(&mut self, users: &[UserId]) -> PortResult<HashMap<UserId, Claim>> {
        const WHAT: &str = "read claims";
        let Some(users) = in_order(users) else { return Ok(HashMap::new()) };
        let answers = self.held.look(WHAT, Script::of(LOCK_MANY, &[&self.id, &List(&users)])).await?;
        by_user(&answers).map_err(|malformed| Failure::from(malformed).into_port_error(WHAT))
    }

    async fn standing(&mut self) -> PortResult<Standing> {
        const WHAT: &str = "read what is due";
        let script = Script::of(SELECT_DUE, &[&self.id, &self.now, &ENDS_MAX])
            .then(SELECT_HEADS, &[&self.id, &CHANGES_MAX])
            .then(COUNT_HOLDING, &[&self.id]);
        let answers = self.held.look(WHAT, script).await?;
        let malformed = |malformed: Malformed| Failure::from(malformed).into_port_error(WHAT);
        let (due, standing) = standing(&answers).map_err(malformed)?;
        self.holding = Some(standing.holding);
        if due.is_empty() {
            return Ok(standing);
        }
        let lock = Script::of(LOCK_DUE, &[&self.id, &List(&due), &self.now]);
        let answers = self.held.look(WHAT, lock).await?;
        let locked = answers.iter().flat_map(|answer| &answer.rows).map(rows::claim);
        Ok(Standing { due: locked.collect::<Result<_, _>>().map_err(malformed)?, ..standing })
    }

    async fn commit(self: Box<Self>, book: Book, changes: &[ClaimChange]) -> PortResult<()> {
        let Self { held, id, now, holding, .. } = *self;
        let mut script = Script::default();
        script.add_finding(
            1,
            UPDATE_BOOK,
            &[
                &book.stock,
                &book.incoming,
                &book.taken,
                &book.standing,
                &book.standby_open,
                &book.standby_over,
                &book.all_paid,
                &book.paused,
                &book.closed,
                &book.next_seq,
                &book.serving_seq,
                &book.version,
                &may_change(&book, holding.map(|before| holding_after(before, changes))),
                &id,
            ],
        );
        changes::add(&mut script, changes, now);
        let committed = held.commit(script).await;
        committed.map_err(|failure| changed(failure).into_port_error("commit changes of a sale"))
    }
}

/// The claims of `users`, of those who have one, without their locks.
pub(super) async fn claims_of(
    database: &Database,
    sale: SaleId,
    users: &[UserId],
) -> PortResult<HashMap<UserId, Claim>> {
    let Some(users) = in_order(users) else { return Ok(HashMap::new()) };
    let select = Script::of(SELECT_MANY, &[&sale, &List(&users)]);
    let claims = database.list("look claims up", Freshness::Fresh, select, rows::claim).await?;
    Ok(claims.into_iter().map(|claim| (claim.user, claim)).collect())
}

/// A claim that is there already is not as it was read, or taken to be.
pub(super) fn changed(failure: Failure) -> Failure {
    if failure.is_duplicate_of_primary_key() { Failure::Changed } else { failure }
}

/// The column of this name: false only if the sale can change no more by itself.
pub(super) fn may_change(book: &Book, holding: Option<u64>) -> bool {
    book.may_change() || holding != Some(0)
}

fn holding_after(before: u64, changes: &[ClaimChange]) -> u64 {
    let came = changes.iter().filter(|change| change.claim.status.is_holding()).count() as u64;
    let went =
        changes.iter().filter(|change| change.from.is_some_and(ClaimStatus::is_holding)).count() as u64;
    (before + came).saturating_sub(went)
}

/// Each once, in the order in which every transaction takes their locks; `None` if there is nobody.
fn in_order(users: &[UserId]) -> Option<Vec<UserId>> {
    let mut users = users.to_vec();
    users.sort_unstable();
    users.dedup();
    (!users.is_empty()).then_some(users)
}

fn by_user(answers: &[Answer]) -> Result<HashMap<UserId, Claim>, Malformed> {
    let rows = answers.iter().flat_map(|answer| &answer.rows);
    rows.map(|row| rows::claim(row).map(|claim| (claim.user, claim))).collect()
}

/// Whose claims are due, which are not locked yet, and the rest.
fn standing(answers: &[Answer]) -> Result<(Vec<UserId>, Standing), Malformed> {
    let [due, heads, holding] = answers else { unreachable!("three statements are asked for what is due") };
    let due = due.rows.iter().map(|row| rows::id(row, 0, UserId::new)).collect::<Result<_, _>>()?;
    let standing = Standing {
        due: Vec::new(),
        heads: heads.rows.iter().map(rows::claim).collect::<Result<_, _>>()?,
        holding: holding.rows.first().map_or(Ok(0), |row| rows::number(row, 0))?,
    };
    Ok((due, standing))
}
