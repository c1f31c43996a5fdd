//! Tests that a walk that restores times leaves those that are newer than its dump.

use super::super::kernel_events::Event;
use super::*;
use crate::flow::CLOSE;

const FIN_WAIT: u8 = 4;

fn in_state(number: u32, state: u8, timeout_s: u32) -> Flow {
    let flow = tcp(number);
    Flow {
        tcp: flow.tcp.map(|tcp| Tcp { state, ..tcp }),
        timeout_s: Some(timeout_s),
        ..flow
    }
}

/// A pair with copies that have less than their full time, whose second node has just taken over and begun to restore
/// times; its dump is older than what follows.
fn restoring() -> Pair {
    let mut pair = Pair::started();
    (0..PIECE as u32).for_each(|number| pair.traffic(0, &in_state(number, 3, 300)));
    pair.settle();
    let now_ns = pair.now_ns;
    let node = &mut pair.nodes[1];
    node.engine.handle_role(now_ns, "office", true);
    node.perform(now_ns);
    assert!(node.engine.walks.is_restoring(), "it has not begun");
    pair
}

#[track_caller]
fn assert_times(pair: &mut Pair, longest_s: u64) {
    pair.role(0, false);
    pair.settle();
    let now_s = pair.now_s();
    for (flow, expires_s) in pair.nodes[1].kernel.flows.values() {
        let left_s = expires_s - now_s;
        let is_closing = flow.state() != Some(3);
        let range = if is_closing {
            0..=longest_s
        } else {
            400_000..=432_000
        };
        assert!(range.contains(&left_s), "{}: {left_s} s", flow.original);
    }
}

#[test]
fn a_connection_that_closes_while_times_are_restored_keeps_the_time_of_its_last_packet() {
    let mut pair = restoring();
    for state in [FIN_WAIT, CLOSE] {
        pair.traffic(1, &in_state(0, state, 10));
        pair.nodes[1].hear(pair.now_ns);
    }
    assert_times(&mut pair, 10);
}

#[test]
fn a_connection_that_closes_before_its_restored_time_is_written_keeps_the_time_of_its_last_packet()
{
    for ends_first in [false, true] {
        let mut pair = restoring();
        let node = &mut pair.nodes[1];
        node.read_dump(pair.now_ns);
        while ends_first && node.engine.walks.is_restoring() {
            node.read_dump(pair.now_ns);
        }
        for state in [FIN_WAIT, CLOSE] {
            pair.traffic(1, &in_state(0, state, 10));
        }
        pair.nodes[1].perform(pair.now_ns);
        assert_times(&mut pair, 10);
    }
}

#[test]
fn a_connection_that_the_peer_reports_as_closing_while_times_are_restored_keeps_that_time() {
    let mut pair = restoring();
    pair.traffic(0, &in_state(0, CLOSE, 10));
    while pair.to[1].is_empty() {
        pair.now_ns += MS;
        pair.turn(0);
    }
    while let Some(message) = pair.to[1].pop_front() {
        let node = &mut pair.nodes[1];
        let heard = node.engine.handle_message(pair.now_ns, &message);
        assert_eq!(heard, Ok(()));
        node.perform(pair.now_ns);
    }
    // a copy lives for the lease at least
    assert_times(&mut pair, 120);
}

#[test]
fn a_mark_that_somebody_sets_while_times_are_restored_keeps_no_time_from_its_flow() {
    let mut pair = restoring();
    let marked = Flow {
        mark: 5,
        ..in_state(0, 3, 300)
    };
    let kernel = &mut pair.nodes[1].kernel;
    let expires_s = kernel.flows[&name(&marked)].1;
    kernel
        .update(&marked, expires_s, false)
        .expect("it is there");
    kernel.tell(Event::Changed(marked), By::Request);
    pair.nodes[1].hear(pair.now_ns);
    assert_times(&mut pair, 0);
}

#[test]
fn times_that_the_kernel_did_not_take_are_restored_a_second_later() {
    let mut pair = Pair::started();
    let flows: Vec<Flow> = (0..8).map(|number| in_state(number, 3, 300)).collect();
    flows.iter().for_each(|flow| pair.traffic(0, flow));
    pair.settle();
    pair.nodes[1].kernel.broken = true;
    pair.cut();
    pair.nodes[1].kernel.dumps = 0;
    pair.role(1, true);
    pair.pass_ms(5000);
    // tried again, but not all the time
    assert!((3..8).contains(&pair.nodes[1].kernel.dumps));
    pair.nodes[1].kernel.broken = false;
    pair.pass_ms(1500);
    let now_s = pair.now_s();
    let ends = pair.nodes[1].kernel.flows.values().map(|it| it.1);
    assert!(
        ends.into_iter()
            .all(|expires_s| expires_s > now_s + 400_000)
    );
}

#[test]
fn a_node_that_could_not_make_its_connections_liberal_is_not_ready_until_it_has() {
    let mut pair = Pair::started();
    (0..8).for_each(|number| pair.traffic(0, &tcp(number)));
    pair.settle();
    pair.nodes[0].kernel.broken = true;
    pair.role(1, true);
    pair.role(0, false);
    pair.pass_ms(3000);
    assert_eq!(pair.nodes[0].in_sync, Some(false));
    pair.nodes[0].kernel.broken = false;
    pair.pass_ms(1500);
    let flows = pair.nodes[0].kernel.flows.values();
    assert!(
        flows
            .filter_map(|(flow, _)| flow.tcp)
            .all(|tcp| tcp.is_liberal())
    );
    pair.pass_ms(45_000);
    assert_eq!(pair.nodes[0].in_sync, Some(true));
}
