//! Encodes and parses VRRP messages, the frames around them, and probes of neighbours. The headers
//! themselves are those of `spared_packet`.
//!
//! No input causes a panic: received bytes are read by `get`, and frames are appended to a buffer
//! whose capacity the caller keeps.

pub mod datagram;
pub mod frame;
pub mod heartbeat;
pub mod neighbour;
pub mod offer;
pub mod vrrp;

#[cfg(test)]
mod tests;

use std::net::IpAddr;

pub use spared_packet::Mac;
use spared_packet::array;

/// Address families; each has its own virtual routers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    V4,
    V6,
}

impl Family {
    /// Returns the family of an address.
    pub fn of(address: IpAddr) -> Family {
        match address {
            IpAddr::V4(_) => Family::V4,
            IpAddr::V6(_) => Family::V6,
        }
    }

    /// Returns "ipv4" or "ipv6", as in counters.
    pub fn name(self) -> &'static str {
        match self {
            Family::V4 => "ipv4",
            Family::V6 => "ipv6",
        }
    }
}

/// Returns the virtual router's MAC address (RFC 9568 section 7.3).
pub fn virtual_mac(family: Family, vrid: u8) -> Mac {
    let space = match family {
        Family::V4 => 1,
        Family::V6 => 2,
    };
    [0x00, 0x00, 0x5e, 0x00, space, vrid]
}

/// Returns the virtual router to which a MAC address belongs, if any.
pub fn virtual_router(mac: Mac) -> Option<(Family, u8)> {
    match mac {
        [0x00, 0x00, 0x5e, 0x00, 1, vrid] => Some((Family::V4, vrid)),
        [0x00, 0x00, 0x5e, 0x00, 2, vrid] => Some((Family::V6, vrid)),
        _ => None,
    }
}
