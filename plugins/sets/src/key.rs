//! Keys of elements. There may be millions, and nearly all are short: a short key needs no allocation.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::Deref;

use spared_replica::{Malformed, Reader, ValueWriter};

/// Number of bytes stored in the key itself: an IPv6 address and a port, or an interval of IPv4 addresses.
const SHORT: usize = 22;

/// Identity of an element in its set: its key; for an interval also its end; empty for the catch-all element.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(pub Bytes);

/// Bytes of a key.
#[derive(Clone)]
pub enum Bytes {
    Short(u8, [u8; SHORT]),
    Long(Box<[u8]>),
}

impl Key {
    /// Key of an interval from its ends, or of an element without an end.
    pub fn joined(from: &[u8], to: &[u8]) -> Self {
        let length = from.len() + to.len();
        if length > SHORT {
            return Self(Bytes::Long([from, to].concat().into()));
        }
        let mut bytes = [0; SHORT];
        let (first, rest) = bytes.split_at_mut(from.len());
        first.copy_from_slice(from);
        rest[..to.len()].copy_from_slice(to);
        Self(Bytes::Short(length as u8, bytes))
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Ok(address) = <[u8; 4]>::try_from(&*self.0) {
            return Ipv4Addr::from(address).fmt(f);
        }
        if let Ok(address) = <[u8; 16]>::try_from(&*self.0) {
            return Ipv6Addr::from(address).fmt(f);
        }
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl spared_replica::Key for Key {
    fn write(&self, out: &mut ValueWriter<'_>) {
        out.put(&self.0);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let length = reader.0.len();
        reader.take(length).map(|bytes| Self(bytes.into()))
    }
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Short(length, bytes) => &bytes[..usize::from(*length).min(SHORT)],
            Self::Long(bytes) => bytes,
        }
    }
}

impl Default for Bytes {
    fn default() -> Self {
        Self::Short(0, [0; SHORT])
    }
}

impl From<&[u8]> for Bytes {
    fn from(bytes: &[u8]) -> Self {
        Key::joined(bytes, &[]).0
    }
}

impl<const N: usize> From<[u8; N]> for Bytes {
    fn from(bytes: [u8; N]) -> Self {
        bytes.as_slice().into()
    }
}

impl From<Vec<u8>> for Bytes {
    fn from(bytes: Vec<u8>) -> Self {
        bytes.as_slice().into()
    }
}

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl PartialEq for Bytes {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Short(length, bytes), Self::Short(other, others)) => {
                let is_begun = length == other && head(bytes) == head(others);
                is_begun && (usize::from(*length) <= HEAD || bytes == others)
            }
            _ => **self == **other,
        }
    }
}

impl Eq for Bytes {}

impl PartialOrd for Bytes {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Bytes {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            // behind a short key are zeros: of two with the same beginning the longer one is greater
            (Self::Short(length, bytes), Self::Short(other, others)) => {
                let is_all = usize::from(*length.max(other)) <= HEAD;
                let rest = || {
                    if is_all {
                        Ordering::Equal
                    } else {
                        bytes.cmp(others)
                    }
                };
                let first = head(bytes).cmp(&head(others));
                first.then_with(rest).then(length.cmp(other))
            }
            _ => (**self).cmp(&**other),
        }
    }
}

impl Hash for Bytes {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (**self).hash(state);
    }
}

/// Bytes that are compared as one number: all of an IPv4 address with a port.
const HEAD: usize = size_of::<u64>();

/// First bytes as a number with the same order.
fn head(bytes: &[u8; SHORT]) -> u64 {
    let first = bytes.first_chunk().copied();
    first.map_or(0, u64::from_be_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_all_lengths_keep_their_bytes_and_their_order() {
        let bytes: Vec<u8> = (0..64).collect();
        for length in 0..bytes.len() {
            let key = Key(bytes[..length].into());
            assert_eq!(*key.0, bytes[..length]);
            let longer = Key(bytes[..length + 1].into());
            assert!(key < longer && key == key.clone());
            let parts = bytes[..length].split_at(length / 2);
            assert_eq!(Key::joined(parts.0, parts.1), key);
        }
        let texts = [
            "",
            "a",
            "a\0",
            "a\0\0b",
            "ab",
            "abcdefgh",
            "abcdefgh\0",
            "abcdefghi",
            "b",
        ];
        let keys = texts.map(|it| Key(it.as_bytes().into()));
        assert!(keys.is_sorted());
        assert!(size_of::<Key>() <= 24, "{}", size_of::<Key>());
    }
}
