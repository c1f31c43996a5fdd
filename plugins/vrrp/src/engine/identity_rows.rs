//! E15: rows of the status about the identities of both nodes on the networks of a group.

use spared_sdk::Value;

use super::Engine;
use super::duplicates::mac_text;
use super::group::Group;
use super::interface::Interface;
use super::port::Port;
use super::router::VirtualRouter;
use crate::wire::heartbeat::{Families, Identity};
use crate::wire::{Mac, virtual_mac};

type Row = (String, Value);

/// Rows about virtual identities that a network drops although their node lives there, or dropped when it was active
/// last.
pub(super) fn lost(engine: &Engine, group: &Group, now_ns: u64, rows: &mut Vec<Row>) {
    let peer = engine.peer.as_deref().unwrap_or("the peer");
    let named = |is_own| if is_own { &*engine.node } else { peer };
    for (port, there) in group.ports_with(&engine.interfaces) {
        if let Some(what) = shared(group, port, there, now_ns) {
            let key = format!("{}.interface.{}.shared", group.name, there.name);
            rows.push((key, Value::Text(format!("{peer}: {what}"))));
        }
        let (is_own, heard) = group.identity_by_backup(now_ns, port);
        let lost = match heard {
            Identity::Unknown | Identity::Heard => None,
            Identity::NoAdverts(families) => {
                Some(("adverts_lost", lost_adverts(group, port, families)))
            }
            Identity::NoMac(families) => Some(("virtual_mac_dropped", macs(group, port, families))),
        };
        let lost = lost.map(|(key, what)| (key, is_own, what));
        let (_, asked) = group.identity_by_stations(now_ns, port);
        let unanswered = match (heard, asked) {
            // a virtual MAC whose frames do not leave is not answered either
            (Identity::NoMac(_), _) => None,
            (_, Identity::NoMac(families)) => {
                let what = macs(group, port, families);
                Some(("virtual_mac_unanswered", is_own, what))
            }
            _ => None,
        };
        let before = group.dropped_before(now_ns, port);
        let before = before.map(|(is_own, families)| {
            let what = macs(group, port, families);
            ("virtual_mac_was_dropped", is_own, what)
        });
        let all = lost.into_iter().chain(unanswered).chain(before);
        rows.extend(all.map(|(key, is_own, what)| {
            let key = format!("{}.interface.{}.{key}", group.name, there.name);
            (key, Value::Text(format!("{}: {what}", named(is_own))))
        }));
    }
}

/// MAC or IP address of this node that the peer uses as well, by its heartbeats: each node takes the other's adverts
/// for its own.
fn shared(group: &Group, port: &Port, there: &Interface, now_ns: u64) -> Option<String> {
    group.living_peer(now_ns)?;
    if !port.reception.has_heartbeats() {
        return None;
    }
    // devices without hardware addresses have zeros
    let is_mac = there.facts.mac != Mac::default() && port.reception.is_mac(there.facts.mac);
    if is_mac {
        return Some(format!("MAC address {}", mac_text(there.facts.mac)));
    }
    let routers = group.networks.routers_on(port);
    let mut sources = routers.filter_map(|router| router.senders.peer());
    let source = sources.find(|source| there.facts.addresses.contains(source))?;
    Some(format!("address {source}"))
}

/// Row about an active node that is proven on none of the group's networks.
pub(super) fn unproven(engine: &Engine, group: &Group, now_ns: u64, rows: &mut Vec<Row>) {
    let Some(networks) = group.unproven_networks(now_ns) else {
        return;
    };
    let names = networks
        .into_iter()
        .filter_map(|at| engine.interfaces.get(at));
    let names: Vec<&str> = names.map(|there| there.name.as_str()).collect();
    let key = format!("{}.unproven", group.name);
    rows.push((key, Value::Text(names.join(", "))));
}

/// Rows about both identities of both nodes on each network.
pub(super) fn all(engine: &Engine, group: &Group, now_ns: u64, rows: &mut Vec<Row>) {
    if engine.peer.is_none() {
        return;
    }
    for (port, there) in group.ports_with(&engine.interfaces) {
        let [own, peer] = group.identities(now_ns, port);
        for (key, passages) in [
            ("own_identity", own.own),
            ("virtual_identity", own.group),
            ("peer_own_identity", peer.own),
            ("peer_virtual_identity", peer.group),
        ] {
            let key = format!("{}.interface.{}.{key}", group.name, there.name);
            rows.push((key, Value::Text(passages.text(now_ns))));
        }
    }
}

/// Text about lost adverts: "adverts", or with their family if those of the other family arrive.
fn lost_adverts(group: &Group, port: &Port, families: Families) -> String {
    let mut routers = group.networks.routers_on(port);
    let is_all = routers.all(|router| families.has(router.config.family));
    match families {
        Families::V4 if !is_all => "IPv4 adverts",
        Families::V6 if !is_all => "IPv6 adverts",
        _ => "adverts",
    }
    .to_owned()
}

/// Virtual MAC addresses, as "00:00:5e:00:01:0a, 00:00:5e:00:02:0a".
fn macs(group: &Group, port: &Port, families: Families) -> String {
    let routers = group.networks.routers_on(port);
    let dropped =
        routers.filter(|router| router.config.vmac.is_some() && families.has(router.config.family));
    let mac =
        |router: &VirtualRouter| mac_text(virtual_mac(router.config.family, router.config.vrid));
    dropped.map(mac).collect::<Vec<_>>().join(", ")
}
