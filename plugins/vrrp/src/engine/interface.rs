//! State of an interface, and its meaning for the routers on it.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use super::checks::Check;
use super::counters::Discards;
use super::stations::Stations;
use super::virtual_identity::IdentityProbes;
use super::virtual_mac_probe::VirtualMacProbes;
use crate::config::{Settings, is_link_local};
use crate::error::Discard;
use crate::limit::Limit;
use crate::wire::{Family, Mac};

/// The complete state of an interface, as reported by the host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InterfaceFacts {
    pub present: bool,
    pub up: bool,
    pub carrier: bool,
    pub mac: Mac,
    pub mtu: u32,
    /// Addresses except those that the host has set. One that an administrator has set may be virtual all the same: see
    /// `Virtuals`.
    pub addresses: Vec<IpAddr>,
    /// Broadcast addresses of the networks of `addresses`.
    pub broadcasts: Vec<Ipv4Addr>,
    /// There is a socket for whole frames.
    pub link_socket: bool,
}

#[cfg_attr(test, derive(Clone))]
#[derive(Default)]
pub(super) struct Interface {
    pub name: String,
    /// The host has reported the interface.
    pub known: bool,
    pub facts: InterfaceFacts,
    pub virtuals: Virtuals,
    pub stations: Stations,
    /// The stations' socket is read; `is_probed`: a group probes stations there.
    pub is_read: bool,
    pub is_probed: bool,
    /// Time of the last round of probes there.
    pub probed_ns: Option<u64>,
    /// E15: probes of the peer's virtual routers in doubt; `virtual_mac_probes`: from this node's virtual MAC addresses.
    pub identity_probes: IdentityProbes,
    pub virtual_mac_probes: VirtualMacProbes,
    /// Check as it was last reported.
    pub check: Option<Check>,
    pub discards: Discards,
    /// Limits of log lines about dropped frames, by reason of [`Discards`].
    pub limits: [Limit; Discard::ALL.len()],
}

/// Smallest MTU with which an interface counts as whole: each IPv4 host must accept such packets (RFC 791), and a
/// heartbeat of a few groups fits.
const MTU_MIN: u32 = 576;

impl Interface {
    pub fn new(name: &str) -> Interface {
        Interface {
            name: name.to_owned(),
            ..Self::default()
        }
    }

    /// Fault of an interface with adverts, if any.
    pub fn fault(&self) -> Option<&'static str> {
        let no_socket = (!self.facts.link_socket).then_some("has no socket");
        self.state_fault().or(no_socket)
    }

    /// Reason why the interface carries neither heartbeats nor what clients send, though adverts pass; it still counts
    /// as usable.
    pub fn mtu_fault(&self) -> Option<&'static str> {
        let has_small_mtu = self.known && (1..MTU_MIN).contains(&self.facts.mtu);
        has_small_mtu.then_some("has an MTU below 576 bytes")
    }

    /// Fault of an interface without adverts, of which only the state counts. None before the host has reported it.
    pub fn known_fault(&self) -> Option<&'static str> {
        self.state_fault().filter(|_| self.known)
    }

    fn state_fault(&self) -> Option<&'static str> {
        let facts = &self.facts;
        match (facts.present, facts.up, facts.carrier) {
            (false, ..) => Some("does not exist"),
            (_, false, _) => Some("is down"),
            (.., false) => Some("has no carrier"),
            _ => None,
        }
    }

    /// True if an address is a broadcast address of a network here.
    pub fn is_broadcast(&self, address: IpAddr) -> bool {
        let broadcasts = &self.facts.broadcasts;
        matches!(address, IpAddr::V4(address) if broadcasts.contains(&address))
    }

    /// Source address of adverts. RFC 9568: IPv4 adverts come from the primary address, IPv6 ones from the link-local
    /// one.
    pub fn source(&self, family: Family, configured: Option<IpAddr>) -> Option<IpAddr> {
        let mut own = self.own_addresses();
        own.find(|address| match (configured, family) {
            (Some(configured), _) => *address == configured,
            (None, Family::V4) => address.is_ipv4(),
            (None, Family::V6) => is_link_local(*address),
        })
    }

    /// Own addresses of the node, from which it may send.
    pub fn own_addresses(&self) -> impl Iterator<Item = IpAddr> + '_ {
        let all = self.facts.addresses.iter().copied();
        all.filter(|address| !self.virtuals.contains(*address))
    }
}

/// Virtual addresses of all groups on one interface. Whoever has set one there, it is not the node's own: the fence
/// drops what a backup sends from it, and the peer would blame the cables.
///
/// Addresses of an owner (RFC 9568, priority 255) are its own, so they are not among them.
#[derive(Clone, Debug, Default)]
pub(super) struct Virtuals {
    everywhere: Arc<HashSet<IpAddr>>,
    /// A link-local address is virtual on its own network alone.
    link_local: Vec<IpAddr>,
}

impl Virtuals {
    /// Stores the virtual addresses in each interface of a list.
    pub fn share(settings: &Settings, interfaces: &mut [Interface]) {
        let groups = || settings.groups.iter().filter(|group| !group.is_owner());
        let all = || groups().flat_map(crate::config::Group::virtual_addresses);
        let global = all().filter(|(_, address)| !is_link_local(*address));
        let everywhere: Arc<HashSet<IpAddr>> = Arc::new(global.map(|(_, it)| it).collect());
        for interface in interfaces {
            let here = all().filter(|(name, it)| *name == interface.name && is_link_local(*it));
            interface.virtuals = Virtuals {
                everywhere: Arc::clone(&everywhere),
                link_local: here.map(|(_, it)| it).collect(),
            };
        }
    }

    pub fn contains(&self, address: IpAddr) -> bool {
        self.everywhere.contains(&address) || self.link_local.contains(&address)
    }
}
