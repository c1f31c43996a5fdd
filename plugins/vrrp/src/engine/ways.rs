//! E12: heartbeats on the networks of a group, as adverts go there.

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
    /// A link, by its place.
    Link(usize),
    /// An interface of a group, by the engine's index, and the sender.
    Network(usize, Neighbour),
}

/// Source address of a heartbeat on a network, sent by the holder of its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Neighbour {
    pub mac: Mac,
    pub address: IpAddr,
}

/// Way of a heartbeat out on a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Way {
    /// The engine's index.
    pub interface: usize,
    /// Its id in heartbeats.
    pub path: u32,
    pub mac: Mac,
    pub source: IpAddr,
    /// None: to the multicast group of adverts.
    pub to: Option<IpAddr>,
}

impl Engine {
    /// The interfaces of all groups, in the order of their indices: name, path, and the least TTL that a
    /// heartbeat may have.
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
        // one under way may be opened still, right after the keys were removed
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
            if heard.is_news {
                group.check_late(cx);
            }
            if !heard.counts {
                if heard.is_news {
                    group.handle_second_run(cx, heard.heartbeat);
                }
                return;
            }
            if let Path::Network(interface, neighbour) = path {
                group.hear_on(cx, interface, neighbour, heard, own);
            }
            if heard.is_news {
                if heard.echo.is_second {
                    group.stand_behind(cx);
                }
                group.handle_heartbeat(cx, heard.heartbeat);
                group.review_proofs(heard.run, heard.echo.run == own);
                group.review_faults_there(now_ns);
                is_doubted = group.review_identities(cx);
            }
        });
        if is_doubted {
            self.look_soon(now_ns);
        }
    }

    /// Something came on a path of heartbeats that no key opens, and that another run of the peer may have sent.
    pub fn handle_trace(&mut self, now_ns: u64) {
        self.each_group(now_ns, |group, _| group.note_trace());
    }

    /// This node's own addresses on an interface.
    pub fn addresses(&self, index: usize) -> &[IpAddr] {
        let interface = self.interfaces.get(index);
        interface.map_or(&[], |interface| &interface.facts.addresses)
    }
}

impl Way {
    /// Adds the ways of heartbeats on an interface that has these virtual routers.
    pub(super) fn add_all<'r>(
        index: usize,
        interface: &Interface,
        routers: impl Iterator<Item = &'r VirtualRouter> + Clone,
        ways: &mut Vec<Way>,
    ) {
        let Some(path) = routers.clone().map(|router| router.config.path).next() else {
            return;
        };
        let way = |source, to| Way {
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
            ways.extend(peers.map(|peer| way(source, Some(*peer))));
        }
        let is_multicast = routers.clone().any(|router| !router.config.unicast);
        let source = is_multicast.then(|| own_source(interface, routers));
        ways.extend(source.flatten().map(|source| way(source, None)));
    }
}

/// IPv6 where its adverts go there; and link-local where there is no IPv4 address (any more).
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
