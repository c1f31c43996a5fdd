//! Bytes on the wire: VRRP messages, the frames around them, and probes of the neighbourhood.
//!
//! Nothing here panics, whatever the input: received bytes are read through `get`, and frames are
//! written by appending to a buffer whose capacity the caller keeps.

pub mod beat;
pub mod datagram;
pub mod frame;
pub mod neighbour;
pub mod vrrp;

#[cfg(test)]
mod tests;

use std::net::IpAddr;

/// The two address families; each has its own virtual routers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    V4,
    V6,
}

impl Family {
    /// The family of an address.
    pub fn of(address: IpAddr) -> Family {
        match address {
            IpAddr::V4(_) => Family::V4,
            IpAddr::V6(_) => Family::V6,
        }
    }

    /// "ipv4" or "ipv6", as in counters.
    pub fn name(self) -> &'static str {
        match self {
            Family::V4 => "ipv4",
            Family::V6 => "ipv6",
        }
    }
}

pub type Mac = [u8; 6];

/// RFC 9568 section 7.3: the virtual router's MAC address.
pub fn virtual_mac(family: Family, vrid: u8) -> Mac {
    let space = match family {
        Family::V4 => 1,
        Family::V6 => 2,
    };
    [0x00, 0x00, 0x5e, 0x00, space, vrid]
}

/// Whether a MAC address belongs to any virtual router.
pub fn is_virtual_mac(mac: Mac) -> bool {
    matches!(mac, [0x00, 0x00, 0x5e, 0x00, 1 | 2, _])
}

/// N bytes at an offset.
fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}

/// The ones' complement sum of RFC 1071 over bytes, added to what is summed already.
fn add_words(sum: u32, bytes: &[u8]) -> u32 {
    let mut sum = sum;
    for word in bytes.chunks(2) {
        let value = match *word {
            [high, low] => u16::from_be_bytes([high, low]),
            [high] => u16::from_be_bytes([high, 0]),
            _ => 0,
        };
        // folded at once: a jumbo frame of ones must not overflow
        sum += u32::from(value);
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum
}

fn fold(sum: u32) -> u16 {
    let sum = (sum & 0xffff) + (sum >> 16);
    !(((sum & 0xffff) + (sum >> 16)) as u16)
}

/// The pseudo-header of RFC 9568 section 5.2.8 for either family.
fn pseudo_header(source: IpAddr, destination: IpAddr, protocol: u8, length: usize) -> u32 {
    let sum = add_address(add_address(0, source), destination);
    let length = u32::try_from(length).unwrap_or(u32::MAX);
    add_words(add_words(sum, &length.to_be_bytes()), &[0, protocol])
}

fn add_address(sum: u32, address: IpAddr) -> u32 {
    match address {
        IpAddr::V4(address) => add_words(sum, &address.octets()),
        IpAddr::V6(address) => add_words(sum, &address.octets()),
    }
}
