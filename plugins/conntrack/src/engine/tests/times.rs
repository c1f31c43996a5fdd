//! Tests the two ends of a flow: by the packets that pass a node, and by the peer's reports.

use super::groups::{alive, brief, carry, move_office, shared};
use super::*;
use crate::flow::TCP;

const SYN_SENT: u8 = 1;
const SYN_RECV: u8 = 2;
const ESTABLISHED: u8 = 3;
const FIN_WAIT: u8 = 4;
const LAST_ACK: u8 = 6;
const TIME_WAIT: u8 = 7;

/// Connection in a state, with the time that the kernel gives it.
fn in_state(number: u32, state: u8) -> Flow {
    let (timeout_s, bits) = match state {
        SYN_SENT => (120, 0),
        SYN_RECV => (60, status::SEEN_REPLY),
        ESTABLISHED => (432_000, status::SEEN_REPLY | status::ASSURED),
        LAST_ACK => (30, status::SEEN_REPLY | status::ASSURED),
        _ => (120, status::SEEN_REPLY | status::ASSURED),
    };
    let known = tcp(number);
    Flow {
        tcp: known.tcp.map(|tcp| Tcp { state, ..tcp }),
        status: bits,
        timeout_s: Some(timeout_s),
        ..known
    }
}

fn state(pair: &Pair, at: usize, flow: &Flow) -> Option<u8> {
    let (there, _) = pair.nodes[at].kernel.flows.get(&name(flow))?;
    there.state()
}

/// Sends a packet of one direction: it must find the flow, or the kernel drops it.
#[track_caller]
fn segment(pair: &mut Pair, at: usize, number: u32, state: u8) {
    let flow = in_state(number, state);
    let known = pair.nodes[at].kernel.flows.contains_key(&name(&flow));
    assert!(
        known || state == SYN_SENT,
        "dropped by node {at} in {state}"
    );
    pair.traffic(at, &flow);
    // no time passes until the peer has it
    pair.step();
}

fn open_across(pair: &mut Pair, number: u32) {
    segment(pair, 0, number, SYN_SENT);
    segment(pair, 1, number, SYN_RECV);
    segment(pair, 0, number, ESTABLISHED);
}

#[test]
fn a_connection_of_which_each_node_sees_one_direction_opens_and_closes_on_both() {
    let mut pair = shared();
    open_across(&mut pair, 1);
    let flow = in_state(1, ESTABLISHED);
    assert_eq!(
        [0, 1].map(|at| state(&pair, at, &flow)),
        [Some(ESTABLISHED); 2]
    );
    pair.assert_equal();
    // an hour of packets, each direction on its own path
    for _ in 0..360 {
        pair.traffic(0, &flow);
        pair.traffic(1, &flow);
        pair.pass_ms(10_000);
    }
    pair.assert_equal();
    segment(&mut pair, 0, 1, FIN_WAIT);
    segment(&mut pair, 1, 1, LAST_ACK);
    segment(&mut pair, 0, 1, TIME_WAIT);
    assert_eq!(
        [0, 1].map(|at| state(&pair, at, &flow)),
        [Some(TIME_WAIT); 2]
    );
    pair.pass_ms(125_000);
    assert_eq!(
        [0, 1].map(|at| alive(&pair, at, std::slice::from_ref(&flow))),
        [0, 0]
    );
}

#[test]
fn a_connection_that_closes_on_its_new_path_keeps_the_time_of_its_state() {
    let mut pair = shared();
    open_across(&mut pair, 1);
    let flow = in_state(1, ESTABLISHED);
    carry(&mut pair, 0, std::slice::from_ref(&flow), 5);
    // its packets pass the other node from now on, which still hears that it lives here
    for state in [FIN_WAIT, TIME_WAIT] {
        segment(&mut pair, 1, 1, state);
    }
    for _ in 0..13 {
        if let Some((_, expires_s)) = pair.nodes[1].kernel.flows.get(&name(&flow)) {
            let left_s = expires_s - pair.now_s();
            assert!(left_s <= 120, "{left_s} s");
        }
        pair.pass_ms(10_000);
    }
    let flows = [flow];
    assert_eq!([0, 1].map(|at| alive(&pair, at, &flows)), [0, 0]);
}

#[test]
fn both_nodes_make_a_shared_connection_liberal() {
    let mut pair = shared();
    open_across(&mut pair, 1);
    pair.traffic(1, &tcp(2));
    pair.pass_ms(50_000);
    for node in &pair.nodes {
        let flows = node.kernel.flows.values();
        let mut connections = flows.filter_map(|(flow, _)| flow.tcp);
        assert!(connections.all(|tcp| tcp.is_liberal()));
    }
}

#[test]
fn a_copy_is_not_told_back() {
    let mut pair = shared();
    let flows: Vec<Flow> = (0..8).map(udp).collect();
    let sent = pair.nodes[1].engine.counters.sent.flows;
    for _ in 0..30 {
        carry(&mut pair, 0, &flows, 1);
        pair.pass_ms(20_000);
    }
    assert_eq!(alive(&pair, 1, &flows), 8);
    let counters = &pair.nodes[1].engine.counters;
    assert_eq!((counters.sent.flows - sent, counters.sent.alive), (0, 0));
    // so it expires on both when its packets end
    pair.pass_ms(125_000);
    assert_eq!([0, 1].map(|at| alive(&pair, at, &flows)), [0, 0]);
}

#[test]
fn a_packet_shortly_before_the_peer_first_names_its_flow_is_seen() {
    for before_s in 0..8 {
        let mut pair = shared();
        let flow = udp(1);
        pair.traffic(0, &flow);
        pair.pass_ms(20_000);
        pair.traffic(1, &flow);
        pair.pass_ms(1000 * (10 - before_s));
        pair.traffic(0, &flow);
        let expires_s = pair.now_s() as u32 + 120;
        pair.pass_ms(1000 * before_s);
        for at in [1, 0] {
            let now_ns = pair.now_ns;
            pair.nodes[at].engine.request_resync(now_ns);
            pair.step();
        }
        let table = &pair.nodes[0].engine.table;
        let slot = table.find(table.hash(&flow)).expect("it is there");
        assert_eq!(
            table.get(slot).own_expiry_s,
            expires_s,
            "{before_s} s before"
        );
    }
}

#[test]
fn what_expires_where_no_packet_passes_any_more_lives_where_they_pass() {
    let mut pair = shared();
    let flows: Vec<Flow> = (0..8).map(brief).collect();
    carry(&mut pair, 0, &flows, 3);
    // their path changes without an event
    for _ in 0..100 {
        carry(&mut pair, 1, &flows, 3);
        assert_eq!([0, 1].map(|at| alive(&pair, at, &flows)), [8, 8]);
    }
    flows.iter().for_each(|flow| pair.expire(0, flow));
    pair.settle();
    assert_eq!([0, 1].map(|at| alive(&pair, at, &flows)), [8, 8]);
    assert_eq!(pair.nodes[1].engine.counters.applied.kept, 8);
}

#[test]
fn a_hand_deletes_on_both_nodes_what_either_carries() {
    for at in [0, 1] {
        let mut pair = shared();
        let flows: Vec<Flow> = (0..8).map(tcp).collect();
        for _ in 0..3 {
            carry(&mut pair, 0, &flows, 3);
            carry(&mut pair, 1, &flows, 3);
        }
        flows.iter().for_each(|flow| pair.end(at, flow));
        pair.settle();
        assert_eq!([0, 1].map(|at| alive(&pair, at, &flows)), [0, 0]);
    }
}

#[test]
fn a_hand_on_the_node_that_does_not_carry_it_deletes_nothing() {
    let mut pair = shared();
    let flows: Vec<Flow> = (0..8).map(tcp).collect();
    carry(&mut pair, 0, &flows, 3);
    flows.iter().for_each(|flow| pair.end(1, flow));
    pair.settle();
    assert_eq!([0, 1].map(|at| alive(&pair, at, &flows)), [8, 8]);
}

/// Destroys a flow as the kernel does to make room for a new one with the same ends.
fn make_room(pair: &mut Pair, at: usize, flow: &Flow) {
    let now_s = Some(pair.now_s());
    pair.nodes[at].kernel.destroy(now_s, flow, By::Traffic);
}

#[test]
fn ends_that_are_used_again_at_once_are_another_connection() {
    for last in [ESTABLISHED, TIME_WAIT] {
        let mut pair = shared();
        open_across(&mut pair, 1);
        segment(&mut pair, 0, 1, last);
        pair.pass_ms(100_000);
        make_room(&mut pair, 0, &in_state(1, last));
        pair.step();
        segment(&mut pair, 0, 1, SYN_SENT);
        let flow = in_state(1, SYN_SENT);
        assert_eq!(state(&pair, 1, &flow), Some(SYN_SENT), "after {last}");
        segment(&mut pair, 1, 1, SYN_RECV);
        segment(&mut pair, 0, 1, ESTABLISHED);
        pair.pass_ms(100_000);
        assert_eq!(state(&pair, 1, &flow), Some(ESTABLISHED));
        pair.assert_equal();
    }
}

/// The kernel finds the old one expired when a packet of the new one arrives.
#[test]
fn a_flow_that_expires_and_begins_again_at_once_is_on_both_nodes() {
    let closed = in_state(2, TIME_WAIT);
    for (flow, again) in [(udp(1), udp(1)), (closed, in_state(2, SYN_SENT))] {
        for is_there in [true, false] {
            let mut pair = shared();
            pair.traffic(0, &flow);
            pair.settle();
            if !is_there {
                // its kernel has sent no events
                pair.nodes[1].kernel.flows.clear();
            }
            let resyncs = pair.nodes[0].engine.counters.resyncs;
            pair.expire(0, &flow);
            pair.traffic(0, &again);
            pair.settle();
            assert_eq!(
                alive(&pair, 1, std::slice::from_ref(&again)),
                1,
                "{}",
                flow.original
            );
            let table = &pair.nodes[1].engine.table;
            assert!(table.find(table.hash(&flow)).is_some());
            assert_eq!(pair.nodes[0].engine.counters.resyncs, resyncs);
            assert_eq!(state(&pair, 1, &again), again.state());
            pair.pass_ms(45_000);
            assert_eq!(
                [0, 1].map(|at| alive(&pair, at, std::slice::from_ref(&again))),
                [1, 1]
            );
            assert_eq!(pair.nodes[0].engine.counters.lost_there, 0);
        }
    }
}

#[test]
fn what_the_kernel_drops_for_want_of_room_is_gone_on_both_a_second_later() {
    let mut pair = shared();
    pair.traffic(0, &tcp(1));
    pair.settle();
    make_room(&mut pair, 0, &tcp(1));
    pair.pass_ms(500);
    assert_eq!(alive(&pair, 1, &[tcp(1)]), 1, "a new one might follow");
    pair.pass_ms(600);
    assert_eq!([0, 1].map(|at| alive(&pair, at, &[tcp(1)])), [0, 0]);
    // except where packets of it pass
    open_across(&mut pair, 2);
    make_room(&mut pair, 0, &tcp(2));
    pair.pass_ms(1100);
    assert_eq!([0, 1].map(|at| alive(&pair, at, &[tcp(2)])), [1, 1]);
}

#[test]
fn a_stray_syn_does_not_set_back_a_connection_that_carries_packets() {
    let mut pair = shared();
    open_across(&mut pair, 1);
    let flow = in_state(1, ESTABLISHED);
    make_room(&mut pair, 0, &flow);
    pair.step();
    pair.traffic(
        1,
        &Flow {
            mark: 1,
            ..flow.clone()
        },
    );
    segment(&mut pair, 0, 1, SYN_SENT);
    assert_eq!(
        [0, 1].map(|at| state(&pair, at, &flow)),
        [Some(ESTABLISHED); 2]
    );
}

#[test]
fn ten_minutes_without_a_link_and_then_a_death_lose_nothing() {
    for is_shared in [false, true] {
        let mut pair = if is_shared { shared() } else { Pair::started() };
        let kinds = [udp(1), brief(2), tcp(3), translated(4)];
        let unanswered = Flow {
            status: 0,
            timeout_s: Some(30),
            ..udp(5)
        };
        let flows = [&kinds[..], &[unanswered]].concat();
        carry(&mut pair, 0, &flows, 3);
        pair.cut();
        for _ in 0..60 {
            carry(&mut pair, 0, &flows, 1);
            pair.pass_ms(9000);
        }
        assert_eq!(alive(&pair, 1, &flows), 5, "shared: {is_shared}");
        pair.role(1, true);
        pair.settle();
        assert_eq!(alive(&pair, 1, &flows), 5, "shared: {is_shared}");
        let now_s = pair.now_s() as u32;
        assert_eq!(
            pair.nodes[1].engine.table.count_peer_only(now_s),
            0,
            "all is its own"
        );
        for (flow, expires_s) in pair.nodes[1].kernel.flows.values() {
            let left_s = expires_s - pair.now_s();
            let whole_timeout_s = match flow.original.protocol {
                // by a policy
                _ if flow.original == brief(2).original => 59,
                TCP => 431_990,
                _ => 29,
            };
            assert!(left_s >= whole_timeout_s, "{}: {left_s} s", flow.original);
        }
    }
}

#[test]
fn a_failover_without_a_link_ends_the_renewal_of_copies() {
    let mut pair = Pair::started();
    let flows: Vec<Flow> = (0..8).map(tcp).collect();
    carry(&mut pair, 0, &flows, 3);
    pair.cut();
    pair.role(1, true);
    pair.settle();
    let dumps = pair.nodes[1].kernel.dumps;
    pair.pass_ms(200_000);
    assert_eq!(pair.nodes[1].kernel.dumps, dumps, "walks for nothing");
    assert_eq!(alive(&pair, 1, &flows), 8);
}

#[test]
fn a_link_that_never_comes_back_keeps_no_flow_for_ever() {
    let mut pair = shared();
    let flows: Vec<Flow> = (0..8).map(udp).collect();
    carry(&mut pair, 0, &flows, 3);
    pair.cut();
    pair.pass_ms(3_590_000);
    assert_eq!(alive(&pair, 1, &flows), 8);
    pair.pass_ms(140_000);
    assert_eq!(alive(&pair, 1, &flows), 0);
}

#[test]
fn a_link_that_comes_back_for_a_moment_ends_no_keeping() {
    let mut pair = Pair::started();
    let flows: Vec<Flow> = (0..8).map(udp).collect();
    carry(&mut pair, 0, &flows, 3);
    pair.cut();
    pair.pass_ms(5000);
    let now_ns = pair.now_ns;
    pair.nodes[1].engine.handle_up(now_ns, wire::VERSION);
    pair.nodes[1].engine.handle_down(now_ns);
    carry(&mut pair, 0, &flows, 300);
    assert_eq!(alive(&pair, 1, &flows), 8);
    // though not forever
    pair.pass_ms(3_500_000);
    assert_eq!(alive(&pair, 1, &flows), 0);
}

#[test]
fn what_ended_while_the_link_was_cut_is_gone_when_it_is_back() {
    let mut pair = shared();
    let flows: Vec<Flow> = (0..8).map(tcp).collect();
    carry(&mut pair, 0, &flows, 3);
    pair.cut();
    flows[..4].iter().for_each(|flow| pair.end(0, flow));
    pair.pass_ms(60_000);
    pair.connect();
    pair.settle();
    assert_eq!([0, 1].map(|at| alive(&pair, at, &flows)), [4, 4]);
    pair.assert_equal();
}

/// Two flows that leave from one address and port, as two nodes may choose independently.
fn of_one_port() -> [Flow; 2] {
    let mut flows = [translated(1), translated(2)];
    let ends = flows[0].reply.ports;
    flows[1].reply.ports = ends;
    flows
}

fn address_of(flow: &Flow) -> crate::wire::Address {
    (false, flow.reply.destination)
}

#[test]
fn of_two_flows_with_one_translated_end_that_of_the_node_with_the_address_stays() {
    for holder in [Some(0), Some(1), None] {
        let mut pair = shared();
        let flows = of_one_port();
        if let Some(at) = holder {
            let held = [address_of(&flows[0])].into();
            pair.nodes[at]
                .engine
                .handle_own_addresses(pair.now_ns, held);
            pair.settle();
        }
        (0..2).for_each(|at| pair.traffic(at, &flows[at]));
        pair.pass_ms(100_000);
        // the second node has the greater key
        let winner = holder.unwrap_or(1);
        for at in [0, 1] {
            assert_eq!(
                alive(&pair, at, &[flows[winner].clone()]),
                1,
                "{holder:?}, node {at}"
            );
            assert_eq!(
                alive(&pair, at, &[flows[1 - winner].clone()]),
                0,
                "{holder:?}"
            );
        }
    }
}

#[test]
fn flows_that_are_answered_on_the_other_node_are_counted_and_told_once() {
    let mut pair = shared();
    let held = [address_of(&translated(1))].into();
    pair.nodes[1].engine.handle_own_addresses(pair.now_ns, held);
    pair.pass_ms(3000);
    (1..4).for_each(|number| pair.traffic(0, &translated(number)));
    let unfenced = pair.nodes[0].engine.take_destinations().len();
    let fenced = 0;
    pair.nodes[0]
        .engine
        .handle_egress(EgressCounts { fenced, unfenced });
    pair.pass_ms(200_000);
    let [here, there] = &pair.nodes;
    let told = |node: &Node| {
        node.warnings
            .iter()
            .filter(|it| it.contains("3 flows"))
            .count()
    };
    assert_eq!((told(here), told(there)), (1, 0));
    assert!(here.engine.summary().contains("3 translated"));
    move_office(&mut pair, 1);
    pair.settle();
    assert!(!pair.nodes[0].engine.summary().contains("translated"));
}

#[test]
fn with_both_nodes_active_a_new_flow_waits_for_nothing() {
    let mut pair = shared();
    pair.traffic(0, &tcp(1));
    pair.step();
    assert_eq!(alive(&pair, 1, &[tcp(1)]), 1);
    // with one active node, changes are gathered
    let mut pair = Pair::started();
    pair.traffic(0, &tcp(1));
    pair.step();
    pair.traffic(0, &tcp(2));
    pair.step();
    assert_eq!(alive(&pair, 1, &[tcp(2)]), 0);
}

#[test]
fn a_peer_that_begins_anew_takes_no_flow_for_its_own() {
    let mut pair = shared();
    let flows: Vec<Flow> = (0..8).map(udp).collect();
    carry(&mut pair, 0, &flows, 3);
    pair.cut();
    pair.nodes[1].engine = Engine::new([99, 98]);
    pair.nodes[1].kernel.subscription = Subscription::Nothing;
    pair.role_of("guests", 1, true);
    pair.connect();
    pair.settle();
    for _ in 0..20 {
        carry(&mut pair, 0, &flows, 10);
        assert_eq!([0, 1].map(|at| alive(&pair, at, &flows)), [8, 8]);
    }
    let now_s = pair.now_s() as u32;
    assert_eq!(pair.nodes[0].engine.table.count_peer_only(now_s), 0);
    pair.pass_ms(250_000);
    assert_eq!([0, 1].map(|at| alive(&pair, at, &flows)), [0, 0]);
}

#[test]
fn a_group_that_goes_has_its_connections_made_liberal() {
    let mut pair = shared();
    pair.role_of("more", 0, true);
    (0..8).for_each(|number| pair.traffic(0, &tcp(number)));
    pair.settle();
    let loosened = pair.nodes[0].kernel.loosened;
    move_office(&mut pair, 1);
    pair.settle();
    assert!(pair.nodes[0].kernel.loosened >= loosened + 8);
    assert_eq!(pair.nodes[0].in_sync, Some(true));
}

#[test]
fn a_full_table_is_told_with_the_number_of_flows_that_are_missing() {
    let mut pair = Pair::started();
    pair.nodes[1].kernel.limit = 10;
    (0..30).for_each(|number| pair.traffic(0, &tcp(number)));
    // each resync finds them missing again
    for _ in 0..3 {
        pair.pass_ms(1000);
        pair.nodes[0].engine.request_resync(pair.now_ns);
    }
    assert_eq!(pair.nodes[1].warnings.len(), 1);
    // one of them is retried every ten seconds
    pair.pass_ms(75_000);
    let (told, engine) = (&pair.nodes[1].warnings, &pair.nodes[1].engine);
    assert!(engine.counters.refused.full > 25);
    assert_eq!((told.len(), engine.channel.missing.count()), (2, 20));
    let names = |text: &String| text.contains("20 flows of the other node are not here");
    assert!(told.iter().all(names), "{told:?}");
}

#[test]
fn a_full_table_is_said_a_few_times() {
    let mut pair = Pair::started();
    pair.nodes[1].kernel.limit = 10;
    pair.nodes[1].said = 0;
    for round in 0..50 {
        (0..20).for_each(|number| pair.traffic(0, &tcp(20 * round + number)));
        pair.pass_ms(100);
    }
    assert_eq!(pair.nodes[1].in_sync, Some(false));
    assert!(pair.nodes[1].said <= 7, "{} in 5 s", pair.nodes[1].said);
    assert_eq!(pair.nodes[1].warnings.len(), 1);
}
