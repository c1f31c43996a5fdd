//! Security associations and policies as this plugin knows them: what the kernel finds them by, what
//! ages, and the rest as the kernel's own bytes.

use std::fmt;
use std::net::IpAddr;
use std::ops::Range;
use std::sync::Arc;

use zeroize::Zeroizing;

use crate::SECOND;

/// A mark and the bits of it that count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mark {
    pub value: u32,
    pub mask: u32,
}

/// Key of an SA in the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SaId {
    pub destination: IpAddr,
    pub spi: u32,
    /// ESP 50, AH 51, IPComp 108.
    pub protocol: u8,
    pub mark: Mark,
}

/// One security association.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sa {
    pub id: SaId,
    pub source: IpAddr,
    pub reqid: u32,
    /// XFRMA_IF_ID; 0 where it has none.
    pub if_id: u32,
    /// Tunnel or transport, by the kernel's number.
    pub mode: u8,
    /// By the kernel (Linux 6.10 and later); before, the local end tells.
    pub direction: Option<Direction>,
    /// Sequence numbers of 64 bits.
    pub esn: bool,
    /// What XFRM_MSG_NEWSA carries, without what ages or differs by node: no replay state, no
    /// lifetimes so far, no thresholds, interfaces and the reqid as number 0.
    pub body: Body,
    pub interfaces: Interfaces,
    pub replay: Replay,
    pub life: Life,
}

impl Sa {
    /// The end of its tunnel on the node that has it, where it is on this side.
    pub fn local_end(&self, side: Direction) -> IpAddr {
        match side {
            Direction::In => self.id.destination,
            Direction::Out => self.source,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    In,
    Out,
}

/// The kernel's bytes, keys among them: overwritten when dropped, never shown. A clone shares them, so that no
/// more copies of keys are about than need be, and thousands of SAs are at hand at once in a failover.
#[derive(Clone, PartialEq, Eq)]
pub struct Body(Arc<Zeroizing<Vec<u8>>>);

impl Body {
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Arc::new(Zeroizing::new(bytes)))
    }

    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Values kept apart from the bytes.
    pub fn clear(&mut self, range: Range<usize>) {
        if let Some(bytes) = Arc::make_mut(&mut self.0).get_mut(range) {
            bytes.fill(0);
        }
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{} bytes]", self.0.len())
    }
}

/// Interfaces that an SA names, which have other numbers on the other node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interfaces {
    /// Of its selector.
    pub selector: Option<String>,
    /// XFRMA_OFFLOAD_DEV: the device and the flags.
    pub offload: Option<(String, u8)>,
}

/// Sequence numbers as far as they are used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Replay {
    /// The last that was sent.
    pub oseq: u64,
    /// The highest that was received.
    pub seq: u64,
    /// In packets.
    pub window: u32,
    pub form: ReplayForm,
}

/// In which attribute the kernel keeps it; it takes no other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReplayForm {
    /// XFRMA_REPLAY_VAL: which of the last 32 were received.
    Legacy(u32),
    /// XFRMA_REPLAY_ESN_VAL, with or without 64-bit numbers: a ring of bits.
    Extended(Vec<u32>),
}

impl ReplayForm {
    /// Number of packets covered by the bits.
    pub fn capacity(&self) -> u32 {
        match self {
            Self::Legacy(_) => u32::BITS,
            Self::Extended(words) => words.len() as u32 * u32::BITS,
        }
    }
}

impl Default for ReplayForm {
    fn default() -> Self {
        Self::Legacy(0)
    }
}

/// Used parts of an SA's lifetimes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Life {
    pub bytes: u64,
    pub packets: u64,
    /// Since it was made: the kernel keeps a time of day, which differs by node.
    pub age_s: u64,
    /// Time since its first use.
    pub used_s: Option<u64>,
}

impl Life {
    /// The same life after a while in which nothing was sent.
    pub fn later(self, ns: u64) -> Self {
        let s = ns / SECOND;
        Self {
            age_s: self.age_s.saturating_add(s),
            used_s: self.used_s.map(|used_s| used_s.saturating_add(s)),
            ..self
        }
    }
}

/// Rate of an SA, and of the reports of its numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pace {
    /// In packets.
    pub threshold: u32,
    /// In the last seconds at most.
    pub packets_per_s: u32,
}

/// An interface's name, or none.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InterfaceName([u8; IFNAMSIZ]);

const IFNAMSIZ: usize = 16;

impl InterfaceName {
    /// None where no interface can have it.
    pub fn new(name: &str) -> Option<Self> {
        let mut bytes = [0; IFNAMSIZ];
        let fits = name.len() < IFNAMSIZ && !name.contains('\0');
        let place = bytes.get_mut(..name.len()).filter(|_| fits)?;
        place.copy_from_slice(name.as_bytes());
        Some(Self(bytes))
    }

    pub fn text(&self) -> Option<&str> {
        let end = self.0.iter().position(|byte| *byte == 0)?;
        let text = std::str::from_utf8(self.0.get(..end)?).ok()?;
        (!text.is_empty()).then_some(text)
    }
}

impl fmt::Debug for InterfaceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text().fmt(f)
    }
}

/// Key of a policy in the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PolicyId {
    /// `struct xfrm_selector`, with interface 0.
    pub selector: [u8; 56],
    /// Of the selector.
    pub interface: InterfaceName,
    /// In 0, out 1, forward 2.
    pub direction: u8,
    /// XFRMA_POLICY_TYPE: main 0, sub 1.
    pub kind: u8,
    pub mark: Mark,
    pub if_id: u32,
}

impl PolicyId {
    /// Whether it is about what leaves.
    pub fn is_outbound(&self) -> bool {
        const OUT: u8 = 1;
        self.direction == OUT
    }
}

/// One policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    pub id: PolicyId,
    /// What XFRM_MSG_NEWPOLICY carries, with interface 0, index 0 and no lifetimes so far.
    pub body: Body,
    /// SA templates for matching packets; none: they pass, or are blocked.
    pub templates: Vec<Template>,
    /// The end of its tunnels on the node that has it.
    pub end: Option<IpAddr>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Template {
    pub source: IpAddr,
    pub destination: IpAddr,
    /// 0: any.
    pub spi: u32,
    pub protocol: u8,
    pub mode: u8,
    pub reqid: u32,
}

/// The IKE daemon's name of a child of a connection.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChildName {
    pub ike: String,
    pub child: String,
}
