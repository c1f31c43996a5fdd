//! Tests that nothing is lost silently: overruns, refusals, restarts, changes by others.

use spared_replica::wire::OWN;

use super::super::Due;
use super::super::kernel_events::Event;
use super::super::table::flag;
use super::groups::{alive, shared};
use super::*;
use crate::codec::parse::attribute;

#[test]
fn an_overrun_is_made_good_by_a_resync() {
    let mut pair = Pair::started();
    (0..100).for_each(|number| pair.traffic(0, &tcp(number)));
    pair.settle();
    pair.nodes[0].kernel.buffer = 10;
    (100..300).for_each(|number| pair.traffic(0, &tcp(number)));
    (0..100).for_each(|number| pair.end(0, &tcp(number)));
    pair.settle();
    pair.assert_equal();
    assert_eq!(pair.nodes[1].kernel.flows.len(), 200);
    assert_eq!(pair.nodes[0].engine.counters.local.overruns, 1);
    assert_eq!(pair.nodes[0].engine.table.len(), 200);
    assert_eq!(pair.nodes[1].engine.table.len(), 200);
}

#[test]
fn what_an_overrun_loses_is_told_though_an_older_record_waits() {
    let mut pair = Pair::started();
    // a batch leaves at once, and what follows gathers for the next one
    for flows in [20..21, 0..20] {
        flows.for_each(|number| pair.traffic(0, &udp(number)));
        pair.step();
    }
    pair.nodes[0].kernel.buffer = 0;
    for number in 0..20 {
        let mark = 1 + number;
        pair.traffic(
            0,
            &Flow {
                mark,
                ..udp(number)
            },
        );
    }
    pair.settle();
    assert_eq!(pair.nodes[0].engine.counters.local.overruns, 1);
    pair.assert_equal();
}

#[test]
fn what_ends_unheard_and_begins_again_during_a_resync_is_named_though_its_record_waits() {
    let mut pair = Pair::started();
    // a batch leaves at once, and what follows gathers for the next one
    for flows in [20..21, 0..5] {
        flows.for_each(|number| pair.traffic(0, &udp(number)));
        pair.step();
    }
    for number in 0..5 {
        pair.nodes[0].kernel.flows.remove(&name(&udp(number)));
    }
    let now_ns = pair.now_ns;
    pair.nodes[0].engine.request_resync(now_ns);
    pair.nodes[0].perform(now_ns);
    (0..5).for_each(|number| pair.traffic(0, &udp(number)));
    pair.settle();
    pair.assert_equal();
    assert_eq!(pair.nodes[1].kernel.flows.len(), 6);
}

#[test]
fn what_ends_while_its_record_waits_and_its_hash_is_told_ends_at_the_peer() {
    let mut pair = Pair::started();
    (0..10).for_each(|number| pair.traffic(0, &udp(number)));
    pair.settle();
    pair.cut();
    pair.connect();
    let now_ns = pair.now_ns;
    pair.nodes[0].engine.request_resync(now_ns);
    pair.step();
    (0..10).for_each(|number| pair.end(0, &udp(number)));
    pair.settle();
    pair.assert_equal();
}

#[test]
fn what_is_destroyed_while_a_dump_is_read_stays_destroyed() {
    let mut pair = Pair::started();
    (0..40).for_each(|number| pair.traffic(0, &tcp(number)));
    pair.settle();
    let now_ns = pair.now_ns;
    pair.nodes[0].engine.request_resync(now_ns);
    pair.nodes[0].engine.handle_timeout(now_ns);
    pair.nodes[0].perform(now_ns);
    // each piece is older than the events before it is read
    for number in 0..40 {
        pair.end(0, &tcp(number));
        pair.nodes[0].hear(now_ns);
        if number % 3 == 0 {
            pair.nodes[0].read_dump(now_ns);
        }
    }
    pair.settle();
    assert!(pair.nodes[1].kernel.flows.is_empty());
    assert_eq!(pair.nodes[0].engine.table.len(), 0);
}

#[test]
fn without_a_peer_no_walk_deletes_what_the_table_does_not_know() {
    let mut pair = Pair::started();
    (0..12).for_each(|number| pair.traffic(0, &tcp(number)));
    pair.settle();
    // they wait behind a long walk, since both were active and the peer has ended its resync
    pair.nodes[0].engine.walks.request(Due::Strays);
    pair.nodes[0].engine.walks.request(Due::Prune);
    pair.traffic(0, &tcp(12));
    pair.nodes[0].kernel.events.clear();
    pair.cut();
    pair.pass_ms(5000);
    assert_eq!(pair.nodes[0].kernel.flows.len(), 13);
}

#[test]
fn what_is_destroyed_while_the_peer_s_first_resync_is_read_stays_destroyed() {
    let mut pair = Pair::started();
    (0..40).for_each(|number| pair.traffic(0, &tcp(number)));
    pair.settle();
    // known by the earlier key alone, until the dump has it
    pair.rounds = 1;
    pair.restart(1, false);
    let begins = |pair: &mut Pair| {
        pair.step();
        pair.nodes[0].engine.walks.is_resync()
    };
    assert!((0..100).any(|_| begins(&mut pair)), "no resync");
    pair.rounds = ROUNDS;
    for number in 0..40 {
        pair.end(0, &tcp(number));
        pair.nodes[0].hear(pair.now_ns);
        if number % 3 == 0 {
            pair.nodes[0].read_dump(pair.now_ns);
        }
    }
    pair.settle();
    assert!(pair.nodes[1].kernel.flows.is_empty());
    assert_eq!(pair.nodes[0].engine.table.len(), 0);
}

#[test]
fn what_ends_after_a_resync_has_passed_it_is_missed_by_nobody() {
    let mut pair = Pair::started();
    (0..40).for_each(|number| pair.traffic(0, &tcp(number)));
    pair.settle();
    let now_ns = pair.now_ns;
    pair.nodes[1].in_sync = None;
    pair.nodes[0].engine.request_resync(now_ns);
    pair.nodes[0].perform(now_ns);
    for _ in 0..5 {
        pair.nodes[0].read_dump(now_ns);
    }
    (0..10).for_each(|number| pair.end(0, &tcp(number)));
    // including a flow that comes and goes meanwhile
    pair.traffic(0, &udp(1));
    pair.nodes[0].hear(now_ns);
    pair.end(0, &udp(1));
    pair.settle();
    pair.assert_equal();
    assert_eq!(pair.nodes[0].engine.counters.lost_there, 0);
    assert_eq!(pair.nodes[1].in_sync, None, "it was in sync all the time");
}

#[test]
fn what_changed_while_a_dump_is_read_is_not_set_back() {
    let mut pair = Pair::started();
    (0..12).for_each(|number| pair.traffic(0, &tcp(number)));
    pair.settle();
    let now_ns = pair.now_ns;
    pair.nodes[0].engine.request_resync(now_ns);
    pair.nodes[0].engine.handle_timeout(now_ns);
    pair.nodes[0].perform(now_ns);
    for number in 0..12 {
        let mut changed = tcp(number);
        changed.mark = 1000 + number;
        pair.traffic(0, &changed);
    }
    pair.settle();
    pair.assert_equal();
    pair.pass_ms(100_000);
    pair.assert_equal();
}

#[test]
fn a_mark_that_the_peer_reports_while_a_dump_is_read_is_not_set_back() {
    let mut pair = shared();
    (0..2).for_each(|at| pair.traffic(at, &udp(1)));
    // so long that the resync sends its time
    pair.pass_ms(60_000);
    let now_ns = pair.now_ns;
    pair.nodes[0].engine.request_resync(now_ns);
    pair.nodes[0].perform(now_ns);
    let marked = Flow { mark: 5, ..udp(1) };
    let kernel = &mut pair.nodes[1].kernel;
    let expires_s = kernel.flows[&name(&marked)].1;
    kernel
        .update(&marked, expires_s, false)
        .expect("it is there");
    kernel.tell(Event::Changed(marked), By::Request);
    pair.nodes[1].hear(now_ns);
    while let Some(message) = pair.nodes[1].engine.poll_message(now_ns) {
        let message = message.to_vec();
        pair.nodes[1].engine.message_sent(now_ns);
        let heard = pair.nodes[0].engine.handle_message(now_ns, &message);
        assert_eq!(heard, Ok(()));
        pair.nodes[0].perform(now_ns);
    }
    pair.settle();
    let marks = [0, 1].map(|at| pair.nodes[at].kernel.flows[&name(&udp(1))].0.mark);
    assert_eq!(marks, [5, 5]);
}

#[test]
fn what_somebody_deletes_on_the_backup_comes_back() {
    let mut pair = Pair::started();
    (0..30).for_each(|number| pair.traffic(0, &translated(number)));
    pair.settle();
    (0..30).for_each(|number| pair.end(1, &translated(number)));
    pair.settle();
    pair.assert_equal();
    assert_eq!(pair.nodes[1].engine.counters.lost, 30);
    assert_eq!(pair.nodes[0].engine.counters.lost_there, 30);
}

#[test]
fn a_backup_is_not_in_sync_until_what_its_kernel_lost_is_back() {
    let losses: [fn(&mut Pair); 3] = [
        |pair| pair.end(1, &tcp(3)),
        |pair| {
            let mut labelled = tcp(3);
            attribute(22, &[1; 16], &mut labelled.extra);
            pair.nodes[1]
                .kernel
                .tell(Event::Changed(labelled), By::Request);
        },
        |pair| {
            // without an event
            pair.nodes[1].kernel.flows.remove(&name(&tcp(3)));
            pair.traffic(0, &Flow { mark: 1, ..tcp(3) });
            while pair.to[1].is_empty() {
                pair.now_ns += MS;
                pair.turn(0);
            }
        },
    ];
    for (number, lose) in losses.into_iter().enumerate() {
        let mut pair = Pair::started();
        (0..10).for_each(|number| pair.traffic(0, &tcp(number)));
        pair.settle();
        lose(&mut pair);
        // what was asked for stays in the channel
        pair.room = 0;
        pair.settle();
        assert_eq!(pair.nodes[1].in_sync, Some(false), "loss {number}");
        pair.room = usize::MAX;
        pair.settle();
        pair.assert_equal();
        assert_eq!(pair.nodes[1].in_sync, Some(true), "loss {number}");
    }
}

#[test]
fn a_flow_that_ends_on_both_nodes_at_once_is_missing_for_a_moment_only() {
    let mut pair = Pair::started();
    (0..10).for_each(|number| pair.traffic(0, &tcp(number)));
    pair.settle();
    let resyncs = pair.nodes[0].engine.counters.resyncs;
    (0..2).for_each(|at| pair.expire(at, &tcp(3)));
    pair.nodes[1].hear(pair.now_ns);
    pair.nodes[1].tell_in_sync();
    assert_eq!(pair.nodes[1].in_sync, Some(false));
    pair.pass_ms(50);
    assert_eq!(pair.nodes[1].in_sync, Some(true));
    assert_eq!(pair.nodes[0].engine.counters.resyncs, resyncs);
}

#[test]
fn what_somebody_changes_on_the_backup_is_put_right() {
    let mut pair = Pair::started();
    (0..5).for_each(|number| pair.traffic(0, &tcp(number)));
    pair.settle();
    let marked = Flow { mark: 9, ..tcp(1) };
    let closed = Flow {
        tcp: tcp(2).tcp.map(|tcp| Tcp { state: 7, ..tcp }),
        ..tcp(2)
    };
    let mut labelled = tcp(3);
    attribute(22, &[1; 16], &mut labelled.extra);
    for flow in [marked, closed, labelled] {
        let kernel = &mut pair.nodes[1].kernel;
        let (there, _) = kernel.flows.get_mut(&name(&flow)).expect("a copy");
        *there = flow.clone();
        kernel.tell(Event::Changed(flow), By::Request);
    }
    assert_eq!(pair.differences().len(), 6);
    pair.settle();
    pair.assert_equal();
    assert_eq!(pair.nodes[1].in_sync, Some(true));
}

#[test]
fn what_a_kernel_drops_silently_after_the_offer_comes_back() {
    let mut pair = Pair::started();
    pair.cut();
    (0..30).for_each(|number| pair.traffic(0, &tcp(number)));
    pair.role(1, true);
    pair.role(0, false);
    pair.up = true;
    let now_ns = pair.now_ns;
    let nodes = pair.nodes.iter_mut();
    nodes.for_each(|node| node.engine.handle_up(now_ns, wire::VERSION));
    while pair.nodes[1].kernel.flows.len() < 30 {
        pair.turn(0);
        pair.turn(1);
        pair.now_ns += MS;
    }
    for number in 0..3 {
        pair.nodes[0].kernel.flows.remove(&name(&tcp(number)));
    }
    // the peer's next resync sends them
    pair.pass_ms(41_000);
    pair.assert_equal();
    assert_eq!(pair.nodes[0].engine.counters.lost, 3);
    assert_eq!(pair.nodes[0].in_sync, Some(true));
}

#[test]
fn what_a_kernel_drops_silently_before_a_walk_that_only_deletes_comes_back() {
    let mut pair = Pair::started();
    pair.cut();
    (0..30).for_each(|number| pair.traffic(0, &tcp(number)));
    pair.role(1, true);
    pair.role(0, false);
    pair.up = true;
    let now_ns = pair.now_ns;
    let nodes = pair.nodes.iter_mut();
    nodes.for_each(|node| node.engine.handle_up(now_ns, wire::VERSION));
    while pair.nodes[1].kernel.flows.len() < 30 {
        pair.turn(0);
        pair.turn(1);
        pair.now_ns += MS;
    }
    for number in 0..3 {
        pair.nodes[0].kernel.flows.remove(&name(&tcp(number)));
    }
    while pair.nodes[0].engine.walks.is_on() {
        pair.turn(0);
    }
    // the peer's hashes come while the walk is under way
    pair.nodes[0].engine.walks.request(Due::Prune);
    pair.nodes[0].perform(pair.now_ns);
    let dump = pair.nodes[0].kernel.dump.take();
    assert!(dump.is_some(), "no walk");
    pair.pass_ms(500);
    pair.nodes[0].kernel.dump = dump;
    pair.pass_ms(1000);
    pair.assert_equal();
    assert_eq!(pair.nodes[0].in_sync, Some(true));
}

#[test]
fn what_a_walk_misses_is_said_until_it_is_back() {
    let mut pair = Pair::started();
    (0..30).for_each(|number| pair.traffic(0, &tcp(number)));
    pair.settle();
    pair.nodes[1].kernel.flows.remove(&name(&tcp(3)));
    pair.room = 0;
    pair.nodes[1].engine.handle_overrun(pair.now_ns);
    pair.settle();
    assert_eq!(pair.nodes[1].in_sync, Some(false));
    pair.room = usize::MAX;
    pair.settle();
    pair.assert_equal();
    assert_eq!(pair.nodes[1].in_sync, Some(true));
}

#[test]
fn a_record_that_waits_goes_with_a_flow_that_a_walk_does_not_find() {
    let mut pair = shared();
    (0..2).for_each(|at| pair.traffic(at, &udp(1)));
    pair.settle();
    let node = &mut pair.nodes[0];
    node.kernel
        .traffic(pair.now_ns / SECOND_NS, &Flow { mark: 1, ..udp(1) });
    node.hear(pair.now_ns);
    // then it ends on both nodes, unheard
    node.kernel.flows.clear();
    let table = &mut node.engine.table;
    let slot = table.find(table.hash(&udp(1))).expect("it is known");
    table.get_mut(slot).own_expiry_s = 0;
    table.set_flag(slot, flag::ENDED_AT_PEER, true);
    let waiting = table.get(slot).waiting();
    node.engine.walks.request(Due::Prune);
    node.perform(pair.now_ns);
    while node.engine.walks.is_on() {
        node.read_dump(pair.now_ns);
    }
    assert_eq!(node.engine.table.len(), 0);
    assert!(node.engine.channel.outbox.change_mut(waiting).is_none());
}

#[test]
fn a_full_table_is_said_and_filled_when_there_is_room() {
    let mut pair = Pair::started();
    pair.nodes[1].kernel.limit = 10;
    (0..30).for_each(|number| pair.traffic(0, &tcp(number)));
    pair.settle();
    assert_eq!(pair.nodes[1].kernel.flows.len(), 10);
    assert_eq!(pair.nodes[1].engine.counters.refused.full, 20);
    assert_eq!(pair.nodes[1].in_sync, Some(false));
    pair.pass_ms(1000);
    assert!(pair.nodes[1].warnings[0].contains("nf_conntrack_max"));
    // resyncs retry it, without a storm
    pair.pass_ms(120_000);
    assert!(pair.nodes[0].engine.counters.resyncs <= 10);
    // one flow is enough to detect that there is room
    pair.nodes[1].kernel.limit = usize::MAX;
    pair.pass_ms(12_000);
    pair.assert_equal();
    assert_eq!(pair.nodes[1].in_sync, Some(true));
}

#[test]
fn a_full_table_whose_flows_come_and_go_is_no_storm_of_resyncs() {
    let mut pair = Pair::started();
    pair.nodes[1].kernel.limit = 10;
    (0..30).for_each(|number| pair.traffic(0, &tcp(number)));
    pair.settle();
    let resyncs = pair.nodes[0].engine.counters.resyncs;
    for second in 0..300 {
        pair.end(0, &tcp(second));
        pair.traffic(0, &tcp(30 + second));
        pair.pass_ms(1_000);
    }
    assert_eq!(pair.nodes[1].in_sync, Some(false));
    // one every 40 s without requests, and two more for each flow that found room
    let resyncs = pair.nodes[0].engine.counters.resyncs - resyncs;
    assert!(resyncs <= 30, "{resyncs}");
    pair.nodes[1].kernel.limit = usize::MAX;
    pair.pass_ms(45_000);
    pair.assert_equal();
    assert_eq!(pair.nodes[1].in_sync, Some(true));
}

#[test]
fn a_flow_that_found_no_room_is_not_tried_after_its_end() {
    enum End {
        Told,
        Unheard,
        Apart,
    }
    for end in [End::Told, End::Unheard, End::Apart] {
        let mut pair = Pair::started();
        pair.nodes[1].kernel.limit = 10;
        (0..12).for_each(|number| pair.traffic(0, &tcp(number)));
        pair.settle();
        // the last one that was refused is tried first
        match end {
            End::Told => pair.expire(0, &tcp(11)),
            End::Unheard => {
                pair.expire(0, &tcp(11));
                pair.nodes[0].kernel.events.clear();
                let now_ns = pair.now_ns;
                pair.nodes[0].engine.request_resync(now_ns);
            }
            End::Apart => {
                pair.cut();
                pair.expire(0, &tcp(11));
                pair.pass_ms(20_000);
                (pair.up, pair.room) = (true, 1);
                let now_ns = pair.now_ns;
                let nodes = pair.nodes.iter_mut();
                nodes.for_each(|node| node.engine.handle_up(now_ns, wire::VERSION));
                while !pair.nodes[1].engine.peer_is_active() {
                    pair.turn(0);
                    pair.turn(1);
                }
                pair.room = 0;
            }
        }
        pair.nodes[1].kernel.limit = usize::MAX;
        pair.pass_ms(15_000);
        assert_eq!(alive(&pair, 1, &[tcp(11)]), 0);
        pair.room = usize::MAX;
        pair.pass_ms(60_000);
        pair.assert_equal();
        assert_eq!(pair.nodes[1].in_sync, Some(true));
    }
}

#[test]
fn what_the_kernel_refuses_for_ever_keeps_nobody_from_being_ready() {
    let mut pair = Pair::started();
    let odd = [tcp(3), translated(50)];
    pair.nodes[1].kernel.refused = odd.iter().map(name).collect();
    (0..10).for_each(|number| pair.traffic(0, &tcp(number)));
    pair.traffic(0, &odd[1]);
    pair.settle();
    assert_eq!(pair.nodes[1].kernel.flows.len(), 9);
    pair.nodes[1].in_sync = None;
    let resyncs = pair.nodes[0].engine.counters.resyncs;
    for second in 0..600 {
        let changed = Flow {
            mark: second,
            ..odd[1].clone()
        };
        pair.traffic(0, &changed);
        pair.pass_ms(1000);
    }
    assert_eq!(pair.nodes[1].in_sync, None, "ready all the time");
    // one every 40 s, and one for each time that they are retried
    let resyncs = pair.nodes[0].engine.counters.resyncs - resyncs;
    assert!((15..=17).contains(&resyncs), "{resyncs}");
    assert!(pair.nodes[1].engine.counters.refused.invalid >= 4);
    pair.nodes[1].kernel.refused.clear();
    pair.pass_ms(400_000);
    pair.assert_equal();
    let engine = &pair.nodes[1].engine;
    let is_refused = |flow: &Flow| engine.channel.missing.is_refused(engine.table.hash(flow));
    assert!(!odd.iter().any(is_refused));
}

#[test]
fn who_waits_for_what_has_gone_is_told_so_soon() {
    use crate::wire::Message;
    let mut pair = Pair::started();
    let now_ns = pair.now_ns;
    let engine = &mut pair.nodes[1].engine;
    let number = engine.peer.as_ref().map_or(0, |peer| peer.resync) + 1;
    let serial = engine
        .replica
        .replica()
        .serial()
        .expect("nothing was dropped");
    for message in [
        Message::Resync {
            number,
            lease_s: 120,
            serial,
        },
        Message::Alive(&[9; 8]),
        Message::Resynced { number, flows: 1 },
    ] {
        let heard = engine.handle_message(now_ns, &message.encode());
        assert_eq!(heard, Ok(()));
    }
    pair.step();
    assert_eq!(pair.nodes[1].in_sync, Some(false));
    pair.pass_ms(1100);
    assert_eq!(pair.nodes[1].in_sync, Some(true));
}

#[test]
fn a_part_of_what_the_kernel_dropped_makes_no_half_of_a_flow() {
    let mut pair = Pair::started();
    pair.traffic(0, &translated(1));
    pair.settle();
    // without an event
    pair.nodes[1].kernel.flows.clear();
    pair.traffic(
        0,
        &Flow {
            mark: 3,
            ..translated(1)
        },
    );
    pair.settle();
    pair.assert_equal();
    assert_eq!(pair.nodes[1].engine.counters.lost, 1);
}

#[test]
fn another_flow_in_the_place_gives_way() {
    let mut pair = Pair::started();
    let now_s = pair.now_s();
    let mut stale = translated(5);
    stale.reply.ports = [0, 80, 9, 9];
    let mut conflict = tcp(6);
    conflict.original.source[..4].copy_from_slice(&[10, 9, 9, 9]);
    conflict.reply = translated(6).reply;
    pair.nodes[1].kernel.traffic(now_s, &stale);
    pair.nodes[1].kernel.traffic(now_s, &conflict);
    pair.traffic(0, &translated(5));
    pair.traffic(0, &translated(6));
    pair.settle();
    pair.assert_equal();
}

#[test]
fn either_end_may_be_restarted_at_any_time() {
    let mut pair = Pair::started();
    (0..50).for_each(|number| pair.traffic(0, &tcp(number)));
    pair.settle();
    for (at, active) in [(1, false), (0, true), (1, false)] {
        pair.restart(at, active);
        (0..10).for_each(|number| pair.end(0, &tcp(10 * number + at as u32)));
        pair.traffic(0, &udp(at as u32));
        pair.settle();
        pair.assert_equal();
    }
}

#[test]
fn a_cut_in_the_middle_of_the_first_resync_costs_another_one() {
    for cut_after in 0..12 {
        let mut pair = Pair::new(&Settings::default());
        (0..100).for_each(|number| pair.traffic(0, &translated(number)));
        pair.role(0, true);
        pair.role(1, false);
        pair.up = true;
        let now_ns = pair.now_ns;
        pair.nodes
            .iter_mut()
            .for_each(|node| node.engine.handle_up(now_ns, wire::VERSION));
        for _ in 0..cut_after {
            pair.turn(0);
            pair.turn(1);
        }
        pair.cut();
        (0..30).for_each(|number| pair.end(0, &translated(number)));
        pair.connect();
        pair.settle();
        pair.assert_equal();
        assert_eq!(pair.nodes[1].in_sync, Some(true));
    }
}

#[test]
fn garbage_is_counted_and_changes_nothing() {
    let mut pair = Pair::started();
    (0..5).for_each(|number| pair.traffic(0, &tcp(number)));
    pair.settle();
    let now_ns = pair.now_ns;
    let mut cut = Vec::new();
    crate::wire::begin_changes(&mut cut, 0);
    crate::wire::record(&mut cut, crate::wire::Kind::Whole, &tcp(77));
    cut.pop();
    for bytes in [
        &[][..],
        &[0],
        &[99, 1],
        &[OWN, 0],
        &[OWN + 2, 1, 2, 3],
        &[OWN + 5, 1, 9, 9, 9, 9, 9],
        &cut,
    ] {
        let heard = pair.nodes[1].engine.handle_message(now_ns, bytes);
        assert!(heard.is_err(), "{bytes:?}");
    }
    pair.settle();
    assert_eq!(pair.nodes[1].engine.replica.replica().garbage().0, 7);
    assert_eq!(pair.nodes[1].warnings.len(), 1, "once");
    pair.assert_equal();
}

#[test]
fn what_was_in_a_message_that_is_dropped_is_asked_for_again() {
    let mut pair = Pair::started();
    (0..5).for_each(|number| pair.traffic(0, &tcp(number)));
    pair.settle();
    pair.traffic(0, &translated(50));
    pair.traffic(0, &Flow { mark: 1, ..tcp(1) });
    pair.end(0, &tcp(2));
    // until the message is in transit
    while pair.to[1].is_empty() {
        pair.now_ns += MS;
        pair.turn(0);
    }
    let message = pair.to[1].back_mut().expect("it waits");
    assert_eq!(message[0], OWN);
    message.truncate(20);
    pair.nodes[1].is_damaged = true;
    pair.settle();
    assert_eq!(pair.nodes[1].in_sync, Some(false));
    assert_eq!(pair.differences().len(), 4);
    pair.pass_ms(1000);
    pair.assert_equal();
    assert_eq!(pair.nodes[1].in_sync, Some(true));
}

#[test]
fn what_a_backup_reports_is_sent_again_though_its_report_was_under_way_when_it_was_asked() {
    let mut pair = Pair::started();
    (200..220).for_each(|number| pair.traffic(0, &tcp(number)));
    pair.settle();
    pair.cut();
    pair.role(1, true);
    (0..100).for_each(|number| pair.traffic(1, &tcp(number)));
    pair.settle();
    pair.role(1, false);
    pair.up = true;
    let now_ns = pair.now_ns;
    let nodes = pair.nodes.iter_mut();
    nodes.for_each(|node| node.engine.handle_up(now_ns, wire::VERSION));
    // until records are the next that arrives
    while pair.to[0].front().is_none_or(|message| message[0] != OWN) {
        pair.now_ns += MS;
        pair.turn(1);
        pair.turn(0);
    }
    let message = pair.to[0].front_mut().expect("it waits");
    message.truncate(20);
    pair.nodes[0].is_damaged = true;
    let dump = pair.nodes[1].kernel.dump.take();
    assert!(dump.is_some(), "its report has ended");
    pair.pass_ms(1500);
    pair.nodes[1].kernel.dump = pair.nodes[1].kernel.dump.take().or(dump);
    pair.pass_ms(5000);
    pair.assert_equal();
    assert_eq!(pair.nodes[0].kernel.flows.len(), 120);
}

#[test]
fn a_slow_channel_holds_back_no_more_than_it_may() {
    let mut pair = Pair::started();
    pair.room = 0;
    for round in 0..3 {
        (0..10_000).for_each(|number| pair.traffic(0, &tcp(round * 10_000 + number)));
        pair.pass_ms(100);
    }
    assert!(
        pair.nodes[0].engine.channel.outbox.len() <= super::super::outbox::WAITING_MAX + 10_000
    );
    // neither time alone nor the peer's requests fill it
    let waiting = pair.nodes[0].engine.channel.outbox.len();
    pair.pass_ms(20_000);
    assert_eq!(pair.nodes[0].engine.channel.outbox.len(), waiting);
    pair.room = usize::MAX;
    pair.pass_ms(1000);
    pair.assert_equal();
}

#[test]
fn a_resync_that_must_be_repeated_begins_anew_once_the_burst_is_over() {
    let mut pair = Pair::started();
    (0..400).for_each(|number| pair.traffic(0, &tcp(number)));
    pair.settle();
    let resyncs = |pair: &Pair| pair.nodes[0].engine.counters.resyncs;
    let before = resyncs(&pair);
    let node = &mut pair.nodes[0];
    node.engine.handle_overrun(pair.now_ns);
    node.perform(pair.now_ns);
    for ms in 0..60 {
        let now_ns = pair.now_ns + ms * MS;
        if ms < 30 {
            node.engine.handle_overrun(now_ns);
        }
        node.read_dump(now_ns);
        node.perform(now_ns);
    }
    assert_eq!(node.engine.counters.resyncs, before + 2, "only once");
    assert!(node.engine.walks.is_resync());
    pair.pass_ms(300);
    assert_eq!(resyncs(&pair), before + 2, "and that one is enough");
    pair.assert_equal();
}

#[test]
fn bursts_that_follow_each_other_let_each_second_resync_come_to_its_end() {
    use crate::wire::Message;
    let mut pair = Pair::started();
    (0..400).for_each(|number| pair.traffic(0, &tcp(number)));
    pair.settle();
    let node = &mut pair.nodes[0];
    let (before, mut ended) = (node.engine.counters.resyncs, 0);
    for ms in 0..10_000 {
        let now_ns = pair.now_ns + ms * MS;
        if ms % 40 == 0 {
            node.engine.handle_overrun(now_ns);
        }
        node.read_dump(now_ns);
        node.perform(now_ns);
        while let Some(message) = node.engine.poll_message(now_ns) {
            let is_end = matches!(Message::decode(message), Ok(Message::Resynced { .. }));
            ended += u64::from(is_end);
            node.engine.message_sent(now_ns);
        }
    }
    assert!(ended > 40, "{ended}");
    assert!(node.engine.counters.resyncs - before <= 2 * ended + 2);
}

#[test]
fn a_backup_is_not_in_sync_while_lost_events_are_made_up_for() {
    let mut pair = Pair::started();
    (0..400).for_each(|number| pair.traffic(0, &tcp(number)));
    pair.settle();
    assert_eq!(pair.nodes[1].in_sync, Some(true));
    // one burst, and another during the resync for it
    for turns in [20, 40] {
        pair.nodes[0].kernel.overrun = true;
        for _ in 0..turns {
            pair.turn(0);
            pair.turn(1);
        }
        assert!(pair.nodes[0].engine.walks.is_resync());
        assert_eq!(pair.nodes[1].in_sync, Some(false));
        let told = pair.nodes[1].told.clone();
        assert_eq!(
            told,
            Some(Err("the other node reads its flows again".to_owned()))
        );
    }
    pair.settle();
    assert_eq!(pair.nodes[1].in_sync, Some(true));
    pair.assert_equal();
}

#[test]
fn what_the_kernel_did_not_answer_for_is_missed_until_it_is_back() {
    let mut pair = Pair::started();
    (0..10).for_each(|number| pair.traffic(0, &udp(number)));
    pair.settle();
    pair.nodes[1].kernel.broken = true;
    for number in 5..15 {
        let changed = Flow {
            mark: 5,
            ..udp(number)
        };
        pair.traffic(0, &changed);
    }
    pair.settle();
    assert_eq!(pair.nodes[1].in_sync, Some(false));
    // the link is not kept busy either
    let resyncs = pair.nodes[0].engine.counters.resyncs;
    pair.pass_ms(20_000);
    assert!(pair.nodes[0].engine.counters.resyncs - resyncs <= 3);
    pair.nodes[1].kernel.broken = false;
    pair.pass_ms(45_000);
    pair.assert_equal();
    assert_eq!(pair.nodes[1].in_sync, Some(true));
}

#[test]
fn more_refused_flows_than_are_remembered_are_missing_and_cost_no_resync_each() {
    let mut pair = Pair::started();
    let flows: Vec<Flow> = (0..4200).map(tcp).collect();
    pair.nodes[1].kernel.refused = flows.iter().map(name).collect();
    flows.iter().for_each(|flow| pair.traffic(0, flow));
    pair.pass_ms(1000);
    assert_eq!(pair.nodes[1].in_sync, Some(false));
    let resyncs = pair.nodes[0].engine.counters.resyncs;
    for mark in 0..120 {
        let changed = Flow {
            mark: 1 + mark,
            ..tcp(4150 + mark % 50)
        };
        pair.traffic(0, &changed);
        pair.pass_ms(1000);
    }
    assert_eq!(pair.nodes[1].in_sync, Some(false));
    // one every 40 s without requests, and one more for the retry
    let resyncs = pair.nodes[0].engine.counters.resyncs - resyncs;
    assert!(resyncs <= 8, "{resyncs}");
    pair.nodes[1].kernel.refused.clear();
    pair.pass_ms(400_000);
    pair.assert_equal();
    assert_eq!(pair.nodes[1].in_sync, Some(true));
}

#[test]
fn a_table_that_cannot_be_read_is_tried_again_after_longer_and_longer_pauses() {
    let mut pair = Pair::started();
    (0..20).for_each(|number| pair.traffic(0, &tcp(number)));
    pair.settle();
    let now_ns = pair.now_ns;
    for node in &mut pair.nodes {
        (node.kernel.is_unreadable, node.kernel.dumps) = (true, 0);
        node.engine.handle_overrun(now_ns);
    }
    pair.pass_ms(2000);
    assert_eq!([0, 1].map(|at| pair.nodes[at].kernel.dumps), [5, 5]);
    pair.pass_ms(60_000);
    assert_eq!([0, 1].map(|at| pair.nodes[at].kernel.dumps), [10, 10]);
    let resyncs = pair.nodes[0].engine.counters.resyncs;
    pair.nodes
        .iter_mut()
        .for_each(|it| it.kernel.is_unreadable = false);
    pair.pass_ms(30_000);
    assert_eq!(pair.nodes[0].engine.counters.resyncs, resyncs + 1);
    assert_eq!(pair.nodes[1].in_sync, Some(true));
    pair.assert_equal();
}

#[test]
fn strays_are_dropped_though_the_walk_for_them_fails_at_first() {
    let mut pair = Pair::new(&Settings::default());
    (0..10).for_each(|number| pair.traffic(1, &tcp(number)));
    pair.role(0, true);
    pair.role(1, false);
    pair.nodes[1].kernel.is_unreadable = true;
    pair.connect();
    pair.settle();
    assert_eq!(pair.nodes[1].kernel.flows.len(), 10);
    pair.nodes[1].kernel.is_unreadable = false;
    pair.settle();
    assert!(pair.nodes[1].kernel.flows.is_empty());
}

/// Flow with the same ends, translated to another port.
fn translated_anew(number: u32) -> Flow {
    let mut flow = translated(number);
    flow.reply.ports = [0, 80, 9, number as u8];
    flow
}

/// Ends the flow and begins it again.
fn begin_anew(pair: &mut Pair, number: u32) {
    pair.expire(0, &translated(number));
    pair.traffic(0, &translated_anew(number));
}

#[test]
fn a_flow_that_began_again_unheard_gets_its_new_translation() {
    for is_shared in [false, true] {
        let start = || if is_shared { shared() } else { Pair::started() };
        let mut pair = start();
        (0..8).for_each(|number| pair.traffic(0, &translated(number)));
        pair.settle();
        pair.cut();
        (0..4).for_each(|number| begin_anew(&mut pair, number));
        pair.pass_ms(20_000);
        pair.connect();
        pair.pass_ms(1000);
        pair.assert_equal();
        // flows that only a resync finds
        (4..8).for_each(|number| begin_anew(&mut pair, number));
        pair.nodes[0].kernel.events.clear();
        pair.pass_ms(85_000);
        pair.assert_equal();
        pair.pass_ms(45_000);
        pair.assert_equal();
        assert_eq!([0, 1].map(|at| pair.nodes[at].in_sync), [Some(true); 2]);
    }
}

#[test]
fn a_flow_that_begins_again_while_a_dump_is_read_keeps_its_new_translation() {
    let mut pair = Pair::started();
    (0..12).for_each(|number| pair.traffic(0, &translated(number)));
    pair.settle();
    let now_ns = pair.now_ns;
    pair.nodes[0].engine.request_resync(now_ns);
    pair.nodes[0].perform(now_ns);
    (0..12).for_each(|number| begin_anew(&mut pair, number));
    pair.nodes[0].hear(now_ns);
    // the peer has it before the older piece is read
    pair.now_ns += 100 * MS;
    while let Some(message) = pair.nodes[0].engine.poll_message(pair.now_ns) {
        pair.to[1].push_back(message.to_vec());
        pair.nodes[0].engine.message_sent(pair.now_ns);
    }
    pair.settle();
    pair.assert_equal();
}

#[test]
fn of_two_translations_of_one_flow_that_of_the_greater_key_stays_on_both() {
    let mut pair = shared();
    pair.cut();
    pair.traffic(0, &translated(1));
    pair.traffic(1, &translated_anew(1));
    pair.settle();
    pair.connect();
    pair.settle();
    pair.assert_equal();
    assert_eq!(pair.nodes[0].kernel.flows.len(), 1);
    pair.pass_ms(100_000);
    pair.assert_equal();
}

#[test]
fn a_flow_that_only_the_kernel_here_knew_gets_what_the_peer_knows_more() {
    let mut pair = shared();
    let closing = Flow {
        tcp: tcp(1).tcp.map(|tcp| Tcp { state: 4, ..tcp }),
        ..tcp(1)
    };
    // its event has not been read yet
    let now_s = pair.now_s();
    pair.nodes[1].kernel.traffic(now_s, &tcp(1));
    pair.nodes[1].kernel.events.clear();
    pair.traffic(0, &closing);
    pair.settle();
    assert_eq!(pair.nodes[1].engine.counters.refused.exists, 0);
    pair.assert_equal();
}
