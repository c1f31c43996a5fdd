//! Tests the replicated table in each of its states, on the active node and on the backup: no node reports OK when
//! something is wrong, and both name the plugin.

use spared_verdict::STATE_LOSES;
use spared_verdict::sample::{Report, assert_fine, assert_told};

use super::*;

pub(super) fn reports(pair: &Pair) -> [Report; 2] {
    [0, 1].map(|node| {
        let engine = &pair.nodes[node].engine;
        let mut report = Report {
            // the host treats silence as not in sync
            lack: engine.in_sync().unwrap_or(Err(String::new())).err(),
            ..Report::default()
        };
        for trouble in engine.troubles() {
            let state = if trouble.is_loss { STATE_LOSES } else { 0 };
            report.check(&trouble.thing, Some(state), &trouble.why);
        }
        report
    })
}

#[test]
fn a_kernel_that_tells_of_no_flow_is_no_ok_on_either_node() {
    for node in [0, 1] {
        let mut pair = Pair::started();
        assert_fine("conntrack", &reports(&pair));
        let why = "nf_conntrack_events is not there".to_owned();
        pair.nodes[node].engine.handle_deaf(why);
        assert_told("conntrack", &reports(&pair), "conntrack events", "missing");
    }
}

#[test]
fn a_table_that_cannot_be_read_is_no_ok_on_either_node_until_it_can_be() {
    for node in [0, 1] {
        let mut pair = Pair::started();
        pair.traffic(0, &tcp(1));
        pair.settle();
        pair.nodes[node].kernel.is_unreadable = true;
        let now_ns = pair.now_ns;
        pair.nodes[node].engine.handle_overrun(now_ns);
        pair.pass_ms(2000);
        assert_told("conntrack", &reports(&pair), "conntrack table", "unread");
        pair.nodes[node].kernel.is_unreadable = false;
        pair.pass_ms(31_000);
        assert_fine("conntrack", &reports(&pair));
    }
}

#[test]
fn a_kernel_that_tells_of_flows_again_is_ok_after_a_resync() {
    let mut pair = Pair::started();
    pair.nodes[0].engine.handle_deaf("not permitted".to_owned());
    pair.nodes[0].engine.handle_hearing(false);
    assert_fine("conntrack", &reports(&pair));
    let resyncs = pair.nodes[0].engine.counters.resyncs;
    pair.nodes[0].engine.handle_hearing(true);
    pair.settle();
    assert_fine("conntrack", &reports(&pair));
    assert_eq!(pair.nodes[0].engine.counters.resyncs, resyncs + 1);
}

#[test]
fn a_backup_that_has_just_come_is_no_ok() {
    let mut pair = Pair::started();
    pair.restart(1, false);
    pair.settle();
    assert_fine("conntrack", &reports(&pair));
    let now_ns = pair.now_ns;
    let engine = &mut pair.nodes[1].engine;
    engine.handle_down(now_ns);
    engine.handle_up(now_ns, wire::VERSION);
    assert_told("conntrack", &reports(&pair), "conntrack", "late");
}
