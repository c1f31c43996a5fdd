//! Tests times that a policy gives flows (`ct timeout`): after a failover copies have them, as the packets' events
//! showed.

use super::super::kernel_events::Event;
use super::super::packet::PacketTimeout;
use super::super::timeouts::Timeouts;
use super::groups::carry;
use super::*;

const POLICY_S: u32 = 77;

fn by_policy(number: u32) -> Flow {
    Flow {
        timeout_s: Some(POLICY_S),
        ..tcp(number)
    }
}

/// Remaining time of the flow in a node's kernel.
fn left_s(pair: &Pair, at: usize, flow: &Flow) -> Option<u32> {
    let found = pair.nodes[at].kernel.find(pair.now_s(), flow);
    found.and_then(|it| it.timeout_s)
}

fn die(pair: &mut Pair) {
    pair.cut();
    pair.role(1, true);
    pair.pass_ms(500);
}

#[test]
fn a_failover_restores_the_time_of_the_policy_and_of_others_that_of_the_protocol() {
    let mut pair = Pair::started();
    let flows = [by_policy(1), tcp(2), udp(3)];
    carry(&mut pair, 0, &flows, 100);
    die(&mut pair);
    assert_eq!(left_s(&pair, 1, &flows[0]), Some(POLICY_S));
    let usual = flows[1..].iter().map(|flow| left_s(&pair, 1, flow));
    assert_eq!(usual.collect::<Vec<_>>(), [Some(432_000), Some(120)]);
}

#[test]
fn a_plugin_that_begins_anew_on_the_backup_is_told_of_it() {
    let mut pair = Pair::started();
    carry(&mut pair, 0, &[by_policy(1)], 10);
    pair.restart(1, false);
    pair.settle();
    die(&mut pair);
    assert_eq!(left_s(&pair, 1, &by_policy(1)), Some(POLICY_S));
}

#[test]
fn a_peer_of_the_first_version_is_not_told_and_understands_all_that_it_is() {
    let mut pair = Pair::started();
    pair.cut();
    pair.wire = 1;
    pair.connect();
    pair.settle();
    carry(&mut pair, 0, &[by_policy(1)], 10);
    pair.assert_equal();
    die(&mut pair);
    assert_eq!(left_s(&pair, 1, &by_policy(1)), Some(432_000));
}

#[test]
fn a_flow_that_gets_its_protocols_time_again_has_it_after_a_failover() {
    let mut pair = Pair::started();
    carry(&mut pair, 0, &[by_policy(1)], 10);
    // a state for which the policy has no time
    let mut closing = tcp(1);
    closing.tcp.iter_mut().for_each(|tcp| tcp.state = 4);
    closing.timeout_s = Some(120);
    carry(&mut pair, 0, &[closing.clone()], 5);
    die(&mut pair);
    assert_eq!(left_s(&pair, 1, &closing), Some(120));
}

#[test]
fn what_a_hand_made_and_what_was_found_says_nothing_of_a_policy() {
    let mut pair = Pair::started();
    // as from before the start: the kernel lists it with a remaining time
    pair.cut();
    pair.traffic(0, &by_policy(1));
    pair.nodes[0].kernel.events.clear();
    pair.connect();
    pair.settle();
    let now_ns = pair.now_ns;
    pair.nodes[0]
        .engine
        .handle_event(now_ns, Event::New(by_policy(2)), By::Request);
    pair.pass_ms(1000);
    let table = &pair.nodes[0].engine.table;
    let given = [by_policy(1), by_policy(2)].map(|flow| table.policy_timeout_s(table.hash(&flow)));
    assert_eq!(given, [0, 0]);
    assert!(table.find(table.hash(&by_policy(1))).is_some());
}

#[test]
fn times_that_any_flow_may_have_are_no_policys() {
    let timeouts = Timeouts::default();
    let given = |flow: Flow, left_s| {
        let timeout_s = Some(left_s);
        timeouts.given_by_packet(&Flow { timeout_s, ..flow })
    };
    for (left_s, wanted) in [
        (432_000, PacketTimeout::Protocol),
        (431_999, PacketTimeout::Protocol),
        // unacknowledged data, and a reset
        (300, PacketTimeout::Unknown),
        (10, PacketTimeout::Unknown),
        (0, PacketTimeout::Unknown),
        (77, PacketTimeout::Policy(77)),
        (600_000, PacketTimeout::Policy(600_000)),
    ] {
        assert_eq!(given(tcp(1), left_s), wanted, "{left_s}");
    }
    let unanswered = Flow {
        status: 0,
        ..udp(1)
    };
    assert_eq!(given(unanswered.clone(), 30), PacketTimeout::Protocol);
    assert_eq!(given(unanswered, 120), PacketTimeout::Policy(120));
    assert_eq!(given(udp(1), 120), PacketTimeout::Protocol);
    let fixed = Flow {
        status: status::FIXED_TIMEOUT,
        ..udp(1)
    };
    assert_eq!(given(fixed, 77), PacketTimeout::Unknown);
    let part = Flow {
        tcp: None,
        ..tcp(1)
    };
    assert_eq!(given(part, 77), PacketTimeout::Unknown, "no state");
    let offloaded = Flow {
        timeout_s: None,
        ..tcp(1)
    };
    assert_eq!(timeouts.given_by_packet(&offloaded), PacketTimeout::Unknown);
}
