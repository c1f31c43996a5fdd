//! What the fence guards: the input of its contents.

use std::net::IpAddr;
use std::time::Duration;

use spared_contract::Family;

use super::LeaseKey;

/// All that the fence guards.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Devices with chains: those of claims, virtual-MAC devices, and those that have a guarded address.
    pub devices: Vec<Device>,
    /// Other devices that might answer for an address of the plan.
    pub elsewhere: Vec<Device>,
    /// All devices that the host has seen, by the names that they have. On others the addresses are blocked.
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
    /// The virtual MAC and the device that has it.
    pub virtual_mac: Option<([u8; 6], u32)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guarded {
    pub address: IpAddr,
    /// Its interface; 0 if that is absent.
    pub index: u32,
    /// The lease that passes its packets.
    pub key: LeaseKey,
    /// The only virtual MAC that may answer for it, and the device that has it.
    pub virtual_mac: Option<([u8; 6], u32)>,
    /// Whether packets to it are accepted, in addition to neighbour discovery and ARP.
    pub accept: bool,
}

/// Whether an address is link-local, so that it differs on every interface.
pub fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(v6) if v6.segments()[0] & 0xffc0 == 0xfe80)
}
