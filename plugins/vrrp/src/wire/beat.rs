//! Beats: what the elector of one node tells that of the other over every link, so that silence
//! is silence on every path. UDP, on the port of the links; version 1 is spoken where the wire of
//! the plugin's channel is 1.
//!
//! ```text
//!     0                   1                   2                   3
//!     0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//!    +---------------------------------------------------------------+
//!  0 |                         Magic, "SPBT"                         |
//!    +---------------+---------------+---------------+---------------+
//!  4 |    Version    |     Link      |     Count     |   Priority    |
//!    +---------------+---------------+---------------+---------------+
//!  8 |                            Key id, 8                          |
//!    +---------------------------------------------------------------+
//! 16 |                           Sequence, 8                         |
//!    +---------------------------------------------------------------+
//! 24 |                             Group, 8                          |
//!    +---------------+---------------+---------------+---------------+
//! 32 |     Role      |     Class     |    Quality    |     Flags     |
//!    +---------------+---------------+---------------+---------------+
//! 36 |                   Advert interval in ns, 8                    |
//!    +---------------------------------------------------------------+
//! 44 |  Ports, Count times 5 bytes: id, 4; state, 1                  |
//!    +---------------------------------------------------------------+
//!    |  Tag: HMAC-SHA256 of all before it, its first 16 bytes        |
//!    +---------------------------------------------------------------+
//!
//! Role:  0 fault, 1 backup, 2 active; class 0-3; quality 0-100; interval above 0, at most 60 s
//! Flags: 1 preferred, 2 ready, 4 by priority, 8 unable, 16 go, 32 hears
//! State: 1 usable, 2 hears, and the rating: 0 unknown, 4 good, 8 bad
//! ```
//!
//! Reserved bits are sent as zero and ignored. The link is its place among the `[[link]]` of the
//! configuration: it is under the tag, so that a frame recorded on one link is worthless on the
//! other.

use std::fmt;

use super::array;

/// Longest frame: with IPv6 and UDP around it it fits the smallest IPv6 MTU.
pub const FRAME_MAX: usize = 1200;
/// Bytes of the tag.
pub const TAG_LEN: usize = 16;
/// Ports that fit; what more there is is left out.
pub const PORTS_MAX: usize = (FRAME_MAX - HEADER_LEN - TAG_LEN) / PORT_LEN;

const MAGIC: [u8; 4] = *b"SPBT";
const VERSION: u8 = 1;
const HEADER_LEN: usize = 44;
const PORT_LEN: usize = 5;
const CLASS_MAX: u8 = 3;
const QUALITY_MAX: u8 = 100;
/// VRRP's longest is 40.95 s; the receiver computes with it.
const INTERVAL_MAX_NS: u64 = 60_000_000_000;

mod field {
    pub const MAGIC: usize = 0;
    pub const VERSION: usize = 4;
    pub const LINK: usize = 5;
    pub const COUNT: usize = 6;
    pub const PRIORITY: usize = 7;
    pub const KEY: usize = 8;
    pub const SEQUENCE: usize = 16;
    pub const GROUP: usize = 24;
    pub const ROLE: usize = 32;
    pub const CLASS: usize = 33;
    pub const QUALITY: usize = 34;
    pub const FLAGS: usize = 35;
    pub const INTERVAL: usize = 36;
}

mod flag {
    pub const PREFERRED: u8 = 0x01;
    pub const READY: u8 = 0x02;
    pub const BY_PRIORITY: u8 = 0x04;
    pub const UNABLE: u8 = 0x08;
    pub const GO: u8 = 0x10;
    pub const HEARS: u8 = 0x20;
}

mod state {
    pub const USABLE: u8 = 0x01;
    pub const HEARS: u8 = 0x02;
    pub const RATING: u8 = 0x0c;
}

/// Why bytes are no beat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// Shorter or longer than its count of ports says.
    Length,
    /// It begins with something else.
    Magic,
    Version,
    /// One that version 1 does not have: role, class, quality, interval or rating.
    Value,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Malformed::Length => "wrong length",
            Malformed::Magic => "not a beat",
            Malformed::Version => "another version",
            Malformed::Value => "a value out of its range",
        })
    }
}

impl std::error::Error for Malformed {}

/// A frame of the right length in received bytes. The getters cannot fail after
/// [`Packet::new_checked`]; believe nothing of it before its tag was verified.
#[derive(Clone, Copy, Debug)]
pub struct Packet<'a> {
    header: [u8; HEADER_LEN],
    signed: &'a [u8],
    tag: [u8; TAG_LEN],
}

impl<'a> Packet<'a> {
    pub fn new_checked(bytes: &'a [u8]) -> Result<Packet<'a>, Malformed> {
        let header: [u8; HEADER_LEN] = array(bytes, 0).ok_or(Malformed::Length)?;
        if !header[field::MAGIC..].starts_with(&MAGIC) {
            return Err(Malformed::Magic);
        }
        if header[field::VERSION] != VERSION {
            return Err(Malformed::Version);
        }
        let signed_len = HEADER_LEN + usize::from(header[field::COUNT]) * PORT_LEN;
        if bytes.len() != signed_len + TAG_LEN || bytes.len() > FRAME_MAX {
            return Err(Malformed::Length);
        }
        Ok(Packet {
            header,
            signed: bytes.get(..signed_len).ok_or(Malformed::Length)?,
            tag: array(bytes, signed_len).ok_or(Malformed::Length)?,
        })
    }

    pub fn link(&self) -> u8 {
        self.header[field::LINK]
    }

    pub fn key(&self) -> u64 {
        self.number(field::KEY)
    }

    pub fn sequence(&self) -> u64 {
        self.number(field::SEQUENCE)
    }

    /// What the tag covers.
    pub fn signed(&self) -> &'a [u8] {
        self.signed
    }

    pub fn tag(&self) -> &[u8; TAG_LEN] {
        &self.tag
    }

    /// Replaces `beat` by what the frame says; without allocation where `beat` has room for
    /// [`PORTS_MAX`] ports.
    pub fn parse(&self, beat: &mut Beat) -> Result<(), Malformed> {
        let flags = self.header[field::FLAGS];
        beat.group = self.number(field::GROUP);
        beat.role = match self.header[field::ROLE] {
            0 => Speaks::Fault,
            1 => Speaks::Backup,
            2 => Speaks::Active,
            _ => return Err(Malformed::Value),
        };
        beat.class = self.header[field::CLASS];
        beat.quality = self.header[field::QUALITY];
        beat.advert_interval_ns = self.number(field::INTERVAL);
        let in_range = beat.class <= CLASS_MAX
            && beat.quality <= QUALITY_MAX
            && (1..=INTERVAL_MAX_NS).contains(&beat.advert_interval_ns);
        if !in_range {
            return Err(Malformed::Value);
        }
        beat.priority = self.header[field::PRIORITY];
        beat.preferred = flags & flag::PREFERRED != 0;
        beat.ready = flags & flag::READY != 0;
        beat.by_priority = flags & flag::BY_PRIORITY != 0;
        beat.unable = flags & flag::UNABLE != 0;
        beat.go = flags & flag::GO != 0;
        beat.hears = flags & flag::HEARS != 0;
        beat.ports.clear();
        let ports = self.signed.get(HEADER_LEN..).unwrap_or_default();
        for bytes in ports.chunks_exact(PORT_LEN) {
            beat.ports.push(parse_port(bytes)?);
        }
        Ok(())
    }

    fn number(&self, at: usize) -> u64 {
        array(&self.header, at).map_or(0, u64::from_be_bytes)
    }
}

fn parse_port(bytes: &[u8]) -> Result<BeatPort, Malformed> {
    let [a, b, c, d, state] = array(bytes, 0).ok_or(Malformed::Length)?;
    let rating = match (state & state::RATING) >> state::RATING.trailing_zeros() {
        0 => Rating::Unknown,
        1 => Rating::Good,
        2 => Rating::Bad,
        _ => return Err(Malformed::Value),
    };
    Ok(BeatPort {
        port: u32::from_be_bytes([a, b, c, d]),
        usable: state & state::USABLE != 0,
        hears: state & state::HEARS != 0,
        rating,
    })
}

/// Replaces `out` by a beat as it is before it was sealed for a link, the tag still missing;
/// without allocation where `out` has room for [`FRAME_MAX`]. Returns how many ports had no room.
pub fn emit(key: u64, sequence: u64, beat: &Beat, out: &mut Vec<u8>) -> usize {
    let count = beat.ports.len().min(PORTS_MAX);
    out.clear();
    out.extend_from_slice(&MAGIC);
    let ports = u8::try_from(count).unwrap_or(u8::MAX);
    out.extend_from_slice(&[VERSION, 0, ports, beat.priority]);
    out.extend_from_slice(&key.to_be_bytes());
    out.extend_from_slice(&sequence.to_be_bytes());
    out.extend_from_slice(&beat.group.to_be_bytes());
    let role = match beat.role {
        Speaks::Fault => 0,
        Speaks::Backup => 1,
        Speaks::Active => 2,
    };
    out.extend_from_slice(&[role, beat.class, beat.quality, flags(beat)]);
    out.extend_from_slice(&beat.advert_interval_ns.to_be_bytes());
    for port in beat.ports.iter().take(count) {
        out.extend_from_slice(&port.port.to_be_bytes());
        out.push(state_of(port));
    }
    beat.ports.len() - count
}

/// Writes the link's number into what [`emit`] made.
pub fn set_link(frame: &mut [u8], link: u8) {
    if let Some(byte) = frame.get_mut(field::LINK) {
        *byte = link;
    }
}

fn flags(beat: &Beat) -> u8 {
    let flag = |on: bool, flag: u8| if on { flag } else { 0 };
    flag(beat.preferred, flag::PREFERRED)
        | flag(beat.ready, flag::READY)
        | flag(beat.by_priority, flag::BY_PRIORITY)
        | flag(beat.unable, flag::UNABLE)
        | flag(beat.go, flag::GO)
        | flag(beat.hears, flag::HEARS)
}

fn state_of(port: &BeatPort) -> u8 {
    let flag = |on: bool, flag: u8| if on { flag } else { 0 };
    let rating: u8 = match port.rating {
        Rating::Unknown => 0,
        Rating::Good => 1,
        Rating::Bad => 2,
    };
    flag(port.usable, state::USABLE)
        | flag(port.hears, state::HEARS)
        | rating << state::RATING.trailing_zeros()
}

/// What one node says of one group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Beat {
    /// [`group_id`] of the group's name.
    pub group: u64,
    pub role: Speaks,
    /// E0: forced active 3, normal 2, joining 1, forced backup or maintenance 0.
    pub class: u8,
    /// 0-100.
    pub quality: u8,
    /// Of its adverts: what decides between nodes that elect by priority, and tells its adverts
    /// from those of others.
    pub priority: u8,
    pub preferred: bool,
    /// A takeover by this node would lose nothing.
    pub ready: bool,
    /// It elects by priority: so must the receiver.
    pub by_priority: bool,
    /// It cannot be active: barred, or without any usable interface.
    pub unable: bool,
    /// E6: the sender has closed its fence for the receiver, who is prepared.
    pub go: bool,
    /// It hears the receiver's beats: only then both know what the other knows.
    pub hears: bool,
    pub advert_interval_ns: u64,
    /// In the order of the sender's routers.
    pub ports: Vec<BeatPort>,
}

impl Beat {
    /// The least that can be said, with room for as many ports as a frame brings.
    pub fn with_room() -> Beat {
        Beat {
            group: 0,
            role: Speaks::Fault,
            class: 0,
            quality: 0,
            priority: 0,
            preferred: false,
            ready: false,
            by_priority: false,
            unable: false,
            go: false,
            hears: false,
            advert_interval_ns: 1,
            ports: Vec::with_capacity(PORTS_MAX),
        }
    }
}

/// What a node says of one of its interfaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BeatPort {
    /// [`port_id`] of the interface's name.
    pub port: u32,
    /// It can speak there.
    pub usable: bool,
    /// It hears the other node's adverts there.
    pub hears: bool,
    pub rating: Rating,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speaks {
    Fault,
    Backup,
    Active,
}

/// E3: how an interface on which the peer is unheard is rated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rating {
    /// Nobody to ask, or not yet answered.
    Unknown,
    Good,
    Bad,
}

/// FNV-1a of a group's name.
pub fn group_id(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// The same of an interface's name, folded.
pub fn port_id(name: &str) -> u32 {
    let hash = group_id(name);
    (hash ^ (hash >> 32)) as u32
}

#[cfg(test)]
mod tests;
