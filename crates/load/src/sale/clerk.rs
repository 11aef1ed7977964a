//! One connection of a process at a time: makes the calls that people want, one after the other.

use super::office::{Job, Office};
use crate::http::{Client, SignedCall, TcpDial};
use crate::tokens::Tokens;
use serde::{Deserialize, Serialize};
use std::cell::RefCell;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The calls of a journey, and where they go.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Calls {
    pub(super) buy_address: SocketAddr,
    pub(super) buy: SignedCall,
    /// Where look-ups and check-outs go; None if that is where the buy calls go.
    pub(super) general_address: Option<SocketAddr>,
    pub(super) look_up: SignedCall,
    pub(super) check_out: SignedCall,
    /// Whether each buy call has a connection of its own.
    pub(super) has_new_connections: bool,
    /// Longest time for one of them, connecting included.
    pub(super) timeout: Duration,
}

/// Works until it is dropped. Must not be dropped within a call of which the outcome matters. `source` is the own address to
/// connect from, if not the system's choice.
pub(super) async fn work(
    office: Rc<RefCell<Office>>,
    calls: Rc<Calls>,
    source: Option<IpAddr>,
    tokens: Arc<Tokens>,
) {
    let client = |address| Client::new(TcpDial { address, source });
    let mut buying = client(calls.buy_address);
    let mut general = calls.general_address.map(client);
    let wake = Rc::clone(&office.borrow().wake);
    let mut request = Vec::new();
    loop {
        let job = office.borrow_mut().next_job();
        let Some(job) = job else {
            wake.notified().await;
            // A site may close a connection that had nothing to do.
            buying.drop_if_closed();
            if let Some(general) = &mut general {
                general.drop_if_closed();
            }
            continue;
        };
        match job {
            Job::Buy(person) => calls.buy.write(tokens.get(person), &mut request),
            Job::LookUp(person) => calls.look_up.write(tokens.get(person), &mut request),
            Job::Pay(person) => {
                calls.check_out.write(office.borrow().checkout_token(person), &mut request);
            }
        }
        let client = match (&job, &mut general) {
            (Job::LookUp(_) | Job::Pay(_), Some(general)) => general,
            _ => &mut buying,
        };
        let sent_at = Instant::now();
        let result = client.exchange(&request, calls.timeout).await;
        if calls.has_new_connections && matches!(job, Job::Buy(_)) {
            buying.close();
        }
        office.borrow_mut().settle(job, &result, sent_at, Instant::now());
    }
}
