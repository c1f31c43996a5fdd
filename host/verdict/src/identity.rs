//! Makes findings about networks that carry the heartbeats of the active node, but not everything that it sends in the
//! group's name.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::facts::NodeFacts;
use crate::finding::{Finding, Id};

/// Maximum number of MAC addresses that a sentence names.
const NAMED_MAX: usize = 4;

const ALLOW: &str =
    "Allow the virtual MAC there, or set vmac = false on both nodes, then run `sparectl reload`.";

/// Loss on a network that carries the heartbeats of the active node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NetworkLoss {
    /// Interface of the network.
    pub interface: String,
    /// Node that sends: the active one, or the backup for a loss while it was active.
    pub sender: String,
    /// Lost object: virtual MAC addresses, "adverts", "IPv6 adverts", or "address 192.0.2.2" that the other node has as
    /// well.
    pub what: String,
    /// Kind of the loss.
    pub loss: LossKind,
}

/// Kind of a loss of what a node sends in the group's name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LossKind {
    /// Only the node's adverts are lost.
    #[default]
    Adverts,
    /// Nothing from the node's virtual MAC address arrives.
    Mac,
    /// Nothing from the virtual MAC address arrived when the node, now backup, was last active.
    MacBefore,
    /// Stations answer the node's own MAC address, but not its virtual one.
    Unanswered,
    /// Nothing is lost on the network: both nodes have the same own address or MAC address there.
    Shared,
}

/// Returns the findings of all groups of a node, one for each network and active node.
pub(crate) fn findings(node: &NodeFacts, peer: &str) -> Vec<Finding> {
    let mut lost: BTreeMap<(LossKind, &str, &str), Vec<&str>> = BTreeMap::new();
    for it in node.groups.iter().flat_map(|group| &group.networks.lost) {
        let key = (it.loss, it.interface.as_str(), it.sender.as_str());
        let what = lost.entry(key).or_default();
        if !what.contains(&it.what.as_str()) {
            what.push(&it.what);
        }
    }
    // a loss that follows from a dropped MAC address is not reported separately
    let dropped: Vec<(&str, &str)> = lost
        .keys()
        .filter(|it| it.0 == LossKind::Mac)
        .map(|it| (it.1, it.2))
        .collect();
    let found = lost.into_iter().filter_map(|(key, what)| {
        let (loss, interface, sender) = key;
        let is_explained = dropped.contains(&(interface, sender));
        match loss {
            LossKind::Mac => return Some(mac_dropped(interface, sender, &what.join(", "))),
            // groups of the same network may be active on different nodes
            LossKind::MacBefore | LossKind::Unanswered if is_explained => return None,
            LossKind::Shared => {
                return Some(shared(&node.node, interface, sender, &what.join(", ")));
            }
            LossKind::Unanswered => {
                return Some(mac_unanswered(interface, sender, &what.join(", ")));
            }
            LossKind::MacBefore => {
                return Some(mac_dropped_before(interface, sender, &what.join(", ")));
            }
            LossKind::Adverts => {}
        }
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
         heartbeats from {sender}'s own MAC arrive, but nothing from the virtual MAC",
        shortened(macs)
    );
    let finding = Finding::new(Id::VirtualMacDropped, sender, interface, text);
    finding.todo(ALLOW)
}

fn shared(node: &str, interface: &str, sender: &str, what: &str) -> Finding {
    let text = format!(
        "{node}: {sender} has the same {what} on {interface}: stations reach either of both, and adverts of {sender} \
         are taken for {node}'s own"
    );
    let finding = Finding::new(Id::SharedIdentity, node, interface, text);
    finding.todo(format!(
        "Give each node its own there: `ip address show dev {interface}` on both."
    ))
}

fn mac_unanswered(interface: &str, sender: &str, macs: &str) -> Finding {
    let text = format!(
        "{sender}: stations on {interface} answer {sender}'s own MAC, but not its virtual MAC {}: the network drops \
         frames to the virtual MAC (a hypervisor's or switch's filter)",
        shortened(macs)
    );
    let finding = Finding::new(Id::VirtualMacUnanswered, sender, interface, text);
    finding.todo(ALLOW)
}

fn mac_dropped_before(interface: &str, sender: &str, macs: &str) -> Finding {
    let text = format!(
        "{sender}: the network dropped the virtual MAC {} of {interface} when {sender} was active last: after a \
         failover nobody would reach it there",
        shortened(macs)
    );
    let finding = Finding::new(Id::VirtualMacDroppedBefore, sender, interface, text);
    finding.todo(format!(
        "Allow the virtual MAC at the port of {sender}; then `sparectl switch --to {sender}` shows whether it passes, or \
         `sparectl vrrp retry` on both nodes forgets it."
    ))
}

fn adverts_lost(interface: &str, sender: &str, other: &str, what: &str) -> Finding {
    let text = format!(
        "{sender}: heartbeats of {sender} arrive on {interface} at {other}, and its {what} do not: protocol 112 is \
         filtered"
    );
    let finding = Finding::new(Id::AdvertsLost, sender, interface, text);
    finding.todo("Let IP protocol 112 pass between the nodes there, as UDP port 3780 does.")
}

/// Shortens a list: "00:00:5e:00:01:01, 00:00:5e:00:01:02 and 9 others".
fn shortened(macs: &str) -> String {
    let macs: Vec<&str> = macs.split(", ").collect();
    match macs.split_at_checked(NAMED_MAX) {
        Some((named, others)) if !others.is_empty() => {
            format!("{} and {} others", named.join(", "), others.len())
        }
        _ => macs.join(", "),
    }
}

/// Removes findings about the network that have their cause on a node: adverts that a node cannot send are not lost by
/// the network.
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
    merge_shared(found);
}

/// Keeps one finding about an address that both nodes have. It is the cause of all losses that seem to happen on that
/// network.
fn merge_shared(found: &mut Vec<Finding>) {
    let shared = found.iter().filter(|it| it.is(Id::SharedIdentity));
    let shared = shared.map(|it| (it.thing.clone(), it.node.clone()));
    let mut shared: Vec<(String, String)> = shared.collect();
    shared.sort();
    shared.dedup_by(|one, other| one.0 == other.0);
    found.retain(|it| {
        let Some((_, node)) = shared.iter().find(|(thing, _)| *thing == it.thing) else {
            return true;
        };
        let follows = [
            Id::AdvertsLost,
            Id::VirtualMacDropped,
            Id::VirtualMacUnanswered,
        ];
        let is_second = it.is(Id::SharedIdentity) && it.node != *node;
        !(is_second || follows.iter().any(|id| it.is(*id)))
    });
}

/// Returns the interface of a virtual router, from its name: "virtual_router.lan2.50.IPv4".
fn interface_of(router: &str) -> Option<&str> {
    let mut parts = router.strip_prefix("virtual_router.")?.rsplitn(3, '.');
    parts.nth(2)
}
