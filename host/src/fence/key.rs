//! Names of leases: one per virtual router and one per group.

use spared_worker::message::Family;

/// A key of the set `lease`: interface index, ether type, number, each in its 32-bit register.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LeaseKey {
    index: u32,
    ether_type: u16,
    number: u32,
}

impl LeaseKey {
    pub const LENGTH: usize = 12;

    /// The lease of a virtual router.
    pub fn router(index: u32, family: Family, vrid: u8) -> Self {
        let ether_type = match family {
            Family::V4 => ETHER_IPV4,
            Family::V6 => ETHER_IPV6,
        };
        Self {
            index,
            ether_type,
            number: u32::from(vrid),
        }
    }

    /// The lease of a group, renewed by every router of it.
    pub fn group(number: u32) -> Self {
        Self {
            index: 0,
            ether_type: 0,
            number,
        }
    }

    /// As the registers hold it.
    pub fn bytes(self) -> [u8; Self::LENGTH] {
        let mut bytes = [0; Self::LENGTH];
        bytes[..4].copy_from_slice(&self.index.to_ne_bytes());
        bytes[4..6].copy_from_slice(&self.ether_type.to_be_bytes());
        bytes[8..].copy_from_slice(&self.number.to_ne_bytes());
        bytes
    }

    /// The reverse of [`LeaseKey::bytes`].
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; Self::LENGTH] = bytes.try_into().ok()?;
        let [a, b, c, d, e, f, _, _, g, h, i, j] = *bytes;
        Some(Self {
            index: u32::from_ne_bytes([a, b, c, d]),
            ether_type: u16::from_be_bytes([e, f]),
            number: u32::from_ne_bytes([g, h, i, j]),
        })
    }

    pub(super) fn index(self) -> u32 {
        self.index
    }

    pub(super) fn ether_type(self) -> u16 {
        self.ether_type
    }

    pub(super) fn number(self) -> u32 {
        self.number
    }
}

pub(super) const ETHER_IPV4: u16 = 0x0800;
pub(super) const ETHER_ARP: u16 = 0x0806;
pub(super) const ETHER_IPV6: u16 = 0x86dd;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_survives_its_bytes() {
        for key in [LeaseKey::router(7, Family::V6, 255), LeaseKey::group(3)] {
            assert_eq!(LeaseKey::from_bytes(&key.bytes()), Some(key));
        }
        assert_eq!(LeaseKey::from_bytes(&[0; 11]), None);
    }
}
