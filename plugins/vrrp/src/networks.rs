//! Networks of the groups as paths of heartbeats: one path for each interface.

use std::net::IpAddr;

use spared_sdk::Value;

use crate::engine::{HeartbeatTarget, Table};
use crate::error::HeartbeatDiscard;
use crate::heartbeats::Counters;
use crate::limit::Limit;
use crate::wire::Family;
use crate::wire::datagram::{self, Received};
use crate::wire::frame::group_address;

/// One network.
#[derive(Debug, Default)]
pub(crate) struct Network {
    pub interface: String,
    pub path: u32,
    /// Lowest accepted TTL.
    pub min_ttl: u8,
    pub counters: Counters,
    limit: Limit,
}

/// All networks, by the engine's index of the interface.
#[derive(Debug, Default)]
pub(crate) struct Networks {
    all: Vec<Network>,
    /// Buffer of the next frame.
    bytes: Vec<u8>,
}

impl Networks {
    /// Sets the configured networks; one that stays keeps its counters.
    pub fn configure(&mut self, networks: impl Iterator<Item = (String, u32, u8)>) {
        let mut before = std::mem::take(&mut self.all);
        for (interface, path, min_ttl) in networks {
            let known = before.iter().position(|one| one.interface == interface);
            let known = known.map_or_else(Network::default, |place| before.swap_remove(place));
            self.all.push(Network {
                interface,
                path,
                min_ttl,
                ..known
            });
        }
    }

    pub fn paths(&self) -> impl Iterator<Item = u32> {
        self.all.iter().map(|network| network.path)
    }

    pub fn get_mut(&mut self, index: usize) -> Option<&mut Network> {
        self.all.get_mut(index)
    }

    /// Sends a payload on the network's sockets. Returns true if they accepted it.
    pub fn send(
        &mut self,
        target: &HeartbeatTarget,
        payload: &[u8],
        transmit_on: impl FnOnce(usize, Option<IpAddr>, &[u8]) -> bool,
    ) -> bool {
        datagram::emit(
            target.mac,
            target.source,
            target.to,
            payload,
            &mut self.bytes,
        );
        transmit_on(target.interface, target.to, &self.bytes)
    }

    pub fn count_sent(&mut self, target: &HeartbeatTarget, done: bool) {
        if let Some(network) = self.all.get_mut(target.interface) {
            network.counters.count_sent(done);
        }
    }

    /// Returns the counters of the networks on which anything was sent or received.
    pub fn used(&self) -> impl Iterator<Item = &Counters> + Clone {
        let used = self.all.iter().filter(|network| network.is_used());
        used.map(|network| &network.counters)
    }

    pub fn rows(&self, now_ns: u64, table: Table, rows: &mut Vec<(String, Value)>) {
        for network in self.all.iter().filter(|network| network.is_used()) {
            let name = format!("network.{}", network.interface);
            network.counters.rows(&name, now_ns, table, rows);
        }
    }
}

impl Network {
    /// Returns the payload of a frame, if it was sent on this network to this node.
    pub fn payload<'f>(&self, frame: &'f [u8], own: &[IpAddr]) -> Option<Received<'f>> {
        let received = datagram::parse(frame)?;
        let destination = received.destination;
        let to_us = destination == group_address(Family::of(destination));
        let near = received.ttl >= self.min_ttl;
        (near && (to_us || own.contains(&destination))).then_some(received)
    }

    pub fn discard(&mut self, now_ns: u64, reason: HeartbeatDiscard) {
        self.counters.count_dropped(reason);
        // two interfaces may be in one network: then each receives heartbeats of the other's path
        let harmless = reason == HeartbeatDiscard::OtherPath || !reason.is_hostile();
        if harmless {
            return;
        }
        if let Some(more) = self.limit.allow(now_ns) {
            let interface = &self.interface;
            log::warn!("{interface}: dropped a heartbeat: {reason}{more}");
        }
    }

    fn is_used(&self) -> bool {
        self.path != 0 && self.counters.is_used()
    }
}
