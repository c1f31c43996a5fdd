//! Tests flows that are translated to an address of the node's own and end with it: they are counted as they come,
//! change and go, and reported while this node is the active one.

use spared_verdict::sample::{assert_fine, assert_told, verdicts};

use super::super::Translation;
use super::states::reports;
use super::*;
use crate::kernel::bytes_of;
use crate::wire::Address;

fn address(text: &str) -> Address {
    bytes_of(text.parse().expect("an address"))
}

/// Gives the node the address of `translated`, and a virtual address in its network.
fn own(pair: &mut Pair, at: usize) {
    let addresses = [(address("203.0.113.1"), Some(address("203.0.113.9")))];
    pair.nodes[at]
        .engine
        .handle_node_addresses(addresses.into());
}

fn told(pair: &Pair, at: usize) -> String {
    let mut troubles = pair.nodes[at].engine.troubles().into_iter();
    let trouble = troubles.find(|it| it.thing == "translation");
    trouble.map_or(String::new(), |it| it.why)
}

fn counted(pair: &Pair, at: usize) -> usize {
    pair.nodes[at].engine.table.translated(Translation::Own)
}

#[test]
fn they_are_counted_as_they_come_and_go_and_told_with_what_to_write() {
    let mut pair = Pair::started();
    own(&mut pair, 0);
    (4..6).for_each(|number| pair.traffic(0, &tcp(number)));
    pair.pass_ms(3000);
    assert_fine("conntrack", &reports(&pair));
    (1..4).for_each(|number| pair.traffic(0, &translated(number)));
    pair.pass_ms(3000);
    let three = "3 of 5 connections are translated to the node's own address 203.0.113.1 and end with it: use `snat to \
                 203.0.113.9`";
    assert_eq!(
        (told(&pair, 0).as_str(), told(&pair, 1).as_str()),
        (three, "")
    );
    assert_told(
        "conntrack",
        &reports(&pair),
        "r1: 3 of 5 connections",
        "lost",
    );
    for verdict in verdicts("conntrack", &reports(&pair)) {
        let text = format!("{:?}", verdict.headlines);
        assert!(!text.contains("lose nothing"), "{text}");
        assert!(verdict.findings.iter().any(|it| it.id == "SP-0404"));
    }
    (2..4).for_each(|number| pair.expire(0, &translated(number)));
    pair.pass_ms(11_000);
    let one = "1 of 3 connections is translated to the node's own address 203.0.113.1 and ends with it: use `snat to \
               203.0.113.9`";
    assert_eq!(told(&pair, 0), one);
    pair.expire(0, &translated(1));
    pair.pass_ms(11_000);
    assert_eq!(told(&pair, 0), "");
    assert_fine("conntrack", &reports(&pair));
}

#[test]
fn a_node_that_always_sends_tells_of_them_too_and_counts_its_rates() {
    let mut pair = Pair::started();
    own(&mut pair, 0);
    let mut number = 10;
    let mut work = |pair: &mut Pair, seconds: u32| {
        for _ in 0..4 * seconds {
            pair.traffic(0, &tcp(number));
            pair.pass_ms(250);
            number += 1;
        }
    };
    pair.traffic(0, &translated(1));
    work(&mut pair, 3);
    assert_ne!(told(&pair, 0), "");
    let (sent, _) = pair.nodes[0].engine.counters.rates();
    assert!((3..=5).contains(&sent), "{sent}");
    pair.expire(0, &translated(1));
    work(&mut pair, 12);
    assert_eq!(told(&pair, 0), "");
}

#[test]
fn numbers_that_change_are_told_every_ten_seconds_only() {
    let mut pair = Pair::started();
    own(&mut pair, 0);
    let mut said = Vec::new();
    for number in 1..31 {
        pair.traffic(0, &translated(number));
        pair.pass_ms(1000);
        said.push(told(&pair, 0));
        said.dedup();
    }
    assert!((3..6).contains(&said.len()), "{said:#?}");
}

#[test]
fn one_that_begins_again_with_another_translation_is_counted_as_it_is_now() {
    let mut pair = Pair::started();
    own(&mut pair, 0);
    pair.traffic(0, &translated(1));
    pair.pass_ms(2000);
    assert_eq!(counted(&pair, 0), 1);
    pair.expire(0, &translated(1));
    pair.traffic(0, &tcp(1));
    pair.pass_ms(2000);
    assert_eq!(counted(&pair, 0), 0);
    pair.expire(0, &tcp(1));
    pair.traffic(0, &translated(1));
    pair.pass_ms(2000);
    assert_eq!(counted(&pair, 0), 1);
}

/// No event of the flow comes: the next walk finds its translation.
#[test]
fn addresses_that_come_and_go_change_what_is_counted_at_the_next_walk() {
    let mut pair = Pair::started();
    pair.traffic(0, &translated(1));
    pair.pass_ms(2000);
    assert_eq!(counted(&pair, 0), 0);
    own(&mut pair, 0);
    let resyncs = pair.nodes[0].engine.counters.resyncs;
    pair.pass_ms(100_000);
    assert_eq!((counted(&pair, 0), told(&pair, 0).is_empty()), (1, false));
    assert!(
        pair.nodes[0].engine.counters.resyncs - resyncs < 4,
        "walks of its own"
    );
    pair.nodes[0].engine.handle_node_addresses([].into());
    pair.pass_ms(100_000);
    assert_eq!((counted(&pair, 0), told(&pair, 0).as_str()), (0, ""));
}

#[test]
fn connections_of_the_node_itself_and_those_that_are_expected_to_end_are_not_meant() {
    let settings = Settings {
        dynamic_nat: vec!["ppp0".to_owned()],
        ..Settings::default()
    };
    let mut pair = Pair::started_with(&settings);
    own(&mut pair, 0);
    let mut to_own = tcp(2);
    to_own.original.source[..4].copy_from_slice(&[203, 0, 113, 1]);
    to_own.reply.destination = to_own.original.source;
    let mut forwarded_port = tcp(3);
    forwarded_port.original.destination[..4].copy_from_slice(&[203, 0, 113, 1]);
    for flow in [&to_own, &forwarded_port] {
        pair.traffic(0, flow);
    }
    pair.pass_ms(2000);
    assert_eq!(counted(&pair, 0), 0);
    pair.traffic(0, &translated(1));
    pair.pass_ms(2000);
    assert_eq!(counted(&pair, 0), 1);
    let dynamic = vec![address("203.0.113.1")];
    pair.nodes[0]
        .engine
        .handle_dynamic_addresses("ppp0", dynamic);
    pair.pass_ms(100_000);
    assert_eq!((counted(&pair, 0), told(&pair, 0).as_str()), (0, ""));
    // they are no fault, and yet not omitted
    assert_fine("conntrack", &reports(&pair));
    let said = pair.nodes[0].engine.summary();
    assert_eq!(said, "3 flows, 1 of dynamic_nat ends at a failover");
    let expected = |at: usize| pair.nodes[at].engine.dynamic_flows();
    assert_eq!((expected(0), expected(1)), (1, 0));
}

#[test]
fn only_the_node_that_is_active_tells_of_its_own() {
    let mut pair = Pair::started();
    own(&mut pair, 0);
    pair.traffic(0, &translated(1));
    pair.pass_ms(2000);
    assert_ne!(told(&pair, 0), "");
    for (from, to) in [(0, 1), (1, 0)] {
        pair.role(from, false);
        pair.role(to, true);
        pair.pass_ms(100_000);
        assert_eq!(told(&pair, 1), "", "not an address of its own");
        assert_eq!(told(&pair, 0).is_empty(), to == 1);
    }
    pair.cut();
    assert_eq!(told(&pair, 0), "", "nobody to take over");
}
