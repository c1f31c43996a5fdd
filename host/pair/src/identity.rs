//! Networks that carry the heartbeats of the active node, and not all that it sends in the group's name.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::facts::NodeFacts;
use crate::finding::{Finding, Id};

/// MAC addresses that a line names.
const NAMED_MAX: usize = 4;

/// What a network does not carry of the active node, although it carries its heartbeats.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LostIdentity {
    /// Its interface.
    pub interface: String,
    /// The active node.
    pub sender: String,
    /// Its virtual MAC addresses that are dropped, or "adverts" and "IPv6 adverts".
    pub what: String,
    /// Nothing from its virtual MAC address arrives; false: its adverts alone are lost.
    pub is_mac: bool,
}

/// Findings of all groups of a node, one for each network and active node.
pub(crate) fn findings(node: &NodeFacts, peer: &str) -> Vec<Finding> {
    let mut lost: BTreeMap<(bool, &str, &str), Vec<&str>> = BTreeMap::new();
    for it in node.groups.iter().flat_map(|group| &group.lost) {
        let key = (it.is_mac, it.interface.as_str(), it.sender.as_str());
        let what = lost.entry(key).or_default();
        if !what.contains(&it.what.as_str()) {
            what.push(&it.what);
        }
    }
    // what is dropped with the MAC address is no other fault
    let dropped: Vec<(&str, &str)> = lost
        .keys()
        .filter(|it| it.0)
        .map(|it| (it.1, it.2))
        .collect();
    let found = lost.into_iter().filter_map(|(key, what)| {
        let (is_mac, interface, sender) = key;
        if is_mac {
            return Some(mac_dropped(interface, sender, &what.join(", ")));
        }
        let is_explained = dropped.contains(&(interface, sender));
        let other = if sender == peer { &node.node } else { peer };
        let what = what.iter().max_by_key(|it| it.len());
        what.filter(|_| !is_explained)
            .map(|what| adverts_lost(interface, sender, other, what))
    });
    found.collect()
}

fn mac_dropped(interface: &str, sender: &str, macs: &str) -> Finding {
    let text = format!(
        "{sender}: the network drops the virtual MAC {} of {interface} (a hypervisor's or switch's filter): \
         heartbeats from {sender}'s own MAC arrive, and nothing from that one",
        shortened(macs)
    );
    let finding = Finding::new(Id::VirtualMacDropped, sender, interface, text);
    finding.todo("Allow it there, or set vmac = false on both nodes, then `sparectl reload`.")
}

fn adverts_lost(interface: &str, sender: &str, other: &str, what: &str) -> Finding {
    let text = format!(
        "{sender}: heartbeats of {sender} arrive on {interface} at {other}, and its {what} do not: protocol 112 is \
         filtered"
    );
    let finding = Finding::new(Id::AdvertsLost, sender, interface, text);
    finding.todo("Let IP protocol 112 pass between the nodes there, as UDP port 3780 does.")
}

/// "00:00:5e:00:01:01, 00:00:5e:00:01:02 and 9 others".
fn shortened(macs: &str) -> String {
    let macs: Vec<&str> = macs.split(", ").collect();
    match macs.split_at_checked(NAMED_MAX) {
        Some((named, others)) if !others.is_empty() => {
            format!("{} and {} others", named.join(", "), others.len())
        }
        _ => macs.join(", "),
    }
}

/// What a node cannot send is its own fault, and not one of the network.
pub(crate) fn merge(found: &mut Vec<Finding>) {
    let muted = found.iter().filter(|it| it.is(Id::Muted));
    let muted: Vec<(String, String)> = muted
        .filter_map(|it| Some((it.node.clone(), interface_of(&it.thing)?.to_owned())))
        .collect();
    found.retain(|it| {
        let is_muted = muted
            .iter()
            .any(|(node, interface)| (node, interface) == (&it.node, &it.thing));
        !(it.is(Id::AdvertsLost) && is_muted)
    });
}

/// Interface of a virtual router, from its name: "virtual_router.lan2.50.IPv4".
fn interface_of(router: &str) -> Option<&str> {
    let mut parts = router.strip_prefix("virtual_router.")?.rsplitn(3, '.');
    parts.nth(2)
}
