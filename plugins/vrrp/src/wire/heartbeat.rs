//! Heartbeats: what the elector of one node tells that of the other over every link and every network of
//! the group, so that silence is silence on every path. UDP, on the port of the links; version 2.
//!
//! ```text
//!     0                   1                   2                   3
//!     0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//!    +---------------------------------------------------------------+
//!  0 |                         Magic, "SPBT"                         |
//!    +---------------+---------------+---------------+---------------+
//!  4 |    Version    |   Reserved    |     Count     |   Priority    |
//!    +---------------+---------------+---------------+---------------+
//!  8 |                            Run, 8                             |
//!    +---------------------------------------------------------------+
//! 16 |                           Sequence, 8                         |
//!    +---------------------------------------------------------------+
//! 24 |                             Group, 8                          |
//!    +---------------+---------------+---------------+---------------+
//! 32 |     Role      |     Class     |    Quality    |     Flags     |
//!    +---------------+---------------+---------------+---------------+
//! 36 |                   Advert interval in ns, 8                    |
//!    +---------------------------------------------------------------+
//! 44 |                             Path                              |
//!    +---------------------------------------------------------------+
//! 48 |            Echo: the receiver's run, 8, 0 where none          |
//!    +---------------------------------------------------------------+
//! 56 |            Echo: its highest sequence that was heard, 8       |
//!    +---------------------------------------------------------------+
//! 64 |              Term: which change of the active node             |
//!    +---------------------------------------------------------------+
//! 68 |  Ports, Count times 5 bytes: id, 4; state, 1                  |
//!    +---------------------------------------------------------------+
//!    |  Tag: HMAC-SHA256 of all before it, its first 16 bytes        |
//!    +---------------------------------------------------------------+
//!
//! Role:  0 fault, 1 backup, 2 active; class 0-3; quality 0-100; interval above 0, at most 60 s
//! Flags: 1 preferred, 2 ready, 4 by priority, 8 unable, 16 go, 32 hears
//! State: 1 usable, 2 hears, the rating: 0 unknown, 4 good, 8 bad; 16 heartbeats are sent here
//! ```
//!
//! Reserved bits are sent as zero and ignored. A run is one start of the plugin, and its key. The path
//! is a link's place among the `[[link]]` of the configuration, or [`network_path`]: it is under the
//! tag, so that a frame recorded on one path is worthless on the others.

use std::fmt;

use super::array;

/// Longest frame: with IPv6 and UDP around it it fits the smallest IPv6 MTU.
pub const FRAME_MAX: usize = 1200;
/// Bytes of the tag.
pub const TAG_LEN: usize = 16;
/// Ports that fit; what more there is is left out.
pub const PORTS_MAX: usize = (FRAME_MAX - HEADER_LEN - TAG_LEN) / PORT_LEN;

const MAGIC: [u8; 4] = *b"SPBT";
const VERSION: u8 = 2;
const HEADER_LEN: usize = 68;
const PORT_LEN: usize = 5;
const CLASS_MAX: u8 = 3;
const QUALITY_MAX: u8 = 100;
/// VRRP's longest is 40.95 s; the receiver computes with it.
const INTERVAL_MAX_NS: u64 = 60_000_000_000;

mod field {
    pub const MAGIC: usize = 0;
    pub const VERSION: usize = 4;
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
    pub const PATH: usize = 44;
    pub const ECHO_RUN: usize = 48;
    pub const ECHO_SEQUENCE: usize = 56;
    pub const TERM: usize = 64;
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
    pub const SENDS: u8 = 0x10;
}

/// Why bytes are no heartbeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// Shorter or longer than its count of ports says.
    Length,
    /// It begins with something else.
    Magic,
    Version,
    /// One that version 2 does not have: role, class, quality, interval or rating.
    Value,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Malformed::Length => "wrong length",
            Malformed::Magic => "not a heartbeat",
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

    pub fn path(&self) -> u32 {
        array(&self.header, field::PATH).map_or(0, u32::from_be_bytes)
    }

    pub fn echo(&self) -> Echo {
        Echo {
            run: self.number(field::ECHO_RUN),
            sequence: self.number(field::ECHO_SEQUENCE),
        }
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

    /// Replaces `heartbeat` by what the frame says; without allocation where `heartbeat` has room for
    /// [`PORTS_MAX`] ports.
    pub fn parse(&self, heartbeat: &mut Heartbeat) -> Result<(), Malformed> {
        let flags = self.header[field::FLAGS];
        heartbeat.group = self.number(field::GROUP);
        heartbeat.role = match self.header[field::ROLE] {
            0 => Speaks::Fault,
            1 => Speaks::Backup,
            2 => Speaks::Active,
            _ => return Err(Malformed::Value),
        };
        heartbeat.class = self.header[field::CLASS];
        heartbeat.quality = self.header[field::QUALITY];
        heartbeat.advert_interval_ns = self.number(field::INTERVAL);
        let in_range = heartbeat.class <= CLASS_MAX
            && heartbeat.quality <= QUALITY_MAX
            && (1..=INTERVAL_MAX_NS).contains(&heartbeat.advert_interval_ns);
        if !in_range {
            return Err(Malformed::Value);
        }
        heartbeat.priority = self.header[field::PRIORITY];
        heartbeat.term = array(&self.header, field::TERM).map_or(0, u32::from_be_bytes);
        heartbeat.preferred = flags & flag::PREFERRED != 0;
        heartbeat.ready = flags & flag::READY != 0;
        heartbeat.by_priority = flags & flag::BY_PRIORITY != 0;
        heartbeat.unable = flags & flag::UNABLE != 0;
        heartbeat.go = flags & flag::GO != 0;
        heartbeat.hears = flags & flag::HEARS != 0;
        heartbeat.ports.clear();
        let ports = self.signed.get(HEADER_LEN..).unwrap_or_default();
        for bytes in ports.chunks_exact(PORT_LEN) {
            heartbeat.ports.push(parse_port(bytes)?);
        }
        Ok(())
    }

    fn number(&self, at: usize) -> u64 {
        array(&self.header, at).map_or(0, u64::from_be_bytes)
    }
}

fn parse_port(bytes: &[u8]) -> Result<HeartbeatPort, Malformed> {
    let [a, b, c, d, state] = array(bytes, 0).ok_or(Malformed::Length)?;
    let rating = match (state & state::RATING) >> state::RATING.trailing_zeros() {
        0 => Rating::Unknown,
        1 => Rating::Good,
        2 => Rating::Bad,
        _ => return Err(Malformed::Value),
    };
    Ok(HeartbeatPort {
        port: u32::from_be_bytes([a, b, c, d]),
        usable: state & state::USABLE != 0,
        hears: state & state::HEARS != 0,
        rating,
        sends: state & state::SENDS != 0,
    })
}

/// Replaces `out` by a heartbeat as it is before it was sealed for a path, the tag still missing;
/// without allocation where `out` has room for [`FRAME_MAX`]. Returns how many ports had no room.
pub fn emit(
    key: u64,
    sequence: u64,
    echo: Echo,
    heartbeat: &Heartbeat,
    out: &mut Vec<u8>,
) -> usize {
    let count = heartbeat.ports.len().min(PORTS_MAX);
    out.clear();
    out.extend_from_slice(&MAGIC);
    let ports = u8::try_from(count).unwrap_or(u8::MAX);
    out.extend_from_slice(&[VERSION, 0, ports, heartbeat.priority]);
    out.extend_from_slice(&key.to_be_bytes());
    out.extend_from_slice(&sequence.to_be_bytes());
    out.extend_from_slice(&heartbeat.group.to_be_bytes());
    let role = match heartbeat.role {
        Speaks::Fault => 0,
        Speaks::Backup => 1,
        Speaks::Active => 2,
    };
    out.extend_from_slice(&[role, heartbeat.class, heartbeat.quality, flags(heartbeat)]);
    out.extend_from_slice(&heartbeat.advert_interval_ns.to_be_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&echo.run.to_be_bytes());
    out.extend_from_slice(&echo.sequence.to_be_bytes());
    out.extend_from_slice(&heartbeat.term.to_be_bytes());
    for port in heartbeat.ports.iter().take(count) {
        out.extend_from_slice(&port.port.to_be_bytes());
        out.push(state_of(port));
    }
    heartbeat.ports.len() - count
}

/// Writes the path into what [`emit`] made.
pub fn set_path(frame: &mut [u8], path: u32) {
    if let Some(bytes) = frame.get_mut(field::PATH..field::PATH + 4) {
        bytes.copy_from_slice(&path.to_be_bytes());
    }
}

fn flags(heartbeat: &Heartbeat) -> u8 {
    let flag = |on: bool, flag: u8| if on { flag } else { 0 };
    flag(heartbeat.preferred, flag::PREFERRED)
        | flag(heartbeat.ready, flag::READY)
        | flag(heartbeat.by_priority, flag::BY_PRIORITY)
        | flag(heartbeat.unable, flag::UNABLE)
        | flag(heartbeat.go, flag::GO)
        | flag(heartbeat.hears, flag::HEARS)
}

fn state_of(port: &HeartbeatPort) -> u8 {
    let flag = |on: bool, flag: u8| if on { flag } else { 0 };
    let rating: u8 = match port.rating {
        Rating::Unknown => 0,
        Rating::Good => 1,
        Rating::Bad => 2,
    };
    flag(port.usable, state::USABLE)
        | flag(port.hears, state::HEARS)
        | flag(port.sends, state::SENDS)
        | rating << state::RATING.trailing_zeros()
}

/// What one node says of one group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heartbeat {
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
    /// A failover by this node would lose nothing.
    pub ready: bool,
    /// It elects by priority: so must the receiver.
    pub by_priority: bool,
    /// It cannot be active: barred, or without any usable interface.
    pub unable: bool,
    /// E6: the sender has blocked its fence for the receiver, who is prepared.
    pub go: bool,
    /// It hears the receiver's heartbeats: only then both know what the other knows.
    pub hears: bool,
    pub advert_interval_ns: u64,
    /// E7: how often another node became active, as far as the sender knows.
    pub term: u32,
    /// In the order of the sender's routers.
    pub ports: Vec<HeartbeatPort>,
}

impl Heartbeat {
    /// The least that can be said, with room for as many ports as a frame brings.
    pub fn with_room() -> Heartbeat {
        Heartbeat {
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
            term: 0,
            ports: Vec::with_capacity(PORTS_MAX),
        }
    }
}

/// What a node says of one of its interfaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeartbeatPort {
    /// [`port_id`] of the interface's name.
    pub port: u32,
    /// It can speak there.
    pub usable: bool,
    /// It hears the other node there.
    pub hears: bool,
    pub rating: Rating,
    /// It sends heartbeats there, too.
    pub sends: bool,
}

/// What the sender of a heartbeat has heard of the receiver.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Echo {
    /// 0 for none.
    pub run: u64,
    pub sequence: u64,
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

/// The path of a network, by the names that its interface has on the nodes, in the order of the nodes'
/// own names; never a link's place.
pub fn network_path(names: &[&str]) -> u32 {
    0x8000_0000 | port_id(&names.join("/"))
}

/// The same of an interface's name, folded.
pub fn port_id(name: &str) -> u32 {
    let hash = group_id(name);
    (hash ^ (hash >> 32)) as u32
}

#[cfg(test)]
mod tests;
