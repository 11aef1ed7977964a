//! How a change of a claim is written: the row and its event.

use miaosha_domain::claim::{Claim, ClaimChange};
use miaosha_domain::time::Timestamp;
use rusqlite::{Connection, params};

use super::failure::Failure;

const INSERT: &str = "INSERT INTO claims (sale, user, status, rev, seq, quantity, deadline, hold_until, payment, restocked) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) ON CONFLICT (sale, user) DO NOTHING";
const UPDATE: &str = "UPDATE claims SET status = ?3, rev = ?4, deadline = ?5, hold_until = ?6, payment = ?7, restocked = ?8 \
     WHERE sale = ?1 AND user = ?2 AND rev = ?4 - 1";
const INSERT_EVENT: &str = "INSERT INTO claim_events (sale, user, rev, from_status, to_status, quantity, at) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";

/// Writes the rows and their events, as of `at`.
///
/// # Errors
/// [`Failure::Changed`] at the first row that is not at the `rev` before; the transaction is to be rolled back then.
pub(super) fn write(connection: &Connection, changes: &[ClaimChange], at: Timestamp) -> Result<(), Failure> {
    let mut insert = connection.prepare_cached(INSERT)?;
    let mut update = connection.prepare_cached(UPDATE)?;
    let mut insert_event = connection.prepare_cached(INSERT_EVENT)?;
    for ClaimChange { from, claim } in changes {
        let Claim { sale, user, status, rev, seq, quantity, deadline, hold_until, payment, restocked } =
            claim;
        let (sale, user, status) = (sale.get(), user.get(), status.name());
        let deadline = deadline.map(Timestamp::as_millis);
        let hold_until = hold_until.map(Timestamp::as_millis);
        let payment = payment.map(miaosha_domain::ids::PaymentId::get);
        let written = match from {
            None => insert.execute(params![
                sale, user, status, rev, seq, quantity, deadline, hold_until, payment, restocked
            ]),
            Some(_) => {
                update.execute(params![sale, user, status, rev, deadline, hold_until, payment, restocked])
            }
        }?;
        if written == 0 {
            return Err(Failure::Changed);
        }
        let from = from.map(miaosha_domain::claim::ClaimStatus::name);
        insert_event.execute(params![sale, user, rev, from, status, quantity, at.as_millis()])?;
    }
    Ok(())
}
