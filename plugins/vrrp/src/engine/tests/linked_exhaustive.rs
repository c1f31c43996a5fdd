//! Two nodes, two links or none, and two wires: each path in each state, and every single change of one path.

use super::lab::{Forgery, Lab, SECOND, SECOND_ROUTER, by_priority};

/// State of a wire or a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Path {
    Up,
    Cut,
    /// Carries only from this node to the other.
    OneWay(usize),
    /// This node's interface has no carrier; wires only, as the state of a link's interface shows in its heartbeats
    /// alone.
    NoCarrier(usize),
}

const LINKS: [&str; 2] = ["link1", "link2"];
const WIRES: [&str; 2] = ["lan1", "lan2"];
const OF_LINK: [Path; 4] = [Path::Up, Path::Cut, Path::OneWay(0), Path::OneWay(1)];
const OF_WIRE: [Path; 6] = [
    Path::Up,
    Path::Cut,
    Path::OneWay(0),
    Path::OneWay(1),
    Path::NoCarrier(0),
    Path::NoCarrier(1),
];

/// States of link1, link2, lan1, lan2.
type State = [Path; 4];

const NAMES: [&str; 4] = [LINKS[0], LINKS[1], WIRES[0], WIRES[1]];

fn set(lab: &mut Lab, state: State) {
    lab.fix();
    for (name, path) in NAMES.into_iter().zip(state) {
        match path {
            Path::Cut => lab.cut(name, 0, 1),
            Path::OneWay(from) => lab.cut_one_way(name, 1 - from, from),
            Path::Up | Path::NoCarrier(_) => {}
        }
    }
    for (name, path) in WIRES.into_iter().zip([state[2], state[3]]) {
        for node in 0..2 {
            let carrier = path != Path::NoCarrier(node);
            if lab.nodes[node].facts[name].carrier != carrier {
                lab.carrier(node, name, carrier);
            }
        }
    }
}

/// True if some path carries in both directions.
fn has_two_way_path(state: State) -> bool {
    state.contains(&Path::Up)
}

/// Checks what must hold after a change, once nothing moves any more.
fn check(lab: &mut Lab, from: State, to: State) {
    let step = || format!("{from:?} -> {to:?}");
    if !has_two_way_path(to) {
        return;
    }
    assert_eq!(lab.active().len(), 1, "{}", step());
    if has_two_way_path(from) {
        // a wire that carries only away from the active node shows its fault when preference has
        // moved the group, and the unheard interface moves it back
        let hidden = to[2..].iter().any(|wire| matches!(wire, Path::OneWay(_)));
        let preferred = lab.nodes.iter().any(|node| {
            let groups = node.engine.groups.iter();
            groups
                .map(|group| group.own_heartbeat.heartbeat())
                .any(|one| one.preferred)
        });
        let most = if hidden && preferred { 2 } else { 1 };
        let changed = from.iter().zip(to).filter(|(a, b)| **a != *b).count();
        let most = most.max(changed);
        assert!(lab.failovers() <= most, "{}: {}", step(), history(lab));
        assert!(
            lab.longest_overlap_ns() <= 2 * lab.latency_ns,
            "{}: {}",
            step(),
            history(lab)
        );
    }
    let active = lab.active();
    lab.forget();
    lab.run(60 * SECOND);
    assert_eq!(
        (lab.active(), lab.failovers()),
        (active, 0),
        "{} still: {}",
        step(),
        history(lab)
    );
    assert_eq!(lab.overlaps, [], "{}", step());
    // the active node answers on each wire that it has
    let active = lab.active()[0];
    for (name, path) in WIRES.into_iter().zip([to[2], to[3]]) {
        let answers = path != Path::NoCarrier(active);
        let expected = if answers { vec![active] } else { vec![] };
        assert_eq!(lab.answering(name), expected, "{}: {name}", step());
    }
}

fn history(lab: &Lab) -> String {
    let mut all: Vec<_> = lab.nodes.iter().flat_map(|node| &node.roles).collect();
    all.sort_by_key(|(at_ns, ..)| *at_ns);
    let line = |(at_ns, role, why): &&(u64, spared_sdk::Role, String)| {
        format!("\n{} ms {role}: {why}", at_ns / 1_000_000)
    };
    all.iter().map(line).collect()
}

/// Time for an unheard interface, two failover times and a hold.
const SETTLE_NS: u64 = 20 * SECOND;

fn changes(from: State, links: &[Path]) -> Vec<State> {
    let mut all = Vec::new();
    for place in 0..from.len() {
        let states = if place < 2 { links } else { &OF_WIRE };
        for path in states.iter().filter(|path| **path != from[place]) {
            let mut to = from;
            to[place] = *path;
            all.push(to);
        }
    }
    all
}

/// Tries every state of the wires with every state of the two links, which are interchangeable.
fn every_state_and_transition(text: &str, part: usize, parts: usize) {
    every_state_of(&Lab::linked(text, &LINKS), part, parts);
}

fn every_state_of(settled: &Lab, part: usize, parts: usize) {
    assert_eq!(settled.active().len(), 1);
    // a pair without links is like one whose links are always cut
    let links = if settled.links.is_empty() {
        &OF_LINK[1..2]
    } else {
        &OF_LINK
    };
    let well = [links[0], links[0], Path::Up, Path::Up];
    let mut number = 0;
    for first in links.iter().copied() {
        for second in links.iter().copied().filter(|second| first <= *second) {
            for (one, other) in OF_WIRE.into_iter().flat_map(|a| OF_WIRE.map(|b| (a, b))) {
                number += 1;
                if number % parts != part {
                    continue;
                }
                let from = [first, second, one, other];
                let mut lab = settled.clone();
                set(&mut lab, from);
                lab.run(SETTLE_NS);
                let ready = lab.clone();
                check(&mut lab, well, from);
                for to in changes(from, links) {
                    let mut lab = ready.clone();
                    lab.forget();
                    set(&mut lab, to);
                    lab.run(SETTLE_NS);
                    check(&mut lab, from, to);
                }
            }
        }
    }
}

fn by_quality(group: &str) -> String {
    format!(
        "[[group]]\nname = \"g\"\nadvert_interval = \"1s\"\nhold = \"1s\"\nfailback_delay = \"2s\"\n\
         {group}\n[[group.interface]]\ninterface = \"lan1\"\nvrid = 7\naddresses = \
         [\"10.1.0.1/24\"]\n{SECOND_ROUTER}"
    )
}

#[test]
fn by_quality_one_is_active_wherever_a_path_speaks_both_ways() {
    every_state_and_transition(&by_quality(""), 0, 1);
}

#[test]
fn also_where_one_is_preferred() {
    every_state_and_transition(&by_quality("prefer = \"r2\""), 0, 1);
}

// by priority every third state is enough: the combinations of paths were tried above
#[test]
fn also_by_priority() {
    let text = by_priority(&[200, 100], "advert_interval = \"1s\"", SECOND_ROUTER);
    every_state_and_transition(&text, 0, 3);
}

#[test]
fn also_beside_a_forger() {
    let mut lab = Lab::linked(&by_quality(""), &LINKS);
    lab.forge("lan1", Forgery::Everything, 1);
    every_state_of(&lab, 2, 3);
}

#[test]
fn also_by_equal_priorities_without_preempt() {
    let group = "advert_interval = \"1s\"\npreempt = false";
    let text = by_priority(&[100, 100], group, SECOND_ROUTER);
    every_state_and_transition(&text, 1, 3);
}

/// With keys and without links, heartbeats go over the networks.
#[test]
fn also_without_a_link() {
    every_state_of(&Lab::linked(&by_quality(""), &[]), 0, 1);
    every_state_of(&Lab::linked(&by_quality("prefer = \"r2\""), &[]), 0, 1);
    let text = by_priority(&[200, 100], "advert_interval = \"1s\"", SECOND_ROUTER);
    every_state_of(&Lab::linked(&text, &[]), 0, 1);
}
