//! Heartbeats: messages of one node's elector to the other's over every link and every network of its groups, so that
//! only a failure makes a path silent. UDP, on the port of the links; version 3.
//!
//! One heartbeat has a number, and one or more datagrams, its parts. Each part has the number, is valid by itself, and
//! is complete for the groups that it carries.
//!
//! ```text
//!     0                   1                   2                   3
//!     0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//!    +---------------------------------------------------------------+
//!  0 |                         Magic, "SPBT"                         |
//!    +---------------+---------------+---------------+---------------+
//!  4 |    Version    |     Part      |     Parts     |    Standing   |
//!    +---------------+---------------+---------------+---------------+
//!  8 |                            Run, 8                             |
//!    +---------------------------------------------------------------+
//! 16 |                           Number, 8                           |
//!    +---------------------------------------------------------------+
//! 24 |                             Path                              |
//!    +---------------------------------------------------------------+
//! 28 |            Acknowledged: the receiver's run, 8                |
//!    +---------------------------------------------------------------+
//! 36 |            Acknowledged: its highest number heard, 8, or 0    |
//!    +---------------------------------------------------------------+
//! 44 |  Groups, as below, to the tag                                 |
//!    +---------------------------------------------------------------+
//!    |  Tag: HMAC-SHA256 of all before it, its first 16 bytes        |
//!    +---------------------------------------------------------------+
//!
//! A group
//!    +---------------------------------------------------------------+
//!  0 |                            Group, 8                           |
//!    +---------------+---------------+---------------+---------------+
//!  8 |     Role      |     Class     |    Quality    |     Flags     |
//!    +---------------+---------------+---------------+---------------+
//! 12 |                Advert interval in microseconds                |
//!    +---------------------------------------------------------------+
//! 16 |              Term: which change of the active node            |
//!    +---------------+---------------+---------------+---------------+
//! 20 |   Priority    |     Hurt      |     Count     |
//!    +---------------+---------------+---------------+---------------+
//! 23 |  Ports, Count times 5 bytes: network, 4; state, 1             |
//!    +---------------------------------------------------------------+
//!
//! Standing: 1 another run of the receiver's node counts here, and is heard
//! Role:  0 fault, 1 backup, 2 active; class 0-3; quality 0-100; interval above 0, at most 60 s
//! Hurt:  number of hurt interfaces, those without adverts included
//! Flags: 1 preferred, 2 ready, 4 by priority, 8 unable, 16 go, 32 hears
//! State: 1 usable, 2 hears, the rating: 0 unknown, 4 good, 8 bad; 16 heartbeats are sent here; in the upper three
//!        bits what is heard of the active receiver's virtual identity: 0 unknown, 1 its adverts; 2 no adverts of
//!        IPv4, 3 of IPv6, 4 of both; 5 nothing from the virtual MAC of IPv4, 6 of IPv6, 7 of both; of an active
//!        sender, what stations answer to its own: 0 unknown, 1 all, 5 nothing to the virtual MAC of IPv4, 6, 7
//! ```
//!
//! Reserved bits are sent as zero and ignored. A run is one start of the plugin; the key of the tag belongs to the two
//! named runs, in that direction. The path is a link's position among the `[[link]]` of the configuration, or
//! [`network_path`], which is also a port's network: it is covered by the tag, so that a frame recorded on one path is
//! worthless on the others.

mod contents;

use super::array;

pub use contents::{
    Ack, Families, Heartbeat, HeartbeatPort, HeartbeatRole, Identity, Rating, group_id,
    network_path,
};

/// Longest part in bytes: with IPv6 and UDP headers it fits the smallest IPv6 MTU.
pub const FRAME_MAX: usize = 1200;
/// Size of the tag in bytes.
pub const TAG_LEN: usize = 16;
/// Limit of parts of one heartbeat; groups beyond it are omitted.
pub const PARTS_MAX: usize = 64;
/// Limit of ports of a group, as many as fit into a part of its own; ports beyond it are omitted.
pub const PORTS_MAX: usize = (FRAME_MAX - HEADER_LEN - GROUP_LEN - TAG_LEN) / PORT_LEN;

const MAGIC: [u8; 4] = *b"SPBT";
const VERSION: u8 = 3;
const HEADER_LEN: usize = 44;
const GROUP_LEN: usize = 23;
const PORT_LEN: usize = 5;
const CLASS_MAX: u8 = 3;
const QUALITY_MAX: u8 = 100;
/// Bit of the field Standing: another run of the receiver's node is in use.
const SECOND: u8 = 0x01;
/// Longest interval; VRRP's longest is 40.95 s. The receiver computes with it.
const INTERVAL_MAX_US: u32 = 60_000_000;
const NS_PER_US: u64 = 1000;

mod field {
    pub const MAGIC: usize = 0;
    pub const VERSION: usize = 4;
    pub const PART: usize = 5;
    pub const PARTS: usize = 6;
    pub const STANDING: usize = 7;
    pub const RUN: usize = 8;
    pub const NUMBER: usize = 16;
    pub const PATH: usize = 24;
    pub const ACK_RUN: usize = 28;
    pub const ACK_NUMBER: usize = 36;
}

/// Offsets in a group.
mod group_field {
    pub const GROUP: usize = 0;
    pub const ROLE: usize = 8;
    pub const CLASS: usize = 9;
    pub const QUALITY: usize = 10;
    pub const FLAGS: usize = 11;
    pub const INTERVAL: usize = 12;
    pub const TERM: usize = 16;
    pub const PRIORITY: usize = 20;
    pub const HURT: usize = 21;
    pub const COUNT: usize = 22;
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
    pub const IDENTITY: u8 = 0xe0;
}

/// Reason why bytes are no heartbeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// Too long, or cut within its header, a group or the tag.
    Length,
    /// The bytes begin with another magic.
    Magic,
    Version,
    /// A value that version 3 does not have: part, role, class, quality, interval or rating.
    Value,
}

/// A received part of a heartbeat. Nothing can fail after [`Packet::new_checked`]; no contents are to be trusted before
/// the tag was verified.
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
        let signed_len = bytes.len().checked_sub(TAG_LEN).ok_or(Malformed::Length)?;
        if signed_len < HEADER_LEN || bytes.len() > FRAME_MAX {
            return Err(Malformed::Length);
        }
        let (part, parts) = (header[field::PART], header[field::PARTS]);
        if part >= parts || usize::from(parts) > PARTS_MAX {
            return Err(Malformed::Value);
        }
        let (signed, tag) = bytes
            .split_at_checked(signed_len)
            .ok_or(Malformed::Length)?;
        let packet = Packet {
            header,
            signed,
            tag: array(tag, 0).ok_or(Malformed::Length)?,
        };
        let mut rest = packet.groups();
        while !rest.is_empty() {
            rest = Group::split(rest)?.check()?;
        }
        Ok(packet)
    }

    pub fn path(&self) -> u32 {
        array(&self.header, field::PATH).map_or(0, u32::from_be_bytes)
    }

    pub fn ack(&self) -> Ack {
        Ack {
            run: self.long(field::ACK_RUN),
            number: self.long(field::ACK_NUMBER),
            is_second: self.header[field::STANDING] & SECOND != 0,
        }
    }

    pub fn run(&self) -> u64 {
        self.long(field::RUN)
    }

    pub fn number(&self) -> u64 {
        self.long(field::NUMBER)
    }

    /// Returns the index of the part, from 0.
    pub fn part(&self) -> u8 {
        self.header[field::PART]
    }

    /// Returns the bytes that the tag covers.
    pub fn signed(&self) -> &'a [u8] {
        self.signed
    }

    pub fn tag(&self) -> &[u8; TAG_LEN] {
        &self.tag
    }

    /// Returns the bytes of all groups, for [`next_group`].
    pub fn groups(&self) -> &'a [u8] {
        self.signed.get(HEADER_LEN..).unwrap_or_default()
    }

    fn long(&self, at: usize) -> u64 {
        array(&self.header, at).map_or(0, u64::from_be_bytes)
    }
}

/// Replaces `heartbeat` by the first of some groups and returns the bytes of the others; None at their end. It does not
/// allocate if `heartbeat` has room for [`PORTS_MAX`] ports.
pub fn next_group<'a>(groups: &'a [u8], heartbeat: &mut Heartbeat) -> Option<&'a [u8]> {
    Group::split(groups).ok()?.parse(heartbeat).ok()
}

/// One group in the bytes of a part.
struct Group<'a> {
    fixed: [u8; GROUP_LEN],
    ports: &'a [u8],
    rest: &'a [u8],
}

impl<'a> Group<'a> {
    fn split(bytes: &'a [u8]) -> Result<Group<'a>, Malformed> {
        let fixed: [u8; GROUP_LEN] = array(bytes, 0).ok_or(Malformed::Length)?;
        let length = usize::from(fixed[group_field::COUNT]) * PORT_LEN;
        let (_, after) = bytes.split_at_checked(GROUP_LEN).ok_or(Malformed::Length)?;
        let (ports, rest) = after.split_at_checked(length).ok_or(Malformed::Length)?;
        Ok(Group { fixed, ports, rest })
    }

    /// Returns the bytes after the group, if its values are valid.
    fn check(&self) -> Result<&'a [u8], Malformed> {
        let fixed = &self.fixed;
        let in_range = fixed[group_field::CLASS] <= CLASS_MAX
            && fixed[group_field::QUALITY] <= QUALITY_MAX
            && (1..=INTERVAL_MAX_US).contains(&self.word(group_field::INTERVAL));
        if !in_range {
            return Err(Malformed::Value);
        }
        role(fixed[group_field::ROLE])?;
        for bytes in self.ports.chunks_exact(PORT_LEN) {
            parse_port(bytes)?;
        }
        Ok(self.rest)
    }

    fn parse(&self, heartbeat: &mut Heartbeat) -> Result<&'a [u8], Malformed> {
        let fixed = &self.fixed;
        let flags = fixed[group_field::FLAGS];
        let mut ports = std::mem::take(&mut heartbeat.ports);
        ports.clear();
        for bytes in self.ports.chunks_exact(PORT_LEN) {
            ports.push(parse_port(bytes)?);
        }
        *heartbeat = Heartbeat {
            group: array(fixed, group_field::GROUP).map_or(0, u64::from_be_bytes),
            role: role(fixed[group_field::ROLE])?,
            class: fixed[group_field::CLASS],
            quality: fixed[group_field::QUALITY],
            priority: fixed[group_field::PRIORITY],
            preferred: flags & flag::PREFERRED != 0,
            ready: flags & flag::READY != 0,
            by_priority: flags & flag::BY_PRIORITY != 0,
            unable: flags & flag::UNABLE != 0,
            is_release: flags & flag::GO != 0,
            hears: flags & flag::HEARS != 0,
            advert_interval_ns: u64::from(self.word(group_field::INTERVAL)) * NS_PER_US,
            term: self.word(group_field::TERM),
            hurt: fixed[group_field::HURT],
            ports,
        };
        Ok(self.rest)
    }

    fn word(&self, at: usize) -> u32 {
        array(&self.fixed, at).map_or(0, u32::from_be_bytes)
    }
}

fn role(byte: u8) -> Result<HeartbeatRole, Malformed> {
    match byte {
        0 => Ok(HeartbeatRole::Fault),
        1 => Ok(HeartbeatRole::Backup),
        2 => Ok(HeartbeatRole::Active),
        _ => Err(Malformed::Value),
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
        network: u32::from_be_bytes([a, b, c, d]),
        usable: state & state::USABLE != 0,
        hears: state & state::HEARS != 0,
        rating,
        sends: state & state::SENDS != 0,
        identity: Identity::of((state & state::IDENTITY) >> state::IDENTITY.trailing_zeros()),
    })
}

/// Replaces `out` by a part without groups, whose path, acknowledgement, number of parts, and tag are still to be set.
/// Like [`emit_group`] it does not allocate if `out` has room for [`FRAME_MAX`] bytes.
pub fn emit_header(run: u64, number: u64, part: u8, out: &mut Vec<u8>) {
    out.clear();
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&[VERSION, part, 0, 0]);
    out.extend_from_slice(&run.to_be_bytes());
    out.extend_from_slice(&number.to_be_bytes());
    out.extend_from_slice(&[0; HEADER_LEN - field::PATH]);
}

/// Returns true if a part that [`emit_header`] began has room for a group.
pub fn has_room(part: &[u8], heartbeat: &Heartbeat) -> bool {
    let ports = heartbeat.ports.len().min(PORTS_MAX);
    part.len() + GROUP_LEN + ports * PORT_LEN + TAG_LEN <= FRAME_MAX
}

/// Appends a group to a part. Returns the number of its ports that had no room.
pub fn emit_group(heartbeat: &Heartbeat, out: &mut Vec<u8>) -> usize {
    let count = heartbeat.ports.len().min(PORTS_MAX);
    out.extend_from_slice(&heartbeat.group.to_be_bytes());
    let role = match heartbeat.role {
        HeartbeatRole::Fault => 0,
        HeartbeatRole::Backup => 1,
        HeartbeatRole::Active => 2,
    };
    out.extend_from_slice(&[role, heartbeat.class, heartbeat.quality, flags(heartbeat)]);
    let interval_us = u32::try_from(heartbeat.advert_interval_ns / NS_PER_US).unwrap_or(u32::MAX);
    out.extend_from_slice(&interval_us.to_be_bytes());
    out.extend_from_slice(&heartbeat.term.to_be_bytes());
    let ports = u8::try_from(count).unwrap_or(u8::MAX);
    out.extend_from_slice(&[heartbeat.priority, heartbeat.hurt, ports]);
    for port in heartbeat.ports.iter().take(count) {
        out.extend_from_slice(&port.network.to_be_bytes());
        out.push(state_of(port));
    }
    heartbeat.ports.len() - count
}

/// Sets the heartbeat's number of parts in one of them.
pub fn set_parts(part: &mut [u8], parts: u8) {
    if let Some(byte) = part.get_mut(field::PARTS) {
        *byte = parts;
    }
}

/// Sets the run for which a part is, and the number that was received from that run.
pub fn set_ack(part: &mut [u8], ack: Ack) {
    if let Some(byte) = part.get_mut(field::STANDING) {
        *byte = if ack.is_second { SECOND } else { 0 };
    }
    let numbers = [(field::ACK_RUN, ack.run), (field::ACK_NUMBER, ack.number)];
    for (at, number) in numbers {
        if let Some(bytes) = part.get_mut(at..at + 8) {
            bytes.copy_from_slice(&number.to_be_bytes());
        }
    }
}

/// Sets the path in a part.
pub fn set_path(part: &mut [u8], path: u32) {
    if let Some(bytes) = part.get_mut(field::PATH..field::PATH + 4) {
        bytes.copy_from_slice(&path.to_be_bytes());
    }
}

fn flags(heartbeat: &Heartbeat) -> u8 {
    let flag = |on: bool, flag: u8| if on { flag } else { 0 };
    flag(heartbeat.preferred, flag::PREFERRED)
        | flag(heartbeat.ready, flag::READY)
        | flag(heartbeat.by_priority, flag::BY_PRIORITY)
        | flag(heartbeat.unable, flag::UNABLE)
        | flag(heartbeat.is_release, flag::GO)
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
        | port.identity.code() << state::IDENTITY.trailing_zeros()
}

#[cfg(test)]
mod tests;
