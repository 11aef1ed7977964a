//! Facts about giving up.

use miaosha_domain::claim::ClaimStatus;

use super::*;
use crate::fakes::{Fault, Node, now, sale_id, user};

#[test]
fn a_reservation_given_up_goes_to_the_next_in_the_same_commit() {
    let node = Node::new(1, 1);
    node.decide(&[1, 2]);
    let GivenUp::Done(claim) = now(give_up(&node.ports, sale_id(), user(1), None)).unwrap() else {
        panic!("not given up")
    };
    assert_eq!((claim.user, claim.status), (user(1), ClaimStatus::Released));
    assert_eq!(
        node.journal.take(),
        ["wrote 1 released, 2 reserved", "told 1 released, 2 reserved", "timer +10000"]
    );
    let again = now(give_up(&node.ports, sale_id(), user(1), None)).unwrap();
    assert_eq!(again, GivenUp::Refused(GiveUpError::Over));
}

#[test]
fn who_has_no_claim_has_nothing_to_give_up() {
    let node = Node::new(1, 1);
    assert_eq!(now(give_up(&node.ports, sale_id(), user(1), None)).unwrap(), GivenUp::NoClaim);
}

#[test]
fn a_claim_at_another_rev_is_kept() {
    let node = Node::new(1, 1);
    node.decide(&[1]);
    let refused = now(give_up(&node.ports, sale_id(), user(1), Some(7))).unwrap();
    assert_eq!(refused, GivenUp::Refused(GiveUpError::Changed));
    assert_eq!(node.journal.take(), Vec::<String>::new());
}

#[test]
fn nothing_is_told_if_the_commit_fails() {
    let node = Node::new(1, 1);
    node.decide(&[1]);
    node.faults.next("sale commit", Fault::Retryable);
    assert!(now(give_up(&node.ports, sale_id(), user(1), None)).is_err());
    assert_eq!(node.journal.take(), Vec::<String>::new());
}
