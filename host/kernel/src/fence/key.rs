//! Keys of leases: one for each virtual router and one for each group.

use spared_contract::Family;

/// Key of the set `lease`. It has nft's type of a packet mark. Only for this type can a rule build a constant that
/// `nft` prints and reads again: `meta mark & 0 | number`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LeaseKey(u32);

impl LeaseKey {
    /// A lease that is never granted. No interface has the highest index.
    pub const NEVER: Self = Self(u32::MAX);

    /// Key of a virtual router's lease, from interface index, family and VRID.
    pub fn router(index: u32, family: Family, vrid: u8) -> Self {
        let family = match family {
            Family::V4 => 0,
            Family::V6 => 0x100,
        };
        Self(index << 9 | family | u32::from(vrid))
    }

    /// Key of a group's lease, which each of its virtual routers renews. No interface has the index 0.
    pub fn group(number: u32) -> Self {
        Self(number & 0x1ff)
    }

    pub(super) fn number(self) -> u32 {
        self.0
    }

    /// Bytes of the key, as in a register and in an element.
    pub(super) fn bytes(self) -> Vec<u8> {
        self.0.to_ne_bytes().to_vec()
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        Some(Self(u32::from_ne_bytes(bytes.try_into().ok()?)))
    }
}

pub(super) const ETHER_IPV4: u16 = 0x0800;
pub(super) const ETHER_ARP: u16 = 0x0806;
pub(super) const ETHER_IPV6: u16 = 0x86dd;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_differ_in_every_part_and_survive_their_bytes() {
        let keys = [
            LeaseKey::router(7, Family::V4, 50),
            LeaseKey::router(7, Family::V6, 50),
            LeaseKey::router(7, Family::V4, 51),
            LeaseKey::router(8, Family::V4, 50),
            LeaseKey::group(50),
            LeaseKey::group(306),
        ];
        for (position, key) in keys.iter().enumerate() {
            assert_eq!(LeaseKey::from_bytes(&key.bytes()), Some(*key));
            assert!(!keys[..position].contains(key));
        }
        assert_eq!(LeaseKey::from_bytes(&[0; 3]), None);
    }
}
