//! Tests the lists of flows and the numbers by protocol.

use spared_sdk::Value;

use super::super::ListKind;
use super::*;
use crate::filter::{Filter, Rule};
use crate::kernel::bytes_of;

/// Rows of a list on a node, with values as text.
fn list(pair: &mut Pair, at: usize, kind: ListKind, words: &[&str]) -> Vec<(String, String)> {
    let selection = Selection::parse(words).expect("a filter");
    assert_eq!(pair.nodes[at].engine.list(kind, selection), Ok(()));
    pair.step();
    let rows = pair.nodes[at].listed.take().expect("a list");
    let shown = |value| match value {
        Value::Text(text) => text,
        Value::Number(number) => number.to_string(),
        other => panic!("{other:?}"),
    };
    let rows = rows.into_iter().map(|(key, value)| (key, shown(value)));
    rows.collect()
}

fn flows(pair: &mut Pair, at: usize, words: &[&str]) -> Vec<(String, String)> {
    let mut rows = list(pair, at, ListKind::Flows, words);
    rows.sort_unstable();
    rows
}

/// Replication state of the one flow that matches.
fn fate(pair: &mut Pair, at: usize, flow: &Flow) -> String {
    let port = flow.original.ports().0.to_string();
    let rows = flows(pair, at, &["--sport", &port]);
    let [(name, words)] = rows.as_slice() else {
        panic!("{rows:?}");
    };
    assert_eq!(*name, flow.original.to_string());
    words.clone()
}

#[test]
fn each_flow_is_listed_with_what_becomes_of_it() {
    let rule = Rule {
        ports: vec![80],
        zones: vec![0],
        protocols: vec![UDP],
        ..Rule::default()
    };
    let settings = Settings {
        filter: Filter {
            exclude: vec![
                Rule {
                    zones: vec![9],
                    ..Rule::default()
                },
                rule,
            ],
            ..Filter::default()
        },
        ..Settings::default()
    };
    let mut pair = Pair::started_with(&settings);
    let own = bytes_of("10.1.0.7".parse().expect("an address"));
    pair.nodes[0]
        .engine
        .handle_own_addresses(pair.now_ns, [own].into());
    let mut from_own = tcp(4);
    from_own.original.source[..4].copy_from_slice(&[10, 1, 0, 7]);
    from_own.reply = from_own.original.inverse();
    for flow in [&tcp(1), &udp(2), &translated(3), &from_own] {
        pair.traffic(0, flow);
    }
    pair.settle();
    assert_eq!(fate(&mut pair, 0, &tcp(1)), "established, replicated");
    assert_eq!(
        fate(&mut pair, 1, &tcp(1)),
        "established, copy of the other node's"
    );
    let excluded = "not replicated: [[exclude]] 2 (protocol, port, zone)";
    assert_eq!(fate(&mut pair, 0, &udp(2)), excluded);
    let source = "established, source 203.0.113.1:3, replicated";
    assert_eq!(fate(&mut pair, 0, &translated(3)), source);
    let own = "established, not replicated: the router's own (local)";
    assert_eq!(fate(&mut pair, 0, &from_own), own);
    pair.cut();
    let lonely = "established, not replicated: the peer is not connected";
    assert_eq!(fate(&mut pair, 0, &tcp(1)), lonely);
}

#[test]
fn flows_that_wait_and_those_that_end_with_the_node_say_so() {
    let settings = Settings {
        min_age_ns: 5 * SECOND_NS,
        ..Settings::default()
    };
    let mut pair = Pair::started_with(&settings);
    let addresses = [((false, translated(2).reply.destination), None)];
    pair.nodes[0].engine.handle_node_addresses(addresses.into());
    pair.traffic(0, &tcp(1));
    pair.pass_ms(1000);
    let young = "established, not replicated yet: younger than min_age";
    assert_eq!(fate(&mut pair, 0, &tcp(1)), young);
    pair.traffic(0, &translated(2));
    pair.pass_ms(6000);
    assert_eq!(fate(&mut pair, 0, &tcp(1)), "established, replicated");
    let ends = "established, source 203.0.113.1:2, replicated, ends at a failover: translated to this node's own address";
    assert_eq!(fate(&mut pair, 0, &translated(2)), ends);
    pair.nodes[0].kernel.hidden.insert(name(&tcp(3)));
    pair.nodes[0].engine.handle_hiding(true);
    pair.traffic(0, &tcp(3));
    pair.pass_ms(1000);
    let hidden = "established, not replicated: a rule hides it (ct event), or it has just begun";
    assert_eq!(fate(&mut pair, 0, &tcp(3)), hidden);
}

#[test]
fn a_filter_selects_and_numbers_are_by_protocol() {
    let mut pair = Pair::started();
    (1..6).for_each(|number| pair.traffic(0, &tcp(number)));
    (6..9).for_each(|number| pair.traffic(0, &udp(number)));
    pair.traffic(0, &flow(89, 9));
    pair.settle();
    assert_eq!(flows(&mut pair, 0, &[]).len(), 9);
    assert_eq!(flows(&mut pair, 0, &["--proto", "udp"]).len(), 3);
    assert_eq!(
        flows(&mut pair, 0, &["--proto", "tcp", "--sport", "4"]).len(),
        1
    );
    assert_eq!(flows(&mut pair, 0, &["--dst", "192.0.2.1"]), []);
    let number = |rows: &[(String, String)], key: &str| {
        let row = rows.iter().find(|(known, _)| known == key);
        row.map(|(_, value)| value.clone())
    };
    for (at, key) in [(0, "replicated"), (1, "copies")] {
        let rows = list(&mut pair, at, ListKind::Stats, &[]);
        let of = |name: &str| number(&rows, name);
        assert_eq!(of("tcp.flows").as_deref(), Some("5"), "{rows:?}");
        assert_eq!(of(&format!("tcp.{key}")).as_deref(), Some("5"), "{rows:?}");
        assert_eq!(of(&format!("udp.{key}")).as_deref(), Some("3"), "{rows:?}");
        assert_eq!(of("protocol_89.flows").as_deref(), Some("1"), "{rows:?}");
        assert_eq!(of("tcp.kept_here").as_deref(), Some("0"), "{rows:?}");
    }
    let rows = list(&mut pair, 0, ListKind::Stats, &["--proto", "udp"]);
    assert_eq!(
        (
            number(&rows, "udp.flows").as_deref(),
            number(&rows, "tcp.flows")
        ),
        (Some("3"), None)
    );
}

#[test]
fn of_many_flows_an_answer_has_what_fits_and_its_last_line_the_number_of_the_others() {
    let mut pair = Pair::started();
    const FLOWS: u32 = 3000;
    (0..FLOWS).for_each(|number| pair.traffic(0, &tcp(number)));
    pair.settle();
    let rows = list(&mut pair, 0, ListKind::Flows, &[]);
    let shown = rows.len() - 1;
    let bytes: usize = rows.iter().map(|(key, text)| key.len() + text.len()).sum();
    assert!(
        (500..1500).contains(&shown) && bytes < 65_000,
        "{shown} rows, {bytes} bytes"
    );
    let more = format!(
        "{} flows: name fewer, as by --src or --dport",
        FLOWS as usize - shown
    );
    let (key, text) = rows.last().expect("the last line");
    assert_eq!((key.as_str(), text.as_str()), ("yet more", more.as_str()));
    assert!(
        rows[..shown].iter().all(|(other, _)| other < key),
        "sparectl sorts"
    );
}

#[test]
fn a_list_goes_on_over_roles_and_peers_and_is_the_only_one() {
    let mut pair = Pair::started();
    (1..50).for_each(|number| pair.traffic(0, &tcp(number)));
    pair.settle();
    pair.nodes[1].kernel.is_unreadable = true;
    let engine = &mut pair.nodes[1].engine;
    assert_eq!(engine.list(ListKind::Flows, Selection::default()), Ok(()));
    assert!(engine.list(ListKind::Stats, Selection::default()).is_err());
    pair.pass_ms(500);
    pair.cut();
    pair.role(1, true);
    pair.connect();
    assert_eq!(pair.nodes[1].listed, None);
    pair.nodes[1].kernel.is_unreadable = false;
    pair.pass_ms(31_000);
    let rows = pair.nodes[1].listed.take().expect("a list");
    assert_eq!(rows.len(), 49);
}

#[test]
fn a_comparison_of_some_flows_finds_what_differs_among_them_alone() {
    let mut pair = Pair::started();
    (1..6).for_each(|number| pair.traffic(0, &tcp(number)));
    pair.settle();
    // as if somebody had changed the backup without an event
    for number in [2, 4] {
        pair.nodes[1].kernel.flows.remove(&name(&tcp(number)));
    }
    let differs = |pair: &mut Pair, words: &[&str]| {
        let selection = Selection::parse_ends(words).expect("a filter");
        let now_ns = pair.now_ns;
        assert_eq!(pair.nodes[0].engine.compare(now_ns, selection), Ok(()));
        pair.settle();
        let rows = pair.nodes[0].compared.take().expect("an answer");
        rows.expect("rows").len()
    };
    assert_eq!(differs(&mut pair, &[]), 2);
    assert_eq!(differs(&mut pair, &["--sport", "4"]), 1);
    assert_eq!(differs(&mut pair, &["--sport", "5"]), 0);
}
