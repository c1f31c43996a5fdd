//! Tracks the router's own addresses.

use std::collections::HashSet;
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd, RawFd};

use spared_netlink::{self as netlink, AddressWatch};
use spared_sdk::config::IpNet;

use crate::engine::NodeAddresses;
use crate::wire::Address;

/// All addresses of this node, virtual ones included, and those that it does not share with the peer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Held {
    pub all: HashSet<Address>,
    pub node: NodeAddresses,
}

impl Held {
    fn of(found: &[netlink::Address]) -> Self {
        let is_shared = |it: &netlink::Address| {
            let mut same = found.iter().filter(|other| other.address == it.address);
            same.any(netlink::Address::is_ours)
        };
        let node = found.iter().filter(|it| !is_shared(it));
        let with_virtual = |own: &netlink::Address| {
            let instead = virtual_beside(own, found);
            (bytes_of(own.address), instead.map(bytes_of))
        };
        Self {
            all: found.iter().map(|it| bytes_of(it.address)).collect(),
            node: node.map(with_virtual).collect(),
        }
    }
}

/// Returns the virtual address in the network of `own`. It may be on the device of a virtual MAC or on the interface
/// itself.
fn virtual_beside(own: &netlink::Address, found: &[netlink::Address]) -> Option<IpAddr> {
    let network = IpNet::new(own.address, own.prefix).ok()?;
    let is_usable = |it: &&netlink::Address| {
        let is_of_wire = matches!(it.address, IpAddr::V6(ip) if ip.is_unicast_link_local());
        it.is_ours() && it.address.is_ipv4() == own.address.is_ipv4() && !is_of_wire
    };
    let mut shared = found.iter().filter(is_usable);
    let near = shared.clone().find(|it| network.contains(&it.address));
    let near = near.or_else(|| shared.find(|it| it.index == own.index));
    near.map(|it| it.address)
}

pub struct Addresses {
    watch: AddressWatch,
    known: Option<Held>,
    /// The failure to read addresses has been logged.
    is_told: bool,
}

impl Addresses {
    pub fn open() -> io::Result<Self> {
        Ok(Self {
            watch: AddressWatch::open()?,
            known: None,
            is_told: false,
        })
    }

    pub fn fd(&self) -> RawFd {
        self.watch.as_fd().as_raw_fd()
    }

    /// All addresses; None until they were read.
    pub fn known(&self) -> Option<&HashSet<Address>> {
        self.known.as_ref().map(|held| &held.all)
    }

    /// Reads the addresses; returns all of them if some have changed.
    pub fn read(&mut self) -> Option<Held> {
        let found = match self.watch.read() {
            Ok(found) => found?,
            Err(error) => {
                if !std::mem::replace(&mut self.is_told, true) {
                    log::warn!("cannot read this router's addresses: {error}");
                }
                return None;
            }
        };
        self.is_told = false;
        let held = Held::of(&found);
        if self.known.as_ref() == Some(&held) {
            return None;
        }
        self.known = Some(held.clone());
        Some(held)
    }
}

pub fn bytes_of(address: IpAddr) -> Address {
    let mut bytes = [0; 16];
    match address {
        IpAddr::V4(ip) => bytes[..4].copy_from_slice(&ip.octets()),
        IpAddr::V6(ip) => bytes = ip.octets(),
    }
    (address.is_ipv6(), bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn virtual_addresses_are_shared_and_stand_beside_the_own_ones_of_their_network() {
        let address = |index, text: &str, ours| netlink::Address {
            index,
            address: text.parse().expect("an address"),
            prefix: if text.contains(':') { 64 } else { 24 },
            flags: 0,
            protocol: if ours {
                netlink::constants::ADDRESS_PROTOCOL
            } else {
                0
            },
        };
        let found = [
            address(2, "192.0.2.2", false),
            address(2, "198.51.100.1", true),
            address(9, "192.0.2.1", true),
            address(3, "203.0.113.2", false),
            address(4, "10.0.0.1", true),
            address(4, "10.1.0.2", false),
            address(2, "2001:db8::2", false),
            address(2, "fe80::1", true),
            // a copy that another program set
            address(5, "192.0.2.1", false),
        ];
        let held = Held::of(&found);
        assert_eq!(held.all.len(), 8);
        let mut node: Vec<String> = Vec::new();
        for (own, instead) in held.node {
            let text =
                |(is_ipv6, bytes): Address| crate::flow::address(is_ipv6, &bytes).to_string();
            node.push(format!(
                "{} {}",
                text(own),
                instead.map_or("none".to_owned(), text)
            ));
        }
        node.sort();
        let wanted = [
            "10.1.0.2 10.0.0.1",
            "192.0.2.2 192.0.2.1",
            "2001:db8::2 none",
            "203.0.113.2 none",
        ];
        assert_eq!(node, wanted);
    }
}
