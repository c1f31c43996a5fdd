//! Simulates nodes that are paired but not armed: whatever fails and whoever orders what, they never answer
//! (`Pair::check`), and once they are armed they are nodes like any other.

use super::faults::Fault;
use super::pair::{Delays, Pair};
use super::switchover::{BEGINNINGS, Begin, begin, faults, nobody_is_left};
use super::*;

impl Pair {
    /// Sets or removes the mark of a node, as the daemon does that has read or removed it.
    fn set_unarmed(&mut self, node: usize, unarmed: bool) {
        self.nodes[node].unarmed = unarmed;
        self.nodes[node].groups.set_unarmed(unarmed);
        self.perform_all(node);
    }

    fn answering(&self) -> Vec<usize> {
        let nodes = [0, 1].into_iter();
        nodes.filter(|node| self.answers(*node, "office")).collect()
    }
}

fn beside_unarmed() -> Pair {
    let mut pair = Pair::new(&["office"], Delays::default());
    pair.set_unarmed(1, true);
    pair
}

// Injects one fault before step `at` of a switchover to a node that is not armed.
fn try_one(how: Begin, fault: Fault, at: usize) {
    let what = format!("{how:?} with {fault:?} before step {at}");
    let mut pair = beside_unarmed();
    let end_ns = pair.now_ns() + 1_000 * MS;
    begin(&mut pair, how, &["office"]);
    pair.handled = 0;
    while pair.handled < at && pair.step(end_ns) {}
    pair.inject(fault);
    pair.run_for(7_000 * MS);
    let leaves = matches!(how, Begin::Stop)
        || matches!(
            fault,
            Fault::Machine(0) | Fault::Terminate(0) | Fault::ForceBackup(0)
        );
    assert!(
        leaves || pair.answering() == [0],
        "{what}: the other node serves"
    );
    if nobody_is_left(how, fault) {
        return;
    }
    if pair.nodes[1].alive {
        pair.set_unarmed(1, false);
    }
    pair.run_for(7_000 * MS);
    pair.assert_settled(&what);
}

#[test]
fn whatever_fails_a_node_that_is_not_armed_never_answers_and_an_armed_one_does() {
    for how in BEGINNINGS {
        for fault in faults() {
            for at in 0..12 {
                try_one(how, fault, at);
            }
        }
    }
}

#[test]
fn two_nodes_that_are_not_armed_serve_nobody_also_after_a_restart_until_one_is_armed() {
    let mut pair = beside_unarmed();
    pair.set_unarmed(0, true);
    pair.run_for(5_000 * MS);
    assert!(pair.answering().is_empty());
    for fault in [
        Fault::Host(0),
        Fault::Host(1),
        Fault::Plugin(1, "vrrp"),
        Fault::ForceActive(1),
        Fault::LinkDown,
    ] {
        pair.inject(fault);
        pair.run_for(5_000 * MS);
        assert!(pair.answering().is_empty(), "{fault:?}");
    }
    pair.set_unarmed(0, false);
    pair.run_for(1_000 * MS);
    assert_eq!(pair.answering(), [0]);
    pair.inject(Fault::Machine(0));
    pair.run_for(5_000 * MS);
    assert!(pair.answering().is_empty(), "the other one is not armed");
    pair.set_unarmed(1, false);
    pair.run_for(1_000 * MS);
    assert_eq!(pair.answering(), [1]);
}

#[test]
fn an_elector_that_does_not_heed_its_directive_gets_no_lease() {
    let mut pair = beside_unarmed();
    pair.inject(Fault::Machine(0));
    for _ in 0..5 {
        pair.elector(1, "office").barred = false;
        pair.publish(1, "office", Role::Active, "silent");
        pair.run_for(1_000 * MS);
        assert!(pair.answering().is_empty());
    }
}
