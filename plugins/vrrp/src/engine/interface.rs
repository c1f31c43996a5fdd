//! Facts about an interface, and their meaning for the routers on it.

use std::net::{IpAddr, Ipv4Addr};

use super::checks::Check;
use super::counters::Discards;
use crate::config::is_link_local;
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
    /// The node's own, without virtual ones.
    pub addresses: Vec<IpAddr>,
    /// Broadcast addresses of their networks.
    pub broadcasts: Vec<Ipv4Addr>,
    /// Whether there is a socket for whole frames.
    pub link_socket: bool,
}

#[cfg_attr(test, derive(Clone))]
pub(super) struct Interface {
    pub name: String,
    /// Whether the host has reported it.
    pub known: bool,
    pub facts: InterfaceFacts,
    /// Time of the last round of probes there.
    pub probed_ns: Option<u64>,
    /// As it was last reported.
    pub check: Option<Check>,
    pub discards: Discards,
    /// By reason of [`Discards`].
    pub limits: [Limit; Discard::ALL.len()],
}

impl Interface {
    pub fn new(name: &str) -> Interface {
        Interface {
            name: name.to_owned(),
            known: false,
            facts: InterfaceFacts::default(),
            probed_ns: None,
            check: None,
            discards: Discards::default(),
            limits: [Limit::default(); Discard::ALL.len()],
        }
    }

    /// Its fault, if any.
    pub fn fault(&self) -> Option<&'static str> {
        let facts = &self.facts;
        match (facts.present, facts.up, facts.carrier, facts.link_socket) {
            (false, ..) => Some("does not exist"),
            (_, false, ..) => Some("is down"),
            (_, _, false, _) => Some("has no carrier"),
            (.., false) => Some("has no socket"),
            _ => None,
        }
    }

    /// Whether an address means every station of a network here.
    pub fn is_broadcast(&self, address: IpAddr) -> bool {
        let broadcasts = &self.facts.broadcasts;
        matches!(address, IpAddr::V4(address) if broadcasts.contains(&address))
    }

    /// RFC 9568: IPv4 adverts come from the primary address, IPv6 ones from the link-local one.
    pub fn source(&self, family: Family, configured: Option<IpAddr>) -> Option<IpAddr> {
        let own = &self.facts.addresses;
        if let Some(address) = configured {
            return own.contains(&address).then_some(address);
        }
        own.iter().copied().find(|address| match family {
            Family::V4 => address.is_ipv4(),
            Family::V6 => is_link_local(*address),
        })
    }
}
