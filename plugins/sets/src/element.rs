//! Sets and their elements, with the same meaning for the kernel and the peer.

use std::fmt;

pub use crate::key::Key;

/// Family of a table, with its number in the kernel (NFPROTO_*).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Family {
    Inet,
    Ip,
    Ip6,
    Bridge,
    Netdev,
}

impl Family {
    pub const ALL: [(&'static str, Self); 5] = [
        ("inet", Self::Inet),
        ("ip", Self::Ip),
        ("ip6", Self::Ip6),
        ("bridge", Self::Bridge),
        ("netdev", Self::Netdev),
    ];

    pub fn number(self) -> u8 {
        match self {
            Self::Inet => 1,
            Self::Ip => 2,
            Self::Netdev => 5,
            Self::Bridge => 7,
            Self::Ip6 => 10,
        }
    }
}

/// Name of a set, such as "inet filter bans".
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SetName {
    pub family: Family,
    pub table: String,
    pub name: String,
}

impl fmt::Display for SetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut all = Family::ALL.into_iter();
        let family = all.find(|(_, family)| *family == self.family);
        let word = family.map_or("", |(word, _)| word);
        write!(f, "{word} {} {}", self.table, self.name)
    }
}

/// Lifetime of an element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Life {
    /// Milliseconds from the creation or the last renewal; never 0.
    pub timeout_ms: u64,
    /// Milliseconds from now.
    pub left_ms: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Element {
    pub key: Key,
    /// Lifetime; None: no timeout.
    pub life: Option<Life>,
    /// Value of a map for the key; empty in a set.
    pub data: Box<[u8]>,
    /// Comment and marks, as nft wrote them.
    pub comment: Box<[u8]>,
    /// True if a rule gave the element a limit, a quota or a count of connections that the set does not define. Such an
    /// element stays on its node: a copy would have no limit, and a rule without a limit matches every packet.
    pub metered: bool,
}

/// Type of a set's elements.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shape {
    /// nft's number of the type, for messages to people.
    pub key_type: u32,
    pub key_len: u32,
    pub data_len: u32,
    pub timeouts: bool,
    pub intervals: bool,
    /// True if the kernel gives each element a limit, a quota or a count of connections that the set defines.
    pub metered: bool,
}

impl Shape {
    /// True if a key of this set may have this length.
    pub fn fits(&self, key: &Key) -> bool {
        let (length, key_len) = (key.0.len(), self.key_len as usize);
        length == 0 || length == key_len || (self.intervals && length == 2 * key_len)
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} bytes", type_name(self.key_type), self.key_len)?;
        if self.data_len > 0 {
            write!(f, ", a map to {} bytes", self.data_len)?;
        }
        let with = |yes| if yes { "with" } else { "without" };
        write!(f, ", {} timeouts", with(self.timeouts))?;
        write!(f, ", {} intervals", with(self.intervals))?;
        f.write_str(if self.metered { ", with limits)" } else { ")" })
    }
}

/// Types of nft whose values belong to the node that assigned them: the index of an interface, and the id of a cgroup.
/// All others mean the same on both nodes, or are numbers that the administrator assigns: marks, zones, realms, groups
/// of interfaces, users.
pub const IFACE_INDEX: u32 = 20;
pub const CGROUPSV2: u32 = 46;

/// nft's numbers of the parts of a type; a concatenation has 6 bits for each, and at most five parts.
pub fn parts(number: u32) -> impl Iterator<Item = u32> {
    const BITS: u32 = 6;
    let parts = (0..32 / BITS)
        .rev()
        .map(move |part| number >> (part * BITS));
    let parts = parts.map(|part| part & ((1 << BITS) - 1));
    parts.filter(|part| *part != 0)
}

/// Words of nft for a type.
fn type_name(number: u32) -> String {
    let words: Vec<String> = parts(number)
        .map(|part| match part {
            4 => "integer".to_owned(),
            5 => "string".to_owned(),
            7 => "ipv4_addr".to_owned(),
            8 => "ipv6_addr".to_owned(),
            9 => "ether_addr".to_owned(),
            12 => "inet_proto".to_owned(),
            13 => "inet_service".to_owned(),
            19 => "mark".to_owned(),
            41 => "ifname".to_owned(),
            other => format!("type {other}"),
        })
        .collect();
    if words.is_empty() {
        return "no type".to_owned();
    }
    words.join(" . ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_have_the_words_of_nft() {
        let shape = Shape {
            key_type: 7 << 6 | 13,
            key_len: 8,
            timeouts: true,
            ..Shape::default()
        };
        assert_eq!(
            shape.to_string(),
            "ipv4_addr . inet_service (8 bytes, with timeouts, without intervals)"
        );
    }

    #[test]
    fn a_key_is_whole_or_an_interval_or_nothing() {
        let mut shape = Shape {
            key_len: 4,
            ..Shape::default()
        };
        let key = |length| Key(vec![1; length].into());
        assert!(shape.fits(&key(4)) && shape.fits(&key(0)));
        assert!(!shape.fits(&key(8)) && !shape.fits(&key(3)));
        shape.intervals = true;
        assert!(shape.fits(&key(8)));
    }
}
