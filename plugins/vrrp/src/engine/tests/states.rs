//! Reports on every interface of the file, in every state that makes it useless, on the active node and on the backup:
//! no node says that all is well, and both name the interface.

use spared_verdict::sample::{Report, assert_fine, assert_told};

use super::lab::{Lab, SECOND};
use super::linked::{LINKS, by_quality};
use crate::engine::Table;

const INTERFACES: [&str; 2] = ["lan1", "lan2"];

#[derive(Clone, Copy, Debug)]
enum Fault {
    Missing,
    Down,
    NoCarrier,
    NoSocket,
    NoAddress,
    /// The system takes no packet.
    Mute,
    /// No frame arrives from any station, and the other node hears some.
    Unheard,
}

const FAULTS: [Fault; 7] = [
    Fault::Missing,
    Fault::Down,
    Fault::NoCarrier,
    Fault::NoSocket,
    Fault::NoAddress,
    Fault::Mute,
    Fault::Unheard,
];

fn cause_fault(lab: &mut Lab, node: usize, interface: &str, fault: Fault) {
    let mut facts = lab.nodes[node].facts[interface].clone();
    match fault {
        Fault::Missing => facts.present = false,
        Fault::Down => facts.up = false,
        Fault::NoCarrier => return lab.carrier(node, interface, false),
        Fault::NoSocket => facts.link_socket = false,
        Fault::NoAddress => facts.addresses.clear(),
        Fault::Mute => {
            let refuses_all = &mut lab.nodes[node].refuses_on;
            refuses_all.insert(interface.to_owned());
            return;
        }
        Fault::Unheard => {
            lab.stations.insert((interface.to_owned(), 1 - node));
            return lab.cut(interface, 0, 1);
        }
    }
    let of_node = &mut lab.nodes[node].facts;
    of_node.insert(interface.to_owned(), facts.clone());
    lab.report_interface(node, interface, &facts);
}

/// Reports of both nodes, the active node's first.
fn reports(lab: &Lab) -> [Report; 2] {
    let mut reports = [0, 1].map(|node| {
        let host = &lab.nodes[node].host;
        let mut report = Report::default();
        for (name, (_, state)) in &host.checks {
            let why = host.why.get(name).copied().unwrap_or_default();
            report.check(name, Some(*state), why);
        }
        for (key, value) in lab.nodes[node]
            .engine
            .rows(lab.clock.now_ns(), Table::Status)
        {
            let interface = key.strip_prefix("g.interface.");
            if let Some(interface) = interface.and_then(|it| it.strip_suffix(".unheard")) {
                let rating = format!("{value:?}");
                report.unheard.insert(interface.to_owned(), rating);
            }
        }
        report
    });
    if lab.active() == [1] {
        reports.reverse();
    }
    reports
}

#[test]
fn no_broken_state_of_an_interface_is_ok_whatever_it_weighs() {
    for weight in [None, Some(0)] {
        let line = weight.map(|weight| format!("vrid = 7\nweight = {weight}\n"));
        let text = match line {
            Some(line) => by_quality("").replacen("vrid = 7\n", &line, 1),
            None => by_quality(""),
        };
        let settled = Lab::linked(&text, &LINKS);
        assert_fine("vrrp", &reports(&settled));
        for (fault, node) in FAULTS.into_iter().flat_map(|it| [(it, 0), (it, 1)]) {
            // a backup sends no adverts: only when it is active does it show that none would leave
            if matches!(fault, Fault::Mute) && node == 1 {
                continue;
            }
            for interface in INTERFACES {
                let mut lab = settled.clone();
                cause_fault(&mut lab, node, interface, fault);
                lab.run(5 * SECOND);
                let state = format!("{fault:?} on node {node}, weight {weight:?}");
                assert_told("vrrp", &reports(&lab), interface, &state);
            }
        }
    }
}
