//! Tests orders that move a group to a node that is not ready.

use super::pair::{Delays, Pair};
use super::*;

const LACKS: &str = "sets is not running";

/// Makes a pair whose node 1 is not ready.
fn unready() -> Pair {
    let mut pair = Pair::new(&["office"], Delays::default());
    pair.nodes[1].groups.set_missing(vec![LACKS.to_owned()]);
    pair
}

/// Makes the elector of the active node ask for a switchover. Returns true if the peer is active
/// afterwards.
fn moves(pair: &mut Pair, from: usize, kind: CauseKind) -> bool {
    let ticket = Ticket {
        plugin: "vrrp".to_owned(),
        number: u64::MAX,
        part: 0,
    };
    let (now_ns, cause) = (pair.now_ns(), Cause::new(kind, "an order"));
    let groups = &mut pair.nodes[from].groups;
    groups.handle_switch_over(now_ns, ticket, "office", cause);
    pair.perform_all(from);
    pair.run_for(2_000 * MS);
    pair.assert_settled("after an order");
    pair.answers(1 - from, "office")
}

fn force(pair: &mut Pair, node: usize, forced: Forced, anyway: bool) {
    pair.force(node, forced);
    let groups = &mut pair.nodes[node].groups;
    groups.set_forced_anyway(Some("office"), anyway);
}

fn maintain(pair: &mut Pair, node: usize, anyway: bool) {
    let now_ns = pair.now_ns();
    let groups = &mut pair.nodes[node].groups;
    groups.set_maintenance_anyway(anyway);
    groups.set_maintenance(now_ns, true);
    pair.perform_all(node);
}

#[test]
fn an_order_waits_for_a_peer_that_is_not_ready_unless_it_is_given_anyway() {
    for anyway in [false, true] {
        let mut pair = unready();
        force(&mut pair, 0, Forced::Backup, anyway);
        assert_eq!(moves(&mut pair, 0, CauseKind::StandsAside), anyway);

        let mut pair = unready();
        maintain(&mut pair, 0, anyway);
        assert_eq!(moves(&mut pair, 0, CauseKind::StandsAside), anyway);

        let mut pair = unready();
        force(&mut pair, 1, Forced::Active, anyway);
        assert_eq!(moves(&mut pair, 0, CauseKind::PeerForced), anyway);
    }
}

#[test]
fn an_order_given_anyway_is_no_reason_for_another_switchover() {
    let mut pair = unready();
    force(&mut pair, 0, Forced::Backup, true);
    assert!(!moves(&mut pair, 0, CauseKind::Quality));
    pair.force(0, Forced::No);
    assert!(!moves(&mut pair, 0, CauseKind::StandsAside));
}

#[test]
fn an_order_given_anyway_counts_once() {
    let mut pair = unready();
    force(&mut pair, 0, Forced::Backup, true);
    maintain(&mut pair, 0, true);
    assert!(moves(&mut pair, 0, CauseKind::StandsAside));
    // node 1 returns the group and is still not ready: node 0 waits
    assert!(moves(&mut pair, 1, CauseKind::Isolated));
    assert!(!moves(&mut pair, 0, CauseKind::StandsAside));
}
