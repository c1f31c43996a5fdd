//! Tests switchovers that the elector requests repeatedly from a peer that declines each.

use super::pair::{Delays, Pair, offer};
use super::*;

const AGAIN: u64 = 5_000 * MS;

/// Makes the elector of node 0 ask for a switchover.
fn ask(pair: &mut Pair, kind: CauseKind) {
    let ticket = Ticket {
        plugin: "vrrp".to_owned(),
        number: u64::MAX,
        part: 0,
    };
    let (now_ns, cause) = (pair.now_ns(), Cause::new(kind, "lan2 has no carrier"));
    let groups = &mut pair.nodes[0].groups;
    groups.handle_switch_over(now_ns, ticket, "office", cause);
    pair.perform_all(0);
    pair.run_for(AGAIN);
}

fn lacks(pair: &mut Pair, what: &str) {
    let missing = vec![format!("{what} is not running")];
    pair.nodes[1].groups.set_missing(missing);
}

#[test]
fn the_same_failure_again_and_again_is_one_event() {
    let mut pair = Pair::new(&["office"], Delays::default());
    lacks(&mut pair, "sets");
    pair.nodes[0].told.clear();
    for _ in 0..300 {
        ask(&mut pair, CauseKind::InterfaceHurt);
    }
    let declined = "not switched over, stays active: the peer declines: not ready:";
    let told = std::mem::take(&mut pair.nodes[0].told);
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].starts_with("switches over: "), "{told:?}");
    assert_eq!(told[1], format!("{declined} sets is not running"));
    assert!(pair.nodes[1].groups.session.early_marks() == 0);

    // another failure, and later another cause
    lacks(&mut pair, "ipsec");
    ask(&mut pair, CauseKind::InterfaceHurt);
    let told = std::mem::take(&mut pair.nodes[0].told);
    assert_eq!(told, [format!("{declined} ipsec is not running")]);
    ask(&mut pair, CauseKind::StandsAside);
    assert_eq!(pair.nodes[0].told.len(), 2, "{:?}", pair.nodes[0].told);
}

#[test]
fn a_failure_of_another_day_is_an_event() {
    let mut pair = Pair::new(&["office"], Delays::default());
    lacks(&mut pair, "sets");
    for stays_linked in [true, false] {
        ask(&mut pair, CauseKind::InterfaceHurt);
        if stays_linked {
            pair.run_for(30_000 * MS);
        } else {
            pair.link_down();
            pair.link_up();
            lacks(&mut pair, "sets");
        }
        pair.nodes[0].told.clear();
        ask(&mut pair, CauseKind::InterfaceHurt);
        assert_eq!(pair.nodes[0].told.len(), 2, "{:?}", pair.nodes[0].told);
    }
}

#[test]
fn a_wish_is_told_what_the_elector_was_told_before() {
    let mut pair = Pair::new(&["office"], Delays::default());
    lacks(&mut pair, "sets");
    ask(&mut pair, CauseKind::InterfaceHurt);
    pair.nodes[0].told.clear();
    let (now_ns, cause) = (pair.now_ns(), Cause::new(CauseKind::Asked, "root wants it"));
    pair.nodes[0]
        .groups
        .handle_client_request(now_ns, 7, "office", cause, false);
    pair.perform_all(0);
    pair.run_for(100 * MS);
    assert_eq!(pair.nodes[0].told.len(), 2, "{:?}", pair.nodes[0].told);
    assert!(matches!(pair.nodes[0].ended[..], [(7, Err(_))]));
}

#[test]
fn marks_of_offers_that_are_over_leave_room_for_early_ones() {
    let mut pair = Pair::new(&["office"], Delays::default());
    lacks(&mut pair, "sets");
    let now_ns = pair.now_ns();
    let groups = &mut pair.nodes[1].groups;
    for id in 1..=300 {
        // every second mark arrives before its offer
        if id % 2 == 0 {
            groups.handle_marked(id, "ct");
        }
        groups.handle_peer_word(now_ns, offer(id));
        groups.handle_marked(id, "ct");
    }
    assert!(groups.session.early_marks() == 0);
    groups.handle_marked(301, "ct");
    assert_eq!(groups.session.early_marks(), 1);
    // the peer boots, and counts from the start again
    pair.link_down();
    let groups = &mut pair.nodes[1].groups;
    groups.handle_marked(2, "ct");
    assert_eq!(groups.session.early_marks(), 1);
}
