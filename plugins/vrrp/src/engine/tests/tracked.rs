//! E2: interfaces of addresses and routes, on which no adverts are sent.

use super::lab::{Lab, MS, SECOND, by_priority};
use super::linked::{LINKS, assert_settled, by_quality, moved_once, quality};
use crate::engine::InterfaceFacts;

const UPLINKS: &str = "[[group.address]]\ninterface = \"up3\"\naddresses = [\"10.3.0.1/24\"]\n\
                       [[group.route]]\ndestination = \"0.0.0.0/0\"\ninterface = \"up4\"\n";

/// Lab whose nodes have no own address and no sockets on both uplinks.
fn without_uplink_addresses(mut lab: Lab) -> Lab {
    for (node, interface) in [(0, "up3"), (0, "up4"), (1, "up3"), (1, "up4")] {
        change(&mut lab, node, interface, |facts| {
            (facts.link_socket, facts.addresses) = (false, Vec::new());
        });
    }
    lab.run(20 * SECOND);
    lab.forget();
    assert_eq!(lab.active(), [0]);
    lab
}

fn pair() -> Lab {
    let mut lab = Lab::linked(&format!("{}{UPLINKS}", by_quality("")), &LINKS);
    lab.watches_silence = true;
    without_uplink_addresses(lab)
}

fn change(lab: &mut Lab, node: usize, interface: &str, how: impl Fn(&mut InterfaceFacts)) {
    let facts = lab.nodes[node].facts.get_mut(interface).expect("known");
    how(facts);
    let facts = facts.clone();
    lab.report_interface(node, interface, &facts);
}

type Fault = (fn(&mut InterfaceFacts), &'static str);

const FAULTS: [Fault; 3] = [
    (|facts| facts.present = false, "does not exist"),
    (|facts| facts.up = false, "is down"),
    (|facts| facts.carrier = false, "has no carrier"),
];

#[test]
fn an_uplink_that_is_broken_moves_the_group_to_the_node_whose_uplink_is_well() {
    let settled = pair();
    for ((fault, said), interface) in FAULTS.into_iter().flat_map(|it| [(it, "up3"), (it, "up4")]) {
        let mut lab = settled.clone();
        change(&mut lab, 0, interface, fault);
        let took = lab.run_until(5 * SECOND, |lab| lab.active() == [1]);
        assert!(took.is_some_and(|ns| ns < 100 * MS), "{took:?}");
        moved_once(&lab, 1);
        assert!(lab.longest_silence_ns("lan1") <= lab.latency_ns);
        assert_eq!(lab.nodes[0].host.checks[interface], (100, 0));
        assert!(said.ends_with(lab.nodes[0].host.why[interface]));
        let why = format!("{interface} {said}");
        assert!(lab.why(0).contains(&why), "{}", lab.why(0));
        // the interface is back, and without a preference nothing moves
        change(&mut lab, 0, interface, |facts| {
            (facts.present, facts.up, facts.carrier) = (true, true, true);
        });
        assert_settled(&mut lab);
        assert_eq!(lab.active(), [1]);
        assert_eq!(lab.nodes[0].host.checks[interface], (100, 100));
    }
}

#[test]
fn the_group_stays_where_the_other_uplink_is_no_better() {
    let mut lab = pair();
    change(&mut lab, 1, "up3", |facts| facts.carrier = false);
    lab.run(5 * SECOND);
    change(&mut lab, 0, "up3", |facts| facts.carrier = false);
    assert_settled(&mut lab);
    assert_eq!(lab.active(), [0]);
}

#[test]
fn an_uplink_that_is_broken_on_both_nodes_makes_no_small_difference_a_large_one() {
    for first in [0, 1] {
        let mut lab = pair();
        for node in [first, 1 - first] {
            // E9 counts from the last change
            lab.run(400 * SECOND);
            change(&mut lab, node, "up4", |facts| facts.carrier = false);
        }
        lab.run(400 * SECOND);
        let active = lab.active()[0];
        assert_eq!(active, 1 - first);
        lab.forget();
        lab.directive(active, quality(74));
        assert_settled(&mut lab);
        assert_eq!(lab.active(), [active]);
        lab.directive(active, quality(70));
        let took = lab.run_until(5 * SECOND, |lab| lab.active() == [1 - active]);
        assert!(took.is_some_and(|ns| ns >= 2 * SECOND), "{took:?}");
    }
}

#[test]
fn an_uplink_of_weight_0_is_no_check() {
    let text = UPLINKS.replace("interface", "weight = 0\ninterface");
    let mut lab = Lab::linked(&format!("{}{text}", by_quality("")), &LINKS);
    let engine = &lab.nodes[0].engine;
    assert!(!engine.interfaces().any(|name| name.starts_with("up")));
    assert!(!lab.nodes[0].host.checks.contains_key("up3"));
    // the same holds after a reload
    let weighed = format!("{}{UPLINKS}", by_quality(""));
    lab.reload(0, &weighed);
    lab.report_interfaces(0);
    assert!(lab.nodes[0].host.checks.contains_key("up3"));
    lab.reload(0, &format!("{}{text}", by_quality("")));
    assert!(!lab.nodes[0].host.checks.contains_key("up3"));
    lab.run(SECOND);
    assert_eq!(lab.active(), [0]);
}

#[test]
fn beside_other_routers_a_broken_uplink_lowers_the_priority() {
    let text = format!("{}{UPLINKS}", by_priority(&[200, 100], "", ""));
    let mut lab = without_uplink_addresses(Lab::settled(&text, 2));
    change(&mut lab, 0, "up3", |facts| facts.carrier = false);
    lab.run(2 * SECOND);
    assert_eq!((lab.active(), lab.failovers()), (vec![1], 1));
    // as always if a node of higher priority preempts
    assert!(lab.longest_overlap_ns() <= lab.latency_ns);
    change(&mut lab, 0, "up3", |facts| facts.carrier = true);
    lab.run(5 * SECOND);
    assert_eq!(lab.active(), [0]);
}
