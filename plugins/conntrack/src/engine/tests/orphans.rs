//! Tests flows that belong to another connection, their master, which may come after them or never.

use spared_netlink::attributes;
use spared_netlink::constants as c;

use super::super::How;
use super::super::kernel_events::Event;
use super::kernel::MASTER;
use super::*;
use crate::codec::GENERIC_HEADER;
use crate::codec::build;
use crate::codec::parse::attribute;

/// Connection with this number that belongs to another one.
fn child(number: u32, master: &Flow) -> Flow {
    let mut flow = tcp(number);
    attribute(MASTER, &name(master), &mut flow.extra);
    flow
}

#[test]
fn a_flow_that_a_resync_brings_before_its_master_is_there_when_it_ends() {
    let mut pair = Pair::new(&Settings::default());
    // in the dump they are before their masters
    for number in 0..20 {
        pair.traffic(0, &child(number, &tcp(1000 + number)));
        pair.traffic(0, &tcp(1000 + number));
    }
    pair.role(0, true);
    pair.role(1, false);
    pair.connect();
    while pair.nodes[1].in_sync != Some(true) {
        pair.pass_ms(1);
    }
    pair.assert_equal();
}

#[test]
fn a_backup_is_not_in_sync_while_a_flow_waits_for_a_master_that_never_comes() {
    let mut pair = Pair::new(&Settings::default());
    for number in 0..20 {
        pair.traffic(0, &child(number, &tcp(1000 + number)));
    }
    pair.role(0, true);
    pair.role(1, false);
    pair.connect();
    while pair.nodes[1].in_sync != Some(true) {
        pair.pass_ms(1);
    }
    // without their masters
    assert_eq!(pair.nodes[1].kernel.flows.len(), 20);
}

#[test]
fn a_flow_that_ends_while_it_waits_for_its_master_stays_ended() {
    for waits_ms in [1, 500, 1100, 1500] {
        let mut pair = Pair::started();
        let flow = child(1, &tcp(1000));
        pair.traffic(0, &flow);
        pair.pass_ms(waits_ms);
        pair.end(0, &flow);
        pair.pass_ms(5000);
        pair.assert_equal();
        assert_eq!(pair.nodes[1].engine.table.len(), 0, "after {waits_ms} ms");
    }
}

#[test]
fn a_flow_that_began_again_while_it_waited_for_its_master_is_the_later_one() {
    for waits_ms in [1, 500, 1100, 1500] {
        let mut pair = Pair::started();
        let master = tcp(1000);
        let flow = child(1, &master);
        pair.traffic(0, &flow);
        pair.pass_ms(waits_ms);
        pair.traffic(0, &master);
        pair.expire(0, &flow);
        pair.traffic(0, &Flow { mark: 7, ..flow });
        pair.pass_ms(5000);
        pair.assert_equal();
    }
}

/// Request of an expectation of this connection's helper.
fn expectation(master: &Flow) -> Vec<u8> {
    let mut key = Vec::new();
    build::name(&mut key, master);
    let (header, rest) = key.split_at(GENERIC_HEADER);
    let (_, tuple) = attributes(rest).next().expect("the original tuple");
    let mut request = header.to_vec();
    attribute(c::CTA_EXPECT_MASTER, tuple, &mut request);
    attribute(c::CTA_EXPECT_TUPLE, b"expected", &mut request);
    request
}

#[test]
fn an_expectation_whose_master_never_comes_is_dropped_and_no_flow_counts_as_refused() {
    let mut pair = Pair::started();
    let now_ns = pair.now_ns;
    let event = Event::Expected(true, expectation(&tcp(1000)));
    let engine = &mut pair.nodes[0].engine;
    engine.handle_event(now_ns, event, By::Traffic);
    pair.pass_ms(10_000);
    let engine = &mut pair.nodes[1].engine;
    assert_eq!(engine.counters.refused.other, 0);
    assert!(engine.channel.orphans.is_empty());
    let last = KernelChange {
        how: How::Expect(true, expectation(&tcp(1000))),
        flow: Flow::default(),
        timeout_s: 0,
        whole: false,
        tries: 3,
    };
    const ENOMEM: i32 = 12;
    engine.handle_refused(now_ns, last, ENOMEM);
    assert_eq!(engine.channel.missing.count(), 0);
    assert_eq!(engine.counters.refused.full, 0);
}

#[test]
fn an_expectation_that_ends_while_it_waits_for_its_master_stays_ended() {
    for ends in [false, true] {
        let mut pair = Pair::started();
        let master = tcp(1000);
        let expect = |pair: &mut Pair, yes: bool| {
            let event = Event::Expected(yes, expectation(&master));
            let now_ns = pair.now_ns;
            pair.nodes[0]
                .engine
                .handle_event(now_ns, event, By::Traffic);
            pair.pass_ms(1);
        };
        expect(&mut pair, true);
        if ends {
            expect(&mut pair, false);
        }
        pair.traffic(0, &master);
        pair.pass_ms(5000);
        let expectations = &pair.nodes[1].kernel.expectations;
        assert_eq!(expectations.is_empty(), ends, "{expectations:?}");
    }
}

#[test]
fn an_expectation_that_was_used_here_does_not_come_back_by_what_the_peer_read_before() {
    let mut pair = Pair::started();
    let request = expectation(&tcp(1000));
    let expect = |pair: &mut Pair, yes: bool| {
        pair.nodes[1].engine.expect_here(yes, &request);
        pair.pass_ms(1);
        pair.nodes[1].kernel.expectations.len()
    };
    pair.traffic(0, &tcp(1000));
    pair.pass_ms(5000);
    assert_eq!(expect(&mut pair, true), 1);
    let now_ns = pair.now_ns;
    pair.nodes[1].engine.handle_role(now_ns, "office", true);
    // the connection arrives, and the peer has not heard of it
    pair.nodes[1].kernel.expectations.clear();
    assert_eq!(expect(&mut pair, true), 0);
    expect(&mut pair, false);
    assert_eq!(expect(&mut pair, true), 1, "another one");
}
