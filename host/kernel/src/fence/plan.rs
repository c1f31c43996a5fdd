//! Input of the fence: devices, virtual routers and addresses that it guards.

use std::net::IpAddr;
use std::time::Duration;

use spared_contract::Family;

use super::LeaseKey;

/// Devices, virtual routers and addresses that the fence guards.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Devices with chains: devices of claims, virtual-MAC devices, and devices that have a guarded address.
    pub devices: Vec<Device>,
    /// Other devices that might answer for an address of the plan.
    pub elsewhere: Vec<Device>,
    /// All devices that the host has seen, by their current names. On other devices the addresses are blocked.
    pub known: Vec<Device>,
    pub routers: Vec<VirtualRouter>,
    pub addresses: Vec<Guarded>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    pub name: String,
    pub index: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VirtualRouter {
    pub interface: String,
    pub index: u32,
    pub family: Family,
    pub vrid: u8,
    pub key: LeaseKey,
    pub group: LeaseKey,
    pub lease: Duration,
    /// Virtual MAC and the index of the device that has it.
    pub virtual_mac: Option<([u8; 6], u32)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guarded {
    pub address: IpAddr,
    /// Index of the interface; 0 if the interface is absent.
    pub index: u32,
    /// Key of the lease that passes the packets of the address.
    pub key: LeaseKey,
    /// Only virtual MAC that may answer for the address, and the index of the device that has it.
    pub virtual_mac: Option<([u8; 6], u32)>,
    /// True if packets to the address are accepted, in addition to neighbour discovery and ARP.
    pub accept: bool,
}

/// Returns true if an address is link-local: such addresses are separate on every interface.
pub fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(v6) if v6.segments()[0] & 0xffc0 == 0xfe80)
}
