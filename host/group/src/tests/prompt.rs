//! Tests that a failure before the release ends a switchover at once, not by a timeout, and that both nodes report why.

use super::faults::Fault;
use super::pair::{Delays, Pair, offer};
use super::switchover::{Begin, begin};
use super::*;

// Runs a switchover with a fault `after_ns` after its begin. Returns the pair and the error of the client's request.
fn fails(after_ns: u64, fault: Fault) -> (Pair, String) {
    let delays = Delays {
        drain: 100 * MS,
        settle: 100 * MS,
        ..Delays::default()
    };
    let mut pair = Pair::new(&["office"], Delays::default());
    pair.delays = delays;
    begin(&mut pair, Begin::Switch, &["office"]);
    pair.run_for(after_ns);
    assert!(
        pair.nodes[0].groups.is_switching_over(),
        "too late: {fault:?}"
    );
    pair.inject(fault);
    pair.run_for(5 * MS);
    let (_, result) = pair.nodes[0].ended.pop().expect("the request has ended");
    (pair, result.unwrap_err())
}

#[test]
fn what_fails_before_the_peer_let_go_is_told_at_once() {
    let draining = 50 * MS;
    let applying = 150 * MS;
    for (after_ns, fault, why) in [
        (
            draining,
            Fault::LinkDown,
            "office: the link went down: a test cut it",
        ),
        (
            applying,
            Fault::LinkDown,
            "office: the link went down: a test cut it",
        ),
        (draining, Fault::Plugin(0, "ct"), "office: ct died"),
        (applying, Fault::Plugin(0, "ct"), "office: ct died"),
        (
            applying,
            Fault::Plugin(1, "dhcp"),
            "office: the peer declines: dhcp died",
        ),
        (
            draining,
            Fault::Plugin(0, "vrrp"),
            "office: vrrp was killed",
        ),
        (
            applying,
            Fault::Plugin(1, "vrrp"),
            "office: the peer declines: vrrp was killed",
        ),
        (
            draining,
            Fault::ForceActive(0),
            "office: it is forced active",
        ),
        (
            applying,
            Fault::ForceBackup(1),
            "office: the peer declines: it is forced backup: run `sparectl force reset` there first",
        ),
    ] {
        let (pair, told) = fails(after_ns, fault);
        assert_eq!(told, why, "{fault:?}");
        for node in &pair.nodes {
            let group = node.groups.get("office").unwrap();
            assert!(
                group.offer.is_none() && group.successor.is_none(),
                "{fault:?}"
            );
        }
    }
}

#[test]
fn who_takes_over_before_everything_is_applied_settles_like_anybody() {
    let mut pair = Pair::new(&["office"], Delays::default());
    let now_ns = pair.now_ns();
    let offer = offer(9);
    pair.nodes[1].groups.handle_peer_word(now_ns, offer);
    pair.perform_all(1);
    pair.publish(1, "office", Role::Active, "silent");
    let steps = [
        "1: settle dhcp",
        "1: grant",
        "1: settle ct",
        "1: settle dhcp",
    ];
    assert_eq!(pair.steps, steps);
}
