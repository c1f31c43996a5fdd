//! State of interfaces.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::named::named;
use crate::record::record;

record! {
    /// Complete state of one interface.
    #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
    pub struct InterfaceEvent {
        /// Name of the interface.
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
        /// The interface's own MAC, not a virtual one.
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

named! {
    /// Purpose of a socket.
    #[serde(from = "u32", into = "u32")]
    pub enum SocketKind non_exhaustive {
        /// Whole frames of VRRP, both ways: AF_PACKET, SOCK_RAW, bound to the interface, before any firewall. Its
        /// multicast groups are joined.
        VrrpLink = SOCKET_VRRP_LINK,
        /// Unicast adverts over IPv4, sending only: AF_INET, raw, IP_HDRINCL, bound to the interface.
        VrrpIpv4 = SOCKET_VRRP_IPV4,
        /// Unicast adverts over IPv6, sending only: AF_INET6, raw, IPV6_HDRINCL, bound to the interface.
        VrrpIpv6 = SOCKET_VRRP_IPV6,
        /// ARP and neighbour discovery of other stations, and probes to them: AF_PACKET, SOCK_RAW.
        Stations = SOCKET_STATIONS,
        /// Whole IP packets of the peer's heartbeats, receiving only: AF_PACKET, SOCK_DGRAM, on an interface of a
        /// link, before any firewall.
        HeartbeatIn = SOCKET_HEARTBEAT_IN,
        /// Heartbeats to the peer, sending only: UDP, bound to the interface, connected to the peer's port.
        HeartbeatOut = SOCKET_HEARTBEAT_OUT,
        /// Echo replies and unreachables, with the IP header: AF_INET, raw, bound to the interface, or to none if the
        /// name "@any" was followed.
        PingIpv4 = SOCKET_PING_IPV4,
        /// Echo replies and unreachables of ICMPv6, without the IP header: AF_INET6, raw, bound in the same way.
        PingIpv6 = SOCKET_PING_IPV6,
        /// Whole frames of heartbeats beside the adverts, receiving only: AF_PACKET, SOCK_RAW, UDP from and to port
        /// 3780, before any firewall. They are sent by the sockets of adverts.
        VrrpHeartbeat = SOCKET_VRRP_HEARTBEAT,
        else
        /// A kind that this SDK does not know.
        Other
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
