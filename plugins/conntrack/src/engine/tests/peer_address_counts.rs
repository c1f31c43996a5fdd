//! Tests flows that are translated to an address of the other node while both are active: the fence drops their
//! packets, and the pair's verdict is not OK.

use spared_verdict::sample::{assert_fine, assert_told};

use super::groups::{carry, move_office, shared};
use super::states::reports;
use super::*;
use crate::wire::Address;

/// Finding of the first node about such flows.
fn told(pair: &Pair) -> String {
    let mut troubles = pair.nodes[0].engine.troubles().into_iter();
    let trouble = troubles.find(|it| it.thing == "asymmetric translation");
    trouble.map_or(String::new(), |it| it.why)
}

/// A pair whose second node has the address of `translated`. The first node's fence drops packets from it.
fn fenced() -> Pair {
    let mut pair = shared();
    let held = [(false, translated(1).reply.destination)].into();
    pair.nodes[1].engine.handle_own_addresses(pair.now_ns, held);
    pair.pass_ms(3000);
    pair
}

/// Looks up each second, for some seconds, by which interfaces such flows leave: all by one with the fence, or only
/// those to destinations that end with an even number.
fn look(pair: &mut Pair, seconds: u64, some_only: bool) {
    for _ in 0..seconds {
        let engine = &mut pair.nodes[0].engine;
        let destinations = engine.take_destinations();
        let is_fenced = |it: &&Address| !some_only || it.1[3] % 2 == 0;
        let fenced = destinations.iter().filter(is_fenced).count();
        let unfenced = destinations.len() - fenced;
        if !destinations.is_empty() {
            engine.handle_egress(EgressCounts { fenced, unfenced });
        }
        pair.pass_ms(1000);
    }
}

#[test]
fn they_are_told_as_they_begin_and_until_they_have_ended() {
    let mut pair = fenced();
    pair.traffic(0, &tcp(9));
    pair.pass_ms(2000);
    assert_fine("conntrack", &reports(&pair));
    pair.traffic(0, &translated(1));
    look(&mut pair, 3, false);
    let one = "1 of 2 connections is translated to 203.0.113.1 of the other node: it carries nothing; give each group \
               its own address";
    assert_eq!(told(&pair), one);
    assert_told(
        "conntrack",
        &reports(&pair),
        "asymmetric translation",
        "one",
    );
    (2..4).for_each(|number| pair.traffic(0, &translated(number)));
    look(&mut pair, 12, false);
    let three = "3 of 4 connections are translated";
    assert!(told(&pair).starts_with(three), "{}", told(&pair));
    assert!(pair.nodes[0].warnings.is_empty());
    (1..4).for_each(|number| pair.end(0, &translated(number)));
    pair.pass_ms(12_000);
    assert_fine("conntrack", &reports(&pair));
}

#[test]
fn what_the_other_node_carries_is_not_meant() {
    let mut pair = fenced();
    (1..4).for_each(|number| pair.traffic(1, &translated(number)));
    pair.pass_ms(100_000);
    assert_fine("conntrack", &reports(&pair));
}

#[test]
fn an_answer_that_leaves_by_the_wrong_node_counts() {
    let mut pair = fenced();
    let mut flow = tcp(5);
    flow.original.destination = translated(1).reply.destination;
    flow.status = 0;
    pair.traffic(1, &flow);
    pair.pass_ms(500);
    assert_eq!(told(&pair), "");
    flow.status = status::SEEN_REPLY;
    pair.traffic(0, &flow);
    look(&mut pair, 3, false);
    assert!(told(&pair).starts_with("1 of 1"), "{}", told(&pair));
}

#[test]
fn flows_that_passed_here_before_a_group_moved_count_only_if_they_still_do() {
    let mut pair = shared();
    for at in [0, 1] {
        pair.role_of("branch", at, at == 0);
    }
    let held = [(false, translated(1).reply.destination)];
    pair.nodes[0]
        .engine
        .handle_own_addresses(pair.now_ns, held.into());
    pair.pass_ms(3000);
    let flows: Vec<Flow> = (1..4).map(translated).collect();
    carry(&mut pair, 0, &flows, 5);
    move_office(&mut pair, 1);
    pair.nodes[0]
        .engine
        .handle_own_addresses(pair.now_ns, [].into());
    pair.nodes[1]
        .engine
        .handle_own_addresses(pair.now_ns, held.into());
    // neighbours have learned the new place within a second
    carry(&mut pair, 0, &flows, 1);
    carry(&mut pair, 1, &flows, 200);
    assert_eq!(told(&pair), "");
    assert_fine("conntrack", &reports(&pair));
    // the packets come this way again, and the address stays there
    carry(&mut pair, 0, &flows, 130);
    look(&mut pair, 2, false);
    assert!(told(&pair).starts_with("3 of 3"), "{}", told(&pair));
    // the group returns
    move_office(&mut pair, 0);
    pair.nodes[1]
        .engine
        .handle_own_addresses(pair.now_ns, [].into());
    pair.nodes[0]
        .engine
        .handle_own_addresses(pair.now_ns, held.into());
    carry(&mut pair, 0, &flows, 13);
    assert_fine("conntrack", &reports(&pair));
}

#[test]
fn they_are_no_fault_where_they_leave_by_an_interface_without_virtual_addresses() {
    let mut pair = fenced();
    let towards = |number: u32, last: u8| {
        let mut flow = translated(number);
        (flow.original.destination[3], flow.reply.source[3]) = (last, last);
        flow
    };
    pair.traffic(0, &towards(1, 7));
    look(&mut pair, 15, true);
    assert_fine("conntrack", &reports(&pair));
    pair.traffic(0, &towards(2, 8));
    look(&mut pair, 15, true);
    let those = "2 of 2 connections are translated to 203.0.113.1 of the other node: those that leave by an interface \
                 with virtual addresses carry nothing; give each group its own address";
    assert!(told(&pair).starts_with(those), "{}", told(&pair));
    // the walk after its end finds only the other one
    pair.end(0, &towards(2, 8));
    look(&mut pair, 130, true);
    assert_fine("conntrack", &reports(&pair));
    assert_eq!(pair.nodes[0].engine.peer_address_flow_count(), 1);
}
