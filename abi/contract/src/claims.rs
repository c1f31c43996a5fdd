//! What a group claims.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// Family of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// Everything that a group claims. It is installed while the group is active.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// Virtual routers, whose adverts the fence lets through.
    pub routers: Vec<VirtualRouterClaim>,
    /// Virtual addresses.
    pub addresses: Vec<AddressClaim>,
    /// Virtual routes.
    pub routes: Vec<RouteClaim>,
    /// Interval in seconds at which addresses are announced again; 0: never.
    pub refresh_s: u32,
    /// How long one advert keeps the fence passing.
    pub lease_ns: u64,
}

/// One virtual router.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct VirtualRouterClaim {
    /// Interface of its adverts.
    pub interface: String,
    /// Family of its addresses.
    pub family: Family,
    /// 1-255.
    pub vrid: u8,
    /// Answer with the virtual MAC of RFC 9568.
    pub vmac: bool,
    /// Name of the device with the virtual MAC; empty: by VRID and interface.
    pub vmac_name: String,
    /// Accept packets to the addresses.
    pub accept: bool,
    /// Adverts arrive through routers: accept any TTL.
    pub routed: bool,
}

/// One virtual address.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct AddressClaim {
    /// Interface that gets the address.
    pub interface: String,
    /// Index into the virtual routers; None: the address follows the group without VRRP.
    pub router: Option<u32>,
    /// The address.
    pub address: IpAddr,
    /// Its prefix length.
    pub prefix: u8,
    /// It is the source address of the node's own packets to that network.
    pub source: bool,
    /// It is the node's own, as that of an owner of RFC 9568: a copy that others set is no fault.
    pub own: bool,
}

/// One virtual route.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RouteClaim {
    /// Destination.
    pub destination: IpAddr,
    /// Its prefix length.
    pub prefix: u8,
    /// Gateway.
    pub gateway: Option<IpAddr>,
    /// Interface; required without a gateway.
    pub interface: Option<String>,
    /// Preferred source address.
    pub source: Option<IpAddr>,
    /// Metric; 0: the kernel's default.
    pub metric: u32,
    /// Routing table; 0: main.
    pub table: u32,
}
