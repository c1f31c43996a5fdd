//! Claims of a group.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::record::record;

/// Family of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

record! {
    /// Everything that a group claims. It is installed while the group is active.
    #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
    pub struct Claims {
        /// Virtual routers, whose adverts the fence lets through.
        pub routers: Vec<VirtualRouterClaim> = 0,
        /// Virtual addresses.
        pub addresses: Vec<AddressClaim> = 1,
        /// Virtual routes.
        pub routes: Vec<RouteClaim> = 2,
        /// Interval in seconds at which addresses are announced again; 0: never.
        pub refresh_s: u32 = 3,
        /// Time for which one advert keeps the fence passing.
        pub lease_ns: u64 = 4,
        /// Policy rules.
        pub rules: Vec<RuleClaim> = 5,
    }
}

record! {
    /// One virtual router.
    #[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
    pub struct VirtualRouterClaim {
        /// Interface of its adverts.
        pub interface: String = 0,
        /// Family of its addresses.
        pub family: Family = 1,
        /// 1-255.
        pub vrid: u8 = 2,
        /// Answer with the virtual MAC of RFC 9568.
        pub vmac: bool = 3,
        /// Name of the device with the virtual MAC; empty: by VRID and interface.
        pub vmac_name: String = 4,
        /// Accept packets to the addresses.
        pub accept: bool = 5,
        /// Adverts arrive through routers: accept any TTL.
        pub routed: bool = 6,
    }
}

record! {
    /// One virtual address.
    #[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
    pub struct AddressClaim {
        /// Interface that gets the address.
        pub interface: String = 0,
        /// Index into the virtual routers; None: the address follows the group without VRRP.
        pub router: Option<u32> = 1,
        /// The address.
        pub address: IpAddr = 2,
        /// Prefix length of the address.
        pub prefix: u8 = 3,
        /// It is the source address of the node's own packets to that network.
        pub source: bool = 4,
        /// It is the node's own, as that of an owner of RFC 9568: a copy that others set is no fault.
        pub own: bool = 5,
        /// Label of an IPv4 address, as `ip address` shows it; empty: the interface's name.
        pub label: String = 6,
    }
}

record! {
    /// One virtual route.
    #[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
    pub struct RouteClaim {
        /// Destination.
        pub destination: IpAddr = 0,
        /// Prefix length of the destination.
        pub prefix: u8 = 1,
        /// Gateway.
        pub gateway: Option<IpAddr> = 2,
        /// Interface; required without a gateway.
        pub interface: Option<String> = 3,
        /// Preferred source address.
        pub source: Option<IpAddr> = 4,
        /// Metric; 0: the kernel's default.
        pub metric: u32 = 5,
        /// Routing table; 0: main.
        pub table: u32 = 6,
    }
}

record! {
    /// One policy rule, which makes packets look up a routing table.
    #[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
    pub struct RuleClaim {
        /// Family of the packets.
        pub family: Family = 0,
        /// Priority; the rule with the smallest number comes first.
        pub priority: u32 = 1,
        /// Source network; None: all.
        pub from: Option<IpAddr> = 2,
        /// Prefix length of the source network.
        pub from_prefix: u8 = 3,
        /// Destination network; None: all.
        pub to: Option<IpAddr> = 4,
        /// Prefix length of the destination network.
        pub to_prefix: u8 = 5,
        /// Mark of the packets, of the bits in `mark_mask`.
        pub mark: u32 = 6,
        /// Bits of the mark that are compared; 0: none.
        pub mark_mask: u32 = 7,
        /// Interface on which the packets arrive; empty: any.
        pub iif: String = 8,
        /// Interface to which a socket is bound; empty: any.
        pub oif: String = 9,
        /// Routing table.
        pub table: u32 = 10,
    }
}
