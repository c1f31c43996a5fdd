//! Security associations and policies: their keys in the kernel, values that age, and the rest as the kernel's bytes.

use std::fmt;
use std::net::IpAddr;
use std::ops::Range;
use std::sync::Arc;

use zeroize::Zeroizing;

use crate::SECOND;

/// A mark, and the mask of its significant bits.
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
    /// Protocol: ESP 50, AH 51, IPComp 108.
    pub protocol: u8,
    pub mark: Mark,
}

/// A security association.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sa {
    pub id: SaId,
    pub source: IpAddr,
    pub reqid: u32,
    /// Interface id (XFRMA_IF_ID); 0 if it has none.
    pub if_id: u32,
    /// Mode, tunnel or transport, by the kernel's number.
    pub mode: u8,
    /// Direction as reported by Linux 6.10 and later; else the local end determines it.
    pub direction: Option<Direction>,
    /// The SA has 64-bit sequence numbers.
    pub esn: bool,
    /// Payload of XFRM_MSG_NEWSA without values that age or differ by node: no replay state, no used lifetimes, no
    /// thresholds; interfaces and reqid are 0.
    pub body: Body,
    pub interfaces: Interfaces,
    pub replay: Replay,
    pub life: Life,
}

impl Sa {
    /// Returns the local end of its tunnel, if this node is on this side.
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

/// The kernel's bytes, which include keys: erased on drop, never printed. A clone shares them, so that there are no
/// needless copies of keys, and thousands of SAs are available at once in a failover.
#[derive(Clone, PartialEq, Eq)]
pub struct Body(Arc<Zeroizing<Vec<u8>>>);

impl Body {
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Arc::new(Zeroizing::new(bytes)))
    }

    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Clears a range whose value is kept separately.
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

/// Interfaces that an SA names. Their numbers differ between the nodes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interfaces {
    /// Interface of its selector.
    pub selector: Option<String>,
    /// Device and flags of XFRMA_OFFLOAD_DEV.
    pub offload: Option<(String, u8)>,
}

/// Sequence numbers in use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Replay {
    /// Last number that was sent.
    pub oseq: u64,
    /// Highest number that was received.
    pub seq: u64,
    /// Size of the window in packets.
    pub window: u32,
    pub form: ReplayForm,
}

/// Attribute in which the kernel has the state; it accepts no other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReplayForm {
    /// XFRMA_REPLAY_VAL: a bit for each of the last 32 numbers.
    Legacy(u32),
    /// XFRMA_REPLAY_ESN_VAL, with or without 64-bit numbers: a ring of bits.
    Extended(Vec<u32>),
}

impl ReplayForm {
    /// Returns the number of packets that the bits cover.
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
    /// Time since it was created. The kernel has a time of day, which differs by node.
    pub age_s: u64,
    /// Time since its first use.
    pub used_s: Option<u64>,
}

impl Life {
    /// Returns the lifetimes after a time without traffic.
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
    /// Packets between two reports.
    pub threshold: u32,
    /// Greatest rate of the last seconds.
    pub packets_per_s: u32,
}

/// Name of an interface, or no name.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InterfaceName([u8; IFNAMSIZ]);

const IFNAMSIZ: usize = 16;

impl InterfaceName {
    /// Returns the name; None if no interface can have it.
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
    /// Bytes of `struct xfrm_selector`, with interface 0.
    pub selector: [u8; 56],
    /// Interface of the selector.
    pub interface: InterfaceName,
    /// Direction: in 0, out 1, forward 2.
    pub direction: u8,
    /// Type (XFRMA_POLICY_TYPE): main 0, sub 1.
    pub kind: u8,
    pub mark: Mark,
    pub if_id: u32,
}

impl PolicyId {
    /// Returns true if it applies to outbound packets.
    pub fn is_outbound(&self) -> bool {
        const OUT: u8 = 1;
        self.direction == OUT
    }
}

/// A policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    pub id: PolicyId,
    /// Payload of XFRM_MSG_NEWPOLICY, with interface 0, index 0 and no used lifetimes.
    pub body: Body,
    /// SA templates for matching packets; without any, packets pass or are blocked.
    pub templates: Vec<Template>,
    /// Local end of its tunnels.
    pub end: Option<IpAddr>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Template {
    pub source: IpAddr,
    pub destination: IpAddr,
    /// SPI; 0 for any.
    pub spi: u32,
    pub protocol: u8,
    pub mode: u8,
    pub reqid: u32,
}

/// Name of a child of a connection in the IKE daemon.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChildName {
    pub ike: String,
    pub child: String,
}
