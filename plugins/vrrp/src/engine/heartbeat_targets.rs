//! E12: targets of heartbeats on the networks of a group, where adverts go, and the arrival of the peer's.

use std::net::IpAddr;

use super::Engine;
use super::interface::Interface;
use super::router::VirtualRouter;
use crate::config::is_link_local;
use crate::heartbeats::Heard;
use crate::wire::{Family, Mac};

/// Path over which a heartbeat arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path {
    /// Index of a link.
    Link(usize),
    /// Index of a group's interface in the engine, and the sender.
    Network(usize, Neighbour),
}

/// Source address of a heartbeat on a network, sent by the holder of its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Neighbour {
    pub mac: Mac,
    pub address: IpAddr,
}

/// Target of heartbeats on a network: the multicast group, or one unicast peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeartbeatTarget {
    /// Index of the interface in the engine.
    pub interface: usize,
    /// Id of the network in heartbeats.
    pub path: u32,
    pub mac: Mac,
    pub source: IpAddr,
    /// Address of a unicast peer; None: the multicast group of adverts.
    pub to: Option<IpAddr>,
}

impl Engine {
    /// Interfaces of all groups, in the order of their indices: name, path, and the least TTL that a heartbeat may
    /// have.
    pub fn networks(&self) -> impl Iterator<Item = (String, u32, u8)> {
        (0..).zip(&self.interfaces).map(|(index, interface)| {
            let routers = self.groups.iter().flat_map(|group| {
                let port = group.networks.port_on(index);
                port.into_iter()
                    .flat_map(|port| group.networks.routers_on(port))
            });
            let mut found = (0, u8::MAX);
            for router in routers {
                found = (router.config.path, found.1.min(router.config.min_ttl));
            }
            (interface.name.clone(), found.0, found.1)
        })
    }

    /// Handles a group of an authenticated heartbeat; `own` is the run of this node.
    pub fn handle_heartbeat(&mut self, now_ns: u64, path: Path, heard: &Heard<'_>, own: u64) {
        let is_gone = matches!(path, Path::Link(link) if link >= self.links.len());
        // a heartbeat under way may still be opened, right after the keys were removed
        if is_gone || !self.keys {
            return;
        }
        if let Path::Link(link) = path {
            self.note_link_heard(now_ns, link);
        }
        let Some(index) = self.ids.get(&heard.heartbeat.group).copied() else {
            return;
        };
        let mut is_doubted = false;
        self.with_group(now_ns, index, |group, cx| {
            if heard.is_new {
                group.check_lapse(cx);
            }
            if !heard.counts {
                if heard.is_new {
                    group.handle_second_run(cx, heard.heartbeat);
                }
                return;
            }
            if let Path::Network(interface, neighbour) = path {
                group.handle_network_heartbeat(cx, interface, neighbour, heard, own);
            }
            if heard.is_new {
                if heard.ack.is_second {
                    group.wait_for_other_run(cx);
                }
                group.handle_heartbeat(cx, heard.heartbeat);
                group.update_heartbeat_runs(heard.run, heard.ack.run == own);
                group.review_faults_there(now_ns);
                is_doubted = group.review_identities(cx);
            }
        });
        if is_doubted {
            self.check_addresses_soon(now_ns);
        }
    }

    /// Handles a message on a path of heartbeats that no key opens, and that another run of the peer may have sent.
    pub fn handle_possible_peer(&mut self, now_ns: u64) {
        self.each_group(now_ns, |group, _| group.note_possible_peer());
    }

    /// Addresses of this node on an interface.
    pub fn addresses(&self, index: usize) -> &[IpAddr] {
        let interface = self.interfaces.get(index);
        interface.map_or(&[], |interface| &interface.facts.addresses)
    }
}

impl HeartbeatTarget {
    /// Adds the targets of heartbeats on an interface that has these virtual routers.
    pub(super) fn add_all<'r>(
        index: usize,
        interface: &Interface,
        routers: impl Iterator<Item = &'r VirtualRouter> + Clone,
        targets: &mut Vec<HeartbeatTarget>,
    ) {
        let Some(path) = routers.clone().map(|router| router.config.path).next() else {
            return;
        };
        let target = |source, to| HeartbeatTarget {
            interface: index,
            path,
            mac: interface.facts.mac,
            source,
            to,
        };
        for router in routers.clone().filter(|router| router.config.unicast) {
            let Some(source) = router.source else {
                continue;
            };
            let own = &interface.facts.addresses;
            let others = |peer: &&IpAddr| **peer != source && !own.contains(peer);
            let peers = router.config.peers.iter().filter(others);
            targets.extend(peers.map(|peer| target(source, Some(*peer))));
        }
        let is_multicast = routers.clone().any(|router| !router.config.unicast);
        let source = is_multicast.then(|| own_source(interface, routers));
        targets.extend(source.flatten().map(|source| target(source, None)));
    }
}

/// Source address of heartbeats: the link-local one of IPv6 adverts if they go there, otherwise that of IPv4 adverts,
/// otherwise any link-local one.
fn own_source<'r>(
    interface: &Interface,
    routers: impl Iterator<Item = &'r VirtualRouter> + Clone,
) -> Option<IpAddr> {
    let of = |family| {
        let mut routers = routers
            .clone()
            .filter(move |router| router.config.family == family);
        routers.find_map(|router| router.source)
    };
    let mut own = interface.own_addresses();
    of(Family::V6)
        .filter(|source| is_link_local(*source))
        .or_else(|| of(Family::V4))
        .or_else(|| own.find(|address| is_link_local(*address)))
}
