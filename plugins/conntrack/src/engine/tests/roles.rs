//! Tests failovers, switchovers, and two nodes that were both active.

use super::super::kernel_events::Event;
use super::super::walk_queue::Due;
use super::groups::{alive, carry, shared};
use super::*;
use crate::wire::Address;

#[test]
fn a_failover_writes_no_flow_before_its_addresses_and_restores_times_after() {
    let mut pair = Pair::started();
    let mut young = udp(1);
    young.status = 0;
    young.timeout_s = Some(30);
    let mut busy = tcp(2);
    busy.timeout_s = Some(300);
    let mut own_rule = udp(3);
    own_rule.timeout_s = Some(5000);
    for flow in [&young, &busy, &own_rule] {
        pair.traffic(0, flow);
    }
    pair.settle();
    let creates = pair.nodes[1].kernel.creates;
    pair.cut();
    pair.role(1, true);
    pair.settle();
    let kernel = &pair.nodes[1].kernel;
    assert_eq!(kernel.creates, creates);
    let now_s = pair.now_s();
    let left_s = |flow: &Flow| {
        kernel
            .flows
            .get(&name(flow))
            .map(|(_, expires_s)| expires_s - now_s)
    };
    assert_eq!(left_s(&young), Some(30), "not its lease");
    assert_eq!(left_s(&busy), Some(432_000));
    assert_eq!(
        left_s(&own_rule),
        Some(5000),
        "longer than the protocol's, as it came"
    );
    assert!(
        pair.nodes[1].events[0].contains("1 timeouts restored"),
        "{:?}",
        pair.nodes[1].events
    );
}

#[test]
fn a_node_that_was_active_before_the_link_was_cut_keeps_no_copies() {
    let mut pair = Pair::started();
    pair.traffic(0, &udp(1));
    pair.settle();
    pair.role(1, true);
    pair.cut();
    pair.pass_ms(130_000);
    assert_eq!(pair.nodes[1].kernel.flows.len(), 0, "all flows are its own");
}

/// A group that is removed or renamed.
#[test]
fn a_group_that_is_gone_keeps_no_flow_a_copy() {
    for is_gone in [false, true] {
        let mut pair = Pair::started();
        let now_ns = pair.now_ns;
        let engine = &mut pair.nodes[1].engine;
        engine.handle_role(now_ns, "gone", false);
        if is_gone {
            engine.handle_group_gone("gone");
        }
        pair.role(1, true);
        assert_eq!(pair.nodes[1].engine.roles.has_all(), is_gone);
    }
}

/// The vrrp plugin ends, and with it the groups.
#[test]
fn a_backup_that_has_no_group_any_more_keeps_its_copies_without_a_link() {
    let mut pair = Pair::started();
    let flows: Vec<Flow> = (0..8).map(udp).collect();
    carry(&mut pair, 0, &flows, 3);
    pair.nodes[1].engine.handle_group_gone("office");
    pair.cut();
    carry(&mut pair, 0, &flows, 300);
    assert_eq!(alive(&pair, 1, &flows), 8);
}

#[test]
fn a_switchover_repeats_nothing_and_leaves_both_in_sync() {
    let mut pair = Pair::started();
    (0..100).for_each(|number| pair.traffic(0, &translated(number)));
    pair.settle();
    let sent = |pair: &Pair, at: usize| pair.nodes[at].engine.counters.sent.flows;
    let before = sent(&pair, 1);
    assert!(!pair.nodes[0].drain(pair.now_ns));
    pair.step();
    assert!(!pair.nodes[0].engine.is_draining());
    pair.role(1, true);
    pair.role(0, false);
    // packets still pass the old node
    pair.traffic(0, &tcp(500));
    pair.pass_ms(100);
    pair.traffic(1, &tcp(501));
    pair.settle();
    pair.assert_equal();
    assert!(sent(&pair, 1) - before <= 2);
    assert_eq!([0, 1].map(|at| pair.nodes[at].in_sync), [Some(true); 2]);
    pair.pass_ms(100_000);
    pair.assert_equal();
    // and back
    pair.role(0, true);
    pair.role(1, false);
    (0..50).for_each(|number| pair.end(0, &translated(number)));
    pair.pass_ms(100_000);
    pair.assert_equal();
    assert_eq!(
        pair.nodes[1]
            .engine
            .table
            .count_peer_only(pair.now_s() as u32),
        52
    );
}

#[test]
fn a_drain_ends_when_the_peer_has_all_of_it_or_is_gone() {
    let mut pair = Pair::started();
    for number in 1..3 {
        pair.traffic(0, &tcp(number));
        assert!(!pair.nodes[0].drain(pair.now_ns));
        while pair.turn(0) {}
        assert!(pair.nodes[0].engine.is_draining(), "all has left, no more");
        pair.step();
        assert!(!pair.nodes[0].engine.is_draining());
        pair.assert_equal();
    }
    assert!(!pair.nodes[0].drain(pair.now_ns));
    while pair.turn(0) {}
    pair.cut();
    assert!(!pair.nodes[0].engine.is_draining());
}

#[test]
fn a_drain_that_begins_with_a_full_outbox_ends_although_no_event_follows() {
    let mut pair = Pair::started();
    pair.room = 0;
    (0..20_000).for_each(|number| pair.traffic(0, &tcp(number)));
    pair.step();
    assert!(pair.nodes[0].engine.is_congested());
    assert!(!pair.nodes[0].drain(pair.now_ns));
    pair.room = usize::MAX;
    pair.step();
    assert!(!pair.nodes[0].engine.is_draining());
    pair.assert_equal();
}

#[test]
fn a_role_is_told_behind_what_was_told_before_it() {
    let mut pair = Pair::started();
    pair.traffic(0, &tcp(1));
    pair.settle();
    pair.role(1, true);
    // one message is in transit, the next one waits when the role goes
    pair.room = 0;
    pair.traffic(0, &tcp(2));
    pair.step();
    pair.end(0, &tcp(1));
    pair.step();
    pair.role(0, false);
    pair.room = usize::MAX;
    pair.settle();
    // a report from a node that carries nothing would not count
    assert!(!pair.nodes[1].kernel.flows.contains_key(&name(&tcp(1))));
    pair.assert_equal();
}

#[test]
fn after_a_partition_the_winner_s_flows_win_and_the_loser_s_unknown_ones_are_added() {
    for loser_first in [true, false] {
        let mut pair = Pair::started();
        (0..20).for_each(|number| pair.traffic(0, &tcp(number)));
        pair.settle();
        pair.cut();
        pair.role(1, true);
        let known = |mark: u32| Flow { mark, ..tcp(7) };
        pair.traffic(0, &known(1));
        pair.traffic(1, &known(2));
        pair.traffic(0, &translated(100));
        pair.traffic(1, &translated(200));
        pair.end(0, &tcp(3));
        pair.settle();
        // adverts settle the election before the link is back, or after it
        if loser_first {
            pair.role(1, false);
            pair.connect();
        } else {
            pair.connect();
            pair.pass_ms(20);
            pair.role(1, false);
        }
        pair.pass_ms(120_000);
        pair.assert_equal();
        let table = pair.nodes[0].kernel.table();
        let mark = |flow: &Flow| {
            table
                .iter()
                .find(|it| it.original == flow.original)
                .map(|it| it.mark)
        };
        // if both are active, the greater key decides
        let winner = if loser_first { 1 } else { 2 };
        assert_eq!(mark(&tcp(7)), Some(winner), "loser first: {loser_first}");
        assert_eq!(mark(&translated(100)), Some(0));
        assert_eq!(
            mark(&translated(200)),
            Some(0),
            "loser first: {loser_first}"
        );
    }
}

#[test]
fn the_table_of_a_node_that_steps_down_is_kept() {
    let mut pair = Pair::started();
    (0..10).for_each(|number| pair.traffic(0, &tcp(number)));
    pair.settle();
    let deletes = pair.nodes[0].kernel.deletes;
    pair.role(1, true);
    pair.role(0, false);
    pair.pass_ms(60_000);
    assert_eq!(pair.nodes[0].kernel.deletes, deletes);
    assert_eq!(pair.nodes[0].kernel.flows.len(), 10);
}

#[test]
fn a_backup_forgets_what_it_held_from_an_earlier_life() {
    let mut pair = Pair::new(&Settings::default());
    (0..10).for_each(|number| pair.traffic(1, &tcp(number)));
    (5..20).for_each(|number| pair.traffic(0, &tcp(number)));
    pair.role(0, true);
    pair.role(1, false);
    pair.connect();
    pair.settle();
    pair.assert_equal();
    assert_eq!(pair.nodes[1].kernel.flows.len(), 15);
}

#[test]
fn flows_translated_to_an_address_that_went_are_dropped_at_failover() {
    let address = |last: u8| {
        let mut bytes = [0; 16];
        bytes[..4].copy_from_slice(&[203, 0, 113, last]);
        (false, bytes)
    };
    let link_local = (true, [0xfe; 16]);
    // the node dies, or its line fails first: the addresses go one by one, and one may return for a moment
    let losses: [&[Vec<Address>]; 4] = [
        &[],
        &[vec![]],
        &[vec![link_local], vec![]],
        &[vec![], vec![address(1)], vec![]],
    ];
    for end in losses {
        let mut pair = Pair::started_with(&Settings {
            dynamic_nat: vec!["wan0".to_owned()],
            ..Settings::default()
        });
        let had = vec![address(1), link_local];
        let engine = &mut pair.nodes[0].engine;
        engine.handle_dynamic_addresses("wan0", had);
        pair.traffic(0, &translated(1));
        pair.traffic(0, &tcp(2));
        pair.settle();
        assert_eq!(pair.nodes[1].kernel.flows.len(), 2);
        for addresses in end {
            let engine = &mut pair.nodes[0].engine;
            engine.handle_dynamic_addresses("wan0", addresses.clone());
            pair.settle();
        }
        pair.cut();
        pair.role(1, true);
        pair.settle();
        assert_eq!(pair.nodes[1].kernel.table().len(), 1, "{end:?}");
        assert!(pair.nodes[1].kernel.flows.contains_key(&name(&tcp(2))));
        assert_eq!(pair.nodes[1].engine.table.len(), 1, "{end:?}");
        assert_eq!(pair.nodes[1].engine.addresses.dynamic_there().len(), 2);
    }
}

#[test]
fn an_address_that_another_one_replaced_is_forgotten() {
    use super::super::addresses::with_gone;
    let address = |last: u8| (false, [last; 16]);
    let ipv6 = (true, [6; 16]);
    let before = [address(1), address(2), ipv6];
    for (now, all) in [
        (vec![address(2)], vec![address(2), address(1), ipv6]),
        (vec![address(3)], vec![address(3), ipv6]),
        (
            vec![address(1), address(3)],
            vec![address(1), address(3), ipv6],
        ),
    ] {
        assert_eq!(with_gone(&before, now.clone()), all, "{now:?}");
    }
}

#[test]
fn what_is_no_longer_of_dynamic_nat_is_not_dropped() {
    let dynamic = Settings {
        dynamic_nat: vec!["wan0".to_owned()],
        ..Settings::default()
    };
    let mut pair = Pair::started_with(&dynamic);
    let mut address = [0; 16];
    address[..4].copy_from_slice(&[203, 0, 113, 1]);
    let (now_ns, engine) = (pair.now_ns, &mut pair.nodes[0].engine);
    engine.handle_dynamic_addresses("wan0", vec![(false, address)]);
    engine.configure(now_ns, Settings::default());
    pair.traffic(0, &translated(1));
    pair.settle();
    pair.cut();
    pair.role(1, true);
    pair.settle();
    assert_eq!(pair.nodes[1].kernel.table().len(), 1);
}

#[test]
fn two_that_are_active_for_different_groups_keep_each_other_s_flows() {
    let mut pair = Pair::started();
    pair.role(1, true);
    (0..10).for_each(|number| pair.traffic(0, &tcp(number)));
    (10..20).for_each(|number| pair.traffic(1, &tcp(number)));
    pair.settle();
    pair.assert_equal();
    let changed = Flow { mark: 4, ..tcp(12) };
    pair.traffic(1, &changed);
    pair.end(0, &tcp(5));
    pair.end(1, &tcp(15));
    pair.pass_ms(100_000);
    pair.assert_equal();
    assert_eq!(pair.nodes[0].kernel.flows.len(), 18);
}

#[test]
fn what_changes_before_the_old_one_has_stepped_down_is_told_again() {
    let mut pair = Pair::started();
    (0..10).for_each(|number| pair.traffic(0, &tcp(number)));
    pair.settle();
    pair.role(1, true);
    pair.traffic(1, &Flow { mark: 8, ..tcp(4) });
    pair.pass_ms(100);
    pair.role(0, false);
    pair.settle();
    pair.assert_equal();
    assert!(
        pair.nodes[0].engine.counters.applied.merged > 0,
        "it was passed over"
    );
}

#[test]
fn whoever_steps_down_makes_its_own_entries_liberal_before_it_is_ready_again() {
    let mut pair = Pair::started();
    (0..10).for_each(|number| pair.traffic(0, &tcp(number)));
    (0..10).for_each(|number| pair.traffic(0, &udp(number)));
    pair.settle();
    pair.role(1, true);
    pair.nodes[0].in_sync = None;
    pair.nodes[0]
        .engine
        .handle_role(pair.now_ns, "office", false);
    pair.nodes[1].engine.replica.split().0.request_repeat();
    pair.settle();
    assert_eq!(pair.nodes[0].kernel.loosened, 10);
    assert_eq!(pair.nodes[0].in_sync, Some(true));
    let flows = &pair.nodes[0].kernel.flows;
    let liberal = |(flow, _): &(Flow, u64)| flow.tcp.is_none_or(|tcp| tcp.is_liberal());
    assert!(flows.values().all(liberal));
}

/// A pair in sync, whose flows have timeouts that are not the kernel's.
fn with_twenty_busy() -> Pair {
    let mut pair = Pair::started();
    (0..20).for_each(|number| {
        let mut busy = tcp(number);
        busy.timeout_s = Some(300);
        pair.traffic(0, &busy);
    });
    pair.settle();
    pair
}

#[test]
fn timeouts_are_restored_whenever_the_link_or_the_old_one_s_word_ends() {
    for switchover in [false, true] {
        let mut pair = with_twenty_busy();
        // its walk has begun when the other node's report arrives
        pair.nodes[1]
            .engine
            .handle_role(pair.now_ns, "office", true);
        pair.nodes[1].perform(pair.now_ns);
        if switchover {
            pair.role(0, false)
        } else {
            pair.cut()
        }
        pair.settle();
        assert!(
            pair.nodes[1].events[0].starts_with("20 timeouts"),
            "{switchover}"
        );
    }
}

#[test]
fn a_failover_names_the_number_of_the_other_node_s_flows() {
    let mut pair = shared();
    (0..5).for_each(|number| pair.traffic(0, &tcp(number)));
    (5..8).for_each(|number| pair.traffic(1, &tcp(number)));
    pair.pass_ms(1000);
    pair.role_of("guests", 1, false);
    pair.role_of("guests", 1, true);
    let told = &pair.nodes[1].told_of;
    assert!(
        told.last().is_some_and(|it| it.starts_with("5 flows")),
        "{told:?}"
    );
}

#[test]
fn a_failover_waits_no_longer_for_a_table_that_could_not_be_read_before_it() {
    let mut pair = with_twenty_busy();
    pair.nodes[1].kernel.is_unreadable = true;
    let now_ns = pair.now_ns;
    pair.nodes[1].engine.handle_overrun(now_ns);
    pair.pass_ms(60_000);
    pair.cut();
    let dumps = pair.nodes[1].kernel.dumps;
    pair.role(1, true);
    assert!(pair.nodes[1].kernel.dumps > dumps, "at once");
    pair.nodes[1].kernel.is_unreadable = false;
    pair.settle();
    assert!(pair.nodes[1].events[0].starts_with("20 timeouts"));
}

#[test]
fn what_a_node_does_for_its_own_kernel_goes_on_when_a_peer_comes() {
    let mut pair = Pair::started();
    for number in 0..20 {
        let busy = Flow {
            timeout_s: Some(300),
            ..tcp(number)
        };
        pair.traffic(0, &busy);
    }
    pair.settle();
    pair.cut();
    // a node that has taken over, and one that has stepped down, both during their walks
    for at in [1, 0] {
        let now_ns = pair.now_ns;
        pair.nodes[at].engine.handle_role(now_ns, "office", at == 1);
        pair.nodes[at].perform(now_ns);
        pair.nodes[at].read_dump(now_ns);
    }
    pair.connect();
    pair.settle();
    let now_s = pair.now_s();
    let [old, new] = &pair.nodes;
    let has_full_time = |(_, expires_s): &(Flow, u64)| *expires_s > now_s + 400_000;
    assert!(new.kernel.flows.values().all(has_full_time));
    assert_eq!(old.kernel.loosened, 20);
    assert_eq!(old.in_sync, Some(true));
}

#[test]
fn a_walk_loses_nothing_that_comes_while_it_goes_on() {
    let mut pair = Pair::started();
    (0..20).for_each(|number| pair.traffic(0, &tcp(number)));
    pair.settle();
    let now_ns = pair.now_ns;
    // the kernel drops some without an event; the walk has passed the place of new ones
    for number in 0..5 {
        pair.nodes[1].kernel.flows.remove(&name(&tcp(number)));
    }
    pair.nodes[1].engine.handle_overrun(now_ns);
    pair.nodes[1].perform(now_ns);
    while pair.nodes[1]
        .kernel
        .dump
        .as_ref()
        .is_some_and(|it| !it.is_empty())
    {
        pair.nodes[1].read_dump(now_ns);
    }
    (100..110).for_each(|number| pair.traffic(0, &tcp(number)));
    pair.pass_ms(20);
    pair.settle();
    pair.assert_equal();
    assert_eq!(pair.nodes[1].engine.counters.lost, 5);
}

/// Connects the nodes for some turns of their loops. The channel stands still as soon as the first node reports its
/// flows: a cut is noticed later.
fn flap(pair: &mut Pair, turns: usize) {
    (pair.up, pair.room) = (true, 1);
    let now_ns = pair.now_ns;
    let nodes = pair.nodes.iter_mut();
    nodes.for_each(|node| node.engine.handle_up(now_ns, wire::VERSION));
    for _ in 0..turns {
        pair.now_ns += MS / 5;
        pair.turn(0);
        pair.turn(1);
        if pair.nodes[0].engine.walks.is_resync() {
            pair.room = 0;
        }
    }
    pair.cut();
    pair.room = usize::MAX;
}

#[test]
fn what_a_node_carried_alone_reaches_the_peer_however_often_the_link_is_cut() {
    let alone: Vec<Flow> = (100..120).map(tcp).collect();
    for steps_down_first in [true, false] {
        for turns in 0..60 {
            let mut pair = Pair::started();
            (0..10).for_each(|number| pair.traffic(0, &tcp(number)));
            pair.settle();
            pair.cut();
            pair.role(1, true);
            alone.iter().for_each(|flow| pair.traffic(0, flow));
            pair.settle();
            if steps_down_first {
                pair.role(0, false);
            }
            flap(&mut pair, turns);
            pair.role(0, false);
            flap(&mut pair, turns * 7 % 60);
            pair.pass_ms(2000);
            pair.connect();
            pair.pass_ms(3000);
            let alive = [0, 1].map(|at| alive(&pair, at, &alone));
            assert_eq!(alive, [20, 20], "after {turns} turns");
            pair.assert_equal();
        }
    }
}

#[test]
fn what_ended_at_the_peer_after_a_switchover_stays_ended_though_the_link_is_cut_soon_after() {
    let flows: Vec<Flow> = (0..20).map(tcp).collect();
    for turns in 0..40 {
        let mut pair = Pair::started();
        flows.iter().for_each(|flow| pair.traffic(0, flow));
        pair.settle();
        pair.role(1, true);
        let now_ns = pair.now_ns;
        pair.nodes[0].engine.handle_role(now_ns, "office", false);
        for _ in 0..turns {
            pair.now_ns += MS;
            pair.turn(0);
            pair.turn(1);
        }
        pair.cut();
        flows[..5].iter().for_each(|flow| pair.end(1, flow));
        pair.pass_ms(20_000);
        pair.connect();
        pair.pass_ms(5000);
        let alive = [0, 1].map(|at| alive(&pair, at, &flows));
        assert_eq!(alive, [15, 15], "after {turns} turns");
    }
}

/// Marks the flows on one node.
fn mark(pair: &mut Pair, at: usize, mark: u32) {
    for flow in (0..5).map(udp) {
        let flow = Flow { mark, ..flow };
        let kernel = &mut pair.nodes[at].kernel;
        let expires_s = kernel.flows[&name(&flow)].1;
        kernel.update(&flow, expires_s, false).expect("it is there");
        kernel.tell(Event::Changed(flow), By::Request);
    }
    pair.step();
}

/// A pair whose nodes were both active and marked flows, at the moment when they are connected again.
fn marked_on_both(parts: impl Fn(&mut Pair)) -> Pair {
    let mut pair = Pair::started();
    (0..5).for_each(|number| pair.traffic(0, &udp(number)));
    pair.settle();
    parts(&mut pair);
    pair.pass_ms(2000);
    (0..2).for_each(|at| mark(&mut pair, at, 10 + at as u32));
    pair.pass_ms(2000);
    pair
}

#[track_caller]
fn assert_marks(pair: &Pair, mark: u32) {
    for node in &pair.nodes {
        let marks: Vec<u32> = node.kernel.flows.values().map(|it| it.0.mark).collect();
        assert_eq!(marks, [mark; 5]);
    }
}

#[test]
fn after_a_cut_marks_are_those_of_the_node_that_stays_active() {
    for role_first in [false, true] {
        let mut pair = marked_on_both(|pair| {
            if role_first {
                pair.role(1, true);
                pair.cut();
            } else {
                pair.cut();
                pair.role(1, true);
            }
        });
        pair.connect();
        pair.role(0, false);
        pair.pass_ms(20_000);
        assert_marks(&pair, 11);
    }
}

#[test]
fn after_a_channel_stood_still_marks_are_those_of_the_node_that_stays_active() {
    for winner in [0, 1] {
        let mut pair = marked_on_both(|pair| {
            pair.room = 0;
            pair.role(1, true);
        });
        pair.room = usize::MAX;
        pair.step();
        pair.role(1 - winner, false);
        pair.pass_ms(20_000);
        assert_marks(&pair, 10 + winner as u32);
    }
}

/// Drops flows as an interface does that goes down with flows masqueraded there.
fn drop_by_kernel(pair: &mut Pair, at: usize, flows: &[Flow]) {
    let now_s = pair.now_s();
    let kernel = &mut pair.nodes[at].kernel;
    let drop = |flow| kernel.destroy(Some(now_s), flow, By::Traffic);
    flows.iter().for_each(drop);
    pair.step();
}

#[test]
fn what_an_interface_takes_with_it_lives_on_the_node_that_takes_over() {
    // more flows than the engine keeps with their ends
    let many: Vec<Flow> = (0..17_000).map(tcp).collect();
    let few: Vec<Flow> = (0..20).map(translated).collect();
    for (flows, drained_first) in [(&few, false), (&few, true), (&many, false)] {
        let mut pair = Pair::started();
        flows.iter().for_each(|flow| pair.traffic(0, flow));
        pair.settle();
        if !drained_first {
            drop_by_kernel(&mut pair, 0, flows);
        }
        assert!(!pair.nodes[0].drain(pair.now_ns));
        pair.step();
        if drained_first {
            drop_by_kernel(&mut pair, 0, flows);
        }
        pair.role(1, true);
        pair.role(0, false);
        pair.pass_ms(3000);
        assert_eq!(alive(&pair, 1, flows), flows.len(), "{drained_first}");
        pair.assert_equal();
        assert_eq!([0, 1].map(|at| pair.nodes[at].in_sync), [Some(true); 2]);
        pair.pass_ms(45_000);
        assert_eq!(alive(&pair, 1, flows), flows.len());
    }
}

#[test]
fn what_the_address_takes_with_it_after_a_switchover_comes_back_and_is_missed_until_then() {
    let mut pair = Pair::started();
    let flows: Vec<Flow> = (0..20).map(translated).collect();
    flows.iter().for_each(|flow| pair.traffic(0, flow));
    pair.settle();
    pair.role(1, true);
    pair.role(0, false);
    pair.settle();
    pair.room = 0;
    drop_by_kernel(&mut pair, 0, &flows);
    assert_eq!(pair.nodes[0].in_sync, Some(false));
    pair.room = usize::MAX;
    pair.settle();
    pair.assert_equal();
    assert_eq!([0, 1].map(|at| alive(&pair, at, &flows)), [20, 20]);
    assert_eq!(pair.nodes[0].in_sync, Some(true));
}

#[test]
fn what_the_kernel_drops_without_a_switchover_ends_on_both() {
    let many: Vec<Flow> = (0..17_000).map(tcp).collect();
    let few: Vec<Flow> = (0..20).map(translated).collect();
    for (flows, drains) in [(&few, false), (&few, true), (&many, false)] {
        let mut pair = Pair::started();
        flows.iter().for_each(|flow| pair.traffic(0, flow));
        pair.settle();
        drop_by_kernel(&mut pair, 0, flows);
        if drains {
            assert!(!pair.nodes[0].drain(pair.now_ns));
        }
        pair.pass_ms(if flows.len() > 20 { 45_000 } else { 4000 });
        assert_eq!(alive(&pair, 1, flows), 0, "{drains}");
        assert_eq!(pair.nodes[1].in_sync, Some(true));
    }
}

#[test]
fn what_an_interface_takes_from_a_group_lives_where_the_group_went_though_the_node_stays_active() {
    let mut pair = shared();
    pair.role_of("home", 0, true);
    let flows: Vec<Flow> = (0..10).map(translated).collect();
    flows.iter().for_each(|flow| pair.traffic(0, flow));
    pair.pass_ms(50_000);
    drop_by_kernel(&mut pair, 0, &flows);
    assert!(!pair.nodes[0].drain(pair.now_ns));
    pair.step();
    pair.role_of("home", 1, true);
    pair.role_of("home", 0, false);
    pair.pass_ms(20_000);
    assert_eq!(alive(&pair, 1, &flows), 10);
    carry(&mut pair, 1, &flows, 60);
    assert_eq!([0, 1].map(|at| alive(&pair, at, &flows)), [10, 10]);
    pair.assert_equal();
}

#[test]
fn who_steps_down_in_the_middle_of_its_resync_tells_the_rest_at_once() {
    let mut pair = Pair::started();
    (0..20).for_each(|number| pair.traffic(0, &tcp(number)));
    pair.settle();
    pair.cut();
    pair.role(1, true);
    (200..300).for_each(|number| pair.traffic(1, &tcp(number)));
    pair.settle();
    pair.up = true;
    let now_ns = pair.now_ns;
    let nodes = pair.nodes.iter_mut();
    nodes.for_each(|node| node.engine.handle_up(now_ns, wire::VERSION));
    while !pair.nodes[1].engine.walks.is_resync() {
        pair.turn(0);
        pair.turn(1);
    }
    pair.role(1, false);
    pair.pass_ms(3000);
    pair.assert_equal();
    assert_eq!(pair.nodes[0].kernel.flows.len(), 120);
}

#[test]
fn what_a_resync_did_not_name_does_not_come_back_to_life_by_a_failover() {
    for cut in [true, false] {
        let mut pair = Pair::started();
        let flows: Vec<Flow> = (0..20).map(udp).collect();
        flows.iter().for_each(|flow| pair.traffic(0, flow));
        pair.settle();
        for flow in &flows[..5] {
            pair.nodes[0].kernel.flows.remove(&name(flow));
        }
        pair.nodes[0].engine.request_resync(pair.now_ns);
        let mut now_ns = pair.now_ns;
        for _ in 0..100 {
            if pair.nodes[1].engine.walks.is_due(Due::Prune) {
                break;
            }
            now_ns += MS;
            pair.now_ns = now_ns;
            pair.turn(0);
            if let Some(message) = pair.to[1].pop_front() {
                let heard = pair.nodes[1].engine.handle_message(now_ns, &message);
                assert_eq!(heard, Ok(()));
            }
        }
        let took = |engine: &mut Engine| engine.handle_role(now_ns, "office", true);
        if cut {
            pair.cut();
            took(&mut pair.nodes[1].engine);
        } else {
            took(&mut pair.nodes[1].engine);
            pair.role(0, false);
        }
        pair.settle();
        assert_eq!(alive(&pair, 1, &flows[..5]), 0, "cut: {cut}");
        assert_eq!(alive(&pair, 1, &flows[5..]), 15, "cut: {cut}");
        let known = pair.nodes[1].engine.table.len();
        assert_eq!(known, 15, "cut: {cut}");
    }
}
