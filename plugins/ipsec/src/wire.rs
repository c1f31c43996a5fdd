//! Encodes messages about tunnels between the nodes: keys and values within the replica's messages. Numbers are in
//! network byte order. A body is the kernel's own bytes, so nodes with another layout refuse each other by the preface.
//!
//! ```text
//! preface    version 8, byte order 8 (1: big-endian), word 8, SA 16, policy 16
//!
//! key of an SA       1 in, 2 out (8), destination, SPI 32, protocol 8, mark 32, mask 32, local end
//! key of a policy    3 (8), selector 56 bytes, interface n 8, ..., direction 8, kind 8, mark 32,
//!                    mask 32, if_id 32, local end
//! key of all numbers 4 (8); on the lane of newest values alone
//! key of an IKE SA   5 (8), SPIs 64 64, local end
//! key of a child     6 (8), inbound SPI 32, local end
//! address, end       family 8 (4, 6; an end may be 0: none), 4 or 16 bytes
//!
//! SA         numbers, body n 16, body ..., interfaces, name
//! policy     body ...
//! interfaces selector n 8, ..., offload n 8, ..., flags 8 if n > 0
//! name       connection n 8, ..., child n 8, ... if n > 0
//! numbers    origin 8 (0 kernel, 1 copy, 2 former role), silent 32, oseq 64, seq 64, window 32,
//!            words 8, bits 32 ...; words 255: 32 bits of the old form;
//!            bytes 64, packets 64, age 64, used 8, since 64 if used, threshold 32, packets a second 32
//! all        unsure 8, exact 8
//! ```
//!
//! IKE SAs and children: `sessions/wire.rs`.
//!
//! The readers accept any bytes without a panic. Nothing is passed to the kernel that
//! [`check_sa`](crate::codec::check_sa) and [`check_policy`](crate::codec::check_policy) have not accepted.

mod last;
mod read;
#[cfg(test)]
mod tests;

use std::fmt;
use std::net::IpAddr;

use spared_replica::{Key, Reader, Table, ValueWriter};

use crate::MS;
use crate::codec::body::{self, selector_ends, split_at_reqid};
use crate::error::Malformed;
use crate::sa::{
    ChildName, Direction, Life, Mark, Pace, Policy, PolicyId, Replay, ReplayForm, Sa, SaId,
};
use crate::sessions::wire::put_spis;
use crate::sessions::{IkeSpis, SessionId};

pub use last::{LAST_MAX, LastNumbers, outbound};
pub use read::{
    accept_preface, address as read_address, finish, name as read_name, read_all_numbers,
    read_numbers, read_policy, read_sa,
};

/// Longest body of an SA or a policy in bytes; the kernel's own limits on keys are far below.
pub const BODY_MAX: usize = 4096;
/// Size limit of a ring of received numbers in words: 4096 packets, as many as the kernel allows.
pub const WORDS_MAX: usize = 128;
/// Value in place of the number of words, for the old form.
const LEGACY: u8 = 255;
const VERSION: u8 = 2;

/// Tables, in the order in which they are sent: with its policies a backup sends nothing unencrypted.
pub const POLICIES: Table = 0;
pub const SAS: Table = 1;
pub const SESSIONS: Table = 2;
pub const TABLES: [&str; 3] = ["policies", "sas", "sessions"];

/// Key of a record on both nodes. The local end is part of it: it determines the owner of the record, also if there is
/// none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TunnelKey {
    Sa(SaId, Direction, IpAddr),
    Policy(PolicyId, Option<IpAddr>),
    /// Key of the properties of all numbers of the sender; in no table.
    AllNumbers,
    Ike(IkeSpis, IpAddr),
    /// Child, by its inbound SPI.
    Child(u32, IpAddr),
}

impl TunnelKey {
    pub fn sa(sa: &Sa, side: Direction) -> Self {
        Self::Sa(sa.id, side, sa.local_end(side))
    }

    pub fn policy(policy: &Policy) -> Self {
        Self::Policy(policy.id, policy.end)
    }

    pub fn session(id: SessionId, end: IpAddr) -> Self {
        match id {
            SessionId::Ike(spis) => Self::Ike(spis, end),
            SessionId::Child(spi) => Self::Child(spi, end),
        }
    }

    /// Returns the id of an IKE SA or a child.
    pub fn session_id(&self) -> Option<SessionId> {
        match self {
            Self::Ike(spis, _) => Some(SessionId::Ike(*spis)),
            Self::Child(spi, _) => Some(SessionId::Child(*spi)),
            Self::Sa(..) | Self::Policy(..) | Self::AllNumbers => None,
        }
    }

    /// Returns true if a table may have a record with this key.
    pub fn is_of(&self, table: Table) -> bool {
        match self {
            Self::Sa(..) => table == SAS,
            Self::Policy(..) => table == POLICIES,
            Self::Ike(..) | Self::Child(..) => table == SESSIONS,
            Self::AllNumbers => false,
        }
    }

    /// Returns the local end of the tunnel, on the node that has it.
    pub fn local_end(&self) -> Option<IpAddr> {
        match self {
            Self::Sa(_, _, end) | Self::Ike(_, end) | Self::Child(_, end) => Some(*end),
            Self::Policy(_, end) => *end,
            Self::AllNumbers => None,
        }
    }
}

impl fmt::Display for TunnelKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sa(id, _, _) => write!(f, "SA {:08x} to {}", id.spi, id.destination),
            Self::Policy(id, _) => {
                let direction = ["in", "out", "fwd"].get(usize::from(id.direction));
                write!(f, "policy {}", direction.unwrap_or(&"?"))?;
                match selector_ends(&id.selector) {
                    Some((source, destination)) => write!(f, " {source} -> {destination}"),
                    None => Ok(()),
                }
            }
            Self::AllNumbers => f.write_str("all numbers"),
            Self::Ike(spis, _) => write!(f, "IKE SA {:016x} {:016x}", spis.0, spis.1),
            Self::Child(spi, _) => write!(f, "child {spi:08x}"),
        }
    }
}

impl Key for TunnelKey {
    fn write(&self, out: &mut ValueWriter<'_>) {
        match self {
            Self::Sa(id, side, end) => {
                out.u8(match side {
                    Direction::In => 1,
                    Direction::Out => 2,
                });
                put_address(out, id.destination);
                out.u32(id.spi);
                out.u8(id.protocol);
                put_mark(out, id.mark);
                put_address(out, *end);
            }
            Self::Policy(id, end) => {
                out.u8(3);
                out.put(&id.selector);
                put_text(out, id.interface.text().unwrap_or_default());
                out.u8(id.direction);
                out.u8(id.kind);
                put_mark(out, id.mark);
                out.u32(id.if_id);
                match end {
                    None => out.u8(0),
                    Some(end) => put_address(out, *end),
                }
            }
            Self::AllNumbers => out.u8(4),
            Self::Ike(spis, end) => {
                out.u8(5);
                put_spis(out, *spis);
                put_address(out, *end);
            }
            Self::Child(spi, end) => {
                out.u8(6);
                out.u32(*spi);
                put_address(out, *end);
            }
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        read::key(reader)
    }
}

/// Origin of numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Origin {
    /// The sender's kernel has the SA.
    #[default]
    Kernel,
    /// The sender holds the SA for a failover, and has the numbers from the receiver or from an earlier role.
    Copy,
    /// The sender has become backup: these are the last numbers that it received, or sent.
    Former,
}

/// Numbers of an SA, with their age.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Numbers {
    pub origin: Origin,
    /// Milliseconds since the sender read or received them.
    pub silent_ms: u32,
    pub replay: Replay,
    pub life: Life,
    pub pace: Pace,
}

impl Numbers {
    /// Returns the time at which the sender knew them, by the clock here.
    pub fn known_ns(&self, now_ns: u64) -> u64 {
        now_ns.saturating_sub(u64::from(self.silent_ms) * MS)
    }
}

/// Properties of all numbers of the sender.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AllNumbers {
    /// Notifications were lost: numbers may be older than their limit.
    pub unsure: bool,
    /// Before a switchover: all packets are counted.
    pub exact: bool,
}

/// A reported SA, including its numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct ReportedSa {
    pub sa: Sa,
    pub side: Direction,
    pub numbers: Numbers,
    pub name: Option<ChildName>,
}

/// Writes the preface, which has to be equal on both nodes: the machine's layout of the kernel's bytes.
pub fn put_preface(out: &mut ValueWriter<'_>) {
    out.u8(VERSION);
    out.u8(u8::from(cfg!(target_endian = "big")));
    out.u8(size_of::<usize>() as u8);
    out.u16(body::SA_LEN as u16);
    out.u16(body::POLICY_LEN as u16);
}

pub fn put_sa(out: &mut ValueWriter<'_>, numbers: &Numbers, sa: &Sa, name: Option<&ChildName>) {
    put_numbers(out, numbers);
    out.u16(sa.body.bytes().len() as u16);
    let (head, tail) = split_at_reqid(&sa.body);
    out.put(head);
    out.put(&sa.reqid.to_ne_bytes());
    out.put(tail);
    put_text(out, sa.interfaces.selector.as_deref().unwrap_or_default());
    match &sa.interfaces.offload {
        None => out.u8(0),
        Some((name, flags)) => {
            put_text(out, name);
            out.u8(*flags);
        }
    }
    match name {
        None => out.u8(0),
        Some(name) => put_name(out, name),
    }
}

pub fn put_name(out: &mut ValueWriter<'_>, name: &ChildName) {
    put_text(out, &name.ike);
    put_text(out, &name.child);
}

pub fn put_policy(out: &mut ValueWriter<'_>, policy: &Policy) {
    out.put(policy.body.bytes());
}

pub fn put_numbers(out: &mut ValueWriter<'_>, numbers: &Numbers) {
    let Numbers {
        origin,
        silent_ms,
        replay,
        life,
        pace,
    } = numbers;
    out.u8(*origin as u8);
    out.u32(*silent_ms);
    out.u64(replay.oseq);
    out.u64(replay.seq);
    out.u32(replay.window);
    match &replay.form {
        ReplayForm::Legacy(bits) => {
            out.u8(LEGACY);
            out.u32(*bits);
        }
        ReplayForm::Extended(words) => {
            let words = &words[..words.len().min(WORDS_MAX)];
            out.u8(words.len() as u8);
            words.iter().for_each(|word| out.u32(*word));
        }
    }
    out.u64(life.bytes);
    out.u64(life.packets);
    out.u64(life.age_s);
    out.u8(u8::from(life.used_s.is_some()));
    life.used_s.iter().for_each(|used_s| out.u64(*used_s));
    out.u32(pace.threshold);
    out.u32(pace.packets_per_s);
}

pub fn put_all_numbers(out: &mut ValueWriter<'_>, all: AllNumbers) {
    out.u8(u8::from(all.unsure));
    out.u8(u8::from(all.exact));
}

pub fn put_address(out: &mut ValueWriter<'_>, address: IpAddr) {
    match address {
        IpAddr::V4(address) => {
            out.u8(4);
            out.put(&address.octets());
        }
        IpAddr::V6(address) => {
            out.u8(6);
            out.put(&address.octets());
        }
    }
}

fn put_mark(out: &mut ValueWriter<'_>, mark: Mark) {
    out.u32(mark.value);
    out.u32(mark.mask);
}

fn put_text(out: &mut ValueWriter<'_>, text: &str) {
    let bytes = &text.as_bytes()[..text.len().min(255)];
    out.u8(bytes.len() as u8);
    out.put(bytes);
}
