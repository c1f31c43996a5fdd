//! Flows that are translated to an address of the other node's, while both are active: they carry nothing where the
//! fence is, and are no OK.

use spared_pair::sample::{assert_fine, assert_told};

use super::groups::{carry, move_office, shared};
use super::states::reports;
use super::*;

/// What the first node says of it.
fn told(pair: &Pair) -> String {
    let mut troubles = pair.nodes[0].engine.troubles().into_iter();
    let trouble = troubles.find(|it| it.thing == "asymmetric translation");
    trouble.map_or(String::new(), |it| it.why)
}

/// The second node has the address of `translated`; the first one's fence drops what has it.
fn fenced() -> Pair {
    let mut pair = shared();
    let held = [(false, translated(1).reply.destination)].into();
    pair.nodes[1].engine.handle_own_addresses(held);
    pair.nodes[0].engine.handle_fence(true);
    pair.pass_ms(3000);
    pair
}

#[test]
fn they_are_told_as_they_begin_and_until_they_have_ended() {
    let mut pair = fenced();
    pair.traffic(0, &tcp(9));
    pair.pass_ms(2000);
    assert_fine("conntrack", &reports(&pair));
    pair.traffic(0, &translated(1));
    pair.pass_ms(2000);
    let one = "1 of 2 connections is translated to 203.0.113.1, whose group is active on the other node: it carries \
               nothing through this node; translate each group to an address of its own";
    assert_eq!(told(&pair), one);
    assert_told(
        "conntrack",
        &reports(&pair),
        "asymmetric translation",
        "one",
    );
    (2..4).for_each(|number| pair.traffic(0, &translated(number)));
    pair.pass_ms(12_000);
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
    pair.pass_ms(2000);
    assert!(told(&pair).starts_with("1 of 1"), "{}", told(&pair));
}

#[test]
fn flows_that_passed_here_before_a_group_moved_count_only_if_they_still_do() {
    let mut pair = shared();
    for at in [0, 1] {
        pair.role_of("branch", at, at == 0);
    }
    pair.nodes[0].engine.handle_fence(true);
    let held = [(false, translated(1).reply.destination)];
    pair.nodes[0].engine.handle_own_addresses(held.into());
    pair.pass_ms(3000);
    let flows: Vec<Flow> = (1..4).map(translated).collect();
    carry(&mut pair, 0, &flows, 5);
    move_office(&mut pair, 1);
    pair.nodes[0].engine.handle_own_addresses([].into());
    pair.nodes[1].engine.handle_own_addresses(held.into());
    // neighbours have learned it within a second
    carry(&mut pair, 0, &flows, 1);
    carry(&mut pair, 1, &flows, 200);
    assert_eq!(told(&pair), "");
    assert_fine("conntrack", &reports(&pair));
    // they come this way again, and the address stays there
    carry(&mut pair, 0, &flows, 130);
    assert!(told(&pair).starts_with("3 of 3"), "{}", told(&pair));
    // the group comes back
    move_office(&mut pair, 0);
    pair.nodes[1].engine.handle_own_addresses([].into());
    pair.nodes[0].engine.handle_own_addresses(held.into());
    carry(&mut pair, 0, &flows, 13);
    assert_fine("conntrack", &reports(&pair));
}
