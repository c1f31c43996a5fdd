//! Two nodes and two wires, each wire in each state, and every single change of one wire.

use super::lab::{Lab, SECOND, SECOND_ROUTER, by_priority};

/// State of a wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wire {
    Up,
    NoCarrier(usize),
    Cut,
    /// Carries only from this node to the other.
    OneWay(usize),
}

const WIRES: [&str; 2] = ["lan1", "lan2"];
const STATES: [Wire; 6] = [
    Wire::Up,
    Wire::NoCarrier(0),
    Wire::NoCarrier(1),
    Wire::Cut,
    Wire::OneWay(0),
    Wire::OneWay(1),
];

fn set(lab: &mut Lab, states: [Wire; 2]) {
    lab.fix();
    for (name, state) in WIRES.into_iter().zip(states) {
        match state {
            Wire::Cut => lab.cut(name, 0, 1),
            Wire::OneWay(from) => lab.cut_one_way(name, 1 - from, from),
            Wire::Up | Wire::NoCarrier(_) => {}
        }
        for node in 0..2 {
            let carrier = state != Wire::NoCarrier(node);
            if lab.nodes[node].facts[name].carrier != carrier {
                lab.carrier(node, name, carrier);
            }
        }
    }
}

/// True if the active router is heard by the other on some wire.
fn hears_active(states: [Wire; 2]) -> bool {
    states.contains(&Wire::Up)
}

fn check(lab: &mut Lab, from: [Wire; 2], to: [Wire; 2]) {
    let step = format!("{from:?} -> {to:?}");
    if hears_active(to) {
        assert_eq!(lab.active().len(), 1, "{step}");
        // after things are still nothing moves
        lab.forget();
        lab.run(10 * SECOND);
        let moves: usize = lab.nodes.iter().map(|node| node.roles.len()).sum();
        assert_eq!(moves, 0, "{step}: {:?}", lab.nodes[0].roles);
        // the active node answers on each wire that it has
        let active = lab.active()[0];
        for (name, state) in WIRES.into_iter().zip(to) {
            let expected = if state == Wire::NoCarrier(active) {
                vec![]
            } else {
                vec![active]
            };
            assert_eq!(lab.answering(name), expected, "{step}: {name}");
        }
    } else {
        assert!(!lab.active().is_empty(), "{step}");
    }
}

fn every_state_and_transition(text: &str) {
    for first in STATES {
        for second in STATES {
            let from = [first, second];
            let mut changes: Vec<[Wire; 2]> = Vec::new();
            changes.extend(STATES.map(|state| [state, second]));
            changes.extend(STATES.map(|state| [first, state]));
            for to in changes {
                let mut lab = Lab::settled(text, 2);
                set(&mut lab, from);
                lab.run(10 * SECOND);
                check(&mut lab, [Wire::Up; 2], from);
                set(&mut lab, to);
                lab.run(10 * SECOND);
                check(&mut lab, from, to);
            }
        }
    }
}

#[test]
fn one_is_active_wherever_a_wire_speaks_both_ways() {
    every_state_and_transition(&by_priority(
        &[200, 100],
        "advert_interval = \"1s\"",
        SECOND_ROUTER,
    ));
}

#[test]
fn also_with_equal_priorities() {
    every_state_and_transition(&by_priority(
        &[100, 100],
        "advert_interval = \"1s\"",
        SECOND_ROUTER,
    ));
}

#[test]
fn also_without_preempt() {
    every_state_and_transition(&by_priority(
        &[200, 100],
        "advert_interval = \"1s\"\npreempt = false",
        SECOND_ROUTER,
    ));
}

#[test]
fn also_by_quality() {
    let group = "advert_interval = \"1s\"\nhold = \"1s\"\nfailback_delay = \"2s\"";
    for prefer in ["", "prefer = \"r2\"\n"] {
        every_state_and_transition(&format!(
            "[[group]]\nname = \"g\"\n{prefer}{group}\n[[group.interface]]\ninterface = \"lan1\"\n\
             vrid = 7\naddresses = [\"10.1.0.1/24\"]\n{SECOND_ROUTER}"
        ));
    }
}

#[test]
fn also_with_both_families() {
    let text = by_priority(&[200, 100], "advert_interval = \"1s\"", SECOND_ROUTER);
    every_state_and_transition(&text.replace("10.1.0.1/24\"", "10.1.0.1/24\", \"2001:db8::1/64\""));
}
