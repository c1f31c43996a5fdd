//! State of interfaces.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use spared_abi as abi;

use crate::address;
use crate::named::{flags, named};
use crate::record::record;

record! {
    /// Complete state of one interface.
    #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
    pub struct InterfaceEvent {
        /// Its name.
        pub name: String = 0,
        /// The interface exists.
        pub present: bool = 1,
        /// The administrator set it up.
        pub up: bool = 2,
        /// It has a carrier.
        pub carrier: bool = 3,
        /// The kernel's index; 0 if absent.
        pub index: u32 = 4,
        /// Bytes of payload per frame.
        pub mtu: u32 = 5,
        /// Its own MAC, not a virtual one.
        pub mac: [u8; 6] = 6,
        /// The node's own addresses with their prefix lengths, without virtual ones of spared.
        pub addresses: Vec<(IpAddr, u8)> = 7,
        /// The requested sockets, as far as they could be opened. Their descriptors come with the event, in this order.
        pub sockets: Vec<SocketKind> = 8,
        /// Number of this opening of the sockets: with the same number the descriptors are those that came
        /// before, and do not come again. 0 where the SDK has sorted that out.
        pub generation: u64 = 9,
    }
}

flags! {
    InterfaceEvent {
        present = INTERFACE_PRESENT,
        up = INTERFACE_UP,
        carrier = INTERFACE_CARRIER,
    }
}

named! {
    /// Purpose of a socket; `plugin.h` says how each is bound.
    #[serde(from = "u32", into = "u32")]
    pub enum SocketKind non_exhaustive {
        /// Whole frames of VRRP, both ways.
        VrrpLink = SOCKET_VRRP_LINK,
        /// Unicast adverts over IPv4, sending only.
        VrrpIpv4 = SOCKET_VRRP_IPV4,
        /// Unicast adverts over IPv6, sending only.
        VrrpIpv6 = SOCKET_VRRP_IPV6,
        /// ARP and neighbour discovery of other stations.
        Stations = SOCKET_STATIONS,
        /// UDP packets of the peer's heartbeats, receiving only.
        HeartbeatIn = SOCKET_HEARTBEAT_IN,
        /// Connected to the peer's port for heartbeats, sending only.
        HeartbeatOut = SOCKET_HEARTBEAT_OUT,
        /// ICMP.
        PingIpv4 = SOCKET_PING_IPV4,
        /// ICMPv6.
        PingIpv6 = SOCKET_PING_IPV6,
        /// Whole frames of heartbeats beside the adverts, receiving only.
        VrrpHeartbeat = SOCKET_VRRP_HEARTBEAT,
        else
        /// A kind that this SDK does not know.
        Other
    }
}

impl InterfaceEvent {
    /// Converts the addresses to the form of the C interface.
    pub fn raw_addresses(&self) -> Vec<abi::OwnAddress> {
        let raw = |(address, prefix): &(IpAddr, u8)| {
            let (family, octets) = address::to_raw(*address);
            abi::OwnAddress {
                size: size_of::<abi::OwnAddress>() as u32,
                family,
                prefix: (*prefix).into(),
                flags: 0,
                octets,
            }
        };
        self.addresses.iter().map(raw).collect()
    }

    /// Converts to the form of the C interface, which points to the name of this value and to these arrays.
    pub fn to_raw(
        &self,
        addresses: &[abi::OwnAddress],
        sockets: &[abi::Socket],
    ) -> abi::InterfaceEvent {
        let [a, b, c, d, e, f] = self.mac;
        abi::InterfaceEvent {
            size: size_of::<abi::InterfaceEvent>() as u32,
            flags: self.to_flags(),
            name: abi::Str::of(&self.name),
            index: self.index,
            mtu: self.mtu,
            mac: [a, b, c, d, e, f, 0, 0],
            addresses: addresses.as_ptr(),
            address_count: u32::try_from(addresses.len()).unwrap_or(0),
            socket_count: u32::try_from(sockets.len()).unwrap_or(0),
            sockets: sockets.as_ptr(),
        }
    }

    /// Converts from the form of the C interface, whose name and arrays were read before.
    pub fn from_raw<'a>(
        raw: &abi::InterfaceEvent,
        name: String,
        addresses: impl Iterator<Item = &'a abi::OwnAddress>,
        sockets: Vec<SocketKind>,
    ) -> Self {
        let own = |raw: &abi::OwnAddress| {
            let address = address::from_raw(raw.family, raw.octets)?;
            Some((address, u8::try_from(raw.prefix).ok()?))
        };
        let [a, b, c, d, e, f, ..] = raw.mac;
        let mut event = Self {
            name,
            index: raw.index,
            mtu: raw.mtu,
            mac: [a, b, c, d, e, f],
            addresses: addresses.filter_map(own).collect(),
            sockets,
            ..Self::default()
        };
        event.set_flags(raw.flags);
        event
    }
}

/// Checks a name by the kernel's rules for names of interfaces.
///
/// # Errors
/// The name is invalid.
pub fn check_interface(name: &str) -> Result<(), String> {
    let fits = (1..16).contains(&name.len())
        && name != "."
        && name != ".."
        && !name
            .bytes()
            .any(|byte| byte == b'/' || byte == b':' || byte.is_ascii_whitespace() || byte == 0);
    if fits {
        Ok(())
    } else {
        Err(format!("{name:?} is not a valid interface name"))
    }
}
